//! Index segments: where every chunk, node and list lies.
//!
//! `header · sealed row blocks · sealed footer · trailer`. Rows are sorted by id; a block holds up to
//! 64 KiB of them; the footer holds the session's pack table, a fence (first id) per block and a filter.

use crate::base::id::{ContentId, ObjectId, SessionId, StoreId};
use crate::base::limits::{
    BLOB_PLAIN_BYTES_MAX, SEGMENT_BLOCK_BYTES, SEGMENT_BYTES_MAX, SEGMENT_PACKS_MAX, SEGMENT_ROWS_MAX,
};
use crate::format::blob::{BlobKind, SEALED_LEN_MIN};
use crate::format::cursor::{Reader, put_bytes, put_magic, put_varint};
use crate::format::error::{DecodeError, Reason};
use crate::format::extension::{Extension, put_extensions, read_extensions};
use crate::format::pack::{PackHeader, PackKind, put_key_block, read_key_block};

const MAGIC: &[u8; 8] = b"larderIX";
const MAGIC_END: &[u8; 8] = b"larderIE";
const VERSION: u16 = 1;

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
    /// Extension 1: the generation that the segment belongs to, `u32`, when that is not 0.
    const GENERATION: u16 = 1;

    /// The generation that it belongs to: the folder that it has to lie in. Sessions write generation 0.
    pub fn generation(&self) -> u32 {
        let extension = self.extensions.iter().find(|extension| extension.kind == Self::GENERATION);
        extension.and_then(|extension| extension.body.as_slice().try_into().ok()).map_or(0, u32::from_le_bytes)
    }

    /// All bytes: `magic 8 · version u16 · store 16 · session 16 · key block length u16 · key block · extensions`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.key_block.len());
        put_magic(&mut out, MAGIC, VERSION);
        out.extend_from_slice(&self.store.0);
        out.extend_from_slice(&self.session.0);
        put_key_block(&mut out, &self.key_block);
        put_extensions(&mut out, &self.extensions);
        out
    }

    /// Reads the header at the start of `bytes` and gives its length.
    pub fn decode(bytes: &[u8]) -> Result<(SegmentHeader, usize), DecodeError> {
        let mut reader = Reader::new("segment header", bytes);
        reader.magic(MAGIC, VERSION)?;
        let store = StoreId(reader.array()?);
        let session = reader.session()?;
        let key_block = read_key_block(&mut reader)?;
        let extensions = read_extensions(&mut reader)?;
        Ok((SegmentHeader { store, session, key_block, extensions }, reader.position()))
    }
}

/// A pack that rows of a segment point into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentPack {
    pub id: ObjectId,
    pub kind: PackKind,
    /// Its length in bytes.
    pub len: u32,
    /// Length of its header: where the first blob lies.
    pub header_len: u32,
}

