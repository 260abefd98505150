//! Counts what a restore does, and collects the problems that it meets.

use crate::base::id::ObjectId;
use crate::base::limits::SOURCE_ERRORS_MAX;
use crate::destination::{Loss, Losses, Part};
use crate::monitor::{Counter, Monitor, Problem};
use crate::storage::StorageKey;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What a restore did (or, in a dry run, would do).
#[derive(Debug, Clone, Default)]
pub struct RestoreStats {
    /// The snapshot that was restored.
    pub snapshot: Option<ObjectId>,
    /// Entries of any kind that were selected.
    pub entries: u64,
    /// Regular files written, and their bytes (holes included).
    pub files: u64,
    /// Bytes of the files that were written.
    pub bytes: u64,
    /// Directories made or brought up to date.
    pub directories: u64,
    /// Symbolic links that were made.
    pub symlinks: u64,
    /// Further names of files with several (hard links).
    pub hard_links: u64,
    /// FIFOs, sockets, device nodes.
    pub specials: u64,
    /// Files (and other entries) that were right already, and the files' bytes.
    pub unchanged: u64,
    /// Bytes of the files that were right already.
    pub bytes_unchanged: u64,
    /// Existing entries left as they are.
    pub left: u64,
    /// Entries of the target removed since the snapshot lacks them.
    pub deleted: u64,
    /// Entries that the snapshot holds without their content, since the backup could not read them.
    pub unreadable: u64,
    /// Entries stored while they changed; they are restored as they were read.
    pub changed_while_read: u64,
    /// Bytes read from packs.
    pub bytes_read: u64,
    /// Files read back and found equal.
    pub verified: u64,
    /// Entries looked at again and found different, or not readable; each is a problem too.
    pub differing: u64,
    /// Files lost to damage in the store. Not 0: the store needs a check.
    pub damaged: u64,
    /// Parts of the tree that cannot be read: what lay there is not even known.
    pub damaged_ranges: u64,
    /// Files and parts of the tree that the storage failed to give: whether they are whole is not known.
    pub store_unreadable: u64,
    /// What went wrong, damage included: the first 10,000.
    pub problems: Vec<Problem>,
    /// How many there were.
    pub problem_count: u64,
    /// Wall time of the restore.
    pub duration: Duration,
}

impl RestoreStats {
    /// Whether something was lost to damage in the store.
    pub fn is_damaged(&self) -> bool {
        self.damaged + self.damaged_ranges > 0
    }
}

macro_rules! counts {
    ($($name:ident),*) => {
        /// The counts of [`RestoreStats`], from any thread.
        #[derive(Debug, Default)]
        #[allow(missing_docs, reason = "as in RestoreStats")]
        pub struct Counts {
            $(pub $name: AtomicU64,)*
        }

        impl Counts {
            fn fill(&self, stats: &mut RestoreStats) {
                $(stats.$name = self.$name.load(Relaxed);)*
            }
        }
    };
}
counts!(
    entries,
    files,
    bytes,
    directories,
    symlinks,
    hard_links,
    specials,
    unchanged,
    bytes_unchanged,
    left,
    deleted,
    unreadable,
    changed_while_read,
    bytes_read,
    verified,
    differing,
    damaged,
    damaged_ranges,
    store_unreadable
);

/// Counts and problems of one restore.
pub struct Tally<'a> {
    /// Hears of everything.
    pub monitor: &'a dyn Monitor,
    pub counts: Counts,
    problems: Mutex<(Vec<Problem>, u64)>,
    absent: Mutex<HashSet<Vec<u8>>>,
    losses: Mutex<Vec<(Vec<u8>, Losses)>>,
    lost_more: AtomicU64,
    /// Packs that the storage failed to give, one after another, none read between them.
    failing: Mutex<HashSet<StorageKey>>,
    /// Whether there are some.
    is_failing: AtomicBool,
}

pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl<'a> Tally<'a> {
    pub fn new(monitor: &'a dyn Monitor) -> Tally<'a> {
        Tally {
            monitor,
            counts: Counts::default(),
            problems: Mutex::default(),
            absent: Mutex::default(),
            losses: Mutex::default(),
            lost_more: AtomicU64::new(0),
            failing: Mutex::default(),
            is_failing: AtomicBool::new(false),
        }
    }

    /// One path went wrong.
    pub fn problem(&self, path: Vec<u8>, message: String) {
        self.monitor.add(Counter::Problems, 1);
        let problem = Problem { path, message };
        self.monitor.problem(&problem);
        let (kept, count) = &mut *self.problems.lock();
        *count += 1;
        if kept.len() < SOURCE_ERRORS_MAX {
            kept.push(problem);
        }
    }

    /// What an entry had to do without. Whether that is a problem, or nothing that the destination could do for any
    /// entry, is known at the end.
    pub fn lost(&self, path: impl FnOnce() -> Vec<u8>, losses: Losses) {
        if losses.is_empty() {
            return;
        }
        let mut kept = self.losses.lock();
        if kept.len() < SOURCE_ERRORS_MAX { kept.push((path(), losses)) } else { count(&self.lost_more) }
    }

    /// Names what entries had to do without: each entry, but what the destination took of none is only noted.
    pub fn settle(&self, took: impl Fn(&Part) -> bool) {
        let mut never: BTreeMap<String, (u64, String)> = BTreeMap::new();
        let mut losses = std::mem::take(&mut *self.losses.lock());
        losses.sort_by(|a, b| a.0.cmp(&b.0));
        for (path, losses) in losses {
            let (noted, named): (Losses, Losses) = losses.into_iter().partition(|l| l.refused && !took(&l.part));
            for loss in noted {
                let first = || format!("{}, {}", String::from_utf8_lossy(&path), loss.error);
                never.entry(loss.part.class()).or_insert_with(|| (0, first())).0 += 1;
            }
            if !named.is_empty() {
                let parts: Vec<_> = named.iter().map(Loss::to_string).collect();
                self.problem(path, format!("restored without {}", parts.join(", ")));
            }
        }
        for (class, (count, first)) in never {
            self.monitor.note(&format!("{class} cannot be set by this user in this target: {count} (first {first})"));
        }
        let more = self.lost_more.load(Relaxed);
        if more > 0 {
            self.problem(b"/".to_vec(), format!("{more} more entries were restored without some of their attributes"));
        }
    }

    /// A file that does not lie in the destination as the snapshot has it: nothing to verify.
    pub fn absent(&self, path: Vec<u8>) {
        let mut absent = self.absent.lock();
        if absent.len() < SOURCE_ERRORS_MAX {
            absent.insert(path);
        }
    }

    /// The storage failed to give a pack; how many failed since one was read.
    pub fn storage_failed(&self, pack: StorageKey) -> usize {
        self.is_failing.store(true, Relaxed);
        let mut failing = self.failing.lock();
        failing.insert(pack);
        failing.len()
    }

    /// A pack was read.
    pub fn storage_works(&self) {
        if self.is_failing.swap(false, Relaxed) {
            self.failing.lock().clear();
        }
    }

    pub fn stats(&self) -> RestoreStats {
        let mut stats = RestoreStats::default();
        self.counts.fill(&mut stats);
        let (kept, count) = &*self.problems.lock();
        (stats.problems, stats.problem_count) = (kept.clone(), *count);
        stats
    }
}
