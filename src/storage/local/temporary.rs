//! The names of temporary files, and the removal of those that killed runs left.

use crate::base::id::StoreId;
use crate::base::limits::TEMPORARY_AGE_S;
use crate::base::time::Time;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, RawDir, flock, openat, statat, unlinkat};
use std::ffi::CStr;
use std::mem::MaybeUninit;

/// Where they lie, in the store's folder.
pub(super) const TEMPORARY_FOLDER: &str = "tmp";

/// Removes temporary files older than a day that nobody holds. What cannot be read or removed stays for a later run:
/// it is no damage, only room.
pub(super) fn clean(folder: &OwnedFd) {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut names = RawDir::new(folder, &mut buffer);
    let oldest = Time::now().plus_seconds(-TEMPORARY_AGE_S);
    while let Some(Ok(entry)) = names.next() {
        if is_temporary(entry.file_name()) && abandoned(folder, entry.file_name(), oldest) {
            let _ = unlinkat(folder, entry.file_name(), AtFlags::empty());
        }
    }
}

fn is_temporary(name: &CStr) -> bool {
    let parts = name.to_str().ok().and_then(|name| name.split_once('-'));
    parts.is_some_and(|(id, n)| id.parse::<StoreId>().is_ok() && n.parse::<u64>().is_ok())
}

fn abandoned(folder: impl AsFd, name: &CStr, oldest: Time) -> bool {
    let Ok(stat) = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) else { return false };
    if stat.st_mtime >= oldest.s {
        return false;
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = openat(&folder, name, flags, Mode::empty()) else { return false };
    flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
}
