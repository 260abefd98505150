//! `ls`: the entries of a snapshot, and how a place in a snapshot is named.

use crate::base::path::{children_prefix, key_of, subtree_prefix};
use crate::format::tree::{Entry, EntryKind};
use crate::monitor::{Monitor, Problem};
use crate::store::reader::Reader;
use crate::store::snapshots::Snapshot;
use crate::store::{Store, StoreError};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Opened blobs that listing keeps.
pub const LIST_CACHE_BYTES: usize = 8 << 20;

/// A place in a snapshot as a person names it: `latest`, an id or its beginning, and a path: `ID:path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotPath {
    /// `latest`, an id or the beginning of one.
    pub snapshot: String,
    /// An absolute path in it.
    pub path: Option<Vec<u8>>,
}

impl SnapshotPath {
    /// Reads `SNAP` or `SNAP:path`; a path without a leading `/` is taken from the root.
    pub fn parse(text: &[u8]) -> Result<SnapshotPath, StoreError> {
        let (name, path) = match text.iter().position(|&b| b == b':') {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        let not_a_name = || StoreError::NoSnapshot(String::from_utf8_lossy(text).into_owned());
        let snapshot = std::str::from_utf8(name).map_err(|_| not_a_name())?.to_string();
        let not_a_path = |path: &[u8]| {
            let path = String::from_utf8_lossy(path);
            StoreError::NoMatch(format!("{path:?} is no path in a snapshot: name it without `..`"))
        };
        let path = path.map(|p| normal_path(p).ok_or_else(|| not_a_path(p))).transpose()?;
        Ok(SnapshotPath { snapshot, path })
    }
}

/// The absolute path without doubled or trailing slashes and without `.`; `None` when it is not a path.
pub fn normal_path(path: &[u8]) -> Option<Vec<u8>> {
    let mut normal = Vec::with_capacity(path.len() + 1);
    for component in path.split(|&b| b == b'/').filter(|c| !c.is_empty() && *c != b".") {
        normal.push(b'/');
        normal.extend_from_slice(component);
    }
    if normal.is_empty() {
        normal.push(b'/');
    }
    key_of(&normal).ok().map(|_| normal)
}

/// Keys in `[from, to)`; an empty `to` means to the end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyRange {
    /// First key.
    pub from: Vec<u8>,
    /// The key that ends it.
    pub to: Vec<u8>,
}

impl KeyRange {
    /// Everything below a directory, not the directory itself.
    pub fn below(directory: &[u8]) -> KeyRange {
        if directory.is_empty() {
            // No key but the root's own is smaller.
            return KeyRange { from: vec![0], to: Vec::new() };
        }
        Self::of_prefix(subtree_prefix(directory))
    }

    /// The directory's own entries.
    pub fn children(directory: &[u8]) -> KeyRange {
        Self::of_prefix(children_prefix(directory))
    }

    /// One key.
    pub fn only(key: &[u8]) -> KeyRange {
        KeyRange { from: key.to_vec(), to: [key, &[0]].concat() }
    }

    fn of_prefix(prefix: Vec<u8>) -> KeyRange {
        let mut to = prefix.clone();
        // It ends in 0x00.
        if let Some(last) = to.last_mut() {
            *last = 1;
        }
        KeyRange { from: prefix, to }
    }

    /// Whether a key lies in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.from.as_slice() && (self.to.is_empty() || key < self.to.as_slice())
    }
}

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// The place; without one the snapshot's sources and what is directly in them.
    pub path: Option<Vec<u8>>,
    /// Everything below.
    pub recursive: bool,
}

/// What a listing met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListStats {
    /// Entries given.
    pub entries: u64,
    /// Nodes that are damaged; what lies in them is missing from the listing.
    pub damaged: u64,
    /// Nodes that the storage failed to give; what lies in them is missing likewise.
    pub unreadable: u64,
}

/// Gives entries in tree order until `each` breaks. The index must be loaded. Damaged nodes are told to the monitor and passed over.
pub fn run(
    store: &Arc<Store>,
    snapshot: &Snapshot,
    options: &ListOptions,
    each: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    monitor: &dyn Monitor,
) -> Result<ListStats, StoreError> {
    let reader = Reader::new(store.clone(), LIST_CACHE_BYTES);
    let mut lister = Lister { reader, snapshot, stats: ListStats::default(), each, monitor };
    // That `each` broke is no news to the caller.
    _ = match &options.path {
        None if options.recursive => lister.range(&KeyRange::default())?,
        None => lister.sources()?,
        Some(path) => {
            let entry = entry_at(&mut lister.reader, snapshot, path)?;
            match directory_key(&entry) {
                None => lister.entry(entry),
                Some(key) if options.recursive => lister.range(&KeyRange::below(&key))?,
                Some(key) => lister.range(&KeyRange::children(&key))?,
            }
        }
    };
    Ok(lister.stats)
}

