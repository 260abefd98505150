//! Big files through memory maps, copied out under a guard against truncation.

use std::os::fd::OwnedFd;

/// Copies a range of a file into `buf` through a map; `None` when pread must tell.
pub fn read(_file: &OwnedFd, _offset: u64, _buf: &mut [u8]) -> Option<usize> {
    None
}