/// One row: a chunk, node or list and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
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
    /// Longest encoded row: id, pack and kind, blob offset and length, inner offset and length.
    const ROW_LEN_MAX: usize = ContentId::LEN + 3 + 5 + 5 + 4 + 4;
    const ROW_LEN_MIN: usize = ContentId::LEN + 5;

    /// Appends to `out` as many leading rows as fit a block; gives how many were taken (at least one, if there is one).
    ///
    /// `count u16 · per row: id 32 · (pack << 2 | kind) varint · blob offset, blob length, inner offset, inner length varint`.
    pub fn encode(rows: &[Row], out: &mut Vec<u8>) -> usize {
        let start = out.len();
        out.extend_from_slice(&[0; 2]);
        let mut taken = 0;
        for row in rows {
            if out.len() - start + Self::ROW_LEN_MAX > SEGMENT_BLOCK_BYTES {
                break;
            }
            out.extend_from_slice(&row.id.0);
            put_varint(out, u64::from(row.pack) << 2 | row.kind as u64);
            for number in [row.blob_offset, row.blob_len, row.inner_offset, row.inner_len] {
                put_varint(out, u64::from(number));
            }
            taken += 1;
        }
        out[start..start + 2].copy_from_slice(&(taken as u16).to_le_bytes());
        taken
    }

    /// Reads a block back; rows ascend strictly by (id, pack, blob_offset, inner_offset).
    pub fn decode(bytes: &[u8]) -> Result<Vec<Row>, DecodeError> {
        let mut reader = Reader::limited("segment rows", bytes, SEGMENT_BLOCK_BYTES)?;
        let count = usize::from(reader.u16()?);
        reader.check(0, count >= 1, Reason::Value)?;
        reader.check_count(0, count, Self::ROW_LEN_MIN)?;
        let mut rows: Vec<Row> = Vec::with_capacity(count);
        for _ in 0..count {
            let start = reader.position();
            let row = Self::decode_row(&mut reader)?;
            let order = |r: &Row| (r.id, r.pack, r.blob_offset, r.inner_offset);
            reader.check(start, rows.last().is_none_or(|last| order(last) < order(&row)), Reason::Order)?;
            rows.push(row);
        }
        reader.finish()?;
        Ok(rows)
    }

    fn decode_row(reader: &mut Reader<'_>) -> Result<Row, DecodeError> {
        let id = ContentId(reader.array()?);
        let at = reader.position();
        let place = reader.varint_in(0, (SEGMENT_PACKS_MAX as u64) << 2 | 3)?;
        let kind = BlobKind::content_from_u8(place as u8 & 3).ok_or_else(|| reader.error_at(at, Reason::Value))?;
        let pack = (place >> 2) as u32;
        reader.check(at, (pack as usize) < SEGMENT_PACKS_MAX, Reason::Limit)?;
        let blob_offset = reader.varint_u32(PackHeader::LEN_MIN as u32, u32::MAX)?;
        let blob_len = reader.varint_u32(SEALED_LEN_MIN as u32, u32::MAX - blob_offset)?;
        let inner_offset_max = if kind == BlobKind::Chunks { BLOB_PLAIN_BYTES_MAX as u32 - 1 } else { 0 };
        let inner_offset = reader.varint_u32(0, inner_offset_max)?;
        let inner_len = reader.varint_u32(1, BLOB_PLAIN_BYTES_MAX as u32 - inner_offset)?;
        Ok(Row { id, kind, pack, blob_offset, blob_len, inner_offset, inner_len })
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
    const PACK_LEN_MIN: usize = ObjectId::LEN + 1 + 2;
    const FENCE_LEN_MIN: usize = ContentId::LEN + 1 + 1 + 32;

    /// The bytes that are signed, given the header's bytes: the header's length u32, the header, and the footer
    /// up to the signature.
    pub fn signed_bytes(&self, header: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(4 + header.len() + self.encoded_len_about());
        out.extend_from_slice(&(header.len() as u32).to_le_bytes());
        out.extend_from_slice(header);
        self.put_unsigned(&mut out);
        out
    }

    /// All bytes: `packs varint · per pack: id 32 · kind u8 · len varint · header_len varint` · `fences varint · (with
    /// fences: offset of the first block varint) · per fence: first id 32 · len varint · rows varint · digest 32` ·
    /// `filter length varint · filter · signer 32 · signature 64`. Blocks lie one after another.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.encoded_len_about());
        self.put_unsigned(&mut out);
        out.extend_from_slice(&self.signature);
        out
    }

    fn encoded_len_about(&self) -> usize {
        160 + 44 * self.packs.len() + 72 * self.fences.len() + self.filter.len()
    }

    fn put_unsigned(&self, out: &mut Vec<u8>) {
        put_varint(out, self.packs.len() as u64);
        for pack in &self.packs {
            out.extend_from_slice(&pack.id.0);
            out.push(pack.kind as u8);
            put_varint(out, u64::from(pack.len));
            put_varint(out, u64::from(pack.header_len));
        }
        put_varint(out, self.fences.len() as u64);
        if let Some(first) = self.fences.first() {
            put_varint(out, u64::from(first.offset));
        }
        debug_assert!(self.fences.windows(2).all(|pair| pair[0].offset + pair[0].len == pair[1].offset));
        for fence in &self.fences {
            out.extend_from_slice(&fence.first.0);
            put_varint(out, u64::from(fence.len));
            put_varint(out, u64::from(fence.rows));
            out.extend_from_slice(&fence.digest);
        }
        put_bytes(out, &self.filter);
        out.extend_from_slice(&self.signer);
    }

    /// Reads a footer back.
    pub fn decode(bytes: &[u8]) -> Result<SegmentFooter, DecodeError> {
        let mut reader = Reader::limited("segment footer", bytes, BLOB_PLAIN_BYTES_MAX)?;
        let packs = Self::decode_packs(&mut reader)?;
        let fences = Self::decode_fences(&mut reader)?;
        let filter = reader.bytes(BLOB_PLAIN_BYTES_MAX)?.to_vec();
        let signer = reader.array()?;
        let signature = reader.array()?;
        reader.finish()?;
        Ok(SegmentFooter { packs, fences, filter, signer, signature })
    }

    fn decode_packs(reader: &mut Reader<'_>) -> Result<Vec<SegmentPack>, DecodeError> {
        let count = reader.count(SEGMENT_PACKS_MAX, Self::PACK_LEN_MIN)?;
        let mut packs = Vec::with_capacity(count);
        for _ in 0..count {
            let id = ObjectId(reader.array()?);
            let at = reader.position();
            let kind = reader.u8()?;
            let kind = PackKind::from_u8(kind).ok_or_else(|| reader.error_at(at, Reason::Value))?;
            let len = reader.varint_u32(PackHeader::LEN_MIN as u32, u32::MAX)?;
            let header_len = reader.varint_u32(PackHeader::LEN_MIN as u32, (PackHeader::LEN_MAX as u32).min(len))?;
            packs.push(SegmentPack { id, kind, len, header_len });
        }
        Ok(packs)
    }

    fn decode_fences(reader: &mut Reader<'_>) -> Result<Vec<Fence>, DecodeError> {
        let count = reader.count(SEGMENT_ROWS_MAX, Self::FENCE_LEN_MIN)?;
        let mut fences: Vec<Fence> = Vec::with_capacity(count);
        if count == 0 {
            return Ok(fences);
        }
        let end = SEGMENT_BYTES_MAX as u32;
        let mut offset = reader.varint_u32(0, end)?;
        let mut rows_left = SEGMENT_ROWS_MAX as u32;
        for _ in 0..count {
            let start = reader.position();
            let first = ContentId(reader.array()?);
            let len = reader.varint_u32(SEALED_LEN_MIN as u32, end - offset)?;
            let rows = reader.varint_u32(1, rows_left)?;
            let digest = reader.array()?;
            reader.check(start, fences.last().is_none_or(|last| last.first <= first), Reason::Order)?;
            fences.push(Fence { first, offset, len, rows, digest });
            offset += len;
            rows_left -= rows;
        }
        Ok(fences)
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

    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..4].copy_from_slice(&self.footer_offset.to_le_bytes());
        out[4..8].copy_from_slice(&self.footer_len.to_le_bytes());
        out[8..].copy_from_slice(MAGIC_END);
        out
    }

    /// Reads the trailer at the end of `bytes` (which may begin earlier).
    pub fn decode(bytes: &[u8]) -> Result<SegmentTrailer, DecodeError> {
        let mut reader = Reader::new("segment trailer", bytes);
        let start = bytes.len().checked_sub(Self::LEN).ok_or_else(|| reader.error(Reason::Truncated))?;
        reader.take(start)?;
        let trailer = SegmentTrailer { footer_offset: reader.u32()?, footer_len: reader.u32()? };
        let magic: [u8; 8] = reader.array()?;
        reader.check(start + 8, magic == *MAGIC_END, Reason::Magic)?;
        reader.check(start + 4, trailer.footer_len as usize >= SEALED_LEN_MIN, Reason::Value)?;
        let end = trailer.footer_offset.checked_add(trailer.footer_len);
        reader.check(start, end.is_some_and(|end| end as usize <= SEGMENT_BYTES_MAX), Reason::Limit)?;
        Ok(trailer)
    }
}
