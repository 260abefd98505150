//! Chunkers side by side.

pub mod chunker;
pub mod profile;
pub mod chunkers;
pub mod corpus;
pub mod cores;
pub mod sizes;
pub mod dedup;
pub mod resync;
pub mod rank;
pub mod matching;
#[cfg(test)]
mod testing;
