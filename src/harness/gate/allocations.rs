//! Counts allocations: an allocator around the system's that counts while somebody asks it to.
//!
//! It is the `larder` program's allocator. While nothing is measured it costs one relaxed load a call.

use parking_lot::Mutex;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

static COUNTING: AtomicBool = AtomicBool::new(false);
static CALLS: AtomicU64 = AtomicU64::new(0);
static LIVE: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);
/// One measurement at a time.
static MEASURING: Mutex<()> = Mutex::new(());

/// The system's allocator, counted.
pub struct CountingAllocator;

/// What a piece of work allocated, on all threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allocations {
    /// Calls that gave memory: new, and grown or shrunk.
    pub calls: u64,
    /// The most bytes that were in use at once, beyond those at the start.
    pub peak: u64,
}

fn took(bytes: i64) {
    let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(live, Relaxed);
}

// SAFETY: every call goes on to the system's allocator with what the caller gave; counting touches atomics only.
unsafe impl GlobalAlloc for CountingAllocator {
    // SAFETY: only as GlobalAlloc asks of the caller.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTING.load(Relaxed) {
            CALLS.fetch_add(1, Relaxed);
            took(layout.size() as i64);
        }
        // SAFETY: the caller keeps GlobalAlloc's promises.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: only as GlobalAlloc asks of the caller.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if COUNTING.load(Relaxed) {
            CALLS.fetch_add(1, Relaxed);
            took(layout.size() as i64);
        }
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    // SAFETY: only as GlobalAlloc asks of the caller.
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if COUNTING.load(Relaxed) {
            LIVE.fetch_sub(layout.size() as i64, Relaxed);
        }
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    // SAFETY: only as GlobalAlloc asks of the caller.
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if COUNTING.load(Relaxed) {
            CALLS.fetch_add(1, Relaxed);
            took(size as i64 - layout.size() as i64);
        }
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}

/// Does `work` and tells what it allocated; `None` where another allocator is the program's.
pub fn measure<T>(work: impl FnOnce() -> T) -> (T, Option<Allocations>) {
    let _only = MEASURING.lock();
    CALLS.store(0, Relaxed);
    LIVE.store(0, Relaxed);
    PEAK.store(0, Relaxed);
    COUNTING.store(true, Relaxed);
    let probe = std::hint::black_box(Box::new(0_u64));
    let installed = CALLS.load(Relaxed) > 0;
    drop(probe);
    let result = work();
    COUNTING.store(false, Relaxed);
    let taken = Allocations { calls: CALLS.load(Relaxed), peak: PEAK.load(Relaxed).max(0) as u64 };
    (result, installed.then_some(taken))
}
