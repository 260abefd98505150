//! Where blobs lie in a pack: the arithmetic of `place`, without bytes.
//!
//! `header · blobs · padding · table · trailer`. At every moment there is room left for the smallest padding, the table
//! as it has grown so far, and the trailer; a blob that would take from that room goes into the next pack.

use crate::base::limits::{BLOB_PLAIN_BYTES_MAX, PACK_BLOBS_MAX};
use crate::crypto::pack::{NonceInput, PackKey};
use crate::format::blob::{BlobKind, CodecId, HEADER_LEN_MIN, NONCE_TAIL_LEN, SEALED_LEN_MIN, TAG_LEN, encode_header};
use crate::format::pack::{PackHeader, PackTable, PackTrailer, TableBlob, TablePointer};
use std::ops::Range;

/// One pack being laid out. Gives out offsets in order, keeps room for table, trailer and the smallest padding.
pub struct PackLayout {
    header: Vec<u8>,
    pack_bytes: u64,
    table: PackTable,
    table_len: u64,
    /// Where the next blob goes.
    end: u64,
}

/// What a closed layout says.
pub struct ClosedLayout {
    /// The table, for the index rows.
    pub table: PackTable,
    /// Sealed padding, sealed table and trailer: the pack's last bytes.
    pub tail: Vec<u8>,
    /// Length of the whole pack.
    pub len: u32,
}

impl PackLayout {
    /// A layout for a new pack; `pack_bytes` is the exact size of a full one.
    pub fn new(header: &PackHeader, pack_bytes: u32) -> PackLayout {
        let header = header.encode();
        PackLayout {
            end: header.len() as u64,
            header,
            pack_bytes: u64::from(pack_bytes),
            table: PackTable::default(),
            table_len: PackTable::BASE_LEN as u64,
        }
    }

    /// The header's bytes: the pack's first bytes.
    pub fn header_bytes(&self) -> &[u8] {
        &self.header
    }

    /// Whether `blob` still fits. One that does not fit even an empty pack (packs smaller than a blob occur in tests
    /// only) is placed there all the same and makes that pack longer.
    pub fn fits(&self, blob: &TableBlob) -> bool {
        let table_len = self.table_len + PackTable::blob_len(blob) as u64;
        let len = self.end + u64::from(blob.sealed_len) + self.tail_len_min(table_len);
        len <= self.pack_bytes && table_len <= BLOB_PLAIN_BYTES_MAX as u64 && self.table.blobs.len() < PACK_BLOBS_MAX
    }

    /// Gives `blob` its offset. It must fit (an empty pack takes any blob within the limits).
    pub fn place(&mut self, blob: TableBlob) -> u32 {
        debug_assert!(self.is_empty() || self.fits(&blob), "a blob that does not fit goes into the next pack");
        let offset = self.end;
        self.end += u64::from(blob.sealed_len);
        self.table_len += PackTable::blob_len(&blob) as u64;
        self.table.blobs.push(blob);
        offset as u32
    }

    /// Nothing placed yet.
    pub fn is_empty(&self) -> bool {
        self.table.blobs.is_empty()
    }

    /// Bytes of the blobs placed so far (sealed lengths).
    #[cfg(any(test, feature = "internals"))]
    pub fn placed_bytes(&self) -> u32 {
        (self.end - self.header.len() as u64) as u32
    }

    fn tail_len_min(&self, table_len: u64) -> u64 {
        let trailer = PackTrailer::len(self.header.len()) as u64;
        2 * SEALED_LEN_MIN as u64 + table_len + trailer
    }

