//! A run: 1,024 partitions by id prefix (one when small) of sorted fixed-width entries, memory-mapped, each with its filter.

use crate::base::id::ObjectId;
use crate::format::segment::{Row, SegmentPack};

/// Gathers segments into one new run file. Memory stays bounded whatever the number of rows (spills to a temporary file).
pub struct RunBuilder {
    _private: (),
}

impl RunBuilder {
    /// Begins a run in `folder`.
    pub fn new(_folder: &std::path::Path) -> Result<RunBuilder, super::IndexError> {
        todo!()
    }

    /// Begins a segment: rows that follow point into `packs` by ordinal.
    pub fn segment(&mut self, _id: ObjectId, _packs: &[SegmentPack]) -> Result<(), super::IndexError> {
        todo!()
    }

    /// Rows of that segment, in any order.
    pub fn rows(&mut self, _rows: &[Row]) -> Result<(), super::IndexError> {
        todo!()
    }
}
