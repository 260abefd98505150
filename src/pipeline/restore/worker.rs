//! The threads of a restore, and how a thread does one step.

use super::feed::Feed;
use super::fetch::{fetch, key_of};
use super::item::{Fate, Phase, Piece, Step, Window};
use super::open::Opener;
use super::verify::Verifier;
use super::{Meters, RestoreContext, resume, write};
use crate::destination::Destination;
use crate::format::blob::BlobKind;
use crate::monitor::Counter;
use crate::object::ObjectError;
use crate::tree::blob::PackRange;
use crate::tree::reader::Reader;
use crate::work::parallel::NoThread;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::Scope;
use std::time::Instant;

/// A step on its way to a worker: with the bytes that a reader read for it, or why it could not.
struct Fetched<D: Destination> {
    window: Arc<Window<D>>,
    phase: Phase,
    step: usize,
    sealed: Vec<u8>,
    read: Result<(), ObjectError>,
    /// Which of its pieces are there already.
    present: Vec<bool>,
}

/// Starts the workers, and readers before them if there are to be any.
pub(super) fn spawn<'scope, 'env: 'scope, D: Destination>(
    scope: &'scope Scope<'scope, 'env>,
    context: &'env RestoreContext<'env, D>,
    feed: &'scope Feed<D>,
    meters: &'scope Meters,
) -> Result<(), NoThread> {
    let start = |name: String, work: Box<dyn FnOnce() + Send + 'scope>| {
        let spawned = std::thread::Builder::new().name(name).spawn_scoped(scope, work);
        spawned.map(|_| ()).map_err(NoThread)
    };
    let request = context.request;
    if request.readers == 0 {
        for at in 0..request.workers.max(1) {
            start(format!("restore-{at}"), Box::new(move || Worker::new(context, feed, meters).fused()))?;
        }
        return Ok(());
    }
    let (full, steps) = bounded(request.readers);
    let (empty, buffers) = bounded(2 * request.readers + request.workers);
    for _ in 0..2 * request.readers + request.workers {
        _ = empty.send(Vec::new());
    }
    for at in 0..request.readers {
        let (full, buffers) = (full.clone(), buffers.clone());
        start(format!("fetch-{at}"), Box::new(move || read_ahead(context, feed, meters, &buffers, &full)))?;
    }
    for at in 0..request.workers.max(1) {
        let (steps, empty) = (steps.clone(), empty.clone());
        start(format!("restore-{at}"), Box::new(move || Worker::new(context, feed, meters).staged(&steps, &empty)))?;
    }
    Ok(())
}

/// A reader: steps in, steps with their bytes out.
fn read_ahead<D: Destination>(
    context: &RestoreContext<'_, D>,
    feed: &Feed<D>,
    meters: &Meters,
    buffers: &Receiver<Vec<u8>>,
    full: &Sender<Fetched<D>>,
) {
    loop {
        let start = Instant::now();
        // The buffer first: who holds a step has all it needs.
        let Ok(mut sealed) = buffers.recv() else { return };
        let Some((window, phase, step)) = feed.next() else { return };
        meters.fetch.waited_in(start);
        let (mut read, mut present) = (Ok(()), vec![]);
        if phase == Phase::Restore
            && let Step::Read { pack, offset, len, ref pieces } = window.steps[step]
            && !context.failure.is_set()
        {
            present = resume::present(&window, pieces, context);
            if !resume::all(&present) {
                let pack = &window.packs[pack as usize];
                read = meters.fetch.work(|| fetch(context.store, pack, offset, len, &mut sealed));
            }
        }
        meters.fetch.send(full, Fetched { window, phase, step, sealed, read, present });
    }
}

struct Worker<'a, D: Destination> {
    context: &'a RestoreContext<'a, D>,
    feed: &'a Feed<D>,
    meters: &'a Meters,
    opener: Opener,
    verifier: Verifier,
    /// For chunks that cannot be had where the plan said.
    copies: Option<Reader>,
}

