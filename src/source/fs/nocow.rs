//! The file flag "no copy on write", the only one that `statx` does not report. Only btrfs has it, so it is asked for
//! only there, with one call for each file or directory that is new or changed.

use crate::format::extension::FLAG_NOCOW;
use parking_lot::Mutex;
use rustix::fs::{fstatfs, ioctl_getflags};
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

const BTRFS: i64 = 0x9123_683E;

/// File systems, by number, and whether each has the flag.
#[derive(Debug, Default)]
pub(super) struct Nocow(Mutex<BTreeMap<u64, bool>>);

impl Nocow {
    /// Whether it is known that no file there has it.
    pub fn is_absent(&self, device: u64) -> bool {
        self.0.lock().get(&device) == Some(&false)
    }

    /// The flag of an open file or directory, or 0.
    pub fn of(&self, fd: BorrowedFd<'_>, device: u64) -> u32 {
        let known = self.0.lock().get(&device).copied();
        let has = known.unwrap_or_else(|| {
            let has = fstatfs(fd).is_ok_and(|fs| fs.f_type == BTRFS);
            self.0.lock().insert(device, has);
            has
        });
        if has { ioctl_getflags(fd).map_or(0, |flags| flags.bits() & FLAG_NOCOW) } else { 0 }
    }
}
