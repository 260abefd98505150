//! Makes everything durable that was written. Each file system is flushed once at the end of a restore. Behind FUSE,
//! where the server does not hear of that, each file is flushed by itself.

use super::file::not_written;
use crate::destination::{Loss, Losses, Part};
use parking_lot::Mutex;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use std::collections::HashMap;
use std::io;

/// FUSE_SUPER_MAGIC of statfs.
const FUSE: u64 = 0x6573_5546;

/// The file systems met so far, when they are to be flushed.
pub(super) struct Flush {
    wanted: bool,
    met: Mutex<HashMap<u64, (OwnedFd, bool)>>,
}

impl Flush {
    pub fn new(wanted: bool) -> Flush {
        Flush { wanted, met: Mutex::default() }
    }

    /// A directory that was there before the restore, which may be a mount. Says whether its files are flushed one by one.
    pub fn meet(&self, directory: &OwnedFd) -> io::Result<bool> {
        if !self.wanted {
            return Ok(false);
        }
        let device = rustix::fs::fstat(directory)?.st_dev;
        let mut met = self.met.lock();
        if let Some((_, each)) = met.get(&device) {
            return Ok(*each);
        }
        let each = rustix::fs::fstatfs(directory)?.f_type as u64 == FUSE;
        met.insert(device, (directory.try_clone()?, each));
        Ok(each)
    }

    /// All of them.
    pub fn all(&self) -> io::Result<()> {
        self.met.lock().values().try_for_each(|(fd, _)| Ok(rustix::fs::syncfs(fd)?))
    }
}

/// One file, or a directory. That it cannot be done is a loss; that it failed costs the content.
pub(super) fn flush(fd: impl AsFd, losses: &mut Losses) -> io::Result<()> {
    match rustix::fs::fsync(fd) {
        Ok(()) => Ok(()),
        Err(error @ (Errno::IO | Errno::NOSPC | Errno::DQUOT)) => Err(not_written(error)),
        Err(error) => {
            losses.push(Loss { part: Part::Durable, error: error.into(), refused: false });
            Ok(())
        }
    }
}
