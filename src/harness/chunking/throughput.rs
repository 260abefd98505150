//! How fast chunkers cut, on one core and on all, in rounds.

use super::chunker::Chunker;
use super::cores::{Cores, Plan};
use super::corpus::Corpus;
use crate::harness::BenchError;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// A sample takes at least so long: little data is cut again and again.
const SAMPLE: Duration = Duration::from_millis(50);

/// Bytes a second of one chunker, a sample a round.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Speed {
    /// On one core.
    pub one: Vec<f64>,
    /// On all; nothing where one is all there is.
    pub all: Vec<f64>,
}

/// Every round takes each chunker on one core and on all, beginning elsewhere than the round before, so that what drifts
/// hits all alike.
pub fn measure(
    corpus: &Corpus,
    chunkers: &[&dyn Chunker],
    rounds: usize,
    cores: &Cores,
    say: &dyn Fn(&str),
) -> Result<Vec<Speed>, BenchError> {
    let plan = Plan::of(corpus);
    let ways = if cores.count() == 1 { 1 } else { 2 };
    let mut speeds = vec![Speed::default(); chunkers.len()];
    // Who does not look at the bytes takes no time, and gets no samples.
    let timed: Vec<usize> = (0..chunkers.len()).filter(|at| chunkers[*at].looks()).collect();
    for round in 0..rounds {
        say(&format!("throughput: round {} of {rounds}", round + 1));
        for turn in order(timed.len() * ways, round, rounds) {
            let (at, on_all) = (timed[turn / ways], turn % ways == 1);
            let rate = rate(corpus.bytes().len(), cores, || match on_all {
                true => cores.pass_on_all(corpus, &plan, chunkers[at]),
                false => cores.pass_on_one(corpus, chunkers[at]),
            })?;
            let samples = if on_all { &mut speeds[at].all } else { &mut speeds[at].one };
            samples.push(rate);
        }
    }
    Ok(speeds)
}

/// The turns of a round: all of them, begun at a place that goes round once over all rounds.
fn order(turns: usize, round: usize, rounds: usize) -> impl Iterator<Item = usize> {
    let first = if turns < rounds { round } else { round * turns / rounds };
    (0..turns).map(move |turn| (first + turn) % turns)
}

/// Bytes a second.
fn rate(bytes: usize, cores: &Cores, pass: impl Fn() -> Result<usize, BenchError>) -> Result<f64, BenchError> {
    let (start, mut passes) = (Instant::now(), 0u32);
    while passes == 0 || start.elapsed() < SAMPLE {
        cores.go_on()?;
        black_box(pass()?);
        passes += 1;
    }
    Ok(bytes as f64 * f64::from(passes) / start.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    #[test]
    fn every_round_has_all_turns_from_another_place_on() {
        for (turns, rounds) in [(6, 3), (4, 7), (42, 5), (1, 3)] {
            let mut firsts = vec![];
            for round in 0..rounds {
                let mut turn: Vec<usize> = order(turns, round, rounds).collect();
                firsts.push(turn[0]);
                turn.sort_unstable();
                assert_eq!(turn, (0..turns).collect::<Vec<_>>());
            }
            firsts.sort_unstable();
            firsts.dedup();
            assert_eq!(firsts.len(), turns.min(rounds));
        }
    }

    /// Takes its time, and writes down who was called.
    struct Slow<'a>(char, u64, &'a Mutex<String>);

    impl Chunker for Slow<'_> {
        fn cuts(&self, file: &[u8], lengths: &mut Vec<u32>) {
            self.2.lock().push(self.0);
            std::thread::sleep(Duration::from_millis(self.1));
            lengths.push(file.len() as u32);
        }

        fn settings(&self) -> String {
            String::new()
        }
    }

    #[test]
    fn who_takes_twice_as_long_has_half_the_rate() {
        let (stop, called) = (AtomicBool::new(false), Mutex::new(String::new()));
        let (a, b) = (Slow('a', 60, &called), Slow('b', 120, &called));
        let corpus = Corpus::of("d", &[&[0; 6000]]);
        let cores = Cores::new(1, &stop).unwrap();
        let speeds = measure(&corpus, &[&a, &b], 2, &cores, &|_| {}).unwrap();
        assert_eq!(*called.lock(), "abba");
        assert!(speeds.iter().all(|speed| speed.one.len() == 2 && speed.all.is_empty()));
        // 6,000 bytes in 60 ms; a sleep may last longer, never shorter.
        assert!(speeds[0].one.iter().all(|rate| (30_000.0..=100_000.0).contains(rate)), "{speeds:?}");
        assert!(speeds[1].one.iter().all(|rate| (15_000.0..=50_000.0).contains(rate)), "{speeds:?}");
        stop.store(true, Relaxed);
        assert!(matches!(measure(&corpus, &[&a], 1, &cores, &|_| {}), Err(BenchError::Interrupted)));
    }
}