    /// Ends the pack: `full` fills it to exactly `pack_bytes`, otherwise to a Padmé length
    /// (Nikitin et al., PETS 2019: at most 12 % more, few distinct lengths). A pack that is full only because its table
    /// or its number of blobs may not grow gets a Padmé length too: no padding is longer than a blob.
    pub fn close(self, key: &PackKey, full: bool) -> ClosedLayout {
        let len_min = self.end + self.tail_len_min(self.table_len);
        let mut len = padme(len_min);
        if len_min <= self.pack_bytes {
            let room = self.pack_bytes - len_min;
            len = if full && room <= BLOB_PLAIN_BYTES_MAX as u64 { self.pack_bytes } else { len.min(self.pack_bytes) };
        }
        let padding = (len - len_min) as usize;
        let mut tail = Vec::with_capacity((len - self.end) as usize);

        let blob = push_raw(&mut tail, padding, |out| out.resize(out.len() + padding, 0));
        key.seal(BlobKind::Padding, self.end as u32, NonceInput::Inside, &mut tail[blob]);

        let table = self.table.encode();
        let offset = self.end as u32 + tail.len() as u32;
        let blob = push_raw(&mut tail, table.len(), |out| out.extend_from_slice(&table));
        let length = blob.len() as u32;
        key.seal(BlobKind::Table, offset, NonceInput::Inside, &mut tail[blob]);

        let mut pointer = [0; PackTrailer::POINTER_LEN];
        pointer[NONCE_TAIL_LEN..PackTrailer::POINTER_LEN - TAG_LEN]
            .copy_from_slice(&TablePointer { offset, length }.encode());
        let pointer_offset = self.end as u32 + (tail.len() + self.header.len()) as u32;
        key.seal(BlobKind::Trailer, pointer_offset, NonceInput::Inside, &mut pointer);
        tail.extend_from_slice(&PackTrailer { header: self.header, pointer }.encode());

        debug_assert_eq!(self.end + tail.len() as u64, len);
        ClosedLayout { table: self.table, tail, len: len as u32 }
    }
}

/// Appends an unsealed raw blob, `fill` giving its `plain_len` bytes, and tells where it lies.
fn push_raw(out: &mut Vec<u8>, plain_len: usize, fill: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
    let start = out.len();
    let header = start + NONCE_TAIL_LEN;
    out.resize(header + HEADER_LEN_MIN, 0);
    encode_header(CodecId::Raw, plain_len as u32, &[], &mut out[header..]);
    fill(out);
    debug_assert_eq!(out.len(), header + HEADER_LEN_MIN + plain_len);
    out.resize(out.len() + TAG_LEN, 0);
    start..out.len()
}

