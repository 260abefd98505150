//! Pass or fail against a baseline.
