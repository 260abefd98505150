//! Many text-like files below 2 KB, 500 a folder. The second version: some have a line more, some are gone, some are new.

use super::random::{Random, text, vocabulary};
use super::{Parameters, Tree};
use crate::harness::data::tree::Version;
use crate::harness::error::BenchError;

/// What a recipe says.
pub const PARAMETERS: &[&str] = &["seed", "files", "changed", "removed", "added"];

/// Fills the tree.
pub fn fill(parameters: &Parameters, tree: &Tree<'_>) -> Result<(), BenchError> {
    let [seed, files, changed, removed, added] = parameters.all(PARAMETERS);
    let (mut random, mut choice) = (Random(seed), Random(seed ^ u64::MAX));
    let words = vocabulary(&mut random, 4000);
    let mut bytes = Vec::new();
    let total = if tree.is_second() { files + added } else { files };
    for i in 0..total {
        if i % 10_000 == 0 {
            tree.folder(&format!("d{:03}", i / 10_000))?;
        }
        let folder = format!("d{:03}/e{:02}", i / 10_000, i / 500 % 20);
        if i % 500 == 0 {
            tree.folder(&folder)?;
        }
        let len = 600 + random.below(1400) as usize;
        text(&mut random, &words, len, &mut bytes);
        let mut since = if i < files { Version::First } else { Version::Second };
        if tree.is_second() && i < files {
            // So each file has its chance, whatever the others got.
            let draw = choice.below(files);
            if draw < removed {
                continue;
            } else if draw < removed + changed {
                let at = choice.below(len as u64) as usize;
                let line = format!("\nchanged {:x}\n", choice.draw());
                bytes.splice(at..at, line.into_bytes());
                since = Version::Second;
            }
        }
        tree.write(&format!("{folder}/file-{i:06}.conf"), since, &bytes)?;
    }
    Ok(())
}
