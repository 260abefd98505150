//! Chunkers over a corpus, on one core or on all.

use super::chunker::Chunker;
use super::corpus::Corpus;
use crate::harness::BenchError;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// From this size on a file is cut by all cores, where a chunker can: below, there is a file for each.
const ACROSS: usize = 8 << 20;

/// The cores, until somebody says stop.
pub struct Cores<'a> {
    pool: ThreadPool,
    stop: &'a AtomicBool,
}

impl<'a> Cores<'a> {
    /// That many threads.
    pub fn new(threads: usize, stop: &'a AtomicBool) -> Result<Cores<'a>, BenchError> {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|e| BenchError::NotMeasured(format!("{threads} threads do not start: {e}")))?;
        Ok(Cores { pool, stop })
    }

    pub fn count(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// An error once somebody said stop.
    pub fn go_on(&self) -> Result<(), BenchError> {
        if self.stop.load(Relaxed) { Err(BenchError::Interrupted) } else { Ok(()) }
    }

    /// Does `n` tasks, dealt one by one to whoever is free; the results in the order of the tasks.
    pub fn deal<T: Send>(&self, n: usize, work: impl Fn(usize) -> T + Sync) -> Result<Vec<T>, BenchError> {
        let next = AtomicUsize::new(0);
        let done = self.pool.broadcast(|_| {
            let mut done = vec![];
            while !self.stop.load(Relaxed) {
                let task = next.fetch_add(1, Relaxed);
                if task >= n {
                    break;
                }
                done.push((task, work(task)));
            }
            done
        });
        self.go_on()?;
        let mut done: Vec<_> = done.into_iter().flatten().collect();
        done.sort_by_key(|(task, _)| *task);
        Ok(done.into_iter().map(|(_, result)| result).collect())
    }

    /// The lengths of all chunks, file by file.
    pub fn lengths(&self, corpus: &Corpus, chunker: &dyn Chunker) -> Result<Vec<u32>, BenchError> {
        let tasks = corpus.tasks();
        let lengths = self.deal(tasks.len(), |task| {
            let mut lengths = vec![];
            tasks[task].clone().for_each(|file| chunker.cuts(corpus.file(file), &mut lengths));
            lengths
        })?;
        Ok(lengths.concat())
    }

    /// Cuts everything on this thread; gives the number of chunks.
    pub fn pass_on_one(&self, corpus: &Corpus, chunker: &dyn Chunker) -> Result<usize, BenchError> {
        let (mut lengths, mut chunks) = (vec![], 0);
        for file in 0..corpus.files() {
            if self.stop.load(Relaxed) {
                return Err(BenchError::Interrupted);
            }
            lengths.clear();
            chunker.cuts(corpus.file(file), &mut lengths);
            chunks += lengths.len();
        }
        Ok(chunks)
    }

    /// Cuts everything on all cores: big files across them where the chunker can, else a file on one core, the biggest
    /// first. Gives the number of chunks.
    pub fn pass_on_all(&self, corpus: &Corpus, plan: &Plan, chunker: &dyn Chunker) -> Result<usize, BenchError> {
        let (mut lengths, mut chunks, mut whole) = (vec![], 0, 0);
        while let Some(file) = plan.big.get(whole) {
            self.go_on()?;
            lengths.clear();
            if !chunker.cuts_across(&self.pool, corpus.file(*file), &mut lengths) {
                break;
            }
            chunks += lengths.len();
            whole += 1;
        }
        let big = &plan.big[whole..];
        let dealt = self.deal(big.len() + plan.small.len(), |task| {
            let (mut lengths, mut chunks) = (vec![], 0);
            let files = match big.get(task) {
                Some(file) => *file..*file + 1,
                None => plan.small[task - big.len()].clone(),
            };
            for file in files.filter(|file| task < big.len() || !is_big(corpus, *file)) {
                lengths.clear();
                chunker.cuts(corpus.file(file), &mut lengths);
                chunks += lengths.len();
            }
            chunks
        })?;
        Ok(chunks + dealt.iter().sum::<usize>())
    }
}

/// What of a corpus is cut in which order by all cores.
pub struct Plan {
    /// The biggest first.
    big: Vec<usize>,
    /// Runs of files, of which those that are big are passed over.
    small: Vec<std::ops::Range<usize>>,
}

impl Plan {
    /// For this corpus.
    pub fn of(corpus: &Corpus) -> Plan {
        let mut big: Vec<usize> = (0..corpus.files()).filter(|file| is_big(corpus, *file)).collect();
        big.sort_by_key(|file| std::cmp::Reverse(corpus.file(*file).len()));
        Plan { big, small: corpus.tasks() }
    }
}

fn is_big(corpus: &Corpus, file: usize) -> bool {
    corpus.file(file).len() >= ACROSS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::chunking::chunkers::{ALL, by_name};
    use crate::harness::chunking::profile::Profile;
    use crate::harness::chunking::testing::{noise, text};

    #[test]
    fn every_way_of_going_over_the_data_gives_the_same_chunks() {
        let (big, other) = (noise(9_000_001), text(3_000_000));
        let corpus = Corpus::of("d", &[&other[..5], &other[..70_000], &big, &other, &other[..900_000], &[], &[1]]);
        let stop = AtomicBool::new(false);
        let cores = Cores::new(3, &stop).unwrap();
        let plan = Plan::of(&corpus);
        assert_eq!(plan.big, [2]);
        for algorithm in ALL {
            let chunker = algorithm.make(&Profile::of_avg(16 << 10).unwrap(), None).unwrap();
            let lengths = cores.lengths(&corpus, &*chunker).unwrap();
            assert_eq!(lengths.iter().map(|n| *n as usize).sum::<usize>(), corpus.bytes().len());
            let passes = [cores.pass_on_one(&corpus, &*chunker), cores.pass_on_all(&corpus, &plan, &*chunker)]
                .map(Result::unwrap);
            assert_eq!(passes, [lengths.len(); 2], "{}", algorithm.name());
        }
    }

    #[test]
    fn larders_cuts_across_cores_are_its_sequential_ones() {
        let file = [noise(5_000_001), vec![0; 3 << 20], text(6 << 20)].concat();
        let pool = ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        for profile in Profile::usual() {
            let [sequential, across] =
                ["larder", "larder-across"].map(|name| by_name(name).unwrap().make(&profile, None));
            let (sequential, across) = (sequential.unwrap(), across.unwrap());
            let [mut expected, mut one, mut all] = [const { vec![] }; 3];
            sequential.cuts(&file, &mut expected);
            across.cuts(&file, &mut one);
            assert!(across.cuts_across(&pool, &file, &mut all));
            assert!(one == expected && all == expected, "{profile}");
            assert!(!sequential.cuts_across(&pool, &file, &mut all));
        }
    }

    #[test]
    fn results_come_in_the_order_of_the_tasks_until_somebody_says_stop() {
        let stop = AtomicBool::new(false);
        let cores = Cores::new(3, &stop).unwrap();
        assert_eq!(cores.deal(100, |n| n * n).unwrap(), (0..100).map(|n| n * n).collect::<Vec<_>>());
        let stopped = cores.deal(100, |n| {
            if n == 5 {
                stop.store(true, Relaxed)
            }
        });
        assert!(matches!(stopped, Err(BenchError::Interrupted)));
    }
}
