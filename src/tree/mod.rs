//! The trees of snapshots and the lists of big files: building them, reading their blobs by id, and walking them.
//!
//! `docs/format.md` has their bytes, which `format` decodes and encodes. What this room adds is the store: a node is read
//! by its id from any copy that is right, and held against what its parent says of it.

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
