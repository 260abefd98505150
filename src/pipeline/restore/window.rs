//! Windows of the plan. They are gathered in tree order, then sorted by pack and cut into reads.

use super::item::{Check, Closing, File, OtherName, Pack, Piece, Ready, Step, Swept, Window};
use crate::base::id::{ContentId, ObjectId};
use crate::base::limits::{RESTORE_GAP_BYTES, RESTORE_READ_BYTES, WINDOW_BYTES, WINDOW_ENTRIES, WINDOW_PIECES};
use crate::destination::Destination;
use crate::index::Location;
use crate::object::reader::pack_key;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Entries that take nothing from packs, per step.
const READY_PER_STEP: usize = 64;
/// Chunks read back per step.
const CHECKS_PER_STEP: usize = 256;
/// The first window is small, so that the workers begin at once; each next one is this many times larger.
const RAMP: usize = 4;

/// A window being gathered; a full one is handed on.
pub struct Builder<'a, D: Destination> {
    emit: &'a mut dyn FnMut(Window<D>),
    number: u64,
    entries_max: usize,
    entries: usize,
    bytes: u64,
    packs: Vec<Arc<Pack>>,
    ordinals: HashMap<ObjectId, u32>,
    files: Vec<Arc<File<D>>>,
    pieces: Vec<Piece>,
    ready: Vec<Ready<D>>,
    checks: Vec<Check>,
    other_names: Vec<OtherName<D>>,
    sweeps: Vec<Swept<D>>,
    closing: Vec<Closing<D>>,
}

