//! One scenario, run once in this process: what it takes of time, memory and storage.
//!
//! [`super::Runner`] runs each job in a process of its own, so that the memory is this scenario's alone.

use crate::crypto::slot::Credential;
use crate::harness::BenchError;
use crate::harness::data::DataSet;
use crate::monitor::{Counter, Monitor, StageTimes};
use crate::ops::backup::{self, BackupOptions};
use crate::ops::check::{self, CheckOptions, ReadData};
use crate::ops::restore::{self, RestoreOptions};
use crate::source::fs::{FsOptions, FsSource, ReadMode};
use crate::storage::layer::{Operation, OperationKind, RecordStorage};
use crate::storage::{LocalStorage, Storage};
use crate::store::open::CreateOptions;
use crate::store::{MachineFolders, Store, StoreError};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Task {
    Backup,
    Restore,
    Check,
    CheckReadData,
}

/// Everything that a job needs, as another process gets it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// What to do.
    pub task: Task,
    /// The data to back up, or that was backed up.
    pub data: PathBuf,
    /// The store's folder; a backup makes it when it is not there.
    pub store: PathBuf,
    /// A file with 32 bytes: the key.
    pub key: PathBuf,
    /// Configuration and cache.
    pub home: PathBuf,
    /// Where a restore goes.
    pub target: PathBuf,
    /// As `backup --compression` takes it.
    pub compression: String,
    /// `auto`, `mmap` or `pread`.
    pub read: String,
    /// Threads of each pool; 0: one a core.
    pub threads: usize,
}

/// What one run took and did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// Wall seconds, from opening the store on.
    pub wall: f64,
    /// Seconds of processor, user and system.
    pub cpu: f64,
    /// Most anonymous and shared memory at a time.
    pub peak: u64,
    /// Entries, files, and bytes of content, that it was about: no holes. (Only a backup knows the content, and a check not
    /// even the files: the caller does.)
    pub entries: u64,
    pub files: u64,
    pub bytes: u64,
    /// Files and bytes that were really read.
    pub files_read: u64,
    pub bytes_read: u64,
    /// Chunks cut (of a check: looked up), and bytes of those that were new.
    pub chunks: u64,
    pub bytes_novel: u64,
    /// Bytes of data packs written.
    pub data_stored: u64,
    /// Requests to storage by kind.
    pub requests: BTreeMap<String, u64>,
    /// Bytes to storage and from it.
    pub bytes_out: u64,
    pub bytes_in: u64,
    /// Wait for input, busy, wait for room (seconds, over all threads) and items of each stage, or of each phase of a check.
    pub stages: Vec<(String, [f64; 3], u64)>,
}

impl Outcome {
    /// All requests to storage.
    pub fn requests(&self) -> u64 {
        self.requests.values().sum()
    }

    fn count(&mut self, operations: &[Operation]) {
        for operation in operations {
            *self.requests.entry(format!("{:?}", operation.kind).to_lowercase()).or_default() += 1;
            match operation.kind {
                OperationKind::Put | OperationKind::Append => self.bytes_out += operation.bytes,
                OperationKind::Get | OperationKind::GetRange => self.bytes_in += operation.bytes,
                _ => {}
            }
        }
    }
}

/// Keeps the stages' times; the counters come with the engine's summary.
#[derive(Default)]
struct Stages(Mutex<Vec<(String, [f64; 3], u64)>>);

