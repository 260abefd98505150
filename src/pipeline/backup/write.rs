//! write: sealed bytes in stream order into page-aligned blocks, and each pack's name along the way.
//!
//! Takes: sealed batches (any order). Gives: blocks and pack ends to upload, in order. Owns: the block being filled and
//! the running hash. Bound: the block pool; the permit comes back here. Errors: none of its own.

use super::context::BackupContext;
use super::item::{BlobRun, Buffer, PlacedBatch};
use crate::base::id::ObjectId;
use crate::object::pack::ClosedPack;
use crate::object::stream::PackStream;
use crate::storage::{Block, BlockPool};
use crate::work::reorder::Reorder;
use crossbeam_channel::{Receiver, Sender};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

/// What upload gets.
pub enum ToUpload {
    /// The next bytes of the open pack; the first of a pack begins it.
    Block(Block),
    /// The open pack ends: its name, and what it holds.
    End(ObjectId, ClosedPack),
}

/// Copies and hashes. Blocks to fill come from `take`; `output` gets what is done.
pub struct Writer<'a> {
    take: &'a dyn Fn() -> Block,
    output: &'a dyn Fn(ToUpload),
    /// The number of the pack that the stream is of.
    open: Option<u64>,
    stream: PackStream,
}

/// The ordered thread.
pub fn run(context: &Arc<BackupContext>, pool: &BlockPool, input: Receiver<PlacedBatch>, output: Sender<ToUpload>) {
    let meter = &context.meters.write;
    let take = || {
        let start = Instant::now();
        let block = pool.take();
        meter.was_waiting_out(start);
        block
    };
    // A closed channel means that the run is failing: what is sent is dropped.
    let send = |message| _ = output.send(message);
    let mut ring = Reorder::default();
    let mut writer = Writer::new(&take, &send);
    while let Some(batch) = meter.recv(&input) {
        ring.push(batch.seq, batch);
        while let Some(mut batch) = ring.pop() {
            let runs = std::mem::take(&mut batch.runs);
            meter.work(|| context.failure.run(|| writer.write(batch.buffer.as_ref(), runs)));
            if let Some(buffer) = batch.buffer.take() {
                context.budget.give(buffer);
            }
        }
    }
}

impl<'a> Writer<'a> {
    /// Begins with no pack open.
    pub fn new(take: &'a dyn Fn() -> Block, output: &'a dyn Fn(ToUpload)) -> Writer<'a> {
        Writer { take, output, open: None, stream: PackStream::default() }
    }

    /// Writes a batch's sealed blobs.
    pub fn write(&mut self, buffer: Option<&Buffer>, runs: Vec<BlobRun>) {
        for run in runs {
            if self.open != Some(run.pack.number()) {
                self.open = Some(run.pack.number());
                self.push(run.pack.header());
            }
            if let (Some(buffer), false) = (buffer, run.blobs.is_empty()) {
                let blobs = &buffer.blobs[run.blobs];
                self.push(&buffer.sealed[blobs[0].range.start..blobs[blobs.len() - 1].range.end]);
            }
            if let Some(closed) = run.closing {
                self.end(closed);
            }
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let mut full = |block| -> Result<(), Infallible> {
            (self.output)(ToUpload::Block(block));
            Ok(())
        };
        let Ok(()) = self.stream.push(bytes, &mut || (self.take)(), &mut full);
    }

    fn end(&mut self, closed: ClosedPack) {
        self.push(&closed.tail);
        self.open = None;
        let (id, len, last) = self.stream.finish();
        debug_assert_eq!(len, u64::from(closed.len), "a pack has the length that its layout says");
        if let Some(block) = last {
            (self.output)(ToUpload::Block(block));
        }
        (self.output)(ToUpload::End(id, closed));
    }
}
