//! scan: the stream of entries in tree order, merge-joined with the parent snapshot, cut into numbered batches.
//!
//! Takes: the source's walk and the parent's entries. Gives: [`Batch`]es in order. Owns: batch numbers, hard-link
//! groups not yet complete. Bound: one permit a batch. Errors: what the walk could not look at is told and passed over.

use super::context::BackupContext;
use super::item::{Batch, BatchEntry, BigFile, HEADROOM, Link, LinkGroup, Plan, Stretch};
use super::parent::ParentEntries;
use crate::base::limits::{BATCH_BYTES, BATCH_ENTRIES, LINK_GROUPS_MAX};
use crate::base::path::path_of;
use crate::base::time::Time;
use crate::chunking::Hits;
use crate::format::extension::{FLAG_NOCOW, file_flags};
use crate::format::list::Item;
use crate::format::tree::{Content, Entry, EntryKind, Meta};
use crate::index::Index;
use crate::monitor::Counter;
use crate::pipeline::backup::BackupError;
use crate::source::{FoundEntry, MadeUp, Source, Walked};
use crossbeam_channel::Sender;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What a file is recognised by as the parent snapshot's.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trust {
    /// Nothing: every file is read.
    pub force: bool,
    /// Its inode number may be another: file systems that make numbers up give a file another one in every mount.
    pub ignore_inode: bool,
    /// Its ctime may be another. What is unchanged then rests on mtime alone, and attributes are read each time.
    pub ignore_ctime: bool,
}

/// Runs the walk to its end on this thread.
pub fn run(
    context: &Arc<BackupContext>,
    source: &dyn Source,
    parent: Option<ParentEntries>,
    trust: Trust,
    output: Sender<Batch>,
) {
    let description = source.describe();
    let mut scanner = Scanner {
        context,
        source,
        parent,
        trust,
        trust_unchanged: !trust.force && description.stable_identity,
        output,
        next: 0,
        batch: None,
        used: 0,
        usual: 0,
        links: HashMap::new(),
    };
    let walked = source.walk(&mut |walked| scanner.take(walked));
    if let Err(error) = walked {
        context.failure.set(BackupError::Source { what: "cannot walk", path: "the source".into(), source: error });
    }
    scanner.flush();
}

/// Whether a part of a file's content lies where it can be relied on.
pub fn item_is_stored(index: &Index, item: &Item) -> bool {
    match item {
        Item::Chunk { id, .. } => index.contains(id),
        Item::Hole { .. } => true,
    }
}

struct Scanner<'a> {
    context: &'a Arc<BackupContext>,
    source: &'a dyn Source,
    parent: Option<ParentEntries>,
    trust: Trust,
    trust_unchanged: bool,
    output: Sender<Batch>,
    next: u64,
    batch: Option<Batch>,
    used: usize,
    /// Entries of the batch before: the next one has as much room from the first.
    usual: usize,
    /// Files of which more names may come, and how many.
    links: HashMap<LinkKey, (Arc<LinkGroup>, u64)>,
}

/// What two names must have in common to be one file's. Device and inode are not enough: in a union of file systems
/// unrelated files have equal ones, and each of them may have several names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct LinkKey {
    device: u64,
    inode: u64,
    nlink: u64,
    size: u64,
    mtime: Time,
    ctime: Time,
    mode: u32,
    owner: (u32, u32),
}

impl LinkKey {
    fn of(meta: &Meta) -> LinkKey {
        let Meta { device, inode, nlink, size, mtime, ctime, mode, uid, gid, .. } = *meta;
        LinkKey { device, inode, nlink, size, mtime, ctime, mode, owner: (uid, gid) }
    }
}

