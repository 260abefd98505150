//! read: bytes into the batch's own memory, with proof that the file did not change meanwhile.
//!
//! What the walk said of a file is a hint: a file is read to where it ends. One that does not fit where the walk's size
//! would have put it goes to the end of its batch's memory, and what does not fit there is read as a big file
//! (`grown`).
//!
//! Takes: [`Batch`]es in any order (several threads). Gives: them with their bytes, attributes and flaws; one whose
//! files grew in several parts. Bound: the permits, and two buffers of each reader. Errors: a file that cannot be read
//! is told and marked; the run goes on.

use super::context::BackupContext;
use super::grown::{self, Parts, Spare};
use super::item::{Batch, BatchEntry, BigFile, HEADROOM, Link, Plan, Stretch};
use crate::base::limits::{BATCH_BYTES, GEAR_WINDOW};
use crate::base::path::path_of;
use crate::format::tree::{Meta, Xattr};
use crate::monitor::Counter;
use crate::source::{Fingerprint, MadeUp, Source, SourceFile};
use crossbeam_channel::Receiver;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};

/// How often a file that changes under us is read again.
pub const RETRIES: usize = 3;

/// Reads batches until there are no more, handing each to `next`.
pub fn run(context: &Arc<BackupContext>, source: &dyn Source, input: Receiver<Batch>, next: &dyn Fn(Batch)) {
    let (meter, spare) = (&context.meters.read, Spare::default());
    while let Some(batch) = meter.recv(&input) {
        let mut parts = Parts { context, next, spare: Some(&spare), batch };
        meter.work(|| context.failure.run(|| read_parts(source, &mut parts)));
        next(parts.batch);
    }
}

/// Reads everything a batch wants, for measuring: what has grown beyond the batch is not read.
#[cfg(any(test, feature = "internals"))]
pub fn read_batch(context: &BackupContext, source: &dyn Source, batch: &mut Batch) {
    let empty = Batch {
        seq: batch.seq,
        part: 0,
        last: true,
        buffer: Default::default(),
        segment: None,
        entries: vec![],
        generation: 0,
    };
    let mut parts = Parts { context, next: &|_| {}, spare: None, batch: std::mem::replace(batch, empty) };
    read_parts(source, &mut parts);
    *batch = parts.batch;
}

fn read_parts(source: &dyn Source, parts: &mut Parts<'_>) {
    let context = parts.context;
    let mut bytes = 0;
    if let Some(segment) = &mut parts.batch.segment {
        bytes += read_segment(context, source, segment, &mut parts.batch.buffer.plain);
        bytes += grown::read_on(source, parts);
    }
    let mut at = 0;
    while at < parts.batch.entries.len() {
        let entry = &mut parts.batch.entries[at];
        let reads = matches!(entry.plan, Plan::Read) || went_astray(entry);
        let grew = if reads { read_small(context, source, &mut parts.batch, at) } else { Small::Read(0) };
        let entry = &mut parts.batch.entries[at];
        if !reads && !matches!(entry.plan, Plan::Big(_)) {
            read_xattrs(context, source, entry);
        }
        at += 1;
        match grew {
            Small::Read(len) => bytes += len,
            Small::Grown(file) => {
                bytes += grown::read(file, parts, at);
                at = 0;
            }
        }
    }
    context.monitor.add(Counter::BytesRead, bytes);
}

/// Whether a later name of a file must be read for itself, as the first did not lead to the file.
fn went_astray(entry: &mut BatchEntry) -> bool {
    let later = matches!(entry.plan, Plan::Linked);
    let astray = later && matches!(&entry.link, Some(Link::Later(group)) if group.astray.load(Acquire));
    if astray {
        entry.plan = Plan::Read;
        entry.link = None;
    }
    astray
}

/// A file that cannot be read is told.
pub fn tell(context: &BackupContext, key: &[u8], error: &io::Error) {
    let message = match error.kind() {
        io::ErrorKind::NotFound => "it vanished before it could be read".into(),
        _ => error.to_string(),
    };
    context.problem(&path_of(key), message);
}

fn read_xattrs(context: &BackupContext, source: &dyn Source, entry: &mut BatchEntry) {
    // Of a later name they are those of the first.
    if entry.xattrs.is_some() || matches!(entry.plan, Plan::Linked) {
        return;
    }
    entry.xattrs = xattrs_of(context, &entry.found.key, source.xattrs(&entry.found));
    entry.found.flags |= source.more_flags(&entry.found);
}

