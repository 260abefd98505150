//! Where to cut: content-defined chunking as pure functions over slices.
//!
//! The cuts are those of FastCDC's loop (Xia et al., USENIX ATC 2016; the `fastcdc` crate's v2020 module, which is
//! the oracle in the tests) under our own masks and a gear table made from the store's secret.

pub mod gear;
pub mod scan;
pub mod vector;
#[cfg(test)]
mod testing;

pub use gear::Cutter;
#[cfg(any(test, feature = "internals"))]
pub use gear::default_params;
pub use scan::{Hits, Selector};
#[cfg(any(test, feature = "internals"))]
pub use vector::ScanPath;
