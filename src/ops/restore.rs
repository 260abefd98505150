//! `restore`: writes a snapshot, or a part of one, to a folder or to any other target.

mod folder;

pub use crate::destination::fs::Ownership as Owners;
pub use crate::pipeline::restore::{Overwrite, RestoreError, RestoreStats};

use crate::base::path::{key_of, path_of};
use crate::destination::{Destination, OwnerNumbers, Target};
use crate::format::extension::known_flags;
use crate::format::session::SessionPurpose;
use crate::format::tree::EntryKind;
use crate::monitor::{Counter, Monitor};
use crate::ops::list::LIST_CACHE_BYTES;
use crate::pipeline::restore::{Failure, Request, RestoreContext, Rules, Tally, run as run_pipeline};
use crate::store::Store;
use crate::store::session::Session;
use crate::store::snapshots::Snapshot;
use crate::store::trust::Authenticity;
use crate::tree::place::entry_at;
use crate::tree::reader::Reader;
use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

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
    /// Only what these patterns match (`.gitignore` syntax, of any bytes; one with a slash begins at `path`, `/a` can also
    /// be a whole path), and what lies below.
    pub include: Vec<OsString>,
    /// Leave out what these match, and what lies below.
    pub exclude: Vec<OsString>,
    /// Only these paths of the snapshot, and what lies below them: absolute, or relative to `path`.
    pub list: Option<Vec<Vec<u8>>>,
    /// Remove from the target what the snapshot lacks there: below its sources and within the selection only.
    pub delete: bool,
    /// What `delete` never removes and `overwrite` never replaces, by device and inode: the store, and what belongs to this program.
    pub never: HashSet<(u64, u64)>,
    /// The same by their paths, without links: what is written anew meanwhile is another file.
    pub never_at: HashSet<Vec<u8>>,
    /// What becomes of entries that are there already.
    pub overwrite: Overwrite,
    /// Whose the restored files shall be.
    pub owners: Owners,
    /// Owners by their names; by number where a name is not known here.
    pub owners_by_name: bool,
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
    /// Threads that read ahead; 0: the workers read for themselves, which is fastest from local disks.
    pub readers: usize,
    /// Set from outside to end the run early: half-written files are removed.
    pub cancel: Arc<AtomicBool>,
}

/// Restores into the folder `options.target`. `RestoreError::Interrupted` when `options.cancel` was set. A damaged blob costs
/// only the files that hold it.
pub fn run(store: &Arc<Store>, options: &RestoreOptions, monitor: &dyn Monitor) -> Result<RestoreStats, RestoreError> {
    run_to(&folder::Folder::of(options), store, options, monitor)
}

/// Restores into any target, as [`run`] does into a folder. `options.target`, `owners` and `no_xattrs` are of folders and
/// mean nothing here.
pub fn run_to(
    target: &impl Target,
    store: &Arc<Store>,
    options: &RestoreOptions,
    monitor: &dyn Monitor,
) -> Result<RestoreStats, RestoreError> {
    let start = Instant::now();
    let base = key_of(&options.path).map_err(|e| RestoreError::Refused(format!("{}: {e}", display(&options.path))))?;
    let rules = rules(&path_of(&base), options)?;
    let snapshot = store.find_snapshot(&options.snapshot)?;
    let tally = Tally::new(monitor);
    doubt(&snapshot, &tally);
    if base.is_empty() && rules.take_all() {
        expect(&snapshot, monitor);
    }
    let lease = Lease::begin(store, options, &snapshot, monitor)?;
    // Nothing is made for a path that is not there.
    let opened = look_up(store, &snapshot, &base, options.delete)
        .and_then(|()| target.open(options.dry_run).map_err(|e| target_error("open the target", target, e)));
    let destination = match opened {
        Ok(destination) => destination,
        Err(error) => {
            lease.end(monitor);
            return Err(error);
        }
    };
    let request = request(&snapshot, base, rules, &tally, options);
    let context = RestoreContext {
        store,
        request: &request,
        destination: destination.as_ref(),
        tally: &tally,
        failure: &Failure::default(),
        on_the_way: OnceLock::new(),
        keep_alive: &|| lease.keep_alive(),
    };
    let done = run_pipeline(&context);
    if !options.dry_run {
        store.record_damage();
    }
    lease.end(monitor);
    done?;
    let unmet = "the list names this path, and the snapshot does not have it";
    request.rules.unmet().into_iter().for_each(|path| tally.problem(path, unmet.into()));
    request.rules.remarks().iter().for_each(|remark| monitor.note(remark));
    if let Some(destination) = &destination {
        destination.notes().iter().for_each(|note| monitor.note(note));
        if options.sync && !options.dry_run {
            destination.sync().map_err(|e| target_error("flush", target, e))?;
        }
    }
    let mut stats = tally.stats();
    let count = stats.changed_while_read;
    if count > 0 {
        monitor.note(&format!("files that changed while they were backed up, restored as they were read: {count}"));
    }
    stats.snapshot = Some(snapshot.id);
    stats.duration = start.elapsed();
    Ok(stats)
}

