//! upload: blocks to storage; a pack is told to the session when it is durable.
//!
//! Takes: blocks and pack ends in order. Gives: stored packs to the session. Owns: the storage writer of the open pack.
//! Bound: one place a block. Errors: any failure of storage ends the run; it goes on giving blocks back.

use super::context::Context;
use super::write::ToUpload;
use crate::format::pack::PackKind;
use crate::monitor::Counter;
use crate::object::reader::pack_key;
use crate::object::writer::StoredPack;
use crate::storage::{Area, BlockPool, Storage, StorageWriter};
use crate::store::StoreError;
use crate::store::session::Session;
use crossbeam_channel::Receiver;
use std::sync::Arc;

/// The plain thread.
pub fn run(
    context: &Arc<Context>,
    session: &Session,
    storage: &dyn Storage,
    pool: &BlockPool,
    input: Receiver<ToUpload>,
) {
    let meter = &context.meters.upload;
    let mut open: Option<Box<dyn StorageWriter>> = None;
    while let Some(message) = meter.recv(&input) {
        meter.work(|| match message {
            ToUpload::Block(mut block) => {
                context.failure.guard(|| {
                    let mut writer = match open.take() {
                        Some(writer) => writer,
                        None => storage.writer(Area::Packs)?,
                    };
                    let appended = writer.append(&mut block);
                    open = Some(writer);
                    Ok(appended?)
                });
                pool.give(block);
            }
            ToUpload::End { id, len, header_len, table } => {
                let writer = open.take();
                context.failure.guard(|| {
                    let Some(writer) = writer else { return Ok(()) };
                    writer.commit(&pack_key(PackKind::Data, id))?;
                    context.monitor.add(Counter::BytesStored, len);
                    context.monitor.add(Counter::Packs, 1);
                    stored(
                        context,
                        session,
                        StoredPack { id, kind: PackKind::Data, len: len as u32, header_len, table },
                    )
                });
            }
        });
    }
    if let Some(writer) = open {
        writer.abort();
    }
}

/// Tells the session of a durable pack, and lets go of claims that are in the index now.
pub fn stored(_context: &Context, session: &Session, pack: StoredPack) -> Result<(), StoreError> {
    session.stored(pack)?;
    session.checkpoint(false)
}
