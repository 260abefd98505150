//! Medians, spreads and bootstrap intervals. The bootstrap's random numbers are seeded: one input, one answer.

use super::random::Random;
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

/// Half the distance between the quartiles, relative to the median: 0.02 is a spread of 2 %. Equal values have none.
pub fn spread(values: &[f64]) -> f64 {
    let half = (quantile(values, 0.75) - quantile(values, 0.25)) / 2.0;
    if half == 0.0 { 0.0 } else { half / median(values).abs() }
}

/// How many values lie outside of Tukey's outer fences: more than three times the distance of the quartiles beyond them.
/// With fewer than five values the quartiles say too little, and none does.
pub fn far_out(values: &[f64]) -> usize {
    if values.len() < 5 {
        return 0;
    }
    let (q1, q3) = (quantile(values, 0.25), quantile(values, 0.75));
    let reach = 3.0 * (q3 - q1);
    values.iter().filter(|v| **v < q1 - reach || **v > q3 + reach).count()
}

/// A 95 % percentile bootstrap interval (Efron 1979) of `statistic` over paired samples: rounds are drawn, both sides of a
/// round together, so that what disturbed a round disturbs both.
pub fn bootstrap_pairs(pairs: &[(f64, f64)], statistic: impl Fn(&[(f64, f64)]) -> f64) -> (f64, f64) {
    let mut random = Random(0x6c61_7264_6572);
    let mut drawn = vec![(0.0, 0.0); pairs.len()];
    let estimates: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            drawn.iter_mut().for_each(|pair| *pair = pairs[random.place(pairs.len())]);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-12 * b.abs().max(1.0)
    }

    #[test]
    fn quantiles_are_those_of_r_and_numpy() {
        // R: quantile(c(7.3, 1.2, 9.9, 4.4, 5.5, 2.1, 8.8, 3.0), …), type 7; the same as numpy.quantile.
        let sample = [7.3, 1.2, 9.9, 4.4, 5.5, 2.1, 8.8, 3.0];
        let known =
            [(0.0, 1.2), (0.1, 1.83), (0.25, 2.775), (0.4, 4.12), (0.5, 4.95), (0.75, 7.675), (0.9, 9.13), (1.0, 9.9)];
        for (q, value) in known {
            assert!(near(quantile(&sample, q), value), "{q}: {}", quantile(&sample, q));
        }
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0, 3.0, 10.0]), 2.5);
        assert_eq!(median(&[7.0]), 7.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_spread_is_half_the_quartiles_distance_over_the_median() {
        assert!(near(spread(&[1.0, 2.0, 3.0, 4.0, 5.0]), 1.0 / 3.0));
        assert!(near(spread(&[-1.0, -2.0, -3.0, -4.0, -5.0]), 1.0 / 3.0));
        assert_eq!(spread(&[0.0; 5]), 0.0);
    }

    #[test]
    fn far_out_values_lie_beyond_three_quartile_distances() {
        // Quartiles of 1..=9 are 3 and 7: the outer fences are -9 and 19.
        let mut sample: Vec<f64> = (1..=9).map(f64::from).collect();
        assert_eq!(far_out(&sample), 0);
        sample[8] = 19.0;
        assert_eq!(far_out(&sample), 0);
        sample[8] = 19.1;
        assert_eq!(far_out(&sample), 1);
        assert_eq!(far_out(&[1.0, 1.0, 1.0, 100.0]), 0, "too few to say");
    }

    #[test]
    fn random_numbers_are_splitmix64() {
        let mut random = Random(1_234_567);
        let known: [u64; 5] = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(known.map(|_| random.draw()), known);
        let mut seen = [0; 7];
        (0..7000).for_each(|_| seen[random.place(7)] += 1);
        assert!(seen.iter().all(|n| (850..1150).contains(n)), "{seen:?}");
    }

    /// Normal by the sum of twelve uniforms.
    fn normal(random: &mut Random) -> f64 {
        (0..12).map(|_| random.draw() as f64 / u64::MAX as f64).sum::<f64>() - 6.0
    }

    #[test]
    fn the_interval_covers_the_truth_about_as_often_as_it_says() {
        let mut random = Random(1);
        let (runs, truth) = (150, 10.0);
        let covered = (0..runs)
            .filter(|_| {
                let sample: Vec<f64> = (0..31).map(|_| truth + normal(&mut random)).collect();
                let Cell::Measured { low, high, value, .. } = measured(&sample) else { panic!() };
                assert!(low <= value && value <= high);
                low <= truth && truth <= high
            })
            .count();
        // 95 % of 150 are 142.5, with a standard deviation of 2.7; the percentile interval of a median is a bit wide.
        assert!((132..=150).contains(&covered), "{covered} of {runs}");
    }

    #[test]
    fn the_interval_is_the_same_every_time_and_narrows_with_more_samples() {
        let mut random = Random(2);
        let sample: Vec<f64> = (0..400).map(|_| 10.0 + normal(&mut random)).collect();
        assert_eq!(measured(&sample), measured(&sample));
        let width = |cell: Cell| match cell {
            Cell::Measured { low, high, .. } => high - low,
            _ => panic!(),
        };
        assert!(width(measured(&sample)) < width(measured(&sample[..25])) / 2.0);
    }

    #[test]
    fn noise_that_hits_both_sides_of_a_round_cancels() {
        let mut random = Random(3);
        // Rounds differ by a factor of up to two; ours takes 1.1 times as long in each.
        let pairs: Vec<(f64, f64)> = (0..15)
            .map(|_| {
                let disturbed = 1.0 + random.draw() as f64 / u64::MAX as f64;
                (1.1 * disturbed, disturbed)
            })
            .collect();
        let Cell::Measured { value, low, high, samples } = ratio_of_medians(&pairs) else { panic!() };
        assert!(near(value, 1.1) && near(low, 1.1) && near(high, 1.1), "{low} {value} {high}");
        assert_eq!(samples.len(), 15);
        // Without the pairs the same samples say nothing.
        let mut shuffled = pairs.clone();
        for at in 0..pairs.len() {
            shuffled[at].1 = pairs[(at + 7) % pairs.len()].1;
        }
        let Cell::Measured { low, high, .. } = ratio_of_medians(&shuffled) else { panic!() };
        assert!(high - low > 0.2, "{low} {high}");
    }

    #[test]
    fn nothing_measured_is_an_empty_cell() {
        assert_eq!(measured(&[]), Cell::Empty);
        assert_eq!(ratio_of_medians(&[]), Cell::Empty);
        let one = Cell::Measured { value: 4.0, low: 4.0, high: 4.0, samples: vec![4.0] };
        assert_eq!(measured(&[4.0]), one);
    }
}
