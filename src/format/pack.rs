//! Packfiles: `header · sealed blobs · sealed padding · sealed table · trailer`.

use crate::base::id::{ContentId, SessionId, StoreId};
use crate::base::limits::{BLOB_PLAIN_BYTES_MAX, GROUP_MEMBERS_MAX, KEY_BLOCK_BYTES_MAX, PACK_BLOBS_MAX};
use crate::format::blob::{BlobKind, SEALED_LEN_MIN};
use crate::format::cursor::{Reader, put_magic, put_varint, varint_len};
use crate::format::error::{DecodeError, Reason};

const MAGIC: &[u8; 8] = b"larderPK";
const MAGIC_END: &[u8; 8] = b"larderPE";
const VERSION: u16 = 1;

/// Which area a pack lies in. Numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum PackKind {
    Data = 1,
    /// Tree nodes and content lists: `trees/`.
    Tree = 2,
}

impl PackKind {
    /// The kind of this number.
    pub fn from_u8(number: u8) -> Option<PackKind> {
        match number {
            1 => Some(PackKind::Data),
            2 => Some(PackKind::Tree),
            _ => None,
        }
    }
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
    pub const LEN_MAX: usize = Self::LEN_MIN + KEY_BLOCK_BYTES_MAX;
    /// Bytes of a header without its key block.
    pub const LEN_MIN: usize = 8 + 2 + 16 + 4 + 1 + 16 + 2;

    /// All bytes: `magic 8 · version u16 · store 16 · epoch u32 · kind u8 · session 16 · key block length u16 · key block`.
    pub fn encode(&self) -> Vec<u8> {
        debug_assert!(self.key_block.len() <= KEY_BLOCK_BYTES_MAX);
        let mut out = Vec::with_capacity(Self::LEN_MIN + self.key_block.len());
        put_magic(&mut out, MAGIC, VERSION);
        out.extend_from_slice(&self.store.0);
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.push(self.kind as u8);
        out.extend_from_slice(&self.session.0);
        put_key_block(&mut out, &self.key_block);
        out
    }

    /// Reads the header at the start of `bytes` (which may go on) and gives its length.
    pub fn decode(bytes: &[u8]) -> Result<(PackHeader, usize), DecodeError> {
        let mut reader = Reader::new("pack header", bytes);
        reader.magic(MAGIC, VERSION)?;
        let store = StoreId(reader.array()?);
        let epoch = reader.u32()?;
        let kind = reader.u8()?;
        let kind = PackKind::from_u8(kind).ok_or_else(|| reader.error_at(30, Reason::Value))?;
        let session = reader.session()?;
        let key_block = read_key_block(&mut reader)?;
        Ok((PackHeader { store, epoch, kind, session, key_block }, reader.position()))
    }
}

/// Appends a key block: length u16, bytes.
pub(super) fn put_key_block(out: &mut Vec<u8>, key_block: &[u8]) {
    out.extend_from_slice(&(key_block.len() as u16).to_le_bytes());
    out.extend_from_slice(key_block);
}

/// Reads a key block back.
pub(super) fn read_key_block(reader: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    let start = reader.position();
    let len = usize::from(reader.u16()?);
    reader.check(start, len <= KEY_BLOCK_BYTES_MAX, Reason::Limit)?;
    Ok(reader.take(len)?.to_vec())
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

    pub fn encode(&self) -> Vec<u8> {
        debug_assert!(self.header.len() <= PackHeader::LEN_MAX);
        let mut out = Vec::with_capacity(Self::len(self.header.len()));
        out.extend_from_slice(&self.header);
        out.extend_from_slice(&self.pointer);
        out.extend_from_slice(&(self.header.len() as u16).to_le_bytes());
        out.extend_from_slice(MAGIC_END);
        out
    }

    /// Reads the trailer at the end of `bytes` (which may begin earlier). The header's copy is a whole header.
    pub fn decode(bytes: &[u8]) -> Result<PackTrailer, DecodeError> {
        let whole = Reader::new("pack trailer", bytes);
        let tail_at = bytes.len().checked_sub(Self::TAIL_LEN).ok_or_else(|| whole.error(Reason::Truncated))?;
        let mut tail = whole.clone();
        tail.take(tail_at)?;
        let pointer = tail.array()?;
        let header_len = usize::from(tail.u16()?);
        let magic: [u8; 8] = tail.array()?;
        whole.check(bytes.len() - 8, magic == *MAGIC_END, Reason::Magic)?;
        let at = bytes.len() - 10;
        whole.check(at, header_len <= PackHeader::LEN_MAX, Reason::Limit)?;
        let start = tail_at.checked_sub(header_len).ok_or_else(|| whole.error_at(at, Reason::Truncated))?;
        let header = &bytes[start..tail_at];
        let (_, len) = PackHeader::decode(header)?;
        whole.check(at, len == header_len, Reason::Trailing)?;
        Ok(PackTrailer { header: header.to_vec(), pointer })
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
        let mut out = [0; 12];
        out[..4].copy_from_slice(&self.offset.to_le_bytes());
        out[4..8].copy_from_slice(&self.length.to_le_bytes());
        out
    }

    /// Reads them back.
    pub fn decode(bytes: &[u8]) -> Result<TablePointer, DecodeError> {
        let mut reader = Reader::new("pack table pointer", bytes);
        let pointer = TablePointer { offset: reader.u32()?, length: reader.u32()? };
        reader.check(4, pointer.length as usize >= SEALED_LEN_MIN, Reason::Value)?;
        reader.check(4, pointer.offset.checked_add(pointer.length).is_some(), Reason::Limit)?;
        let zeros = reader.u32()?;
        reader.check(8, zeros == 0, Reason::NotCanonical)?;
        reader.finish()?;
        Ok(pointer)
    }
}

