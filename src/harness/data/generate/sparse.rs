//! Zeros and holes: a file of written zeros, one that is all hole, an image with islands of data, and one that ends in a
//! hole. The second version: some islands are other data, one more lies in what was a hole.

use super::random::Random;
use super::{Parameters, Tree};
use crate::harness::data::tree::Version;
use crate::harness::error::BenchError;

/// What a recipe says.
pub const PARAMETERS: &[&str] = &["seed", "zeros_mib", "hole_mib", "islands", "island_kib", "gap_kib"];

/// Every so many islands one is other data in the second version.
const CHANGED: u64 = 16;

/// Fills the tree.
pub fn fill(parameters: &Parameters, tree: &Tree<'_>) -> Result<(), BenchError> {
    let [seed, zeros_mib, hole_mib, islands, island_kib, gap_kib] = parameters.all(PARAMETERS);
    let mut zeros = tree.file("zeros", Version::First)?;
    for _ in 0..zeros_mib {
        zeros.put(&[0; 1 << 20])?;
    }
    zeros.finish()?;

    let mut hole = tree.file("hole", Version::First)?;
    hole.skip(hole_mib << 20)?;
    hole.finish()?;

    let mut image = tree.file("islands.img", tree.version())?;
    let mut island = vec![0; (island_kib as usize) << 10];
    for i in 0..islands {
        image.skip(gap_kib << 10)?;
        let changed = u64::from(tree.is_second() && i % CHANGED == CHANGED / 2);
        Random(seed + 2 * i + changed).fill(&mut island);
        image.put(&island)?;
    }
    image.skip(gap_kib << 10)?;
    image.finish()?;

    let mut tail = tree.file("tail.img", tree.version())?;
    Random(!seed).fill(&mut island);
    tail.put(&island)?;
    if tree.is_second() {
        tail.skip(gap_kib << 10)?;
        tail.put(&island)?;
        tail.skip((hole_mib << 20) - (gap_kib << 10) - island.len() as u64)?;
    } else {
        tail.skip(hole_mib << 20)?;
    }
    tail.finish()
}
