//! resume: what an earlier run wrote of a big file is taken over where it has the right ids.
//!
//! Takes the pieces of a read step, gives those that must come from the store. Owns one chunk. It reads the target, never
//! the store, and believes nothing that it has not read.

use super::RestoreContext;
use super::item::{Piece, Window};
use super::write;
use crate::crypto::hash::content_id;
use crate::destination::Destination;
use crate::monitor::Counter;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::Ordering::Acquire;

/// Which of these pieces lie in files that an earlier run began, with the right bytes; empty when none can.
pub fn present<D: Destination>(window: &Window<D>, pieces: &Range<u32>, context: &RestoreContext<'_, D>) -> Vec<bool> {
    let pieces = &window.pieces[pieces.start as usize..pieces.end as usize];
    let may_be_continued = |piece: &Piece| window.files[piece.file as usize].content.is_some();
    let Some(destination) = context.destination.filter(|_| pieces.iter().any(may_be_continued)) else { return vec![] };
    let mut chunk = vec![];
    pieces
        .iter()
        .map(|piece| may_be_continued(piece) && is_there(window, piece, &mut chunk, destination, context))
        .collect()
}

/// Whether nothing of a step is missing.
pub fn all(present: &[bool]) -> bool {
    !present.is_empty() && present.iter().all(|present| *present)
}

fn is_there<D: Destination>(
    window: &Window<D>,
    piece: &Piece,
    chunk: &mut Vec<u8>,
    destination: &D,
    context: &RestoreContext<'_, D>,
) -> bool {
    let file = &window.files[piece.file as usize];
    // An error shows again when the piece is written.
    let Ok(open) = write::opened(file, destination) else { return false };
    if !file.resumed.load(Acquire) {
        return false;
    }
    chunk.resize(piece.inner_len as usize, 0);
    destination.read_at(&open, piece.file_offset, chunk).is_ok()
        && content_id(&context.store.ring.keys.chunk_id, chunk) == piece.id
}

/// Counts the pieces that are there as done; gives the others.
pub fn keep<'a, D: Destination>(
    window: &Window<D>,
    pieces: &'a [Piece],
    present: &[bool],
    context: &RestoreContext<'_, D>,
) -> Cow<'a, [Piece]> {
    if !present.contains(&true) {
        return Cow::Borrowed(pieces);
    }
    let mut missing = vec![];
    for (piece, present) in pieces.iter().zip(present) {
        if *present {
            context.tally.monitor.add(Counter::Bytes, u64::from(piece.inner_len));
            write::done(&window.files[piece.file as usize], 1, context);
        } else {
            missing.push(*piece);
        }
    }
    Cow::Owned(missing)
}
