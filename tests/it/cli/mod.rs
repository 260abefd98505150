//! The command line's contract.

mod words;
mod opening;
mod reading;
mod backing_up;
mod bench_chunking;
