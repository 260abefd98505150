//! A folder that a generator fills: fixed modes and times, so that a backup of it is the same everywhere.

use super::Watch;
use crate::harness::error::BenchError;
use std::cell::RefCell;
use std::fs::{self, File, FileTimes, Permissions};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Which of the two versions of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The one that is backed up first.
    First,
    /// The same data some time later.
    Second,
}

impl Version {
    /// Both, in order.
    pub const BOTH: [Version; 2] = [Version::First, Version::Second];

    /// The name of its folder, and of its table in a recipe.
    pub fn word(self) -> &'static str {
        match self {
            Version::First => "first",
            Version::Second => "second",
        }
    }

    /// The modification time of what this version brought; the second is a day later.
    fn time(self) -> SystemTime {
        let day = Duration::from_secs(86_400);
        let first = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
        first + if self == Version::First { Duration::ZERO } else { day }
    }
}

/// A folder being filled.
pub struct Tree<'a> {
    root: &'a Path,
    watch: &'a Watch<'a>,
    version: Version,
    folders: RefCell<Vec<PathBuf>>,
}

impl<'a> Tree<'a> {
    /// Makes the folder.
    pub fn create(root: &'a Path, version: Version, watch: &'a Watch<'a>) -> Result<Tree<'a>, BenchError> {
        fs::create_dir(root).map_err(BenchError::io("make", root))?;
        Ok(Tree { root, watch, version, folders: RefCell::new(vec![root.into()]) })
    }

    /// Which version is made.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether it is the second.
    pub fn is_second(&self) -> bool {
        self.version == Version::Second
    }

    /// A folder in it; the one above is there.
    pub fn folder(&self, relative: &str) -> Result<(), BenchError> {
        let path = self.root.join(relative);
        fs::create_dir(&path).map_err(BenchError::io("make", &path))?;
        self.folders.borrow_mut().push(path);
        Ok(())
    }

    /// A file that came with, or was last changed in, the version `since`.
    pub fn file(&self, relative: &str, since: Version) -> Result<Out<'a>, BenchError> {
        self.watch.poll()?;
        let path = self.root.join(relative);
        let file = File::create_new(&path).map_err(BenchError::io("make", &path))?;
        Ok(Out { file: BufWriter::with_capacity(256 << 10, file), path, since, watch: self.watch, unpolled: 0 })
    }

    /// A whole file.
    pub fn write(&self, relative: &str, since: Version, bytes: &[u8]) -> Result<(), BenchError> {
        let mut out = self.file(relative, since)?;
        out.put(bytes)?;
        out.finish()
    }

    /// Sets the times of the folders, which writing into them moved.
    pub fn finish(self) -> Result<(), BenchError> {
        for path in self.folders.borrow().iter().rev() {
            let folder = File::open(path).map_err(BenchError::io("open", path))?;
            settle(&folder, 0o755, self.version).map_err(BenchError::io("set times of", path))?;
        }
        Ok(())
    }
}

/// A file being written.
pub struct Out<'a> {
    file: BufWriter<File>,
    path: PathBuf,
    since: Version,
    watch: &'a Watch<'a>,
    unpolled: usize,
}

impl Out<'_> {
    /// The next bytes.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), BenchError> {
        self.unpolled += bytes.len();
        if self.unpolled >= 1 << 20 {
            self.unpolled = 0;
            self.watch.poll()?;
        }
        self.file.write_all(bytes).map_err(BenchError::io("write", &self.path))
    }

    pub fn skip(&mut self, bytes: u64) -> Result<(), BenchError> {
        self.file.seek(SeekFrom::Current(bytes as i64)).map(drop).map_err(BenchError::io("write", &self.path))
    }

    /// Writes what is buffered; the file ends here, also behind a hole.
    pub fn finish(mut self) -> Result<(), BenchError> {
        let mut end = || -> std::io::Result<()> {
            let len = self.file.stream_position()?;
            self.file.flush()?;
            let file = self.file.get_ref();
            if file.metadata()?.len() != len {
                file.set_len(len)?;
            }
            settle(file, 0o644, self.since)
        };
        end().map_err(BenchError::io("write", &self.path))
    }
}

fn settle(file: &File, mode: u32, since: Version) -> std::io::Result<()> {
    file.set_permissions(Permissions::from_mode(mode))?;
    file.set_times(FileTimes::new().set_modified(since.time()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn modes_and_times_do_not_depend_on_the_machine() {
        let folder = tempfile::tempdir().unwrap();
        let (root, watch) = (folder.path().join("t"), Watch::default());
        let tree = Tree::create(&root, Version::Second, &watch).unwrap();
        tree.folder("d").unwrap();
        tree.write("d/old", Version::First, b"x").unwrap();
        let mut out = tree.file("d/new", Version::Second).unwrap();
        out.put(b"y").unwrap();
        out.skip(4095).unwrap();
        out.finish().unwrap();
        tree.finish().unwrap();
        let look = |name: &str| {
            let meta = root.join(name).metadata().unwrap();
            (meta.mode() & 0o7777, meta.mtime(), meta.len())
        };
        assert_eq!(look("d/old"), (0o644, 1_600_000_000, 1));
        assert_eq!(look("d/new"), (0o644, 1_600_086_400, 4096));
        let (mode, time, _) = look("d");
        assert_eq!((mode, time), (0o755, 1_600_086_400));
    }

    #[test]
    fn a_signal_ends_the_writing() {
        let folder = tempfile::tempdir().unwrap();
        let cancel = std::sync::atomic::AtomicBool::new(false);
        let (root, watch) = (folder.path().join("t"), Watch { cancel: Some(&cancel), ..Watch::default() });
        let tree = Tree::create(&root, Version::First, &watch).unwrap();
        let mut out = tree.file("a", Version::First).unwrap();
        out.put(&[0; 1 << 20]).unwrap();
        cancel.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(matches!(out.put(&[0; 1 << 20]), Err(BenchError::Interrupted)));
        assert!(matches!(tree.write("b", Version::First, b""), Err(BenchError::Interrupted)));
    }
}
