//! The command line's contract.

mod words;
mod opening;
mod choosing;
mod unusable;
mod reading;
mod backing_up;
mod restoring;
mod streams;
mod archives;
mod leaving_out;
mod deleting;
mod flaws;
mod giving_way;
mod in_place;
#[cfg(feature = "harness")]
mod bench;
#[cfg(feature = "harness")]
mod measuring;
#[cfg(feature = "harness")]
mod bench_data;
#[cfg(feature = "harness")]
mod bench_chunking;
