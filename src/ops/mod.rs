//! One verb a file.
pub mod backup;
