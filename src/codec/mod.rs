//! Smaller bytes: compression of blobs. LZ4 (fast encoder, safe decoder) by default, zstd by choice, raw when neither gains.

use crate::format::blob::CodecId;

/// What to compress with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Store as it is.
    None,
    /// LZ4 block format.
    #[default]
    Lz4,
    /// Zstandard at this level (1 to 19).
    Zstd(i32),
}

/// Why a payload does not decompress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Not valid for its codec.
    #[error("compressed data is not valid")]
    Invalid,
    /// Valid, but of another length than its header says.
    #[error("decompressed length differs from the one recorded")]
    Length,
}

/// Parses `none`, `lz4`, `zstd`, `zstd:LEVEL`.
impl std::str::FromStr for Compression {
    type Err = String;

    fn from_str(_s: &str) -> Result<Compression, String> {
        todo!()
    }
}

/// Contexts and tables of one worker, reused from blob to blob.
#[derive(Default)]
pub struct Compressor {
    _private: (),
}

/// Room that [`Compressor::compress`] needs in `out` for `plain_len` bytes.
pub fn compress_bound(_plain_len: usize) -> usize {
    todo!()
}

impl Compressor {
    /// Compresses `plain` into the front of `out` (at least `compress_bound` bytes); gives what was used and how many
    /// bytes it took. `Raw` (and a copy of `plain`) when nothing was gained.
    pub fn compress(&mut self, _how: Compression, _plain: &[u8], _out: &mut [u8]) -> (CodecId, usize) {
        todo!()
    }
}

/// Contexts of one worker for the way back.
#[derive(Default)]
pub struct Decompressor {
    _private: (),
}

impl Decompressor {
    /// Fills `out` exactly, or fails.
    pub fn decompress(&mut self, _codec: CodecId, _payload: &[u8], _out: &mut [u8]) -> Result<(), CodecError> {
        todo!()
    }
}
