//! Reads all index segments and makes a fresh index of the store, independent of this machine's cache.

use super::error::CheckError;
use super::findings::Findings;
use super::records::{Records, names};
use super::{Severity, Subject};
use crate::base::id::ObjectId;
use crate::base::limits::{BLOB_PLAIN_BYTES_MAX, SESSION_ROWS_MAX};
use crate::base::time::Time;
use crate::format::pack::{Member, PackKind, PackTable};
use crate::format::segment::{Row, SegmentPack};
use crate::index::run::RunBuilder;
use crate::index::{Index, IndexError, Location};
use crate::object::ObjectError;
use crate::object::segment::SegmentReader;
use crate::storage::{Area, StorageKey};
use crate::store::{Store, StoreError};
use std::collections::{HashMap, HashSet};

/// A pack of the store.
#[derive(Debug, Clone, Default)]
pub(in crate::ops) struct PackState {
    /// Its length in the storage; `None` when it is not there.
    pub stored_len: Option<u64>,
    /// A segment that counts lists it, with this length of its header.
    pub listed: bool,
    pub header_len: u32,
    /// Its length, as that segment gives it.
    pub listed_len: u32,
    /// Offsets of blobs that cannot be read.
    pub bad: HashSet<u32>,
    /// None can be relied on.
    pub all_bad: bool,
    /// Something else of it is damaged than its blobs: they read right, and are to be stored anew all the same.
    pub doubtful: bool,
    /// The storage failed to give it.
    pub unreadable: bool,
    /// When the first of the sessions that list it began.
    pub since: Option<Time>,
    /// How often each segment lists it: rows, and a sum over them.
    pub rows: Vec<RowSum>,
}

impl PackState {
    /// A segment that counts lists it.
    fn list(&mut self, pack: &SegmentPack, sum: RowSum, since: Option<Time>) {
        (self.listed, self.header_len, self.listed_len) = (true, pack.header_len, pack.len);
        self.since = self.since.into_iter().chain(since).min();
        self.rows.push(sum);
    }

    /// Whether something of it is damaged or missing.
    pub fn is_suspect(&self) -> bool {
        !self.bad.is_empty() || self.is_all_suspect()
    }

    /// Whether nothing of it is to be relied on by what comes later.
    pub fn is_all_suspect(&self) -> bool {
        let right_len = self.stored_len == Some(u64::from(self.listed_len)) || !self.listed;
        self.all_bad || self.doubtful || self.stored_len.is_none() || !right_len
    }
}

impl Catalogue {
    /// How many things of a pack's table the index lacks at their place, and whether segments that list as many things
    /// list others.
    pub fn compare(&self, kind: PackKind, id: ObjectId, table: &PackTable, found: &mut Vec<Location>) -> (u64, bool) {
        let Some(state) = self.packs.get(&(kind, id)) else { return (0, false) };
        let (mut absent, mut sum) = (0, RowSum::default());
        let mut blob_offset = state.header_len;
        for blob in &table.blobs {
            let mut inner_offset = 0u32;
            for Member { id: content, len } in &blob.members {
                let (blob_len, inner_len) = (blob.sealed_len, *len);
                let row =
                    Row { id: *content, kind: blob.kind, pack: 0, blob_offset, blob_len, inner_offset, inner_len };
                sum.add(&row);
                found.clear();
                self.index.locate(content, found);
                let is_it = |l: &Location| {
                    (l.pack, l.pack_kind, l.blob_kind, l.blob_offset, l.blob_len, l.inner_offset, l.inner_len)
                        == (id, kind, blob.kind, blob_offset, blob_len, inner_offset, inner_len)
                };
                absent += u64::from(!found.iter().any(is_it));
                inner_offset = inner_offset.saturating_add(*len);
            }
            blob_offset = blob_offset.saturating_add(blob.sealed_len);
        }
        (absent, state.rows.iter().any(|listed| listed.rows == sum.rows && *listed != sum))
    }
}

/// Stands for the rows of one pack in one segment, whatever their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::ops) struct RowSum {
    pub rows: u64,
    sum: u64,
}

impl RowSum {
    pub fn add(&mut self, row: &Row) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(row.id.as_bytes()).update(&[row.kind as u8]);
        for part in [row.blob_offset, row.blob_len, row.inner_offset, row.inner_len] {
            hasher.update(&part.to_le_bytes());
        }
        let digest = hasher.finalize();
        let part = digest.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        self.sum = self.sum.wrapping_add(part);
        self.rows += 1;
    }
}