/// Attributes that cannot be read are told; the content is kept all the same.
pub fn xattrs_of(context: &BackupContext, key: &[u8], read: io::Result<Vec<Xattr>>) -> Option<Vec<Xattr>> {
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => context.problem(&path_of(key), "vanished while it was looked at".into()),
        _ => context.problem(&path_of(key), format!("extended attributes: {error}")),
    };
    read.map_err(told).ok()
}

/// What reading a file of a batch gave.
enum Small {
    /// So many bytes, all there is.
    Read(u64),
    /// It is longer than the batch has room for.
    Grown(Box<dyn SourceFile>),
}

/// The file of an entry, into the batch.
fn read_small(context: &BackupContext, source: &dyn Source, batch: &mut Batch, at: usize) -> Small {
    let entry = &batch.entries[at];
    let made_up = if entry.found.meta.size == 0 { source.made_up(&entry.found) } else { MadeUp::No };
    if made_up == MadeUp::Apart {
        source.left_unread();
        read_xattrs(context, source, &mut batch.entries[at]);
        return Small::Read(0);
    }
    let read = match read_whole(context, source, batch, at) {
        Ok(Small::Grown(file)) if made_up == MadeUp::Near => with_an_end(file.as_ref()).map(|()| Small::Grown(file)),
        read => read,
    };
    match read {
        Ok(Small::Read(len)) => {
            let entry = &mut batch.entries[at];
            entry.bytes.end = entry.bytes.start + len as u32;
            entry.found.meta.size = len;
            Small::Read(len)
        }
        Ok(grown) => grown,
        Err(error) => {
            let entry = &mut batch.entries[at];
            tell(context, &entry.found.key, &error);
            entry.plan = match error.kind() {
                io::ErrorKind::NotFound => Plan::Vanished,
                _ => Plan::Unreadable,
            };
            entry.link.iter().for_each(Link::went_astray);
            entry.bytes.end = entry.bytes.start;
            entry.found.meta.size = 0;
            Small::Read(0)
        }
    }
}

/// Refuses what goes on beyond a whole batch: the system can make up content without an end.
fn with_an_end(file: &dyn SourceFile) -> io::Result<()> {
    match file.read_some(BATCH_BYTES as u64, &mut [0])? {
        0 => Ok(()),
        _ => Err(io::Error::other(
            "the system generates its content, and no end came: name this file itself to have it read",
        )),
    }
}

/// Room for a file behind everything that lies in the batch's memory and behind its spare byte.
fn tail_of(batch: &Batch) -> Range<usize> {
    let end = batch.entries.iter().map(|entry| entry.bytes.end as usize).max().unwrap_or(0);
    end.max(HEADROOM - 1) + 1..batch.buffer.plain.len()
}

/// Reads a file until what was read is one state of it, at most `RETRIES` times; then it is flagged.
fn read_whole(context: &BackupContext, source: &dyn Source, batch: &mut Batch, at: usize) -> io::Result<Small> {
    let file = source.open(&batch.entries[at].found)?;
    let walked = Fingerprint::of(&batch.entries[at].found.meta);
    let bytes = &batch.entries[at].bytes;
    // A byte more than the file should have shows whether it goes on. What lies there is not read yet.
    let mut room = bytes.start as usize..bytes.end as usize + 1;
    let (mut before, mut tries, mut last_len) = (walked, 0, None);
    loop {
        let mut len = file.read_some(0, &mut batch.buffer.plain[room.clone()])?;
        // Equal to what the walk saw: then nothing changed from before the first byte to after the last.
        let mut after = file.fingerprint()?.unwrap_or(before);
        let mut whole = after == before && len as u64 == before.size;
        if !whole {
            // One call may give less than there is, and what the system says of the length may be wrong.
            len += file.read_at(len as u64, &mut batch.buffer.plain[room.start + len..room.end])?;
            after = file.fingerprint()?.unwrap_or(before);
            if len == room.len() {
                let tail = tail_of(batch);
                if room.start == tail.start || tail.len() <= room.len() {
                    return Ok(Small::Grown(file));
                }
                batch.entries[at].bytes = tail.start as u32..tail.start as u32;
                (room, before) = (tail, after);
                continue;
            }
            // Where nothing else changed, twice the same end is the end, whatever the system says.
            whole = after == before && (len as u64 == before.size || last_len == Some(len));
            last_len = Some(len);
        }
        if whole || tries == RETRIES {
            let entry = &mut batch.entries[at];
            if after.inode != walked.inode {
                entry.link.iter().for_each(Link::went_astray);
            }
            if whole && after != walked {
                now(&mut entry.found.meta, file.as_ref(), &after)?;
                entry.xattrs = None;
            }
            entry.changed = !whole;
            if entry.xattrs.is_none() {
                entry.xattrs = xattrs_of(context, &entry.found.key, file.xattrs());
                entry.found.flags |= file.more_flags();
            }
            return Ok(Small::Read(len as u64));
        }
        before = after;
        tries += 1;
    }
}

