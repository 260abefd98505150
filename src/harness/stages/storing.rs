//! Blobs into packs, and packs into storage.

use crate::base::id::ObjectId;
use crate::base::limits::{BLOCK_BYTES, PACK_BYTES};
use crate::crypto::keys::random_bytes;
use crate::harness::BenchError;
use crate::object::writer::PackStream;
use crate::pipeline::backup::WRITE_BLOCKS;
use crate::pipeline::backup::item::PlacedBatch;
use crate::storage::{Area, Block, BlockPool, LocalStorage, Storage, StorageKey};
use crate::store::StoreError;
use std::convert::Infallible;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

/// A store's folder on the storage that is measured.
pub struct Storing {
    storage: LocalStorage,
    pool: BlockPool,
    blocks: usize,
    _folder: tempfile::TempDir,
}

impl Storing {
    /// Storage in a temporary folder below `work`, which takes `bytes` bytes a round, in whole blocks.
    pub fn new(work: &Path, bytes: u64) -> Result<Storing, BenchError> {
        let folder = tempfile::tempdir_in(work).map_err(BenchError::io("make a folder in", work))?;
        let storage = LocalStorage::create(&folder.path().join("store")).map_err(StoreError::from)?;
        let blocks = (bytes as usize).div_ceil(BLOCK_BYTES).max(1);
        Ok(Storing { storage, pool: BlockPool::new(WRITE_BLOCKS, BLOCK_BYTES), blocks, _folder: folder })
    }

    /// Bytes that one round stores.
    pub fn bytes(&self) -> u64 {
        (self.blocks * BLOCK_BYTES) as u64
    }

    /// Copies all blobs into blocks and names the packs; nothing is written.
    pub fn pack(&self, placed: &[PlacedBatch]) -> Result<Duration, BenchError> {
        let start = Instant::now();
        let mut stream = PackStream::default();
        let mut full = |block: Block| -> Result<(), Infallible> {
            self.pool.give(block);
            Ok(())
        };
        for batch in placed {
            let Some(buffer) = &batch.buffer else { continue };
            for run in &batch.runs {
                let blobs = &buffer.blobs[run.blobs.clone()];
                if let (Some(first), Some(last)) = (blobs.first(), blobs.last()) {
                    let Ok(()) = stream.push(&buffer.sealed[first.range.start..last.range.end], &self.pool, &mut full);
                }
                if run.closing.is_some() {
                    black_box(stream.finish());
                }
            }
        }
        black_box(stream.finish());
        Ok(start.elapsed())
    }

    /// Appends blocks to packs and makes these durable, one pack after the other.
    pub fn store(&self) -> Result<Duration, BenchError> {
        // Made before the clock starts; no file system finds anything to compress in it.
        let mut block = Block::new(BLOCK_BYTES);
        let mut noise = vec![0; BLOCK_BYTES];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        block.fill(&noise);
        let (mut left, mut names) = (self.blocks, Vec::new());
        let start = Instant::now();
        while left > 0 {
            let now = left.min(PACK_BYTES / BLOCK_BYTES);
            let mut writer = self.storage.writer(Area::Packs).map_err(StoreError::from)?;
            for _ in 0..now {
                writer.append(&mut block).map_err(StoreError::from)?;
            }
            let name = StorageKey::Pack(ObjectId(random_bytes()));
            writer.commit(&name).map_err(StoreError::from)?;
            names.push(name);
            left -= now;
        }
        let taken = start.elapsed();
        for name in &names {
            self.storage.delete(name).map_err(StoreError::from)?;
        }
        Ok(taken)
    }
}
