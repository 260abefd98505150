//! The `fastcdc` crate's v2020: FastCDC that looks at bytes in pairs (Xia et al., IEEE TPDS 2020).

use crate::harness::chunking::chunker::{Algorithm, Chunker, Dial, one_by_one};
use crate::harness::chunking::profile::{Profile, Size};
use fastcdc::v2020::{Normalization, cut, select_masks};

/// Normalization level 1, the crate's default.
pub struct V2020;

impl Algorithm for V2020 {
    fn name(&self) -> &'static str {
        "fastcdc-v2020"
    }

    fn about(&self) -> &'static str {
        "the fastcdc crate's v2020, two bytes at a time"
    }

    /// The dial moves where the loose mask takes over; the masks stay those of the profile.
    fn make(&self, profile: &Profile, dial: Option<Dial>) -> Result<Box<dyn Chunker>, String> {
        let Profile { min, avg, max } = *profile;
        let (strict, loose) = select_masks(avg, Normalization::Level1);
        let takes_over = dial.map_or(avg, |dial| (dial.aim & !1).clamp(min + 2, max - 2));
        let profile = Profile { min, avg: takes_over, max };
        Ok(Box::new(Cut { profile, strict, loose }))
    }
}

struct Cut {
    profile: Profile,
    strict: u64,
    loose: u64,
}

impl Chunker for Cut {
    fn cuts(&self, file: &[u8], lengths: &mut Vec<u32>) {
        let Profile { min, avg, max } = self.profile;
        let (strict, loose) = (self.strict, self.loose);
        one_by_one(file, lengths, |rest| cut(rest, min, avg, max, strict, loose, strict << 1, loose << 1).1);
    }

    fn settings(&self) -> String {
        let Profile { min, avg, max } = self.profile;
        let (strict, loose) = (self.strict.count_ones(), self.loose.count_ones());
        format!("{}/{}/{}, masks of {strict} and {loose} bits", Size(min), Size(avg), Size(max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::chunking::testing::noise;

    #[test]
    fn untuned_it_cuts_as_the_crates_own_type_does() {
        let file = noise(3_000_001);
        for profile in Profile::usual() {
            let mut lengths = vec![];
            V2020.make(&profile, None).unwrap().cuts(&file, &mut lengths);
            let theirs = fastcdc::v2020::FastCDC::new(&file, profile.min, profile.avg, profile.max);
            assert_eq!(lengths, theirs.map(|chunk| chunk.length as u32).collect::<Vec<_>>(), "{profile}");
        }
    }
}
