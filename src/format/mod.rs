//! Bytes to values and back, pure: no I/O, no keys, no allocation before a length is checked against
//! what is left, no recursion on input, no panic. Every value has exactly one encoding.
//!
//! Each decoder has a fuzz target of the same name. `docs/format.md` gives the layouts and the reasons.

pub mod error;
pub mod cursor;
pub mod damaged_index;
pub mod extension;
pub mod acl;
pub mod envelope;
pub mod config;
pub mod keyslot;
pub mod pack;
pub mod blob;
pub mod segment;
pub mod tree;
pub mod compare;
pub mod leaf;
pub mod list;
pub mod snapshot;
pub mod problems;
pub mod session;
pub mod state;
pub mod trust;

#[cfg(test)]
pub mod arbitrary;
#[cfg(test)]
mod properties;
