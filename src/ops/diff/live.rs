//! A snapshot against a directory of this machine: the walk is merged with the snapshot's entries, and a file that
//! looks changed is read and compared chunk by chunk with the ids, so that nothing is fetched from the store.

use super::{Change, DiffError, DiffStats, Side, Unlisted, judge, tell};
use crate::base::limits::BATCH_BYTES;
use crate::base::path::{path_of, subtree_prefix};
use crate::base::time::Time;
use crate::crypto::hash::content_id;
use crate::format::compare::Facts;
use crate::format::extension::{FLAG_NOCOW, file_flags, with_file_flags};
use crate::format::list::Item;
use crate::format::tree::{Content, Entry, EntryKind};
use crate::monitor::{Monitor, Problem};
use crate::ops::list::LIST_CACHE_BYTES;
use crate::source::{FoundEntry, Source, SourceFile, Walked};
use crate::store::Store;
use crate::tree::cursor::{Place, TreeCursor};
use crate::tree::reader::Reader;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

/// How to compare with a directory.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalOptions {
    /// Read every file, also those whose size, times and inode are as recorded.
    pub read_all: bool,
    /// A file may have another inode number and be unchanged.
    pub ignore_inode: bool,
    /// A file may have another ctime and be unchanged; attributes are then read of each.
    pub ignore_ctime: bool,
}

/// Gives every difference of what `source` walks (with the keys of the snapshot's place) from the snapshot, in tree
/// order, until `each` breaks. The index must be loaded.
pub fn with_directory(
    store: &Arc<Store>,
    before: &Side<'_>,
    source: &dyn Source,
    options: LocalOptions,
    each: &mut dyn FnMut(&Change<'_>) -> ControlFlow<()>,
    monitor: &dyn Monitor,
) -> Result<DiffStats, DiffError> {
    let range = before.range.clone();
    let reader = || Reader::new(store.clone(), LIST_CACHE_BYTES);
    let mut merge = Merge {
        cursor: TreeCursor::new(reader(), before.snapshot, range.clone()),
        lists: reader(),
        chunk_key: store.ring.keys.chunk_id.clone(),
        source,
        options,
        trusted_before: before.snapshot.manifest.started.plus_seconds(-2),
        unlisted: Unlisted::new(before.unlisted),
        unlisted_now: Unlisted::default(),
        stats: DiffStats { unreadable: before.unlisted.into(), ..DiffStats::default() },
        each,
        monitor,
        over: false,
        lost: Lost::Nothing,
        buffer: Vec::new(),
    };
    let mut failed = None;
    source
        .walk(&mut |walked| match walked {
            Walked::Entry(found) if !range.contains(&found.key) => true,
            Walked::Entry(found) => {
                let flow = merge.found(found).unwrap_or_else(|e| {
                    failed = Some(e);
                    ControlFlow::Break(())
                });
                flow.is_continue()
            }
            Walked::Error { path, error } => {
                merge.unreadable(path, &error);
                true
            }
            Walked::Incomplete { key } => {
                merge.not_listed(&key);
                true
            }
            Walked::Skipped { .. } => true,
        })
        .map_err(DiffError::Source)?;
    match failed {
        Some(error) => Err(error),
        None if merge.over => Ok(merge.stats),
        None => {
            _ = merge.removed_before(None)?;
            Ok(merge.stats)
        }
    }
}

/// Entries of the snapshot that cannot be read.
enum Lost {
    Nothing,
    /// Everything below this key.
    Until(Vec<u8>),
    /// Everything that is left.
    Rest,
}

struct Merge<'a> {
    cursor: TreeCursor<Reader>,
    lists: Reader,
    chunk_key: crate::crypto::keys::Key,
    source: &'a dyn Source,
    options: LocalOptions,
    /// A change of a younger ctime could hide in the clock's grain.
    trusted_before: Time,
    /// Directories that could not be listed when they were backed up, and those that cannot be now.
    unlisted: Unlisted,
    unlisted_now: Unlisted,
    stats: DiffStats,
    each: &'a mut dyn FnMut(&Change<'_>) -> ControlFlow<()>,
    monitor: &'a dyn Monitor,
    over: bool,
    lost: Lost,
    buffer: Vec<u8>,
}

