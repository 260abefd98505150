//! The stages of backup and restore, joined by bounded channels.
//!
//! Invariants, for both directions: no back edge; every channel is bounded; a worker never panics the process
//! (it fails the run); inside a rayon task there is no blocking channel, no file I/O but the mapped index, and no
//! lock held over another rayon call; on failure every stage goes on draining without working, so nothing waits for ever.

pub mod backup;
pub mod restore;
