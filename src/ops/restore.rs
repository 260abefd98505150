//! `restore`: a snapshot, or a part of one, into a folder.

use crate::base::id::ObjectId;
use crate::monitor::{Monitor, Problem};
use crate::store::{Store, StoreError};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// What becomes of entries that lie in the target already. An existing file is never written into: it is replaced
/// as a whole (a new file under a temporary name, then renamed over it) or left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overwrite {
    /// What is already right (kind, size, modification time) is passed over, which continues an interrupted restore;
    /// anything else in the way is left as it is and named as a problem.
    #[default]
    Refuse,
    /// What is already right is passed over, anything else is replaced.
    IfChanged,
    /// Everything is replaced.
    Always,
    /// What is there is left as it is, without a word.
    Never,
}

/// Who owns what is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Owners {
    /// By number, as far as the system permits; what it does not permit is noted once.
    #[default]
    Try,
    /// By number; what is not permitted is a problem of its entry.
    Require,
    /// Whoever runs the restore.
    Skip,
}

/// How to restore.
#[derive(Debug, Clone, Default)]
pub struct RestoreOptions {
    /// The snapshot: `latest`, an id or the beginning of one.
    pub snapshot: String,
    /// Part of it: an absolute path in the snapshot. What lies in that directory comes straight into the target (a
    /// file or anything else under its own name). Empty: everything, with its whole path below the target.
    pub path: Vec<u8>,
    /// The folder to restore into; made if it is not there.
    pub target: PathBuf,
    /// Only what matches one of these patterns (`.gitignore` syntax over paths in the snapshot), and what lies below.
    pub include: Vec<String>,
    /// Leave out what matches one of these, and what lies below.
    pub exclude: Vec<String>,
    /// What becomes of entries that are there already.
    pub overwrite: Overwrite,
    /// Owners.
    pub owners: Owners,
    /// Do not restore extended attributes (ACLs and capabilities are such).
    pub no_xattrs: bool,
    /// Read everything back afterwards and compare it with its ids.
    pub verify: bool,
    /// Tell what would be done and write nothing.
    pub dry_run: bool,
    /// Flush the target's file system before reporting success.
    pub sync: bool,
    /// Label of this host, for the lease that keeps the snapshot's data while it is read.
    pub host: String,
    /// Worker threads; 0: one a core.
    pub threads: usize,
    /// Threads that read ahead; 0 chooses.
    pub readers: usize,
    /// Set from outside to end the run early: half-written files are removed.
    pub cancel: Arc<AtomicBool>,
}

/// What a restore did (or, in a dry run, would do).
#[derive(Debug, Clone, Default)]
pub struct RestoreStats {
    /// The snapshot.
    pub snapshot: Option<ObjectId>,
    /// Entries of any kind that were selected.
    pub entries: u64,
    /// Regular files written, and their bytes (holes included).
    pub files: u64,
    /// See `files`.
    pub bytes: u64,
    /// Directories made or brought up to date.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Further names of files with several (hard links).
    pub hard_links: u64,
    /// FIFOs, sockets, device nodes.
    pub specials: u64,
    /// Files (and other entries) that were right already, and the files' bytes.
    pub unchanged: u64,
    /// See `unchanged`.
    pub bytes_unchanged: u64,
    /// Existing entries left as they are (`Overwrite::Never`, `Overwrite::Refuse`).
    pub left: u64,
    /// Entries that the snapshot holds without their content, since the backup could not read them.
    pub unreadable: u64,
    /// Entries stored while they changed; they are restored as they were read.
    pub changed_while_read: u64,
    /// Bytes read from packs.
    pub bytes_read: u64,
    /// Files read back and found equal (`verify`).
    pub verified: u64,
    /// Files lost to damage in the store. Not 0: the store needs a check.
    pub damaged: u64,
    /// Parts of the tree that cannot be read: what lay there is not even known.
    pub damaged_ranges: u64,
    /// What went wrong, damage included: the first 10,000.
    pub problems: Vec<Problem>,
    /// How many there were.
    pub problem_count: u64,
    /// Wall time.
    pub duration: Duration,
}

impl RestoreStats {
    /// Whether something was lost to damage in the store.
    pub fn is_damaged(&self) -> bool {
        self.damaged + self.damaged_ranges > 0
    }
}

/// Restores. `StoreError::Interrupted` when `options.cancel` was set. A damaged blob costs only the files that hold it.
pub fn run(store: &Arc<Store>, options: &RestoreOptions, monitor: &dyn Monitor) -> Result<RestoreStats, StoreError> {
    _ = (store, options, monitor);
    todo!()
}