/// The Padmé length of `len`: as many of its low bits are rounded up as its length has digits to spare.
pub fn padme(len: u64) -> u64 {
    if len < 2 {
        return len;
    }
    let exponent = len.ilog2();
    let kept_bits = exponent.checked_ilog2().map_or(0, |bits| bits + 1);
    let mask = (1u64 << (exponent - kept_bits.min(exponent))) - 1;
    (len + mask) & !mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::{ContentId, SessionId, StoreId};
    use crate::base::limits::PACK_BYTES;
    use crate::format::blob::BlobHeader;
    use crate::format::pack::{Member, PackKind};
    use proptest::prelude::*;

    fn header() -> PackHeader {
        PackHeader {
            store: StoreId([1; 16]),
            epoch: 1,
            kind: PackKind::Data,
            session: SessionId([2; 16]),
            key_block: vec![3; 32],
        }
    }

    fn blob(sealed_len: u32, members: usize) -> TableBlob {
        let member = Member { id: ContentId([7; 32]), len: 1000 };
        TableBlob { kind: BlobKind::Chunks, sealed_len, members: vec![member; members] }
    }

    fn key() -> PackKey {
        PackKey::new(&[9; 32], &header().encode())
    }

    /// Opens the tail as a reader would and compares it with what was placed.
    fn check_tail(layout_end: u32, closed: &ClosedLayout) {
        let mut tail = closed.tail.clone();
        assert_eq!(layout_end as usize + tail.len(), closed.len as usize);
        let trailer = PackTrailer::decode(&tail).unwrap();
        assert_eq!(trailer.header, header().encode());
        let pointer_at = closed.len - PackTrailer::TAIL_LEN as u32;
        let mut pointer = trailer.pointer;
        let pointer = TablePointer::decode(key().open(BlobKind::Trailer, pointer_at, &mut pointer).unwrap()).unwrap();
        let trailer_at = closed.len as usize - PackTrailer::len(trailer.header.len());
        assert_eq!((pointer.offset + pointer.length) as usize, trailer_at);
        let at = (pointer.offset - layout_end) as usize;
        let (padding, rest) = tail.split_at_mut(at);
        let table = key().open(BlobKind::Table, pointer.offset, &mut rest[..pointer.length as usize]).unwrap();
        let (head, table) = BlobHeader::decode(table).unwrap();
        assert_eq!((head.codec, head.plain_len as usize), (CodecId::Raw, table.len()));
        assert_eq!(PackTable::decode(table).unwrap(), closed.table);
        let padding = key().open(BlobKind::Padding, layout_end, padding).unwrap();
        let (_, zeros) = BlobHeader::decode(padding).unwrap();
        assert!(zeros.iter().all(|&b| b == 0));
    }

    proptest! {
        #[test]
        fn packs_never_exceed_their_size_and_full_ones_have_exactly_it(
            blobs in prop::collection::vec((31u32..9000, 1usize..9), 1..200),
        ) {
            let pack_bytes = 64 << 10;
            let mut layout = PackLayout::new(&header(), pack_bytes);
            let header_len = layout.header_bytes().len() as u32;
            let (mut expected, mut placed) = (header_len, 0);
            for (sealed_len, members) in blobs {
                let blob = blob(sealed_len, members);
                if !layout.fits(&blob) {
                    let end = header_len + layout.placed_bytes();
                    let closed = std::mem::replace(&mut layout, PackLayout::new(&header(), pack_bytes)).close(&key(), true);
                    prop_assert_eq!(closed.len, pack_bytes);
                    prop_assert_eq!(closed.table.blobs.len(), placed);
                    check_tail(end, &closed);
                    (expected, placed) = (header_len, 0);
                }
                prop_assert!(layout.is_empty() == (placed == 0) && layout.fits(&blob));
                prop_assert_eq!(layout.place(blob), expected);
                expected += sealed_len;
                placed += 1;
            }
            let end = header_len + layout.placed_bytes();
            prop_assert_eq!(end, expected);
            let len_min = u64::from(end) + layout.tail_len_min(layout.table_len);
            let closed = layout.close(&key(), false);
            prop_assert_eq!(u64::from(closed.len), padme(len_min).min(u64::from(pack_bytes)));
            check_tail(end, &closed);
        }

        #[test]
        fn a_padme_length_is_a_little_more_and_stays_itself(len in 0u64..1 << 40) {
            let padded = padme(len);
            prop_assert!(padded >= len && padded - len <= len * 12 / 100);
            prop_assert_eq!(padme(padded), padded);
        }
    }

    #[test]
    fn padme_gives_the_lengths_of_its_paper() {
        for (len, padded) in
            [(0, 0), (1, 1), (9, 10), (100, 104), (1000, 1024), (1 << 26, 1 << 26), (1_000_003, 1_015_808)]
        {
            assert_eq!(padme(len), padded, "{len}");
        }
    }

    #[test]
    fn a_pack_that_many_tiny_chunks_fill_has_a_table_that_can_be_read() {
        let mut layout = PackLayout::new(&header(), PACK_BYTES as u32);
        while layout.fits(&blob(200, 60)) {
            layout.place(blob(200, 60));
        }
        let end = layout.end as u32;
        let closed = layout.close(&key(), true);
        assert!(closed.len < PACK_BYTES as u32);
        assert_eq!(u64::from(closed.len), padme(u64::from(closed.len)));
        check_tail(end, &closed);
    }

    #[test]
    fn a_blob_larger_than_a_pack_gets_one_of_its_own() {
        let mut layout = PackLayout::new(&header(), 4096);
        assert!(!layout.fits(&blob(10_000, 1)));
        assert_eq!(layout.place(blob(10_000, 1)) as usize, header().encode().len());
        assert!(!layout.fits(&blob(31, 1)));
        let end = layout.end as u32;
        let closed = layout.close(&key(), true);
        assert!(closed.len > 10_000);
        check_tail(end, &closed);
    }
}
