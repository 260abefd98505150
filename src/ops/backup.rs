//! `backup`: one snapshot of a source.

use crate::base::id::ObjectId;
use crate::base::time::Time;
use crate::codec::Compression;
use crate::monitor::{Monitor, Problem};
use crate::source::Source;
use crate::store::{Store, StoreError};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How to back up.
#[derive(Clone, Default)]
pub struct BackupOptions {
    /// Label of the host.
    pub host: String,
    /// Who runs it, for people.
    pub user: String,
    /// Tags of the snapshot.
    pub tags: Vec<String>,
    /// The time the snapshot stands for; the start of the run if not given.
    pub time: Option<Time>,
    /// Look and count, store nothing.
    pub dry_run: bool,
    /// Read every file, also those that look unchanged.
    pub force: bool,
    /// Compare with this snapshot; the newest of the same host key, label and paths if not given.
    pub parent: Option<ObjectId>,
    /// What to compress with.
    pub compression: Compression,
    /// Options worth keeping in the manifest, for people.
    pub options: Vec<String>,
    /// Threads of each CPU pool; 0: one a core.
    pub threads: usize,
    /// Threads that read; 0: at least 2.
    pub readers: usize,
    /// Batches in flight; 0 chooses. 1 works.
    pub batches: usize,
    /// Set from outside to end the run early: what is durable by then is kept for the next run.
    pub cancel: Arc<AtomicBool>,
}

/// What a backup did.
#[derive(Debug, Clone, Default)]
pub struct BackupStats {
    /// The snapshot; `None` for a dry run.
    pub snapshot: Option<ObjectId>,
    /// The snapshot it was compared with.
    pub parent: Option<ObjectId>,
    /// Entries of any kind.
    pub entries: u64,
    /// Regular files, and their bytes.
    pub files: u64,
    /// See `files`.
    pub bytes: u64,
    /// Directories.
    pub directories: u64,
    /// Files that the parent does not have.
    pub files_new: u64,
    /// Files that differ from the parent's.
    pub files_changed: u64,
    /// Files taken over from the parent.
    pub files_unchanged: u64,
    /// Bytes read from the source.
    pub bytes_read: u64,
    /// Chunks cut, and those that were new.
    pub chunks: u64,
    /// See `chunks`.
    pub chunks_novel: u64,
    /// Plaintext bytes of the new chunks.
    pub bytes_novel: u64,
    /// Bytes of data packs written.
    pub bytes_data_stored: u64,
    /// Bytes of everything else written: tree packs, index, manifest, session records.
    pub bytes_metadata_stored: u64,
    /// Packs written.
    pub packs: u64,
    /// Entries that changed while they were read.
    pub changed_while_read: u64,
    /// What could not be read: the first 10,000.
    pub problems: Vec<Problem>,
    /// How many there were.
    pub problem_count: u64,
    /// What was left out and why: the first 10,000.
    pub skipped: Vec<Problem>,
    /// Wall time.
    pub duration: Duration,
}

/// Makes one snapshot. `StoreError::Interrupted` when `options.cancel` was set.
pub fn run(
    store: &Arc<Store>,
    source: &dyn Source,
    options: &BackupOptions,
    monitor: Arc<dyn Monitor>,
) -> Result<BackupStats, StoreError> {
    _ = (store, source, options, monitor);
    todo!()
}
