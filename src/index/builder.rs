//! Gathers the rows of segments, sorts them and writes a run. The memory is bounded, whatever the number of rows.

use super::IndexError;
use super::entry::{self, ENTRY_LEN, Entry};
use super::merge::{PackTable, merge};
use super::writer::RunWriter;
use crate::base::id::{ObjectId, StoreId};
use crate::format::segment::{Row, SegmentPack};
use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Entries sorted in memory at a time: 6.8 MB, and half of that for sorting.
const SORTED_ENTRIES: usize = 128 << 10;
/// Bytes in which all sorted pieces together are read back.
const READ_BYTES: usize = 8 << 20;
/// Entries read back at a time from one piece, at least.
const READ_ENTRIES_MIN: usize = 64;

/// Gathers segments into one new run file.
///
/// Rows beyond what is sorted in memory go to a temporary file without a name, in sorted pieces that are merged in the
/// end. Tables of segments and packs stay in memory: 64 MiB of data are one pack.
pub struct RunBuilder {
    folder: PathBuf,
    segments: Vec<ObjectId>,
    seen: HashSet<ObjectId>,
    packs: PackTable,
    /// Ordinals of the present segment's packs in `packs`.
    ordinals: Vec<u32>,
    entries: Vec<Entry>,
    rows: u64,
    spill: Option<Spill>,
}

/// Sorted pieces in a file.
struct Spill {
    file: File,
    /// Entries of each piece, one piece behind the other.
    pieces: Vec<usize>,
}

/// A run that is written and waits for [`super::Index::install`]; dropped, it is removed.
pub struct FinishedRun {
    pub(super) file: NamedTempFile,
}

impl RunBuilder {
    /// Begins a run for the index in `folder`.
    pub fn new(folder: &Path) -> Result<RunBuilder, IndexError> {
        Ok(RunBuilder {
            folder: folder.to_owned(),
            segments: Vec::new(),
            seen: HashSet::new(),
            packs: PackTable::default(),
            ordinals: Vec::new(),
            entries: Vec::new(),
            rows: 0,
            spill: None,
        })
    }

    /// Begins a segment: rows that follow point into `packs` by ordinal.
    pub fn segment(&mut self, id: ObjectId, packs: &[SegmentPack]) -> Result<(), IndexError> {
        self.ordinals.clear();
        for pack in packs {
            self.ordinals.push(self.packs.ordinal(pack).ok_or(IndexError::Row("there are more packs than fit a run"))?);
        }
        if self.seen.insert(id) {
            self.segments.push(id);
        }
        Ok(())
    }

    /// Rows of that segment, in any order. After an error the builder is of no use: the segment would be there in part.
    pub fn rows(&mut self, rows: &[Row]) -> Result<(), IndexError> {
        for row in rows {
            let ordinal =
                self.ordinals.get(row.pack as usize).ok_or(IndexError::Row("a row names no pack of its segment"))?;
            let entry = entry::pack_row(&Row { pack: *ordinal, ..*row })
                .ok_or(IndexError::Row("a row is of a kind that is not indexed"))?;
            self.entries.push(entry);
            if self.entries.len() >= SORTED_ENTRIES {
                self.spill()?;
            }
        }
        self.rows += rows.len() as u64;
        Ok(())
    }

    /// Rows so far.
    pub fn len(&self) -> u64 {
        self.rows
    }

    /// Whether no segment was begun.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    fn spill(&mut self) -> Result<(), IndexError> {
        self.entries.sort();
        let spill = match &mut self.spill {
            Some(spill) => spill,
            none => none.insert(Spill { file: tempfile::tempfile_in(&self.folder)?, pieces: Vec::new() }),
        };
        spill.file.write_all(self.entries.as_flattened())?;
        spill.pieces.push(self.entries.len());
        self.entries.clear();
        Ok(())
    }

    /// Sorts and writes the run: the slow part of installing, which needs no lock on the index.
    pub fn finish(mut self, store: StoreId) -> Result<FinishedRun, IndexError> {
        let mut writer = RunWriter::new(&self.folder, self.segments.len(), self.packs.packs().len(), self.rows)?;
        if self.spill.is_some() && !self.entries.is_empty() {
            self.spill()?;
        }
        match &self.spill {
            None => {
                self.entries.sort();
                self.entries.iter().try_for_each(|entry| writer.push(entry))?;
            }
            Some(spill) => {
                self.entries = Vec::new();
                merge(spill.read(), |entry| writer.push(entry))?;
            }
        }
        Ok(FinishedRun { file: writer.finish(store, &self.segments, self.packs.packs())? })
    }
}

impl Spill {
    fn read(&self) -> Vec<Piece<'_>> {
        let at_a_time = (READ_BYTES / ENTRY_LEN / self.pieces.len().max(1)).max(READ_ENTRIES_MIN);
        let mut start = 0;
        let mut pieces = Vec::with_capacity(self.pieces.len());
        for rows in &self.pieces {
            let bytes = (rows * ENTRY_LEN) as u64;
            let buffer = vec![[0; ENTRY_LEN]; at_a_time.min(*rows)];
            let at = buffer.len();
            pieces.push(Piece { file: &self.file, offset: start, left: *rows, buffer, at });
            start += bytes;
        }
        pieces
    }
}

/// Reads one sorted piece.
struct Piece<'a> {
    file: &'a File,
    offset: u64,
    left: usize,
    buffer: Vec<Entry>,
    at: usize,
}

impl Iterator for Piece<'_> {
    type Item = Result<Entry, IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.buffer.len() {
            self.buffer.truncate(self.left);
            self.at = 0;
            if self.buffer.is_empty() {
                return None;
            }
            if let Err(error) = self.file.read_exact_at(self.buffer.as_flattened_mut(), self.offset) {
                self.left = 0;
                self.buffer.clear();
                return Some(Err(error.into()));
            }
            self.offset += (self.buffer.len() * ENTRY_LEN) as u64;
            self.left -= self.buffer.len();
        }
        self.at += 1;
        Some(Ok(self.buffer[self.at - 1]))
    }
}