impl Merge<'_> {
    /// Something found on this machine: what the snapshot has before it is gone, what it has at its key is compared.
    fn found(&mut self, found: FoundEntry) -> Result<ControlFlow<()>, DiffError> {
        if self.removed_before(Some(&found.key))?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let before = match self.cursor.peek() {
            Some((key, Place::Entry)) if key == found.key.as_slice() => self.cursor.skip(),
            _ => None,
        };
        let flow = match before {
            Some(before) => self.compare(&before, found)?,
            None if self.is_lost(&found.key) || self.unlisted.covers(&found.key) => ControlFlow::Continue(()),
            None => tell(None, Some(&as_entry(found)), &mut self.stats, self.each),
        };
        self.over = flow.is_break();
        Ok(flow)
    }

    /// Tells of the snapshot's entries below `key` (all that are left without one) as removed.
    fn removed_before(&mut self, key: Option<&[u8]>) -> Result<ControlFlow<()>, DiffError> {
        loop {
            let (is_entry, first) = match self.cursor.peek() {
                Some((first, place)) if key.is_none_or(|key| first <= key) => {
                    (matches!(place, Place::Entry), first.to_vec())
                }
                _ => return Ok(ControlFlow::Continue(())),
            };
            if !is_entry {
                self.descend(&first)?;
            } else if key.is_some_and(|key| first == key) {
                return Ok(ControlFlow::Continue(()));
            } else if self.unlisted_now.covers(&first) {
                _ = self.cursor.skip();
            } else if tell(self.cursor.skip().as_ref(), None, &mut self.stats, self.each).is_break() {
                self.over = true;
                return Ok(ControlFlow::Break(()));
            }
        }
    }

    fn descend(&mut self, first: &[u8]) -> Result<(), DiffError> {
        self.stats.nodes_opened += 1;
        let error = match self.cursor.descend() {
            Ok(()) => return Ok(()),
            Err(e) if e.is_damage() || e.is_unreadable() => e,
            Err(e) => return Err(e.into()),
        };
        let DiffStats { damaged, store_unreadable, .. } = &mut self.stats;
        *(if error.is_damage() { damaged } else { store_unreadable }) += 1;
        self.monitor.problem(&super::damaged_node(first, &error));
        self.lost = self.cursor.peek().map_or(Lost::Rest, |(next, _)| Lost::Until(next.to_vec()));
        Ok(())
    }

    fn is_lost(&self, key: &[u8]) -> bool {
        match &self.lost {
            Lost::Nothing => false,
            Lost::Until(next) => key < next.as_slice(),
            Lost::Rest => true,
        }
    }

    fn compare(&mut self, before: &Entry, mut found: FoundEntry) -> Result<ControlFlow<()>, DiffError> {
        if Unlisted::is(before) {
            self.stats.unreadable += 1;
            self.unlisted.add(&subtree_prefix(&before.key));
            self.monitor.problem(&Unlisted::problem(before));
        }
        let same_inode_state = self.is_same(before, &found);
        if same_inode_state && !self.options.read_all && !self.options.ignore_ctime {
            // Nothing about the inode has changed since: neither its attributes nor its content.
            found.meta.xattrs.clone_from(&before.meta.xattrs);
            found.flags |= file_flags(&before.extensions) & FLAG_NOCOW;
        } else {
            found.flags |= self.source.more_flags(&found);
            match self.source.xattrs(&found) {
                Ok(xattrs) => found.meta.xattrs = xattrs,
                Err(error) => {
                    self.unreadable(path_of(&found.key), &error);
                    return Ok(ControlFlow::Continue(()));
                }
            }
        }
        let (a, b) = (&before.meta, &found.meta);
        let is_file = (a.kind, b.kind) == (EntryKind::File, EntryKind::File);
        let content_differs = if !is_file {
            false
        } else if a.size != b.size || before.content == Content::Unreadable {
            true
        } else if same_inode_state && !self.options.read_all {
            false
        } else {
            match self.file_differs(before, &found)? {
                Ok(differs) => differs,
                Err(error) => {
                    self.unreadable(path_of(&found.key), &error);
                    return Ok(ControlFlow::Continue(()));
                }
            }
        };
        let after = as_entry(found);
        let facts = [before, &after].map(|entry| Facts::of(&entry.meta, &entry.extensions));
        let Some((marker, fields)) = judge(&facts[0], &facts[1], content_differs) else {
            return Ok(ControlFlow::Continue(()));
        };
        self.stats.count(marker, Some(before), Some(&after));
        let path = path_of(&after.key);
        Ok((self.each)(&Change { marker, path, before: Some(before), after: Some(&after), fields }))
    }

    /// Whether nothing can have been written to the inode since, by what the backup goes by too.
    fn is_same(&self, before: &Entry, found: &FoundEntry) -> bool {
        let (a, b, options) = (&before.meta, &found.meta, self.options);
        !before.changed_while_read
            && a.mtime == b.mtime
            && (options.ignore_inode || a.inode == b.inode)
            && ((a.ctime == b.ctime && a.ctime < self.trusted_before)
                || (options.ignore_ctime && a.mtime < self.trusted_before))
    }

    /// In this directory something could not be looked at.
    fn not_listed(&mut self, key: &[u8]) {
        self.unlisted_now.add(&subtree_prefix(key));
    }

    /// Whether the file's bytes are others than the snapshot's. The inner error is the file's, the outer one the store's.
    fn file_differs(&mut self, before: &Entry, found: &FoundEntry) -> Result<io::Result<bool>, DiffError> {
        let file = match self.source.open(found) {
            Ok(file) => file,
            Err(error) => return Ok(Err(error)),
        };
        if let Content::Inline(bytes) = &before.content {
            self.buffer.resize(bytes.len() + 1, 0);
            return Ok(file.read_at(0, &mut self.buffer).map(|n| &self.buffer[..n] != bytes.as_slice()));
        }
        let (mut offset, mut outcome) = (0, Ok(false));
        let (buffer, key) = (&mut self.buffer, &self.chunk_key);
        self.lists.items(&before.content, &mut |item| {
            outcome = item_differs(file.as_ref(), offset, &item, key, buffer);
            offset += item.len();
            if matches!(outcome, Ok(false)) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(outcome)
    }

    fn unreadable(&mut self, path: Vec<u8>, error: &io::Error) {
        self.stats.unreadable += 1;
        self.monitor.problem(&Problem { path, message: error.to_string() });
    }
}

fn item_differs(
    file: &dyn SourceFile,
    offset: u64,
    item: &Item,
    key: &[u8; 32],
    buffer: &mut Vec<u8>,
) -> io::Result<bool> {
    match item {
        Item::Chunk { id, len } => {
            buffer.resize(*len as usize, 0);
            let n = file.read_at(offset, buffer)?;
            Ok(n != buffer.len() || content_id(key, buffer) != *id)
        }
        Item::Hole { len } => {
            let end = offset.saturating_add(*len);
            let mut at = offset;
            // Ranges of data in the file that lie where the snapshot has a hole must be zeros.
            while let Some((start, data_end)) = file.next_data(at, end)? {
                let data_end = data_end.min(end);
                at = start.max(at);
                while at < data_end {
                    buffer.resize((data_end - at).min(BATCH_BYTES as u64) as usize, 0);
                    let n = file.read_at(at, buffer)?;
                    if n != buffer.len() || buffer.iter().any(|&byte| byte != 0) {
                        return Ok(true);
                    }
                    at += n as u64;
                }
                if at >= end {
                    break;
                }
            }
            Ok(false)
        }
    }
}

/// What was found, for the telling; its content is not compared through this.
fn as_entry(found: FoundEntry) -> Entry {
    Entry {
        key: found.key,
        meta: found.meta,
        content: Content::Empty,
        changed_while_read: false,
        extensions: with_file_flags(found.flags),
    }
}
