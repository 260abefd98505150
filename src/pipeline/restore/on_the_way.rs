//! on the way: links of the target that lie where the snapshot has a directory, found before anything is removed.
//!
//! With `--delete` what such a link leads to must stay, wherever it lies beneath the target and whether the link is
//! followed or not, since the live system sees it as what the snapshot has there. A directory may be swept long before
//! the link that leads into it is met. So the snapshot's directories are looked for in the target once beforehand: one
//! more walk of the tree, and a look and an opening a directory.
//!
//! A link is followed only to where nothing else of the restore goes: one part would remove what another brings.

use super::directories::directory_key;
use super::rules::Choice;
use super::sweep::Known;
use super::{Overwrite, RestoreContext};
use crate::base::path::{after, path_of, split_key, subtree_prefix};
use crate::destination::{Destination, FoundDirectory, Led, Node};
use crate::format::tree::{Entry, EntryKind};
use crate::store::StoreError;
use crate::tree::reader::Reader;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

/// After so many entries the lease is looked at.
const KEEP_ALIVE: u64 = 1 << 14;

/// What is known of them.
#[derive(Default)]
pub struct OnTheWay {
    /// What the keys below the snapshot's directories begin with in whose place a link is followed.
    followed: HashSet<Vec<u8>>,
    /// Links that are passed, and what they lead to: never removed.
    kept: HashSet<Node>,
    /// The same by path on this machine.
    kept_at: HashSet<Vec<u8>>,
    /// Directories that links lead to which are not followed: nothing is removed in them either.
    closed: HashSet<Node>,
}

impl OnTheWay {
    /// Whether the link in the place of a directory is followed; `prefix` is what the keys below that begin with.
    pub fn follows(&self, prefix: &[u8]) -> bool {
        self.followed.contains(prefix)
    }

    /// Whether an entry of the target is needed by a link on the way.
    pub fn keeps(&self, node: Node, path: &[u8]) -> bool {
        self.kept.contains(&node) || self.kept_at.contains(path)
    }

    /// Whether a link that is not followed leads to a directory.
    pub fn closes<D: Destination>(&self, destination: &D, directory: &D::Directory) -> bool {
        !self.closed.is_empty() && destination.node(directory).is_ok_and(|node| self.closed.contains(&node))
    }
}

/// Looks for them, where anything may be removed.
pub fn find<D: Destination>(context: &RestoreContext<'_, D>) -> Result<OnTheWay, StoreError> {
    let request = context.request;
    // With `always` links are replaced by directories, and nothing is reached through them.
    let Some(destination) = context.destination.filter(|_| request.delete && request.overwrite != Overwrite::Always)
    else {
        return Ok(OnTheWay::default());
    };
    let (handle, found) = destination.root();
    if found == FoundDirectory::New {
        return Ok(OnTheWay::default());
    }
    let prefix = subtree_prefix(&request.base);
    let choice = request.rules.outermost(&path_of(&request.base));
    let mut finder = Finder {
        context,
        destination,
        open: vec![Open { prefix: prefix.clone(), handle: Some(handle), choice }],
        ways: HashMap::new(),
        known: Known::below(&request.sources),
        led: vec![],
        closed: vec![],
        entries: Reader::new(context.store.clone(), 1 << 20),
        found: OnTheWay::default(),
    };
    let mut met = 0u64;
    let mut each = |entry: Entry| {
        met += 1;
        if met.is_multiple_of(KEEP_ALIVE) {
            (context.keep_alive)();
        }
        if entry.meta.kind == EntryKind::Directory {
            finder.directory(&entry.key);
        }
        if context.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    // What is damaged is named when it is to be restored.
    let mut damaged = |_: std::ops::Range<&[u8]>, _: StoreError| ControlFlow::Continue(());
    let to = after(&prefix);
    let mut reader = Reader::new(context.store.clone(), 16 << 20);
    reader.entries(&request.root, &prefix, &to, &mut each, &mut damaged)?;
    Ok(finder.end())
}

/// A directory from the outermost one to where the walk is.
struct Open<D: Destination> {
    prefix: Vec<u8>,
    /// `None`: the target has none here.
    handle: Option<D::Directory>,
    choice: Choice,
}

struct Finder<'a, D: Destination> {
    context: &'a RestoreContext<'a, D>,
    destination: &'a D,
    open: Vec<Open<D>>,
    /// Where links lead that are followed.
    ways: HashMap<Vec<u8>, D::Directory>,
    known: Known,
    /// Where followed links lead, by what the keys below that would begin with, and in whose place each lies.
    led: Vec<(Vec<u8>, Vec<u8>, Node)>,
    /// Where the others lead.
    closed: Vec<Vec<u8>>,
    entries: Reader,
    found: OnTheWay,
}

