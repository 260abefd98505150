//! encrypt: seals blobs where they lie. The last stage that sees plaintext.
//!
//! Takes: placed batches, one task each. Gives: them sealed. Owns: nothing. Bound: the permits. Errors: none of its own.

use super::context::BackupContext;
use super::item::{Buffer, PlacedBatch};
use crate::format::blob::BlobKind;
use crate::pipeline::backup::BackupError;

pub fn encrypt_batch(_context: &BackupContext, batch: &mut PlacedBatch) -> Result<(), BackupError> {
    let Some(Buffer { sealed, blobs, .. }) = &mut batch.buffer else { return Ok(()) };
    for run in &batch.runs {
        for blob in &blobs[run.blobs.clone()] {
            run.pack.seal(BlobKind::Chunks, blob.offset, blob.inside, &blob.ids, &mut sealed[blob.range.clone()]);
        }
    }
    Ok(())
}
