//! `backup`: one snapshot of a source.

pub use crate::pipeline::backup::BackupError;

use crate::base::id::{ObjectId, hex};
use crate::base::limits::{BLOCK_BYTES, CHUNK_MAX, SESSION_ROWS_MAX};
use crate::base::time::Time;
use crate::chunking::Cutter;
use crate::codec::Compression;
use crate::format::extension::flags_asked;
use crate::format::pack::PackKind;
use crate::format::problems::ProblemList;
use crate::format::segment::SegmentPack;
use crate::format::session::SessionPurpose;
use crate::format::snapshot::Manifest;
use crate::index::Claims;
use crate::monitor::{Counter, Counters, Counting, Monitor, Problem};
use crate::object::writer::PackWriter;
use crate::pipeline::backup::Failure;
use crate::pipeline::backup::budget::Budget;
use crate::pipeline::backup::context::{BackupContext, Comparison, Counts, Meters};
use crate::pipeline::backup::path_report::PathReport;
use crate::pipeline::backup::scan::Trust;
use crate::pipeline::backup::{self, ParentPlan, Sink, Threads, WRITE_BLOCKS};
use crate::source::Source;
use crate::storage::{Area, BlockPool, StorageKey};
use crate::store::session::Session;
use crate::store::snapshots::Snapshot;
use crate::store::{Store, StoreError};
use crate::tree::build::Root;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

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
    /// A file may have another inode number and be unchanged.
    pub ignore_inode: bool,
    /// A file may have another ctime and be unchanged; attributes are then read of each.
    pub ignore_ctime: bool,
    /// Compare with this snapshot; the newest of the same host key, label and paths if not given.
    pub parent: Option<ObjectId>,
    /// Make no snapshot when it would say of its sources what its parent says. What lies above them does not count.
    pub skip_if_unchanged: bool,
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
    /// Rows of the index that gather in memory before a segment of them is written; 0 chooses.
    pub segment_rows: usize,
    /// Set from outside to end the run early: what is durable by then is kept for the next run.
    pub cancel: Arc<AtomicBool>,
}

/// What a backup did.
#[derive(Debug, Clone, Default)]
pub struct BackupStats {
    /// The snapshot; `None` for a dry run, and when it was left out.
    pub snapshot: Option<ObjectId>,
    /// It would have said what its parent says, and was left out.
    pub snapshot_skipped: bool,
    /// The snapshot it was compared with.
    pub parent: Option<ObjectId>,
    /// Entries of any kind.
    pub entries: u64,
    /// Regular files, and their bytes.
    pub files: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Directories in the snapshot.
    pub directories: u64,
    /// Files that the parent does not have.
    pub files_new: u64,
    /// Files that differ from the parent's.
    pub files_changed: u64,
    /// Files that were read again (times differ, or `force`) and found equal to the parent's.
    pub files_equal: u64,
    /// Files taken over from the parent.
    pub files_unchanged: u64,
    /// Bytes read from the source.
    pub bytes_read: u64,
    /// Chunks cut, and those that were new.
    pub chunks: u64,
    /// Chunks that the store did not have.
    pub chunks_novel: u64,
    /// Plaintext bytes of the new chunks.
    pub bytes_novel: u64,
    /// Bytes of data packs written.
    pub bytes_data_stored: u64,
    /// Bytes of everything else written: tree packs, index, manifest, session records.
    pub bytes_metadata_stored: u64,
    /// Packs that were written.
    pub packs: u64,
    /// The most chunks and nodes that were held in memory at a time, since look-ups did not find them yet.
    pub claims_most: usize,
    /// Files that changed while they were read.
    pub changed_while_read: u64,
    /// The first 10,000 of them.
    pub changed_paths: Vec<Vec<u8>>,
    /// No root of the source could be read: no snapshot was made.
    pub nothing_read: bool,
    /// What could not be read: the first 10,000.
    pub problems: Vec<Problem>,
    /// How many there were.
    pub problem_count: u64,
    /// A file that lists all of them, when they are more.
    pub problem_list: Option<std::path::PathBuf>,
    /// What was left out and why: the first 10,000.
    pub skipped: Vec<Problem>,
    /// Wall time of the backup.
    pub duration: Duration,
}

