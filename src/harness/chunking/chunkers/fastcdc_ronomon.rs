//! The `fastcdc` crate's ronomon: FastCDC with 31-bit hashes that shift to the right.

use crate::harness::chunking::chunker::{Algorithm, Chunker, Dial};
use crate::harness::chunking::profile::{Profile, Size};
use fastcdc::ronomon::{FastCDC, MINIMUM_MIN};

/// What tuning may make of the smallest chunk, in quarters: the masks jump with the average, and leave gaps between.
const QUARTERS: [usize; 4] = [4, 2, 6, 1];

/// As its author has it.
pub struct Ronomon;

impl Algorithm for Ronomon {
    fn name(&self) -> &'static str {
        "fastcdc-ronomon"
    }

    fn about(&self) -> &'static str {
        "the fastcdc crate's ronomon, 31-bit hashes"
    }

    fn make(&self, profile: &Profile, dial: Option<Dial>) -> Result<Box<dyn Chunker>, String> {
        let Profile { min, avg, max } = *profile;
        let (avg, way) = dial.map_or((avg, 0), |dial| (dial.aim, dial.way));
        let min = (min * QUARTERS[way] / 4).clamp(MINIMUM_MIN, max);
        let avg = avg.clamp(fastcdc::ronomon::AVERAGE_MIN.max(min), max);
        Ok(Box::new(Cut(Profile { min, avg, max })))
    }

    fn ways(&self) -> usize {
        QUARTERS.len()
    }
}

struct Cut(Profile);

impl Chunker for Cut {
    fn cuts(&self, file: &[u8], lengths: &mut Vec<u32>) {
        let Profile { min, avg, max } = self.0;
        lengths.extend(FastCDC::new(file, min, avg, max).map(|chunk| chunk.length as u32));
    }

    fn settings(&self) -> String {
        format!("{}/{}/{}", Size(self.0.min), Size(self.0.avg), Size(self.0.max))
    }
}
