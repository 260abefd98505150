//! Fails on purpose: the n-th operation, before or after it took effect.
