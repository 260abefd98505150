//! Identifiers, limits and path order: what every layer may name.

pub mod escape;
pub mod id;
pub mod limits;
pub mod memory;
pub mod path;
pub mod pattern;
pub mod time;
