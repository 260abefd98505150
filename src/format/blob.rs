//! The inside of a sealed blob: what decryption gives.
//!
//! On disk: `nonce tail 8 · ciphertext · tag 16`. Inside the ciphertext:
//! `codec u8 · plain length u32 · members u16 · (members > 1: length of each, varint) · payload`.

use crate::base::limits::{BLOB_PLAIN_BYTES_MAX, GROUP_MEMBERS_MAX};
use crate::format::cursor::{Reader, varint_len};
use crate::format::error::{DecodeError, Reason};

/// How a payload was compressed. Numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names say it")]
pub enum CodecId {
    Raw = 0,
    Lz4 = 1,
    Zstd = 2,
}

impl CodecId {
    /// The codec of this number.
    pub fn from_u8(number: u8) -> Option<CodecId> {
        match number {
            0 => Some(CodecId::Raw),
            1 => Some(CodecId::Lz4),
            2 => Some(CodecId::Zstd),
            _ => None,
        }
    }
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

impl BlobKind {
    /// Of the three kinds that have ids and are listed in tables and segments: the kind of this number.
    pub fn content_from_u8(number: u8) -> Option<BlobKind> {
        match number {
            1 => Some(BlobKind::Chunks),
            2 => Some(BlobKind::Node),
            3 => Some(BlobKind::List),
            _ => None,
        }
    }
}

/// Bytes of the nonce tail before the ciphertext.
pub const NONCE_TAIL_LEN: usize = 8;
/// Bytes of the tag after it.
pub const TAG_LEN: usize = 16;
/// What sealing adds to the inside.
pub const SEAL_OVERHEAD: usize = NONCE_TAIL_LEN + TAG_LEN;
/// Bytes of the header of a blob that holds one thing.
pub const HEADER_LEN_MIN: usize = 1 + 4 + 2;
/// No sealed blob is shorter.
pub const SEALED_LEN_MIN: usize = SEAL_OVERHEAD + HEADER_LEN_MIN;

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
#[inline]
pub fn header_len(members: &[u32]) -> usize {
    match members {
        [] | [_] => HEADER_LEN_MIN,
        _ => HEADER_LEN_MIN + members.iter().map(|&len| varint_len(u64::from(len))).sum::<usize>(),
    }
}

/// Writes the header for one thing (`members` shorter than 2) or a group into `out`, which has exactly `header_len` bytes.
pub fn encode_header(codec: CodecId, plain_len: u32, members: &[u32], out: &mut [u8]) {
    debug_assert_eq!(out.len(), header_len(members));
    debug_assert!(members.len() <= GROUP_MEMBERS_MAX);
    out[0] = codec as u8;
    out[1..5].copy_from_slice(&plain_len.to_le_bytes());
    out[5..7].copy_from_slice(&(members.len().max(1) as u16).to_le_bytes());
    if members.len() < 2 {
        return;
    }
    let mut at = HEADER_LEN_MIN;
    for &len in members {
        let mut len = len;
        while len >= 0x80 {
            out[at] = len as u8 | 0x80;
            len >>= 7;
            at += 1;
        }
        out[at] = len as u8;
        at += 1;
    }
}

impl BlobHeader {
    /// Reads the header and gives the payload behind it. A raw payload has exactly the plain length; a compressed one
    /// is what its decoder takes. Members are not empty.
    pub fn decode(inside: &[u8]) -> Result<(BlobHeader, &[u8]), DecodeError> {
        let mut reader = Reader::new("blob", inside);
        let codec = reader.u8()?;
        let codec = CodecId::from_u8(codec).ok_or_else(|| reader.error_at(0, Reason::Value))?;
        let plain_len = reader.u32()?;
        reader.check(1, plain_len as usize <= BLOB_PLAIN_BYTES_MAX, Reason::Limit)?;
        reader.check(1, plain_len > 0 || codec == CodecId::Raw, Reason::NotCanonical)?;
        let count = usize::from(reader.u16()?);
        reader.check(5, count >= 1, Reason::Value)?;
        reader.check(5, count <= GROUP_MEMBERS_MAX, Reason::Limit)?;
        let mut members = Vec::new();
        if count > 1 {
            reader.check_count(5, count, 1)?;
            members.reserve_exact(count);
            let mut left = plain_len;
            for _ in 0..count {
                let start = reader.position();
                let len = reader.varint_u32(1, u32::MAX)?;
                left = left.checked_sub(len).ok_or_else(|| reader.error_at(start, Reason::Totals))?;
                members.push(len);
            }
            reader.check(reader.position(), left == 0, Reason::Totals)?;
        }
        let start = reader.position();
        let payload = reader.rest();
        reader.check(start, codec != CodecId::Raw || payload.len() == plain_len as usize, Reason::Totals)?;
        Ok((BlobHeader { codec, plain_len, members }, payload))
    }
}
