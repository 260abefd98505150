//! `diff`: what differs between two snapshots, or between a snapshot and a directory of this machine.
//!
//! Two snapshots are walked side by side. Where both stand before subtrees of equal id, all of it is stepped over: the
//! cost follows the difference, not the size.

mod live;
mod unlisted;

pub use live::{LocalOptions, with_directory};

use super::list::damaged_node;
use crate::base::path::{path_of, subtree_prefix};
use crate::format::compare::{Facts, Fields, differences};
use crate::format::tree::{Content, Entry, EntryKind};
use crate::monitor::Monitor;
use crate::store::snapshots::Snapshot;
use crate::store::{Store, StoreError};
use crate::tree::cursor::{Nodes, Place, TreeCursor};
use crate::tree::place::{KeyRange, PlaceError, entry_at};
use crate::tree::reader::Reader;
use std::cmp::Ordering;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use unlisted::Unlisted;

/// Why a comparison did not come to its end. What cannot be read of single entries is no such reason.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiffError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is nothing of this path in the snapshot.
    #[error(transparent)]
    Place(PlaceError),
    /// The directory of this machine could not be walked.
    #[error("cannot walk the directory: {0}")]
    Source(#[source] io::Error),
}

impl From<PlaceError> for DiffError {
    fn from(error: PlaceError) -> DiffError {
        match error {
            PlaceError::Store(error) => DiffError::Store(error),
            error => DiffError::Place(error),
        }
    }
}

/// What happened to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// Only in the second.
    Added,
    /// Only in the first.
    Removed,
    /// Its content differs: bytes of a file, target of a link, numbers of a device.
    Modified,
    /// It is of another kind.
    Type,
    /// Only its metadata differs.
    Metadata,
}

impl Marker {
    /// `+`, `-`, `M`, `T`, `U`.
    pub fn letter(self) -> char {
        match self {
            Marker::Added => '+',
            Marker::Removed => '-',
            Marker::Modified => 'M',
            Marker::Type => 'T',
            Marker::Metadata => 'U',
        }
    }
}

/// One entry that differs.
#[derive(Debug)]
pub struct Change<'a> {
    /// In what it differs.
    pub marker: Marker,
    /// Its path, in the second when it is there.
    pub path: Vec<u8>,
    /// In the first.
    pub before: Option<&'a Entry>,
    /// In the second.
    pub after: Option<&'a Entry>,
    /// Which fields differ, when it is in both.
    pub fields: Vec<&'static str>,
}

/// What a comparison met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiffStats {
    /// Entries of each marker.
    pub added: u64,
    /// Entries that are only on the side before.
    pub removed: u64,
    /// Files with other content.
    pub modified: u64,
    /// Entries that became another kind.
    pub type_changed: u64,
    /// Entries of which only the metadata differs.
    pub metadata_changed: u64,
    /// Bytes of files that are added or modified, as they are in the second.
    pub bytes_after: u64,
    /// Bytes of files that are removed or modified, as they were in the first.
    pub bytes_before: u64,
    /// Tree nodes opened.
    pub nodes_opened: u64,
    /// Nodes that are damaged: what they hold was not compared.
    pub damaged: u64,
    /// Nodes that the storage failed to give: what they hold was not compared.
    pub store_unreadable: u64,
    /// Files of the directory that could not be read, and directories that could not be listed, now or when they were
    /// backed up: what they lack is not told as removed or added.
    pub unreadable: u64,
}

impl DiffStats {
    /// Entries that differ.
    pub fn changes(&self) -> u64 {
        self.added + self.removed + self.modified + self.type_changed + self.metadata_changed
    }

    fn count(&mut self, marker: Marker, before: Option<&Entry>, after: Option<&Entry>) {
        match marker {
            Marker::Added => self.added += 1,
            Marker::Removed => self.removed += 1,
            Marker::Modified => self.modified += 1,
            Marker::Type => self.type_changed += 1,
            Marker::Metadata => {
                self.metadata_changed += 1;
                return;
            }
        }
        self.bytes_before += before.map_or(0, |e| e.meta.size);
        self.bytes_after += after.map_or(0, |e| e.meta.size);
    }
}

/// A snapshot, and what is compared of it.
pub struct Side<'a> {
    /// The snapshot of this side.
    pub snapshot: &'a Snapshot,
    /// Which of its keys.
    range: KeyRange,
    /// How many bytes of each key name the place itself.
    prefix_len: usize,
    /// The place is a directory that could not be listed.
    unlisted: bool,
}

