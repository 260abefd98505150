//! Files that are being written. They are always new inodes, and their mode marks them as unfinished until they are
//! complete.

use super::FsDirectory;
use crate::destination::Identity;
use parking_lot::Mutex;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};

/// A half-written file: its owner's alone, and with the sticky bit, which means nothing on files and which nobody sets.
pub(super) const HALF_WRITTEN: u32 = 0o1600;

/// A file being written.
pub struct FsFile {
    pub(super) directory: Arc<FsDirectory>,
    /// The name it has while it is written.
    pub(super) name: Box<[u8]>,
    /// The name it shall replace, when that is another.
    pub(super) replaces: Option<Box<[u8]>>,
    /// Nothing that lies under the name it gets at the end may give way.
    pub(super) keeps_others: bool,
    pub(super) size: u64,
    /// Where the last piece written so far ends.
    pub(super) end: AtomicU64,
    /// A journal beside it says what it will be.
    pub(super) journal: Option<Box<[u8]>>,
    /// What an earlier run wrote of it is there, and is read.
    pub(super) resumed: bool,
    /// Its temporary name can be foretold: that the name still means this file is looked at before it is renamed.
    pub(super) is_partial: bool,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    fd: Option<Arc<OwnedFd>>,
    /// Which file it was when its descriptor was closed: only this one is opened again.
    identity: Option<Identity>,
    /// Closing it failed: some of what was written may be lost.
    failed: Option<Errno>,
}

impl FsFile {
    pub(super) fn new(
        directory: Arc<FsDirectory>,
        name: &[u8],
        replaces: Option<&[u8]>,
        size: u64,
        fd: OwnedFd,
    ) -> FsFile {
        FsFile {
            directory,
            name: name.into(),
            replaces: replaces.map(Into::into),
            keeps_others: false,
            size,
            end: AtomicU64::new(0),
            journal: None,
            resumed: false,
            is_partial: false,
            slot: Mutex::new(Slot { fd: Some(Arc::new(fd)), identity: None, failed: None }),
        }
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

    /// Takes a new file in; the oldest beyond the limit is closed. One that is being written to stays open instead.
    pub fn admit(&self, file: &Arc<FsFile>) -> io::Result<()> {
        let mut open = self.open.lock();
        open.push_back(Arc::downgrade(file));
        for _ in 0..open.len() {
            if open.len() <= self.limit {
                break;
            }
            let Some(oldest) = open.pop_front().and_then(|f| f.upgrade()) else { continue };
            let mut slot = oldest.slot.lock();
            let Some(fd) = slot.fd.take() else { continue };
            slot.identity = Some(identity(&rustix::fs::fstat(&fd)?));
            match Arc::try_unwrap(fd) {
                Ok(fd) => slot.failed = slot.failed.or(close(fd).err()),
                Err(fd) => {
                    slot.fd = Some(fd);
                    drop(slot);
                    open.push_back(Arc::downgrade(&oldest));
                }
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
        if let Some(fd) = &file.slot.lock().fd {
            return Ok(fd.clone());
        }
        let directory = directory()?;
        let mut slot = file.slot.lock();
        if let Some(fd) = &slot.fd {
            return Ok(fd.clone());
        }
        let access = if file.resumed { OFlags::RDWR } else { OFlags::WRONLY };
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = Arc::new(rustix::fs::openat(directory, &*file.name, flags, Mode::empty())?);
        if slot.identity != Some(identity(&rustix::fs::fstat(&fd)?)) {
            return Err(io::Error::other("another file was put in its place while it was being restored"));
        }
        slot.fd = Some(fd.clone());
        drop(slot);
        self.admit(file)?;
        Ok(fd)
    }

    /// Closes the file. An error says that some of what was written did not get where it should.
    pub fn close(&self, file: &Arc<FsFile>) -> io::Result<()> {
        let mut slot = file.slot.lock();
        let closed = slot.fd.take().and_then(Arc::into_inner).map_or(Ok(()), close);
        match slot.failed.or(closed.err()) {
            Some(error) => Err(not_written(error)),
            None => Ok(()),
        }
    }
}

/// Closes a file that was written to: network file systems and quotas say only now what they did not take.
pub(super) fn close(fd: OwnedFd) -> Result<(), Errno> {
    nix::unistd::close(fd).map_err(|error| Errno::from_raw_os_error(error as i32))
}

/// Closing or flushing it failed.
pub(super) fn not_written(error: Errno) -> io::Error {
    io::Error::other(format!("what was written did not reach the disk: {}", io::Error::from(error)))
}

/// A file as long as it should be whose end was never written: where its length cannot be set, or was not although the
/// file system said so, a zero at the very end makes it so long.
pub(super) fn set_len(fd: impl AsFd, size: u64) -> io::Result<()> {
    let fd = fd.as_fd();
    let set = rustix::fs::ftruncate(fd, size);
    let len = rustix::fs::fstat(fd)?.st_size as u64;
    if len == size || size == 0 {
        return Ok(());
    }
    if len > size {
        return Err(set.err().unwrap_or(Errno::IO).into());
    }
    super::write_all_at(fd, size - 1, &[0])
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

/// Gives the entry `temporary` the name `name`, which nothing has.
pub(super) fn rename_to_new(directory: impl AsFd, temporary: &[u8], name: &[u8]) -> io::Result<()> {
    let directory = directory.as_fd();
    let flags = rustix::fs::RenameFlags::NOREPLACE;
    match rustix::fs::renameat_with(directory, temporary, directory, name, flags) {
        // A file system, or a kernel, that has no such rename.
        Err(Errno::INVAL | Errno::NOSYS) => match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => super::exchange::rename_over(directory, temporary, name),
            Ok(_) => Err(Errno::EXIST.into()),
            Err(error) => Err(error.into()),
        },
        renamed => Ok(renamed?),
    }
}

pub(super) fn identity(stat: &rustix::fs::Stat) -> Identity {
    Identity { device: stat.st_dev, inode: stat.st_ino }
}
