//! Medians, spreads and bootstrap intervals. The bootstrap's random numbers are seeded: one input, one answer.

use super::report::Cell;

const RESAMPLES: usize = 2000;

/// The middle of the values; of an even number, the mean of the two. NaN of none.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// A quantile by linear interpolation (type 7 of Hyndman and Fan, 1996, as R and NumPy do by default).
pub fn quantile(values: &[f64], q: f64) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = q.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

/// Half the distance between the quartiles, relative to the median: 0.02 is a spread of 2 %.
pub fn spread(values: &[f64]) -> f64 {
    (quantile(values, 0.75) - quantile(values, 0.25)) / 2.0 / median(values)
}

/// A 95 % percentile bootstrap interval (Efron 1979) of `statistic` over paired samples: rounds are drawn, both sides of a
/// round together, so that what disturbed a round disturbs both.
pub fn bootstrap_pairs(pairs: &[(f64, f64)], statistic: impl Fn(&[(f64, f64)]) -> f64) -> (f64, f64) {
    let mut random = Random(0x6c61_7264_6572);
    let mut drawn = vec![(0.0, 0.0); pairs.len()];
    let estimates: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            drawn.iter_mut().for_each(|pair| *pair = pairs[random.below(pairs.len())]);
            statistic(&drawn)
        })
        .collect();
    (quantile(&estimates, 0.025), quantile(&estimates, 0.975))
}

/// The ratio of medians, `ours / theirs`, with its interval.
pub fn ratio_of_medians(pairs: &[(f64, f64)]) -> Cell {
    if pairs.is_empty() {
        return Cell::Empty;
    }
    let ratio = |pairs: &[(f64, f64)]| {
        let (ours, theirs): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
        median(&ours) / median(&theirs)
    };
    let (low, high) = bootstrap_pairs(pairs, ratio);
    Cell::Measured { value: ratio(pairs), low, high, samples: pairs.iter().map(|(a, b)| a / b).collect() }
}

/// The median of samples with its interval.
pub fn measured(samples: &[f64]) -> Cell {
    if samples.is_empty() {
        return Cell::Empty;
    }
    let pairs: Vec<(f64, f64)> = samples.iter().map(|&s| (s, 1.0)).collect();
    let (low, high) = bootstrap_pairs(&pairs, |p| median(&p.iter().map(|(a, _)| *a).collect::<Vec<_>>()));
    Cell::Measured { value: median(samples), low, high, samples: samples.to_vec() }
}

/// splitmix64 (Steele, Lea, Flood, OOPSLA 2014): small, seedable, the same everywhere.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }
}
