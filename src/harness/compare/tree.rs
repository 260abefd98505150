//! Whether what came back is what went in: our own comparison, which trusts no tool.

use crate::harness::BenchError;
use rustix::fs::{AtFlags, CWD, FileType, Stat, readlinkat, statat};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What is not looked at.
pub const NOT_COMPARED: &str = "extended attributes, ACLs, which names are hard links of one file, holes, and the metadata of the \
                                top folder are not compared";
const BUFFER: usize = 256 << 10;
const EXAMPLES: usize = 3;

/// Ways in which an entry can differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    Missing,
    /// There, and not in the source.
    Extra,
    /// Another type of entry.
    Kind,
    Contents,
    /// A symlink that leads elsewhere.
    Target,
    Mode,
    /// Time of the last change.
    Mtime,
    /// Owner or group (compared as root only: nobody else can set them).
    Owner,
}

impl Difference {
    /// Data is lost, not only metadata.
    pub fn is_loss(self) -> bool {
        self <= Difference::Target
    }

    fn says(self) -> &'static str {
        match self {
            Difference::Missing => "missing",
            Difference::Extra => "not in the source",
            Difference::Kind => "of another type",
            Difference::Contents => "with other contents",
            Difference::Target => "links that lead elsewhere",
            Difference::Mode => "with another mode",
            Difference::Mtime => "with another mtime",
            Difference::Owner => "with another owner",
        }
    }
}

/// What a comparison found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Differences {
    /// How many of each, and the first of them.
    pub found: BTreeMap<Difference, (u64, Vec<PathBuf>)>,
    /// Entries looked at.
    pub entries: u64,
}

impl Differences {
    /// Data is lost.
    pub fn lost(&self) -> bool {
        self.found.keys().any(|difference| difference.is_loss())
    }

    fn add(&mut self, difference: Difference, path: &Path) {
        let (count, examples) = self.found.entry(difference).or_default();
        *count += 1;
        if examples.len() < EXAMPLES {
            examples.push(path.to_path_buf());
        }
    }

    /// For people: `3 with another mtime (lib, …)`.
    pub fn says(&self) -> String {
        let one = |(difference, (count, examples)): (&Difference, &(u64, Vec<PathBuf>))| {
            let names: Vec<_> = examples.iter().map(|path| path.display().to_string()).collect();
            let more = if *count > names.len() as u64 { ", …" } else { "" };
            format!("{count} {} ({}{more})", difference.says(), names.join(", "))
        };
        self.found.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}

/// Compares two folders. With `files_only`, anything but regular files and directories need not be there, and the
/// metadata of directories may differ.
pub fn compare(source: &Path, copy: &Path, files_only: bool, cancel: &AtomicBool) -> Result<Differences, BenchError> {
    let mut differences = Differences::default();
    let mut compare =
        Compare { differences: &mut differences, files_only, buffers: (vec![0; BUFFER], vec![0; BUFFER]) };
    let mut open = vec![PathBuf::new()];
    while let Some(folder) = open.pop() {
        if cancel.load(Relaxed) {
            return Err(BenchError::Interrupted);
        }
        let (from, to) = (source.join(&folder), copy.join(&folder));
        let mut copied = names(&to)?;
        for name in names(&from)?.into_keys() {
            let path = folder.join(&name);
            let there = copied.remove(&name).is_some();
            if compare.entry(&path, &source.join(&path), &copy.join(&path), there)? {
                open.push(path);
            }
        }
        copied.into_keys().for_each(|name| compare.differences.add(Difference::Extra, &folder.join(name)));
    }
    Ok(differences)
}

fn names(folder: &Path) -> Result<BTreeMap<std::ffi::OsString, ()>, BenchError> {
    let entries = folder.read_dir().map_err(BenchError::io("list", folder))?;
    entries.map(|entry| Ok((entry.map_err(BenchError::io("list", folder))?.file_name(), ()))).collect()
}

struct Compare<'a> {
    differences: &'a mut Differences,
    files_only: bool,
    buffers: (Vec<u8>, Vec<u8>),
}

