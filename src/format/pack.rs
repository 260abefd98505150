//! Packfiles: `header · sealed blobs · sealed padding · sealed table · trailer`.

use crate::base::id::{ContentId, SessionId, StoreId};
use crate::format::blob::BlobKind;
use crate::format::error::DecodeError;

/// Which area a pack lies in. Numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum PackKind {
    /// Chunks: `packs/`.
    Data = 1,
    /// Tree nodes and content lists: `trees/`.
    Tree = 2,
}

/// The plain beginning of a pack, all of which goes into its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackHeader {
    /// The store it belongs to.
    pub store: StoreId,
    /// Epoch of the key.
    pub epoch: u32,
    /// Data or tree.
    pub kind: PackKind,
    /// The session that wrote it.
    pub session: SessionId,
    /// Salt now; a wrapped key later. At most 4 KiB.
    pub key_block: Vec<u8>,
}

impl PackHeader {
    /// Bytes of the longest header.
    pub const LEN_MAX: usize = 64 + crate::base::limits::KEY_BLOCK_BYTES_MAX;

    /// All bytes: `magic 8 · version u16 · store 16 · epoch u32 · kind u8 · session 16 · key block length u16 · key block`.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }

    /// Reads the header at the start of `bytes` (which may go on) and gives its length.
    pub fn decode(_bytes: &[u8]) -> Result<(PackHeader, usize), DecodeError> {
        todo!()
    }
}

/// The fixed-size end of a pack: `copy of the header · sealed pointer 36 · header length u16 · magic 8`.
/// The pointer is a blob of kind Trailer whose inside is not a blob header but `table offset u32 · table sealed length u32 · 4 zero bytes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackTrailer {
    /// Copy of the header's bytes.
    pub header: Vec<u8>,
    /// The sealed pointer.
    pub pointer: [u8; Self::POINTER_LEN],
}

impl PackTrailer {
    /// Length of the sealed pointer.
    pub const POINTER_LEN: usize = 12 + super::blob::SEAL_OVERHEAD;
    /// What follows the header's copy.
    pub const TAIL_LEN: usize = Self::POINTER_LEN + 2 + 8;

    /// Length of the whole trailer.
    pub fn len(header_len: usize) -> usize {
        header_len + Self::TAIL_LEN
    }

    /// All bytes.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }

    /// Reads the trailer at the end of `bytes` (which may begin earlier).
    pub fn decode(_bytes: &[u8]) -> Result<PackTrailer, DecodeError> {
        todo!()
    }
}

/// Where the table lies; the inside of the trailer's pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TablePointer {
    /// Offset of the sealed table.
    pub offset: u32,
    /// Its sealed length.
    pub length: u32,
}

impl TablePointer {
    /// The 12 bytes inside.
    pub fn encode(&self) -> [u8; 12] {
        todo!()
    }

    /// Reads them back.
    pub fn decode(_bytes: &[u8]) -> Result<TablePointer, DecodeError> {
        todo!()
    }
}

/// One chunk, node or list in a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: ContentId,
    /// Its plaintext length.
    pub len: u32,
}

/// One blob of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableBlob {
    /// Chunks, Node or List.
    pub kind: BlobKind,
    /// Bytes on disk, with nonce tail and tag.
    pub sealed_len: u32,
    /// What it holds; at least one; several only for Chunks.
    pub members: Vec<Member>,
}

/// A pack's table of contents: its blobs in order, without gaps, from the end of the header on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackTable {
    /// In the order they lie.
    pub blobs: Vec<TableBlob>,
}

impl PackTable {
    /// Encoded length of the table without any blob's part (the count is a fixed u32).
    pub const BASE_LEN: usize = 4;

    /// What `blob` adds to the encoded length.
    pub fn blob_len(_blob: &TableBlob) -> usize {
        todo!()
    }

    /// All bytes: `count u32 · per blob: kind u8 · sealed_len varint · members varint · per member: id 32 · len varint`.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }

    /// Reads a table back.
    pub fn decode(_bytes: &[u8]) -> Result<PackTable, DecodeError> {
        todo!()
    }
}
