//! The restore pipeline.
//!
//! | stage | takes | gives | runs on | bound |
//! |---|---|---|---|---|
//! | `on_the_way` | the snapshot's directories | links of the target that lie in their places (`--delete`) | the calling thread, before all else | |
//! | [`plan`] | entries in tree order | windows | the calling thread | three windows |
//! | [`fetch`] | a read step | sealed bytes | readers, or workers when there are none | one buffer a step in flight |
//! | [`open`] | sealed bytes | verified chunks | workers | one opened blob a worker |
//! | [`write`] | chunks | files | workers | |
//! | [`verify`] | chunks' ids | | workers | one chunk a worker |
//! | [`finish`] | a window that is done | other names, complete directories | the calling thread | |
//! | [`sweep`] | a directory that is done | what the snapshot lacks is gone (`--delete`) | the calling thread; workers where an entry replaces a directory | |
//!
//! A window is sorted by pack and cut into steps, which workers take in any order; windows overlap, but are finished in
//! order. open and write share a thread: what was just opened is written while it is in that core's cache. No lock is
//! held over I/O, nothing waits for anything but the next step, so one thread of each and one buffer will do.

pub mod item;
pub mod tally;
pub mod rules;
pub mod window;
mod directories;
mod on_the_way;
mod links;
pub mod plan;
pub mod fetch;
pub mod open;
pub mod write;
pub mod finish;
pub mod sweep;
pub mod verify;
mod resume;
mod feed;
pub mod error;
mod worker;

pub use error::RestoreError;
pub use on_the_way::OnTheWay;
pub use rules::Rules;
pub use tally::{RestoreStats, Tally};

use crate::base::id::ContentId;
use crate::base::path::path_of;
use crate::destination::{Destination, Existing, Identity, Node, OwnerNumbers};
use crate::index::Index;
use crate::storage::StorageKey;
use crate::store::{Store, StoreError};
use crate::work::meter::Meter;
use feed::Feed;
use finish::InFlight;
use parking_lot::RwLockReadGuard;
use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Why an entry was left.
const IN_THE_WAY: &str =
    "something else has this name in the target; it was left alone (--overwrite if-changed or always replaces it)";

/// Why an entry with the right content is named.
const ATTRIBUTES_DIFFER: &str =
    "its content is right, but its attributes differ; they were left alone (--overwrite if-changed corrects them)";

/// Why something is not replaced by anything.
const IN_USE: &str = "what is in its place belongs to the store, its cache or its configuration, or this command reads it; it \
                      was left alone (restore into another directory to get what the snapshot has)";

/// So many packs that cannot be read, one after another, end a run.
const FAILING_PACKS_MAX: usize = 32;
/// Why a link to a directory was not followed.
const LINK_LEADS: &str = "a link to a directory of the target, which is not followed where the snapshot has no directory \
                          of this name, or, with --delete, where other entries of the snapshot come to the same directory,";

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

impl Overwrite {
    /// Whether something else in the way is replaced.
    pub fn replaces(self) -> bool {
        matches!(self, Overwrite::IfChanged | Overwrite::Always)
    }
}

/// The first error of a restore.
pub type Failure = crate::work::failure::Failure<RestoreError>;

/// What to restore and how.
pub struct Request {
    /// Root of the snapshot's tree.
    pub root: ContentId,
    /// Key of the part to restore: a directory, whose entries come straight into the destination, or one other entry.
    pub base: Vec<u8>,
    /// Keys of what the snapshot was made of: of the directories above them it has only what leads to them.
    pub sources: Vec<Vec<u8>>,
    /// Which file flags the snapshot knows of every entry.
    pub flags_known: u32,
    /// Which entries of it.
    pub rules: Rules,
    /// Remove from the target what the snapshot lacks there.
    pub delete: bool,
    /// What is never removed or replaced.
    pub never: HashSet<Node>,
    /// The same by path: what is written anew meanwhile is another file.
    pub never_at: HashSet<Vec<u8>>,
    /// Owners by their names, where these are known here.
    pub owners: Option<OwnerNumbers>,
    /// What becomes of what is there.
    pub overwrite: Overwrite,
    pub dry_run: bool,
    /// Read back what was restored, or was right already.
    pub verify: bool,
    /// Worker threads, at least 1.
    pub workers: usize,
    /// Threads that read ahead; 0: the workers read for themselves.
    pub readers: usize,
    /// Set from outside to end the run.
    pub cancel: Arc<AtomicBool>,
}

