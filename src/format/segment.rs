//! Index segments: where every chunk, node and list lies.
//!
//! `header · sealed row blocks · sealed footer · trailer`. Rows are sorted by id; a block holds up to
//! 64 KiB of them; the footer holds the session's pack table, a fence (first id) per block and a filter.

use crate::base::id::{ContentId, ObjectId, SessionId, StoreId};
use crate::format::blob::BlobKind;
use crate::format::error::DecodeError;
use crate::format::extension::Extension;
use crate::format::pack::PackKind;

/// The plain beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The store it belongs to.
    pub store: StoreId,
    /// The session that wrote it.
    pub session: SessionId,
    /// Salt of the sealing key.
    pub key_block: Vec<u8>,
    /// Room to grow.
    pub extensions: Vec<Extension>,
}

impl SegmentHeader {
    /// All bytes.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }

    /// Reads the header at the start of `bytes` and gives its length.
    pub fn decode(_bytes: &[u8]) -> Result<(SegmentHeader, usize), DecodeError> {
        todo!()
    }
}

/// A pack that rows of a segment point into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentPack {
    /// Its name.
    pub id: ObjectId,
    /// Its area.
    pub kind: PackKind,
    /// Its length in bytes.
    pub len: u32,
    /// Length of its header: where the first blob lies.
    pub header_len: u32,
}

/// One row: a chunk, node or list and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// What.
    pub id: ContentId,
    /// Chunks, Node or List.
    pub kind: BlobKind,
    /// Ordinal in the segment's pack table.
    pub pack: u32,
    /// Where the sealed blob begins in the pack.
    pub blob_offset: u32,
    /// Its sealed length.
    pub blob_len: u32,
    /// Where the chunk begins inside the decompressed blob.
    pub inner_offset: u32,
    /// The chunk's plaintext length.
    pub inner_len: u32,
}

/// A block of rows, as it is sealed (kind IndexRows).
pub struct RowBlock;

impl RowBlock {
    /// Encodes as many leading rows as fit a block; gives how many were taken (at least one).
    pub fn encode(_rows: &[Row], _out: &mut Vec<u8>) -> usize {
        todo!()
    }

    /// Reads a block back; rows ascend strictly by (id, pack, blob_offset, inner_offset).
    pub fn decode(_bytes: &[u8]) -> Result<Vec<Row>, DecodeError> {
        todo!()
    }
}

/// Where a block of rows lies and what it begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// First id of the block.
    pub first: ContentId,
    /// Offset of the sealed block in the segment.
    pub offset: u32,
    /// Its sealed length.
    pub len: u32,
    /// Rows in it.
    pub rows: u32,
    /// BLAKE3 of the block's plaintext, so that the signature holds the rows too.
    pub digest: [u8; 32],
}

/// The footer (kind IndexFooter).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFooter {
    /// Packs by ordinal.
    pub packs: Vec<SegmentPack>,
    /// Blocks in order.
    pub fences: Vec<Fence>,
    /// Serialised filter over the ids; empty when there is none.
    pub filter: Vec<u8>,
    /// Who wrote it: ed25519 public key.
    pub signer: [u8; 32],
    /// Over a domain string, the store and [`SegmentFooter::signed_bytes`]: header and footer up to here.
    pub signature: [u8; 64],
}

impl SegmentFooter {
    /// The bytes that are signed, given the header's bytes.
    pub fn signed_bytes(&self, _header: &[u8]) -> Vec<u8> {
        todo!()
    }

    /// All bytes.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }

    /// Reads a footer back.
    pub fn decode(_bytes: &[u8]) -> Result<SegmentFooter, DecodeError> {
        todo!()
    }
}

/// The last bytes of a segment: `footer offset u32 · footer sealed length u32 · magic 8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentTrailer {
    /// Offset of the sealed footer.
    pub footer_offset: u32,
    /// Its sealed length.
    pub footer_len: u32,
}

impl SegmentTrailer {
    /// Bytes of the trailer.
    pub const LEN: usize = 16;

    /// All bytes.
    pub fn encode(&self) -> [u8; Self::LEN] {
        todo!()
    }

    /// Reads the trailer at the end of `bytes`.
    pub fn decode(_bytes: &[u8]) -> Result<SegmentTrailer, DecodeError> {
        todo!()
    }
}
