//! place: which pack and which offset, in stream order, by lengths alone.
//!
//! Takes: batches with blobs (any order). Gives: [`PlacedBatch`]es in order. Owns: the open pack's layout. An offset is
//! never given twice under one key. Bound: the permits. Errors: none of its own.

use super::context::Context;
use super::item::{Batch, Buffer, Closing, OpenPack, PlacedBatch, Run};
use crate::base::id::SessionId;
use crate::crypto::keys::random_bytes;
use crate::crypto::pack::PackKey;
use crate::format::pack::{PackHeader, PackKind};
use crate::object::layout::PackLayout;
use crate::pipeline::reorder::Reorder;
use crossbeam_channel::Receiver;
use std::sync::Arc;

/// Gives blobs their places.
pub struct Placer<'a> {
    context: &'a Context,
    session: SessionId,
    open: Option<(Arc<OpenPack>, PackLayout)>,
    packs: u64,
}

/// The ordered thread.
pub fn run(context: &Arc<Context>, session: SessionId, input: Receiver<Batch>, next: &dyn Fn(PlacedBatch)) {
    let meter = &context.meters.place;
    let mut placer = Placer::new(context, session);
    let (mut ring, mut placed) = (Reorder::default(), 0);
    while let Some(batch) = meter.recv(&input) {
        ring.push(batch.seq, batch);
        while let Some(batch) = ring.pop() {
            let Batch { seq, mut buffer, .. } = batch;
            let runs = meter.work(|| context.failure.run(|| placer.place(&mut buffer)));
            next(PlacedBatch { seq, buffer: Some(buffer), runs: runs.unwrap_or_default() });
            placed = seq + 1;
        }
    }
    let runs = meter.work(|| context.failure.run(|| placer.finish()));
    next(PlacedBatch { seq: placed, buffer: None, runs: runs.unwrap_or_default() });
}

impl<'a> Placer<'a> {
    /// Begins with no pack open.
    pub fn new(context: &'a Context, session: SessionId) -> Placer<'a> {
        Placer { context, session, open: None, packs: 0 }
    }

    fn open_pack(&mut self) -> (Arc<OpenPack>, PackLayout) {
        let epoch = self.context.ring.newest();
        let header = PackHeader {
            store: self.context.ring.store,
            epoch: epoch.number,
            kind: PackKind::Data,
            session: self.session,
            key_block: random_bytes::<32>().to_vec(),
        };
        let layout = PackLayout::new(&header, self.context.config.pack_bytes);
        let bytes = layout.header_bytes().to_vec();
        let pack = OpenPack { number: self.packs, key: PackKey::new(&epoch.data_pack, &bytes), header: bytes };
        self.packs += 1;
        (Arc::new(pack), layout)
    }

    /// Places the batch's blobs in order.
    pub fn place(&mut self, buffer: &mut Buffer) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (i, blob) in buffer.blobs.iter_mut().enumerate() {
            let Some(row) = blob.row.take() else { continue };
            let (pack, mut layout) = match self.open.take() {
                Some((pack, layout)) if layout.is_empty() || layout.fits(&row) => (pack, layout),
                Some((pack, layout)) => {
                    let closing = Some(close(&pack, layout, true));
                    match runs.last_mut() {
                        Some(run) if run.pack.number == pack.number => run.closing = closing,
                        _ => runs.push(Run { pack, blobs: i..i, closing }),
                    }
                    self.open_pack()
                }
                None => self.open_pack(),
            };
            blob.offset = layout.place(row);
            match runs.last_mut() {
                Some(run) if run.pack.number == pack.number => run.blobs.end = i + 1,
                _ => runs.push(Run { pack: pack.clone(), blobs: i..i + 1, closing: None }),
            }
            self.open = Some((pack, layout));
        }
        runs
    }

    /// Closes the last pack.
    fn finish(&mut self) -> Vec<Run> {
        let closed = self.open.take().map(|(pack, layout)| {
            let closing = Some(close(&pack, layout, false));
            Run { pack, blobs: 0..0, closing }
        });
        closed.into_iter().collect()
    }
}

fn close(pack: &OpenPack, layout: PackLayout, full: bool) -> Closing {
    let closed = layout.close(&pack.key, full);
    Closing { tail: closed.tail, table: closed.table }
}
