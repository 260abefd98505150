//! Chunkers side by side.

pub mod chunker;
pub mod profile;
pub mod chunkers;
#[cfg(test)]
mod testing;
