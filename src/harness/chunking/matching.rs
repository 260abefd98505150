//! `--match-mean`: turns a chunker's dial until the mean of its chunks on the data at hand is the wanted one.

use super::chunker::{Algorithm, Chunker, Dial};
use super::profile::Profile;
use crate::harness::BenchError;

const CLOSE: f64 = 0.01;
/// How often the data is cut for one way.
const TRIES: usize = 24;

/// Whether this mean needs no tuning.
pub fn is_close(mean: f64, wanted: f64) -> bool {
    (mean / wanted).ln().abs() <= CLOSE
}

/// The best that was found.
pub struct Matched {
    pub chunker: Box<dyn Chunker>,
    /// The mean it has.
    pub mean: f64,
}

/// Bisects the aim for each way that the algorithm has, until one is close. None when it makes no chunker at all.
/// `mean_of` cuts the data.
pub fn tune(
    algorithm: &dyn Algorithm,
    profile: &Profile,
    wanted: f64,
    mean_of: &mut dyn FnMut(&dyn Chunker) -> Result<f64, BenchError>,
) -> Result<Option<Matched>, BenchError> {
    let off = |mean: f64| (mean / wanted).ln().abs();
    let mut best: Option<Matched> = None;
    for way in 0..algorithm.ways() {
        let (mut below, mut above) = (1.0, profile.max as f64 * 16.0);
        let mut aim = profile.avg as f64;
        for tried in 1..=TRIES {
            let Ok(chunker) = algorithm.make(profile, Some(Dial { aim: aim as usize, way })) else { break };
            let mean = mean_of(&*chunker)?;
            if best.as_ref().is_none_or(|best| off(mean) < off(best.mean)) {
                best = Some(Matched { chunker, mean });
            }
            if is_close(mean, wanted) {
                return Ok(best);
            }
            *if mean < wanted { &mut below } else { &mut above } = aim;
            if above / below < 1.0 + CLOSE / 8.0 {
                break;
            }
            // The mean grows about as the aim does: a guess is often near, the middle always halves.
            let guess = aim * wanted / mean;
            let inside = guess > below && guess < above && tried % 3 != 0;
            aim = if inside { guess } else { f64::sqrt(below * above) };
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::chunking::chunkers::ALL;
    use crate::harness::chunking::sizes;
    use crate::harness::chunking::testing::{noise, text};

    fn mean_on(data: &[u8], chunker: &dyn Chunker) -> f64 {
        let mut lengths = vec![];
        chunker.cuts(data, &mut lengths);
        sizes::mean(&lengths)
    }

    #[test]
    fn every_chunker_comes_to_the_mean_of_ours() {
        let profile = Profile::of_avg(8 << 10).unwrap();
        for data in [noise(12 << 20), text(12 << 20)] {
            let wanted = mean_on(&data, &*ALL[0].make(&profile, None).unwrap());
            for algorithm in ALL {
                let mut cut = 0;
                let matched = tune(algorithm, &profile, wanted, &mut |chunker| {
                    cut += 1;
                    Ok(mean_on(&data, chunker))
                });
                let matched = matched.unwrap().unwrap();
                let what = format!("{} {}", algorithm.name(), matched.chunker.settings());
                assert!((matched.mean / wanted - 1.0).abs() < 0.02, "{what}: {} of {wanted}", matched.mean);
                assert_eq!(mean_on(&data, &*matched.chunker), matched.mean, "{what}");
                assert!(cut <= 3 * TRIES, "{what}: {cut}");
            }
        }
    }

    #[test]
    fn a_mean_out_of_reach_ends_with_the_nearest() {
        let (profile, data) = (Profile::of_avg(8 << 10).unwrap(), noise(4 << 20));
        for algorithm in ALL.iter().filter(|algorithm| algorithm.name() != "gear") {
            let matched = tune(*algorithm, &profile, 1e6, &mut |chunker| Ok(mean_on(&data, chunker)));
            let mean = matched.unwrap().unwrap().mean;
            assert!((8_000.0..=32_768.0).contains(&mean), "{} {mean}", algorithm.name());
        }
    }

    #[test]
    fn what_stops_the_cutting_stops_the_tuning() {
        let stopped = tune(ALL[0], &Profile::LARDER, 1.0, &mut |_| Err(BenchError::Interrupted));
        assert!(matches!(stopped, Err(BenchError::Interrupted)));
    }
}
