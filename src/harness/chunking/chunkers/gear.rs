//! Plain gear: one condition on the hash everywhere (Xia et al., Ddelta, 2014), byte by byte, with the `fastcdc` crate's table.

use crate::harness::chunking::chunker::{Algorithm, Chunker, Dial, one_by_one};
use crate::harness::chunking::profile::{Profile, Size};

/// The hash at a byte depends on this many bytes up to it.
const WINDOW: usize = 64;

/// No normalization, no second mask.
pub struct Gear;

impl Algorithm for Gear {
    fn name(&self) -> &'static str {
        "gear"
    }

    fn about(&self) -> &'static str {
        "gear with a single mask"
    }

    fn make(&self, profile: &Profile, dial: Option<Dial>) -> Result<Box<dyn Chunker>, String> {
        // The average is the distance of the hits; power of two, it is a mask of the hash's top bits.
        let avg = dial.map_or_else(|| 1 << (profile.avg as f64).log2().round() as u32, |dial| dial.aim.max(1));
        let (table, _) = fastcdc::v2020::get_gear_with_seed(0);
        let table = Box::new(std::array::from_fn(|byte| table[byte]));
        Ok(Box::new(Cut { profile: Profile { avg, ..*profile }, below: u64::MAX / avg as u64, table }))
    }
}

struct Cut {
    profile: Profile,
    /// A chunk ends after a byte whose hash is at most this.
    below: u64,
    table: Box<[u64; 256]>,
}

impl Cut {
    fn step(&self, hash: u64, byte: u8) -> u64 {
        (hash << 1).wrapping_add(self.table[usize::from(byte)])
    }

    fn first(&self, rest: &[u8]) -> usize {
        let Profile { min, max, .. } = self.profile;
        let to = rest.len().min(max);
        if to <= min {
            return to;
        }
        let mut hash = rest[min.saturating_sub(WINDOW)..min - 1].iter().fold(0, |hash, byte| self.step(hash, *byte));
        for (at, byte) in rest[..to].iter().enumerate().skip(min - 1) {
            hash = self.step(hash, *byte);
            if hash <= self.below {
                return at + 1;
            }
        }
        to
    }
}

impl Chunker for Cut {
    fn cuts(&self, file: &[u8], lengths: &mut Vec<u32>) {
        one_by_one(file, lengths, |rest| self.first(rest));
    }

    fn settings(&self) -> String {
        let Profile { min, avg, max } = self.profile;
        format!("{}..{}, a hit every {} bytes", Size(min), Size(max), Size(avg))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::chunking::testing::noise;

    #[test]
    fn it_is_the_hash_of_all_bytes_with_a_mask_of_top_bits() {
        let (file, profile) = (noise(400_000), Profile::of_avg(1024).unwrap());
        let (table, _) = fastcdc::v2020::get_gear_with_seed(0);
        let mask = 0x3FFu64 << 54;
        let (mut expected, mut hash, mut len) = (vec![], 0u64, 0);
        for byte in &file {
            hash = (hash << 1).wrapping_add(table[usize::from(*byte)]);
            len += 1;
            if len == profile.max || (len >= profile.min && hash & mask == 0) {
                expected.push(len as u32);
                len = 0;
            }
        }
        expected.extend((len > 0).then_some(len as u32));
        let mut lengths = vec![];
        Gear.make(&profile, None).unwrap().cuts(&file, &mut lengths);
        assert!(lengths == expected && lengths.len() > 200);
    }
}
