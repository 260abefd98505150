//! What every pipeline is made of: the first error of a run, a parallel map, a ring that restores order, and the meter of
//! a stage. It lies below the store, so that the store and the operations use it as well.

pub mod failure;
pub mod meter;
pub mod parallel;
pub mod reorder;
