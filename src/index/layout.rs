//! The bytes of a run file, pure: pages, and the head with its tables.
//!
//! ```text
//! head 128 · segments 32 each · packs 44 each · partitions 64 each · zeros up to a page
//! pages 4096 each, partition by partition · filters, each with zeros up to 64
//! ```
//!
//! A page is 78 entries ([`super::entry`]) and a trailer: its number in the file and a keyed BLAKE3 over all before. The key is drawn for
//! each run, so that a page of another run or place (a torn write) is told from the right one. The head's checksum
//! covers the rest of the head and the tables; each filter's lies in its partition's record. Numbers are little-endian.
//! Filters lie together, because most look-ups touch nothing else.

use super::IndexError;
use super::entry::{Entry, PACKS_MAX};
use crate::base::id::{ObjectId, StoreId};
use crate::base::limits::RUN_PARTITIONS;
use crate::format::pack::PackKind;
use crate::format::segment::SegmentPack;
use std::ops::Range;

/// Bytes of a page.
pub const PAGE_LEN: usize = 4096;
/// Entries of a full page.
pub const PAGE_ENTRIES: usize = 78;
/// Bytes of a page that its checksum covers.
const PAGE_COVERED: usize = PAGE_LEN - 32;

/// Names the format and its version.
const MAGIC: [u8; 8] = *b"LARDRUN\x01";
/// Bytes of the head before the tables.
pub const HEAD_LEN: usize = 128;
const CHECKSUM: Range<usize> = 8..40;
const SEGMENT_LEN: usize = 32;
const PACK_LEN: usize = 44;
const PARTITION_LEN: usize = 64;
/// Filters begin at multiples of this: a cache line.
pub const FILTER_ALIGN: usize = 64;
/// The most bits of an id that choose the partition.
pub const PARTITION_BITS_MAX: u32 = RUN_PARTITIONS.ilog2();

/// The partition of an id with this prefix.
pub fn partition_of(prefix: u64, bits: u32) -> usize {
    // Two shifts, because `bits` may be 0.
    (prefix >> 1 >> (63 - bits)) as usize
}

/// How many bits of an id choose the partition in a run of so many rows: about 16,000 rows each, up to
/// [`RUN_PARTITIONS`]. One page of a partition's end and one of its filter's are padding, so small runs have few.
pub fn partition_bits(rows: u64) -> u32 {
    (rows >> 14).checked_ilog2().map_or(0, |bits| bits + 1).min(PARTITION_BITS_MAX)
}

/// Views the places for entries in a page.
pub fn page_entries(page: &[u8; PAGE_LEN]) -> &[Entry] {
    &page.as_chunks().0[..PAGE_ENTRIES]
}

/// Writes number and checksum into a page whose entries are in place.
pub fn seal_page(page: &mut [u8; PAGE_LEN], number: u32, key: &[u8; 32]) {
    page[PAGE_COVERED - 8..PAGE_COVERED].copy_from_slice(&u64::from(number).to_le_bytes());
    let sum = blake3::keyed_hash(key, &page[..PAGE_COVERED]);
    page[PAGE_COVERED..].copy_from_slice(sum.as_bytes());
}

/// Whether a page is the one that was written at this place of this run.
pub fn page_is_sound(page: &[u8; PAGE_LEN], number: u32, key: &[u8; 32]) -> bool {
    page[PAGE_COVERED - 8..PAGE_COVERED] == u64::from(number).to_le_bytes()
        && blake3::keyed_hash(key, &page[..PAGE_COVERED]).as_bytes()[..] == page[PAGE_COVERED..]
}

/// Where a partition lies. 64 bytes: a look-up touches one cache line of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(align(64))]
pub struct Partition {
    /// Number of its first page in the file.
    pub first_page: u32,
    pub rows: u32,
    /// Where its filter begins in the file, in units of [`FILTER_ALIGN`].
    pub filter_at: u32,
    /// How the filter is read.
    pub filter: super::filter::Descriptor,
    /// Keyed BLAKE3 of the filter.
    pub filter_sum: [u8; 32],
}

impl Partition {
    pub fn pages(&self) -> u32 {
        self.rows.div_ceil(PAGE_ENTRIES as u32)
    }

    /// Where its filter lies in the file.
    pub fn filter_range(&self) -> Range<usize> {
        let start = self.filter_at as usize * FILTER_ALIGN;
        start..start + self.filter.bytes()
    }
}

/// The head and tables of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The store it belongs to.
    pub store: StoreId,
    /// Key of the checksums, random.
    pub key: [u8; 32],
    /// Length of the file.
    pub file_len: u64,
    /// Entries in all partitions.
    pub rows: u64,
    /// Number of segments.
    pub segments: u32,
    /// Number of packs.
    pub packs: u32,
    /// By the first bits of an id; a power of two.
    pub partitions: Vec<Partition>,
}

impl Head {
    /// Bits of an id that choose its partition.
    pub fn partition_bits(&self) -> u32 {
        self.partitions.len().ilog2()
    }

    /// Bytes up to the end of the tables.
    pub fn tables_len(segments: u32, packs: u32, partitions: usize) -> usize {
        // 2^32 of each would be 322 GB: no overflow in 64 bits.
        HEAD_LEN + segments as usize * SEGMENT_LEN + packs as usize * PACK_LEN + partitions * PARTITION_LEN
    }

    /// Where the segments' ids lie.
    pub fn segments_range(&self) -> Range<usize> {
        HEAD_LEN..HEAD_LEN + self.segments as usize * SEGMENT_LEN
    }

