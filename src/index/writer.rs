//! Writes a run file from entries in order: partition by partition, with its filter.

use super::entry::{self, ENTRY_LEN, Entry};
use super::layout::{self, FILTER_ALIGN, Head, PAGE_ENTRIES, PAGE_LEN, Partition};
use super::{IndexError, filter};
use crate::base::id::{ObjectId, StoreId};
use crate::format::segment::SegmentPack;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;
use tempfile::{NamedTempFile, SpooledTempFile};

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 256 << 10;
/// Bytes of filters that are kept in memory; more go to a temporary file until the last page is written.
const FILTERS_IN_MEMORY: usize = 1 << 20;
/// How the temporary files begin that become runs.
pub const TEMPORARY_PREFIX: &str = ".run-";

/// A run file that is being written. Memory: one page, one partition's id prefixes and filter, the tables.
pub struct RunWriter {
    out: BufWriter<NamedTempFile>,
    head: Head,
    bits: u32,
    /// The partition that is open, and what was written before it.
    number: usize,
    next_page: u32,
    open: Partition,
    /// Prefixes of the open partition's ids, each once.
    keys: Vec<u64>,
    /// The filters so far, and their bytes. They follow the last page.
    filters: SpooledTempFile,
    filters_len: usize,
    page: Box<[u8; PAGE_LEN]>,
    in_page: usize,
    last: Entry,
}

impl RunWriter {
    /// Begins a run with so many segments and packs and about `rows` entries, in a temporary file in `folder`.
    pub fn new(folder: &Path, segments: usize, packs: usize, rows: u64) -> Result<RunWriter, IndexError> {
        let count = |n: usize| u32::try_from(n).map_err(|_| too_large());
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        let bits = layout::partition_bits(rows);
        let (segments, packs) = (count(segments)?, count(packs)?);
        let head = Head { store: StoreId([0; 16]), key, file_len: 0, rows: 0, segments, packs, partitions: Vec::new() };
        let tables = Head::tables_len(segments, packs, 1 << bits);
        let next_page = count(tables.div_ceil(PAGE_LEN))?;
        let mut file = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempfile_in(folder)?;
        // As long as it is open nobody clears it away. Where there are no locks, nobody does ever.
        let _ = file.as_file().try_lock_shared();
        file.as_file_mut().seek(SeekFrom::Start(u64::from(next_page) * PAGE_LEN as u64))?;
        Ok(RunWriter {
            out: BufWriter::with_capacity(BUFFER_BYTES, file),
            head,
            bits,
            number: 0,
            next_page,
            open: Partition { first_page: next_page, ..Partition::default() },
            keys: Vec::new(),
            filters: tempfile::spooled_tempfile_in(FILTERS_IN_MEMORY, folder),
            filters_len: 0,
            page: Box::new([0; PAGE_LEN]),
            in_page: 0,
            last: [0; ENTRY_LEN],
        })
    }

    /// Takes the next entry; ids ascend. An entry equal to the one before it is left out.
    pub fn push(&mut self, entry: &Entry) -> Result<(), IndexError> {
        if self.head.rows > 0 && self.last == *entry {
            return Ok(());
        }
        self.last = *entry;
        let prefix = entry::prefix(entry::id(entry));
        while self.number < layout::partition_of(prefix, self.bits) {
            self.close_partition()?;
        }
        if self.keys.last() != Some(&prefix) && self.keys.len() <= filter::KEYS_MAX {
            self.keys.push(prefix);
        }
        self.page.as_chunks_mut().0[self.in_page] = *entry;
        self.in_page += 1;
        self.open.rows = self.open.rows.checked_add(1).ok_or_else(too_large)?;
        self.head.rows += 1;
        if self.in_page == PAGE_ENTRIES { self.write_page() } else { Ok(()) }
    }

    fn write_page(&mut self) -> Result<(), IndexError> {
        layout::seal_page(&mut self.page, self.next_page, &self.head.key);
        self.out.write_all(&self.page[..])?;
        self.page.fill(0);
        self.in_page = 0;
        self.next_page = self.next_page.checked_add(1).ok_or_else(too_large)?;
        Ok(())
    }

    fn close_partition(&mut self) -> Result<(), IndexError> {
        if self.in_page > 0 {
            self.write_page()?;
        }
        let salt = u64::from_le_bytes(std::array::from_fn(|i| self.head.key[i]));
        if let Some((descriptor, fingerprints)) = filter::build(&self.keys, salt) {
            self.open.filter = descriptor;
            self.open.filter_at = u32::try_from(self.filters_len / FILTER_ALIGN).map_err(|_| too_large())?;
            self.open.filter_sum = blake3::keyed_hash(&self.head.key, &fingerprints).into();
            let padding = fingerprints.len().next_multiple_of(FILTER_ALIGN) - fingerprints.len();
            self.filters.write_all(&fingerprints)?;
            self.filters.write_all(&[0; FILTER_ALIGN][..padding])?;
            self.filters_len += fingerprints.len() + padding;
        }
        self.keys.clear();
        let next = Partition { first_page: self.next_page, ..Partition::default() };
        self.head.partitions.push(std::mem::replace(&mut self.open, next));
        self.number += 1;
        Ok(())
    }

    /// Writes what is open, and the head and tables; gives the file, which is complete but for its name.
    ///
    /// No fsync: after a power cut a torn file shows by its checksums and is built again.
    pub fn finish(
        mut self,
        store: StoreId,
        segments: &[ObjectId],
        packs: &[SegmentPack],
    ) -> Result<NamedTempFile, IndexError> {
        while self.number < 1 << self.bits {
            self.close_partition()?;
        }
        self.head.store = store;
        let pages_end = self.next_page as usize * PAGE_LEN;
        for partition in &mut self.head.partitions {
            let at = u32::try_from(partition.filter_at as usize + pages_end / FILTER_ALIGN);
            partition.filter_at = at.map_err(|_| too_large())?;
        }
        self.filters.seek(SeekFrom::Start(0))?;
        io::copy(&mut self.filters, &mut self.out)?;
        self.head.file_len = (pages_end + self.filters_len) as u64;
        let tables = self.head.encode(segments, packs);
        let mut file = self.out.into_inner().map_err(|error| error.into_error())?;
        let inner: &mut File = file.as_file_mut();
        inner.set_len(self.head.file_len)?;
        inner.seek(SeekFrom::Start(0))?;
        inner.write_all(&tables)?;
        Ok(file)
    }
}

/// A run has at most 2^32 pages and 256 GB.
fn too_large() -> io::Error {
    io::ErrorKind::FileTooLarge.into()
}
