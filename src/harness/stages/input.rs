//! What the kernels are measured on: the data as the backup pipeline has it between its stages, made by the pipeline's
//! own functions: batches with their bytes, cuts, ids, blobs.

use crate::base::id::SessionId;
use crate::chunking::ScanPath;
use crate::codec::Compression;
use crate::crypto::keys::{random_bytes, random_key};
use crate::crypto::slot::Credential;
use crate::harness::BenchError;
use crate::monitor::Counters;
use crate::ops::backup::{self, BackupOptions};
use crate::pipeline::backup::BackupError;
use crate::pipeline::backup::context::BackupContext;
use crate::pipeline::backup::item::{Batch, Buffer, Chunk, ChunkState, PlacedBatch, Plan};
use crate::pipeline::backup::{chunk, compress, dedup, encrypt, hash, place, read, scan};
use crate::source::Source;
use crate::source::fs::{FsOptions, FsSource, ReadMode};
use crate::storage::MemoryStorage;
use crate::store::{MachineFolders, Store, StoreError, open::CreateOptions};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// More batches than any limit lets through; each is small until it is used.
const PERMITS: usize = 1 << 16;

/// The data between the stages.
pub struct Input {
    /// Where the files lie.
    pub source: FsSource,
    /// What the stages share, for the codec that was chosen.
    pub context: Arc<BackupContext>,
    /// Batches: read, cut, hashed, claimed.
    pub batches: Vec<Batch>,
    /// Their chunks as they were after claiming: put back when a kernel has changed them.
    pub chunks: Vec<Vec<Chunk>>,
    /// Blobs of each codec that is measured, the chosen one last.
    pub codecs: Vec<CodecInput>,
    pub shape: Shape,
    /// The store whose keys are used, and its folders; last, as others hold on to it.
    _folders: tempfile::TempDir,
}

/// What comes out of compressing with one codec.
pub struct CodecInput {
    pub compression: Compression,
    /// What the stages share.
    pub context: Arc<BackupContext>,
    /// Batches with blobs and no plaintext.
    pub placed: Vec<PlacedBatch>,
    /// The blobs are sealed now; else their insides lie open.
    pub sealed: bool,
}

/// What the data is like.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shape {
    /// Entries of any kind.
    pub entries: u64,
    /// Files with content that was read.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Of these, in files that are cut in pieces.
    pub big: u64,
    /// Bytes that are looked at for cuts: without the first ones of each whole file, and short files.
    pub scanned: u64,
    /// Chunks, and their bytes: what is short lies in the tree.
    pub chunks: u64,
    pub hashed: u64,
    /// Bytes of chunks that come for the first time.
    pub new: u64,
    /// The limit left something out.
    pub limited: bool,
}

/// How to read and how much.
#[derive(Debug, Clone, Copy)]
pub struct InputOptions {
    /// How big files are read.
    pub read: ReadMode,
    /// Bytes of content at most.
    pub limit: u64,
    /// The codec whose blobs are sealed.
    pub compression: Compression,
    /// The path to cut on, where it is not the one that the engine takes.
    pub cut_on: Option<ScanPath>,
}

/// Walks and cuts the data and makes everything that the kernels take.
pub fn prepare(data: &Path, options: &InputOptions, cancel: &AtomicBool) -> Result<Input, BenchError> {
    let folders = tempfile::tempdir().map_err(BenchError::io("make a folder in", &std::env::temp_dir()))?;
    let store = throwaway_store(folders.path())?;
    let source = fs_source(data, options.read)?;
    let context = Arc::new(cutting_on(options.cut_on, context_of(&store, options.compression)?)?);
    let (mut batches, limited) = walk(&context, &source, options.limit, cancel)?;
    let mut carry = chunk::Carry::default();
    for batch in &mut batches {
        stop_if(cancel)?;
        read::read_batch(&context, &source, batch);
        chunk::cut_batch(&context, batch)?;
        chunk::select(&context, &mut carry, batch);
        hash::hash_batch(&context, batch)?;
        dedup::claim(&context, batch, &mut Vec::new());
    }
    done(&context)?;
    let chunks: Vec<_> = batches.iter().map(|batch| batch.buffer.chunks.clone()).collect();
    let shape = Shape { limited, ..shape(&context, &batches) };
    if shape.bytes == 0 {
        return Err(BenchError::NotMeasured(format!("{} holds no content: name other data", data.display())));
    }
    let mut all = vec![Compression::Lz4, options.compression];
    all.dedup();
    let mut codecs = Vec::new();
    for compression in all {
        stop_if(cancel)?;
        codecs.push(codec(&store, compression, &mut batches)?);
    }
    Ok(Input { source, context, batches, chunks, codecs, shape, _folders: folders })
}

/// The data as a source.
pub fn fs_source(data: &Path, read: ReadMode) -> Result<FsSource, BenchError> {
    let options = FsOptions { roots: vec![data.to_path_buf()], read, ..FsOptions::default() };
    FsSource::new(options).map_err(BenchError::io("read", data))
}

fn throwaway_store(folder: &Path) -> Result<Arc<Store>, StoreError> {
    let places = MachineFolders { config: folder.join("config"), cache: folder.join("cache") };
    let key = Credential::KeyFile(random_key());
    Ok(Arc::new(Store::create(Arc::new(MemoryStorage::new()), &key, places, CreateOptions::default())?))
}

fn context_of(store: &Arc<Store>, compression: Compression) -> Result<BackupContext, BackupError> {
    let options = BackupOptions { compression, batches: PERMITS, ..BackupOptions::default() };
    backup::context(store, None, &options, Arc::new(Counters::default()))
}

