//! One suite that every storage passes.