/// What the pipeline is asked for.
fn request(snapshot: &Snapshot, base: Vec<u8>, rules: Rules, tally: &Tally<'_>, options: &RestoreOptions) -> Request {
    Request {
        root: snapshot.manifest.root,
        base,
        sources: sources(snapshot),
        flags_known: known_flags(&snapshot.manifest.extensions),
        rules,
        delete: options.delete && is_trusted(snapshot, tally, options),
        never: options.never.clone(),
        never_at: options.never_at.clone(),
        owners: options.owners_by_name.then(OwnerNumbers::default),
        overwrite: options.overwrite,
        dry_run: options.dry_run,
        verify: options.verify,
        workers: if options.threads > 0 { options.threads } else { cores() },
        readers: options.readers,
        cancel: options.cancel.clone(),
    }
}

/// How much a whole snapshot is.
fn expect(snapshot: &Snapshot, monitor: &dyn Monitor) {
    let totals = &snapshot.manifest.totals;
    monitor.expect(Counter::Entries, totals.entries);
    monitor.expect(Counter::Files, totals.files);
    monitor.expect(Counter::Bytes, totals.bytes);
}

/// What is chosen by patterns and lists.
fn rules(base: &[u8], options: &RestoreOptions) -> Result<Rules, RestoreError> {
    if options.delete && options.overwrite == Overwrite::Never {
        let why = "--delete cannot be combined with --overwrite never";
        return Err(RestoreError::Refused(why.into()));
    }
    let rules = Rules::new(base, &options.include, &options.exclude)?;
    Ok(match &options.list {
        Some(list) => rules.with_list(listed(base, list)?),
        None => rules,
    })
}

/// What is restored is as good as the snapshot's signature.
fn doubt(snapshot: &Snapshot, tally: &Tally<'_>) {
    let message = match &snapshot.authenticity {
        Authenticity::Authentic | Authenticity::PinnedNow => return,
        Authenticity::UnknownSigner => {
            return tally.monitor.note("the snapshot is signed by a key this machine does not know");
        }
        Authenticity::Unsigned => return tally.monitor.note("the snapshot is not signed"),
        Authenticity::Tampered => "the snapshot's signature does not fit: it is not what its host made".to_string(),
        Authenticity::InDoubt { reason } => format!("whether the snapshot was committed is in doubt: {reason}"),
        Authenticity::Incomplete { missing } => format!("a part of the snapshot is missing: {missing}"),
    };
    tally.counts.damaged_ranges.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    tally.problem(b"/".to_vec(), message);
}

