//! Each kernel alone: the pipeline's own function over all batches, on a pool of one thread or of one a core.

use super::hasher::Hasher;
use super::input::{CodecInput, Input, done, fs_source};
use super::lookup::Lookup;
use super::storing::Storing;
use crate::base::id::ContentId;
use crate::codec::Decompressor;
use crate::crypto::lanes::ManyHasher;
use crate::format::blob::{BlobHeader, BlobKind, NONCE_TAIL_LEN, TAG_LEN};
use crate::harness::BenchError;
use crate::pipeline::backup::BackupError;
use crate::pipeline::backup::context::BackupContext;
use crate::pipeline::backup::item::{Batch, Buffer, PlacedBatch, Plan};
use crate::pipeline::backup::{chunk, compress, dedup, encrypt, hash, read};
use crate::source::fs::{FsOptions, FsSource, ReadMode};
use crate::source::{Source, Walked};
use crate::work::failure::WorkerPanic;
use blake3::platform::Platform;
use rayon::prelude::*;
use std::cell::RefCell;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A kernel. Codecs by their place in [`Input::codecs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "`name` and the documentation say it")]
pub enum Kernel {
    Walk,
    Files,
    Read,
    Cut,
    Select,
    Hash,
    Miss,
    Hit,
    Claim,
    Compress(usize),
    Decompress(usize),
    Seal,
    Open,
    Pack,
    Store,
    Fetch,
}

/// What a kernel works through in one round.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Load {
    /// Bytes, where its speed is counted in bytes.
    pub bytes: u64,
    /// Entries, files, chunks, blobs.
    pub items: u64,
}

/// Everything that the kernels take.
pub struct Bench {
    pub data: PathBuf,
    /// How it is read.
    pub read: ReadMode,
    /// What lies between the stages.
    pub input: Input,
    /// The index to look things up in.
    pub lookup: Lookup,
    /// Where packs go.
    pub storing: Storing,
    /// Entries that a walk of all the data gives.
    pub walked: u64,
    /// The path to hash on, where it is not the one that the engine takes.
    pub hash_on: Option<Platform>,
}

impl Kernel {
    /// What it is called.
    pub fn name(self, input: &Input) -> String {
        let codec = |at: usize| input.codecs[at].compression;
        match self {
            Kernel::Walk => "walk".into(),
            Kernel::Files => "open and close files".into(),
            Kernel::Read => "read".into(),
            Kernel::Cut => "chunk: cut and scan".into(),
            Kernel::Select => "chunk: select".into(),
            Kernel::Hash => "hash".into(),
            Kernel::Miss => "look-up, miss".into(),
            Kernel::Hit => "look-up, hit".into(),
            Kernel::Claim => "claim".into(),
            Kernel::Compress(at) => format!("compress {}", codec(at)),
            Kernel::Decompress(at) => format!("decompress {}", codec(at)),
            Kernel::Seal => "seal".into(),
            Kernel::Open => "open".into(),
            Kernel::Pack => "pack".into(),
            Kernel::Store => "store".into(),
            Kernel::Fetch => "fetch".into(),
        }
    }

    /// The code it runs, as [`super::path`] names kernels.
    pub fn paths(self, input: &Input) -> &'static [&'static str] {
        match self {
            Kernel::Cut | Kernel::Select => &["gear"],
            Kernel::Hash | Kernel::Pack => &["blake3"],
            Kernel::Compress(at) | Kernel::Decompress(at) => match input.codecs[at].compression {
                crate::codec::Compression::Lz4 => &["lz4"],
                crate::codec::Compression::Zstd(_) => &["zstd"],
                crate::codec::Compression::None => &[],
            },
            Kernel::Seal | Kernel::Open => &["aead", "chacha20", "poly1305"],
            _ => &[],
        }
    }

    /// One thread does it in the pipeline, in order: it is not measured on all cores.
    pub fn is_ordered(self) -> bool {
        matches!(self, Kernel::Select | Kernel::Claim | Kernel::Pack | Kernel::Store)
    }
}

impl Bench {
    /// The kernels that have something to do with this data, in the order of the pipeline.
    pub fn kernels(&self) -> Vec<Kernel> {
        let codecs = 0..self.input.codecs.len();
        let mut all = vec![Kernel::Walk, Kernel::Files, Kernel::Read, Kernel::Cut, Kernel::Select, Kernel::Hash];
        all.extend([Kernel::Miss, Kernel::Hit, Kernel::Claim]);
        all.extend(codecs.clone().map(Kernel::Compress));
        all.extend([Kernel::Seal, Kernel::Pack, Kernel::Store, Kernel::Fetch, Kernel::Open]);
        all.extend(codecs.map(Kernel::Decompress));
        all.retain(|kernel| self.load(*kernel) != Load::default());
        all
    }

    /// The codec whose blobs are sealed and packed.
    pub fn chosen(&self) -> usize {
        self.input.codecs.len() - 1
    }

    /// What one round of a kernel works through.
    pub fn load(&self, kernel: Kernel) -> Load {
        let shape = &self.input.shape;
        let codec = &self.input.codecs[self.chosen()];
        let load = |bytes, items| Load { bytes, items };
        match kernel {
            Kernel::Walk => load(0, self.walked),
            Kernel::Files => load(0, self.small_files()),
            Kernel::Read => load(shape.bytes, shape.files),
            Kernel::Cut => load(shape.scanned, 0),
            Kernel::Select => load(shape.big, 0),
            Kernel::Hash => load(shape.hashed, shape.chunks),
            Kernel::Miss | Kernel::Hit => load(0, self.lookup.len()),
            Kernel::Claim => load(0, shape.chunks),
            Kernel::Compress(at) | Kernel::Decompress(at) => load(shape.new, self.input.codecs[at].blobs()),
            Kernel::Seal | Kernel::Open | Kernel::Pack => load(codec.bytes(), codec.blobs()),
            Kernel::Store | Kernel::Fetch => load(self.storing.bytes(), 0),
        }
    }

    fn small_files(&self) -> u64 {
        let entries = self.input.batches.iter().flat_map(|batch| &batch.entries);
        entries.filter(|entry| matches!(entry.plan, Plan::Read)).count() as u64
    }

    /// Runs a kernel once. What it needs is made ready before the clock starts, what it changed is put back after.
    pub fn run(&mut self, kernel: Kernel, pool: &rayon::ThreadPool) -> Result<Duration, BenchError> {
        self.ready(kernel)?;
        let taken = self.timed(kernel, pool)?;
        match kernel {
            Kernel::Cut | Kernel::Select | Kernel::Hash | Kernel::Claim => self.input.restore_chunks(),
            Kernel::Seal | Kernel::Open => {
                let chosen = self.chosen();
                self.input.codecs[chosen].sealed = kernel == Kernel::Seal;
            }
            _ => {}
        }
        done(&self.input.context)?;
        Ok(taken)
    }

    fn ready(&mut self, kernel: Kernel) -> Result<(), BenchError> {
        match kernel {
            Kernel::Cut | Kernel::Select => {
                for batch in &mut self.input.batches {
                    batch.buffer.chunks.clear();
                }
            }
            Kernel::Claim => {
                let ids = self.input.chunks.iter().flatten().map(|chunk| chunk.id);
                self.input.context.claims.release(ids);
                self.input.unclaim();
            }
            Kernel::Compress(_) => self.input.batches.iter_mut().for_each(|batch| batch.buffer.blobs.clear()),
            Kernel::Fetch => self.storing.keep()?,
            Kernel::Seal => set_sealed(self.input.codecs.last_mut(), false)?,
            Kernel::Open => set_sealed(self.input.codecs.last_mut(), true)?,
            Kernel::Decompress(at) => set_sealed(self.input.codecs.get_mut(at), false)?,
            _ => {}
        }
        Ok(())
    }

    fn timed(&mut self, kernel: Kernel, pool: &rayon::ThreadPool) -> Result<Duration, BenchError> {
        let chosen = self.chosen();
        let Input { source, context, batches, codecs, .. } = &mut self.input;
        let (context, source): (&BackupContext, &FsSource) = (context, source);
        let hash_on = self.hash_on;
        match kernel {
            Kernel::Walk => return walk(&self.data, self.read, pool.current_num_threads()).map(|(taken, _)| taken),
            Kernel::Files => on(pool, batches, |batch| open_files(source, batch)),
            Kernel::Read => on(pool, batches, |batch| {
                read::read_batch(context, source, batch);
                Ok(())
            }),
            Kernel::Cut => on(pool, batches, |batch| chunk::cut_batch(context, batch)),
            Kernel::Select => {
                let mut carry = chunk::Carry::default();
                Ok(clocked(|| batches.iter_mut().for_each(|batch| chunk::select(context, &mut carry, batch))))
            }
            Kernel::Hash => on(pool, batches, |batch| match hash_on {
                None => hash::hash_batch(context, batch),
                Some(platform) => hash_batch_on(platform, context, batch),
            }),
            Kernel::Miss => return self.lookup.run(pool, false),
            Kernel::Hit => return self.lookup.run(pool, true),
            Kernel::Claim => {
                let mut adopted = Vec::new();
                Ok(clocked(|| batches.iter_mut().for_each(|batch| dedup::claim(context, batch, &mut adopted))))
            }
            Kernel::Compress(at) => {
                let context = &codecs[at].context;
                on(pool, batches, |batch| compress::compress_batch(context, batch))
            }
            Kernel::Decompress(at) => on(pool, &mut codecs[at].placed, decompress),
            Kernel::Seal => on(pool, &mut codecs[chosen].placed, |batch| encrypt::encrypt_batch(context, batch)),
            Kernel::Open => on(pool, &mut codecs[chosen].placed, open),
            Kernel::Pack => return self.storing.pack(&codecs[chosen].placed),
            Kernel::Store => return self.storing.store(),
            Kernel::Fetch => return self.storing.fetch(pool),
        }
        .map_err(BenchError::from)
    }
}

fn clocked(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// The work on every item, each a task.
fn on<T: Send>(
    pool: &rayon::ThreadPool,
    items: &mut [T],
    work: impl Fn(&mut T) -> Result<(), BackupError> + Sync + Send,
) -> Result<Duration, BackupError> {
    pool.install(|| {
        let start = Instant::now();
        items.par_iter_mut().with_max_len(1).try_for_each(work)?;
        Ok(start.elapsed())
    })
}

/// Walks all of the data; gives the entries, too.
pub fn walk(data: &Path, read: ReadMode, threads: usize) -> Result<(Duration, u64), BenchError> {
    let options = FsOptions { roots: vec![data.to_path_buf()], read, threads, ..FsOptions::default() };
    let source = FsSource::new(options).map_err(BenchError::io("read", data))?;
    let (start, mut entries) = (Instant::now(), 0);
    let walked = source.walk(&mut |walked| {
        entries += u64::from(matches!(walked, Walked::Entry(_)));
        true
    });
    walked.map_err(BenchError::io("walk", data))?;
    Ok((start.elapsed(), entries))
}

/// What each file costs before and after its bytes.
fn open_files(source: &FsSource, batch: &Batch) -> Result<(), BackupError> {
    for entry in batch.entries.iter().filter(|entry| matches!(entry.plan, Plan::Read)) {
        let opened = source.open(&entry.found).and_then(|file| Ok((file.fingerprint()?, file.xattrs()?)));
        black_box(opened.map_err(|source| BackupError::Source {
            what: "open",
            path: String::from_utf8_lossy(&crate::base::path::path_of(&entry.found.key)).into_owned(),
            source,
        })?);
    }
    Ok(())
}

thread_local! {
    static HASHERS: RefCell<Option<(Platform, ManyHasher, Hasher)>> = const { RefCell::new(None) };
}

/// As the pipeline's, on a chosen path: small contents side by side, large ones each by itself.
fn hash_batch_on(platform: Platform, context: &BackupContext, batch: &mut Batch) -> Result<(), BackupError> {
    let key = &context.ring.keys.chunk_id;
    let Buffer { plain, chunks, .. } = &mut batch.buffer;
    HASHERS.with_borrow_mut(|kept| {
        let (_, many, one) = match kept {
            Some(hashers) if hashers.0 as usize == platform as usize => hashers,
            _ => kept.insert((platform, ManyHasher::on(platform), Hasher::new(platform))),
        };
        let contents = chunks.iter().map(|chunk| (chunk.at, chunk.len));
        let ids = many.content_ids_with(key, plain, contents, |large| ContentId(one.keyed_hash(key, large)));
        chunks.iter_mut().zip(ids).for_each(|(chunk, id)| chunk.id = *id);
    });
    Ok(())
}

/// Seals or opens all blobs when they are not so yet.
fn set_sealed(codec: Option<&mut CodecInput>, sealed: bool) -> Result<(), BenchError> {
    let Some(codec) = codec.filter(|codec| codec.sealed != sealed) else { return Ok(()) };
    for batch in &mut codec.placed {
        if sealed { encrypt::encrypt_batch(&codec.context, batch)? } else { open(batch)? }
    }
    codec.sealed = sealed;
    Ok(())
}

fn broken(what: String) -> BackupError {
    WorkerPanic(what).into()
}

fn open(batch: &mut PlacedBatch) -> Result<(), BackupError> {
    let Some(Buffer { sealed, blobs, .. }) = &mut batch.buffer else { return Ok(()) };
    for run in &batch.runs {
        for blob in &blobs[run.blobs.clone()] {
            let opened = run.pack.open(BlobKind::Chunks, blob.offset, &mut sealed[blob.range.clone()]);
            opened.map_err(|error| broken(format!("a blob sealed just now does not open: {error}")))?;
        }
    }
    Ok(())
}

thread_local! {
    static WORKER: RefCell<(Decompressor, Vec<u8>)> = RefCell::default();
}

fn decompress(batch: &mut PlacedBatch) -> Result<(), BackupError> {
    let Some(Buffer { sealed, blobs, .. }) = &batch.buffer else { return Ok(()) };
    let failed = |error: &dyn std::fmt::Display| broken(format!("a blob made just now is wrong: {error}"));
    WORKER.with_borrow_mut(|(decompressor, plain)| {
        for blob in blobs {
            let inside = &sealed[blob.range.start + NONCE_TAIL_LEN..blob.range.end - TAG_LEN];
            let (header, payload) = BlobHeader::decode(inside).map_err(|error| failed(&error))?;
            plain.resize(header.plain_len as usize, 0);
            decompressor.decompress(header.codec, payload, plain).map_err(|error| failed(&error))?;
            black_box(&plain);
        }
        Ok(())
    })
}

/// The data as the engine reads it, walked once.
pub fn bench(data: &Path, read: ReadMode, input: Input, lookup: Lookup, storing: Storing) -> Result<Bench, BenchError> {
    fs_source(data, read)?;
    let (_, walked) = walk(data, read, 0)?;
    Ok(Bench { data: data.to_path_buf(), read, input, lookup, storing, walked, hash_on: None })
}
