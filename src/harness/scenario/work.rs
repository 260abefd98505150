//! The work folder: room, a private copy of the data, folders for stores and restores. All of it goes away at the end.

use super::edit;
use crate::harness::BenchError;
use crate::harness::data::content;
use rustix::fs::{StatVfs, statvfs};
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Room beside the data itself: records, index, caches.
const SPARE: u64 = 64 << 20;

/// Where things go.
pub struct Work {
    /// Stores, and the copy of the data.
    pub folder: tempfile::TempDir,
    pub target: tempfile::TempDir,
}

/// What the work needs of room.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    /// Bytes of the data.
    pub bytes: u64,
    /// A copy of it is made.
    pub copy: bool,
    /// It is restored.
    pub restore: bool,
}

fn room(at: &Path) -> Result<u64, BenchError> {
    let StatVfs { f_bavail, f_frsize, .. } = statvfs(at).map_err(|e| BenchError::io("look at", at)(e.into()))?;
    Ok(f_bavail.saturating_mul(f_frsize))
}

fn device(at: &Path) -> Result<u64, BenchError> {
    at.metadata().map(|meta| meta.dev()).map_err(BenchError::io("look at", at))
}

/// Refuses when there is not enough room, before anything is made.
fn refuse_without_room(work: &Path, target: &Path, needs: Needs) -> Result<(), BenchError> {
    let restore = if needs.restore { needs.bytes + SPARE } else { 0 };
    let mut here = needs.bytes + needs.bytes / 16 + SPARE + if needs.copy { needs.bytes } else { 0 };
    let apart = device(work)? != device(target)?;
    if !apart {
        here += restore;
    }
    for (at, need, option) in [(work, here, "--work"), (target, if apart { restore } else { 0 }, "--restore-to")] {
        let there = room(at)?;
        if there < need {
            return Err(BenchError::Missing(format!(
                "{} has room for {there} bytes, and up to {need} are needed: name another folder with {option}, use less data, \
                 or choose fewer scenarios with --scenario",
                at.display()
            )));
        }
    }
    Ok(())
}

/// Where restores go when nobody says: memory, where there is enough of it, else the work folder. (File systems on disks
/// make many files slower just after many were deleted; that is no property of a restore.)
pub fn default_target(work: &Path, bytes: u64) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let enough = room(memory).is_ok_and(|there| there / 2 > bytes + SPARE);
    if enough { memory.into() } else { work.into() }
}

impl Work {
    /// Makes the folders, when there is room for what comes.
    pub fn new(work: &Path, target: &Path, needs: Needs) -> Result<Work, BenchError> {
        refuse_without_room(work, target, needs)?;
        let folder = |at: &Path| {
            let made = tempfile::Builder::new().prefix("larder-bench-").tempdir_in(at);
            made.map_err(BenchError::io("make a folder in", at))
        };
        Ok(Work { folder: folder(work)?, target: folder(target)? })
    }

    /// The folder of a round, empty.
    pub fn round(&self) -> Result<PathBuf, BenchError> {
        let path = self.folder.path().join("round");
        empty(&path)?;
        fs::create_dir(&path).map_err(BenchError::io("make", &path))?;
        Ok(path)
    }

    /// Where the next restore goes: a folder that is not there.
    pub fn target(&self) -> Result<PathBuf, BenchError> {
        let path = self.target.path().join("restored");
        empty(&path)?;
        Ok(path)
    }
}

