//! `ls`: the entries of a snapshot.

use crate::format::tree::{Entry, EntryKind};
use crate::monitor::{Monitor, Problem};
use crate::store::snapshots::Snapshot;
use crate::store::{Store, StoreError};
use crate::tree::place::{KeyRange, PlaceError, entry_at};
use crate::tree::reader::Reader;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Opened blobs that listing keeps.
pub const LIST_CACHE_BYTES: usize = 8 << 20;

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// The place; without one the snapshot's sources and what is directly in them.
    pub path: Option<Vec<u8>>,
    /// List everything below, not only what lies directly there.
    pub recursive: bool,
}

/// What a listing met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListStats {
    /// Entries that were given.
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
) -> Result<ListStats, PlaceError> {
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
    fn sources(&mut self) -> Result<ControlFlow<()>, PlaceError> {
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
