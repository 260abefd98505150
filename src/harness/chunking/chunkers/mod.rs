//! The chunkers that stand side by side, a file each.

pub mod larder;
pub mod larder_across;
pub mod fastcdc_v2020;
pub mod fastcdc_v2016;
pub mod fastcdc_ronomon;
pub mod gear;
pub mod fixed;
#[cfg(test)]
mod golden;

use super::chunker::Algorithm;
use crate::harness::BenchError;

/// All there are, in the order of the tables. The first is what the others are held against.
pub const ALL: [&dyn Algorithm; 7] = [
    &larder::Larder,
    &larder_across::LarderAcross,
    &fastcdc_v2020::V2020,
    &fastcdc_v2016::V2016,
    &fastcdc_ronomon::Ronomon,
    &gear::Gear,
    &fixed::Fixed,
];

/// The algorithm of this name.
pub fn by_name(name: &str) -> Result<&'static dyn Algorithm, BenchError> {
    ALL.into_iter().find(|algorithm| algorithm.name() == name).ok_or_else(|| {
        let names: Vec<_> = ALL.iter().map(|algorithm| algorithm.name()).collect();
        BenchError::Invalid(format!("{name} is no chunker: there are {}", names.join(", ")))
    })
}
