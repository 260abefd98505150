//! Files that are longer than the walk said: they are read to their end, in further parts of their batch.
//!
//! The scanner has numbered the batches behind by then, and holds their permits. So a part takes its memory from the
//! reader that needs it: two buffers, which come back to it. A reader takes batches in ascending order, so what its
//! buffers wait for downstream never waits for it.

use super::context::BackupContext;
use super::item::{Batch, BatchEntry, BigFile, Buffer, HEADROOM, Link, Plan, Stretch};
use super::read::{RETRIES, end_hole, fail_big, now, open_big, tell, xattrs_of};
use crate::base::limits::BATCH_BYTES;
use crate::chunking::Hits;
use crate::source::{Fingerprint, Source, SourceFile};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;

/// Buffers of a reader beside the budget's: one is filled while another is worked on.
pub const SPARE_BUFFERS: usize = 2;

/// A reader's own buffers, made when they are first needed.
pub struct Spare {
    home: Sender<Buffer>,
    back: Receiver<Buffer>,
    made: Cell<usize>,
}

impl Default for Spare {
    fn default() -> Spare {
        let (home, back) = bounded(SPARE_BUFFERS);
        Spare { home, back, made: Cell::new(0) }
    }
}

impl Spare {
    /// Waits for one; `None` when the run fails.
    fn take(&self, context: &BackupContext) -> Option<Buffer> {
        let mut buffer = loop {
            if context.failure.is_set() {
                return None;
            }
            if let Ok(buffer) = self.back.try_recv() {
                break buffer;
            }
            if self.made.get() < SPARE_BUFFERS {
                self.made.set(self.made.get() + 1);
                break Buffer::new();
            }
            match self.back.recv_timeout(Duration::from_millis(50)) {
                Ok(buffer) => break buffer,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        };
        buffer.home = Some(self.home.clone());
        Some(buffer)
    }
}

/// A batch being read, and where its parts go.
pub struct Parts<'a> {
    /// What the stages share.
    pub context: &'a BackupContext,
    /// Where parts go; the caller hands the last one on.
    pub next: &'a dyn Fn(Batch),
    /// Memory for further parts; without it nothing can grow.
    pub spare: Option<&'a Spare>,
    /// The part being read.
    pub batch: Batch,
}

impl Parts<'_> {
    /// Hands the present part on and begins another. False when there is no memory for one: then nothing has happened.
    fn begin_next(&mut self) -> bool {
        let Some(buffer) = self.spare.and_then(|spare| spare.take(self.context)) else { return false };
        let (seq, part) = (self.batch.seq, self.batch.part + 1);
        let fresh = Batch { seq, part, last: true, buffer, segment: None, entries: Vec::new(), generation: 0 };
        let mut done = std::mem::replace(&mut self.batch, fresh);
        done.last = false;
        (self.next)(done);
        true
    }
}

/// Reads the file of the entry before `at`, which has outgrown its batch, as a big one. What comes after it becomes the
/// present part. Gives the bytes read.
pub fn read(file: Box<dyn SourceFile>, parts: &mut Parts<'_>, at: usize) -> u64 {
    let rest = parts.batch.entries.split_off(at);
    let Some(mut entry) = parts.batch.entries.pop() else { return 0 };
    let begun = match begin(file, &mut entry, parts.context) {
        Ok(begun) => begun,
        Err(error) => {
            tell(parts.context, &entry.found.key, &error);
            entry.link.iter().for_each(Link::went_astray);
            entry.plan = Plan::Unreadable;
            parts.batch.entries.push(entry);
            parts.batch.entries.extend(rest);
            return 0;
        }
    };
    if !parts.begin_next() {
        entry.plan = Plan::Unreadable;
        parts.batch.entries.push(entry);
        return 0;
    }
    let bytes = stream(&begun, 0, entry, parts);
    if !rest.is_empty() && parts.begin_next() {
        parts.batch.entries = rest;
    }
    bytes
}

