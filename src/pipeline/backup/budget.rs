//! The byte budget: a fixed number of permits, each with the memory of one batch.
//!
//! The scanner takes a permit, in order, before it hands a batch out, and it comes back when the batch's sealed bytes are
//! copied into write blocks. So the oldest batch always has memory, and nothing in flight grows.

use super::item::Buffer;
use crate::pipeline::backup::Failure;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::time::Duration;

/// The permits that are free.
#[derive(Clone)]
pub struct Budget {
    give: Sender<Buffer>,
    take: Receiver<Buffer>,
    permits: usize,
}

impl Budget {
    /// A budget of `permits` batches. Memory is touched when a permit is first used.
    pub fn new(permits: usize) -> Budget {
        let (give, take) = bounded(permits);
        for _ in 0..permits {
            _ = give.try_send(Buffer::default());
        }
        Budget { give, take, permits }
    }

    /// How many permits there are: what every channel between the stages has room for.
    pub fn permits(&self) -> usize {
        self.permits
    }

    /// Waits for a permit; `None` when the run fails.
    pub fn take(&self, failure: &Failure) -> Option<Buffer> {
        loop {
            if failure.is_set() {
                return None;
            }
            // A batch lost to a panicking task never comes back: hence the time-out.
            match self.take.recv_timeout(Duration::from_millis(50)) {
                Ok(buffer) if buffer.plain.is_empty() => return Some(Buffer::new()),
                Ok(buffer) => return Some(buffer),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Brings a permit back.
    pub fn give(&self, mut buffer: Buffer) {
        buffer.clear();
        match buffer.home.take() {
            Some(home) => _ = home.try_send(buffer),
            None => _ = self.give.try_send(buffer),
        }
    }
}