/// The entry at a path; an error when there is none.
pub fn entry_at(reader: &mut Reader, snapshot: &Snapshot, path: &[u8]) -> Result<Entry, StoreError> {
    let missing =
        |why| StoreError::Path { snapshot: snapshot.id, path: String::from_utf8_lossy(path).into_owned(), why };
    let key = key_of(path).map_err(|_| missing("not a path"))?;
    reader.entry(&snapshot.manifest.root, &key)?.ok_or_else(|| missing("not in this snapshot"))
}

fn directory_key(entry: &Entry) -> Option<Vec<u8>> {
    (entry.meta.kind == EntryKind::Directory).then(|| entry.key.clone())
}

struct Lister<'a> {
    reader: Reader,
    snapshot: &'a Snapshot,
    stats: ListStats,
    each: &'a mut dyn FnMut(Entry) -> ControlFlow<()>,
    monitor: &'a dyn Monitor,
}

impl Lister<'_> {
    fn entry(&mut self, entry: Entry) -> ControlFlow<()> {
        self.stats.entries += 1;
        (self.each)(entry)
    }

    /// The snapshot's source paths, and what is directly in those that are directories.
    fn sources(&mut self) -> Result<ControlFlow<()>, StoreError> {
        let snapshot = self.snapshot;
        for path in &snapshot.manifest.paths {
            let entry = entry_at(&mut self.reader, snapshot, path)?;
            let key = directory_key(&entry);
            if self.entry(entry).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            if let Some(key) = key
                && self.range(&KeyRange::children(&key))?.is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn range(&mut self, range: &KeyRange) -> Result<ControlFlow<()>, StoreError> {
        let Lister { reader, snapshot, stats, each, monitor } = self;
        let mut flow = ControlFlow::Continue(());
        let (mut damaged, mut unreadable) = (0, 0);
        reader.entries(
            &snapshot.manifest.root,
            &range.from,
            &range.to,
            &mut |entry| {
                stats.entries += 1;
                flow = each(entry);
                flow
            },
            &mut |lost, error| {
                *(if error.is_damage() { &mut damaged } else { &mut unreadable }) += 1;
                monitor.problem(&damaged_node(lost.start, &error));
                ControlFlow::Continue(())
            },
        )?;
        stats.damaged += damaged;
        stats.unreadable += unreadable;
        Ok(flow)
    }
}

/// What is said of a node that cannot be read: everything from `key` on that it held is missing.
pub fn damaged_node(key: &[u8], error: &StoreError) -> Problem {
    let why = if error.is_damage() { "damaged" } else { "could not be read" };
    let message = format!("entries from here on are missing ({why}): {error}");
    Problem { path: crate::base::path::path_of(key), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_snapshot_and_maybe_a_path() {
        let parse = |s: &[u8]| SnapshotPath::parse(s).map_err(|e| e.to_string());
        let place = |snapshot: &str, path: Option<&[u8]>| {
            Ok(SnapshotPath { snapshot: snapshot.into(), path: path.map(<[u8]>::to_vec) })
        };
        assert_eq!(parse(b"latest"), place("latest", None));
        assert_eq!(parse(b"ab12:"), place("ab12", Some(b"/")));
        assert_eq!(parse(b"ab12:etc//x/./"), place("ab12", Some(b"/etc/x")));
        assert_eq!(parse(b"ab12:/a:b\xff"), place("ab12", Some(b"/a:b\xff")));
        assert!(parse(b"ab12:/a/../b").is_err(), "a path that climbs is refused");
        assert!(parse(b"\xff").is_err());
    }

    #[test]
    fn a_range_holds_what_lies_below_and_nothing_else() {
        let key = |p: &str| key_of(p.as_bytes()).unwrap();
        let below = KeyRange::below(&key("/a"));
        for inside in ["/a/b", "/a/b/c", "/a/\u{ff}"] {
            assert!(below.contains(&key(inside)), "{inside}");
        }
        for outside in ["/", "/a", "/a.x", "/a.x/b", "/b", "/aa/b"] {
            assert!(!below.contains(&key(outside)), "{outside}");
        }
        let children = KeyRange::children(&key("/a"));
        assert!(children.contains(&key("/a/b")) && !children.contains(&key("/a/b/c")));
        let top = KeyRange::children(&key("/"));
        assert!(top.contains(&key("/a")) && !top.contains(&key("/")) && !top.contains(&key("/a/b")));
        let all = KeyRange::below(&key("/"));
        assert!(all.contains(&key("/z/z")) && all.contains(&key("/\u{1}")) && !all.contains(&key("/")));
    }
}
