//! `repair index`: the index rebuilt from the packs' own tables. Packs are only read.

use crate::base::id::ObjectId;
use crate::monitor::{Monitor, Problem};
use crate::store::{Store, StoreError};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How to repair.
#[derive(Debug, Clone, Default)]
pub struct RepairOptions {
    /// Tell what would be done and write nothing.
    pub dry_run: bool,
    /// Label of this host.
    pub host: String,
    /// Set from outside to end the run early.
    pub cancel: Arc<AtomicBool>,
}

/// What a repair did (or, in a dry run, would do).
#[derive(Debug, Clone, Default)]
pub struct RepairStats {
    /// Packs the store has.
    pub packs: u64,
    /// Packs that no readable segment listed and that are listed again.
    pub packs_listed: Vec<ObjectId>,
    /// Chunks, nodes and lists in them.
    pub rows: u64,
    /// Index segments that could not be read; removed once their rows are listed again.
    pub segments_damaged: Vec<ObjectId>,
    /// Index segments that outcomes name and that are not there.
    pub segments_missing: Vec<ObjectId>,
    /// Packs whose table cannot be read: what they hold stays unknown.
    pub problems: Vec<Problem>,
    /// Wall time.
    pub duration: Duration,
}

/// Rebuilds lost or damaged index segments.
pub fn index(store: &Arc<Store>, options: &RepairOptions, monitor: &dyn Monitor) -> Result<RepairStats, StoreError> {
    _ = (store, options, monitor);
    todo!()
}
