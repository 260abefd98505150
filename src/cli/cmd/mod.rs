//! The commands. Each file has the options of one command, and a function `run`.

pub mod init;
pub mod backup;
pub mod snapshots;
pub mod ls;
pub mod cat;
pub mod find;
pub mod diff;
pub mod restore;
pub mod check;
pub mod repair;
pub mod key;
pub mod stats;
pub mod completions;
pub mod man;
#[cfg(feature = "harness")]
pub mod bench;
