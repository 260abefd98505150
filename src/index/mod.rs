//! Which chunks, nodes and lists the store has, and where they lie.
//!
//! The index lives in a local cache as a few immutable **runs** (sorted, memory-mapped, each with its filter); what the
//! running session adds are **claims**. Never trusted: a wrong entry shows when the blob is read, and the cache can
//! be rebuilt from the segments at any time.

pub mod run;
pub mod filter;
pub mod claims;

pub use claims::Claims;

use crate::base::id::{ContentId, ObjectId, StoreId};
use crate::format::blob::BlobKind;
use crate::format::pack::PackKind;
use crate::format::segment::{Row, SegmentPack};
use std::collections::HashSet;
use std::io;
use std::path::Path;

/// Where a chunk, node or list lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "as in format::segment::Row")]
pub struct Location {
    pub pack: ObjectId,
    pub pack_kind: PackKind,
    pub pack_header_len: u32,
    pub blob_kind: BlobKind,
    pub blob_offset: u32,
    pub blob_len: u32,
    pub inner_offset: u32,
    pub inner_len: u32,
}

/// A cache that cannot be used. It is thrown away and built again by the caller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say it")]
pub enum IndexError {
    #[error("index cache: {0}")]
    Io(#[from] io::Error),
    #[error("index cache is damaged: {0}")]
    Damaged(&'static str),
}

/// The index of one store. Look-ups take `&self` and run on any thread.
pub struct Index {
    _private: (),
}

impl Index {
    /// Opens (or begins) the cached index of a store in `folder`. Damaged or foreign files are removed.
    pub fn open(_folder: &Path, _store: StoreId) -> Result<Index, IndexError> {
        todo!()
    }

    /// The segments whose rows it holds.
    pub fn segments(&self) -> HashSet<ObjectId> {
        todo!()
    }

    /// Adds segments' rows as one new run: first `packs` and rows of each segment are handed to a [`run::RunBuilder`],
    /// then it is installed here. Merges runs when the small ones pass 1/8 of the base.
    pub fn install(&mut self, _run: run::RunBuilder) -> Result<(), IndexError> {
        todo!()
    }

    /// Drops runs that hold a segment outside `live` and gives the segments that must be read again.
    pub fn retain_segments(&mut self, _live: &HashSet<ObjectId>) -> Result<Vec<ObjectId>, IndexError> {
        todo!()
    }

    /// From now on these packs' rows count as absent (condemned packs).
    pub fn hide_packs(&mut self, _packs: &HashSet<ObjectId>) {
        todo!()
    }

    /// Whether it is there. The hot look-up: filter, then one or two page touches.
    pub fn contains(&self, _id: &ContentId) -> bool {
        todo!()
    }

    /// Every location.
    pub fn locate(&self, _id: &ContentId, _found: &mut Vec<Location>) {
        todo!()
    }

    /// Rows in all runs (a chunk with two locations counts twice).
    pub fn rows(&self) -> u64 {
        todo!()
    }

    /// Packs known, each once.
    pub fn packs(&self) -> Vec<SegmentPack> {
        todo!()
    }

    /// Gives every row with its pack, run by run, in id order within a run.
    pub fn each_row(&self, _each: &mut dyn FnMut(&SegmentPack, &Row)) {
        todo!()
    }
}
