//! The operations. Each file has one, with its options, its result and a function `run`.
pub mod backup;
pub mod restore;
pub mod check;
pub mod repair;
pub mod init;
pub mod list;
pub mod cat;
pub mod tar;
pub mod find;
pub mod diff;
pub mod stats;
pub mod keys;
#[cfg(test)]
pub(crate) mod testing;