impl<'a, D: Destination> Builder<'a, D> {
    /// Nothing gathered. `emit` takes the windows.
    pub fn new(emit: &'a mut dyn FnMut(Window<D>)) -> Builder<'a, D> {
        Builder {
            emit,
            number: 0,
            entries_max: WINDOW_ENTRIES >> 6,
            entries: 0,
            bytes: 0,
            packs: vec![],
            ordinals: HashMap::new(),
            files: vec![],
            pieces: vec![],
            ready: vec![],
            checks: vec![],
            other_names: vec![],
            sweeps: vec![],
            closing: vec![],
        }
    }

    /// An entry more; hands the window on when it has its fill.
    fn entry(&mut self) {
        self.entries += 1;
        self.flush_full();
    }

    fn flush_full(&mut self) {
        let is_full = self.entries >= self.entries_max
            || self.bytes >= WINDOW_BYTES
            || self.pieces.len().max(self.checks.len()) >= WINDOW_PIECES;
        if is_full {
            self.flush();
        }
    }

    /// Hands the window on, however full it is.
    pub fn flush(&mut self) {
        let window = self.take();
        (self.emit)(window);
    }

    /// The number of this window.
    pub fn number(&self) -> u64 {
        self.number
    }

    fn ordinal(&mut self, file: &Arc<File<D>>) -> u32 {
        if !self.files.last().is_some_and(|last| Arc::ptr_eq(last, file)) {
            self.files.push(file.clone());
            self.entries += 1;
        }
        self.files.len() as u32 - 1
    }

    /// A chunk of `file` that is to be read back.
    pub fn check(&mut self, file: &Arc<File<D>>, id: ContentId, len: u32, file_offset: u64) {
        let ordinal = self.ordinal(file);
        file.unchecked.fetch_add(1, Ordering::Relaxed);
        self.checks.push(Check { id, len, file: ordinal, file_offset });
        self.flush_full();
    }

    /// A piece of `file`, which lies at `location` and goes to `file_offset`.
    pub fn piece(&mut self, file: &Arc<File<D>>, id: ContentId, location: &Location, file_offset: u64) {
        let file_ordinal = self.ordinal(file);
        let pack = *self.ordinals.entry(location.pack).or_insert_with(|| {
            let storage_key = pack_key(location.pack_kind, location.pack);
            let (id, kind) = (location.pack, location.pack_kind);
            self.packs.push(Arc::new(Pack { id, kind, storage_key, opened: OnceLock::new() }));
            self.packs.len() as u32 - 1
        });
        self.bytes += u64::from(location.inner_len);
        file.left.fetch_add(1, Ordering::Relaxed);
        self.pieces.push(Piece {
            id,
            pack,
            blob_offset: location.blob_offset,
            blob_len: location.blob_len,
            inner_offset: location.inner_offset,
            inner_len: location.inner_len,
            file: file_ordinal,
            file_offset,
        });
        self.flush_full();
    }

    /// The pack that the last piece came from: another one from there costs least.
    pub fn last_pack(&self) -> Option<ObjectId> {
        self.pieces.last().map(|piece| self.packs[piece.pack as usize].id)
    }

    /// An entry that takes nothing from packs.
    pub fn ready(&mut self, ready: Ready<D>) {
        self.ready.push(ready);
        self.entry();
    }

    /// Another name of a file.
    pub fn other_name(&mut self, name: OtherName<D>) {
        self.other_names.push(name);
        self.entry();
    }

    /// A directory in which what the snapshot lacks is to be removed.
    pub fn sweep(&mut self, swept: Swept<D>) {
        self.sweeps.push(swept);
    }

    /// A directory whose entries are all planned.
    pub fn closing(&mut self, closing: Closing<D>) {
        self.closing.push(closing);
        self.entry();
    }

    /// The window; a new one begins.
    fn take(&mut self) -> Window<D> {
        let mut pieces = std::mem::take(&mut self.pieces);
        pieces.sort_unstable_by_key(|p| (p.pack, p.blob_offset, p.inner_offset, p.file));
        let ready = std::mem::take(&mut self.ready);
        let mut steps = reads(&pieces);
        for from in (0..ready.len()).step_by(READY_PER_STEP) {
            steps.push(Step::Ready(from as u32..(from + READY_PER_STEP).min(ready.len()) as u32));
        }
        let window = Window {
            packs: std::mem::take(&mut self.packs),
            files: std::mem::take(&mut self.files),
            pieces,
            ready,
            check_steps: check_steps(&self.checks),
            checks: std::mem::take(&mut self.checks),
            left: AtomicUsize::new(steps.len()),
            steps,
            other_names: std::mem::take(&mut self.other_names),
            sweeps: std::mem::take(&mut self.sweeps),
            closing: std::mem::take(&mut self.closing),
        };
        self.ordinals.clear();
        (self.entries, self.bytes, self.number) = (0, 0, self.number + 1);
        self.entries_max = (self.entries_max * RAMP).min(WINDOW_ENTRIES);
        window
    }
}

/// Cuts sorted pieces into reads: blobs that lie close together come in one.
fn reads(pieces: &[Piece]) -> Vec<Step> {
    let mut steps = vec![];
    let mut from = 0;
    while let Some(first) = pieces.get(from) {
        let (pack, offset) = (first.pack, first.blob_offset);
        let mut end = u64::from(offset);
        let mut to = from;
        while let Some(next) = pieces.get(to) {
            let (next_from, next_end) = (next.blob_offset, u64::from(next.blob_offset) + u64::from(next.blob_len));
            let close = u64::from(next_from) <= end + RESTORE_GAP_BYTES as u64;
            let fits = next_end.max(end) - u64::from(offset) <= RESTORE_READ_BYTES as u64;
            if next.pack != pack || to > from && !(close && fits) {
                break;
            }
            end = end.max(next_end);
            to += 1;
        }
        let len = (end - u64::from(offset)) as u32;
        steps.push(Step::Read { pack, offset, len, pieces: from as u32..to as u32 });
        from = to;
    }
    steps
}

/// Cuts checks into steps of about as much as a read brings.
fn check_steps(checks: &[Check]) -> Vec<Range<u32>> {
    let (mut steps, mut from, mut bytes) = (vec![], 0, 0);
    for (at, check) in checks.iter().enumerate() {
        bytes += check.len as usize;
        if bytes >= RESTORE_READ_BYTES || at - from + 1 >= CHECKS_PER_STEP {
            steps.push(from as u32..at as u32 + 1);
            (from, bytes) = (at + 1, 0);
        }
    }
    if from < checks.len() {
        steps.push(from as u32..checks.len() as u32);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::ContentId;

    fn piece(pack: u32, blob_offset: usize, blob_len: usize) -> Piece {
        Piece {
            id: ContentId([0; 32]),
            pack,
            blob_offset: blob_offset as u32,
            blob_len: blob_len as u32,
            inner_offset: 0,
            inner_len: 1,
            file: 0,
            file_offset: 0,
        }
    }

    fn cut(pieces: &[Piece]) -> Vec<(u32, u32, u32, Range<u32>)> {
        let parts = |step: &Step| match step {
            Step::Read { pack, offset, len, pieces } => (*pack, *offset, *len, pieces.clone()),
            Step::Ready(_) => panic!("not a read"),
        };
        reads(pieces).iter().map(parts).collect()
    }

    #[test]
    fn neighbours_come_in_one_read_and_far_blobs_do_not() {
        let far = 1000 + 2 * RESTORE_GAP_BYTES;
        let pieces =
            [piece(0, 100, 400), piece(0, 100, 400), piece(0, 600, 400), piece(0, far, 7), piece(1, far + 7, 7)];
        let far = far as u32;
        assert_eq!(cut(&pieces), [(0, 100, 900, 0..3), (0, far, 7, 3..4), (1, far + 7, 7, 4..5)]);
    }

    #[test]
    fn a_read_ends_before_it_grows_too_large_but_a_large_blob_is_read_whole() {
        let m = 1 << 20;
        let pieces: Vec<_> = (0..6).map(|i| piece(0, i * m, m)).collect();
        let lens: Vec<_> = cut(&pieces).iter().map(|read| read.2 as usize).collect();
        assert_eq!(lens, [RESTORE_READ_BYTES, 6 * m - RESTORE_READ_BYTES]);
        assert_eq!(cut(&[piece(0, 0, 9 * m), piece(0, 9 * m, 1)]).len(), 2);
    }

    #[test]
    fn blobs_that_claim_to_overlap_or_to_reach_beyond_4_gib_do_not_upset_it() {
        let max = u32::MAX as usize;
        let pieces = [piece(0, 10, 100), piece(0, 20, 5), piece(0, max, max)];
        assert_eq!(cut(&pieces), [(0, 10, 100, 0..2), (0, u32::MAX, u32::MAX, 2..3)]);
    }
}
