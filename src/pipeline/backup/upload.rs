//! upload: blocks to storage; a pack is told to the session when it is durable.
//!
//! Takes: blocks and pack ends in order. Gives: stored packs to the session. Owns: the upload of the open pack.
//! Bound: one place a block. Errors: any failure of storage ends the run; it goes on giving blocks back.

use super::context::BackupContext;
use super::write::ToUpload;
use crate::format::pack::PackKind;
use crate::monitor::Counter;
use crate::object::stream::PackUpload;
use crate::object::writer::{StoredPack, pack_area};
use crate::storage::{BlockPool, Storage};
use crate::store::StoreError;
use crate::store::session::Session;
use crossbeam_channel::Receiver;
use std::sync::Arc;

/// The plain thread.
pub fn run(
    context: &Arc<BackupContext>,
    session: &Session,
    storage: &dyn Storage,
    pool: &BlockPool,
    input: Receiver<ToUpload>,
) {
    let meter = &context.meters.upload;
    let mut open: Option<PackUpload> = None;
    while let Some(message) = meter.recv(&input) {
        meter.work(|| match message {
            ToUpload::Block(mut block) => {
                context.failure.guard(|| {
                    let upload = match &mut open {
                        Some(upload) => upload,
                        none => none
                            .insert(PackUpload::begin(storage, pack_area(PackKind::Data)).map_err(StoreError::from)?),
                    };
                    Ok(upload.append(&mut block).map_err(StoreError::from)?)
                });
                pool.give(block);
            }
            ToUpload::End(id, closed) => {
                let upload = open.take();
                context.failure.guard(|| {
                    let Some(upload) = upload else { return Ok(()) };
                    let pack = upload.commit_pack(id, closed).map_err(StoreError::from)?;
                    Ok(stored(context, session, pack)?)
                });
            }
        });
    }
}

/// Counts a pack that is durable and tells the session of it; what the index knows by now is claimed no longer.
pub fn stored(context: &BackupContext, session: &Session, pack: StoredPack) -> Result<(), StoreError> {
    context.monitor.add(Counter::BytesStored, u64::from(pack.len));
    context.monitor.add(Counter::Packs, 1);
    context.claims.release(session.stored(pack)?);
    session.checkpoint(false)
}
