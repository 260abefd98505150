//! The walk in tree order: helpers list ahead, the emitter consumes in order.
//!
//! Work is a directory to list, or a block of 1,024 names of a large one to look at. Helpers take the earliest piece in
//! tree order; the calling thread emits in order and does itself what it waits for when no helper has begun it. So it
//! never waits for room, and what is looked at but not emitted stays bounded.

use super::entry::{Entries, Lister};
use super::filter::{Filter, Rules};
use super::fs::{FsOptions, parent_key};
use super::{Handle, Walked};
use crate::base::path;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// Names looked at as one piece of work.
const BLOCK: usize = 1024;
/// Entries looked at but not emitted yet.
const AHEAD_MAX: usize = 32 << 10;

/// A root of the walk.
#[derive(Debug, Clone)]
pub struct Root {
    /// Its key in the snapshot.
    pub key: Vec<u8>,
    /// Where it lies here, without links.
    pub path: PathBuf,
}

/// One directory on its way.
pub(super) struct Directory {
    /// Its key.
    pub key: Vec<u8>,
    /// Its path here.
    pub path: PathBuf,
    /// How it is opened: below its open parent, or by path.
    pub handle: Handle,
    /// The root it belongs to, and that one's device.
    pub root: Arc<(PathBuf, u64)>,
    /// Rules from outside.
    pub rules: Rules,
    /// Not read at all: a directory on the way to roots, with just these entries.
    pub only: Option<Vec<Root>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    listed: bool,
    names: Vec<Box<[u8]>>,
    open: Option<Arc<OwnedFd>>,
    rules: Rules,
    blocks: Vec<Option<Entries>>,
    emitted: usize,
}

impl Directory {
    pub fn new(key: Vec<u8>, path: PathBuf, handle: Handle, root: Arc<(PathBuf, u64)>, rules: Rules) -> Directory {
        Directory { key, path, handle, root, rules, only: None, state: Mutex::default() }
    }
}

/// A piece of work: a directory, and 0 to list it or n to look at its n-th block.
type Work = (Arc<Directory>, usize);

#[derive(Default)]
struct Queue {
    waiting: BTreeMap<(Vec<u8>, usize), Work>,
    ahead: usize,
    done: bool,
}

/// One walk.
pub struct Walk<'a> {
    lister: Lister<'a>,
    roots: &'a [Root],
    threads: usize,
    queue: Mutex<Queue>,
    changed: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

