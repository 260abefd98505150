//! The data that all stages of one backup share.

use super::budget::Budget;
use super::path_report::PathReport;
use crate::base::id::ContentId;
use crate::base::path::path_of;
use crate::chunking::Cutter;
use crate::codec::Compression;
use crate::format::config::Config;
use crate::format::tree::{Entry, Meta};
use crate::index::{Claims, Index};
use crate::monitor::{Counter, Monitor, Problem};
use crate::object::Keyring;
use crate::pipeline::backup::Failure;
use crate::source::Description;
use crate::store::adopt::Adoptable;
use crate::work::meter::Meter;
use parking_lot::{Mutex, RwLock};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// One meter a stage, in the order of the stages.
#[allow(missing_docs, reason = "named as the stages")]
pub struct Meters {
    pub scan: Meter,
    pub read: Meter,
    pub chunk: Meter,
    pub select: Meter,
    pub hash: Meter,
    pub dedup: Meter,
    pub tree: Meter,
    pub compress: Meter,
    pub place: Meter,
    pub encrypt: Meter,
    pub write: Meter,
    pub upload: Meter,
    pub commit: Meter,
}

impl Default for Meters {
    fn default() -> Meters {
        Meters {
            scan: Meter::new("scan"),
            read: Meter::new("read"),
            chunk: Meter::new("chunk"),
            select: Meter::new("select"),
            hash: Meter::new("hash"),
            dedup: Meter::new("dedup"),
            tree: Meter::new("tree"),
            compress: Meter::new("compress"),
            place: Meter::new("place"),
            encrypt: Meter::new("encrypt"),
            write: Meter::new("write"),
            upload: Meter::new("upload"),
            commit: Meter::new("commit"),
        }
    }
}

impl Meters {
    /// All that run in the pipeline, in order; the commit follows it.
    pub fn all(&self) -> [&Meter; 12] {
        [
            &self.scan,
            &self.read,
            &self.chunk,
            &self.select,
            &self.hash,
            &self.dedup,
            &self.tree,
            &self.compress,
            &self.place,
            &self.encrypt,
            &self.write,
            &self.upload,
        ]
    }
}

/// Counts that the summary needs and the monitor has no counter for.
#[derive(Default)]
#[allow(missing_docs, reason = "as in ops::backup::BackupStats")]
pub struct Counts {
    pub files_new: AtomicU64,
    pub files_changed: AtomicU64,
    pub files_equal: AtomicU64,
    pub changed_while_read: AtomicU64,
    pub metadata_bytes: AtomicU64,
    pub directories: AtomicU64,
    /// Regular files that could not be read, or were gone when it was their turn.
    pub files_unreadable: AtomicU64,
}

/// Whether the snapshot would say what its parent says. Asked for by `--skip-if-unchanged`.
pub struct Comparison {
    /// The sources: what lies on the way to them does not count.
    paths: Vec<Vec<u8>>,
    /// Times are not the source's own, but those of the run (a stream): they do not count either.
    made_up_times: bool,
    /// Something is different, or must be listed in a snapshot to be found again.
    pub differs: AtomicBool,
}

impl Comparison {
    /// Of a run with this source.
    pub fn new(source: &Description) -> Comparison {
        let Description { paths, stable_identity, .. } = source.clone();
        Comparison { paths, made_up_times: !stable_identity, differs: AtomicBool::new(false) }
    }

    /// Something is different.
    pub fn found_difference(&self) {
        self.differs.store(true, Relaxed);
    }

    /// Holds an entry against the parent's. The device's number does not count: it changes from mount to mount.
    pub fn compare(&self, entry: &Entry, parent: Option<&Entry>) {
        let equal = |old: &Entry| {
            let mut meta = Meta { device: entry.meta.device, ..old.meta.clone() };
            if self.made_up_times {
                (meta.mtime, meta.ctime) = (entry.meta.mtime, entry.meta.ctime);
            }
            (&old.key, &old.content, old.changed_while_read) == (&entry.key, &entry.content, entry.changed_while_read)
                && old.extensions == entry.extensions
                && meta == entry.meta
        };
        if !self.differs.load(Relaxed) && !self.is_on_the_way(&entry.key) && !parent.is_some_and(equal) {
            self.found_difference();
        }
    }