impl<'a> Side<'a> {
    /// All of a snapshot.
    pub fn of_snapshot(snapshot: &'a Snapshot) -> Side<'a> {
        Side { snapshot, range: KeyRange::default(), prefix_len: 0, unlisted: false }
    }

    /// What lies in a directory of it, or one entry of another kind.
    pub fn at(reader: &mut Reader, snapshot: &'a Snapshot, path: &[u8]) -> Result<Side<'a>, DiffError> {
        let entry = entry_at(reader, snapshot, path)?;
        if entry.meta.kind == EntryKind::Directory {
            let prefix_len = subtree_prefix(&entry.key).len();
            let unlisted = entry.content == Content::Unreadable;
            return Ok(Side { snapshot, range: KeyRange::below(&entry.key), prefix_len, unlisted });
        }
        Ok(Side { snapshot, prefix_len: entry.key.len(), range: KeyRange::only(&entry.key), unlisted: false })
    }
}

/// Gives every difference in tree order until `each` breaks. The index must be loaded. Nodes that cannot be read are told to the monitor.
pub fn run(
    store: &Arc<Store>,
    before: &Side<'_>,
    after: &Side<'_>,
    each: &mut dyn FnMut(&Change<'_>) -> ControlFlow<()>,
    monitor: &dyn Monitor,
) -> Result<DiffStats, DiffError> {
    let reader = || Reader::new(store.clone(), super::list::LIST_CACHE_BYTES);
    let cursor = |side: &Side<'_>| TreeCursor::new(reader(), side.snapshot, side.range.clone());
    let same_place = before.range == after.range;
    let prefixes = [before.prefix_len, after.prefix_len];
    let (a, b) = (cursor(before), cursor(after));
    let unlisted = [before, after].map(|side| Unlisted::new(side.unlisted));
    let mut pair = Pair { a, b, prefixes, same_place, blind: Blind::default(), unlisted };
    let mut stats = pair.walk(each, monitor)?;
    stats.unreadable += [before, after].iter().filter(|side| side.unlisted).count() as u64;
    Ok(stats)
}

/// What the two cursors do next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Done,
    SkipBoth,
    DescendA,
    DescendB,
    DescendBoth,
    OnlyA,
    OnlyB,
    Both,
}

/// Keys (without the place's prefix) below which nothing is said, since one side's entries are lost.
#[derive(Default)]
struct Blind {
    until: Vec<u8>,
    to_the_end: bool,
}

struct Pair<N: Nodes> {
    a: TreeCursor<N>,
    b: TreeCursor<N>,
    /// Bytes at the front of each side's keys that name the place compared.
    prefixes: [usize; 2],
    /// Equal ids mean equal entries only when the keys are counted from the same place.
    same_place: bool,
    blind: Blind,
    /// Directories of each side that could not be listed when they were backed up.
    unlisted: [Unlisted; 2],
}

impl<N: Nodes> Pair<N> {
    fn walk(
        &mut self,
        each: &mut dyn FnMut(&Change<'_>) -> ControlFlow<()>,
        monitor: &dyn Monitor,
    ) -> Result<DiffStats, DiffError> {
        let mut stats = DiffStats::default();
        loop {
            let step = self.step();
            let (before, after) = match step {
                Step::Done => return Ok(stats),
                Step::SkipBoth => {
                    self.a.skip();
                    self.b.skip();
                    continue;
                }
                Step::DescendA | Step::DescendB | Step::DescendBoth => {
                    self.descend(step, &mut stats, monitor)?;
                    continue;
                }
                Step::OnlyA => (self.a.skip(), None),
                Step::OnlyB => (None, self.b.skip()),
                Step::Both => (self.a.skip(), self.b.skip()),
            };
            if self.is_blind(before.as_ref(), after.as_ref()) {
                continue;
            }
            for (side, entry) in [&before, &after].into_iter().enumerate() {
                if let Some(entry) = entry.as_ref().filter(|entry| Unlisted::is(entry)) {
                    stats.unreadable += 1;
                    let prefix = subtree_prefix(&entry.key);
                    self.unlisted[side].add(prefix.get(self.prefixes[side]..).unwrap_or_default());
                    monitor.problem(&Unlisted::problem(entry));
                }
            }
            if self.is_not_known(before.as_ref(), after.as_ref()) {
                continue;
            }
            if tell(before.as_ref(), after.as_ref(), &mut stats, each).is_break() {
                return Ok(stats);
            }
        }
    }

    fn step(&mut self) -> Step {
        let [a_len, b_len] = self.prefixes;
        let (a_key, a, b_key, b) = match (self.a.peek(), self.b.peek()) {
            (None, None) => return Step::Done,
            (Some((_, Place::Entry)), None) => return Step::OnlyA,
            (Some(_), None) => return Step::DescendA,
            (None, Some((_, Place::Entry))) => return Step::OnlyB,
            (None, Some(_)) => return Step::DescendB,
            (Some((a_key, a)), Some((b_key, b))) => (a_key, a, b_key, b),
        };
        let order = a_key.get(a_len..).unwrap_or_default().cmp(b_key.get(b_len..).unwrap_or_default());
        match (order, a, b) {
            (Ordering::Less, Place::Entry, _) => Step::OnlyA,
            (Ordering::Less, _, _) => Step::DescendA,
            (Ordering::Greater, _, Place::Entry) => Step::OnlyB,
            (Ordering::Greater, _, _) => Step::DescendB,
            (Ordering::Equal, Place::Entry, Place::Entry) => Step::Both,
            (Ordering::Equal, Place::Entry, _) => Step::DescendB,
            (Ordering::Equal, _, Place::Entry) => Step::DescendA,
            (Ordering::Equal, Place::Subtree { id: a, level: a_level }, Place::Subtree { id: b, level: b_level }) => {
                match a_level.cmp(&b_level) {
                    Ordering::Equal if a == b && self.same_place => Step::SkipBoth,
                    Ordering::Equal => Step::DescendBoth,
                    Ordering::Greater => Step::DescendA,
                    Ordering::Less => Step::DescendB,
                }
            }
        }
    }

    fn descend(&mut self, step: Step, stats: &mut DiffStats, monitor: &dyn Monitor) -> Result<(), DiffError> {
        let [a_len, b_len] = self.prefixes;
        if matches!(step, Step::DescendA | Step::DescendBoth) {
            descend(&mut self.a, a_len, &mut self.blind, stats, monitor)?;
        }
        if matches!(step, Step::DescendB | Step::DescendBoth) {
            descend(&mut self.b, b_len, &mut self.blind, stats, monitor)?;
        }
        Ok(())
    }

    /// Whether an entry of one side lies where the other could not be listed.
    fn is_not_known(&self, before: Option<&Entry>, after: Option<&Entry>) -> bool {
        let [a_len, b_len] = self.prefixes;
        let [a, b] = &self.unlisted;
        match (before, after) {
            (Some(entry), None) => entry.key.get(a_len..).is_some_and(|key| b.covers(key)),
            (None, Some(entry)) => entry.key.get(b_len..).is_some_and(|key| a.covers(key)),
            _ => false,
        }
    }

    fn is_blind(&self, before: Option<&Entry>, after: Option<&Entry>) -> bool {
        let [a_len, b_len] = self.prefixes;
        let key = match (before, after) {
            (Some(entry), _) => entry.key.get(a_len..),
            (None, Some(entry)) => entry.key.get(b_len..),
            (None, None) => None,
        };
        self.blind.to_the_end || key.is_some_and(|key| key < self.blind.until.as_slice())
    }
}

/// Opens the subtree at the cursor. One that is damaged blinds the comparison up to what follows it.
fn descend<N: Nodes>(
    cursor: &mut TreeCursor<N>,
    prefix_len: usize,
    blind: &mut Blind,
    stats: &mut DiffStats,
    monitor: &dyn Monitor,
) -> Result<(), DiffError> {
    stats.nodes_opened += 1;
    let key = cursor.peek().map(|(key, _)| key.to_vec()).unwrap_or_default();
    let error = match cursor.descend() {
        Ok(()) => return Ok(()),
        Err(e) if e.is_damage() || e.is_unreadable() => e,
        Err(e) => return Err(e.into()),
    };
    *(if error.is_damage() { &mut stats.damaged } else { &mut stats.store_unreadable }) += 1;
    monitor.problem(&damaged_node(&key, &error));
    match cursor.peek() {
        Some((next, _)) => blind.until = next.get(prefix_len..).unwrap_or_default().max(&blind.until).to_vec(),
        None => blind.to_the_end = true,
    }
    Ok(())
}

/// Tells of one entry that is in one or both, if it differs.
fn tell(
    before: Option<&Entry>,
    after: Option<&Entry>,
    stats: &mut DiffStats,
    each: &mut dyn FnMut(&Change<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let (marker, fields) = match (before, after) {
        (Some(a), Some(b)) => match compare(a, b) {
            Some(difference) => difference,
            None => return ControlFlow::Continue(()),
        },
        (Some(_), None) => (Marker::Removed, Vec::new()),
        (None, Some(_)) => (Marker::Added, Vec::new()),
        (None, None) => return ControlFlow::Continue(()),
    };
    stats.count(marker, before, after);
    let path = after.or(before).map(|e| path_of(&e.key)).unwrap_or_default();
    each(&Change { marker, path, before, after, fields })
}

/// How two entries of one path differ; `None` when nothing that a restore would bring back does. Inode numbers and
/// change times are the source's own affair.
pub fn compare(before: &Entry, after: &Entry) -> Option<(Marker, Vec<&'static str>)> {
    let content = before.content != after.content || before.meta.size != after.meta.size;
    let [a, b] = [before, after].map(|entry| Facts::of(&entry.meta, &entry.extensions));
    judge(&a, &b, content)
}

/// The same, when it is known whether the content differs.
fn judge(before: &Facts<'_>, after: &Facts<'_>, content_differs: bool) -> Option<(Marker, Vec<&'static str>)> {
    let fields = differences(before, after);
    let mut names = fields.names();
    if fields.contains(Fields::KIND) {
        return Some((Marker::Type, names));
    }
    if content_differs && before.kind == EntryKind::File {
        names.insert(0, "content");
        return Some((Marker::Modified, names));
    }
    if fields.intersects(Fields::ESSENCE) {
        return Some((Marker::Modified, names));
    }
    (!names.is_empty()).then_some((Marker::Metadata, names))
}

#[cfg(test)]
mod tests;
