//! The parts that every pipeline is made of: the first error of a run, a parallel map, a ring that restores order, and
//! the meter of a stage. This room lies below the store, so that the store and the operations can use it too.

pub mod failure;
pub mod meter;
pub mod parallel;
pub mod reorder;
