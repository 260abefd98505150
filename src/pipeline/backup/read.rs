//! read: bytes into the batch's own memory, with proof that the file did not change meanwhile.
//!
//! Takes: [`Batch`]es in any order (several threads). Gives: them with their bytes, attributes and flaws.
//! Bound: the permits. Errors: a file that cannot be read is told and marked; the run goes on.

use super::context::Context;
use super::item::{Batch, BatchEntry, BigFile, HEADROOM, Plan, Segment};
use crate::base::limits::GEAR_WINDOW;
use crate::base::path::path_of;
use crate::format::tree::{EntryKind, Xattr};
use crate::monitor::Counter;
use crate::source::{Fingerprint, Source, SourceFile};
use crossbeam_channel::Receiver;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// How often a file that changes under us is read again.
const RETRIES: usize = 3;

/// Reads batches until there are no more, handing each to `next`.
pub fn run(context: &Arc<Context>, source: &dyn Source, input: Receiver<Batch>, next: &dyn Fn(Batch)) {
    let meter = &context.meters.read;
    while let Some(mut batch) = meter.recv(&input) {
        meter.work(|| context.failure.run(|| read_batch(context, source, &mut batch)));
        next(batch);
    }
}

/// Reads everything a batch wants.
pub fn read_batch(context: &Context, source: &dyn Source, batch: &mut Batch) {
    let mut bytes = 0;
    if let Some(segment) = &mut batch.segment {
        bytes += read_segment(context, source, segment, &mut batch.buffer.plain);
    }
    for entry in &mut batch.entries {
        match &entry.plan {
            Plan::Read => bytes += read_small(context, source, entry, &mut batch.buffer.plain),
            Plan::Big(_) => {}
            _ => read_xattrs(context, source, entry),
        }
    }
    context.monitor.add(Counter::BytesRead, bytes);
}

fn tell(context: &Context, key: &[u8], error: &io::Error) {
    let message = match error.kind() {
        io::ErrorKind::NotFound => "it vanished before it could be read".into(),
        _ => error.to_string(),
    };
    context.problem(&path_of(key), message);
}

fn read_xattrs(context: &Context, source: &dyn Source, entry: &mut BatchEntry) {
    if entry.xattrs.is_some() || entry.found.meta.kind == EntryKind::Socket {
        return;
    }
    entry.xattrs = xattrs_of(context, &entry.found.key, source.xattrs(&entry.found));
    entry.found.flags |= source.more_flags(&entry.found);
}

/// Attributes that cannot be read are told; the content is kept all the same.
fn xattrs_of(context: &Context, key: &[u8], read: io::Result<Vec<Xattr>>) -> Option<Vec<Xattr>> {
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => context.problem(&path_of(key), "vanished while it was looked at".into()),
        _ => context.problem(&path_of(key), format!("extended attributes: {error}")),
    };
    read.map_err(told).ok()
}

/// A file that fits in the batch. Gives the bytes read.
fn read_small(context: &Context, source: &dyn Source, entry: &mut BatchEntry, plain: &mut [u8]) -> u64 {
    let room = entry.bytes.start as usize..entry.bytes.end as usize;
    match read_whole(context, source, entry, &mut plain[room.clone()]) {
        Ok(len) => {
            entry.bytes.end = (room.start + len) as u32;
            entry.found.meta.size = len as u64;
            len as u64
        }
        Err(error) => {
            tell(context, &entry.found.key, &error);
            // Other names of it refer to this one: they have to find it.
            let vanished = error.kind() == io::ErrorKind::NotFound && entry.found.meta.nlink < 2;
            entry.plan = if vanished { Plan::Vanished } else { Plan::Unreadable };
            entry.bytes.end = entry.bytes.start;
            entry.found.meta.size = 0;
            0
        }
    }
}

/// Reads a file until what was read is one state of it, at most `RETRIES` times; then it is flagged.
fn read_whole(context: &Context, source: &dyn Source, entry: &mut BatchEntry, room: &mut [u8]) -> io::Result<usize> {
    let file = source.open(&entry.found)?;
    let mut before = Fingerprint::of(&entry.found.meta);
    let mut tries = 0;
    loop {
        let want = (before.size as usize).min(room.len());
        let len = file.read_at(0, &mut room[..want])?;
        // Equal to what the walk saw: then nothing changed from before the first byte to after the last.
        let after = file.fingerprint()?.unwrap_or(before);
        let whole = after == before && len as u64 == before.size;
        if whole || tries == RETRIES {
            if tries > 0 && whole {
                let meta = &mut entry.found.meta;
                (meta.mtime, meta.ctime, meta.inode) = (after.mtime, after.ctime, after.inode);
                entry.xattrs = None;
            }
            entry.changed = !whole;
            if entry.xattrs.is_none() {
                entry.xattrs = xattrs_of(context, &entry.found.key, file.xattrs());
                entry.found.flags |= file.more_flags();
            }
            return Ok(len);
        }
        before = after;
        tries += 1;
    }
}

/// Opens a big file once; `None` when that failed (and was told).
pub fn open_big<'a>(context: &Context, source: &dyn Source, big: &'a Arc<BigFile>) -> Option<&'a dyn SourceFile> {
    let open = big.file.get_or_init(|| {
        let file = source.open(&big.found).map_err(|error| fail_big(context, big, &error)).ok()?;
        let xattrs = xattrs_of(context, &big.found.key, file.xattrs()).unwrap_or_default();
        *big.xattrs.lock().unwrap_or_else(|e| e.into_inner()) = xattrs;
        Some(file)
    });
    open.as_deref()
}

fn fail_big(context: &Context, big: &BigFile, error: &io::Error) {
    if error.kind() == io::ErrorKind::NotFound && big.found.meta.nlink < 2 {
        big.vanished.store(true, Release);
    }
    if !big.failed.swap(true, Release) {
        tell(context, &big.found.key, error);
    }
}

/// A piece of a big file. A short one means that the file shrank.
fn read_segment(context: &Context, source: &dyn Source, segment: &mut Segment, plain: &mut [u8]) -> u64 {
    let big = segment.file.clone();
    if segment.present {
        if segment.len == 0 {
            big.size.fetch_add(segment.hole_before, Relaxed);
        }
        return 0;
    }
    let wanted = std::mem::take(&mut segment.len);
    let Some(file) = open_big(context, source, &big) else { return 0 };
    if big.failed.load(Acquire) {
        return 0;
    }
    // The gear hash sees the bytes before the segment too.
    let window = if segment.continues { GEAR_WINDOW.min(segment.offset as usize) } else { 0 };
    let room = &mut plain[HEADROOM - window..HEADROOM + wanted];
    let read = file.read_at(segment.offset - window as u64, room);
    match read.and_then(|len| Ok((len, file.fingerprint()?))) {
        Ok((len, now)) => {
            segment.len = len.saturating_sub(window);
            if segment.len < wanted || now.is_some_and(|now| now != Fingerprint::of(&big.found.meta)) {
                big.changed.store(true, Release);
            }
            big.size.fetch_add(segment.len as u64 + segment.hole_before, Relaxed);
            segment.len as u64
        }
        Err(error) => {
            fail_big(context, &big, &error);
            0
        }
    }
}