impl Compare<'_> {
    /// Compares one entry; true: both are directories.
    fn entry(&mut self, path: &Path, from: &Path, to: &Path, there: bool) -> Result<bool, BenchError> {
        self.differences.entries += 1;
        let was = stat(from)?;
        let kind = FileType::from_raw_mode(was.st_mode);
        let optional = self.files_only && !matches!(kind, FileType::RegularFile | FileType::Directory);
        // An empty directory holds no file.
        let optional = optional || self.files_only && kind == FileType::Directory && !there;
        if !there {
            if !optional {
                self.differences.add(Difference::Missing, path);
            }
            return Ok(false);
        }
        let is = stat(to)?;
        if FileType::from_raw_mode(is.st_mode) != kind {
            self.differences.add(Difference::Kind, path);
            return Ok(false);
        }
        match kind {
            FileType::RegularFile if was.st_size != is.st_size || !self.equal(from, to)? => {
                self.differences.add(Difference::Contents, path);
            }
            FileType::Symlink => {
                let link = |path| readlinkat(CWD, path, Vec::new()).map_err(io::Error::from);
                let (a, b) =
                    (link(from).map_err(BenchError::io("read", from))?, link(to).map_err(BenchError::io("read", to))?);
                if a != b {
                    self.differences.add(Difference::Target, path);
                }
            }
            _ => {}
        }
        let is_directory = kind == FileType::Directory;
        if !(self.files_only && is_directory) {
            self.metadata(path, kind, &was, &is);
        }
        Ok(is_directory)
    }

    fn metadata(&mut self, path: &Path, kind: FileType, was: &Stat, is: &Stat) {
        // A symlink's mode means nothing on Linux.
        if kind != FileType::Symlink && was.st_mode & 0o7777 != is.st_mode & 0o7777 {
            self.differences.add(Difference::Mode, path);
        }
        if (was.st_mtime, was.st_mtime_nsec) != (is.st_mtime, is.st_mtime_nsec) {
            self.differences.add(Difference::Mtime, path);
        }
        let root = rustix::process::geteuid().is_root() && !self.files_only;
        if root && (was.st_uid, was.st_gid) != (is.st_uid, is.st_gid) {
            self.differences.add(Difference::Owner, path);
        }
    }

    fn equal(&mut self, from: &Path, to: &Path) -> Result<bool, BenchError> {
        let open = |path: &Path| File::open(path).map_err(BenchError::io("open", path));
        let (mut a, mut b) = (open(from)?, open(to)?);
        loop {
            let n = fill(&mut a, &mut self.buffers.0).map_err(BenchError::io("read", from))?;
            let m = fill(&mut b, &mut self.buffers.1).map_err(BenchError::io("read", to))?;
            if self.buffers.0[..n] != self.buffers.1[..m] {
                return Ok(false);
            }
            if n < BUFFER {
                return Ok(true);
            }
        }
    }
}

fn stat(path: &Path) -> Result<Stat, BenchError> {
    let stat = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from);
    stat.map_err(BenchError::io("look at", path))
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn tree(folder: &Path) {
        fs::create_dir_all(folder.join("sub/empty")).unwrap();
        fs::write(folder.join("a"), vec![1; BUFFER]).unwrap();
        fs::write(folder.join("sub/b"), vec![2; BUFFER + 1]).unwrap();
        fs::write(folder.join("sub/c"), "").unwrap();
        symlink("a", folder.join("link")).unwrap();
        let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::new(1_500_000_000, 250);
        for path in ["a", "sub/b", "sub/c", "sub/empty", "sub"] {
            File::open(folder.join(path)).unwrap().set_modified(time).unwrap();
        }
        let time = rustix::fs::Timespec { tv_sec: 1_500_000_000, tv_nsec: 250 };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, folder.join("link"), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }

    fn differ(change: impl FnOnce(&Path), files_only: bool) -> Differences {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        tree(&a);
        tree(&b);
        change(&b);
        compare(&a, &b, files_only, &AtomicBool::new(false)).unwrap()
    }

    #[test]
    fn equal_trees_are_equal() {
        let equal = differ(|_| {}, false);
        assert_eq!((equal.entries, equal.found.len()), (6, 0), "{}", equal.says());
    }

    #[test]
    fn every_difference_is_found() {
        let now = |path: &Path| File::open(path).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
        let keep = |path: &Path, change: &dyn Fn()| {
            let time = path.metadata().unwrap().modified().unwrap();
            change();
            File::open(path).unwrap().set_modified(time).unwrap();
        };
        type Change<'a> = Box<dyn Fn(&Path) + 'a>;
        let cases: Vec<(Difference, Change)> = vec![
            (
                Difference::Contents,
                Box::new(|b| {
                    keep(&b.join("sub/b"), &|| {
                        let mut bytes = vec![2; BUFFER + 1];
                        bytes[BUFFER] = 3;
                        fs::write(b.join("sub/b"), bytes).unwrap();
                    })
                }),
            ),
            (Difference::Missing, Box::new(|b| keep(&b.join("sub"), &|| fs::remove_dir(b.join("sub/empty")).unwrap()))),
            (Difference::Extra, Box::new(|b| keep(&b.join("sub"), &|| fs::write(b.join("sub/x"), "").unwrap()))),
            (
                Difference::Mode,
                Box::new(|b| {
                    fs::set_permissions(b.join("a"), fs::Permissions::from_mode(0o600)).unwrap();
                }),
            ),
            (Difference::Mtime, Box::new(|b| now(&b.join("sub/c")))),
        ];
        for (difference, change) in cases {
            let found = differ(|b| change(b), false);
            let kinds: Vec<_> = found.found.keys().copied().collect();
            assert_eq!(kinds, [difference], "{}", found.says());
            assert_eq!(found.lost(), difference.is_loss());
        }
        let other = differ(
            |b| {
                fs::remove_file(b.join("link")).unwrap();
                symlink("b", b.join("link")).unwrap();
                fs::remove_file(b.join("a")).unwrap();
                fs::create_dir(b.join("a")).unwrap();
            },
            false,
        );
        assert!(other.found.contains_key(&Difference::Target) && other.found.contains_key(&Difference::Kind));
    }

    #[test]
    fn a_yardstick_need_not_restore_links_and_directories() {
        let without = differ(
            |b| {
                fs::remove_file(b.join("link")).unwrap();
                fs::remove_dir(b.join("sub/empty")).unwrap();
            },
            true,
        );
        assert!(without.found.is_empty(), "{}", without.says());
        assert!(differ(|b| fs::remove_file(b.join("sub/c")).unwrap(), true).lost());
    }
}
