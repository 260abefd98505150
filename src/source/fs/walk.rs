//! The walk in tree order: helpers list and look ahead, the calling thread emits in order.
//!
//! Work is a directory to list or a block of 1,024 names of a large one to look at, and has the key of what it finds
//! first. Three sets make the whole state: work to do, work being done, and what was found; all that is still to be
//! emitted lies behind the smallest key of the three. A directory's subdirectories are one piece of work that moves on
//! from name to name, so that a million of them wait as names only.
//!
//! Helpers take the earliest work and pause when too much was found ahead. The emitter takes what is next in order; when
//! it is not there yet, it works too, and takes the next in order whatever was found ahead: so it never waits for room.

use super::directory::{Directory, Inherited, Place, Pool, path_of_prefix};
use super::list::{BLOCK, Lister, Listing, Looked, NO_NODE, Scratch, Sub, Subs};
use super::meta::{Owners, Seen, look};
use super::open::OwnPath;
use super::roots::{Kind, Roots};
use super::tally::OpenRoots;
use crate::base::path::path_of;
use crate::format::tree::{EntryKind, Meta};
use crate::source::{FoundEntry, Handle, Reached, Walked};
use parking_lot::{Condvar, Mutex};
use rustix::fs::CWD;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Found but not emitted: an entry counts one, and long link targets count too.
pub(super) const AHEAD_MAX: usize = 1 << 15;

type Key = Vec<u8>;

/// What is left to do in one place.
enum Work {
    /// The next of a directory's subdirectories is to be listed, and those after it.
    Subs(Arc<Level>, usize),
    /// The next block of a large directory is to be looked at, and those after it.
    Blocks(Arc<Large>, usize),
}

/// A directory whose subdirectories are to be listed.
struct Level {
    directory: Arc<Directory>,
    rules: Option<Arc<crate::source::filter::Chain>>,
    subs: Subs,
}

/// A directory of several blocks.
struct Large {
    listing: Arc<Listing>,
    /// Subdirectories found, by block.
    subs: Mutex<Vec<Subs>>,
    left: AtomicUsize,
}

/// One piece of [`Work`].
enum Piece {
    List(Arc<Directory>),
    Block(Arc<Large>, usize),
}

/// A block that was looked at, or what went wrong.
enum Done {
    Block { listing: Arc<Listing>, first: usize, found: Vec<Looked> },
    Error { prefix: Vec<u8>, error: io::Error },
}

#[derive(Default)]
struct State {
    todo: BTreeMap<Key, Work>,
    doing: Vec<Key>,
    done: BTreeMap<Key, (Done, usize)>,
    /// Entries in `done`, and whether there were too many: work ahead then pauses until a quarter of them is gone.
    ahead: usize,
    full: bool,
    /// Helpers that wait for work or room.
    idle: usize,
    /// The emitter waits.
    waiting: bool,
    /// A helper panicked.
    broken: bool,
}

pub(super) struct Walk<'a> {
    lister: Lister<'a>,
    pool: Arc<Pool>,
    ahead_max: usize,
    state: Mutex<State>,
    reached: Mutex<Reached>,
    /// There is work, or room.
    work: Condvar,
    /// Something was found.
    found: Condvar,
}

/// What the emitter does next.
enum Step {
    Emit(Done),
    Work(Key, Piece),
    Wait,
    End,
}