impl Stages {
    fn take(&self) -> Vec<(String, [f64; 3], u64)> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl Monitor for Stages {
    fn add(&self, _counter: Counter, _n: u64) {}

    fn stage(&self, name: &'static str, times: StageTimes) {
        let seconds = [times.wait_in, times.busy, times.wait_out].map(|time| time.as_secs_f64());
        self.0.lock().push((name.into(), seconds, times.items));
    }
}

/// Runs a job to its end.
pub fn perform(job: &Job, cancel: &Arc<AtomicBool>) -> Result<Outcome, BenchError> {
    perform_watched(job, cancel).map(|(outcome, _)| outcome)
}

/// The same; gives every request to storage, too.
pub fn perform_watched(job: &Job, cancel: &Arc<AtomicBool>) -> Result<(Outcome, Vec<Operation>), BenchError> {
    let key = std::fs::read(&job.key).map_err(BenchError::io("read", &job.key))?;
    let key: [u8; 32] = key.try_into().map_err(|_| BenchError::Invalid("a key file of 32 bytes is needed".into()))?;
    let key = Credential::KeyFile(key.into());
    let places = MachineFolders { config: job.home.join("config"), cache: job.home.join("cache") };
    if job.task == Task::Backup && !job.store.exists() {
        let storage = LocalStorage::create(&job.store).map_err(StoreError::from)?;
        drop(Store::create(Arc::new(storage), &key, places.clone(), CreateOptions::default())?);
    }
    let peak = Peak::default();
    let done = peak.watch(|| {
        let (cpu, start) = (processor_time(), Instant::now());
        let local: Arc<dyn Storage> = Arc::new(LocalStorage::open(&job.store).map_err(StoreError::from)?);
        let storage = Arc::new(RecordStorage::new(local));
        let store = Arc::new(Store::open(storage.clone(), &key, places)?);
        let mut outcome = match job.task {
            Task::Backup => back_up(job, &store, cancel)?,
            Task::Restore => restore_all(job, &store, cancel)?,
            Task::Check | Task::CheckReadData => check_all(job, &store, cancel)?,
        };
        outcome.wall = start.elapsed().as_secs_f64();
        outcome.cpu = processor_time().saturating_sub(cpu).as_secs_f64();
        Ok::<_, BenchError>((outcome, storage.take()))
    });
    let (mut outcome, operations) = done?;
    outcome.count(&operations);
    outcome.peak = peak.bytes();
    // A backup counts holes, and every name of a file. Nothing is measured any more here.
    if job.task == Task::Backup {
        let data = DataSet { path: job.data.clone(), ..DataSet::default() };
        outcome.bytes = data.used()?.content();
    }
    Ok((outcome, operations))
}

/// The words of `--read`.
pub fn read_mode(word: &str) -> Result<ReadMode, BenchError> {
    match word {
        "auto" | "pread" => Ok(ReadMode::Pread),
        "mmap" => Ok(ReadMode::Mmap),
        _ => Err(BenchError::Invalid(format!("{word:?} is no way to read: auto, mmap or pread"))),
    }
}

fn back_up(job: &Job, store: &Arc<Store>, cancel: &Arc<AtomicBool>) -> Result<Outcome, BenchError> {
    let options = FsOptions { roots: vec![job.data.clone()], read: read_mode(&job.read)?, ..FsOptions::default() };
    let source = FsSource::new(options).map_err(BenchError::io("read", &job.data))?;
    let options = BackupOptions {
        host: "bench".into(),
        compression: job.compression.parse().map_err(BenchError::Invalid)?,
        threads: job.threads,
        cancel: cancel.clone(),
        ..BackupOptions::default()
    };
    let stages = Arc::new(Stages::default());
    let stats = backup::run(store, &source, &options, stages.clone())?;
    if let Some(problem) = stats.problems.first() {
        let path = String::from_utf8_lossy(&problem.path).into_owned();
        return Err(BenchError::NotMeasured(format!("{path} could not be read: {}", problem.message)));
    }
    Ok(Outcome {
        entries: stats.entries,
        files: stats.files,
        files_read: stats.files_new + stats.files_changed,
        bytes_read: stats.bytes_read,
        chunks: stats.chunks,
        bytes_novel: stats.bytes_novel,
        data_stored: stats.bytes_data_stored,
        stages: stages.take(),
        ..Outcome::default()
    })
}

fn restore_all(job: &Job, store: &Arc<Store>, cancel: &Arc<AtomicBool>) -> Result<Outcome, BenchError> {
    let options = RestoreOptions {
        snapshot: "latest".into(),
        target: job.target.clone(),
        host: "bench".into(),
        threads: job.threads,
        cancel: cancel.clone(),
        ..RestoreOptions::default()
    };
    let stages = Stages::default();
    let stats = restore::run(store, &options, &stages)?;
    if stats.damaged + stats.damaged_ranges + stats.differing > 0 {
        return Err(BenchError::NotMeasured(format!("the restore found {} files damaged", stats.damaged)));
    }
    Ok(Outcome { entries: stats.entries, files: stats.files, stages: stages.take(), ..Outcome::default() })
}

fn check_all(job: &Job, store: &Arc<Store>, cancel: &Arc<AtomicBool>) -> Result<Outcome, BenchError> {
    let read_data = if job.task == Task::CheckReadData { ReadData::All } else { ReadData::No };
    let options = CheckOptions { read_data, threads: job.threads, cancel: cancel.clone() };
    let stages = Stages::default();
    let report = check::run(store, &options, &stages)?;
    if report.is_damaged() {
        return Err(BenchError::NotMeasured("the check found damage in a store made just now".into()));
    }
    Ok(Outcome { entries: report.entries, chunks: report.chunks, stages: stages.take(), ..Outcome::default() })
}

/// User and system time of this process.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How often memory is looked at.
const SAMPLE: Duration = Duration::from_millis(2);

/// The most memory seen.
#[derive(Default)]
struct Peak(AtomicU64);

impl Peak {
    /// Runs `work` while another thread looks at the memory: anonymous and shared, without the pages of mapped files.
    fn watch<T>(&self, work: impl FnOnce() -> T) -> T {
        let done = AtomicBool::new(false);
        /// Ends the looking also when the work panics.
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Relaxed);
            }
        }
        let look = || self.0.fetch_max(resident(Path::new("/proc/self/status")), Relaxed);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    look();
                    std::thread::sleep(SAMPLE);
                }
            });
            let _end = End(&done);
            let result = work();
            look();
            result
        })
    }

    fn bytes(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Anonymous and shared bytes in a process's status; 0 where there is none.
fn resident(status: &Path) -> u64 {
    let status = std::fs::read_to_string(status).unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() << 10
    };
    field("RssAnon:") + field("RssShmem:")
}
