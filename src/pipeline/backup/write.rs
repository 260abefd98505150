//! write: sealed bytes in stream order into page-aligned blocks, and each pack's name along the way.
//!
//! Takes: sealed batches (any order). Gives: blocks and pack ends to upload, in order. Owns: the block being filled and
//! the running hash. Bound: the block pool; the permit comes back here. Errors: none of its own.

use super::context::Context;
use super::item::{OpenPack, PlacedBatch};
use crate::base::id::ObjectId;
use crate::crypto::hash::ObjectHasher;
use crate::format::pack::PackTable;
use crate::pipeline::reorder::Reorder;
use crate::storage::{Block, BlockPool};
use crossbeam_channel::{Receiver, Sender};
use std::sync::Arc;
use std::time::Instant;

/// What upload gets.
pub enum ToUpload {
    /// The next bytes of the open pack; the first of a pack begins it.
    Block(Block),
    /// The open pack ends.
    End {
        /// Its name.
        id: ObjectId,
        /// Its length.
        len: u64,
        /// Where its first blob lies.
        header_len: u32,
        /// What it holds.
        table: PackTable,
    },
}

struct Writer<'a> {
    context: &'a Context,
    pool: &'a BlockPool,
    output: Sender<ToUpload>,
    open: Option<u64>,
    hasher: ObjectHasher,
    len: u64,
    block: Option<Block>,
}

/// The ordered thread.
pub fn run(context: &Arc<Context>, pool: &BlockPool, input: Receiver<PlacedBatch>, output: Sender<ToUpload>) {
    let meter = &context.meters.write;
    let mut ring = Reorder::default();
    let mut writer = Writer { context, pool, output, open: None, hasher: ObjectHasher::default(), len: 0, block: None };
    while let Some(batch) = meter.recv(&input) {
        ring.push(batch.seq, batch);
        while let Some(mut batch) = ring.pop() {
            meter.work(|| context.failure.run(|| writer.batch(&mut batch)));
            if let Some(buffer) = batch.buffer.take() {
                context.budget.give(buffer);
            }
        }
    }
    if let Some(block) = writer.block.take() {
        pool.give(block);
    }
}

impl Writer<'_> {
    fn batch(&mut self, batch: &mut PlacedBatch) {
        for run in std::mem::take(&mut batch.runs) {
            self.begin(&run.pack);
            if let (Some(buffer), false) = (&batch.buffer, run.blobs.is_empty()) {
                let blobs = &buffer.blobs[run.blobs];
                self.push(&buffer.sealed[blobs[0].range.start..blobs[blobs.len() - 1].range.end]);
            }
            if let Some(closing) = run.closing {
                self.push(&closing.tail);
                self.end(run.pack.header.len() as u32, closing.table);
            }
        }
    }

    fn begin(&mut self, pack: &OpenPack) {
        if self.open != Some(pack.number) {
            self.open = Some(pack.number);
            self.hasher = ObjectHasher::default();
            self.len = 0;
            self.push(&pack.header);
        }
    }

    /// Copies bytes into blocks, hashing them while they are near.
    fn push(&mut self, mut bytes: &[u8]) {
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        while !bytes.is_empty() {
            let block = self.block.get_or_insert_with(|| {
                let start = Instant::now();
                let block = self.pool.take();
                self.context.meters.write.was_waiting_out(start);
                block
            });
            let taken = block.fill(bytes);
            bytes = &bytes[taken..];
            if block.len() == block.capacity() {
                self.send_block();
            }
        }
    }

    fn send_block(&mut self) {
        if let Some(block) = self.block.take() {
            _ = self.output.send(ToUpload::Block(block));
        }
    }

    fn end(&mut self, header_len: u32, table: PackTable) {
        self.send_block();
        self.open = None;
        _ = self.output.send(ToUpload::End { id: self.hasher.finish(), len: self.len, header_len, table });
    }
}
