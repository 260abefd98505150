//! The directories of a walk: how each of them is opened again, and a bounded number of them that stay open.

use crate::source::filter::Chain;
use parking_lot::Mutex;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

/// Bounds how many directories are open: the last `cap` that were opened.
#[derive(Debug)]
pub struct Pool {
    cap: usize,
    opened: Mutex<VecDeque<Weak<Directory>>>,
}

impl Pool {
    /// Of at most `cap` open directories; 0 takes a quarter of what the process may open.
    pub fn new(cap: usize) -> Pool {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(4096);
        let cap = if cap > 0 { cap } else { (limit / 4).clamp(16, 1024) as usize };
        Pool { cap, opened: Mutex::default() }
    }

    /// Holds a directory open until `cap` others were opened after it, or it is gone.
    fn keep(&self, directory: &Arc<Directory>, fd: &Arc<OwnedFd>) {
        *directory.open.lock() = Some(fd.clone());
        let mut opened = self.opened.lock();
        opened.push_back(Arc::downgrade(directory));
        let oldest = if opened.len() > self.cap { opened.pop_front() } else { None };
        drop(opened);
        if let Some(oldest) = oldest.and_then(|weak| weak.upgrade()) {
            oldest.open.lock().take();
        }
    }
}

/// How a directory is reached from the one above it.
#[derive(Debug)]
pub enum Place {
    /// By the last component of its key. Never through a link.
    Below(Arc<Directory>),
    /// The same, but a link is followed: a person named a path through it.
    Through(Arc<Directory>),
    /// By a path, links followed: `/`, or a root that stands elsewhere in the snapshot.
    Path(PathBuf),
    /// It is not there: an ancestor that only the snapshot has.
    Nowhere,
}

/// A directory of a walk. Entries hold the one they lie in, so that they can be opened again without a path.
#[derive(Debug)]
pub struct Directory {
    place: Place,
    /// What the keys of everything below begin with: see `base::path::subtree_prefix`.
    prefix: Box<[u8]>,
    /// Everything in it belongs to the snapshot; else only what `node` names.
    pub(super) full: bool,
    /// Its node among the roots, where roots lie in it.
    pub(super) node: Option<u32>,
    /// The file system that is not left, where that matters.
    pub(super) device: u64,
    /// Length of the prefix of the root that it belongs to.
    pub(super) root: usize,
    /// Where it lies in several roots: where the part of a path begins that lies below each, the innermost last.
    pub(super) nested: Option<Arc<[usize]>>,
    /// Exclude rules of the directories above it, nearest first.
    pub(super) rules: Option<Arc<Chain>>,
    /// A link was followed on the way to it, or it stands elsewhere in the snapshot: its path is not where it lies.
    elsewhere: bool,
    open: Mutex<Option<Arc<OwnedFd>>>,
    pool: Arc<Pool>,
}

/// What a new directory takes from the one above it or from being a root.
pub(super) struct Inherited {
    pub full: bool,
    pub node: Option<u32>,
    pub device: u64,
    pub root: usize,
    pub nested: Option<Arc<[usize]>>,
    pub rules: Option<Arc<Chain>>,
    pub elsewhere: bool,
}

/// For going through, whatever the permission to list.
const PASS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
pub(super) const LIST: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOCTTY).union(OFlags::NONBLOCK);

impl Directory {
    pub(super) fn new(place: Place, prefix: Box<[u8]>, inherited: Inherited, pool: Arc<Pool>) -> Arc<Directory> {
        let Inherited { full, node, device, root, nested, rules, elsewhere } = inherited;
        let open = Mutex::new(None);
        Arc::new(Directory { place, prefix, full, node, device, root, nested, rules, elsewhere, open, pool })
    }

    /// What the keys of everything below it begin with.
    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Whether its path in the snapshot is not that under which the system has it.
    pub(super) fn elsewhere(&self) -> bool {
        self.elsewhere
    }

    /// Where the part of a path begins that lies below each of the roots it is in. `own` is that of the innermost.
    pub(super) fn bases<'a>(&'a self, own: &'a [usize; 1]) -> &'a [usize] {
        self.nested.as_deref().unwrap_or(own)
    }

    /// Whether it is a root.
    pub(super) fn is_root(&self) -> bool {
        self.full && self.root == self.prefix.len()
    }

    /// Its path in the snapshot.
    pub(super) fn path(&self) -> Vec<u8> {
        path_of_prefix(&self.prefix)
    }

    /// Its own name in the directory above it.
    fn name(&self) -> &[u8] {
        let parents = self.prefix.strip_suffix(&[0]).unwrap_or(&[]);
        parents.iter().rposition(|&b| b == 0).map_or(parents, |at| &parents[at + 1..])
    }

    /// Whether it is open at the moment.
    #[cfg(test)]
    pub(super) fn is_open(&self) -> bool {
        self.open.lock().is_some()
    }

    /// A descriptor of it, opened again if it was closed meanwhile: component by component, however deep it lies.
    pub(super) fn fd(self: &Arc<Self>) -> rustix::io::Result<Arc<OwnedFd>> {
        let mut closed = Vec::new();
        let mut at = self;
        let mut above = loop {
            let open = at.open.lock().clone();
            if open.is_some() {
                break open;
            }
            closed.push(at);
            match &at.place {
                Place::Below(above) | Place::Through(above) => at = above,
                Place::Path(_) | Place::Nowhere => break None,
            }
        };
        while let Some(directory) = closed.pop() {
            above = Some(directory.open_below(above.as_ref(), PASS)?);
        }
        above.ok_or(Errno::NOENT)
    }

    /// A new descriptor that can be listed, held for those who come after.
    pub(super) fn list(self: &Arc<Self>) -> rustix::io::Result<Arc<OwnedFd>> {
        let above = match &self.place {
            Place::Below(above) | Place::Through(above) => Some(above.fd()?),
            Place::Path(_) | Place::Nowhere => None,
        };
        self.open_below(above.as_ref(), LIST)
    }

    fn open_below(self: &Arc<Self>, above: Option<&Arc<OwnedFd>>, flags: OFlags) -> rustix::io::Result<Arc<OwnedFd>> {
        let fd = Arc::new(self.open_at(above, flags)?);
        self.pool.keep(self, &fd);
        Ok(fd)
    }

    fn open_at(&self, above: Option<&Arc<OwnedFd>>, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        match (&self.place, above) {
            (Place::Below(_), Some(above)) => openat(above, self.name(), flags | OFlags::NOFOLLOW, Mode::empty()),
            (Place::Through(_), Some(above)) => openat(above, self.name(), flags, Mode::empty()),
            (Place::Path(path), _) => openat(CWD, path, flags, Mode::empty()),
            _ => Err(Errno::NOENT),
        }
    }
}

impl Drop for Directory {
    /// Gives up a long chain of directories without one stack frame each.
    fn drop(&mut self) {
        let mut place = std::mem::replace(&mut self.place, Place::Nowhere);
        while let Place::Below(above) | Place::Through(above) = place {
            let Some(mut above) = Arc::into_inner(above) else { return };
            place = std::mem::replace(&mut above.place, Place::Nowhere);
        }
    }
}

/// The path of the directory below which keys begin with `prefix`.
pub(super) fn path_of_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(prefix.len() + 1);
    for component in prefix.split(|&b| b == 0).filter(|c| !c.is_empty()) {
        path.push(b'/');
        path.extend_from_slice(component);
    }
    if path.is_empty() {
        path.push(b'/');
    }
    path
}
