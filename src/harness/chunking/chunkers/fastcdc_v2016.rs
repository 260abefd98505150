//! The `fastcdc` crate's v2016: FastCDC byte by byte (Xia et al., USENIX ATC 2016).

use crate::harness::chunking::chunker::{Algorithm, Chunker, Dial};
use crate::harness::chunking::profile::{Profile, Size};
use fastcdc::v2016::{AVERAGE_MAX, AVERAGE_MIN, FastCDC, Normalization};

/// The levels that tuning may go through: their masks jump with the average at different places.
const LEVELS: [Normalization; 4] =
    [Normalization::Level1, Normalization::Level2, Normalization::Level3, Normalization::Level0];

/// Normalization level 1, the crate's default.
pub struct V2016;

impl Algorithm for V2016 {
    fn name(&self) -> &'static str {
        "fastcdc-v2016"
    }

    fn about(&self) -> &'static str {
        "the fastcdc crate's v2016, a byte at a time"
    }

    fn make(&self, profile: &Profile, dial: Option<Dial>) -> Result<Box<dyn Chunker>, String> {
        let Profile { min, avg, max } = *profile;
        let (avg, way) = dial.map_or((avg, 0), |dial| (dial.aim, dial.way));
        let avg = avg.clamp(AVERAGE_MIN.max(min), AVERAGE_MAX.min(max));
        Ok(Box::new(Cut { profile: Profile { min, avg, max }, level: LEVELS[way] }))
    }

    fn ways(&self) -> usize {
        LEVELS.len()
    }
}

struct Cut {
    profile: Profile,
    level: Normalization,
}

impl Chunker for Cut {
    fn cuts(&self, file: &[u8], lengths: &mut Vec<u32>) {
        let Profile { min, avg, max } = self.profile;
        let chunks = FastCDC::with_level(file, min, avg, max, self.level);
        lengths.extend(chunks.map(|chunk| chunk.length as u32));
    }

    fn settings(&self) -> String {
        let Profile { min, avg, max } = self.profile;
        format!("{}/{}/{}, normalization level {}", Size(min), Size(avg), Size(max), self.level)
    }
}
