//! open: sealed blobs of one read into chunks whose ids are verified.
//!
//! Takes the sealed bytes of a read step and its pieces, gives each piece's plaintext to `each`; a group is opened
//! once for all of its chunks, a chunk that several files hold is verified once. Owns one opened blob.

use super::item::Piece;
use crate::crypto::hash::content_id;
use crate::format::blob::BlobKind;
use crate::object::ObjectError;
use crate::storage::StorageKey;
use crate::tree::blob::{BlobOpener, PackRange};
use std::ops::Range;

/// What one worker reuses from blob to blob.
#[derive(Default)]
pub struct Opener {
    blob: BlobOpener,
}

/// What became of a run of pieces: the opened blob and their range in it, or why they cannot be had from there.
pub type Opened<'a> = Result<(&'a [u8], Range<usize>), &'a ObjectError>;

impl Opener {
    /// Opens the blobs of `pieces`, which are sorted and lie in `range`. `each` gets the pieces in order, in runs that
    /// lie together in one blob and in one file.
    pub fn open(
        &mut self,
        range: &mut PackRange<'_>,
        chunk_key: &[u8; 32],
        pieces: &[Piece],
        each: &mut dyn FnMut(&[Piece], Opened<'_>),
    ) {
        for blob in pieces.chunk_by(|a, b| (a.blob_offset, a.blob_len) == (b.blob_offset, b.blob_len)) {
            let first = &blob[0];
            if let Err(error) = self.blob.open(range, BlobKind::Chunks, first.blob_offset, first.blob_len) {
                each(blob, Err(&error));
                continue;
            }
            self.verify(&range.pack, chunk_key, blob, each);
        }
    }

    /// Verifies the pieces of the opened blob and hands them on in runs.
    fn verify(
        &self,
        pack: &StorageKey,
        chunk_key: &[u8; 32],
        blob: &[Piece],
        each: &mut dyn FnMut(&[Piece], Opened<'_>),
    ) {
        let mut verified: Option<&Piece> = None;
        let mut start = 0;
        for (at, piece) in blob.iter().enumerate() {
            let known = verified.is_some_and(|v| {
                (v.inner_offset, v.inner_len, v.id) == (piece.inner_offset, piece.inner_len, piece.id)
            });
            let right = known || {
                let chunk = self.blob.plain().get(range_of(piece));
                chunk.is_some_and(|chunk| content_id(chunk_key, chunk) == piece.id)
            };
            if !right {
                self.hand_on(&blob[start..at], each);
                let object = format!("chunk {} in {} at {}", piece.id, pack.path(), piece.blob_offset);
                let error = ObjectError::Mismatch { object };
                each(&blob[at..=at], Err(&error));
                start = at + 1;
                continue;
            }
            verified = Some(piece);
            if at > start && !follows(&blob[at - 1], piece) {
                self.hand_on(&blob[start..at], each);
                start = at;
            }
        }
        self.hand_on(&blob[start..], each);
    }

    fn hand_on(&self, run: &[Piece], each: &mut dyn FnMut(&[Piece], Opened<'_>)) {
        if let (Some(first), Some(last)) = (run.first(), run.last()) {
            each(run, Ok((self.blob.plain(), range_of(first).start..range_of(last).end)));
        }
    }
}

fn range_of(piece: &Piece) -> Range<usize> {
    let from = piece.inner_offset as usize;
    from..from + piece.inner_len as usize
}

/// Whether `next` continues `piece` both in the blob and in the file.
fn follows(piece: &Piece, next: &Piece) -> bool {
    piece.file == next.file
        && range_of(piece).end == range_of(next).start
        && piece.file_offset.checked_add(u64::from(piece.inner_len)) == Some(next.file_offset)
}
