//! Blobs into packs, packs into storage, and their bytes back.

use crate::base::id::ObjectId;
use crate::base::limits::{BLOCK_BYTES, PACK_BYTES, RESTORE_READ_BYTES};
use crate::crypto::keys::random_bytes;
use crate::harness::BenchError;
use crate::pipeline::backup::WRITE_BLOCKS;
use crate::pipeline::backup::item::{BlobRun, PlacedBatch};
use crate::pipeline::backup::write::{ToUpload, Writer};
use crate::storage::{Area, Block, BlockPool, LocalStorage, Storage, StorageKey};
use crate::store::StoreError;
use rayon::prelude::*;
use std::cell::RefCell;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

/// A store's folder on the storage that is measured.
pub struct Storing {
    storage: LocalStorage,
    pool: BlockPool,
    blocks: usize,
    /// Packs that are there to be read, with their lengths.
    kept: Vec<(StorageKey, usize)>,
    _folder: tempfile::TempDir,
}

impl Storing {
    /// Storage in a temporary folder below `work`, which takes `bytes` bytes a round, in whole blocks.
    pub fn new(work: &Path, bytes: u64) -> Result<Storing, BenchError> {
        let folder = tempfile::tempdir_in(work).map_err(BenchError::io("make a folder in", work))?;
        let storage = LocalStorage::create(&folder.path().join("store")).map_err(StoreError::from)?;
        let blocks = (bytes as usize).div_ceil(BLOCK_BYTES).max(1);
        Ok(Storing {
            storage,
            pool: BlockPool::new(WRITE_BLOCKS, BLOCK_BYTES),
            blocks,
            kept: Vec::new(),
            _folder: folder,
        })
    }

    /// Bytes that one round stores.
    pub fn bytes(&self) -> u64 {
        (self.blocks * BLOCK_BYTES) as u64
    }

    /// Copies all blobs into blocks and names the packs, as the pipeline's write does; nothing is stored.
    pub fn pack(&self, placed: &[PlacedBatch]) -> Result<Duration, BenchError> {
        let runs: Vec<Vec<BlobRun>> = placed.iter().map(|batch| batch.runs.clone()).collect();
        let take = || self.pool.take();
        // A block that is full is free again at once.
        let output = |message: ToUpload| drop(black_box(message));
        let start = Instant::now();
        let mut writer = Writer::new(&take, &output);
        for (batch, runs) in placed.iter().zip(runs) {
            writer.write(batch.buffer.as_ref(), runs);
        }
        drop(writer);
        Ok(start.elapsed())
    }

    /// Appends blocks to packs and makes these durable, one pack after the other.
    pub fn store(&self) -> Result<Duration, BenchError> {
        let (taken, packs) = self.write()?;
        for (name, _) in &packs {
            self.storage.delete(name).map_err(StoreError::from)?;
        }
        Ok(taken)
    }

    /// Has packs to read, and their bytes in the page cache: they were written past it.
    pub fn keep(&mut self) -> Result<(), BenchError> {
        if self.kept.is_empty() {
            self.kept = self.write()?.1;
            let reads = self.reads();
            reads.iter().try_for_each(|read| self.read(read))?;
        }
        Ok(())
    }

    /// Reads what [`Storing::keep`] left, in the pieces that a restore and a check read at a time.
    pub fn fetch(&self, pool: &rayon::ThreadPool) -> Result<Duration, BenchError> {
        let reads = self.reads();
        pool.install(|| {
            let start = Instant::now();
            reads.par_iter().with_max_len(1).try_for_each(|read| self.read(read))?;
            Ok(start.elapsed())
        })
    }

    /// Pack, offset and length of each read.
    fn reads(&self) -> Vec<(StorageKey, u64, usize)> {
        let of_pack = |&(name, len): &(StorageKey, usize)| {
            let starts = (0..len).step_by(RESTORE_READ_BYTES);
            starts.map(move |at| (name, at as u64, RESTORE_READ_BYTES.min(len - at)))
        };
        self.kept.iter().flat_map(of_pack).collect()
    }

    fn read(&self, (name, at, len): &(StorageKey, u64, usize)) -> Result<(), BenchError> {
        thread_local! {
            static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(*len, 0);
            self.storage.get_range(name, *at, buffer).map_err(StoreError::from)?;
            black_box(buffer);
            Ok(())
        })
    }

    /// Writes a round's packs; gives the time and what was written.
    fn write(&self) -> Result<(Duration, Vec<(StorageKey, usize)>), BenchError> {
        // Made before the clock starts; no file system finds anything to compress in it.
        let mut block = Block::new(BLOCK_BYTES);
        let mut noise = vec![0; BLOCK_BYTES];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        block.fill(&noise);
        let (mut left, mut packs) = (self.blocks, Vec::new());
        let start = Instant::now();
        while left > 0 {
            let now = left.min(PACK_BYTES / BLOCK_BYTES);
            let mut writer = self.storage.writer(Area::Packs).map_err(StoreError::from)?;
            for _ in 0..now {
                writer.append(&mut block).map_err(StoreError::from)?;
            }
            let name = StorageKey::Pack(ObjectId(random_bytes()));
            writer.commit(&name).map_err(StoreError::from)?;
            packs.push((name, now * BLOCK_BYTES));
            left -= now;
        }
        Ok((start.elapsed(), packs))
    }
}