/// Makes one snapshot. `BackupError::Interrupted` when `options.cancel` was set: what was durable by then is used again
/// by the next run.
pub fn run(
    store: &Arc<Store>,
    source: &dyn Source,
    options: &BackupOptions,
    monitor: Arc<dyn Monitor>,
) -> Result<BackupStats, BackupError> {
    let stats = back_up(store, source, options, monitor);
    if !options.dry_run {
        // What the parent's tree was found to lack was stored anew by this run.
        store.record_damage();
    }
    stats
}

fn back_up(
    store: &Arc<Store>,
    source: &dyn Source,
    options: &BackupOptions,
    monitor: Arc<dyn Monitor>,
) -> Result<BackupStats, BackupError> {
    let (clock, started) = (Instant::now(), Time::now());
    let counting = Arc::new(Counting { counters: Counters::default(), next: monitor });
    let paths = source.describe().paths;
    let (session, parent) = begin(store, options, &paths, &*counting)?;
    let mut context = context(store, session.as_ref(), options, counting.clone())?;
    if options.skip_if_unchanged && is_newest(store, options, &paths, parent.as_ref())? {
        context.comparison = Some(Comparison::new(&source.describe()));
    }
    let context = Arc::new(context);
    let plan = parent.as_ref().map(|p| ParentPlan {
        store: store.clone(),
        root: p.manifest.root,
        started: p.manifest.started,
    });
    let sink = session.as_ref().map(|session| sink(store, session, options.compression));
    let root = backup::run(&context, source, plan, trust(options), threads(options), sink)?;
    context.meters.all().iter().for_each(|meter| meter.report(&*counting));
    if let Some(error) = context.failure.take() {
        // It was the source that failed: what is durable by now serves the next run.
        if let (Some(session), BackupError::Source { .. }) = (session, &error) {
            _ = session.end();
        }
        return Err(error);
    }
    if options.cancel.load(Relaxed) {
        if let Some(session) = session {
            session.end()?;
        }
        return Err(BackupError::Interrupted);
    }
    let mut stats = stats(&context, &counting.counters);
    stats.parent = parent.as_ref().map(|p| p.id);
    stats.nothing_read = is_nothing_read(source, &context);
    if stats.nothing_read {
        session.map_or(Ok(()), Session::end)?;
    } else if let (Some(session), Some(root)) = (session, root) {
        if parent.as_ref().is_some_and(|parent| says_the_same(&context, &root, parent, &stats)) {
            session.end()?;
            (stats.snapshot_skipped, stats.duration) = (true, clock.elapsed());
            return Ok(stats);
        }
        let manifest = manifest(&session, options, started, paths, root, &stats);
        let committed = context.meters.commit.work(|| session.commit(manifest))?;
        context.meters.commit.report(&*counting);
        stats.snapshot = Some(committed.snapshot);
        stats.bytes_metadata_stored += committed.overhead_bytes;
    }
    stats.duration = clock.elapsed();
    Ok(stats)
}

/// The session (none for a dry run) and the snapshot to compare with.
fn begin(
    store: &Arc<Store>,
    options: &BackupOptions,
    paths: &[Vec<u8>],
    monitor: &dyn Monitor,
) -> Result<(Option<Session>, Option<Snapshot>), BackupError> {
    store.confirm_ended()?;
    let mut parent = match options.parent {
        Some(id) => Some(store.find_snapshot(&id.to_string())?),
        None => store.find_parent(&options.host, paths)?,
    };
    if let Some(key) = store.other_signer(&options.host)? {
        monitor.note(&format!(
            "the host label {} belongs to another machine in this store, whose key is {}. Other machines will not \
             know the signer of this snapshot: choose another label with --host",
            options.host,
            hex(&key)
        ));
    }
    let session = match options.dry_run {
        true => None,
        false => Some(register(store, options, parent.as_ref().map(|p| p.id))?),
    };
    match &session {
        Some(session) => parent = parent.filter(|p| session.may_use_parent(p)),
        None => {
            let state = store.read_state()?;
            store.look_again(&state)?;
            store.load_index()?;
            store.mistrust_damaged(&state);
        }
    }
    if let Some(parent) = &parent {
        // About as much as last time: a display can say how long it takes.
        monitor.expect(Counter::Files, parent.manifest.totals.files);
        monitor.expect(Counter::Bytes, parent.manifest.totals.bytes);
    }
    if session.is_some() {
        hide_lost_packs(store, monitor)?;
    }
    Ok((session, parent))
}

