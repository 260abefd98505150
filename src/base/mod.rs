//! Identifiers, limits, paths, time, and opening this machine's files. Every other room may use this one.

pub mod escape;
pub mod id;
pub mod limits;
pub(crate) mod machine_file;
pub mod memory;
pub mod path;
pub mod pattern;
pub mod time;
