//! Writing and reading index segments.
//!
//! `header · sealed row blocks · sealed footer · trailer`, all sealed under a key of this segment's header, at their
//! offsets. What is sealed is the rows and the footer themselves: no codec header, since ids do not compress. The
//! filter stays empty until something reads it: clients build their own over whole runs.

use super::stream::PackFile;
use super::{Keyring, ObjectError};
use crate::base::id::{ObjectId, SessionId};
use crate::base::limits::{
    BLOCK_ALIGN, EXTENSIONS_BYTES_MAX, KEY_BLOCK_BYTES_MAX, KIB, MIB, SEGMENT_BLOCK_BYTES, SEGMENT_BYTES_MAX,
    SEGMENT_PACKS_MAX, SEGMENT_ROWS_MAX,
};
use crate::crypto::CryptoError;
use crate::crypto::hash::{ObjectHasher, object_id};
use crate::crypto::keys::random_bytes;
use crate::crypto::pack::{NonceInput, PackKey};
use crate::crypto::sign::{Domain, SigningKey, verify};
use crate::format::blob::{BlobKind, NONCE_TAIL_LEN, SEAL_OVERHEAD, TAG_LEN};
use crate::format::error::DecodeError;
use crate::format::segment::{Fence, Row, RowBlock, SegmentFooter, SegmentHeader, SegmentPack, SegmentTrailer};
use crate::storage::{Area, BlockPool, Storage, StorageKey};

/// Up to this size a segment is read once and kept; a larger one is read again block by block. Those that sessions write
/// have `SESSION_ROWS_MAX` rows of some 46 bytes, and those of the last pack.
const WHOLE_BYTES_MAX: u64 = 16 * MIB as u64;
/// Pieces in which a larger one is read to check its name.
const PIECE_BYTES: usize = MIB;
/// No header is longer.
const HEADER_BYTES_MAX: usize = 4 * KIB + KEY_BLOCK_BYTES_MAX + 2 * EXTENSIONS_BYTES_MAX;

/// The order of rows in a segment.
fn order(row: &Row) -> impl Ord + use<> {
    (row.id, row.pack, row.blob_offset, row.inner_offset)
}

/// Sorts the rows, seals and stores a segment of generation 0, durable. Gives its name and length.
pub fn write_segment(
    storage: &dyn Storage,
    ring: &Keyring,
    session: SessionId,
    signer: &SigningKey,
    packs: &[SegmentPack],
    rows: &mut Vec<Row>,
) -> Result<(ObjectId, u64), ObjectError> {
    rows.sort_unstable_by_key(order);
    rows.dedup_by_key(|row| order(row));
    if rows.len() > SEGMENT_ROWS_MAX || packs.len() > SEGMENT_PACKS_MAX {
        return Err(ObjectError::TooLong { object: "index segment".into(), len: rows.len().max(packs.len()) });
    }
    let header =
        SegmentHeader { store: ring.store, session, key_block: random_bytes::<32>().to_vec(), extensions: Vec::new() };
    let header = header.encode();
    let mut out = SegmentOut {
        key: PackKey::new(&ring.keys.index, &header),
        file: PackFile::create(storage, Area::Index, pool(rows.len()))?,
        len: 0,
        blob: Vec::with_capacity(SEGMENT_BLOCK_BYTES + SEAL_OVERHEAD),
    };
    out.push(&header)?;
    let mut footer = SegmentFooter {
        packs: packs.to_vec(),
        fences: Vec::with_capacity(rows.len() / 1000 + 1),
        filter: Vec::new(),
        signer: signer.public(),
        signature: [0; 64],
    };
    let mut left = &rows[..];
    while let Some(first) = left.first() {
        let mut taken = 0;
        let mut digest = [0; 32];
        let (offset, len) = out.seal(BlobKind::IndexRows, |blob| {
            taken = RowBlock::encode(left, blob);
            digest = object_id(&blob[NONCE_TAIL_LEN..]).0;
        })?;
        footer.fences.push(Fence { first: first.id, offset, len, rows: taken as u32, digest });
        left = &left[taken..];
    }
    footer.signature = signer.sign(Domain::Segment, &ring.store, &footer.signed_bytes(&header));
    let footer = footer.encode();
    let (footer_offset, footer_len) = out.seal(BlobKind::IndexFooter, |blob| blob.extend_from_slice(&footer))?;
    out.push(&SegmentTrailer { footer_offset, footer_len }.encode())?;
    out.file.finish(|id| StorageKey::Segment(0, id))
}