/// The entry becomes that of a big file, as it is now.
fn begin(file: Box<dyn SourceFile>, entry: &mut BatchEntry, context: &BackupContext) -> io::Result<Arc<BigFile>> {
    let meta = &mut entry.found.meta;
    let seen = file.fingerprint()?.unwrap_or(Fingerprint::of(meta));
    if seen != Fingerprint::of(meta) {
        let walked = meta.inode;
        now(meta, file.as_ref(), &seen)?;
        meta.size = seen.size;
        if seen.inode != walked {
            entry.link.iter().for_each(Link::went_astray);
        }
    }
    entry.bytes = 0..0;
    let found = entry.found.clone();
    let mut big = BigFile::new(found, entry.link.clone());
    big.xattrs = xattrs_of(context, &entry.found.key, file.xattrs()).unwrap_or_default().into();
    big.file = Some(file).into();
    let big = Arc::new(big);
    entry.plan = Plan::Big(big.clone());
    Ok(big)
}

/// The end of a big file: where the walk said it is, or further on. Gives the bytes read.
pub fn read_on(source: &dyn Source, parts: &mut Parts<'_>) -> u64 {
    let context = parts.context;
    let Batch { segment: Some(segment), entries, buffer, .. } = &mut parts.batch else { return 0 };
    let big = segment.file.clone();
    if big.found.streaming || segment.len > 0 || entries.is_empty() || parts.spare.is_none() {
        return 0;
    }
    let Some(file) = open_big(context, source, &big) else { return 0 };
    if big.failed.load(Acquire) {
        return 0;
    }
    let end = segment.offset;
    let looked = file.fingerprint().and_then(|now| {
        // Nothing was read yet that could be of an earlier state.
        _ = big.read_again(context, source, file, now, true)?;
        Ok((now, file.read_some(end, &mut buffer.plain[..1])?))
    });
    let (now, more) = match looked {
        Ok(looked) => looked,
        Err(error) => {
            fail_big(context, &big, &error);
            return 0;
        }
    };
    if more == 0 {
        end_hole(segment, now);
        return 0;
    }
    // The hole before it, if there is one, comes first.
    let Some(entry) = entries.pop() else { return 0 };
    if parts.begin_next() { stream(&big, end, entry, parts) } else { 0 }
}

/// Reads a file from `offset` to its end, one part after the other; the last one has the entry and is the present one.
fn stream(big: &Arc<BigFile>, start: u64, entry: BatchEntry, parts: &mut Parts<'_>) -> u64 {
    let context = parts.context;
    let Some(Some(file)) = big.file.get() else { return 0 };
    let (mut offset, mut known, mut rounds) = (start, 0, 0);
    loop {
        let read = file.read_at(offset, &mut parts.batch.buffer.plain[HEADROOM..HEADROOM + BATCH_BYTES]);
        let len = read.unwrap_or_else(|error| {
            fail_big(context, big, &error);
            0
        });
        let segment = Stretch {
            file: big.clone(),
            hole_before: 0,
            offset,
            len,
            continues: offset > start,
            ends: len < BATCH_BYTES,
            present: true,
            short: false,
            carried: 0,
            hits: Hits::default(),
        };
        parts.batch.segment = Some(segment);
        offset += len as u64;
        let mut ends = len < BATCH_BYTES || context.stopping();
        // A file that is written faster than it is read has no end: what was there a few looks ago will do.
        if !ends && offset >= known {
            match file.fingerprint() {
                Ok(Some(now)) if now.size > offset => (known, rounds) = (now.size, rounds + 1),
                _ => {}
            }
            ends = rounds > RETRIES;
            big.changed.fetch_or(ends, Release);
        }
        if ends || !parts.begin_next() {
            finish(big, file.as_ref(), context);
            if let Some(segment) = &mut parts.batch.segment {
                segment.ends = true;
            }
            parts.batch.entries.push(entry);
            return offset - start;
        }
    }
}

/// Whether what was read is one state of the file.
fn finish(big: &BigFile, file: &dyn SourceFile, context: &BackupContext) {
    match file.fingerprint() {
        // What is said of the length means nothing: what was read is all there is.
        Ok(now) => _ = big.changed.fetch_or(now.is_some_and(|now| now != big.fingerprint()), Release),
        Err(error) => fail_big(context, big, &error),
    }
}