/// What all stages share.
pub struct RestoreContext<'a, D: Destination> {
    pub store: &'a Arc<Store>,
    /// What to do.
    pub request: &'a Request,
    /// Where to; `None` in a dry run into a folder that is not there.
    pub destination: Option<&'a D>,
    /// Counts and problems.
    pub tally: &'a Tally<'a>,
    /// The first error that ends the run.
    pub failure: &'a Failure,
    /// With `--delete`: which links are followed, and what must stay for them.
    pub on_the_way: OnceLock<OnTheWay>,
    /// Called now and then: renews the lease that keeps the snapshot's data.
    pub keep_alive: &'a (dyn Fn() + Sync),
}

impl<D: Destination> RestoreContext<'_, D> {
    /// Whether the run is to end.
    pub fn is_over(&self) -> bool {
        if self.request.cancel.load(Ordering::Relaxed) {
            self.failure.set(RestoreError::Interrupted);
        }
        self.failure.is_set()
    }

    /// A pack could not be read. That costs the files that need it, and no others; but when the storage is gone, or gives
    /// nothing any more, the run ends with that as its one error.
    fn storage_failed(&self, pack: StorageKey) {
        if !self.storage_is_there() {
            return;
        }
        let failed = self.tally.storage_failed(pack);
        if failed >= FAILING_PACKS_MAX {
            self.failure.set(RestoreError::StorageFails { packs: failed, last: pack });
        }
    }

    /// Ends the run when the storage is gone.
    fn storage_is_there(&self) -> bool {
        let config = StorageKey::Config(self.store.config.number);
        let gone = self.store.storage.head(&config).err();
        gone.map(|error| self.failure.set(StoreError::from(error).into())).is_none()
    }

    /// A pack was read.
    fn storage_works(&self) {
        self.tally.storage_works();
    }

    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.store.index.read()
    }

    /// An entry whose content cannot be written; when nothing more can be, the run ends.
    fn failed(&self, path: Vec<u8>, message: String, error: io::Error) {
        let kind = error.kind();
        let hopeless = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::ReadOnlyFilesystem];
        if hopeless.contains(&kind) {
            let path = String::from_utf8_lossy(&path).into_owned();
            self.failure.set(RestoreError::Target { what: "write", path, source: error });
        } else {
            self.tally.problem(path, message);
        }
    }

    /// Whether what lies in the target is never replaced, since this command or the store needs it as it is.
    fn is_in_use(&self, existing: &Existing) -> bool {
        let Identity { device, inode } = existing.identity;
        !self.request.never.is_empty() && self.request.never.contains(&(device, inode))
    }

    /// Whether an entry of the target must stay, since a link on the way needs it.
    fn keeps_for_links(&self, node: Node, path: &[u8]) -> bool {
        self.on_the_way.get().is_some_and(|links| links.keeps(node, path))
    }

    fn display(&self, key: &[u8]) -> String {
        String::from_utf8_lossy(&path_of(key)).into_owned()
    }
}

/// The times of each stage.
struct Meters {
    plan: Meter,
    fetch: Meter,
    open: Meter,
    write: Meter,
    verify: Meter,
    finish: Meter,
}

/// Restores. Problems of single entries are in the tally; an error ends the run, and half-written files are removed.
pub fn run<D: Destination>(context: &RestoreContext<'_, D>) -> Result<(), RestoreError> {
    let meters = Meters {
        plan: Meter::new("plan"),
        fetch: Meter::new("fetch"),
        open: Meter::new("open"),
        write: Meter::new("write"),
        verify: Meter::new("verify"),
        finish: Meter::new("finish"),
    };
    let (feed, windows, done) = Feed::new();
    let request = context.request;
    context.failure.guard(|| {
        let found = on_the_way::find(context)?;
        _ = context.on_the_way.set(found);
        Ok(())
    });
    let mut in_flight = InFlight::new(context, &meters, windows, done);
    std::thread::scope(|scope| {
        if !request.dry_run
            && let Err(error) = worker::spawn(scope, context, &feed, &meters)
        {
            context.failure.set(error.into());
        }
        let start = Instant::now();
        if !context.is_over() {
            context.failure.guard(|| plan::plan(context, &mut |window| in_flight.send(window)));
        }
        meters.plan.worked(start.elapsed().saturating_sub(in_flight.aside));
        in_flight.end();
    });
    in_flight.abandon();
    if let Some(destination) = context.destination {
        if !request.dry_run {
            destination.settle();
        }
        context.tally.settle(|part| destination.took(part));
    }
    let Meters { plan, fetch, open, write, verify, finish } = &meters;
    for meter in [plan, fetch, open, write, verify, finish] {
        meter.report(context.tally.monitor);
    }
    match context.failure.take() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}