impl<'a> Walk<'a> {
    pub fn new(lister: Lister<'a>, ahead_max: usize, open_max: usize) -> Walk<'a> {
        let pool = Arc::new(Pool::new(open_max));
        let (state, reached) = (Mutex::default(), Mutex::default());
        Walk { lister, pool, ahead_max, state, reached, work: Condvar::new(), found: Condvar::new() }
    }

    /// Roots that were reached so far.
    pub fn reached(&self) -> Reached {
        *self.reached.lock()
    }

    /// Entries found and not emitted at the moment.
    #[cfg(test)]
    pub fn ahead(&self) -> usize {
        self.state.lock().ahead
    }

    /// Walks with `helpers` threads beside this one.
    pub fn run(&self, helpers: usize, emit: &mut dyn FnMut(Walked) -> bool) -> io::Result<()> {
        let (owners, open_roots) = (Owners::default(), OpenRoots::new(&self.lister));
        let mut emitter = Emitter { emit, owners, roots: self.lister.roots, reached: &self.reached, open_roots };
        if !self.begin(&mut emitter) {
            return Ok(());
        }
        std::thread::scope(|scope| {
            for number in 0..helpers {
                let helper = std::thread::Builder::new().name(format!("walk {number}"));
                if let Err(error) = helper.spawn_scoped(scope, || self.help()) {
                    // The emitter can do it all.
                    tracing::warn!(%error, "one walking thread less");
                    break;
                }
            }
            let stop = StopHelpers(self);
            let ended = self.emit_all(&mut emitter);
            drop(stop);
            ended
        })
    }

    /// Emits the root of the tree; false when that is all.
    fn begin(&self, emitter: &mut Emitter<'_>) -> bool {
        let roots = self.lister.roots;
        let top = roots.node(0);
        let real = if top.root.is_some() { roots.real.clone() } else { None }.unwrap_or_else(|| "/".into());
        let (meta, seen) = match look(CWD, real.as_path(), true) {
            Ok(looked) => looked,
            Err(error) => {
                (emitter.emit)(Walked::Error { path: b"/".to_vec(), error: error.into() });
                return false;
            }
        };
        let device = meta.device;
        let directory = meta.kind == EntryKind::Directory;
        if !emitter.found(Vec::new(), meta, of_path(real.clone()), Seen { sparse: false, ..seen }) || !directory {
            return false;
        }
        let full = top.root.is_some();
        let elsewhere = real.as_path() != Path::new("/");
        let inherited = Inherited { full, node: Some(0), device, root: 0, nested: None, rules: None, elsewhere };
        let directory = Directory::new(Place::Path(real), Box::default(), inherited, self.pool.clone());
        let mut scratch = Scratch::default();
        self.state.lock().doing.push(Vec::new());
        self.do_piece(Vec::new(), Piece::List(directory), &mut scratch);
        true
    }

    fn emit_all(&self, emitter: &mut Emitter<'_>) -> io::Result<()> {
        let mut scratch = Scratch::default();
        let mut state = self.state.lock();
        loop {
            if state.broken {
                return Err(io::Error::other("a thread of the walk panicked"));
            }
            match self.step(&mut state) {
                Step::Emit(done) => {
                    drop(state);
                    if !emitter.done(done) {
                        return Ok(());
                    }
                    state = self.state.lock();
                }
                Step::Work(key, piece) => {
                    drop(state);
                    self.do_piece(key, piece, &mut scratch);
                    state = self.state.lock();
                }
                Step::Wait => {
                    state.waiting = true;
                    self.found.wait(&mut state);
                    state.waiting = false;
                }
                Step::End => {
                    emitter.open_roots.close_before(None);
                    return Ok(());
                }
            }
        }
    }

    /// What is next in order, or else what the emitter can do meanwhile.
    fn step(&self, state: &mut State) -> Step {
        let doing = state.doing.iter().min();
        let todo = state.todo.first_key_value().map(|(key, _)| key);
        let done = state.done.first_key_value().map(|(key, _)| key);
        let earlier = |a: &Key, b: Option<&Key>| b.is_none_or(|b| a < b);
        if done.is_some_and(|done| earlier(done, doing) && earlier(done, todo)) {
            let Some((_, (done, cost))) = state.done.pop_first() else { return Step::End };
            state.ahead -= cost;
            if state.full && state.ahead < self.ahead_max - self.ahead_max / 4 {
                state.full = false;
                if state.idle > 0 {
                    self.work.notify_all();
                }
            }
            return Step::Emit(done);
        }
        let Some(todo) = todo else {
            return if doing.is_some() { Step::Wait } else { Step::End };
        };
        if (earlier(todo, doing) || !state.full)
            && let Some((key, piece)) = self.take(state)
        {
            return Step::Work(key, piece);
        }
        Step::Wait
    }

    /// The earliest piece of work.
    fn take(&self, state: &mut State) -> Option<(Key, Piece)> {
        let (key, work) = state.todo.pop_first()?;
        let (piece, rest) = match work {
            Work::Subs(level, at) => {
                let piece = Piece::List(self.subdirectory(&level, at));
                (piece, (at + 1 < level.subs.subs.len()).then(|| (level.key(at + 1), Work::Subs(level, at + 1))))
            }
            Work::Blocks(large, block) => {
                let piece = Piece::Block(large.clone(), block);
                let more = (block + 1) * BLOCK < large.listing.names.len();
                (piece, more.then(|| (large.key(block + 1), Work::Blocks(large, block + 1))))
            }
        };
        if let Some((key, work)) = rest {
            state.todo.insert(key, work);
        }
        if !state.todo.is_empty() && state.idle > 0 && !state.full {
            self.work.notify_one();
        }
        state.doing.push(key.clone());
        Some((key, piece))
    }

    fn subdirectory(&self, level: &Level, at: usize) -> Arc<Directory> {
        let above = &level.directory;
        let name = level.subs.names.get(at);
        let Sub { node, full, through, device } = level.subs.subs[at];
        let prefix = [above.prefix(), name, &[0]].concat().into_boxed_slice();
        let number = (node != NO_NODE).then_some(node);
        let roots = self.lister.roots;
        let root = number.is_some_and(|n| roots.node(n).root.is_some());
        let place = match number.and_then(|number| roots.real_of(number)) {
            Some(real) => Place::Path(real.clone()),
            _ if through => Place::Through(above.clone()),
            _ => Place::Below(above.clone()),
        };
        let elsewhere = above.elsewhere() || !matches!(place, Place::Below(_));
        let (root, nested) = match (root, &above.nested) {
            (false, nested) => (above.root, nested.clone()),
            // It lies in others: what begins at a source begins at each of them.
            (true, Some(outer)) => (prefix.len(), Some([&outer[..], &[prefix.len() + 1]].concat().into())),
            (true, None) if above.root > 0 || roots.node(0).root.is_some() => {
                (prefix.len(), Some([above.root + 1, prefix.len() + 1].into()))
            }
            (true, None) => (prefix.len(), None),
        };
        // A root that a person named is as if it had been named alone: rule files above it do not hold in it.
        let named = number.is_some_and(|n| roots.node(n).root == Some(Kind::Named));
        let rules = if full && !named { level.rules.clone() } else { None };
        Directory::new(
            place,
            prefix,
            Inherited { full, node: number, device, root, nested, rules, elsewhere },
            self.pool.clone(),
        )
    }

    /// Helps until the walk ends.
    fn help(&self) {
        let broken = Broken(self);
        let mut scratch = Scratch::default();
        let mut state = self.state.lock();
        while !self.lister.stop.load(Relaxed) {
            match if state.full { None } else { self.take(&mut state) } {
                Some((key, piece)) => {
                    drop(state);
                    self.do_piece(key, piece, &mut scratch);
                    state = self.state.lock();
                }
                None => {
                    state.idle += 1;
                    self.work.wait(&mut state);
                    state.idle -= 1;
                }
            }
        }
        drop(state);
        std::mem::forget(broken);
    }

    /// Does a piece of work and puts what it found, and the work that follows from it, where they belong.
    fn do_piece(&self, key: Key, piece: Piece, scratch: &mut Scratch) {
        let mut work = None;
        let done = match piece {
            Piece::List(directory) => match self.lister.list(directory.clone(), scratch) {
                Ok(listing) => self.first_block(Arc::new(listing), &mut work, scratch),
                Err(error) => Done::Error { prefix: directory.prefix().to_vec(), error },
            },
            Piece::Block(large, block) => self.later_block(&large, block, &mut work, scratch),
        };
        let cost = done.cost();
        let mut state = self.state.lock();
        if let Some(at) = state.doing.iter().position(|k| *k == key) {
            state.doing.swap_remove(at);
        }
        if cost > 0 {
            state.ahead += cost;
            state.full |= state.ahead >= self.ahead_max;
            state.done.insert(key, (done, cost));
        }
        if let Some((key, work)) = work {
            state.todo.insert(key, work);
            if state.idle > 0 && !state.full {
                self.work.notify_one();
            }
        }
        if state.waiting {
            self.found.notify_one();
        }
    }

    fn first_block(&self, listing: Arc<Listing>, work: &mut Option<(Key, Work)>, scratch: &mut Scratch) -> Done {
        let names = listing.names.len();
        let blocks = names.div_ceil(BLOCK);
        if blocks > 1 {
            let subs = Mutex::new((0..blocks).map(|_| Subs::default()).collect());
            let large = Arc::new(Large { listing, subs, left: AtomicUsize::new(blocks) });
            // The blocks behind wait from now on, so that others can begin with them.
            let mut state = self.state.lock();
            state.todo.insert(large.key(1), Work::Blocks(large.clone(), 1));
            if state.idle > 0 {
                self.work.notify_all();
            }
            drop(state);
            return self.later_block(&large, 0, work, scratch);
        }
        let (found, subs) = self.lister.look(&listing, 0..names, scratch);
        *work = Level::of(&listing, subs);
        Done::Block { listing, first: 0, found }
    }

    fn later_block(
        &self,
        large: &Arc<Large>,
        block: usize,
        work: &mut Option<(Key, Work)>,
        scratch: &mut Scratch,
    ) -> Done {
        let listing = large.listing.clone();
        let first = block * BLOCK;
        let (found, subs) = self.lister.look(&listing, first..listing.names.len().min(first + BLOCK), scratch);
        let mut all = large.subs.lock();
        all[block] = subs;
        // Under the lock: whoever is last sees what all others found.
        if large.left.fetch_sub(1, Relaxed) == 1 {
            let mut together = Subs::default();
            all.drain(..).for_each(|subs| together.append(&subs));
            *work = Level::of(&listing, together);
        }
        Done::Block { listing, first, found }
    }
}

impl Level {
    fn of(listing: &Listing, subs: Subs) -> Option<(Key, Work)> {
        if subs.subs.is_empty() {
            return None;
        }
        let level = Level { directory: listing.directory.clone(), rules: listing.rules.clone(), subs };
        Some((level.key(0), Work::Subs(Arc::new(level), 0)))
    }

