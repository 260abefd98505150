//! chunk: where to cut. Whole files of a batch are cut by the sequential loop; a big file's segments are scanned in
//! parallel here and its cuts selected in order, with exactly the sequential result.
//!
//! Takes: read batches, one task each (`cut_batch`), then in order (`select`). Gives: them with their chunks' ranges.
//! Owns: per big file the selector and the carried tail. Bound: the permits. Errors: none of its own.

use super::context::BackupContext;
use super::item::{Batch, BigFile, Chunk, ChunkState, HEADROOM, Plan, Stretch};
use crate::base::id::ContentId;
use crate::base::limits::GEAR_WINDOW;
use crate::chunking::{Hits, Selector};
use crate::pipeline::backup::BackupError;
use crossbeam_channel::Receiver;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

fn chunk(at: usize, len: u32) -> Chunk {
    Chunk { id: ContentId([0; 32]), at: at as u32, len, state: ChunkState::Unseen }
}

thread_local! {
    static LENGTHS: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

/// The task: cuts whole files, scans a segment.
pub fn cut_batch(context: &BackupContext, batch: &mut Batch) -> Result<(), BackupError> {
    if let Some(segment) = &mut batch.segment {
        let window = if segment.continues { GEAR_WINDOW.min(segment.offset as usize) } else { 0 };
        // A stream's bytes before the segment are not in this buffer: `select` scans it with them.
        if !segment.present {
            let (before, data) = batch.buffer.plain[HEADROOM - window..HEADROOM + segment.len].split_at(window);
            let before = &before[window.saturating_sub(GEAR_WINDOW - 1)..];
            context.cutter.scan(before, data, &mut segment.hits);
        }
        return Ok(());
    }
    let buffer = &mut batch.buffer;
    let inline = context.config.inline_bytes as usize;
    let min = context.cutter.params().min as usize;
    LENGTHS.with_borrow_mut(|lengths| {
        for entry in batch.entries.iter_mut().filter(|e| matches!(e.plan, Plan::Read)) {
            let first = buffer.chunks.len() as u32;
            let (start, end) = (entry.bytes.start as usize, entry.bytes.end as usize);
            match end - start {
                len if len <= inline => {}
                len if len <= min => buffer.chunks.push(chunk(start, len as u32)),
                _ => {
                    lengths.clear();
                    context.cutter.cuts(&buffer.plain[start..end], lengths);
                    let mut at = start;
                    for &len in lengths.iter() {
                        buffer.chunks.push(chunk(at, len));
                        at += len as usize;
                    }
                }
            }
            entry.chunks = first..buffer.chunks.len() as u32;
        }
    });
    Ok(())
}

/// What is carried from one segment of a big file to the next.
#[derive(Default)]
pub struct Carry {
    selector: Selector,
    tail: Vec<u8>,
    lengths: Vec<u32>,
    /// The file in progress, while it is known to end before what the walk said.
    cut: Option<Arc<BigFile>>,
}

impl Carry {
    /// A file ends where it first gave less than was asked for. What lies behind that was written later, and would stand
    /// at a wrong place: it is let go.
    fn cut(&mut self, segment: &mut Stretch) {
        match &self.cut {
            Some(file) if Arc::ptr_eq(file, &segment.file) => {
                (segment.len, segment.hole_before, segment.hits) = (0, 0, Hits::default());
            }
            _ => self.cut = segment.short.then(|| segment.file.clone()),
        }
        segment.ends |= segment.short;
    }
}

/// The ordered thread: selects the cuts of big files, passes other batches through. From here on each part of a batch
/// has a number of its own.
pub fn run_select(context: &Arc<BackupContext>, input: Receiver<Batch>, next: &dyn Fn(Batch)) {
    let meter = &context.meters.select;
    let (mut waiting, mut turn, mut number) = (BTreeMap::new(), (0, 0), 0);
    let mut carry = Carry::default();
    while let Some(batch) = meter.recv(&input) {
        waiting.insert((batch.seq, batch.part), batch);
        while let Some(mut batch) = waiting.remove(&turn) {
            turn = if batch.last { (turn.0 + 1, 0) } else { (turn.0, turn.1 + 1) };
            (batch.seq, batch.part, batch.last) = (number, 0, true);
            number += 1;
            meter.work(|| context.failure.run(|| select(context, &mut carry, &mut batch)));
            next(batch);
        }
    }
}

/// Selects the cuts of a segment that was scanned; batches come in order. Does nothing to batches of whole files.
pub fn select(context: &BackupContext, carry: &mut Carry, batch: &mut Batch) {
    let Some(segment) = &mut batch.segment else { return };
    carry.cut(segment);
    if !segment.continues {
        carry.selector = Selector::new();
        carry.tail.clear();
    }
    let plain = &mut batch.buffer.plain;
    if segment.present && segment.len > 0 {
        let before = &carry.tail[carry.tail.len().saturating_sub(GEAR_WINDOW - 1)..];
        context.cutter.scan(before, &plain[HEADROOM..HEADROOM + segment.len], &mut segment.hits);
    }
    segment.carried = carry.tail.len();
    let start = HEADROOM - segment.carried;
    plain[start..HEADROOM].copy_from_slice(&carry.tail);
    let bytes = &plain[start..HEADROOM + segment.len];
    carry.lengths.clear();
    carry.selector.select(&context.cutter, bytes, &segment.hits, segment.ends, &mut carry.lengths);
    let mut at = start;
    for &len in &carry.lengths {
        batch.buffer.chunks.push(chunk(at, len));
        at += len as usize;
    }
    carry.tail.clear();
    carry.tail.extend_from_slice(&plain[at..HEADROOM + segment.len]);
    if !batch.entries.is_empty() {
        carry.cut = None;
    }
}
