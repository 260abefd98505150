//! Where restores write to.

pub mod fs;
