//! Identifiers, limits, paths and time. Every other room may use this one.

pub mod escape;
pub mod id;
pub mod limits;
pub mod memory;
pub mod path;
pub mod pattern;
pub mod time;
