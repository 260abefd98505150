//! A run: 1,024 partitions by id prefix (fewer when small) of sorted fixed-width entries, memory-mapped, each with its
//! filter.
//!
//! # Why every page is checked before it is believed
//!
//! The cache is never trusted for where a chunk lies: a wrong location shows when the blob is read. But a backup stores
//! no chunk of which the index says that it is there. One flipped bit in an entry's id would make [`Run::find`] answer
//! "there" for an id that nobody stored, and that chunk would be lost. So a page's checksum is verified when the page
//! is first touched (one bit each remembers that), a filter's likewise, and what does not match counts as absent and
//! marks the run as damaged: the worst a damaged cache does is that a chunk is stored twice, until the store has dropped
//! the run and read its segments again. A run cut short is refused when it is opened; a page that is gone later (a failing
//! disk) reads as zeros, which are nobody's entry.
//!
//! Pages and filters are used where they are mapped: what a run takes of anonymous memory is its partitions' places
//! (64 KiB) and one bit for every 78 entries.

use super::IndexError;
use super::entry::{self, Entry};
use super::layout::{self, Head, PAGE_ENTRIES, PAGE_LEN, Partition};
use crate::base::id::{ContentId, ObjectId};
use crate::base::machine_file;
use crate::format::segment::SegmentPack;
use crate::source::mmap::GuardedMap;
use std::collections::HashSet;
use std::ops::{ControlFlow, Deref};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

pub use super::builder::{FinishedRun, RunBuilder};

/// A place in the file did not match its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage(pub &'static str);

impl From<Damage> for IndexError {
    fn from(damage: Damage) -> IndexError {
        IndexError::Damaged(damage.0)
    }
}

/// Interpolating steps before a search falls back to halving: two find the page of a hash, more are for made-up ids.
const INTERPOLATIONS: u32 = 4;

/// An opened run: a mapped file, or bytes.
pub struct Run<B = GuardedMap> {
    bytes: B,
    path: PathBuf,
    head: Head,
    partition_bits: u32,
    /// One bit for each page of the file that was verified. Relaxed: the bytes it speaks of never change.
    pages_verified: Box<[AtomicU64]>,
    /// One bit for each partition whose filter was verified.
    filters_verified: Box<[AtomicU64]>,
    damaged: AtomicBool,
    /// One bit for each pack whose entries count as absent; empty when there is none.
    hidden: Box<[u64]>,
}

impl Run {
    /// Maps a run file and verifies its head and tables.
    pub fn open(path: &Path) -> Result<Run, IndexError> {
        let file = machine_file::open(path).map_err(|error| match machine_file::is_no_file(&error) {
            true => IndexError::Damaged("something that is no file lies in the place of a run"),
            false => error.into(),
        })?;
        if file.metadata()?.len() == 0 {
            return Err(IndexError::Damaged("a run is empty"));
        }
        // SAFETY: a run file is written under another name and renamed when it is complete; from then on it is only
        // ever unlinked, never written or cut, so the mapped bytes do not change.
        let map = unsafe { GuardedMap::new(&file)? };
        let run = Run { path: path.to_owned(), ..Run::new(map)? };
        // Every look-up begins with a filter: better one long read now than a thousand short ones. A hint: it may fail.
        let filters = run.head.filters_range();
        run.bytes.will_need(filters.start, filters.len());
        Ok(run)
    }

    /// The same run, whose file has another name now.
    pub fn renamed(self, path: PathBuf) -> Run {
        Run { path, ..self }
    }

