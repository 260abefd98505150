//! hash: ids of the chunks, and whether the store has them.
//!
//! Takes: batches with their chunks' ranges, one task each. Gives: them with ids and look-ups. Owns: nothing.
//! Bound: the permits. Errors: none of its own.

use super::context::Context;
use super::item::{Batch, Buffer, ChunkState};
use crate::crypto::hash::content_id;
use crate::store::StoreError;
use std::sync::atomic::Ordering::Acquire;

/// The task. The look-up is a hint for dedup: only that ordered stage claims.
pub fn hash_batch(context: &Context, batch: &mut Batch) -> Result<(), StoreError> {
    let key = &context.ring.keys.chunk_id;
    let Buffer { plain, chunks, .. } = &mut batch.buffer;
    for chunk in chunks.iter_mut() {
        chunk.id = content_id(key, &plain[chunk.at as usize..(chunk.at + chunk.len) as usize]);
    }
    batch.generation = context.index_generation.load(Acquire);
    let index = context.index.read().unwrap_or_else(|e| e.into_inner());
    for chunk in chunks.iter_mut() {
        if index.contains(&chunk.id) {
            chunk.state = ChunkState::Known;
        }
    }
    Ok(())
}
