//! Chunkers side by side.
