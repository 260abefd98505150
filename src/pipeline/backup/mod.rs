//! The backup pipeline: its wiring on one screen.
//!
//! ```text
//! thread   scan ─► read ×n          parent ─► (scan)
//! pool            └► chunk           cut whole files, scan segments of big ones
//! thread              └► select      cuts of big files, in order
//! pool                    └► hash    ids and look-ups
//! thread                      └► dedup ─► tree        claims, in order
//! pool                             └► compress
//! thread                               └► place       offsets, in order
//! pool                                     └► encrypt
//! thread                                       └► write ─► upload
//! ```
//!
//! Each arrow is a bounded channel with one place a permit (see [`budget`]), or a task whose last act is to fill one.

pub mod aside;
pub mod budget;
pub mod chunk;
pub mod compress;
pub mod context;
pub mod path_report;
pub mod dedup;
pub mod encrypt;
pub mod error;
mod grown;
pub mod hash;
pub mod item;
mod mark;
pub mod parent;
pub mod place;
pub mod read;
pub mod scan;
mod state;
pub mod task;
pub mod tree;
pub mod upload;
pub mod write;

pub use error::BackupError;

use crate::object::writer::PackWriter;
use crate::source::Source;
use crate::storage::BlockPool;
use crate::store::session::Session;
use crate::tree::build::Root;
use crate::work::parallel::NoThread;
use context::BackupContext;
use crossbeam_channel::{Sender, bounded};
use std::io;
use std::sync::Arc;
use std::thread;

/// How many threads do what.
#[derive(Debug, Clone, Copy)]
pub struct Threads {
    /// Of each pool.
    pub pool: usize,
    pub readers: usize,
}

/// The pools of the CPU stages, one each: the system's scheduler shares the cores between early and late stages. One
/// pool or two for all of them took about the same time (`docs/experiments.md`, "Tasks and thread pools").
struct Pools {
    cut: rayon::ThreadPool,
    compress: rayon::ThreadPool,
    encrypt: rayon::ThreadPool,
}

impl Pools {
    fn new(threads: usize) -> Result<Pools, BackupError> {
        let pool = |name: &'static str| {
            let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let builder = builder.thread_name(move |i| format!("{name}-{i}"));
            builder.build().map_err(|e| BackupError::NoThread(NoThread(io::Error::other(e))))
        };
        Ok(Pools { cut: pool("cut")?, compress: pool("compress")?, encrypt: pool("encrypt")? })
    }
}

/// Blocks between write and upload: enough for a fsync's time at a fast disk's speed.
pub const WRITE_BLOCKS: usize = 8;

/// What a session of the pipeline writes with.
pub struct Sink<'a> {
    pub session: &'a Session,
    /// Writes tree packs.
    pub trees: PackWriter,
    /// Blocks for data packs.
    pub blocks: BlockPool,
}

/// Runs the pipeline to its end. Without a sink (a dry run) nothing is stored and there is no root.
/// The outcome is in `context`: its failure, its counts.
pub fn run(
    context: &Arc<BackupContext>,
    source: &dyn Source,
    parent: Option<ParentPlan>,
    trust: scan::Trust,
    threads: Threads,
    sink: Option<Sink<'_>>,
) -> Result<Option<Root>, BackupError> {
    let pools = Pools::new(threads.pool)?;
    // A reader's own buffers are on their way too.
    let room = context.budget.permits() + 1 + grown::SPARE_BUFFERS * threads.readers;
    let (scan_out, read_in) = bounded(room);
    let (cut_out, select_in) = bounded(room);
    let (hash_out, dedup_in) = bounded(room);
    let (dedup_out, tree_in) = bounded(room);
    let (compress_out, place_in) = bounded(room);
    let (encrypt_out, write_in) = bounded(room);
    let pools = &pools;
    let root = thread::scope(|scope| {
        let entries = parent.map(|p| p.start(context, scope));
        spawn(scope, context, "scan".into(), move || scan::run(context, source, entries, trust, scan_out));
        for i in 0..threads.readers {
            let (input, output): (_, Sender<item::Batch>) = (read_in.clone(), cut_out.clone());
            let next =
                move |batch| task::spawn(&pools.cut, context, |c| &c.meters.chunk, &output, batch, chunk::cut_batch);
            spawn(scope, context, format!("read-{i}"), move || read::run(context, source, input, &next));
        }
        drop((read_in, cut_out));
        let to_hash =
            move |batch| task::spawn(&pools.cut, context, |c| &c.meters.hash, &hash_out, batch, hash::hash_batch);
        spawn(scope, context, "select".into(), move || chunk::run_select(context, select_in, &to_hash));
        let Some(Sink { session, trees, blocks }) = sink else {
            let give_back = |batch: item::Batch| context.budget.give(batch.buffer);
            dedup::run(context, None, dedup_in, dedup_out, &give_back);
            return None;
        };
        let to_compress = move |batch| {
            task::spawn(
                &pools.compress,
                context,
                |c| &c.meters.compress,
                &compress_out,
                batch,
                compress::compress_batch,
            )
        };
        spawn(scope, context, "dedup".into(), move || {
            dedup::run(context, Some(session), dedup_in, dedup_out, &to_compress)
        });
        let to_encrypt = move |batch| {
            task::spawn(&pools.encrypt, context, |c| &c.meters.encrypt, &encrypt_out, batch, encrypt::encrypt_batch)
        };
        spawn(scope, context, "place".into(), move || place::run(context, session.id(), place_in, &to_encrypt));
        let (block_out, block_in) = bounded(WRITE_BLOCKS + 1);
        let (pool, storage) = (blocks.clone(), session.store().storage.clone());
        spawn(scope, context, "write".into(), move || write::run(context, &pool, write_in, block_out));
        spawn(scope, context, "upload".into(), move || upload::run(context, session, &*storage, &blocks, block_in));
        tree::run(context, session, trees, tree_in)
    });
    Ok(root)
}

/// Starts a named thread; one that cannot be started fails the run.
fn spawn<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    context: &'scope BackupContext,
    name: String,
    run: impl FnOnce() + Send + 'scope,
) {
    if let Err(error) = thread::Builder::new().name(name).spawn_scoped(scope, run) {
        context.failure.set(NoThread(error).into());
    }
}

/// The first error of a backup.
pub type Failure = crate::work::failure::Failure<BackupError>;

/// The parent snapshot to compare with.
pub struct ParentPlan {
    /// The store it lies in.
    pub store: Arc<crate::store::Store>,
    pub root: crate::base::id::ContentId,
    /// When its run began, by the source's clock.
    pub started: crate::base::time::Time,
}

impl ParentPlan {
    fn start<'scope>(
        self,
        context: &'scope Arc<BackupContext>,
        scope: &'scope thread::Scope<'scope, '_>,
    ) -> parent::ParentEntries {
        let (output, input) = bounded(4);
        let store = self.store.clone();
        scope.spawn(move || parent::read(&self.store, self.root, &context.cancel, output));
        parent::ParentEntries::new(store, input, self.started)
    }
}