/// One block is enough: there is nothing to overlap with. Most segments are small.
fn pool(rows: usize) -> BlockPool {
    let guess = (64 * KIB + 64 * rows).next_multiple_of(BLOCK_ALIGN);
    BlockPool::new(1, guess.min(PIECE_BYTES))
}

struct SegmentOut {
    key: PackKey,
    file: PackFile,
    len: u32,
    blob: Vec<u8>,
}

impl SegmentOut {
    fn push(&mut self, bytes: &[u8]) -> Result<(), ObjectError> {
        self.len += bytes.len() as u32;
        self.file.push(bytes)
    }

    /// Seals what `fill` appends, at the place it takes. Gives offset and sealed length.
    fn seal(&mut self, kind: BlobKind, fill: impl FnOnce(&mut Vec<u8>)) -> Result<(u32, u32), ObjectError> {
        let mut blob = std::mem::take(&mut self.blob);
        blob.clear();
        blob.resize(NONCE_TAIL_LEN, 0);
        fill(&mut blob);
        blob.resize(blob.len() + TAG_LEN, 0);
        let offset = self.len;
        if offset as usize + blob.len() + SegmentTrailer::LEN > SEGMENT_BYTES_MAX {
            return Err(ObjectError::TooLong { object: "index segment".into(), len: offset as usize + blob.len() });
        }
        self.key.seal(kind, offset, NonceInput::Inside, &mut blob);
        self.push(&blob)?;
        let len = blob.len() as u32;
        self.blob = blob;
        Ok((offset, len))
    }
}

/// A segment opened for reading: its bytes were checked against its name, header and footer are verified (seal and
/// signature).
pub struct SegmentReader<'a> {
    pub header: SegmentHeader,
    pub footer: SegmentFooter,
    source: Source<'a>,
    key: PackKey,
}

/// Where the bytes of a segment come from.
struct Source<'a> {
    storage: &'a dyn Storage,
    key: StorageKey,
    whole: Option<Vec<u8>>,
}

impl Source<'_> {
    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, ObjectError> {
        if let Some(whole) = &self.whole {
            let bytes = whole.get(offset as usize..).and_then(|rest| rest.get(..len));
            return bytes.map(<[u8]>::to_vec).ok_or_else(|| self.mismatch());
        }
        let mut bytes = vec![0; len];
        self.storage.get_range(&self.key, offset, &mut bytes)?;
        Ok(bytes)
    }

    fn mismatch(&self) -> ObjectError {
        ObjectError::Mismatch { object: self.key.path() }
    }

    fn decode(&self, source: DecodeError) -> ObjectError {
        ObjectError::Decode { object: self.key.path(), source }
    }

    fn crypto(&self, source: CryptoError) -> ObjectError {
        ObjectError::Crypto { object: self.key.path(), source }
    }

    /// Opens a sealed piece and gives its inside.
    fn open(&self, key: &PackKey, kind: BlobKind, offset: u32, len: u32) -> Result<Vec<u8>, ObjectError> {
        let mut sealed = self.read(u64::from(offset), len as usize)?;
        let inside_len = key.open(kind, offset, &mut sealed).map_err(|e| self.crypto(e))?.len();
        sealed.truncate(NONCE_TAIL_LEN + inside_len);
        sealed.drain(..NONCE_TAIL_LEN);
        Ok(sealed)
    }

    /// Reads all bytes; keeps them when they are few.
    fn check_name(&mut self, id: ObjectId, len: u64) -> Result<(), ObjectError> {
        let mut hasher = ObjectHasher::default();
        if len <= WHOLE_BYTES_MAX {
            let whole = self.read(0, len as usize)?;
            hasher.update(&whole);
            self.whole = Some(whole);
        } else {
            let mut piece = vec![0; PIECE_BYTES];
            let mut at = 0;
            while at < len {
                let size = (PIECE_BYTES as u64).min(len - at) as usize;
                self.storage.get_range(&self.key, at, &mut piece[..size])?;
                hasher.update(&piece[..size]);
                at += size as u64;
            }
        }
        if hasher.finish() == id { Ok(()) } else { Err(self.mismatch()) }
    }
}

