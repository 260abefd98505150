//! The command line's contract.

mod words;
mod opening;
mod reading;
mod backing_up;
#[cfg(feature = "harness")]
mod bench;
mod measuring;
mod bench_data;