impl<D: Destination> Finder<'_, D> {
    /// A directory of the snapshot.
    fn directory(&mut self, key: &[u8]) {
        let Some((parents, name)) = split_key(key).filter(|(_, name)| !name.is_empty()) else { return };
        if !self.enter(parents) {
            return;
        }
        let Some(Open { prefix, handle: Some(handle), choice }) = self.open.last() else { return };
        if self.context.request.rules.choose(&path_of(key), true, *choice) == Choice::No {
            return;
        }
        let prefix = [prefix.as_slice(), name, &[0]].concat();
        // Where it cannot be looked at, the restore names that.
        if let Ok(Some(led)) = self.destination.led(handle, name) {
            self.link(prefix, led);
        }
    }

    /// Goes to the directory with these parent components; false when the target has none, or it is left out.
    fn enter(&mut self, parents: &[u8]) -> bool {
        while self.open.len() > 1 && !self.open.last().is_some_and(|last| parents.starts_with(&last.prefix)) {
            self.open.pop();
        }
        loop {
            let Some(last) = self.open.last() else { return false };
            let Some(rest) = parents.strip_prefix(last.prefix.as_slice()) else { return false };
            if last.choice == Choice::No || last.handle.is_none() || rest.is_empty() {
                return last.choice != Choice::No && last.handle.is_some();
            }
            let name = rest.split(|&b| b == 0).next().unwrap_or(rest);
            let prefix = [last.prefix.as_slice(), name, &[0]].concat();
            let key = directory_key(&prefix[..prefix.len() - 1]);
            let choice = self.context.request.rules.choose(&path_of(&key), true, last.choice);
            let way = self.ways.get(&prefix).cloned();
            let open = |above| self.destination.open_directory(above, name).ok();
            let handle = way.or_else(|| last.handle.as_ref().and_then(open));
            self.open.push(Open { prefix, handle, choice });
        }
    }

    /// A link in the place of a directory.
    fn link(&mut self, prefix: Vec<u8>, led: Led<D::Directory>) {
        for (node, path) in led.passed {
            self.found.kept.insert(node);
            if !path.is_empty() {
                self.found.kept_at.insert(path);
            }
        }
        let Some(directory) = led.directory else { return };
        let Ok(node) = self.destination.node(&directory) else { return };
        let mut to = subtree_prefix(&self.context.request.base);
        led.path.iter().for_each(|name| to.extend(name.iter().chain(&[0])));
        let apart = |(other, ..): &(Vec<u8>, Vec<u8>, Node)| !to.starts_with(other) && !other.starts_with(&to);
        if led.may_be_followed && self.is_free(&to) && self.led.iter().all(apart) {
            self.ways.insert(prefix.clone(), directory);
            self.led.push((to, prefix, node));
        } else {
            self.found.closed.insert(node);
            self.closed.push(to);
        }
    }

    /// Whether the restore itself brings nothing to this place in the target.
    fn is_free(&mut self, prefix: &[u8]) -> bool {
        if self.known.is_apart(prefix) {
            return true;
        }
        let key = directory_key(prefix.strip_suffix(&[0]).unwrap_or(prefix));
        matches!(self.entries.entry(&self.context.request.root, &key), Ok(None))
    }

    fn end(mut self) -> OnTheWay {
        for (to, prefix, node) in self.led {
            // Others see it as something else of the snapshot.
            if self.closed.iter().any(|closed| to.starts_with(closed)) {
                self.found.closed.insert(node);
            } else {
                self.found.followed.insert(prefix);
            }
        }
        self.found
    }
}