    /// What the keys of a subdirectory's entries begin with.
    fn key(&self, at: usize) -> Key {
        [self.directory.prefix(), self.subs.names.get(at), &[0, 0]].concat()
    }
}

impl Large {
    /// The key of a block's first entry.
    fn key(&self, block: usize) -> Key {
        [self.listing.directory.prefix(), &[0], self.listing.names.get(block * BLOCK)].concat()
    }
}

impl Done {
    /// What it counts against the bound.
    fn cost(&self) -> usize {
        match self {
            Done::Error { .. } => 1,
            Done::Block { listing, first, found } => {
                let errors = if *first == 0 { listing.errors.lock().len() } else { 0 };
                let targets: usize = found
                    .iter()
                    .map(|looked| match looked {
                        Looked::Entry { meta, .. } => meta.target.len() / 128,
                        _ => 0,
                    })
                    .sum();
                // A directory is told of also when nothing is in it: it was reached, and may be broken off.
                (found.len() + errors + targets).max(usize::from(*first == 0))
            }
        }
    }
}

/// Ends the helpers, however the emitter ends.
struct StopHelpers<'a, 'b>(&'a Walk<'b>);

impl Drop for StopHelpers<'_, '_> {
    fn drop(&mut self) {
        // Under the lock, so that no helper looks just before and waits just after.
        let state = self.0.state.lock();
        self.0.lister.stop.store(true, Relaxed);
        self.0.work.notify_all();
        drop(state);
    }
}

/// Tells the emitter that a helper panicked.
struct Broken<'a, 'b>(&'a Walk<'b>);

impl Drop for Broken<'_, '_> {
    fn drop(&mut self) {
        self.0.state.lock().broken = true;
        self.0.found.notify_all();
    }
}

/// Turns what was found into entries.
struct Emitter<'a> {
    emit: &'a mut dyn FnMut(Walked) -> bool,
    owners: Owners,
    roots: &'a Roots,
    reached: &'a Mutex<Reached>,
    open_roots: OpenRoots<'a>,
}

