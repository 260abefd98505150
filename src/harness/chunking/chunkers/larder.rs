//! larder's cutter as it cuts a whole file on one core.

use crate::chunking::{Cutter, default_params};
use crate::format::config::ChunkerParams;
use crate::harness::chunking::chunker::{Algorithm, Chunker, Dial};
use crate::harness::chunking::profile::{Profile, Size};

/// Any key will do: it is the same in every run, so that cuts are.
const GEAR_KEY: [u8; 32] = [1; 32];

/// The sequential cutter.
pub struct Larder;

impl Algorithm for Larder {
    fn name(&self) -> &'static str {
        "larder"
    }

    fn about(&self) -> &'static str {
        "larder's cutter, a file on one core"
    }

    fn make(&self, profile: &Profile, dial: Option<Dial>) -> Result<Box<dyn Chunker>, String> {
        Ok(Box::new(Sequential(cutter(profile, dial)?)))
    }
}

struct Sequential(Cutter);

impl Chunker for Sequential {
    fn cuts(&self, file: &[u8], lengths: &mut Vec<u32>) {
        self.0.cuts(file, lengths);
    }

    fn settings(&self) -> String {
        settings(&self.0)
    }
}

/// A cutter of this profile with masks of the default's shape. The dial moves where the loose mask takes over.
pub(super) fn cutter(profile: &Profile, dial: Option<Dial>) -> Result<Cutter, String> {
    let Profile { min, avg, max } = *profile;
    let (mask_strict, mask_loose) = masks(avg);
    let takes_over = dial.map_or(avg, |dial| (dial.aim & !1).clamp(min + 2, max - 2));
    let [min, avg, max] = [min, takes_over, max].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    let params = ChunkerParams { min, avg, max, mask_strict, mask_loose, ..default_params() };
    Cutter::new(params, &GEAR_KEY).map_err(|e| e.to_string())
}

pub(super) fn settings(cutter: &Cutter) -> String {
    let params = cutter.params();
    format!(
        "{}/{}/{}, masks of {} and {} bits, scan by {}",
        Size(params.min as usize),
        Size(params.avg as usize),
        Size(params.max as usize),
        params.mask_strict.count_ones(),
        params.mask_loose.count_ones(),
        cutter.path().name()
    )
}

/// Strict and loose mask: as in the default, 2 bits above and 5 below the average's; up to 8 of them from bit 8 on, the
/// others at the top of the window.
fn masks(avg: usize) -> (u64, u64) {
    let bits = (avg as f64).log2().round() as u32;
    let loose = bits.saturating_sub(5).max(1);
    let low = loose.saturating_sub(5).min(8);
    let mask = |count: u32| {
        let top = count - low;
        ((1 << low) - 1) << 8 | ((1 << top) - 1) << (48 - top)
    };
    (mask(bits + 2), mask(loose))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larders_profile_has_the_parameters_of_a_new_store() {
        assert_eq!(*cutter(&Profile::LARDER, None).unwrap().params(), default_params());
    }

    #[test]
    fn masks_fit_every_profile() {
        for bits in 8..=21 {
            let (strict, loose) = masks(1 << bits);
            assert_eq!((strict.count_ones(), loose.count_ones()), (bits + 2, bits - 5));
            assert!(strict & loose == loose && strict >> 48 == 0);
        }
        let why = cutter(&Profile::of_avg(4 << 20).unwrap(), None).err().unwrap();
        assert!(why.contains("above 2 MiB"), "{why}");
    }
}
