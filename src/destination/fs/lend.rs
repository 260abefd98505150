//! Directories that their owner has made read-only. While a restore works in such a directory, its owner may write to
//! it, as with `rsync`. Root does not need this.

use super::{FsDestination, FsDirectory};
use parking_lot::Mutex;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Directories that have another mode for the time being.
#[derive(Default)]
pub(super) struct Lent(Mutex<Vec<Arc<FsDirectory>>>);

/// Nothing is lent.
pub(super) const NOT_LENT: u32 = u32::MAX;

impl FsDestination {
    /// Does something in a directory; when that is not permitted and the directory is this user's own, once more with
    /// permission.
    pub(super) fn in_writable<T>(
        &self,
        directory: &Arc<FsDirectory>,
        fd: &OwnedFd,
        mut act: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        self.changes(directory, fd, false);
        match act() {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && self.lend(directory, fd) => act(),
            done => done,
        }
    }

    fn lend(&self, directory: &Arc<FsDirectory>, fd: &OwnedFd) -> bool {
        let user = rustix::process::geteuid();
        let Ok(stat) = rustix::fs::fstat(fd) else { return false };
        let mode = stat.st_mode & 0o7777;
        if user.is_root() || stat.st_uid != user.as_raw() || mode & 0o300 == 0o300 {
            return false;
        }
        rustix::fs::fchmod(fd, Mode::from_raw_mode(mode | 0o700)).is_ok_and(|()| {
            self.remember(directory, mode);
            true
        })
    }

    fn remember(&self, directory: &Arc<FsDirectory>, mode: u32) {
        directory.lent.store(mode, Relaxed);
        self.lent.0.lock().push(directory.clone());
    }

    /// Opens a directory that is there. One of this user's own that not even its owner may list is lent to him.
    pub(super) fn open_existing(&self, parent: &Arc<FsDirectory>, name: &[u8]) -> io::Result<Arc<FsDirectory>> {
        match self.directories.open(parent, name, false) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::ACCESS) => {
                let user = rustix::process::geteuid();
                let above = self.directories.fd(parent)?;
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let fd = rustix::fs::openat(&*above, name, flags, Mode::empty())?;
                let stat = rustix::fs::fstat(&fd)?;
                if user.is_root() || stat.st_uid != user.as_raw() {
                    return Err(error);
                }
                let mode = stat.st_mode & 0o7777;
                let own = format!("/proc/self/fd/{}", fd.as_raw_fd());
                rustix::fs::chmod(own, Mode::from_raw_mode(mode | 0o700))?;
                let directory = self.directories.open(parent, name, false)?;
                self.remember(&directory, mode);
                Ok(directory)
            }
            opened => opened,
        }
    }

    /// Gives back the modes of directories that did not get another one meanwhile.
    pub(super) fn give_back(&self) {
        // Those that lie deeper were lent later.
        let lent = std::mem::take(&mut *self.lent.0.lock());
        for directory in lent.into_iter().rev() {
            let mode = directory.lent.swap(NOT_LENT, Relaxed);
            if mode != NOT_LENT
                && let Ok(fd) = self.directories.fd(&directory)
            {
                _ = rustix::fs::fchmod(&*fd, Mode::from_raw_mode(mode));
            }
        }
    }
}