impl Emitter<'_> {
    fn entry(&mut self, mut found: FoundEntry) -> bool {
        self.owners.name(&mut found.meta);
        (self.emit)(Walked::Entry(found))
    }

    fn done(&mut self, done: Done) -> bool {
        let (listing, first, found) = match done {
            Done::Error { prefix, error } => {
                self.open_roots.close_before(Some(&prefix));
                self.open_roots.holds_something();
                return self.incomplete(&prefix, path_of_prefix(&prefix), error);
            }
            Done::Block { listing, first, found } => (listing, first, found),
        };
        let directory = &listing.directory;
        self.open_roots.add(&listing, first == 0, &found);
        if first == 0 {
            if directory.full && self.is_root(directory) {
                self.reached.lock().others += 1;
            }
            for (name, error) in std::mem::take(&mut *listing.errors.lock()) {
                let path = path_of(&key_in(directory, &name));
                if !(self.emit)(Walked::Error { path, error }) {
                    return false;
                }
            }
            let broken = listing.broken.lock().take();
            if broken.is_some_and(|error| !self.incomplete(directory.prefix(), directory.path(), error)) {
                return false;
            }
        }
        found.into_iter().enumerate().all(|(at, looked)| self.looked(directory, listing.names.get(first + at), looked))
    }

    /// Something went wrong by which the snapshot lacks what lies in a directory.
    fn incomplete(&mut self, prefix: &[u8], path: Vec<u8>, error: io::Error) -> bool {
        // What is gone by now lacks nothing.
        let gone = error.kind() == io::ErrorKind::NotFound;
        (self.emit)(Walked::Error { path, error })
            && (gone || (self.emit)(Walked::Incomplete { key: key_of_prefix(prefix) }))
    }

    fn is_root(&self, directory: &Directory) -> bool {
        directory.node.is_some_and(|node| self.roots.node(node).root.is_some())
    }

    /// Counts a root that is no directory; those are counted when they are listed.
    fn count_root(&self, directory: &Directory, name: &[u8], kind: EntryKind) {
        let Some(node) = directory.node.and_then(|node| self.roots.child(node, name)) else { return };
        if self.roots.node(node).root.is_some() {
            let mut reached = self.reached.lock();
            match kind {
                EntryKind::Directory => {}
                EntryKind::File => reached.files += 1,
                _ => reached.others += 1,
            }
        }
    }

    fn looked(&mut self, directory: &Arc<Directory>, name: &[u8], looked: Looked) -> bool {
        let key = key_in(directory, name);
        if let Looked::Entry { meta, .. } | Looked::Elsewhere { meta, .. } | Looked::Device { meta, .. } = &looked {
            self.count_root(directory, name, meta.kind);
        }
        match looked {
            Looked::Nothing(_) => true,
            Looked::Error(error) if directory.full => self.incomplete(directory.prefix(), path_of(&key), error),
            Looked::Error(error) => (self.emit)(Walked::Error { path: path_of(&key), error }),
            Looked::Unfollowed(meta, error) => {
                let path = path_of(&key);
                self.plain(directory, key, meta, Seen::default()) && (self.emit)(Walked::Error { path, error })
            }
            Looked::Skipped(reason) => (self.emit)(Walked::Skipped { path: path_of(&key), reason }),
            Looked::Mount(meta, reason) => {
                let path = path_of(&key);
                self.plain(directory, key, meta, Seen::default()) && (self.emit)(Walked::Skipped { path, reason })
            }
            Looked::Covered(meta, reason) => {
                let path = path_of(&key);
                // Nothing more is asked of it.
                self.found(key, meta, Handle::KEY, Seen::default()) && (self.emit)(Walked::Skipped { path, reason })
            }
            Looked::Elsewhere { meta, seen, path, .. } => {
                let handle = path.map_or(Handle::KEY, of_path);
                self.found(key, meta, handle, seen)
            }
            Looked::Device { meta, path } => {
                // What is written to a device changes no time of its node.
                let found = FoundEntry::new(key, meta, Handle::new(Arc::new(OwnPath::Device(path))));
                self.entry(FoundEntry { untimed: true, ..found })
            }
            Looked::Entry { meta, seen } => self.plain(directory, key, meta, seen),
        }
    }

    fn plain(&mut self, directory: &Arc<Directory>, key: Vec<u8>, meta: Meta, seen: Seen) -> bool {
        let handle = Handle::new(directory.clone());
        self.found(key, meta, handle, seen)
    }

    fn found(&mut self, key: Vec<u8>, meta: Meta, handle: Handle, seen: Seen) -> bool {
        self.entry(FoundEntry { sparse: seen.sparse, flags: seen.flags, ..FoundEntry::new(key, meta, handle) })
    }
}

fn of_path(path: PathBuf) -> Handle {
    Handle::new(Arc::new(OwnPath::Plain(path)))
}

/// The key of the directory below which keys begin with `prefix`.
fn key_of_prefix(prefix: &[u8]) -> Vec<u8> {
    let joined = prefix.strip_suffix(&[0]).unwrap_or(prefix);
    match joined.iter().rposition(|&b| b == 0) {
        _ if joined.is_empty() => Vec::new(),
        None => [&[0], joined].concat(),
        Some(at) => [&joined[..=at], &[0], &joined[at + 1..]].concat(),
    }
}

fn key_in(directory: &Directory, name: &[u8]) -> Vec<u8> {
    let prefix = directory.prefix();
    let mut key = Vec::with_capacity(prefix.len() + 1 + name.len());
    key.extend_from_slice(prefix);
    key.push(0);
    key.extend_from_slice(name);
    key
}
