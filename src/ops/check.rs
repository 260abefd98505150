//! `check`: is everything there, and is it what it says? Findings are values; nothing is changed.

use crate::base::id::{ContentId, ObjectId};
use crate::format::blob::BlobKind;
use crate::monitor::Monitor;
use crate::storage::{Storage, StorageKey};
use crate::store::{Store, StoreError};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How many packs are read.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum ReadData {
    /// None: structure only.
    #[default]
    No,
    /// All of them.
    All,
    /// This share of them, in percent, chosen at random.
    Percent(f64),
}

/// How to check.
#[derive(Debug, Clone, Default)]
pub struct CheckOptions {
    /// How many packs are read front to back.
    pub read_data: ReadData,
    /// Worker threads; 0: one a core.
    pub threads: usize,
    /// Set from outside to end the run early.
    pub cancel: Arc<AtomicBool>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; nothing is lost.
    Notice,
    /// A read failed or gave wrong bytes, and the same read again gave the right ones: the medium, the memory or the
    /// connection is not to be trusted.
    ReadErrorOnce,
    /// Damaged or missing.
    Damage,
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An object of the store.
    Object(StorageKey),
    /// A blob of a pack: its offset.
    Blob(StorageKey, u32),
    /// A chunk, tree node or list that cannot be read from anywhere.
    Content(BlobKind, ContentId),
    /// A snapshot.
    Snapshot(ObjectId),
    /// The store as a whole.
    Store,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// About what.
    pub subject: Subject,
    /// What is wrong, and what one can do.
    pub message: String,
}

/// A path of a snapshot that does not restore as it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Affected {
    /// The snapshot.
    pub snapshot: ObjectId,
    /// The path; the first of a range when `until` is set.
    pub path: Vec<u8>,
    /// A part of the tree is lost: everything from `path` up to this path, which is not lost any more (empty: to the end).
    pub until: Option<Vec<u8>>,
}

/// What unfinished runs left behind: no damage, the next backup or maintenance takes it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leftovers {
    /// Sessions without an outcome (running, or killed).
    pub sessions: u64,
    /// Packs that no index segment lists.
    pub packs: u64,
    /// Their bytes.
    pub pack_bytes: u64,
    /// Manifests that no outcome names.
    pub snapshots: u64,
}

/// What a check found.
#[derive(Debug, Clone, Default)]
pub struct CheckReport {
    /// The first 10,000 findings, worst first.
    pub findings: Vec<Finding>,
    /// How many there were of each severity: notices, read errors, damages.
    pub counts: [u64; 3],
    /// Paths that do not restore, the first 10,000.
    pub affected: Vec<Affected>,
    /// How many there are.
    pub affected_count: u64,
    /// Snapshots with at least one such path, or whose manifest is lost.
    pub affected_snapshots: Vec<ObjectId>,
    /// Left behind by unfinished runs.
    pub leftovers: Leftovers,
    /// Snapshots checked.
    pub snapshots: u64,
    /// Tree nodes and lists checked, each once.
    pub nodes: u64,
    /// Entries in them.
    pub entries: u64,
    /// Index segments and rows.
    pub segments: u64,
    /// See `segments`.
    pub rows: u64,
    /// Packs the store has.
    pub packs: u64,
    /// Packs read front to back, and their bytes.
    pub packs_read: u64,
    /// See `packs_read`.
    pub bytes_read: u64,
    /// Wall time.
    pub duration: Duration,
}

impl CheckReport {
    /// Whether anything is damaged or missing.
    pub fn is_damaged(&self) -> bool {
        self.counts[Severity::Damage as usize] > 0
    }
}

/// Checks a store. An error means that the check could not be made, not that it found something.
pub fn run(store: &Arc<Store>, options: &CheckOptions, monitor: &dyn Monitor) -> Result<CheckReport, StoreError> {
    _ = (store, options, monitor);
    todo!()
}

/// Checks, without any key, that every object named by its hash has the bytes of that name.
pub fn keyless(
    storage: &Arc<dyn Storage>,
    options: &CheckOptions,
    monitor: &dyn Monitor,
) -> Result<CheckReport, StoreError> {
    _ = (storage, options, monitor);
    todo!()
}