/// The store's index and packs, as its objects say.
pub(in crate::ops) struct Catalogue {
    pub index: Index,
    pub packs: HashMap<(PackKind, ObjectId), PackState>,
    pub segments: u64,
    pub rows: u64,
    /// Segments that are damaged: generation and name.
    pub damaged_segments: Vec<(u32, ObjectId)>,
    /// Segments that could be read, wherever they lie.
    pub whole_segments: HashSet<ObjectId>,
    /// Segments that the storage failed to give.
    pub unreadable_segments: Vec<(u32, ObjectId)>,
    /// Part of the index could not be read: what is not found may be there.
    pub incomplete: bool,
    /// Segments that lie in another generation than their own: where they lie, where they belong.
    pub misplaced_segments: Vec<(StorageKey, StorageKey)>,
    /// Segments that outcomes name and that are not there.
    pub missing_segments: Vec<ObjectId>,
    /// Keeps the index's files.
    _folder: tempfile::TempDir,
}

fn local(path: &std::path::Path, source: std::io::Error) -> CheckError {
    CheckError::Cache { folder: path.display().to_string(), source }
}

/// Said of a segment that lies in another generation than its own.
pub(super) fn misplaced(own: &StorageKey) -> String {
    format!("it belongs to {own} and was moved or copied from there. `larder repair index` mends that")
}

/// So many rows of a segment are kept between verifying and taking them; of a longer one they are read again.
const ROWS_KEPT_MAX: usize = 2 * SESSION_ROWS_MAX;

/// A segment, every row of which was read, before one of them counts; and the rows, if they are not too many.
fn open_whole(
    store: &Store,
    generation: u32,
    id: ObjectId,
) -> Result<(SegmentReader<'_>, Option<Vec<Row>>), ObjectError> {
    let mut reader = SegmentReader::open(&*store.storage, &store.ring, generation, id)?;
    let count: usize = reader.footer.fences.iter().map(|fence| fence.rows as usize).sum();
    let mut kept = (count <= ROWS_KEPT_MAX).then(|| Vec::with_capacity(count));
    reader.rows(&mut |rows| {
        if let Some(kept) = &mut kept {
            kept.extend_from_slice(rows);
        }
    })?;
    Ok((reader, kept))
}

