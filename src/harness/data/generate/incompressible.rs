//! Files without any redundancy. The second version: the first file has a tag in front of it, as players write them into
//! media; the last is another one; one more is new.

use super::random::Random;
use super::{Parameters, Tree};
use crate::harness::data::tree::Version;
use crate::harness::error::BenchError;

/// What a recipe says.
pub const PARAMETERS: &[&str] = &["seed", "files", "file_mib"];

/// Bytes of the tag: no multiple of anything.
const TAG: usize = 1_021;

/// Fills the tree.
pub fn fill(parameters: &Parameters, tree: &Tree<'_>) -> Result<(), BenchError> {
    let [seed, files, file_mib] = parameters.all(PARAMETERS);
    let mut block = vec![0; 1 << 20];
    let total = if tree.is_second() { files + 1 } else { files };
    for i in 0..total {
        let is_other = tree.is_second() && i + 1 >= files;
        let is_tagged = tree.is_second() && i == 0;
        let since = if is_other || is_tagged { Version::Second } else { Version::First };
        let mut out = tree.file(&format!("media-{i:02}.bin"), since)?;
        if is_tagged {
            let mut tag = [0; TAG];
            Random(!seed).fill(&mut tag);
            out.put(&tag)?;
        }
        let mut random = Random(if is_other { seed + 2 * files + i } else { seed + i });
        for _ in 0..file_mib {
            random.fill(&mut block);
            out.put(&block)?;
        }
        out.finish()?;
    }
    Ok(())
}