/// Whether this is the newest snapshot of these sources: only then leaving out an equal one loses nothing.
fn is_newest(
    store: &Store,
    options: &BackupOptions,
    paths: &[Vec<u8>],
    parent: Option<&Snapshot>,
) -> Result<bool, BackupError> {
    let Some(parent) = parent else { return Ok(false) };
    match options.parent {
        None => Ok(true),
        Some(_) => Ok(store.find_parent(&options.host, paths)?.is_some_and(|newest| newest.id == parent.id)),
    }
}

/// Whether a snapshot with this root says of its sources what the parent says, and nothing was stored that only a snapshot
/// keeps in use.
fn says_the_same(context: &BackupContext, root: &Root, parent: &Snapshot, stats: &BackupStats) -> bool {
    let Some(comparison) = &context.comparison else { return false };
    // Each entry has its equal there; as many entries mean that there is no other.
    !comparison.differs.load(Relaxed)
        && root.totals.entries == parent.manifest.totals.entries
        && stats.problem_count == parent.manifest.errors
}

/// Registers the session.
fn register(store: &Arc<Store>, options: &BackupOptions, parent: Option<ObjectId>) -> Result<Session, BackupError> {
    let named = parent.into_iter().collect();
    let session = Session::begin(store.clone(), SessionPurpose::Backup, &options.host, named)?;
    Ok(session.with_rows_max(segment_rows(options)))
}

/// Whether every root failed or was left out, so that there is nothing to be the newest snapshot.
fn is_nothing_read(source: &dyn Source, context: &BackupContext) -> bool {
    let Some(reached) = source.reached() else { return false };
    // Where no directory was reached, the only files are roots.
    reached.others == 0 && reached.files <= context.counts.files_unreadable.load(Relaxed)
}

/// Packs that the index names and the storage lacks, or has in another length: what lay in them counts as unknown, so that
/// it is stored anew as far as the source still has it.
fn hide_lost_packs(store: &Store, monitor: &dyn Monitor) -> Result<(), BackupError> {
    let mut there = HashMap::new();
    for area in [Area::Packs, Area::Trees] {
        store
            .storage
            .list(area, &mut |listed| {
                if let StorageKey::Pack(id) | StorageKey::Tree(id) = listed.key {
                    there.insert(id, listed.len);
                }
            })
            .map_err(StoreError::from)?;
    }
    let mut index = store.index.write();
    let is_lost = |pack: &SegmentPack| there.get(&pack.id) != Some(&u64::from(pack.len));
    let lost: HashSet<ObjectId> = index.packs().iter().filter(|pack| is_lost(pack)).map(|pack| pack.id).collect();
    if !lost.is_empty() {
        let packs = if lost.len() == 1 { "1 pack is".to_string() } else { format!("{} packs are", lost.len()) };
        monitor.note(&format!(
            "{packs} missing or cut short: what lay there is stored anew; `larder check` names what is lost"
        ));
        index.hide_packs(&lost);
    }
    Ok(())
}

fn or(given: usize, default: usize) -> usize {
    if given == 0 { default } else { given }
}