    /// Where the filters lie.
    pub fn filters_range(&self) -> Range<usize> {
        let mut filters = self.partitions.iter().filter(|p| !p.filter.is_none()).map(Partition::filter_range);
        let first = filters.next().unwrap_or_default();
        first.start..filters.next_back().unwrap_or(first).end
    }

    /// Where the packs lie.
    pub fn packs_range(&self) -> Range<usize> {
        let start = self.segments_range().end;
        start..start + self.packs as usize * PACK_LEN
    }

    /// All bytes up to the end of the tables; `segments` and `packs` must be as many as the head says.
    pub fn encode(&self, segments: &[ObjectId], packs: &[SegmentPack]) -> Vec<u8> {
        let len = Head::tables_len(self.segments, self.packs, self.partitions.len());
        let mut out = Vec::with_capacity(len);
        out.extend(MAGIC);
        out.extend([0; 32]);
        out.extend(self.store.0);
        out.extend(self.key);
        out.extend(self.file_len.to_le_bytes());
        out.extend(self.rows.to_le_bytes());
        for n in [self.segments, self.packs, self.partition_bits()] {
            out.extend(n.to_le_bytes());
        }
        out.resize(HEAD_LEN, 0);
        for segment in segments {
            out.extend(segment.0);
        }
        for pack in packs {
            out.extend(pack.id.0);
            out.extend(pack.len.to_le_bytes());
            out.extend(pack.header_len.to_le_bytes());
            out.extend((pack.kind as u32).to_le_bytes());
        }
        for partition in &self.partitions {
            for n in [partition.first_page, partition.rows, partition.filter_at] {
                out.extend(n.to_le_bytes());
            }
            out.extend(partition.filter.0);
            out.extend(partition.filter_sum);
        }
        assert_eq!(out.len(), len, "a table does not have the length the head says");
        let sum = blake3::hash(&out[CHECKSUM.end..]);
        out[CHECKSUM].copy_from_slice(sum.as_bytes());
        out
    }

    /// Reads the head and tables of a whole file. After that every range and ordinal lies within the file, and every
    /// filter is readable; what pages and filters hold is checked when they are first touched.
    pub fn decode(file: &[u8]) -> Result<Head, IndexError> {
        let damaged = IndexError::Damaged;
        let head: &[u8; HEAD_LEN] = file.first_chunk().ok_or(damaged("a run is shorter than its head"))?;
        if head[..8] != MAGIC {
            return Err(damaged("not a run, or of another version"));
        }
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| head[at + i]));
        let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| head[at + i]));
        let (file_len, rows, segments, packs, bits) = (long(88), long(96), word(104), word(108), word(112));
        if file_len != file.len() as u64 || bits > PARTITION_BITS_MAX || packs > PACKS_MAX {
            return Err(damaged("a run is cut short, or its head is wrong"));
        }
        let tables_end = Head::tables_len(segments, packs, 1 << bits);
        let tables = file.get(..tables_end).ok_or(damaged("a run is shorter than its tables"))?;
        if blake3::hash(&tables[CHECKSUM.end..]).as_bytes()[..] != head[CHECKSUM] {
            return Err(damaged("the tables of a run do not match their checksum"));
        }
        let start = tables_end - (PARTITION_LEN << bits);
        let partitions: Vec<_> = tables[start..].as_chunks().0.iter().map(decode_partition).collect();
        let mut next = tables_end.div_ceil(PAGE_LEN);
        for partition in &partitions {
            if (partition.first_page as usize) < next {
                return Err(damaged("a partition of a run lies in another one"));
            }
            next = partition.first_page as usize + partition.pages() as usize;
        }
        let mut next = next * PAGE_LEN;
        for partition in partitions.iter().filter(|partition| !partition.filter.is_none()) {
            let filter = partition.filter_range();
            if !partition.filter.fits() || filter.start < next {
                return Err(damaged("a filter of a run has an impossible shape or place"));
            }
            next = filter.end;
        }
        if next > file.len() {
            return Err(damaged("a partition of a run lies outside of it"));
        }
        if partitions.iter().map(|p| u64::from(p.rows)).sum::<u64>() != rows {
            return Err(damaged("the partitions of a run do not add up"));
        }
        let head = Head {
            store: StoreId(std::array::from_fn(|i| head[40 + i])),
            key: std::array::from_fn(|i| head[56 + i]),
            file_len,
            rows,
            segments,
            packs,
            partitions,
        };
        if (0..packs).any(|ordinal| decode_pack(&tables[head.packs_range()], ordinal).is_none()) {
            return Err(damaged("a pack of a run has an unknown kind"));
        }
        Ok(head)
    }
}

/// Reads one pack of the table.
pub fn decode_pack(packs: &[u8], ordinal: u32) -> Option<SegmentPack> {
    let bytes = packs.as_chunks::<PACK_LEN>().0.get(ordinal as usize)?;
    let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
    let kind = match word(40) {
        1 => PackKind::Data,
        2 => PackKind::Tree,
        _ => return None,
    };
    Some(SegmentPack { id: ObjectId(*bytes.first_chunk()?), kind, len: word(32), header_len: word(36) })
}

fn decode_partition(bytes: &[u8; PARTITION_LEN]) -> Partition {
    let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
    Partition {
        first_page: word(0),
        rows: word(4),
        filter_at: word(8),
        filter: super::filter::Descriptor(std::array::from_fn(|i| bytes[12 + i])),
        filter_sum: std::array::from_fn(|i| bytes[32 + i]),
    }
}
