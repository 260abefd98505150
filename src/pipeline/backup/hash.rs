//! hash: ids of the chunks, and whether the store has them.
//!
//! Takes: batches with their chunks' ranges, one task each. Gives: them with ids and look-ups. Owns: nothing.
//! Bound: the permits. Errors: none of its own.

use super::context::BackupContext;
use super::item::{Batch, Buffer, ChunkState};
use crate::crypto::lanes::ManyHasher;
use crate::pipeline::backup::BackupError;
use std::cell::RefCell;

thread_local! {
    static HASHER: RefCell<ManyHasher> = RefCell::default();
}

/// The task. The look-up is a hint for dedup: only that ordered stage claims.
pub fn hash_batch(context: &BackupContext, batch: &mut Batch) -> Result<(), BackupError> {
    let key = &context.ring.keys.chunk_id;
    let Buffer { plain, chunks, .. } = &mut batch.buffer;
    HASHER.with_borrow_mut(|hasher| {
        let ids = hasher.content_ids(key, plain, chunks.iter().map(|chunk| (chunk.at, chunk.len)));
        chunks.iter_mut().zip(ids).for_each(|(chunk, id)| chunk.id = *id);
    });
    batch.generation = context.claims.generation();
    let index = context.index.read();
    for chunk in chunks.iter_mut() {
        if index.contains(&chunk.id) {
            chunk.state = ChunkState::Known;
        }
    }
    Ok(())
}
