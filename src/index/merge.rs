//! Merging sorted streams of entries into one.

use super::IndexError;
use super::entry::{self, Entry};
use super::run::Run;
use crate::base::id::ObjectId;
use crate::format::segment::SegmentPack;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// The packs of several tables, each once, and their ordinals.
#[derive(Debug, Default)]
pub struct PackTable {
    packs: Vec<SegmentPack>,
    // By everything that is said of it: a segment that says something else of a pack does not spoil the others' rows.
    ordinals: HashMap<(ObjectId, u8, u32, u32), u32>,
}

impl PackTable {
    /// The ordinal of a pack, which is added if it is new; none when the table is full.
    pub fn ordinal(&mut self, pack: &SegmentPack) -> Option<u32> {
        let key = (pack.id, pack.kind as u8, pack.len, pack.header_len);
        if let Some(ordinal) = self.ordinals.get(&key) {
            return Some(*ordinal);
        }
        let ordinal = u32::try_from(self.packs.len()).ok().filter(|n| *n < entry::PACKS_MAX)?;
        self.ordinals.insert(key, ordinal);
        self.packs.push(*pack);
        Some(ordinal)
    }

    /// Adds a run's packs and gives their ordinals by those in the run.
    pub fn add(&mut self, run: &Run) -> Result<Vec<u32>, IndexError> {
        let too_many = IndexError::Damaged("runs name more packs than fit one table");
        run.packs().map(|pack| self.ordinal(&pack)).collect::<Option<_>>().ok_or(too_many)
    }

    pub fn packs(&self) -> &[SegmentPack] {
        &self.packs
    }
}

/// Hands the entries of sorted streams to `each` in the order of their ids.
pub fn merge<S>(mut streams: Vec<S>, mut each: impl FnMut(&Entry) -> Result<(), IndexError>) -> Result<(), IndexError>
where
    S: Iterator<Item = Result<Entry, IndexError>>,
{
    if let [only] = &mut streams[..] {
        return only.try_for_each(|entry| each(&entry?));
    }
    let mut heads = BinaryHeap::with_capacity(streams.len());
    for (number, stream) in streams.iter_mut().enumerate() {
        if let Some(entry) = stream.next() {
            heads.push(Reverse((entry?, number)));
        }
    }
    while let Some(mut head) = heads.peek_mut() {
        let Reverse((entry, number)) = &mut *head;
        each(entry)?;
        match streams[*number].next() {
            Some(next) => *entry = next?,
            None => drop(std::collections::binary_heap::PeekMut::pop(head)),
        }
    }
    Ok(())
}

/// Entries of one id that are looked through for equal ones.
const EQUAL_IDS_MAX: usize = 1024;

/// Hands the entries of several runs to `each`, equal ones once, with the pack ordinals of the table `packs` (to which
/// the runs' packs are added), in the order of their ids.
pub fn merge_runs<'a>(
    runs: impl Iterator<Item = &'a Run>,
    packs: &mut PackTable,
    mut each: impl FnMut(&Entry) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let mut streams = Vec::new();
    for run in runs {
        let ordinals = packs.add(run)?;
        streams.push(run.entries().map(move |found| {
            let found = found?;
            let ordinal = ordinals.get(entry::pack(found) as usize);
            let ordinal = ordinal.ok_or(IndexError::Damaged("an entry of a run names a pack that is not there"))?;
            Ok(entry::with_pack(*found, *ordinal))
        }));
    }
    // With new ordinals the entries of one id need not be in order any more, and equal ones not be neighbours.
    let mut group: Vec<Entry> = Vec::new();
    let mut flush = |group: &mut Vec<Entry>| {
        group.sort_unstable();
        group.dedup();
        group.drain(..).try_for_each(|entry| each(&entry))
    };
    merge(streams, |entry| {
        if group.first().is_some_and(|first| entry::id(first) != entry::id(entry)) || group.len() >= EQUAL_IDS_MAX {
            flush(&mut group)?;
        }
        group.push(*entry);
        Ok(())
    })?;
    flush(&mut group)
}
