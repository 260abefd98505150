//! The keyed gear table, the parameters, and the sequential cutter.

use crate::format::config::ChunkerParams;

/// Parameters that no cutter may be made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("chunker parameters not allowed: {0}")]
pub struct ParamsError(pub &'static str);

/// What a new store gets: see `docs/performance.md` for the measurements.
pub fn default_params() -> ChunkerParams {
    todo!()
}

/// Cuts with one set of parameters and one secret table.
pub struct Cutter {
    _private: (),
}

impl Cutter {
    /// Checks the parameters (even, min < avg < max, masks at most 47 bits below bit 48, strict contains loose)
    /// and makes the table from the store's gear key by BLAKE3's output stream.
    pub fn new(_params: ChunkerParams, _gear_key: &[u8; 32]) -> Result<Cutter, ParamsError> {
        todo!()
    }

    /// The parameters.
    pub fn params(&self) -> &ChunkerParams {
        todo!()
    }

    /// Length of the first chunk of `data`, which is the rest of a file (or at least `max` + 1 bytes of it).
    pub fn cut(&self, _data: &[u8]) -> usize {
        todo!()
    }

    /// Appends the lengths of all chunks of a whole file.
    pub fn cuts(&self, _file: &[u8], _lengths: &mut Vec<u32>) {
        todo!()
    }
}