/// Puts a segment's rows into the index. Gives what it lists of each of its packs, and how many rows there are.
fn take_rows(
    (reader, kept): (&mut SegmentReader<'_>, Option<Vec<Row>>),
    id: ObjectId,
    builder: &mut RunBuilder,
    (findings, subject): (&Findings<'_>, &Subject),
    failed: &dyn Fn(IndexError) -> CheckError,
) -> Result<(Vec<(SegmentPack, RowSum)>, u64), CheckError> {
    builder.segment(id, &reader.footer.packs).map_err(failed)?;
    let mut sums: Vec<_> = reader.footer.packs.iter().map(|pack| (*pack, RowSum::default())).collect();
    let (mut result, mut impossible, mut rows) = (Ok(()), 0u64, 0);
    let mut take = |block: &[Row]| {
        for row in block {
            match sums.get_mut(row.pack as usize) {
                Some((pack, sum)) if is_possible(row, pack) => sum.add(row),
                _ => impossible += 1,
            }
        }
        rows += block.len() as u64;
        if result.is_ok() {
            result = builder.rows(block);
        }
    };
    match kept {
        Some(rows) => take(&rows),
        None => reader.rows(&mut take).map_err(StoreError::from)?,
    }
    result.map_err(failed)?;
    if impossible > 0 {
        findings.add(Severity::Damage, subject.clone(), format!("{impossible} rows point outside of any pack"));
    }
    Ok((sums, rows))
}

/// Reads every segment into a fresh index, and compares the packs it names with those that are there.
pub(in crate::ops) fn catalogue(
    store: &Store,
    findings: &Findings<'_>,
    records: &Records,
) -> Result<Catalogue, CheckError> {
    let cache = store.cache_folder();
    std::fs::create_dir_all(cache).map_err(|e| local(cache, e))?;
    let folder = tempfile::Builder::new().prefix("check-").tempdir_in(cache).map_err(|e| local(cache, e))?;
    let failed = |e: IndexError| match e {
        IndexError::Io(e) => local(folder.path(), e),
        other => CheckError::Index(other.to_string()),
    };
    let mut index = Index::open(folder.path(), store.id()).map_err(failed)?;
    let mut builder = RunBuilder::new(folder.path()).map_err(failed)?;
    let mut packs = listed_packs(store)?;
    let (mut segments, mut rows, mut read_well, mut incomplete) = (0, 0, HashSet::new(), false);
    let (mut here, mut misplaced_segments) = (HashSet::new(), vec![]);
    let (mut damaged_segments, mut unreadable_segments) = (vec![], vec![]);
    for key in names(&*store.storage, Area::Index)? {
        let StorageKey::Segment(generation, id) = key else { continue };
        let subject = Subject::Object(key);
        let read = findings.attempt(&subject, || open_whole(store, generation, id));
        here.insert(id);
        let (mut reader, kept) = match read {
            Ok(read) => read,
            Err(flaw) => {
                incomplete |= flaw.is_unreadable();
                let kept = if flaw.is_unreadable() { &mut unreadable_segments } else { &mut damaged_segments };
                kept.push((generation, id));
                continue;
            }
        };
        let own = StorageKey::Segment(reader.header.generation(), id);
        if own != key {
            findings.add(Severity::Damage, subject.clone(), misplaced(&own));
            misplaced_segments.push((key, own));
        }
        // Once, wherever its copies lie.
        if !read_well.insert(id) {
            continue;
        }
        segments += 1;
        if !records.standing(store, &reader.header.session, &reader.footer.signer).is_reliable() {
            incomplete |= records.is_unreadable(&reader.header.session);
            continue;
        }
        let since = records.began(&reader.header.session);
        let (sums, taken) = take_rows((&mut reader, kept), id, &mut builder, (findings, &subject), &failed)?;
        rows += taken;
        for (pack, sum) in sums {
            packs.entry((pack.kind, pack.id)).or_default().list(&pack, sum, since);
        }
    }
    index.install(builder).map_err(failed)?;
    let missing_segments = missing_segments(records, &here, findings);
    Ok(Catalogue {
        index,
        packs,
        segments,
        rows,
        damaged_segments,
        whole_segments: read_well,
        unreadable_segments,
        incomplete,
        misplaced_segments,
        missing_segments,
        _folder: folder,
    })
}

/// Packs that are in the storage.
fn listed_packs(store: &Store) -> Result<HashMap<(PackKind, ObjectId), PackState>, StoreError> {
    let mut packs = HashMap::new();
    for (area, kind) in [(Area::Packs, PackKind::Data), (Area::Trees, PackKind::Tree)] {
        store.storage.list(area, &mut |listed| {
            if let StorageKey::Pack(id) | StorageKey::Tree(id) = listed.key {
                // In the place of one of no length lies no file, or nothing of it.
                let stored_len = (listed.len > 0).then_some(listed.len);
                packs.insert((kind, id), PackState { stored_len, ..PackState::default() });
            }
        })?;
    }
    Ok(packs)
}

/// Whether a row points into its pack.
fn is_possible(row: &Row, pack: &SegmentPack) -> bool {
    let blob_end = u64::from(row.blob_offset) + u64::from(row.blob_len);
    let inner_end = u64::from(row.inner_offset) + u64::from(row.inner_len);
    row.blob_offset >= pack.header_len && blob_end <= u64::from(pack.len) && inner_end <= BLOB_PLAIN_BYTES_MAX as u64
}

/// Segments that an outcome names. Whether anything is lost by one's absence shows when trees and chunks are looked for.
fn missing_segments(records: &Records, here: &HashSet<ObjectId>, findings: &Findings<'_>) -> Vec<ObjectId> {
    let mut missing = vec![];
    for (session, state) in &records.sessions {
        for segment in state.segments().iter().filter(|id| !here.contains(*id)) {
            let message = format!(
                "session {session} wrote this index segment, which is missing. Either it was merged into another one, \
                 or it was lost, and `larder repair index` makes it again from the packs"
            );
            findings.add(Severity::Notice, Subject::Object(StorageKey::Segment(0, *segment)), message);
            missing.push(*segment);
        }
    }
    missing
}
