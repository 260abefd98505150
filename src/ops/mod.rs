//! One verb a file.
pub mod backup;
pub mod restore;
pub mod check;
pub mod repair;
