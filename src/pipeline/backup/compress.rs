//! compress: novel chunks into blobs. Chunks below the group size are compressed together, though deduplicated one by one.
//!
//! Takes: batches after dedup, one task each. Gives: them with blobs laid out in `Buffer::sealed`, each with room for its
//! nonce tail and tag. Owns: a codec context per worker. Bound: the permits. Errors: none of its own.

use super::context::BackupContext;
use super::item::{Batch, Blob, Buffer, Chunk, ChunkState};
use crate::base::limits::GROUP_MEMBERS_MAX;
use crate::codec::{Compression, Compressor};
use crate::format::blob::BlobKind;
use crate::format::pack::{Member, TableBlob};
use crate::object::pack::lay_out;
use crate::pipeline::backup::BackupError;
use std::cell::RefCell;

#[derive(Default)]
struct Worker {
    compressor: Compressor,
    gathered: Vec<u8>,
    lengths: Vec<u32>,
}

thread_local! {
    static WORKER: RefCell<Worker> = RefCell::default();
}

pub fn compress_batch(context: &BackupContext, batch: &mut Batch) -> Result<(), BackupError> {
    let group_bytes = context.config.group_bytes;
    WORKER.with_borrow_mut(|worker| {
        let Buffer { plain, sealed, chunks, blobs, .. } = &mut batch.buffer;
        let mut at = 0;
        let mut group: Vec<&Chunk> = Vec::new();
        let mut bytes = 0;
        for chunk in chunks.iter().filter(|c| c.state == ChunkState::Novel) {
            let alone = chunk.len >= group_bytes;
            let full = bytes + chunk.len > group_bytes || group.len() == GROUP_MEMBERS_MAX;
            if !group.is_empty() && full {
                at = blob(worker, context.compression, plain, &group, sealed, at, blobs);
                group.clear();
                bytes = 0;
            }
            if alone {
                // Chunks of a file stay in order: an open group before it is closed above, since it cannot hold this one.
                at = blob(worker, context.compression, plain, &[chunk], sealed, at, blobs);
            } else {
                group.push(chunk);
                bytes += chunk.len;
            }
        }
        if !group.is_empty() {
            blob(worker, context.compression, plain, &group, sealed, at, blobs);
        }
    });
    Ok(())
}

/// Appends one blob of these chunks at `at` in `sealed`; gives where the next one begins.
fn blob(
    worker: &mut Worker,
    how: Compression,
    plain: &[u8],
    group: &[&Chunk],
    sealed: &mut Vec<u8>,
    at: usize,
    blobs: &mut Vec<Blob>,
) -> usize {
    let Worker { compressor, gathered, lengths } = worker;
    let bytes = gather(plain, group, gathered);
    lengths.clear();
    lengths.extend(group.iter().map(|c| c.len));
    let (inside, sealed_len) = lay_out(compressor, how, bytes, lengths, sealed, at);
    let members: Vec<_> = group.iter().map(|c| Member { id: c.id, len: c.len }).collect();
    let end = at + sealed_len as usize;
    blobs.push(Blob {
        range: at..end,
        ids: group.iter().flat_map(|c| c.id.0).collect(),
        row: Some(TableBlob { kind: BlobKind::Chunks, sealed_len, members }),
        inside,
        offset: 0,
    });
    end
}

/// The chunks' bytes in one piece: where they lie side by side already, without a copy.
fn gather<'a>(plain: &'a [u8], group: &[&Chunk], gathered: &'a mut Vec<u8>) -> &'a [u8] {
    let (first, last) = (group[0], group[group.len() - 1]);
    if group.windows(2).all(|pair| pair[0].at + pair[0].len == pair[1].at) {
        return &plain[first.at as usize..(last.at + last.len) as usize];
    }
    gathered.clear();
    for chunk in group {
        gathered.extend_from_slice(&plain[chunk.at as usize..(chunk.at + chunk.len) as usize]);
    }
    gathered
}
