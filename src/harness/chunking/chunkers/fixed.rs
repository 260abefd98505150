//! Chunks of one size, whatever lies in them.

use crate::harness::chunking::chunker::{Algorithm, Chunker, Dial};
use crate::harness::chunking::profile::{Profile, Size};

/// Of the profile's average.
pub struct Fixed;

impl Algorithm for Fixed {
    fn name(&self) -> &'static str {
        "fixed"
    }

    fn about(&self) -> &'static str {
        "chunks of one size"
    }

    fn make(&self, profile: &Profile, dial: Option<Dial>) -> Result<Box<dyn Chunker>, String> {
        Ok(Box::new(Cut(dial.map_or(profile.avg, |dial| dial.aim.clamp(1, profile.max)))))
    }
}

struct Cut(usize);

impl Chunker for Cut {
    fn cuts(&self, file: &[u8], lengths: &mut Vec<u32>) {
        lengths.extend(file.chunks(self.0).map(|chunk| chunk.len() as u32));
    }

    fn looks(&self) -> bool {
        false
    }

    fn settings(&self) -> String {
        format!("{} each", Size(self.0))
    }
}