fn cutting_on(path: Option<ScanPath>, mut context: BackupContext) -> Result<BackupContext, BenchError> {
    if let Some(path) = path {
        let missing = || BenchError::Missing(format!("gear has no {} path for the masks of this store", path.name()));
        context.cutter = context.cutter.on(path).ok_or_else(missing)?;
    }
    Ok(context)
}

fn stop_if(cancel: &AtomicBool) -> Result<(), BenchError> {
    if cancel.load(Relaxed) { Err(BenchError::Interrupted) } else { Ok(()) }
}

/// Fails when a stage failed or a file could not be read: the figures would be those of less data.
pub fn done(context: &BackupContext) -> Result<(), BenchError> {
    if let Some(error) = context.failure.take() {
        return Err(error.into());
    }
    let told = context.path_report.lock();
    match told.problems.first() {
        None => Ok(()),
        Some(problem) => Err(BenchError::NotMeasured(format!(
            "{} of the files could not be read, the first is {}: {}",
            told.problem_count,
            String::from_utf8_lossy(&problem.path),
            problem.message
        ))),
    }
}

/// The pipeline's scan, as far as the limit.
fn walk(
    context: &Arc<BackupContext>,
    source: &dyn Source,
    limit: u64,
    cancel: &AtomicBool,
) -> Result<(Vec<Batch>, bool), BenchError> {
    let (output, input) = crossbeam_channel::bounded(4);
    let (mut batches, mut bytes, mut limited) = (Vec::new(), 0, false);
    std::thread::scope(|scope| {
        scope.spawn(|| scan::run(context, source, None, scan::Trust { force: true, ..scan::Trust::default() }, output));
        for batch in input {
            // What comes after the end is dropped.
            if bytes >= limit || cancel.load(Relaxed) {
                limited = true;
                context.cancel.store(true, Relaxed);
                continue;
            }
            bytes += wanted(&batch);
            batches.push(batch);
        }
    });
    context.cancel.store(false, Relaxed);
    stop_if(cancel)?;
    if let Some(error) = context.failure.take() {
        return Err(error.into());
    }
    Ok((batches, limited))
}

/// Bytes that a batch will read.
fn wanted(batch: &Batch) -> u64 {
    let files = batch.entries.iter().filter(|e| matches!(e.plan, Plan::Read)).map(|e| e.found.meta.size);
    files.sum::<u64>() + batch.segment.as_ref().map_or(0, |segment| segment.len as u64)
}

fn shape(context: &BackupContext, batches: &[Batch]) -> Shape {
    let min = u64::from(context.cutter.params().min);
    let mut shape = Shape::default();
    for batch in batches {
        shape.entries += batch.entries.len() as u64;
        for entry in batch.entries.iter().filter(|e| matches!(e.plan, Plan::Read)) {
            let len = u64::from(entry.bytes.end - entry.bytes.start);
            shape.files += 1;
            shape.bytes += len;
            shape.scanned += len.saturating_sub(min);
        }
        if let Some(segment) = &batch.segment {
            shape.files += u64::from(segment.ends && segment.len > 0);
            shape.bytes += segment.len as u64;
            shape.big += segment.len as u64;
            shape.scanned += segment.len as u64;
        }
        for chunk in &batch.buffer.chunks {
            shape.chunks += 1;
            shape.hashed += u64::from(chunk.len);
            shape.new += if chunk.state == ChunkState::Novel { u64::from(chunk.len) } else { 0 };
        }
    }
    shape
}

/// Compresses, places and seals everything with one codec.
fn codec(store: &Arc<Store>, compression: Compression, batches: &mut [Batch]) -> Result<CodecInput, BenchError> {
    let context = Arc::new(context_of(store, compression)?);
    let mut placer = place::placer(&context, SessionId(random_bytes()));
    let mut placed = Vec::with_capacity(batches.len());
    for batch in batches {
        batch.buffer.blobs.clear();
        compress::compress_batch(&context, batch)?;
        let blobs = std::mem::take(&mut batch.buffer.blobs);
        let end = blobs.last().map_or(0, |blob| blob.range.end);
        let mut buffer = Buffer { sealed: batch.buffer.sealed[..end].to_vec(), blobs, ..Buffer::default() };
        let runs = place::place(&mut placer, &mut buffer);
        let mut batch = PlacedBatch { seq: batch.seq, buffer: Some(buffer), runs };
        encrypt::encrypt_batch(&context, &mut batch)?;
        placed.push(batch);
    }
    Ok(CodecInput { compression, context, placed, sealed: true })
}

impl CodecInput {
    /// Bytes of all blobs.
    pub fn bytes(&self) -> u64 {
        let buffers = self.placed.iter().filter_map(|batch| batch.buffer.as_ref());
        buffers.map(|buffer| buffer.sealed.len() as u64).sum()
    }

    /// Number of all blobs.
    pub fn blobs(&self) -> u64 {
        self.placed.iter().filter_map(|batch| batch.buffer.as_ref()).map(|buffer| buffer.blobs.len() as u64).sum()
    }
}

impl Input {
    /// Puts the chunks back as they were after claiming.
    pub fn restore_chunks(&mut self) {
        for (batch, chunks) in self.batches.iter_mut().zip(&self.chunks) {
            batch.buffer.chunks.clone_from(chunks);
        }
    }

    /// Puts them back as they were after hashing: nothing claimed yet.
    pub fn unclaim(&mut self) {
        self.restore_chunks();
        let generation = self.context.claims.generation();
        self.batches.iter_mut().for_each(|batch| batch.generation = generation);
        for chunk in self.batches.iter_mut().flat_map(|batch| batch.buffer.chunks.iter_mut()) {
            chunk.state = ChunkState::Unseen;
        }
    }
}
