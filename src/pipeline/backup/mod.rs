//! The backup pipeline.

pub mod item;