impl Scanner<'_> {
    /// One thing the walk found. False ends the walk.
    fn take(&mut self, walked: Walked) -> bool {
        match walked {
            Walked::Entry(found) => self.context.meters.scan.work(|| self.entry(found)),
            Walked::Error { path, error } => self.context.problem(&path, error.to_string()),
            Walked::Incomplete { key } => self.context.not_listed(key),
            Walked::Skipped { path, reason } => self.context.skipped(&path, reason),
        }
        !self.context.stopping()
    }

    fn entry(&mut self, found: FoundEntry) {
        let before = self.parent.as_mut().and_then(|p| p.take(&found.key));
        let trusted_before = self.parent.as_ref().map(|p| p.trusted_before);
        let mut entry = BatchEntry {
            found,
            plan: Plan::Nothing,
            xattrs: None,
            bytes: 0..0,
            chunks: 0..0,
            changed: false,
            before: None,
            parent: None,
            link: None,
        };
        if let (Some(comparison), Some(old)) = (&self.context.comparison, &before) {
            entry.parent = Some(Box::new(old.clone()));
            if !self.is_stored(&old.content) && old.content != Content::Unreadable {
                // The store lost it: what is stored anew must come into a snapshot to count.
                comparison.found_difference();
            }
        }
        if let (Some(old), Some(limit)) = (&before, trusted_before) {
            // The same inode with equal ctime, which is not so young that a change could hide in the clock's grain:
            // attributes are the same. Two files may well have one ctime.
            let trusted = self.trust_unchanged && !self.trust.ignore_ctime && !self.trust.ignore_inode;
            let (was, is) = (&old.meta, &entry.found.meta);
            let same = (was.kind, was.inode, was.ctime) == (is.kind, is.inode, is.ctime);
            if trusted && same && was.ctime < limit {
                entry.xattrs = Some(old.meta.xattrs.clone());
                // The others are told by looking.
                entry.found.flags |= file_flags(&old.extensions) & FLAG_NOCOW;
            }
        }
        if entry.found.meta.kind != EntryKind::File {
            if entry.found.meta.kind == EntryKind::Symlink && entry.found.meta.target.is_empty() {
                entry.plan = Plan::Unreadable;
            }
            return self.add(entry);
        }
        entry.link = self.link(&entry.found);
        if let Some(Link::Later(_)) = entry.link {
            entry.plan = Plan::Linked;
            return self.add(entry);
        }
        let made_up = if entry.found.meta.size == 0 { self.source.made_up(&entry.found) } else { MadeUp::No };
        // What is said of these tells nothing of their content.
        let reads = matches!(made_up, MadeUp::Root | MadeUp::Near);
        match before {
            Some(old) if !reads && self.unchanged(&old, &entry.found, trusted_before) => {
                if made_up == MadeUp::Apart {
                    self.source.left_unread();
                }
                self.context.monitor.add(Counter::FilesUnchanged, 1);
                self.context.monitor.add(Counter::BytesUnchanged, entry.found.meta.size);
                entry.plan = Plan::Parent(old.content);
                return self.add(entry);
            }
            Some(old) => {
                self.context.counts.files_changed.fetch_add(1, Relaxed);
                entry.before = Some(old.content);
            }
            None => _ = self.context.counts.files_new.fetch_add(1, Relaxed),
        }
        self.plan_reading(entry);
    }

    /// A file that is read, in a batch with others or for itself.
    fn plan_reading(&mut self, mut entry: BatchEntry) {
        let mut size = entry.found.meta.size;
        if size > BATCH_BYTES as u64 && matches!(self.source.made_up(&entry.found), MadeUp::Near | MadeUp::Apart) {
            // Whole address spaces, say: it is read as one of which no length is known, if at all.
            (size, entry.found.meta.size, entry.found.sparse) = (0, 0, false);
        }
        if entry.found.streaming || entry.found.sparse || size > BATCH_BYTES as u64 {
            self.big(entry);
        } else {
            // Empty ones too: by the time they are read they may be empty no more.
            entry.plan = Plan::Read;
            self.add(entry);
        }
    }

    /// Whether the parent's content stands for this file. The device is ignored: it changes from mount to mount.
    ///
    /// Whatever changes a file sets its ctime, and nobody can set that back: an old one is enough, also where the mtime
    /// lies in the future. A size that is not that of the content was never the file's.
    fn unchanged(&self, old: &Entry, found: &FoundEntry, trusted_before: Option<Time>) -> bool {
        let Some(limit) = trusted_before else { return false };
        let (Trust { ignore_inode, ignore_ctime, .. }, a, b) = (self.trust, &old.meta, &found.meta);
        self.trust_unchanged
            && a.kind == EntryKind::File
            && !found.untimed
            && !old.changed_while_read
            && old.content != Content::Unreadable
            && (a.size, a.mtime) == (b.size, b.mtime)
            && (ignore_inode || a.inode == b.inode)
            // An old ctime counts for --ignore-ctime too, since an mtime in the future is never old enough.
            && ((a.ctime == b.ctime && a.ctime < limit) || (ignore_ctime && a.mtime < limit))
            && old.content.stored_len().is_none_or(|len| len == a.size)
            && self.is_stored(&old.content)
    }

    /// Whether the store still knows where the content lies: what a lost or damaged pack or index segment took with it
    /// must be read again, not referred to again. (Of a long file only the root of its list is asked for, unless damage
    /// is on record.)
    fn is_stored(&self, content: &Content) -> bool {
        let index = self.context.index.read();
        match content {
            Content::Items(items) => items.iter().all(|item| item_is_stored(&index, item)),
            Content::List { id, .. } => {
                let (known, any_suspect) = (index.contains(id), !index.suspects().is_empty());
                // What reads a list may have damage to note there.
                drop(index);
                known && (!any_suspect || self.parent.as_ref().is_some_and(|parent| parent.is_list_stored(content)))
            }
            Content::Empty | Content::Inline(_) => true,
            Content::Unreadable => false,
        }
    }

    /// What a file with several names is among them. Groups beyond the bound are read again.
    fn link(&mut self, found: &FoundEntry) -> Option<Link> {
        if found.meta.nlink < 2 {
            return None;
        }
        let key = LinkKey::of(&found.meta);
        if let Some((group, left)) = self.links.get_mut(&key) {
            let group = group.clone();
            *left -= 1;
            if *left == 0 {
                self.links.remove(&key);
            }
            return Some(Link::Later(group));
        }
        if self.links.len() >= LINK_GROUPS_MAX {
            return None;
        }
        let group = Arc::new(LinkGroup::default());
        self.links.insert(key, (group.clone(), found.meta.nlink - 1));
        Some(Link::First(group))
    }

    /// Appends an entry to the open batch.
    fn add(&mut self, mut entry: BatchEntry) {
        let bytes = if matches!(entry.plan, Plan::Read) { entry.found.meta.size as usize } else { 0 };
        let full = |b: &Batch| b.entries.len() >= BATCH_ENTRIES;
        if self.used + bytes > BATCH_BYTES || self.batch.as_ref().is_some_and(full) {
            self.flush();
        }
        if self.batch.is_none() {
            self.batch = self.open_batch();
            self.batch.iter_mut().for_each(|batch| batch.entries.reserve_exact(self.usual));
        }
        let Some(batch) = &mut self.batch else { return };
        let at = HEADROOM + self.used;
        entry.bytes = at as u32..(at + bytes) as u32;
        self.used += bytes;
        batch.entries.push(entry);
    }

    fn open_batch(&mut self) -> Option<Batch> {
        let start = std::time::Instant::now();
        let buffer = self.context.budget.take(&self.context.failure);
        self.context.meters.scan.was_waiting_out(start);
        self.next += 1;
        let (buffer, entries) = (buffer?, vec![]);
        Some(Batch { seq: self.next - 1, part: 0, last: true, buffer, segment: None, entries, generation: 0 })
    }

    /// Hands the open batch out.
    fn flush(&mut self) {
        self.used = 0;
        if let Some(batch) = self.batch.take() {
            self.usual = batch.entries.len();
            self.context.meters.scan.send(&self.output, batch);
        }
    }

    /// A big, sparse or streamed file: a run of batches, one a segment, the entry with the last.
    fn big(&mut self, mut entry: BatchEntry) {
        self.flush();
        let found = FoundEntry { key: entry.found.key.clone(), meta: entry.found.meta.clone(), ..entry.found };
        let file = Arc::new(BigFile::new(found, entry.link.clone()));
        entry.found = FoundEntry {
            key: file.found.key.clone(),
            meta: file.found.meta.clone(),
            handle: file.found.handle.clone(),
            ..file.found
        };
        entry.plan = Plan::Big(file.clone());
        if file.found.streaming { self.stream(&file, entry) } else { self.ranges(&file, entry) }
    }

    /// Segments of the file's data ranges; holes lie between them.
    fn ranges(&mut self, file: &Arc<BigFile>, entry: BatchEntry) {
        let size = file.found.meta.size;
        let (mut at, mut hole_from) = (0, 0);
        while at < size && !self.context.stopping() {
            let (start, end) = match self.next_data(file, at, size) {
                Some((start, end)) => (start.clamp(at, size), end.clamp(at, size)),
                None => break,
            };
            if end <= start {
                break;
            }
            let mut offset = start;
            while offset < end && !self.context.stopping() {
                let len = (end - offset).min(BATCH_BYTES as u64) as usize;
                let hole_before = if offset == start { start - hole_from } else { 0 };
                let ends = offset + len as u64 == end;
                self.segment(Stretch {
                    file: file.clone(),
                    hole_before,
                    offset,
                    len,
                    continues: offset > start,
                    ends,
                    present: false,
                    short: false,
                    carried: 0,
                    hits: Hits::default(),
                });
                offset += len as u64;
            }
            (at, hole_from) = (end, end);
        }
        // A last, empty segment carries the hole at the end and the entry; whoever reads it looks whether the file goes on.
        let hole_before = size - hole_from;
        let last = Stretch {
            file: file.clone(),
            hole_before,
            offset: size,
            len: 0,
            continues: false,
            ends: true,
            present: true,
            short: false,
            carried: 0,
            hits: Hits::default(),
        };
        self.finish_big(last, entry);
    }

    fn next_data(&self, file: &Arc<BigFile>, at: u64, size: u64) -> Option<(u64, u64)> {
        if !file.found.sparse {
            return Some((at, size));
        }
        let open = super::read::open_big(self.context, self.source, file)?;
        match open.next_data(at, size) {
            Ok(range) => range,
            Err(_) => Some((at, size)),
        }
    }

    /// A stream is read here, since only reading tells where it ends.
    fn stream(&mut self, file: &Arc<BigFile>, entry: BatchEntry) {
        let mut offset = 0;
        // Neither half a stream nor one that could not begin is a backup of it.
        let failed = |error| {
            let path = String::from_utf8_lossy(&path_of(&file.found.key)).into_owned();
            self.context.failure.set(BackupError::Source {
                what: "nothing was committed: cannot read",
                path,
                source: error,
            });
        };
        let open = match self.source.open(&file.found) {
            Ok(open) => open,
            Err(error) => return failed(error),
        };
        open.give_up_when(self.context.failure.flag());
        loop {
            let Some(mut batch) = self.open_batch() else { return };
            let read = open.read_at(offset, &mut batch.buffer.plain[HEADROOM..][..BATCH_BYTES]);
            let len = match read {
                Ok(len) => len,
                // Told to stop while it waited: the run ends as interrupted.
                Err(_) if self.context.stopping() => return,
                Err(error) => return failed(error),
            };
            self.context.monitor.add(Counter::BytesRead, len as u64);
            let ends = len < BATCH_BYTES;
            batch.segment = Some(Stretch {
                file: file.clone(),
                hole_before: 0,
                offset,
                len,
                continues: offset > 0,
                ends,
                present: true,
                short: false,
                carried: 0,
                hits: Hits::default(),
            });
            offset += len as u64;
            if ends || self.context.stopping() {
                batch.entries.push(entry);
                self.context.meters.scan.send(&self.output, batch);
                return;
            }
            self.context.meters.scan.send(&self.output, batch);
        }
    }

    fn segment(&mut self, segment: Stretch) {
        let Some(mut batch) = self.open_batch() else { return };
        batch.segment = Some(segment);
        self.context.meters.scan.send(&self.output, batch);
    }

    fn finish_big(&mut self, segment: Stretch, entry: BatchEntry) {
        let Some(mut batch) = self.open_batch() else { return };
        batch.segment = Some(segment);
        batch.entries.push(entry);
        self.context.meters.scan.send(&self.output, batch);
    }
}
