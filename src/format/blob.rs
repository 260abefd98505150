//! The inside of a sealed blob: what decryption gives.
//!
//! On disk: `nonce tail 8 · ciphertext · tag 16`. Inside the ciphertext:
//! `codec u8 · plain length u32 · members u16 · (members > 1: length of each, varint) · payload`.

use crate::format::error::DecodeError;

/// How a payload was compressed. Numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names say it")]
pub enum CodecId {
    Raw = 0,
    Lz4 = 1,
    Zstd = 2,
}

/// What a blob holds. Numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names say it")]
pub enum BlobKind {
    /// One chunk or a group of small ones.
    Chunks = 1,
    /// A tree node.
    Node = 2,
    /// A content list node.
    List = 3,
    /// Zeros.
    Padding = 4,
    /// A pack's table of contents.
    Table = 5,
    /// Offset and length of the table, in the trailer.
    Trailer = 6,
    /// Rows of an index segment.
    IndexRows = 7,
    /// Footer of an index segment.
    IndexFooter = 8,
}

/// Bytes of the nonce tail before the ciphertext.
pub const NONCE_TAIL_LEN: usize = 8;
/// Bytes of the tag after it.
pub const TAG_LEN: usize = 16;
/// What sealing adds to the inside.
pub const SEAL_OVERHEAD: usize = NONCE_TAIL_LEN + TAG_LEN;

/// The header inside a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobHeader {
    /// How the payload was compressed.
    pub codec: CodecId,
    /// Length of the payload once decompressed.
    pub plain_len: u32,
    /// Lengths of the chunks of a group, in order, adding up to `plain_len`; empty when the blob holds one thing.
    pub members: Vec<u32>,
}

/// Length of the encoded header: `members` are the lengths of a group (ignored when there are fewer than 2).
pub fn header_len(_members: &[u32]) -> usize {
    todo!()
}

/// Writes the header for one thing (`members` shorter than 2) or a group into `out`, which has exactly `header_len` bytes.
pub fn encode_header(_codec: CodecId, _plain_len: u32, _members: &[u32], _out: &mut [u8]) {
    todo!()
}

impl BlobHeader {
    /// Reads the header and gives the payload behind it.
    pub fn decode(_inside: &[u8]) -> Result<(BlobHeader, &[u8]), DecodeError> {
        todo!()
    }
}
