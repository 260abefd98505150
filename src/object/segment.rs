//! Writing and reading index segments.

use super::{Keyring, ObjectError};
use crate::base::id::{ObjectId, SessionId};
use crate::crypto::sign::SigningKey;
use crate::format::segment::{Row, SegmentFooter, SegmentHeader, SegmentPack};
use crate::storage::Storage;

/// Sorts the rows, seals and stores a segment of generation 0, durable. Gives its name.
pub fn write_segment(
    _storage: &dyn Storage,
    _ring: &Keyring,
    _session: SessionId,
    _signer: &SigningKey,
    _packs: &[SegmentPack],
    _rows: &mut Vec<Row>,
) -> Result<ObjectId, ObjectError> {
    todo!()
}

/// A segment opened for reading: header and footer are verified (seal and signature).
pub struct SegmentReader {
    /// Its header.
    pub header: SegmentHeader,
    /// Its footer.
    pub footer: SegmentFooter,
    _private: (),
}

impl SegmentReader {
    /// Opens a segment. The whole object is checked against its name.
    pub fn open(
        _storage: &dyn Storage,
        _ring: &Keyring,
        _generation: u32,
        _id: ObjectId,
    ) -> Result<SegmentReader, ObjectError> {
        todo!()
    }

    /// Gives every row in order, block by block.
    pub fn rows(&mut self, _each: &mut dyn FnMut(&[Row])) -> Result<(), ObjectError> {
        todo!()
    }
}
