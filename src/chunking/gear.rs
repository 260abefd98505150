//! The keyed gear table, the parameters, and the sequential cutter.
//!
//! The hash at a byte is `h = (h << 1) + table[byte]`, so its bit k depends on the last k + 1 bytes. A chunk ends before the
//! first byte, from `min` on, whose hash has none of the mask's bits set: of the strict mask below `avg`, of the loose one
//! from there on; and always at `max`. The hash starts anew at `min` of each chunk, and of a chunk that ends with the
//! file the last byte is not looked at when its length is odd (`cut_gear` looks at bytes in pairs): both are
//! part of the definition.

use super::vector::{ScanPath, Vectors};
use crate::base::limits::{BATCH_BYTES, CHUNK_AVG, CHUNK_MAX, CHUNK_MIN, GEAR_WINDOW};
use crate::format::config::ChunkerParams;
use zeroize::Zeroizing;

/// Parameters that no cutter may be made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("chunker parameters not allowed: {0}")]
pub struct ParamsError(pub &'static str);

/// Number of the only algorithm there is: gear with two masks, keyed table.
pub const ALGORITHM_GEAR: u8 = 1;
/// Smallest `min` accepted: below it a chunk is all table of contents.
pub const MIN_BYTES_MIN: usize = 64;
/// A scan shifts its hash once for so many bytes, each of which it looks up in a table shifted by what is left to come.
pub(super) const SHIFTS: usize = 4;

/// A hash that is ahead by its shift still holds every bit that a mask can have: `check` refuses others.
const _: () = assert!(GEAR_WINDOW + SHIFTS - 1 <= u64::BITS as usize);

/// What a new store gets: see `docs/performance.md` for the measurements.
///
/// The masks have 20 and 13 bits: random data gives chunks of 246 KiB in the mean, a kernel tree's archive of 256 KiB,
/// and at equal mean they deduplicate better than masks closer to each other. Eight bits lie where a hash of 16 bits
/// finds them (room for a vector scan), the others at the top, where the hash sees 37 to 48 bytes: low
/// bits alone see too little and cut text and archives unevenly.
pub fn default_params() -> ChunkerParams {
    ChunkerParams {
        algorithm: ALGORITHM_GEAR,
        min: CHUNK_MIN as u32,
        avg: CHUNK_AVG as u32,
        max: CHUNK_MAX as u32,
        mask_strict: 0xFFF0_0000_FF00,
        mask_loose: 0xF800_0000_FF00,
    }
}

/// Cuts with one set of parameters and one secret table. Pure; shared by all workers.
pub struct Cutter {
    params: ChunkerParams,
    pub(super) min: usize,
    pub(super) avg: usize,
    pub(super) max: usize,
    /// The table, and the table shifted left by 1, 2 and 3: see [`SHIFTS`].
    pub(super) gear: Zeroizing<[[u64; 256]; SHIFTS]>,
    /// Where scans are vectorised.
    pub(super) vectors: Option<Vectors>,
}

impl Cutter {
    /// Checks the parameters (even, min < avg < max, masks at most 47 bits below bit 48, strict contains loose)
    /// and makes the table from the store's gear key by BLAKE3's output stream.
    pub fn new(params: ChunkerParams, gear_key: &[u8; 32]) -> Result<Cutter, ParamsError> {
        check(&params)?;
        let mut bytes = Zeroizing::new([0; 256 * 8]);
        blake3::Hasher::new_keyed(gear_key).finalize_xof().fill(&mut *bytes);
        let (words, _) = bytes.as_chunks::<8>();
        let word = |i: usize| u64::from_le_bytes(words[i]);
        let gear = Zeroizing::new(std::array::from_fn(|shift| std::array::from_fn(|i| word(i) << shift)));
        let [min, avg, max] = [params.min, params.avg, params.max].map(|n| n as usize);
        let vectors = Vectors::new(&gear[0], params.mask_loose);
        Ok(Cutter { params, min, avg, max, gear, vectors })
    }

    /// The code that scans run: the fastest that the processor has and the masks allow, if no other was chosen.
    pub fn path(&self) -> ScanPath {
        if self.vectors.is_some() { ScanPath::Avx512Vbmi } else { ScanPath::Scalar }
    }

    /// The same cutter on this path; `None` where the processor or the masks do not allow it.
    pub fn on(mut self, path: ScanPath) -> Option<Cutter> {
        self.vectors = match path {
            ScanPath::Avx512Vbmi => Some(Vectors::new(&self.gear[0], self.params.mask_loose)?),
            ScanPath::Scalar => None,
        };
        Some(self)
    }

    pub fn params(&self) -> &ChunkerParams {
        &self.params
    }

    /// Length of the first chunk of `data`, which is the rest of a file (or at least `max` + 1 bytes of it).
    /// This is the definition of a cut; [`Cutter::cuts`] and [`super::Selector`] give the same, faster.
    pub fn cut(&self, data: &[u8]) -> usize {
        let ChunkerParams { mask_strict, mask_loose, .. } = self.params;
        let (strict_shifted, loose_shifted) = (mask_strict << 1, mask_loose << 1);
        let (_, len) = fastcdc::v2020::cut_gear(
            data,
            self.min,
            self.avg,
            self.max,
            mask_strict,
            mask_loose,
            strict_shifted,
            loose_shifted,
            &self.gear[0],
            &self.gear[1],
        );
        len
    }

    /// First position in `from..to` of a chunk that begins with `chunk[0]` where it may end, if any.
    /// `min <= from`, `to <= chunk.len()`.
    pub(super) fn find(&self, chunk: &[u8], from: usize, to: usize) -> Option<usize> {
        if from >= to {
            return None;
        }
        let middle = self.avg.clamp(from, to);
        let mut hash = self.hash(&chunk[from.saturating_sub(GEAR_WINDOW - 1).max(self.min)..from]);
        if let Some(at) = self.seek(&chunk[from..middle], &mut hash, self.params.mask_strict) {
            return Some(from + at);
        }
        self.seek(&chunk[middle..to], &mut hash, self.params.mask_loose).map(|at| middle + at)
    }

    /// First position of `bytes` whose hash, going on from `hash`, has no bit of `mask`.
    fn seek(&self, bytes: &[u8], hash: &mut u64, mask: u64) -> Option<usize> {
        bytes.iter().position(|byte| {
            *hash = self.step(*hash, *byte);
            *hash & mask == 0
        })
    }

    #[inline(always)]
    pub(super) fn step(&self, hash: u64, byte: u8) -> u64 {
        (hash << 1).wrapping_add(self.gear[0][usize::from(byte)])
    }

    /// The hash after these bytes, begun at zero.
    pub(super) fn hash(&self, bytes: &[u8]) -> u64 {
        bytes.iter().fold(0, |hash, byte| self.step(hash, *byte))
    }
}

fn check(params: &ChunkerParams) -> Result<(), ParamsError> {
    let ChunkerParams { algorithm, min, avg, max, mask_strict, mask_loose } = *params;
    let refusals = [
        (algorithm != ALGORITHM_GEAR, "algorithm not known to this program"),
        ([min, avg, max].iter().any(|n| !n.is_multiple_of(2)), "sizes must be even"),
        (min >= avg || avg >= max, "sizes must ascend: min < avg < max"),
        ((min as usize) < MIN_BYTES_MIN, "smallest chunk below 64 bytes"),
        (max as usize > BATCH_BYTES, "largest chunk above 2 MiB"),
        (mask_strict >> GEAR_WINDOW != 0 || mask_loose >> GEAR_WINDOW != 0, "mask bits from bit 48 on"),
        (mask_strict.count_ones() >= GEAR_WINDOW as u32, "more than 47 mask bits"),
        (mask_loose == 0, "no mask bits"),
        (mask_strict & mask_loose != mask_loose, "the strict mask must contain the loose one"),
    ];
    match refusals.iter().find(|(refused, _)| *refused) {
        Some((_, reason)) => Err(ParamsError(reason)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunking::testing::{noise, oracle};

    #[test]
    fn parameters_that_break_a_rule_are_refused() {
        let good = default_params();
        assert!(Cutter::new(good, &[0; 32]).is_ok());
        let bad = [
            ChunkerParams { algorithm: 2, ..good },
            ChunkerParams { min: good.min + 1, ..good },
            ChunkerParams { avg: good.avg + 1, ..good },
            ChunkerParams { max: good.max + 1, ..good },
            ChunkerParams { min: good.avg, ..good },
            ChunkerParams { avg: good.max, ..good },
            ChunkerParams { min: 62, ..good },
            ChunkerParams { max: BATCH_BYTES as u32 + 2, ..good },
            ChunkerParams { mask_strict: good.mask_strict | 1 << 48, ..good },
            ChunkerParams { mask_strict: good.mask_strict | 1 << 63, mask_loose: good.mask_loose | 1 << 63, ..good },
            ChunkerParams { mask_strict: (1 << 48) - 1, ..good },
            ChunkerParams { mask_loose: 0, ..good },
            ChunkerParams { mask_loose: 1, mask_strict: 2, ..good },
        ];
        let reasons: std::collections::HashSet<_> = bad.iter().map(|p| Cutter::new(*p, &[0; 32]).err()).collect();
        assert!(!reasons.contains(&None));
        assert_eq!(reasons.len(), 9, "each rule has its own words: {reasons:?}");
    }

    #[test]
    fn the_table_hangs_on_the_key_and_does_not_drift() {
        let table = |key| Cutter::new(default_params(), &key).unwrap().gear[0];
        assert_ne!(table([1; 32]), table([2; 32]));
        let bytes = table([1; 32]).map(u64::to_le_bytes).concat();
        assert_eq!(
            blake3::hash(&bytes).to_hex().as_str(),
            "836829c0bdc26528061beaf404d3fe60ed090ad1a32901b892ae66ceb8939346"
        );
    }

    #[test]
    fn the_cuts_do_not_drift() {
        let cutter = Cutter::new(default_params(), &[1; 32]).unwrap();
        assert_eq!(
            oracle(&cutter, &noise(2_000_001)),
            [262602, 221225, 272580, 308235, 268565, 151556, 283008, 232230]
        );
    }

    #[test]
    fn the_real_mean_of_random_data_is_near_the_usual_size() {
        let cutter = Cutter::new(default_params(), &[1; 32]).unwrap();
        let file = noise(48 << 20);
        let mean = file.len() / oracle(&cutter, &file).len();
        assert!((CHUNK_AVG * 9 / 10..CHUNK_AVG * 11 / 10).contains(&mean), "{mean}");
    }
}
