//! Listing an area: every name that is a key, whatever lies there, or an error.

use super::super::{Area, Listed, StorageError, StorageKey};
use super::disk::Disk;
use crate::base::time::Time;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, RawDir, Stat, statat};
use rustix::io::Errno;
use std::io;
use std::mem::MaybeUninit;

/// Names read with one system call.
const NAMES_BYTES: usize = 32 << 10;

pub(super) fn list(disk: &Disk, area: Area, found: &mut dyn FnMut(Listed)) -> Result<(), StorageError> {
    let error = |path: &str, e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => StorageError::new("list", path, missing_folder()),
        io::ErrorKind::NotADirectory => StorageError::no_file("list", path, "something that is no folder"),
        _ => StorageError::new("list", path, e),
    };
    let mut folders = Vec::new();
    let path = area.folder();
    let folder = disk.open_folder(path).map_err(|e| error(path, e))?;
    let mut look = |folder: &OwnedFd, path: &str, holds_folder: &dyn Fn(&str) -> bool, folders: &mut _| {
        files(folder, path, holds_folder, found, folders).map_err(|e| error(path, e))
    };
    look(&folder, path, &|name| area.holds_folder(name), &mut folders)?;
    for path in folders {
        match disk.open_folder(&path) {
            // It went away with its last object, or is a file of another's.
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            other => look(&other.map_err(|e| error(&path, e))?, &path, &|_| false, &mut Vec::new())?,
        }
    }
    Ok(())
}

/// A store that is only partly there must not look empty.
pub(super) fn missing_folder() -> io::Error {
    let what = "this folder of the store is missing. Make sure that the whole store is there (mounted, copied \
                completely). Then `larder repair index` makes the folder again";
    io::Error::new(io::ErrorKind::NotFound, what)
}

/// The objects of one folder, and the folders in it that can hold objects.
fn files(
    folder: &OwnedFd,
    path: &str,
    holds_folder: &dyn Fn(&str) -> bool,
    found: &mut dyn FnMut(Listed),
    folders: &mut Vec<String>,
) -> io::Result<()> {
    let mut buffer = [MaybeUninit::uninit(); NAMES_BYTES];
    let mut names = RawDir::new(folder, &mut buffer);
    let mut full = format!("{path}/");
    let base = full.len();
    while let Some(entry) = names.next() {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        full.truncate(base);
        full.push_str(name);
        let Some(key) = StorageKey::parse(&full) else {
            if holds_folder(name) {
                folders.push(full.clone());
            }
            continue;
        };
        let stat = match statat(folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
            // Deleted since its name was read.
            Err(Errno::NOENT) => continue,
            other => other?,
        };
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let listed = listed(key, &stat);
        // The name says that there was an object: it is not passed over, and reading it says what lies there.
        found(if is_file { listed } else { Listed { len: 0, ..listed } });
    }
    Ok(())
}

pub(super) fn listed(key: StorageKey, stat: &Stat) -> Listed {
    let stored = Time { s: stat.st_mtime, ns: stat.st_mtime_nsec as u32 };
    Listed { key, len: stat.st_size as u64, stored }
}