    /// Whether a key is that of a directory above a source.
    fn is_on_the_way(&self, key: &[u8]) -> bool {
        let path = path_of(key);
        self.paths.iter().any(|source| match source.strip_prefix(path.as_slice()) {
            Some(rest) => !rest.is_empty() && (rest[0] == b'/' || path == b"/"),
            None => false,
        })
    }
}

/// Everything the stages share. Tasks hold it by `Arc`.
pub struct BackupContext {
    /// The store's config.
    pub config: Config,
    /// The store's keys.
    pub ring: Arc<Keyring>,
    /// What the store has.
    pub index: Arc<RwLock<Index>>,
    /// What this session stores and the index does not know yet.
    pub claims: Claims,
    /// A dry run, which gathers no rows, puts its claims aside when there are so many.
    pub claims_max: usize,
    /// This machine's cache of the store, for temporary files.
    pub cache: PathBuf,
    /// What runs that never committed left behind, to be used again.
    pub adoptable: Arc<Adoptable>,
    pub cutter: Cutter,
    /// What to compress with.
    pub compression: Compression,
    /// Nothing is stored.
    pub dry_run: bool,
    /// Permits and memory.
    pub budget: Budget,
    /// Where time goes.
    pub meters: Meters,
    /// The first error.
    pub failure: Failure,
    /// Set from outside to end early.
    pub cancel: Arc<AtomicBool>,
    /// Who is told.
    pub monitor: Arc<dyn Monitor>,
    /// Counts for the summary.
    pub counts: Counts,
    /// Problems and skipped paths.
    pub path_report: Mutex<PathReport>,
    /// Holds what is backed up against the parent, where that is asked for.
    pub comparison: Option<Comparison>,
    /// Keys of directories that the walk did not list to the end. They are marked in the tree once it is built.
    pub not_listed: Mutex<Vec<Vec<u8>>>,
}

impl BackupContext {
    /// Whether the scan must end: the run failed or was told to stop.
    pub fn stopping(&self) -> bool {
        self.failure.is_set() || self.cancel.load(Relaxed)
    }

    /// Whether look-ups find it: the store has it, or this session put it there.
    pub fn in_index(&self, id: &ContentId) -> bool {
        self.index.read().contains(id)
    }

    /// Whether this run must store an id that a look-up in this generation of the claims did not find.
    #[inline]
    pub fn claim(&self, id: ContentId, generation: u64) -> bool {
        self.claims.claim(id, generation, |id| self.in_index(id))
    }

    /// One path could not be read; the run goes on.
    pub fn problem(&self, path: &[u8], message: String) {
        let problem = Problem { path: path.to_vec(), message };
        self.monitor.add(Counter::Problems, 1);
        self.monitor.problem(&problem);
        self.path_report.lock().problem(problem);
    }

    /// A file changed while it was read; what was read of it is stored.
    pub fn changed(&self, path: Vec<u8>) {
        self.counts.changed_while_read.fetch_add(1, Relaxed);
        self.path_report.lock().changed(path);
    }

    /// A directory is not wholly listed; why is told on its own.
    pub fn not_listed(&self, key: Vec<u8>) {
        let mut keys = self.not_listed.lock();
        // Each entry of a directory that cannot be looked at says so: they come one after the other.
        if keys.last() != Some(&key) {
            keys.push(key);
        }
    }

    /// The keys of directories that are not wholly listed, sorted.
    pub fn take_not_listed(&self) -> Vec<Vec<u8>> {
        let mut keys = std::mem::take(&mut *self.not_listed.lock());
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// One path was left out.
    pub fn skipped(&self, path: &[u8], reason: &str) {
        self.path_report.lock().skipped(path, reason);
    }
}
