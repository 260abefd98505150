//! The trees of snapshots and the lists of big files: building them, reading their blobs by id, and walking them.
//!
//! `docs/format.md` describes their bytes, which `format` encodes and decodes. This room connects them with the store:
//! a node is read by its id from any copy that is right, and compared with what its parent says of it.

pub mod blob;
pub mod reader;
pub mod walk;
pub mod reach;
pub mod cursor;
pub mod place;
pub mod level;
pub mod list;
pub mod build;
#[cfg(test)]
mod reach_tests;
#[cfg(test)]
mod tests;
