//! Marks in a directory or on an entry that leave something out: marker files, rule files, and the no-dump flag.

use super::names::Names;
use crate::format::tree::EntryKind;
use crate::source::filter::{CACHEDIR_TAG, CACHEDIR_TAG_NAME, Filter, RULE_FILE_BYTES_MAX};
use rustix::fs::{IFlags, Mode, OFlags, ioctl_getflags, openat};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ffi::{CStr, OsString};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The name among those of a directory that marks it as one to leave out.
pub(super) fn marker<'a>(filter: &'a Filter, names: &Names, fd: &OwnedFd) -> Option<&'a [u8]> {
    let present = filter.markers().iter().find(|name| names.position(name).is_some());
    if let Some(name) = present {
        return Some(name);
    }
    if !filter.cache_dirs() || names.position(CACHEDIR_TAG_NAME).is_none() {
        return None;
    }
    let tag = read_regular(fd, CACHEDIR_TAG_NAME, CACHEDIR_TAG.len());
    tag.is_ok_and(|tag| tag.is_some_and(|tag| tag == CACHEDIR_TAG)).then_some(CACHEDIR_TAG_NAME)
}

/// The text of a rule file; `None` for what is no regular file.
pub(super) fn rule_file(fd: &OwnedFd, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    read_regular(fd, name, RULE_FILE_BYTES_MAX)
}

/// Whether an entry has the no-dump flag, where the file system does not tell with its metadata. What has no flags, or
/// cannot be asked, has it not.
pub(super) fn no_dump(fd: BorrowedFd<'_>, name: &CStr, kind: EntryKind) -> bool {
    if !matches!(kind, EntryKind::File | EntryKind::Directory) {
        return false;
    }
    let flags = openat(fd, name, OPEN, Mode::empty()).and_then(ioctl_getflags);
    flags.is_ok_and(|flags| flags.contains(IFlags::NODUMP))
}

/// Never follows a link, never waits.
const OPEN: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// The first bytes of a regular file; `None` for anything else. Never follows a link, never waits.
fn read_regular(fd: &OwnedFd, name: &[u8], max: usize) -> io::Result<Option<Vec<u8>>> {
    use std::io::Read;
    let file = match openat(fd, name, OPEN, Mode::empty()) {
        Ok(file) => std::fs::File::from(file),
        Err(Errno::LOOP | Errno::NXIO) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut text = Vec::new();
    file.take(max as u64).read_to_end(&mut text)?;
    Ok(Some(text))
}

/// Whether a name in a directory, whose numbers are those of one of these folders, is that folder: its path without links
/// is the folder's, or it holds what the folder holds (it may be mounted at two places). Numbers alone prove nothing. What
/// cannot be found out counts as one.
pub fn is_one_of(folders: &[PathBuf], directory: &[u8], name: &[u8]) -> bool {
    let path = PathBuf::from(OsString::from_vec([directory, &b"/"[..], name].concat()));
    let held = |folder: &Path| -> Option<BTreeSet<OsString>> {
        std::fs::read_dir(folder).ok()?.map(|entry| entry.ok().map(|entry| entry.file_name())).collect()
    };
    let is = |folder: &PathBuf| match (std::fs::canonicalize(&path), std::fs::canonicalize(folder)) {
        (Ok(path), Ok(folder)) if path == folder => true,
        (Ok(path), Ok(folder)) => held(&path) == held(&folder),
        _ => true,
    };
    folders.is_empty() || folders.iter().any(is)
}
