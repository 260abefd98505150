//! larder's cutter with every core on one file: ranges scanned in parallel, cuts selected in order.

use super::larder;
use crate::base::limits::{BATCH_BYTES, GEAR_WINDOW};
use crate::chunking::{Cutter, Hits, Selector};
use crate::harness::chunking::chunker::{Algorithm, Chunker, Dial};
use crate::harness::chunking::profile::Profile;
use rayon::ThreadPool;
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

/// What one task scans: a batch of the backup pipeline.
const RANGE: usize = BATCH_BYTES;

/// The parallel cutter; its cuts are the sequential one's.
pub struct LarderAcross;

impl Algorithm for LarderAcross {
    fn name(&self) -> &'static str {
        "larder-across"
    }

    fn about(&self) -> &'static str {
        "larder's cutter, ranges of a big file on all cores"
    }

    fn make(&self, profile: &Profile, dial: Option<Dial>) -> Result<Box<dyn Chunker>, String> {
        Ok(Box::new(Across(larder::cutter(profile, dial)?)))
    }
}

struct Across(Cutter);

impl Across {
    fn scan(&self, file: &[u8], start: usize, hits: &mut Hits) {
        let before = &file[start.saturating_sub(GEAR_WINDOW - 1)..start];
        self.0.scan(before, &file[start..file.len().min(start + RANGE)], hits);
    }

    fn select(&self, selector: &mut Selector, file: &[u8], start: usize, hits: &Hits, lengths: &mut Vec<u32>) {
        let end = file.len().min(start + RANGE);
        let bytes = &file[start - selector.carried()..end];
        selector.select(&self.0, bytes, hits, end == file.len(), lengths);
    }
}

impl Chunker for Across {
    fn cuts(&self, file: &[u8], lengths: &mut Vec<u32>) {
        let (mut selector, mut hits) = (Selector::new(), Hits::default());
        for start in (0..file.len()).step_by(RANGE) {
            self.scan(file, start, &mut hits);
            self.select(&mut selector, file, start, &hits, lengths);
        }
    }

    fn cuts_across(&self, pool: &ThreadPool, file: &[u8], lengths: &mut Vec<u32>) -> bool {
        let ranges = file.len().div_ceil(RANGE);
        let scanned: Vec<Hits> = pool.install(|| {
            let scan = |range| {
                let mut hits = Hits::default();
                self.scan(file, range * RANGE, &mut hits);
                hits
            };
            (0..ranges).into_par_iter().with_max_len(1).map(scan).collect()
        });
        let mut selector = Selector::new();
        for (range, hits) in scanned.iter().enumerate() {
            self.select(&mut selector, file, range * RANGE, hits, lengths);
        }
        true
    }

    fn settings(&self) -> String {
        larder::settings(&self.0)
    }
}
