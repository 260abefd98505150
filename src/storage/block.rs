//! Page-aligned blocks in which sealed bytes leave, from a fixed free list.

use crossbeam_channel::{Receiver, Sender};

/// One block of `BLOCK_BYTES`, aligned for direct writes. Its bytes beyond `len()` are unspecified but initialised.
pub struct Block {
    _private: (),
}

impl Block {
    /// A new block of zeros (touches its pages once). Its capacity is a multiple of `BLOCK_ALIGN`.
    pub fn new(_capacity: usize) -> Block {
        todo!()
    }

    /// Bytes filled.
    pub fn len(&self) -> usize {
        todo!()
    }

    /// How many it can hold.
    pub fn capacity(&self) -> usize {
        todo!()
    }

    /// Copies as much of `bytes` as there is room for; gives how many were taken.
    pub fn fill(&mut self, _bytes: &[u8]) -> usize {
        todo!()
    }

    /// The filled bytes.
    pub fn bytes(&self) -> &[u8] {
        todo!()
    }

    /// The filled bytes padded with zeros to a multiple of `align` (at most the capacity).
    pub fn padded(&mut self, _align: usize) -> &[u8] {
        todo!()
    }

    /// Empties it.
    pub fn clear(&mut self) {
        todo!()
    }
}

/// A fixed number of blocks that go round: taking one waits until one is free.
#[derive(Clone)]
pub struct BlockPool {
    free: (Sender<Block>, Receiver<Block>),
}

impl BlockPool {
    /// A pool of `count` blocks.
    pub fn new(_count: usize, _capacity: usize) -> BlockPool {
        todo!()
    }

    /// The next free block, empty.
    pub fn take(&self) -> Block {
        todo!()
    }

    /// Brings one back.
    pub fn give(&self, _block: Block) {
        todo!()
    }
}
