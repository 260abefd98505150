//! Files being written: new inodes only, told apart from whole files by their mode until they are finished.

use super::{FsDirectory, lock};
use crate::destination::Identity;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, Weak};

/// A half-written file: its owner's alone, and with the sticky bit, which means nothing on files and which nobody sets.
pub(super) const HALF_WRITTEN: u32 = 0o1600;

/// A file being written.
pub struct FsFile {
    pub(super) directory: Arc<FsDirectory>,
    /// The name it has while it is written.
    pub(super) name: Box<[u8]>,
    /// The name it shall replace, when that is another.
    pub(super) replaces: Option<Box<[u8]>>,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    fd: Option<Arc<OwnedFd>>,
    /// Which file it was when its descriptor was closed: only this one is opened again.
    identity: Option<Identity>,
}

impl FsFile {
    pub(super) fn new(directory: Arc<FsDirectory>, name: &[u8], replaces: Option<&[u8]>, fd: OwnedFd) -> Arc<FsFile> {
        let slot = Mutex::new(Slot { fd: Some(Arc::new(fd)), identity: None });
        Arc::new(FsFile { directory, name: name.into(), replaces: replaces.map(Into::into), slot })
    }
}

/// The files being written that are open, oldest first.
pub(super) struct OpenFiles {
    open: Mutex<VecDeque<Weak<FsFile>>>,
    limit: usize,
}

impl OpenFiles {
    pub fn new(limit: usize) -> OpenFiles {
        OpenFiles { open: Mutex::default(), limit: limit.max(1) }
    }

    /// Takes a new file in; the oldest beyond the limit is closed.
    pub fn admit(&self, file: &Arc<FsFile>) -> io::Result<()> {
        let mut open = lock(&self.open);
        open.push_back(Arc::downgrade(file));
        while open.len() > self.limit {
            let Some(oldest) = open.pop_front().and_then(|f| f.upgrade()) else { continue };
            let mut slot = lock(&oldest.slot);
            if let Some(fd) = &slot.fd {
                slot.identity = Some(identity(&rustix::fs::fstat(fd)?));
                slot.fd = None;
            }
        }
        Ok(())
    }

    /// The file's descriptor; `directory` opens the directory it lies in when it must be opened again.
    pub fn fd(
        &self,
        file: &Arc<FsFile>,
        directory: impl FnOnce() -> io::Result<Arc<OwnedFd>>,
    ) -> io::Result<Arc<OwnedFd>> {
        if let Some(fd) = &lock(&file.slot).fd {
            return Ok(fd.clone());
        }
        let directory = directory()?;
        let mut slot = lock(&file.slot);
        if let Some(fd) = &slot.fd {
            return Ok(fd.clone());
        }
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = Arc::new(rustix::fs::openat(directory, &*file.name, flags, Mode::empty())?);
        if slot.identity != Some(identity(&rustix::fs::fstat(&fd)?)) {
            return Err(io::Error::other("another file was put in its place while it was being restored"));
        }
        slot.fd = Some(fd.clone());
        drop(slot);
        self.admit(file)?;
        Ok(fd)
    }

    /// Closes the file.
    pub fn close(&self, file: &Arc<FsFile>) {
        lock(&file.slot).fd = None;
    }
}

/// Creates a file that is not there, half-written by its mode.
pub(super) fn create_new(directory: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |mode| rustix::fs::openat(directory.as_fd(), name, flags, Mode::from_raw_mode(mode));
    match open(HALF_WRITTEN) {
        // Some network servers refuse the sticky bit.
        Err(Errno::INVAL | Errno::PERM | Errno::IO | Errno::OPNOTSUPP) => Ok(open(HALF_WRITTEN & 0o777)?),
        opened => Ok(opened?),
    }
}

/// Puts the entry `temporary` in the place of `name`; an empty directory there gives way, a full one does not.
pub(super) fn rename_over(directory: impl AsFd, temporary: &[u8], name: &[u8]) -> io::Result<()> {
    let directory = directory.as_fd();
    let rename = || rustix::fs::renameat(directory, temporary, directory, name);
    match rename() {
        Err(Errno::ISDIR) => {
            rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR).map_err(|error| match error {
                Errno::NOTEMPTY | Errno::EXIST => {
                    let what =
                        "a directory that holds something is there, and such a one is never replaced: move it away";
                    io::Error::new(io::ErrorKind::DirectoryNotEmpty, what)
                }
                error => error.into(),
            })?;
            Ok(rename()?)
        }
        renamed => Ok(renamed?),
    }
}

pub(super) fn identity(stat: &rustix::fs::Stat) -> Identity {
    Identity { device: stat.st_dev, inode: stat.st_ino }
}
