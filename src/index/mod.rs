//! Which chunks, nodes and lists the store has, and where they lie.
//!
//! The index lives in a local cache as a few immutable **runs** (sorted, memory-mapped, each with its filter); what the
//! running session adds are **claims**. Never trusted: a wrong entry shows when the blob is read, and the cache can
//! be rebuilt from the segments at any time.

pub mod run;
pub mod filter;
pub mod claims;
pub mod suspects;
mod entry;
mod layout;
mod merge;
mod builder;
mod writer;
mod folder;

pub use claims::Claims;

use crate::base::id::{ContentId, ObjectId, StoreId};
use crate::format::blob::BlobKind;
use crate::format::pack::PackKind;
use crate::format::segment::{Row, SegmentPack};
use folder::Folder;
use merge::PackTable;
use run::{FinishedRun, Run, RunBuilder};
use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use suspects::Suspects;

/// Where a chunk, node or list lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "as in format::segment::Row")]
pub struct Location {
    pub pack: ObjectId,
    pub pack_kind: PackKind,
    pub pack_header_len: u32,
    pub blob_kind: BlobKind,
    pub blob_offset: u32,
    pub blob_len: u32,
    pub inner_offset: u32,
    pub inner_len: u32,
}

/// A cache that cannot be used. It is thrown away and built again by the caller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say it")]
pub enum IndexError {
    #[error("index cache: {0}")]
    Io(#[from] io::Error),
    #[error("index cache is damaged: {0}")]
    Damaged(&'static str),
    /// Not the cache's fault: the segment being added is wrong.
    #[error("a segment cannot be indexed: {0}")]
    Row(&'static str),
}

/// All runs are merged when those beside the largest have more than this share of its rows.
const SMALL_SHARE: u64 = 8;
/// With more runs than this the small ones are merged: each costs a look-up a filter probe.
const RUNS_MAX: usize = 8;
/// So many are left as they are then, so that sizes stay steps of a ladder and a row is not rewritten by every session.
const RUNS_LEFT: usize = 4;

/// Private runs merged into one that is not installed yet.
pub struct MergedPrivate {
    run: FinishedRun,
    /// How many private runs there were.
    of: usize,
}

/// The index of one store. Look-ups take `&self` and run on any thread; they neither lock nor allocate.
///
/// A damaged cache never says that something is there which is not: what does not match its checksum counts as absent,
/// and [`Index::is_damaged`] says so from then on. The way back is [`Index::retain_segments`], which drops damaged runs
/// and gives the segments to be read again.
pub struct Index {
    folder: Folder,
    store: StoreId,
    runs: Vec<Run>,
    /// Runs of a session without an outcome, in files that nobody else reads. Largest first.
    private: Vec<(Run, FinishedRun)>,
    hidden: HashSet<ObjectId>,
    suspects: Suspects,
}

impl Index {
    /// Opens (or begins) the cached index of a store in `folder`. Damaged or foreign files are removed.
    ///
    /// Open the index before listing the store's segments: then a segment that is cached but not listed is gone, and
    /// not one that another process has added since.
    pub fn open(folder: &Path, store: StoreId) -> Result<Index, IndexError> {
        let folder = Folder::open(folder)?;
        let runs = folder.runs(store)?;
        Ok(Index { folder, store, runs, private: Vec::new(), hidden: HashSet::new(), suspects: Suspects::default() })
    }

    /// The segments whose rows it holds.
    pub fn segments(&self) -> HashSet<ObjectId> {
        self.runs.iter().flat_map(Run::segments).collect()
    }

    /// Begins a run of this index.
    pub fn builder(&self) -> Result<RunBuilder, IndexError> {
        RunBuilder::new(self.folder.path())
    }

    /// Adds segments' rows as one new run: first `packs` and rows of each segment are handed to a [`run::RunBuilder`],
    /// then it is installed here. Merges runs when the small ones pass 1/8 of the base.
    pub fn install(&mut self, run: RunBuilder) -> Result<(), IndexError> {
        if run.is_empty() {
            return Ok(());
        }
        let finished = run.finish(self.store)?;
        self.install_finished(finished)?;
        self.merge()
    }

    /// The quick part of installing, for a run that was finished without holding a lock on the index. Does not merge.
    pub fn install_finished(&mut self, run: FinishedRun) -> Result<(), IndexError> {
        let mut run = self.folder.adopt(run.file)?;
        run.hide(&self.hidden);
        self.runs.push(run);
        self.sort();
        Ok(())
    }

    /// Lets look-ups of this index, and of no other process, find a run: what a session stores does not count before it
    /// has ended well. The run is no part of [`Self::segments`], is merged with its like only, and is gone with the
    /// process. Does not merge.
    pub fn install_private(&mut self, run: FinishedRun) -> Result<(), IndexError> {
        let mut opened = Run::open(run.file.path())?;
        opened.hide(&self.hidden);
        self.private.push((opened, run));
        self.private.sort_by_key(|(run, _)| std::cmp::Reverse(run.rows()));
        Ok(())
    }

    /// The smaller private runs in one, when it is time to merge them: for [`Self::replace_private`]. Look-ups go on
    /// meanwhile. Of what is damaged nothing is merged: it counts as absent, and its chunks may be stored twice.
    pub fn merged_private(&self) -> Result<Option<MergedPrivate>, IndexError> {
        if self.private.len() <= RUNS_MAX {
            return Ok(None);
        }
        match self.write_merged(self.private[RUNS_LEFT..].iter().map(|(run, _)| run)) {
            Ok(run) => Ok(Some(MergedPrivate { run, of: self.private.len() })),
            Err(IndexError::Damaged(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts a merged run in the place of those in it. Nothing happens when private runs came or went since.
    pub fn replace_private(&mut self, merged: MergedPrivate) -> Result<(), IndexError> {
        if merged.of != self.private.len() {
            return Ok(());
        }
        // First the new one, which may fail: then the others stay.
        let mut opened = Run::open(merged.run.file.path())?;
        opened.hide(&self.hidden);
        self.private.truncate(RUNS_LEFT);
        self.private.push((opened, merged.run));
        self.private.sort_by_key(|(run, _)| std::cmp::Reverse(run.rows()));
        Ok(())
    }

    /// The session has ended well: its private runs become runs like all others. Does not merge.
    pub fn publish_private(&mut self) -> Result<(), IndexError> {
        std::mem::take(&mut self.private).into_iter().try_for_each(|(_, run)| self.install_finished(run))
    }

    /// The session has ended otherwise: its private runs are removed.
    pub fn forget_private(&mut self) {
        self.private.clear();
    }

    /// All runs that look-ups search.
    fn searched(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().chain(self.private.iter().map(|(run, _)| run))
    }

    /// Merges runs if it is time to. Nothing happens while another process does, or when a run turns out to be damaged
    /// (then [`Self::is_damaged`]).
    pub fn merge(&mut self) -> Result<(), IndexError> {
        let Some(from) = self.merge_from() else { return Ok(()) };
        let Some(_lock) = self.folder.try_lock()? else { return Ok(()) };
        let merged = match self.write_merged(self.runs[from..].iter()) {
            Ok(merged) => merged,
            Err(IndexError::Damaged(_)) if self.is_damaged() => return Ok(()),
            Err(error) => return Err(error),
        };
        // First the new one: there is no time at which a segment lies in no run.
        self.install_finished_over(from, merged)
    }

    /// The first of the runs that are to be merged into one.
    fn merge_from(&self) -> Option<usize> {
        let base = self.runs.first()?;
        let small: u64 = self.runs[1..].iter().map(Run::rows).sum();
        if self.runs.len() > 1 && small * SMALL_SHARE > base.rows() {
            Some(0)
        } else if self.runs.len() > RUNS_MAX {
            Some(RUNS_LEFT)
        } else {
            None
        }
    }

    fn install_finished_over(&mut self, from: usize, merged: FinishedRun) -> Result<(), IndexError> {
        let mut run = self.folder.adopt(merged.file)?;
        run.hide(&self.hidden);
        let merged: Vec<Run> = self.runs.drain(from..).collect();
        self.runs.push(run);
        self.sort();
        merged.iter().try_for_each(|run| folder::remove(run.path()))
    }

    fn write_merged<'a>(&self, runs: impl Iterator<Item = &'a Run> + Clone) -> Result<FinishedRun, IndexError> {
        let mut seen = HashSet::new();
        let segments: Vec<_> = runs.clone().flat_map(Run::segments).filter(|id| seen.insert(*id)).collect();
        let mut packs = PackTable::default();
        for run in runs.clone() {
            packs.add(run)?;
        }
        let (rows, count) = (runs.clone().map(Run::rows).sum(), packs.packs().len());
        let mut writer = writer::RunWriter::new(self.folder.path(), segments.len(), count, rows)?;
        merge::merge_runs(runs, &mut packs, |entry| writer.push(entry))?;
        Ok(FinishedRun { file: writer.finish(self.store, &segments, packs.packs())? })
    }

    fn sort(&mut self) {
        self.runs.sort_by_key(|run| std::cmp::Reverse(run.rows()));
    }

    /// Drops runs that hold a segment outside `live` or are damaged, and gives the live segments that lay only in them:
    /// they must be read again.
    pub fn retain_segments(&mut self, live: &HashSet<ObjectId>) -> Result<Vec<ObjectId>, IndexError> {
        let (kept, dropped): (Vec<Run>, Vec<Run>) = std::mem::take(&mut self.runs)
            .into_iter()
            .partition(|run| !run.is_damaged() && run.segments().all(|segment| live.contains(&segment)));
        self.runs = kept;
        let mut known = self.segments();
        let mut again = Vec::new();
        for run in &dropped {
            again.extend(run.segments().filter(|segment| live.contains(segment) && known.insert(*segment)));
            folder::remove(run.path())?;
        }
        Ok(again)
    }

    /// From now on these packs' rows count as absent in [`Self::contains`] and [`Self::locate`] (condemned packs), those
    /// of later runs too. Adds to the packs hidden before.
    pub fn hide_packs(&mut self, packs: &HashSet<ObjectId>) {
        self.hidden.extend(packs);
        for run in self.runs.iter_mut().chain(self.private.iter_mut().map(|(run, _)| run)) {
            run.hide(&self.hidden);
        }
    }

    /// From now on what lies in these places counts as absent in [`Self::contains`], and comes last in [`Self::locate`]:
    /// it was found damaged. Adds to those before.
    pub fn suspect(&mut self, places: &Suspects) {
        self.suspects.extend(places);
    }

    /// The places that were found damaged.
    pub fn suspects(&self) -> &Suspects {
        &self.suspects
    }

    /// Whether this place was found damaged.
    pub fn is_suspect(&self, location: &Location) -> bool {
        self.suspects.has(&location.pack, location.blob_offset)
    }

    #[cold]
    fn is_suspect_entry(&self, run: &Run, found: &entry::Entry) -> bool {
        let place = run.pack(entry::pack(found)).zip(entry::row(found));
        place.is_some_and(|(pack, row)| self.suspects.has(&pack.id, row.blob_offset))
    }

    /// Whether something that was touched did not match its checksum. It counted as absent. (Private runs apart, which
    /// cannot be read again: what is damaged there is stored twice.)
    pub fn is_damaged(&self) -> bool {
        self.runs.iter().any(Run::is_damaged)
    }

    /// Whether it is there, in a place that is not suspect. The hot look-up: filter, then one or two page touches.
    pub fn contains(&self, id: &ContentId) -> bool {
        self.searched().any(|run| {
            let mut found = false;
            run.find(id, |entry| {
                found = self.suspects.is_empty() || !self.is_suspect_entry(run, entry);
                if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            found
        })
    }

    /// Appends every location to `found`, each once, suspect ones last.
    pub fn locate(&self, id: &ContentId, found: &mut Vec<Location>) {
        let start = found.len();
        for run in self.searched() {
            run.find(id, |entry| {
                if let Some((pack, row)) = run.pack(entry::pack(entry)).zip(entry::row(entry)) {
                    found.push(location(&pack, &row));
                }
                ControlFlow::Continue(())
            });
        }
        if found.len() > start + 1 {
            // Two runs may hold the same segment.
            found[start..].sort_unstable();
            let mut last = None;
            let mut at = 0;
            found.retain(|location| {
                at += 1;
                at <= start || last.replace(*location) != Some(*location)
            });
            if !self.suspects.is_empty() {
                found[start..].sort_by_key(|location| self.is_suspect(location));
            }
        }
    }

    /// Rows in all runs (a chunk with two locations counts twice, and so do rows of a segment that two processes added).
    pub fn rows(&self) -> u64 {
        self.runs.iter().map(Run::rows).sum()
    }

    /// Packs known, each once; hidden ones too.
    pub fn packs(&self) -> Vec<SegmentPack> {
        let mut seen = HashSet::new();
        self.runs.iter().flat_map(Run::packs).filter(|pack| seen.insert(pack.id)).collect()
    }

    /// Gives every row with its pack once, in id order; hidden ones too. The row's ordinal is one in a table of its own.
    /// Ends with an error when a run is damaged.
    pub fn each_row(&self, each: &mut dyn FnMut(&SegmentPack, &Row)) -> Result<(), IndexError> {
        let mut packs = PackTable::default();
        for run in &self.runs {
            packs.add(run)?;
        }
        let table = packs.packs().to_vec();
        merge::merge_runs(self.runs.iter(), &mut packs, |entry| {
            let found = table.get(entry::pack(entry) as usize).zip(entry::row(entry));
            let (pack, row) = found.ok_or(IndexError::Damaged("an entry of a run has an unknown kind"))?;
            each(pack, &row);
            Ok(())
        })
    }
}

fn location(pack: &SegmentPack, row: &Row) -> Location {
    Location {
        pack: pack.id,
        pack_kind: pack.kind,
        pack_header_len: pack.header_len,
        blob_kind: row.kind,
        blob_offset: row.blob_offset,
        blob_len: row.blob_len,
        inner_offset: row.inner_offset,
        inner_len: row.inner_len,
    }
}

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod tests;