/// Whether there is something to restore. The root is not asked for: where its leaf is damaged the rest is restored.
fn look_up(store: &Arc<Store>, snapshot: &Snapshot, base: &[u8], delete: bool) -> Result<(), RestoreError> {
    if base.is_empty() {
        return Ok(());
    }
    let mut reader = Reader::new(store.clone(), LIST_CACHE_BYTES);
    let entry = entry_at(&mut reader, snapshot, &path_of(base))?;
    if delete && entry.meta.kind != EntryKind::Directory {
        let path = display(&path_of(base));
        return Err(RestoreError::Refused(format!(
            "{path:?} is not a directory, and --delete works only on directories"
        )));
    }
    Ok(())
}

/// Paths of a list as absolute ones of the snapshot; one that lies outside of what is restored is refused.
fn listed(base: &[u8], list: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, RestoreError> {
    let absolute = |path: &Vec<u8>| {
        let joined = if path.first() == Some(&b'/') { path.clone() } else { [base, b"/", path].concat() };
        // As a person or `find .` writes it.
        let parts = joined.split(|&b| b == b'/').filter(|part| !part.is_empty() && *part != b".");
        let normal: Vec<u8> = parts.flat_map(|part| [b"/", part].concat()).collect();
        let normal = if normal.is_empty() { b"/".to_vec() } else { normal };
        let refused = |why: String| RestoreError::Refused(format!("{:?} in the list: {why}", display(path)));
        key_of(&normal).map_err(|e| refused(e.to_string()))?;
        let below =
            base == b"/" || normal.strip_prefix(base).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')));
        if below {
            Ok(normal)
        } else {
            Err(refused(format!("it is not below {:?}, which is what is restored", display(base))))
        }
    };
    list.iter().map(absolute).collect()
}

/// Keys of what the snapshot was made of.
fn sources(snapshot: &Snapshot) -> Vec<Vec<u8>> {
    snapshot.manifest.paths.iter().filter_map(|path| key_of(path).ok()).collect()
}

/// Whether what the snapshot lacks may be removed: only by one that is what its host made.
fn is_trusted(snapshot: &Snapshot, tally: &Tally<'_>, options: &RestoreOptions) -> bool {
    let doubtful = matches!(
        snapshot.authenticity,
        Authenticity::Tampered | Authenticity::InDoubt { .. } | Authenticity::Incomplete { .. }
    );
    if doubtful && options.delete {
        tally.monitor.note("nothing is deleted, since the snapshot is in doubt");
    }
    !doubtful
}

fn target_error(what: &'static str, target: &impl Target, source: io::Error) -> RestoreError {
    RestoreError::Target { what, path: target.name(), source }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

fn display(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// Keeps the snapshot's data from being deleted while it is read, where this user may write to the store.
struct Lease(Option<Session>);

impl Lease {
    fn begin(
        store: &Arc<Store>,
        options: &RestoreOptions,
        snapshot: &Snapshot,
        monitor: &dyn Monitor,
    ) -> Result<Lease, RestoreError> {
        if !options.dry_run {
            let begun = Session::begin(store.clone(), SessionPurpose::Read, &options.host, vec![snapshot.id]);
            // A store that is read-only for this user restores all the same; anything else shows again when it is read.
            match begun {
                Ok(session) => return Ok(Lease(Some(session))),
                Err(error) => monitor.note(&format!(
                    "larder could not write a lease to the store, so others may delete the snapshot's data during \
                     this restore: {error}"
                )),
            }
        }
        store.load_index()?;
        Ok(Lease(None))
    }

    fn keep_alive(&self) {
        if let Some(session) = &self.0 {
            // One that fails is tried again; the grace period is longer than any pause that matters.
            _ = session.checkpoint(false);
        }
    }

    fn end(self, monitor: &dyn Monitor) {
        if let Some(session) = self.0
            && let Err(error) = session.end()
        {
            monitor.note(&format!("the lease of this restore could not be ended, and will expire by itself: {error}"));
        }
    }
}

#[cfg(test)]
mod link_tests;
#[cfg(test)]
mod tests;
