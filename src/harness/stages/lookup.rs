//! Look-ups in an index of so many rows, of ids that it has and of ids that it has not.

use crate::base::id::{ContentId, ObjectId, StoreId};
use crate::format::blob::BlobKind;
use crate::format::pack::PackKind;
use crate::format::segment::{Row, SegmentPack};
use crate::harness::BenchError;
use crate::harness::random::Random;
use crate::index::{Index, IndexError};
use rayon::prelude::*;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Look-ups of one round at most.
const LOOKUPS: usize = 200_000;
/// Rows of one pack, of one segment, and handed over at a time.
const PACK_ROWS: u64 = 1000;
const SEGMENT_ROWS: u64 = 500_000;
/// Look-ups of one task.
const TASK: usize = 2048;

/// A temporary index, and what to ask it.
pub struct Lookup {
    index: Index,
    hits: Vec<ContentId>,
    misses: Vec<ContentId>,
    _folder: tempfile::TempDir,
}

/// The id of row `n`, as even as a hash: four numbers of a generator that begins at `n`.
fn id_of(n: u64) -> ContentId {
    let mut random = Random(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut id = [0; 32];
    id.chunks_exact_mut(8).for_each(|word| word.copy_from_slice(&random.draw().to_le_bytes()));
    // The first word would be equal to another id's second: each begins with a number of its own.
    id[..8].copy_from_slice(&Random(!n).draw().to_le_bytes());
    ContentId(id)
}

impl Lookup {
    /// Builds an index of `rows` rows in a temporary folder.
    pub fn new(rows: u64) -> Result<Lookup, BenchError> {
        let folder = tempfile::tempdir().map_err(BenchError::io("make a folder in", &std::env::temp_dir()))?;
        let rows = rows.max(1);
        let index = build(folder.path(), rows).map_err(|e| BenchError::NotMeasured(format!("index: {e}")))?;
        let count = LOOKUPS.min(rows as usize * 4);
        let mut random = Random(rows);
        let hits = (0..count).map(|_| id_of(random.place(rows as usize) as u64)).collect();
        let misses = (0..count).map(|_| id_of(rows + random.place(1 << 40) as u64)).collect();
        Ok(Lookup { index, hits, misses, _folder: folder })
    }

    /// Rows of the index.
    pub fn rows(&self) -> u64 {
        self.index.rows()
    }

    /// Look-ups of one round.
    pub fn len(&self) -> u64 {
        self.hits.len() as u64
    }

    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.hits.is_empty()
    }

    /// Asks once for each id; each answer must be right.
    pub fn run(&self, pool: &rayon::ThreadPool, hit: bool) -> Result<Duration, BenchError> {
        let ids = if hit { &self.hits } else { &self.misses };
        let ask = |ids: &[ContentId]| ids.iter().filter(|id| black_box(self.index.contains(id))).count();
        let (taken, found) = pool.install(|| {
            let start = Instant::now();
            let found: usize = ids.par_chunks(TASK).map(ask).sum();
            (start.elapsed(), found)
        });
        if found == if hit { ids.len() } else { 0 } {
            Ok(taken)
        } else {
            Err(BenchError::NotMeasured(format!("the index says that {found} of {} ids are there", ids.len())))
        }
    }
}

fn build(folder: &std::path::Path, rows: u64) -> Result<Index, IndexError> {
    let mut index = Index::open(folder, StoreId([1; 16]))?;
    let mut builder = index.builder()?;
    for start in (0..rows).step_by(SEGMENT_ROWS as usize) {
        let end = rows.min(start + SEGMENT_ROWS);
        let pack = |n: u64| SegmentPack {
            id: ObjectId(id_of(n | 1 << 62).0),
            kind: PackKind::Data,
            len: 1 << 26,
            header_len: 99,
        };
        let packs: Vec<_> = (start / PACK_ROWS..end.div_ceil(PACK_ROWS)).map(pack).collect();
        builder.segment(ObjectId(id_of(start | 1 << 61).0), &packs)?;
        for block in (start..end).step_by(PACK_ROWS as usize) {
            let row = |n: u64| Row {
                id: id_of(n),
                kind: BlobKind::Chunks,
                pack: ((n - start) / PACK_ROWS) as u32,
                blob_offset: (n % PACK_ROWS) as u32 * 50_000,
                blob_len: 50_000,
                inner_offset: 0,
                inner_len: 100_000,
            };
            let rows: Vec<_> = (block..end.min(block + PACK_ROWS)).map(row).collect();
            builder.rows(&rows)?;
        }
    }
    index.install(builder)?;
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_are_found_and_misses_are_not() {
        let lookup = Lookup::new(3000).unwrap();
        assert_eq!((lookup.rows(), lookup.len()), (3000, 12_000));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        assert!(lookup.run(&pool, true).unwrap() > Duration::ZERO);
        assert!(lookup.run(&pool, false).unwrap() > Duration::ZERO);
    }
}