fn segment_rows(options: &BackupOptions) -> usize {
    or(options.segment_rows, SESSION_ROWS_MAX)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

fn threads(options: &BackupOptions) -> Threads {
    Threads { pool: or(options.threads, cores()), readers: or(options.readers, cores().clamp(2, 8)) }
}

fn trust(options: &BackupOptions) -> Trust {
    Trust { force: options.force, ignore_inode: options.ignore_inode, ignore_ctime: options.ignore_ctime }
}

/// What the stages of a backup share. Without a session nothing can be stored: for dry runs, and for measuring stages.
pub fn context(
    store: &Arc<Store>,
    session: Option<&Session>,
    options: &BackupOptions,
    monitor: Arc<dyn Monitor>,
) -> Result<BackupContext, BackupError> {
    let ring = store.ring.clone();
    let cutter = Cutter::new(store.config.chunker, &ring.keys.gear).map_err(|e| StoreError::Config(e.to_string()))?;
    if cutter.params().max as usize > CHUNK_MAX {
        return Err(StoreError::Config(format!("chunks above {CHUNK_MAX} bytes")).into());
    }
    let adoptable = match session {
        Some(session) => session.adoptable()?,
        None => Arc::default(),
    };
    let cache = store.places.store_cache(store.id());
    Ok(BackupContext {
        config: store.config.clone(),
        ring,
        index: store.index.clone(),
        claims: Claims::default(),
        claims_max: segment_rows(options),
        adoptable,
        cutter,
        compression: options.compression,
        dry_run: options.dry_run,
        budget: Budget::new(or(options.batches, 4 + 4 * cores())),
        meters: Meters::default(),
        failure: Failure::default(),
        cancel: options.cancel.clone(),
        monitor,
        counts: Counts::default(),
        path_report: Mutex::new(PathReport::new(cache.join("problems"))),
        cache,
        comparison: None,
        not_listed: Mutex::default(),
    })
}

fn sink<'a>(store: &Arc<Store>, session: &'a Session, compression: Compression) -> Sink<'a> {
    let tree_blocks = BlockPool::new(2, BLOCK_BYTES);
    let pack_bytes = store.config.pack_bytes;
    let (storage, ring) = (store.storage.clone(), store.ring.clone());
    let trees = PackWriter::new(storage, ring, PackKind::Tree, session.id(), pack_bytes, compression, tree_blocks);
    Sink { session, trees, blocks: BlockPool::new(WRITE_BLOCKS, BLOCK_BYTES) }
}

fn stats(context: &BackupContext, counters: &Counters) -> BackupStats {
    let get = |counter| counters.get(counter);
    let metadata = context.counts.metadata_bytes.load(Relaxed);
    let mut report = std::mem::take(&mut *context.path_report.lock());
    let files_equal = context.counts.files_equal.load(Relaxed);
    BackupStats {
        entries: get(Counter::Entries),
        files: get(Counter::Files),
        bytes: get(Counter::Bytes),
        directories: context.counts.directories.load(Relaxed),
        files_new: context.counts.files_new.load(Relaxed),
        files_changed: context.counts.files_changed.load(Relaxed) - files_equal,
        files_equal,
        files_unchanged: get(Counter::FilesUnchanged),
        bytes_read: get(Counter::BytesRead),
        chunks: get(Counter::Chunks),
        chunks_novel: get(Counter::ChunksNovel),
        bytes_novel: get(Counter::BytesNovel),
        bytes_data_stored: get(Counter::BytesStored) - metadata,
        bytes_metadata_stored: metadata,
        packs: get(Counter::Packs),
        claims_most: context.claims.most(),
        changed_while_read: context.counts.changed_while_read.load(Relaxed),
        problem_list: report.finish(),
        problems: report.problems,
        problem_count: report.problem_count,
        skipped: report.skipped,
        changed_paths: report.changed,
        ..BackupStats::default()
    }
}

/// What the snapshot itself says of paths that could not be read and of files that changed meanwhile.
fn problem_list(stats: &BackupStats) -> ProblemList {
    let unread = stats.problems.iter().map(|Problem { path, message }| (path.as_slice(), message.as_str()));
    let changed = stats.changed_paths.iter().map(|path| (path.as_slice(), ""));
    ProblemList::new((stats.problem_count, unread), (stats.changed_while_read, changed))
}

fn manifest(
    session: &Session,
    options: &BackupOptions,
    started: Time,
    paths: Vec<Vec<u8>>,
    root: Root,
    stats: &BackupStats,
) -> Manifest {
    let mut tags = options.tags.clone();
    tags.sort();
    tags.dedup();
    Manifest {
        root: root.id,
        root_level: root.level,
        totals: root.totals,
        session: session.id(),
        host: options.host.clone(),
        user: options.user.clone(),
        paths,
        tags,
        time: options.time.unwrap_or(started),
        started,
        ended: Time::now(),
        errors: stats.problem_count,
        novel_bytes: stats.bytes_novel,
        stored_bytes: stats.bytes_data_stored + stats.bytes_metadata_stored,
        program: concat!("larder ", env!("CARGO_PKG_VERSION")).into(),
        sequence: 0,
        previous: None,
        heads: Vec::new(),
        parent: stats.parent,
        options: options.options.clone(),
        extensions: problem_list(stats).extension().into_iter().chain([flags_asked()]).collect(),
    }
}

#[cfg(test)]
mod memory_tests;
#[cfg(test)]
mod tests;