/// A segment's header alone: which session wrote it. It is not verified: what decides is read with [`SegmentReader`].
#[cfg(any(test, feature = "internals"))]
pub fn read_segment_header(
    storage: &dyn Storage,
    generation: u32,
    id: ObjectId,
    len: u64,
) -> Result<SegmentHeader, ObjectError> {
    let source = Source { storage, key: StorageKey::Segment(generation, id), whole: None };
    let start = source.read(0, len.min(HEADER_BYTES_MAX as u64) as usize)?;
    Ok(SegmentHeader::decode(&start).map_err(|e| source.decode(e))?.0)
}

impl<'a> SegmentReader<'a> {
    /// Opens a segment. The whole object is checked against its name.
    pub fn open(
        storage: &'a dyn Storage,
        ring: &Keyring,
        generation: u32,
        id: ObjectId,
    ) -> Result<SegmentReader<'a>, ObjectError> {
        let key = StorageKey::Segment(generation, id);
        let mut source = Source { storage, key, whole: None };
        let len = storage.head(&key)?.len;
        if len > SEGMENT_BYTES_MAX as u64 || len < SegmentTrailer::LEN as u64 {
            return Err(source.mismatch());
        }
        source.check_name(id, len)?;
        let start = source.read(0, len.min(HEADER_BYTES_MAX as u64) as usize)?;
        let (header, header_len) = SegmentHeader::decode(&start).map_err(|e| source.decode(e))?;
        if header.store != ring.store {
            return Err(source.mismatch());
        }
        let key = PackKey::new(&ring.keys.index, &start[..header_len]);
        let trailer_at = len - SegmentTrailer::LEN as u64;
        let trailer = SegmentTrailer::decode(&source.read(trailer_at, SegmentTrailer::LEN)?);
        let trailer = trailer.map_err(|e| source.decode(e))?;
        if u64::from(trailer.footer_offset) + u64::from(trailer.footer_len) != trailer_at {
            return Err(source.mismatch());
        }
        let footer = source.open(&key, BlobKind::IndexFooter, trailer.footer_offset, trailer.footer_len)?;
        let footer = SegmentFooter::decode(&footer).map_err(|e| source.decode(e))?;
        let signed = footer.signed_bytes(&start[..header_len]);
        verify(&footer.signer, Domain::Segment, &ring.store, &signed, &footer.signature)
            .map_err(|e| source.crypto(e))?;
        // Fences follow each other: from the header to the footer without a gap.
        let (first, last) = (footer.fences.first(), footer.fences.last());
        let begins = first.map_or(trailer.footer_offset, |f| f.offset);
        let ends = last.map_or(trailer.footer_offset, |f| f.offset + f.len);
        if begins as usize != header_len || ends != trailer.footer_offset {
            return Err(source.mismatch());
        }
        Ok(SegmentReader { header, footer, source, key })
    }

    /// Gives every row in order, block by block.
    pub fn rows(&mut self, each: &mut dyn FnMut(&[Row])) -> Result<(), ObjectError> {
        let mut last = None;
        for fence in &self.footer.fences {
            let block = self.source.open(&self.key, BlobKind::IndexRows, fence.offset, fence.len)?;
            if object_id(&block).0 != fence.digest {
                return Err(self.source.mismatch());
            }
            let rows = RowBlock::decode(&block).map_err(|e| self.source.decode(e))?;
            let begins_right =
                rows.first().is_some_and(|row| row.id == fence.first && last.is_none_or(|l| l < order(row)));
            if !begins_right || rows.len() != fence.rows as usize || !rows.iter().all(|row| self.lies_in_pack(row)) {
                return Err(self.source.mismatch());
            }
            last = rows.last().map(order);
            each(&rows);
        }
        Ok(())
    }

    fn lies_in_pack(&self, row: &Row) -> bool {
        self.footer.packs.get(row.pack as usize).is_some_and(|pack| {
            let end = u64::from(row.blob_offset) + u64::from(row.blob_len);
            row.blob_offset >= pack.header_len && end <= u64::from(pack.len)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::ContentId;
    use crate::base::limits::SESSION_ROWS_MAX;
    use crate::format::pack::PackKind;
    use crate::object::tests::ring;
    use crate::storage::MemoryStorage;
    use crate::storage::layer::{OperationKind, RecordStorage};
    use proptest::prelude::*;
    use std::sync::Arc;

    const SESSION: SessionId = SessionId([8; 16]);

    fn packs() -> Vec<SegmentPack> {
        let pack = |n: u8| SegmentPack { id: ObjectId([n; 32]), kind: PackKind::Data, len: 1 << 20, header_len: 81 };
        (0..3).map(pack).collect()
    }

    fn row(n: u64) -> Row {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        Row {
            id: ContentId(id),
            kind: BlobKind::Chunks,
            pack: (n % 3) as u32,
            blob_offset: 81 + n as u32 % 1000,
            blob_len: 500,
            inner_offset: 0,
            inner_len: 400,
        }
    }

    fn host() -> SigningKey {
        SigningKey::from_seed(&[6; 32])
    }

    fn read(storage: &MemoryStorage, id: ObjectId) -> Result<Vec<Row>, ObjectError> {
        let ring = ring();
        let mut reader = SegmentReader::open(storage, &ring, 0, id)?;
        let mut rows = Vec::new();
        reader.rows(&mut |some| rows.extend_from_slice(some))?;
        assert_eq!((reader.header.session, reader.footer.signer), (SESSION, host().public()));
        assert_eq!(reader.footer.packs, packs());
        Ok(rows)
    }

    #[test]
    fn rows_come_back_sorted_each_once_across_blocks() {
        for count in [0, 1, 5_000] {
            let storage = MemoryStorage::default();
            let mut rows: Vec<Row> = (0..count).chain(0..count / 2).map(row).collect();
            let (id, len) = write_segment(&storage, &ring(), SESSION, &host(), &packs(), &mut rows).unwrap();
            assert_eq!(storage.head(&StorageKey::Segment(0, id)).unwrap().len, len);
            let mut expected: Vec<Row> = (0..count).map(row).collect();
            expected.sort_by_key(order);
            assert_eq!(read(&storage, id).unwrap(), expected);
            assert_eq!(read_segment_header(&storage, 0, id, len).unwrap().session, SESSION);
        }
    }

    #[test]
    fn a_segment_too_large_to_keep_is_read_again_block_by_block() {
        let storage = MemoryStorage::default();
        let mut rows: Vec<Row> = (0..500_000).map(row).collect();
        let (id, len) = write_segment(&storage, &ring(), SESSION, &host(), &packs(), &mut rows).unwrap();
        assert!(len > WHOLE_BYTES_MAX);
        assert_eq!(read(&storage, id).unwrap().len(), 500_000);
    }

    #[test]
    fn a_full_segment_of_a_session_is_read_from_the_storage_once_however_often_its_rows_are() {
        let storage = RecordStorage::new(Arc::new(MemoryStorage::default()));
        let mut rows: Vec<Row> = (0..SESSION_ROWS_MAX as u64).map(row).collect();
        let (id, len) = write_segment(&storage, &ring(), SESSION, &host(), &packs(), &mut rows).unwrap();
        storage.take();
        let ring = ring();
        let mut reader = SegmentReader::open(&storage, &ring, 0, id).unwrap();
        for _ in 0..2 {
            let mut count = 0;
            reader.rows(&mut |some| count += some.len()).unwrap();
            assert_eq!(count, SESSION_ROWS_MAX);
        }
        let read = storage.take();
        let gets: Vec<u64> = read.iter().filter(|op| op.kind == OperationKind::GetRange).map(|op| op.bytes).collect();
        assert_eq!(gets, [len]);
    }

    #[test]
    fn a_row_outside_its_pack_is_refused() {
        let storage = MemoryStorage::default();
        let mut rows = vec![Row { blob_offset: (1 << 20) - 100, ..row(1) }];
        let (id, _) = write_segment(&storage, &ring(), SESSION, &host(), &packs(), &mut rows).unwrap();
        assert!(read(&storage, id).is_err_and(|e| e.is_damage()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_changed_byte_is_refused_even_under_the_name_that_fits_it(at: prop::sample::Index, bit in 0u8..8) {
            let storage = MemoryStorage::default();
            let mut rows: Vec<Row> = (0..40).map(row).collect();
            let (id, _) = write_segment(&storage, &ring(), SESSION, &host(), &packs(), &mut rows).unwrap();
            let mut bytes = storage.get(&StorageKey::Segment(0, id), SEGMENT_BYTES_MAX).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let renamed = object_id(&bytes);
            storage.put_if_absent(&StorageKey::Segment(0, renamed), &bytes).unwrap();
            prop_assert!(read(&storage, renamed).is_err_and(|e| e.is_damage()));
            storage.delete(&StorageKey::Segment(0, id)).unwrap();
            storage.put_if_absent(&StorageKey::Segment(0, id), &bytes).unwrap();
            let refused = matches!(read(&storage, id), Err(ObjectError::Mismatch { .. }));
            prop_assert!(refused);
        }
    }
}
