//! Wrappers that can be put around any storage.

pub mod fault;
pub mod record;
