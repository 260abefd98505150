//! open: sealed blobs of one read into chunks whose ids are verified.
//!
//! Takes the sealed bytes of a read step and its pieces, gives each piece's plaintext to `each`; a group is opened
//! once for all of its chunks, a chunk that several files hold is verified once. Owns one opened blob.

use super::item::Piece;
use crate::codec::Decompressor;
use crate::crypto::hash::content_id;
use crate::crypto::pack::PackKey;
use crate::format::blob::BlobKind;
use crate::object::ObjectError;
use crate::object::reader::open_blob;
use crate::storage::StorageKey;
use std::ops::Range;

/// What one worker reuses from blob to blob.
#[derive(Default)]
pub struct Opener {
    decompressor: Decompressor,
    plain: Vec<u8>,
}

/// What became of a run of pieces: the opened blob and their range in it, or why they cannot be had from there.
pub type Opened<'a> = Result<(&'a [u8], Range<usize>), &'a ObjectError>;

/// The read that blobs are cut from.
pub struct Sealed<'a> {
    /// Its pack's name.
    pub pack: &'a StorageKey,
    /// Its pack's key.
    pub key: &'a PackKey,
    /// Where it begins in the pack.
    pub offset: u32,
    /// The bytes; what is opened is changed in place.
    pub bytes: &'a mut [u8],
}

impl Opener {
    /// Opens the blobs of `pieces`, which are sorted and lie in `sealed`. `each` gets the pieces in order, in runs that
    /// lie together in one blob and in one file.
    pub fn open(
        &mut self,
        sealed: &mut Sealed<'_>,
        chunk_key: &[u8; 32],
        pieces: &[Piece],
        each: &mut dyn FnMut(&[Piece], Opened<'_>),
    ) {
        for blob in pieces.chunk_by(|a, b| (a.blob_offset, a.blob_len) == (b.blob_offset, b.blob_len)) {
            if let Err(error) = self.open_blob(sealed, &blob[0]) {
                each(blob, Err(&error));
                continue;
            }
            self.verify(sealed.pack, chunk_key, blob, each);
        }
    }

    fn open_blob(&mut self, sealed: &mut Sealed<'_>, piece: &Piece) -> Result<(), ObjectError> {
        let from = (piece.blob_offset - sealed.offset) as usize;
        let bytes = sealed.bytes.get_mut(from..).and_then(|bytes| bytes.get_mut(..piece.blob_len as usize));
        let object = || format!("{} at {}", sealed.pack.path(), piece.blob_offset);
        let bytes = bytes.ok_or_else(|| ObjectError::Mismatch { object: object() })?;
        let opened = open_blob(
            sealed.key,
            BlobKind::Chunks,
            piece.blob_offset,
            bytes,
            &mut self.decompressor,
            &mut self.plain,
            &object,
        );
        opened.map(|_| ())
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
                let chunk = self.plain.get(range_of(piece));
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
            each(run, Ok((&self.plain, range_of(first).start..range_of(last).end)));
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