/// All that is recorded of a file, as it is at the time of this fingerprint, and not as the walk saw it.
pub fn now(meta: &mut Meta, file: &dyn SourceFile, seen: &Fingerprint) -> io::Result<()> {
    if let Some(now) = file.meta()? {
        let (user, group) = (std::mem::take(&mut meta.user), std::mem::take(&mut meta.group));
        let (uid, gid) = (meta.uid, meta.gid);
        *meta = now;
        // Of other owners the names are not known here.
        meta.user = if meta.uid == uid { user } else { Vec::new() };
        meta.group = if meta.gid == gid { group } else { Vec::new() };
    }
    (meta.mtime, meta.ctime, meta.inode) = (seen.mtime, seen.ctime, seen.inode);
    Ok(())
}

/// Opens a big file once; `None` when that failed (and was told).
pub fn open_big<'a>(context: &BackupContext, source: &dyn Source, big: &'a Arc<BigFile>) -> Option<&'a dyn SourceFile> {
    let open = big.file.get_or_init(|| {
        let file = source.open(&big.found).map_err(|error| fail_big(context, big, &error)).ok()?;
        if let (Some(link), Ok(Some(now))) = (&big.link, file.fingerprint())
            && now.inode != big.found.meta.inode
        {
            link.went_astray();
        }
        let xattrs = xattrs_of(context, &big.found.key, file.xattrs()).unwrap_or_default();
        *big.xattrs.lock() = xattrs;
        Some(file)
    });
    open.as_deref()
}

/// A big file cannot be read: told once.
pub fn fail_big(context: &BackupContext, big: &BigFile, error: &io::Error) {
    if error.kind() == io::ErrorKind::NotFound {
        big.vanished.store(true, Release);
    }
    big.link.iter().for_each(Link::went_astray);
    if !big.failed.swap(true, Release) {
        tell(context, &big.found.key, error);
    }
}

/// A piece of a big file. A short one means that the file shrank.
fn read_segment(context: &BackupContext, source: &dyn Source, segment: &mut Stretch, plain: &mut [u8]) -> u64 {
    if segment.present {
        return 0;
    }
    let big = segment.file.clone();
    let wanted = std::mem::take(&mut segment.len);
    let Some(file) = open_big(context, source, &big) else { return 0 };
    if big.failed.load(Acquire) {
        return 0;
    }
    // The gear hash sees the bytes before the segment too.
    let window = if segment.continues { GEAR_WINDOW.min(segment.offset as usize) } else { 0 };
    let room = &mut plain[HEADROOM - window..HEADROOM + wanted];
    let mut read = || {
        let knew = big.state.is_other();
        let len = file.read_at(segment.offset - window as u64, room)?;
        let now = file.fingerprint()?;
        Ok((len, now, big.read_again(context, source, file, now, knew)?))
    };
    let read = match read() {
        Ok((.., true)) => read(),
        read => read,
    };
    match read {
        Ok((len, now, _)) => {
            segment.len = len.saturating_sub(window);
            // Shorter than is said, though nothing changed: then what is said of the length is wrong.
            segment.short = segment.len < wanted;
            if segment.short {
                end_hole(segment, now);
            }
            segment.len as u64
        }
        Err(error) => {
            fail_big(context, &big, &error);
            0
        }
    }
}

/// The hole before a segment without data ends where the file does.
pub fn end_hole(segment: &mut Stretch, now: Option<Fingerprint>) {
    if let (0, Some(now)) = (segment.len, now) {
        let start = segment.offset - segment.hole_before;
        segment.hole_before = segment.hole_before.min(now.size.saturating_sub(start));
    }
}
