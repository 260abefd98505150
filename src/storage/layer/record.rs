//! Counts and lists operations.
