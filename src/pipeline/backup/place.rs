//! place: which pack and which offset, in stream order, by lengths alone.
//!
//! Takes: batches with blobs (any order). Gives: [`PlacedBatch`]es in order. Owns: the open pack's layout. An offset is
//! never given twice under one key. Bound: the permits. Errors: none of its own.

use super::context::BackupContext;
use super::item::{Batch, BlobRun, Buffer, PlacedBatch};
use crate::base::id::SessionId;
use crate::format::pack::PackKind;
use crate::object::pack::{ClosedPack, OpenPack, Placer};
use crate::work::reorder::Reorder;
use crossbeam_channel::Receiver;
use std::sync::Arc;

/// Places the blobs of a session's data packs.
pub fn placer(context: &BackupContext, session: SessionId) -> Placer {
    Placer::new(context.ring.clone(), PackKind::Data, session, context.config.pack_bytes)
}

/// The ordered thread.
pub fn run(context: &Arc<BackupContext>, session: SessionId, input: Receiver<Batch>, next: &dyn Fn(PlacedBatch)) {
    let meter = &context.meters.place;
    let mut placer = placer(context, session);
    let (mut ring, mut placed) = (Reorder::default(), 0);
    while let Some(batch) = meter.recv(&input) {
        ring.push(batch.seq, batch);
        while let Some(batch) = ring.pop() {
            let Batch { seq, mut buffer, .. } = batch;
            let runs = meter.work(|| context.failure.run(|| place(&mut placer, &mut buffer)));
            next(PlacedBatch { seq, buffer: Some(buffer), runs: runs.unwrap_or_default() });
            placed = seq + 1;
        }
    }
    let end = |(pack, closed): (Arc<OpenPack>, ClosedPack)| BlobRun { pack, blobs: 0..0, closing: Some(closed) };
    let runs = meter.work(|| context.failure.run(|| placer.finish().map(end).into_iter().collect()));
    next(PlacedBatch { seq: placed, buffer: None, runs: runs.unwrap_or_default() });
}

/// Places a batch's blobs in order.
pub fn place(placer: &mut Placer, buffer: &mut Buffer) -> Vec<BlobRun> {
    let mut runs: Vec<BlobRun> = Vec::new();
    for (i, blob) in buffer.blobs.iter_mut().enumerate() {
        let Some(row) = blob.row.take() else { continue };
        let place = placer.place(row);
        blob.offset = place.offset;
        if let Some((pack, closed)) = place.before {
            match runs.last_mut() {
                Some(run) if run.pack.number() == pack.number() => run.closing = Some(closed),
                _ => runs.push(BlobRun { pack, blobs: i..i, closing: Some(closed) }),
            }
        }
        match runs.last_mut() {
            Some(run) if run.pack.number() == place.pack.number() => run.blobs.end = i + 1,
            _ => runs.push(BlobRun { pack: place.pack.clone(), blobs: i..i + 1, closing: None }),
        }
    }
    runs
}
