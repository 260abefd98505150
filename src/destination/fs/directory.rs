//! Directories below the target: opened beneath it and never through a link; a bounded number of them stays open.

use super::flush::Flush;
use super::grain::Kept;
use super::lend::NOT_LENT;
use parking_lot::Mutex;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, OnceLock, Weak};

/// How a directory is opened.
const OPEN: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What the kernel must refuse on the way: leaving the target, links of any kind.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// The kernel takes paths below this length.
const PIECE_BYTES_MAX: usize = 4000;

/// What new entries of a directory get from it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Born {
    /// Owner of a new entry.
    pub uid: u32,
    pub gid: u32,
    /// New entries inherit an ACL.
    pub acl: bool,
}

/// A directory of the target. Its descriptor may be closed meanwhile and is then opened again, beneath the target.
pub struct FsDirectory {
    parent: Option<Arc<FsDirectory>>,
    name: Box<[u8]>,
    made: bool,
    /// It inherited an ACL that could not be taken away.
    pub(super) inherits: AtomicBool,
    /// Files in it are flushed one by one.
    pub(super) flushes: bool,
    slot: Mutex<Option<Arc<OwnedFd>>>,
    /// Learned from the first entry made in it.
    pub(super) born: OnceLock<Born>,
    /// The mode to be given back, while it has another for the time of the restore.
    pub(super) lent: AtomicU32,
    /// It is noted that this run changes it.
    pub(super) changed: OnceLock<()>,
    /// How its file system keeps things, once that was asked.
    pub(super) kept: OnceLock<Kept>,
}

impl FsDirectory {
    /// The target itself, which stays open.
    pub(super) fn target(fd: OwnedFd, made: bool, inherits: bool, flushes: bool) -> Arc<FsDirectory> {
        Arc::new(FsDirectory {
            parent: None,
            name: Box::default(),
            made,
            inherits: inherits.into(),
            flushes,
            slot: Mutex::new(Some(Arc::new(fd))),
            born: OnceLock::new(),
            lent: AtomicU32::new(NOT_LENT),
            changed: OnceLock::new(),
            kept: OnceLock::new(),
        })
    }

    /// Whether this restore made it.
    pub(super) fn made(&self) -> bool {
        self.made
    }

    /// Its name in the one above it.
    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    /// The one above it.
    pub(super) fn parent(&self) -> Option<&Arc<FsDirectory>> {
        self.parent.as_ref()
    }

    /// The directories from the target to this one.
    pub(super) fn chain(directory: &Arc<FsDirectory>) -> Vec<Arc<FsDirectory>> {
        let above = std::iter::successors(Some(directory), |at| at.parent.as_ref());
        let mut chain: Vec<_> = above.cloned().collect();
        chain.reverse();
        chain
    }
}

impl Drop for FsDirectory {
    /// Drops the chain of parents one by one: it may be thousands long.
    fn drop(&mut self) {
        let mut parent = self.parent.take();
        while let Some(mut directory) = parent.and_then(Arc::into_inner) {
            parent = directory.parent.take();
        }
    }
}

/// The open directories, oldest first. At most `limit` besides the target.
pub(super) struct OpenDirectories {
    open: Mutex<VecDeque<Weak<FsDirectory>>>,
    limit: usize,
    /// Hears of each that was there before the restore.
    flush: Arc<Flush>,
}

impl OpenDirectories {
    /// Keeps at most `limit` open.
    pub fn new(limit: usize, flush: Arc<Flush>) -> OpenDirectories {
        OpenDirectories { open: Mutex::default(), limit: limit.max(1), flush }
    }

    /// Opens the directory `name` in `parent`.
    pub fn open(&self, parent: &Arc<FsDirectory>, name: &[u8], made: bool) -> io::Result<Arc<FsDirectory>> {
        let fd = open_beneath(&*self.fd(parent)?, name, OPEN)?;
        // One that this restore made is no mount.
        let flushes = if made { parent.flushes } else { self.flush.meet(&fd)? };
        let directory = Arc::new(FsDirectory {
            parent: Some(parent.clone()),
            name: name.into(),
            made,
            inherits: AtomicBool::new(false),
            flushes,
            slot: Mutex::new(Some(Arc::new(fd))),
            born: OnceLock::new(),
            lent: AtomicU32::new(NOT_LENT),
            changed: OnceLock::new(),
            kept: OnceLock::new(),
        });
        self.admit(&directory);
        Ok(directory)
    }

    /// A descriptor of the directory, opened again if it was closed.
    pub fn fd(&self, directory: &Arc<FsDirectory>) -> io::Result<Arc<OwnedFd>> {
        if let Some(fd) = &*directory.slot.lock() {
            return Ok(fd.clone());
        }
        let fd = Arc::new(reopen(directory)?);
        *directory.slot.lock() = Some(fd.clone());
        self.admit(directory);
        Ok(fd)
    }

    fn admit(&self, directory: &Arc<FsDirectory>) {
        let mut open = self.open.lock();
        open.push_back(Arc::downgrade(directory));
        while open.len() > self.limit {
            let oldest = open.pop_front().and_then(|d| d.upgrade());
            if let Some(oldest) = oldest {
                oldest.slot.lock().take();
            }
        }
    }
}

/// Opens a directory again, from its nearest open ancestor.
fn reopen(directory: &Arc<FsDirectory>) -> io::Result<OwnedFd> {
    let mut names = vec![&directory.name];
    let mut at = directory;
    let ancestor = loop {
        // The target has no parent and is always open.
        at = at.parent.as_ref().ok_or(Errno::BADF)?;
        if let Some(fd) = &*at.slot.lock() {
            break fd.clone();
        }
        names.push(&at.name);
    };
    let (mut fd, mut path) = (None::<OwnedFd>, Vec::new());
    while let Some(name) = names.pop() {
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        if names.last().is_none_or(|next| path.len() + 1 + next.len() > PIECE_BYTES_MAX) {
            fd = Some(match &fd {
                Some(fd) => open_beneath(fd, &path, OPEN)?,
                None => open_beneath(&*ancestor, &path, OPEN)?,
            });
            path.clear();
        }
    }
    Ok(fd.ok_or(Errno::BADF)?)
}

/// Opens a relative path beneath a directory. Without openat2 (old kernels, some sandboxes) one component at a time,
/// none of which may be a link.
pub(super) fn open_beneath(directory: impl AsFd, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    let directory = directory.as_fd();
    loop {
        match rustix::fs::openat2(directory, path, flags | OFlags::CLOEXEC, Mode::empty(), BENEATH) {
            // A rename on the way: the kernel asks to try again.
            Err(Errno::AGAIN) => continue,
            Err(Errno::NOSYS | Errno::PERM) => return open_stepwise(directory.as_fd(), path, flags),
            opened => return Ok(opened?),
        }
    }
}

fn open_stepwise(directory: rustix::fd::BorrowedFd<'_>, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    let mut names = path.split(|&b| b == b'/').peekable();
    let mut fd = None::<OwnedFd>;
    while let Some(name) = names.next() {
        if crate::base::path::check_name(name).is_err() {
            return Err(Errno::INVAL.into());
        }
        let last = names.peek().is_none();
        let flags = if last { flags | OFlags::NOFOLLOW | OFlags::CLOEXEC } else { OPEN };
        let at = fd.as_ref().map_or(directory, |fd| fd.as_fd());
        fd = Some(rustix::fs::openat(at, name, flags, Mode::empty())?);
    }
    Ok(fd.ok_or(Errno::INVAL)?)
}
