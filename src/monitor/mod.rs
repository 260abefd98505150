//! How the engine reports what it does. The library never prints: the caller passes a [`Monitor`].

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Counter {
    /// Entries of any kind seen.
    Entries,
    /// Regular files done (unchanged ones included).
    Files,
    /// Plaintext bytes of those files.
    Bytes,
    /// Files taken over from the parent snapshot without reading.
    FilesUnchanged,
    BytesUnchanged,
    /// Bytes really read from the source.
    BytesRead,
    Chunks,
    /// Chunks that were not in the store.
    ChunksNovel,
    BytesNovel,
    /// Bytes appended to storage.
    BytesStored,
    Packs,
    Problems,
    /// Objects verified by a check.
    ObjectsChecked,
    BytesChecked,
}

/// How many kinds of counters there are.
pub const COUNTERS: usize = Counter::BytesChecked as usize + 1;

/// One thing that went wrong with one path or object, and did not stop the run.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Path in the source or the snapshot, as bytes.
    pub path: Vec<u8>,
    /// What happened and what the person can do.
    pub message: String,
}

/// Where a stage's time went.
#[derive(Debug, Clone, Copy, Default)]
pub struct StageTimes {
    /// Waiting for input.
    pub wait_in: Duration,
    /// Time spent working, added up over the stage's threads.
    pub busy: Duration,
    /// Waiting for room in the next stage.
    pub wait_out: Duration,
    /// How many pieces of work were done.
    pub items: u64,
}

/// Receives progress, problems and measurements. All methods may be called from any thread.
pub trait Monitor: Send + Sync {
    /// `n` more of `counter`.
    fn add(&self, counter: Counter, n: u64);
    /// The expected total of `counter`, when it becomes known.
    fn expect(&self, _counter: Counter, _total: u64) {}
    /// The tree key of the entry being worked on (may be called often; a display picks some and makes paths of them).
    fn at(&self, _key: &[u8]) {}
    /// One path or object went wrong; the run goes on.
    fn problem(&self, _problem: &Problem) {}
    /// A path of the target that the snapshot lacks was removed (in a dry run: would be).
    fn removed(&self, _path: &[u8]) {}
    /// Something a person should know, once.
    fn note(&self, _message: &str) {}
    /// The times of one stage, at its end.
    fn stage(&self, _name: &'static str, _times: StageTimes) {}
}

/// A monitor that listens to nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Monitor for Silent {
    fn add(&self, _counter: Counter, _n: u64) {}
}

/// Keeps the counters.
#[derive(Debug, Default)]
pub struct Counters([AtomicU64; COUNTERS]);

impl Counters {
    /// The present value.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize].load(Relaxed)
    }
}

impl Monitor for Counters {
    fn add(&self, counter: Counter, n: u64) {
        self.0[counter as usize].fetch_add(n, Relaxed);
    }
}

/// Counts for the engine's own summary and passes everything on.
pub struct Counting {
    /// What is counted.
    pub counters: Counters,
    /// Who is told.
    pub next: std::sync::Arc<dyn Monitor>,
}

impl Monitor for Counting {
    fn add(&self, counter: Counter, n: u64) {
        self.counters.add(counter, n);
        self.next.add(counter, n);
    }

    fn expect(&self, counter: Counter, total: u64) {
        self.next.expect(counter, total);
    }

    fn at(&self, key: &[u8]) {
        self.next.at(key);
    }

    fn problem(&self, problem: &Problem) {
        self.next.problem(problem);
    }

    fn removed(&self, path: &[u8]) {
        self.next.removed(path);
    }

    fn note(&self, message: &str) {
        self.next.note(message);
    }

    fn stage(&self, name: &'static str, times: StageTimes) {
        self.next.stage(name, times);
    }
}