/// One chunk, node or list in a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
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
    #[inline]
    pub fn blob_len(blob: &TableBlob) -> usize {
        let members = blob.members.iter().map(|m| ContentId::LEN + varint_len(u64::from(m.len))).sum::<usize>();
        1 + varint_len(u64::from(blob.sealed_len)) + varint_len(blob.members.len() as u64) + members
    }

    /// All bytes: `count u32 · per blob: kind u8 · sealed_len varint · members varint · per member: id 32 · len varint`.
    pub fn encode(&self) -> Vec<u8> {
        let len = Self::BASE_LEN + self.blobs.iter().map(Self::blob_len).sum::<usize>();
        let mut out = Vec::with_capacity(len);
        out.extend_from_slice(&(self.blobs.len() as u32).to_le_bytes());
        for blob in &self.blobs {
            out.push(blob.kind as u8);
            put_varint(&mut out, u64::from(blob.sealed_len));
            put_varint(&mut out, blob.members.len() as u64);
            for member in &blob.members {
                out.extend_from_slice(&member.id.0);
                put_varint(&mut out, u64::from(member.len));
            }
        }
        out
    }

    /// Reads a table back. All its blobs lie within 4 GiB.
    pub fn decode(bytes: &[u8]) -> Result<PackTable, DecodeError> {
        let mut reader = Reader::limited("pack table", bytes, BLOB_PLAIN_BYTES_MAX)?;
        let count = reader.u32()? as usize;
        reader.check(0, count <= PACK_BLOBS_MAX, Reason::Limit)?;
        reader.check_count(0, count, 3 + ContentId::LEN + 1)?;
        let mut blobs = Vec::with_capacity(count);
        let mut end = 0u32;
        for _ in 0..count {
            let start = reader.position();
            let blob = Self::decode_blob(&mut reader)?;
            end = end.checked_add(blob.sealed_len).ok_or_else(|| reader.error_at(start, Reason::Limit))?;
            blobs.push(blob);
        }
        reader.finish()?;
        Ok(PackTable { blobs })
    }

    fn decode_blob(reader: &mut Reader<'_>) -> Result<TableBlob, DecodeError> {
        let start = reader.position();
        let kind = reader.u8()?;
        let kind = BlobKind::content_from_u8(kind).ok_or_else(|| reader.error_at(start, Reason::Value))?;
        let sealed_len = reader.varint_u32(SEALED_LEN_MIN as u32, u32::MAX)?;
        let at = reader.position();
        let count = reader.count(if kind == BlobKind::Chunks { GROUP_MEMBERS_MAX } else { 1 }, ContentId::LEN + 1)?;
        reader.check(at, count >= 1, Reason::Value)?;
        let mut members = Vec::with_capacity(count);
        let mut room = BLOB_PLAIN_BYTES_MAX as u32;
        for _ in 0..count {
            let member = Member { id: ContentId(reader.array()?), len: reader.varint_u32(1, room)? };
            room -= member.len;
            members.push(member);
        }
        Ok(TableBlob { kind, sealed_len, members })
    }
}