    /// Where it lies (or lay: another process may have removed it).
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl<B: Deref<Target = [u8]>> Run<B> {
    /// Views the bytes of a run file, and verifies its head and tables.
    pub fn new(bytes: B) -> Result<Run<B>, IndexError> {
        let head = Head::decode(&bytes)?;
        let bits = |n: usize| (0..n.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Ok(Run {
            path: PathBuf::new(),
            partition_bits: head.partition_bits(),
            pages_verified: bits(bytes.len().div_ceil(PAGE_LEN)),
            filters_verified: bits(head.partitions.len()),
            damaged: AtomicBool::new(false),
            hidden: Box::default(),
            bytes,
            head,
        })
    }

    /// Head and tables.
    pub fn head(&self) -> &Head {
        &self.head
    }

    pub fn rows(&self) -> u64 {
        self.head.rows
    }

    /// The segments whose rows it holds.
    pub fn segments(&self) -> impl Iterator<Item = ObjectId> {
        self.bytes[self.head.segments_range()].as_chunks().0.iter().map(|id| ObjectId(*id))
    }

    /// A pack of its table.
    pub fn pack(&self, ordinal: u32) -> Option<SegmentPack> {
        layout::decode_pack(&self.bytes[self.head.packs_range()], ordinal)
    }

    /// All packs by ordinal.
    pub fn packs(&self) -> impl Iterator<Item = SegmentPack> {
        (0..self.head.packs).map_while(|ordinal| self.pack(ordinal))
    }

    /// Whether something that was touched did not match its checksum.
    pub fn is_damaged(&self) -> bool {
        self.damaged.load(Relaxed)
    }

    /// Entries that point into these packs count as absent.
    pub fn hide(&mut self, packs: &HashSet<ObjectId>) {
        let mut bits = vec![0u64; (self.head.packs as usize).div_ceil(64)];
        let mut any = false;
        if !packs.is_empty() {
            for (ordinal, _) in self.packs().enumerate().filter(|(_, pack)| packs.contains(&pack.id)) {
                bits[ordinal / 64] |= 1 << (ordinal % 64);
                any = true;
            }
        }
        self.hidden = if any { bits.into() } else { Box::default() };
    }

    /// Whether entries of this pack count as absent: it is hidden, or no pack of this run.
    fn hides(&self, pack: u32) -> bool {
        pack >= self.head.packs || self.hidden.get(pack as usize / 64).is_some_and(|word| word >> (pack % 64) & 1 == 1)
    }

    /// Hands every entry of an id that is not hidden to `each`. What is damaged is passed over and remembered.
    #[inline]
    pub fn find(&self, id: &ContentId, each: impl FnMut(&Entry) -> ControlFlow<()>) {
        let prefix = entry::prefix(&id.0);
        let number = layout::partition_of(prefix, self.partition_bits);
        let partition = &self.head.partitions[number];
        let found = match self.may_contain(number, partition, prefix) {
            Ok(false) => Ok(()),
            Ok(true) => self.search(partition, prefix, id, each),
            Err(damage) => Err(damage),
        };
        if found.is_err() {
            self.damaged.store(true, Relaxed);
        }
    }

    /// What the partition's filter says.
    #[inline]
    fn may_contain(&self, number: usize, partition: &Partition, prefix: u64) -> Result<bool, Damage> {
        if partition.filter.is_none() {
            return Ok(partition.rows != 0);
        }
        let fingerprints = &self.bytes[partition.filter_range()];
        let (word, bit) = (&self.filters_verified[number / 64], 1 << (number % 64));
        if word.load(Relaxed) & bit == 0 {
            verify_filter(fingerprints, partition, &self.head.key)?;
            word.fetch_or(bit, Relaxed);
        }
        Ok(partition.filter.contains(fingerprints, prefix))
    }

    /// Finds the entries of an id in its partition: the page by interpolation, the place in it likewise.
    fn search(
        &self,
        partition: &Partition,
        prefix: u64,
        id: &ContentId,
        mut each: impl FnMut(&Entry) -> ControlFlow<()>,
    ) -> Result<(), Damage> {
        let Some((mut number, mut entries)) = self.first_page(partition, prefix, &id.0)? else { return Ok(()) };
        let mut at = lower_bound(entries, prefix, &id.0);
        loop {
            for found in &entries[at..] {
                if entry::id(found) != &id.0 {
                    return Ok(());
                }
                if !self.hides(entry::pack(found)) && each(found).is_break() {
                    return Ok(());
                }
            }
            number += 1;
            if number == partition.pages() {
                return Ok(());
            }
            entries = self.entries_of(partition, number)?;
            at = 0;
        }
    }

    /// The first page of the partition whose last entry is not below the id.
    fn first_page(&self, partition: &Partition, prefix: u64, id: &[u8; 32]) -> Result<Option<(u32, &[Entry])>, Damage> {
        let pages = partition.pages();
        // Prefixes are spread evenly over a partition: how many pages lie between two of them.
        let pages_between = |low: u64, high: u64| {
            ((u128::from(high.saturating_sub(low)) * u128::from(pages)) >> (64 - self.partition_bits)) as u32
        };
        let start = if self.partition_bits == 0 {
            0
        } else {
            prefix >> (64 - self.partition_bits) << (64 - self.partition_bits)
        };
        // The page sought lies in low..=high; `high` itself is known to do, or is past the end.
        let (mut low, mut high) = (0, pages);
        let mut probe = pages_between(start, prefix);
        for step in 0.. {
            if low == high {
                break;
            }
            if step >= INTERPOLATIONS {
                probe = low + (high - low) / 2;
            }
            probe = probe.clamp(low, high - 1);
            let entries = self.entries_of(partition, probe)?;
            let (first, last) = (entry::id(&entries[0]), entry::id(&entries[entries.len() - 1]));
            if last < id {
                low = probe + 1;
                probe = low.saturating_add(pages_between(entry::prefix(last), prefix));
            } else if first < id || probe == low {
                return Ok(Some((probe, entries)));
            } else {
                high = probe;
                probe = probe.saturating_sub(1 + pages_between(prefix, entry::prefix(first)));
            }
        }
        if low == pages { Ok(None) } else { Ok(Some((low, self.entries_of(partition, low)?))) }
    }

    /// The entries of a page of a partition (at least one), verified.
    #[inline]
    fn entries_of(&self, partition: &Partition, number: u32) -> Result<&[Entry], Damage> {
        let in_file = partition.first_page + number;
        let start = in_file as usize * PAGE_LEN;
        let page: &[u8; PAGE_LEN] =
            self.bytes.get(start..).and_then(|rest| rest.first_chunk()).ok_or(Damage("a page lies outside its run"))?;
        let (word, bit) = (&self.pages_verified[in_file as usize / 64], 1 << (in_file % 64));
        if word.load(Relaxed) & bit == 0 {
            verify_page(page, in_file, &self.head.key)?;
            word.fetch_or(bit, Relaxed);
        }
        let count = (partition.rows as usize - number as usize * PAGE_ENTRIES).min(PAGE_ENTRIES);
        Ok(&layout::page_entries(page)[..count])
    }

    /// Every entry in order, hidden ones too. After an error it goes on with the next page.
    pub fn entries(&self) -> impl Iterator<Item = Result<&Entry, IndexError>> {
        let pages =
            self.head.partitions.iter().flat_map(|partition| (0..partition.pages()).map(move |n| (partition, n)));
        pages.flat_map(|(partition, number)| {
            let (entries, damage) = match self.entries_of(partition, number) {
                Ok(entries) => (entries, None),
                Err(damage) => {
                    self.damaged.store(true, Relaxed);
                    (&[][..], Some(Err(damage.into())))
                }
            };
            entries.iter().map(Ok).chain(damage)
        })
    }
}

/// The place of the first entry of a page that is not below the id; the page's last one is not.
fn lower_bound(entries: &[Entry], prefix: u64, id: &[u8; 32]) -> usize {
    let (first, last) = (entry::prefix(entry::id(&entries[0])), entry::prefix(entry::id(&entries[entries.len() - 1])));
    let share = prefix.saturating_sub(first) as f64 / last.saturating_sub(first).max(1) as f64;
    let mut at = ((share * entries.len() as f64) as usize).min(entries.len() - 1);
    while at > 0 && entry::id(&entries[at - 1]) >= id {
        at -= 1;
    }
    while at < entries.len() && entry::id(&entries[at]) < id {
        at += 1;
    }
    at
}

#[cold]
fn verify_page(page: &[u8; PAGE_LEN], number: u32, key: &[u8; 32]) -> Result<(), Damage> {
    match layout::page_is_sound(page, number, key) {
        true => Ok(()),
        false => Err(Damage("a page of a run does not match its checksum")),
    }
}

#[cold]
fn verify_filter(fingerprints: &[u8], partition: &Partition, key: &[u8; 32]) -> Result<(), Damage> {
    match blake3::keyed_hash(key, fingerprints) == partition.filter_sum {
        true => Ok(()),
        false => Err(Damage("a filter of a run does not match its checksum")),
    }
}
