//! Page-aligned blocks for sealed bytes that are written, from a free list of fixed size.
//!
//! The memory of a block goes back to its pool when the block is dropped. So an error on any path cannot empty the
//! pool and leave another thread waiting for ever.

use crate::base::limits::BLOCK_ALIGN;
use crate::base::memory::Pages;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One block, aligned for direct writes. Its bytes beyond `len()` are unspecified but initialised.
pub struct Block {
    memory: Pages,
    len: usize,
    home: Option<Sender<Pages>>,
}

fn memory(capacity: usize) -> Pages {
    Pages::zeroed(capacity.next_multiple_of(BLOCK_ALIGN), 0)
}

impl Block {
    /// A new block of zeros (touches its pages once). Its capacity is a multiple of `BLOCK_ALIGN`: a smaller one is
    /// rounded up.
    pub fn new(capacity: usize) -> Block {
        let mut memory = memory(capacity);
        // Without the black box the compiler sees zeros written over zeros and touches nothing.
        black_box(&mut memory[..]).fill(0);
        Block { memory, len: 0, home: None }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is filled.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many it can hold.
    pub fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// How many more it can take.
    pub fn room(&self) -> usize {
        self.capacity() - self.len
    }

    /// Copies as much of `bytes` as there is room for; gives how many were taken.
    pub fn fill(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room());
        let len = self.len;
        self.memory[len..len + taken].copy_from_slice(&bytes[..taken]);
        self.len += taken;
        taken
    }

    /// The filled bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.memory[..self.len]
    }

    /// The filled bytes padded with zeros to a multiple of `align` (at most the capacity).
    pub fn padded(&mut self, align: usize) -> &[u8] {
        let (len, end) = (self.len, self.len.next_multiple_of(align.max(1)).min(self.capacity()));
        let all = &mut self.memory;
        all[len..end].fill(0);
        &all[..end]
    }

    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Forgets all but the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            // Has room: the pool never makes more than it can hold.
            let _ = home.try_send(std::mem::take(&mut self.memory));
        }
    }
}

/// A fixed number of blocks that go round: taking one waits until one is free. A block is made when it is first needed
/// and then used again, so a short run touches little memory.
#[derive(Clone)]
pub struct BlockPool {
    free: (Sender<Pages>, Receiver<Pages>),
    capacity: usize,
    to_make: Arc<AtomicUsize>,
}

impl BlockPool {
    /// A pool of `count` blocks (at least one).
    pub fn new(count: usize, capacity: usize) -> BlockPool {
        let count = count.max(1);
        BlockPool { free: bounded(count), capacity, to_make: Arc::new(AtomicUsize::new(count)) }
    }

    /// The next free block, empty.
    pub fn take(&self) -> Block {
        let memory = match self.ready() {
            Some(memory) => memory,
            None => self.free.1.recv().expect("the pool holds a sender itself"),
        };
        Block { memory, len: 0, home: Some(self.free.0.clone()) }
    }

    /// The next free block, empty; `None` when all are under way.
    #[cfg(any(test, feature = "internals"))]
    pub fn try_take(&self) -> Option<Block> {
        self.ready().map(|memory| Block { memory, len: 0, home: Some(self.free.0.clone()) })
    }

    /// Brings one back; the same as dropping it.
    pub fn give(&self, block: Block) {
        drop(block);
    }

    fn ready(&self) -> Option<Pages> {
        self.free.1.try_recv().ok().or_else(|| {
            let one_less = |left: usize| left.checked_sub(1);
            self.to_make.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).ok()?;
            Some(memory(self.capacity))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::BLOCK_BYTES;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn blocks_are_aligned_and_hold_what_they_say() {
        for (asked, gets) in [(1, BLOCK_ALIGN), (BLOCK_ALIGN, BLOCK_ALIGN), (BLOCK_BYTES, BLOCK_BYTES)] {
            let mut block = Block::new(asked);
            assert_eq!(block.capacity(), gets);
            assert_eq!(block.padded(BLOCK_ALIGN).as_ptr().addr() % BLOCK_ALIGN, 0);
            assert_eq!(block.fill(&vec![7; gets + 1]), gets);
            assert_eq!((block.len(), block.room(), block.fill(b"x")), (gets, 0, 0));
            assert_eq!(block.padded(BLOCK_ALIGN).len(), gets);
        }
    }

    #[test]
    fn padding_is_zeros_even_where_older_bytes_lay() {
        let mut block = Block::new(2 * BLOCK_ALIGN);
        block.fill(&[9; 2 * BLOCK_ALIGN]);
        block.clear();
        assert!(block.is_empty() && block.padded(512).is_empty());
        block.fill(b"abc");
        assert_eq!(block.padded(512), [&b"abc"[..], &[0; 509]].concat());
        assert_eq!(block.bytes(), b"abc");
        assert_eq!(block.padded(3 * BLOCK_ALIGN).len(), block.capacity());
    }

    #[test]
    fn a_pool_has_so_many_blocks_and_gets_them_back_however_they_end() {
        let pool = BlockPool::new(2, BLOCK_ALIGN);
        let (mut a, b) = (pool.take(), pool.take());
        assert!(pool.try_take().is_none(), "a third block");
        a.fill(b"old");
        drop(a);
        let a = pool.try_take().expect("the dropped one");
        assert!(a.is_empty());
        pool.give(b);
        pool.give(a);
        let all: Vec<_> = std::iter::from_fn(|| pool.try_take()).collect();
        assert_eq!(all.len(), 2);
        pool.give(Block::new(BLOCK_ALIGN));
        assert!(pool.try_take().is_none(), "a foreign block does not join");
    }

    #[test]
    fn taking_waits_for_a_block_to_come_back() {
        let pool = BlockPool::new(1, BLOCK_ALIGN);
        let held = pool.take();
        thread::scope(|scope| {
            let waiter = scope.spawn(|| pool.take().len());
            thread::sleep(Duration::from_millis(20));
            assert!(!waiter.is_finished(), "it did not wait");
            drop(held);
            assert_eq!(waiter.join().ok(), Some(0));
        });
    }
}
