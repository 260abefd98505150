//! Identifiers, limits, path order, and opening this machine's files: what every layer may name.

pub mod escape;
pub mod id;
pub mod limits;
pub(crate) mod machine_file;
pub mod memory;
pub mod path;
pub mod pattern;
pub mod time;
