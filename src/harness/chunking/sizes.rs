//! The sizes of chunks, counted.

use super::profile::Profile;

/// What is said of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Sizes {
    pub chunks: usize,
    /// Bytes over chunks.
    pub mean: f64,
    /// The smallest: a file's last may be smaller than the profile's.
    pub min: f64,
    pub max: f64,
    /// What a tenth, two tenths, … of the chunks are no larger than.
    pub deciles: [f64; 9],
}

impl Sizes {
    /// Of at least one chunk.
    pub fn of(lengths: &[u32]) -> Sizes {
        let mut sorted = lengths.to_vec();
        sorted.sort_unstable();
        let bytes: u64 = sorted.iter().map(|n| u64::from(*n)).sum();
        // As `stats::quantile`, which would sort for each.
        let quantile = |tenths: usize| {
            let at = (sorted.len() - 1) as f64 * tenths as f64 / 10.0;
            let (below, above) = (f64::from(sorted[at.floor() as usize]), f64::from(sorted[at.ceil() as usize]));
            below + (above - below) * at.fract()
        };
        Sizes {
            chunks: sorted.len(),
            mean: bytes as f64 / sorted.len() as f64,
            min: quantile(0),
            max: quantile(10),
            deciles: std::array::from_fn(|at| quantile(at + 1)),
        }
    }
}

/// Mean size of chunks.
pub fn mean(lengths: &[u32]) -> f64 {
    lengths.iter().map(|n| f64::from(*n)).sum::<f64>() / lengths.len() as f64
}

/// How many chunks are up to each size, in classes of a quarter octave from a fourth of the profile's smallest on, which
/// takes in all below, to its largest.
pub fn classes(lengths: &[u32], profile: &Profile) -> Vec<(f64, u64)> {
    let from = profile.min as f64 / 4.0;
    let steps = ((profile.max as f64 / from).log2() * 4.0).ceil() as i32;
    let mut classes: Vec<(f64, u64)> =
        (0..=steps).map(|step| (profile.max as f64 * (f64::from(step - steps) / 4.0).exp2(), 0)).collect();
    for len in lengths {
        let at = classes.partition_point(|(end, _)| *end < f64::from(*len)).min(classes.len() - 1);
        classes[at].1 += 1;
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::stats;

    #[test]
    fn known_sizes_give_known_statistics() {
        // 10, 20, …, 110: deciles are 20, 30, …, 100.
        let sizes = Sizes::of(&[110, 10, 20, 100, 30, 90, 40, 80, 50, 70, 60]);
        assert_eq!((sizes.chunks, sizes.mean, sizes.min, sizes.max), (11, 60.0, 10.0, 110.0));
        assert_eq!(sizes.deciles, [20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0]);
        let one = Sizes::of(&[7]);
        assert_eq!((one.chunks, one.mean, one.deciles), (1, 7.0, [7.0; 9]));
    }

    #[test]
    fn deciles_are_the_quantiles_of_the_harness() {
        let lengths = [5, 900, 17, 17, 40_000, 3, 81, 2_000];
        let values = lengths.map(f64::from);
        let sizes = Sizes::of(&lengths);
        for (at, decile) in sizes.deciles.iter().enumerate() {
            let expected = stats::quantile(&values, (at + 1) as f64 / 10.0);
            assert!((decile - expected).abs() < 1e-6, "{at}: {decile} {expected}");
        }
        assert!((mean(&lengths) - sizes.mean).abs() < 1e-9);
    }

    #[test]
    fn every_chunk_is_in_one_class() {
        let profile = Profile::of_avg(1024).unwrap();
        let classes = classes(&[1, 64, 65, 1024, 1025, 4096], &profile);
        assert_eq!(classes.iter().map(|(_, n)| n).sum::<u64>(), 6);
        let up_to = |size: f64| classes.iter().filter(|(end, _)| *end <= size * 1.000_001).map(|(_, n)| n).sum::<u64>();
        assert_eq!([64.0, 128.0, 1024.0, 4096.0].map(up_to), [2, 3, 4, 6]);
        assert!(classes.is_sorted_by(|a, b| a.0 < b.0) && classes.last().unwrap().0 == 4096.0);
    }
}
