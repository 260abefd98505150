//! File flags (`chattr`). They are set last, since an immutable file can no longer be changed or renamed.

use super::{FsDestination, FsDirectory};
use crate::destination::Identity;
use crate::format::extension::{FLAG_APPEND, FLAG_IMMUTABLE, FLAG_NOCOW, FLAG_NODUMP};
use parking_lot::Mutex;
use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::{IFlags, Mode, OFlags, ioctl_getflags, ioctl_setflags};
use rustix::io::Errno;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Flags that forbid what a restore still does to a file after its own turn, such as giving it other names.
pub(super) const SEALING: u32 = FLAG_IMMUTABLE | FLAG_APPEND;

/// What becomes of file flags.
#[derive(Default)]
pub(super) struct Flags {
    /// Files that get them when all else is done.
    late: Mutex<Vec<Late>>,
    refused: AtomicU64,
}

struct Late {
    directory: Arc<FsDirectory>,
    name: Box<[u8]>,
    identity: Identity,
    flags: u32,
}

impl Flags {
    /// Sets those among `mask` as in `wanted`, and leaves the others. What is not permitted is counted.
    pub fn set(&self, fd: impl AsFd, wanted: u32, mask: u32) {
        if !set(fd.as_fd(), wanted, mask) {
            self.refused.fetch_add(1, Relaxed);
        }
    }

    /// An entry that cannot even be opened for it.
    pub fn refuse(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// Those that do not hinder the restore: at once.
    pub fn early(&self, fd: impl AsFd, wanted: u32) {
        if wanted & FLAG_NODUMP != 0 {
            self.set(fd, wanted, FLAG_NODUMP);
        }
    }

    /// Before the first byte of a file.
    pub fn at_birth(&self, fd: impl AsFd, wanted: u32) {
        if wanted & FLAG_NOCOW != 0 {
            self.set(fd, wanted, FLAG_NOCOW);
        }
    }

    /// The others: when the run ends.
    pub fn late(&self, directory: &Arc<FsDirectory>, name: &[u8], wanted: u32, identity: Identity) {
        if wanted & SEALING != 0 {
            let late = Late { directory: directory.clone(), name: name.into(), identity, flags: wanted };
            self.late.lock().push(late);
        }
    }

    pub fn notes(&self, notes: &mut Vec<String>) {
        let refused = self.refused.load(Relaxed);
        if refused > 0 {
            let what = "entries whose file flags (chattr) this user or file system does not permit";
            notes.push(format!("{what}: {refused}"));
        }
    }
}

/// False when the file system has no flags, or this user may not change them.
fn set(fd: rustix::fd::BorrowedFd<'_>, wanted: u32, mask: u32) -> bool {
    let Ok(now) = ioctl_getflags(fd) else { return false };
    let with = |mask: u32| IFlags::from_bits_retain(now.bits() & !mask | wanted & mask);
    if with(mask) == now || ioctl_setflags(fd, with(mask)).is_ok() {
        return true;
    }
    // One that is not permitted must not cost the others.
    let rest = mask & !SEALING;
    if rest != mask && with(rest) != now {
        _ = ioctl_setflags(fd, with(rest));
    }
    false
}

impl FsDestination {
    /// Sets the flags that were left to the end.
    pub(super) fn seal(&self) {
        for late in std::mem::take(&mut *self.flags.late.lock()) {
            if self.seal_one(&late).is_err() {
                self.flags.refused.fetch_add(1, Relaxed);
            }
        }
    }

    fn seal_one(&self, late: &Late) -> io::Result<()> {
        let directory = self.directories.fd(&late.directory)?;
        let entry = Self::open_path(&directory, &late.name)?;
        if super::identity(&rustix::fs::fstat(&entry)?) != late.identity {
            return Err(Errno::STALE.into());
        }
        self.flags.set(open_for_flags(&entry)?, late.flags, SEALING);
        Ok(())
    }
}

/// A descriptor that flags can be set through, of a file or directory that is open by its place only.
pub(super) fn open_for_flags(entry: impl AsFd) -> rustix::io::Result<rustix::fd::OwnedFd> {
    let path = format!("/proc/self/fd/{}", entry.as_fd().as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// What to do about an entry that refuses a change.
pub(super) fn explain(error: io::Error, flags: u32) -> io::Error {
    let sealed = match flags & SEALING {
        0 => return error,
        FLAG_APPEND => ("append-only", "a"),
        _ => ("immutable", "i"),
    };
    if !matches!(Errno::from_io_error(&error), Some(Errno::PERM | Errno::ACCESS)) {
        return error;
    }
    let (what, letter) = sealed;
    io::Error::new(error.kind(), format!("it is {what} here ({error}); `chattr -{letter}` permits the change"))
}