impl<'a, D: Destination> Worker<'a, D> {
    fn new(context: &'a RestoreContext<'a, D>, feed: &'a Feed<D>, meters: &'a Meters) -> Worker<'a, D> {
        Worker { context, feed, meters, opener: Opener::default(), verifier: Verifier::default(), copies: None }
    }

    /// Reads, opens and writes.
    fn fused(mut self) {
        let mut sealed = Vec::new();
        loop {
            let start = Instant::now();
            let Some((window, phase, step)) = self.feed.next() else { return };
            self.meters.open.waited_in(start);
            self.guard(&window, |worker| {
                let (mut read, mut present) = (Ok(()), vec![]);
                if phase == Phase::Restore
                    && let Step::Read { pack, offset, len, ref pieces } = window.steps[step]
                {
                    let context = worker.context;
                    present = resume::present(&window, pieces, context);
                    if !resume::all(&present) {
                        let pack = &window.packs[pack as usize];
                        read = worker.meters.fetch.work(|| fetch(context.store, pack, offset, len, &mut sealed));
                    }
                }
                worker.step(&window, phase, step, &mut sealed, read, &present);
            });
        }
    }

    /// Opens and writes what readers read.
    fn staged(mut self, steps: &Receiver<Fetched<D>>, empty: &Sender<Vec<u8>>) {
        while let Some(fetched) = self.meters.open.recv(steps) {
            let Fetched { window, phase, step, mut sealed, read, present } = fetched;
            self.guard(&window, |worker| worker.step(&window, phase, step, &mut sealed, read, &present));
            _ = empty.try_send(sealed);
        }
    }

    /// Does a step, unless the run is over, and counts it as done in any case.
    fn guard(&mut self, window: &Window<D>, work: impl FnOnce(&mut Self)) {
        if !self.context.is_over() {
            let failure = self.context.failure;
            failure.guard(|| {
                work(self);
                Ok(())
            });
        }
        self.feed.done(window);
    }

    fn step(
        &mut self,
        window: &Window<D>,
        phase: Phase,
        step: usize,
        sealed: &mut [u8],
        read: Result<(), ObjectError>,
        present: &[bool],
    ) {
        if phase == Phase::Check {
            let range = window.check_steps[step].clone();
            let checks = &window.checks[range.start as usize..range.end as usize];
            return self.meters.verify.work(|| self.verifier.verify(window, checks, self.context));
        }
        match &window.steps[step] {
            Step::Ready(range) => self.meters.write.work(|| {
                let ready = &window.ready[range.start as usize..range.end as usize];
                ready.iter().for_each(|ready| write::ready(ready, self.context));
            }),
            Step::Read { pack, offset, pieces, .. } => {
                let pieces = &window.pieces[pieces.start as usize..pieces.end as usize];
                let missing = resume::keep(window, pieces, present, self.context);
                if missing.is_empty() {
                    return;
                }
                let pieces = &*missing;
                let pack = &window.packs[*pack as usize];
                let key = match &read {
                    Ok(()) => key_of(self.context.store, pack),
                    Err(error) => Err(error),
                };
                match key {
                    Ok(key) => {
                        self.context.tally.counts.bytes_read.fetch_add(sealed.len() as u64, Relaxed);
                        self.context.tally.monitor.add(Counter::BytesRead, sealed.len() as u64);
                        self.context.storage_works();
                        let range = PackRange { pack: pack.storage_key, key, offset: *offset, bytes: sealed };
                        self.open_and_write(window, pieces, range);
                    }
                    Err(error) => {
                        if error.is_unreadable() {
                            self.context.storage_failed(pack.storage_key);
                        }
                        pieces.iter().for_each(|piece| self.other_copy(window, piece));
                    }
                }
            }
        }
    }

    fn open_and_write(&mut self, window: &Window<D>, pieces: &[Piece], mut range: PackRange<'_>) {
        let mut lost: Vec<Piece> = Vec::new();
        let (context, meters) = (self.context, self.meters);
        let chunk_key = &context.store.ring.keys.chunk_id;
        let mut mark = Instant::now();
        let mut spent = (std::time::Duration::ZERO, std::time::Duration::ZERO);
        self.opener.open(&mut range, chunk_key, pieces, &mut |run, opened| {
            let opened_at = Instant::now();
            spent.0 += opened_at - mark;
            match opened {
                Ok((plain, at)) => {
                    let file = &window.files[run[0].file as usize];
                    write::write(file, run[0].file_offset, &plain[at], run.len() as u64, context);
                }
                Err(_) => lost.extend_from_slice(run),
            }
            mark = Instant::now();
            spent.1 += mark - opened_at;
        });
        spent.0 += mark.elapsed();
        meters.open.worked(spent.0);
        meters.write.worked(spent.1);
        lost.iter().for_each(|piece| self.other_copy(window, piece));
    }

    /// A chunk that cannot be had where the plan said: read again there, and wherever else a copy lies. What that gives
    /// is the last word: whether it is damaged, or could not be read.
    fn other_copy(&mut self, window: &Window<D>, piece: &Piece) {
        let context = self.context;
        let file = &window.files[piece.file as usize];
        // Of a file that is lost the rest is not read piece by piece.
        if context.is_over() || file.fate() != Fate::Well {
            return write::done(file, 1, context);
        }
        let copies = self.copies.get_or_insert_with(|| Reader::new(context.store.clone(), 1 << 20));
        let error = match copies.read(BlobKind::Chunks, &piece.id) {
            Ok(chunk) if chunk.len() == piece.inner_len as usize => {
                return write::write(file, piece.file_offset, &chunk, 1, context);
            }
            Ok(_) => ObjectError::Mismatch { object: format!("chunk {}", piece.id) }.into(),
            Err(error) => error,
        };
        write::lose(file, &error, context.tally);
        write::done(file, 1, context);
    }
}