/// Removes a folder with everything in it, if it is there.
pub fn empty(path: &Path) -> Result<(), BenchError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(BenchError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Copies files with their holes, directories and symbolic links; where the file system can, blocks are shared. Everything
/// is writable for its owner. Hard links become files of their own, other kinds of entries are left out.
pub fn copy(from: &Path, to: &Path, cancel: &AtomicBool) -> Result<(), BenchError> {
    let mut open = vec![(from.to_path_buf(), to.to_path_buf())];
    while let Some((from, to)) = open.pop() {
        if cancel.load(Relaxed) {
            return Err(BenchError::Interrupted);
        }
        let meta = from.symlink_metadata().map_err(BenchError::io("look at", &from))?;
        if meta.is_dir() {
            fs::create_dir(&to).map_err(BenchError::io("make", &to))?;
            for entry in from.read_dir().map_err(BenchError::io("list", &from))? {
                let entry = entry.map_err(BenchError::io("list", &from))?;
                open.push((entry.path(), to.join(entry.file_name())));
            }
        } else if meta.is_symlink() {
            let target = fs::read_link(&from).map_err(BenchError::io("read", &from))?;
            std::os::unix::fs::symlink(target, &to).map_err(BenchError::io("make", &to))?;
        } else if meta.is_file() {
            copy_file(&from, &to)?;
        }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> Result<(), BenchError> {
    let source = File::open(from).map_err(BenchError::io("read", from))?;
    let target = File::create(to).map_err(BenchError::io("make", to))?;
    if rustix::fs::ioctl_ficlone(&target, &source).is_err() {
        copy_data(&source, &target).map_err(BenchError::io("copy", from))?;
    }
    let mode = source.metadata().map_err(BenchError::io("look at", from))?.permissions().mode();
    target.set_permissions(fs::Permissions::from_mode(mode | 0o600)).map_err(BenchError::io("change", to))
}

/// Copies what is no hole.
fn copy_data(mut source: &File, mut target: &File) -> io::Result<()> {
    let len = source.metadata()?.len();
    target.set_len(len)?;
    for range in content::of_file(source, len)? {
        source.seek(io::SeekFrom::Start(range.start))?;
        target.seek(io::SeekFrom::Start(range.start))?;
        io::copy(&mut source.take(range.end - range.start), &mut target)?;
    }
    Ok(())
}

/// Reads everything once, so that it lies in the page cache.
pub fn warm(data: &Path, cancel: &AtomicBool) -> Result<(), BenchError> {
    for (path, _) in edit::files(data)? {
        if cancel.load(Relaxed) {
            return Err(BenchError::Interrupted);
        }
        let file = File::open(&path).map_err(BenchError::io("read", &path));
        let copied = file
            .and_then(|mut file| std::io::copy(&mut file, &mut std::io::sink()).map_err(BenchError::io("read", &path)));
        copied?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_equal_and_writable() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("sub")).unwrap();
        fs::write(from.join("sub/file"), "content").unwrap();
        fs::set_permissions(from.join("sub/file"), fs::Permissions::from_mode(0o444)).unwrap();
        std::os::unix::fs::symlink("sub/file", from.join("link")).unwrap();
        copy(&from, &to, &AtomicBool::new(false)).unwrap();
        assert_eq!(fs::read_to_string(to.join("link")).unwrap(), "content");
        assert_eq!(fs::metadata(to.join("sub/file")).unwrap().mode() & 0o777, 0o644);
        assert!(matches!(copy(&from, &folder.path().join("x"), &AtomicBool::new(true)), Err(BenchError::Interrupted)));
    }

    #[test]
    fn holes_stay_holes() {
        use std::os::unix::fs::FileExt;
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let file = File::create(&from).unwrap();
        file.set_len(40 << 20).unwrap();
        for at in [0, 9 << 20, (20 << 20) + 12_345] {
            file.write_all_at(&[7; 70_000], at).unwrap();
        }
        copy(&from, &to, &AtomicBool::new(false)).unwrap();
        assert!(fs::read(&from).unwrap() == fs::read(&to).unwrap());
        let (before, after) = (fs::metadata(&from).unwrap().blocks(), fs::metadata(&to).unwrap().blocks());
        assert!(after <= before + 64 && after < 4096, "{before} blocks became {after}");
        fs::write(folder.path().join("empty"), "").unwrap();
        copy(&folder.path().join("empty"), &folder.path().join("empty 2"), &AtomicBool::new(false)).unwrap();
    }

    #[test]
    fn without_room_nothing_is_made_and_the_error_says_what_helps() {
        let folder = tempfile::tempdir().unwrap();
        let needs = Needs { bytes: 1 << 60, copy: true, restore: true };
        let error = Work::new(folder.path(), folder.path(), needs).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("--work") && error.contains("--scenario"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn everything_goes_away_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let work = Work::new(folder.path(), folder.path(), Needs { bytes: 1, copy: false, restore: true }).unwrap();
        fs::write(work.round().unwrap().join("x"), "x").unwrap();
        assert_eq!(fs::read_dir(work.round().unwrap()).unwrap().count(), 0, "a fresh folder for each round");
        assert!(!work.target().unwrap().exists());
        drop(work);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