impl<'a> Walk<'a> {
    /// A walk of these roots.
    pub fn new(options: &'a FsOptions, filter: &'a Filter, roots: &'a [Root]) -> Walk<'a> {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let threads = if options.threads == 0 { cores.min(8) } else { options.threads };
        Walk {
            lister: Lister::new(options, filter, roots),
            roots,
            threads,
            queue: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Gives every entry in ascending key order until `emit` gives false.
    pub fn run(self, emit: &mut dyn FnMut(Walked) -> bool) -> io::Result<()> {
        let top = self.lister.entry_of_ancestor(&[], self.roots);
        if let [Root { key, .. }] = self.roots
            && key.is_empty()
        {
            // The root of the file system itself: no ancestors.
            let entries = self.lister.root_entry(&self.roots[0]);
            return self.tree(entries, emit);
        }
        let mut directory = self.lister.virtual_directory(Vec::new(), self.roots.to_vec());
        directory.only = Some(self.roots.to_vec());
        self.tree(Entries { walked: vec![top], children: vec![Arc::new(directory)] }, emit)
    }

    fn tree(self, top: Entries, emit: &mut dyn FnMut(Walked) -> bool) -> io::Result<()> {
        let walk = &self;
        std::thread::scope(|scope| {
            for i in 0..walk.threads {
                let builder = std::thread::Builder::new().name(format!("walk-{i}"));
                builder.spawn_scoped(scope, || walk.help())?;
            }
            let more = top.walked.into_iter().all(&mut *emit);
            if more {
                walk.emit(top.children, emit);
            }
            lock(&walk.queue).done = true;
            walk.changed.notify_all();
            Ok(())
        })
    }

    /// Emits directories and everything below them, in order.
    fn emit(&self, top: Vec<Arc<Directory>>, emit: &mut dyn FnMut(Walked) -> bool) {
        for directory in &top {
            self.offer(directory, 0..1);
        }
        let mut stack: Vec<_> = top.into_iter().rev().collect();
        while let Some(directory) = stack.pop() {
            self.get(&directory, 0);
            let mut children = Vec::new();
            let blocks = lock(&directory.state).blocks.len();
            for at in 0..blocks {
                self.get(&directory, at + 1);
                let Some(block) = lock(&directory.state).blocks[at].take() else { continue };
                let count = block.walked.len();
                children.extend(block.children);
                let more = block.walked.into_iter().all(&mut *emit);
                lock(&self.queue).ahead -= count;
                self.changed.notify_all();
                if !more {
                    return;
                }
                let mut state = lock(&directory.state);
                state.emitted = at + 1;
                // Names are needed no more; a huge directory gives them back as it goes.
                let end = ((at + 1) * BLOCK).min(state.names.len());
                state.names[at * BLOCK..end].iter_mut().for_each(|n| *n = Box::default());
            }
            lock(&directory.state).open = None;
            stack.extend(children.into_iter().rev());
        }
    }

    fn offer(&self, directory: &Arc<Directory>, pieces: std::ops::Range<usize>) {
        let mut queue = lock(&self.queue);
        for piece in pieces {
            let key = (path::subtree_prefix(&directory.key), piece);
            queue.waiting.insert(key, (directory.clone(), piece));
        }
        drop(queue);
        self.changed.notify_all();
    }

    fn is_done(&self, directory: &Directory, piece: usize) -> bool {
        let state = lock(&directory.state);
        if piece == 0 { state.listed } else { state.emitted >= piece || state.blocks[piece - 1].is_some() }
    }

    /// Waits until a piece is done; does it here when nobody has begun it.
    fn get(&self, directory: &Arc<Directory>, piece: usize) {
        let key = (path::subtree_prefix(&directory.key), piece);
        let mut queue = lock(&self.queue);
        loop {
            if self.is_done(directory, piece) {
                return;
            }
            if queue.waiting.remove(&key).is_some() {
                drop(queue);
                self.work(directory, piece);
                return;
            }
            queue = self.changed.wait(queue).unwrap_or_else(|e| e.into_inner());
        }
    }

    /// A helper: takes the earliest piece while there is room.
    fn help(&self) {
        let mut queue = lock(&self.queue);
        loop {
            if queue.done {
                return;
            }
            let work = if queue.ahead < AHEAD_MAX { queue.waiting.pop_first() } else { None };
            match work {
                Some((_, (directory, piece))) => {
                    drop(queue);
                    self.work(&directory, piece);
                    queue = lock(&self.queue);
                }
                None => queue = self.changed.wait(queue).unwrap_or_else(|e| e.into_inner()),
            }
        }
    }

    fn work(&self, directory: &Arc<Directory>, piece: usize) {
        if piece == 0 { self.list(directory) } else { self.look(directory, piece - 1) }
    }

    fn list(&self, directory: &Arc<Directory>) {
        let listing = self.lister.list(directory);
        let blocks = match &listing.ready {
            Some(_) => 1,
            None => listing.names.len().div_ceil(BLOCK),
        };
        let small = listing.ready.is_some() || blocks <= 1;
        {
            let mut state = lock(&directory.state);
            state.names = listing.names;
            state.open = listing.open;
            state.rules = listing.rules;
            state.blocks.resize_with(blocks, || None);
        }
        if let Some(entries) = listing.ready {
            self.deliver(directory, 0, entries, true);
        } else if small && blocks == 1 {
            self.look_and_list(directory);
        } else {
            lock(&directory.state).listed = true;
            self.offer(directory, 1..blocks + 1);
        }
    }

    fn look_and_list(&self, directory: &Arc<Directory>) {
        let entries = self.look_at(directory, 0);
        self.deliver(directory, 0, entries, true);
    }

    fn look(&self, directory: &Arc<Directory>, block: usize) {
        let entries = self.look_at(directory, block);
        self.deliver(directory, block, entries, false);
    }

    fn look_at(&self, directory: &Arc<Directory>, block: usize) -> Entries {
        let (names, open, rules) = {
            let mut state = lock(&directory.state);
            let end = ((block + 1) * BLOCK).min(state.names.len());
            let names: Vec<_> = state.names[block * BLOCK..end].iter_mut().map(std::mem::take).collect();
            (names, state.open.clone(), state.rules.clone())
        };
        self.lister.look(directory, open, &rules, &names)
    }

    /// Hands over what was seen, and offers the directories found.
    fn deliver(&self, directory: &Arc<Directory>, block: usize, entries: Entries, listed: bool) {
        let (count, children) = (entries.walked.len(), entries.children.clone());
        {
            let mut state = lock(&directory.state);
            state.blocks[block] = Some(entries);
            state.listed |= listed;
        }
        let mut queue = lock(&self.queue);
        queue.ahead += count;
        for child in children {
            queue.waiting.insert((path::subtree_prefix(&child.key), 0), (child, 0));
        }
        drop(queue);
        self.changed.notify_all();
    }
}

/// Roots below a directory that is only on the way, grouped by the next component.
pub(super) fn next_components(directory: &[u8], roots: &[Root]) -> Vec<(Vec<u8>, Vec<Root>)> {
    let prefix = path::subtree_prefix(directory);
    let mut groups: BTreeMap<Vec<u8>, Vec<Root>> = BTreeMap::new();
    for root in roots {
        let rest = &path::path_of(&root.key)[..];
        let depth = prefix.iter().filter(|&&b| b == 0).count();
        let name = rest.split(|&b| b == b'/').filter(|c| !c.is_empty()).nth(depth).unwrap_or_default();
        groups.entry(name.to_vec()).or_default().push(root.clone());
    }
    groups.into_iter().collect()
}

/// Where an ancestor of roots lies here: as many components above the root as in the key, if they have the same names.
pub(super) fn ancestor_path(key: &[u8]) -> PathBuf {
    Path::new(std::ffi::OsStr::from_bytes(&path::path_of(key))).to_path_buf()
}

#[allow(dead_code, reason = "documents the relation that `fs` relies on")]
const _: fn(&[u8]) -> Vec<u8> = parent_key;
