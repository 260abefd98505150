//! Seeded generators: the same bytes on every machine. One in a file of its own: add it to [`Generator`].

pub mod random;
mod binaries;
mod incompressible;
mod logs;
mod small_files;
mod sparse;
mod worst;

use super::tree::Tree;
use crate::harness::error::BenchError;
use std::collections::BTreeMap;

/// The generators that recipes name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Generator {
    /// Many small text-like files.
    SmallFiles,
    /// Files without redundancy.
    Incompressible,
    Binaries,
    /// Logs that grow and rotate.
    Logs,
    /// Zeros and holes.
    Sparse,
    /// Runs and periods.
    Worst,
}

/// Its numbers, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Parameters(BTreeMap<String, u64>);

impl Generator {
    /// All of them.
    pub const ALL: [Generator; 6] = [
        Generator::SmallFiles,
        Generator::Incompressible,
        Generator::Binaries,
        Generator::Logs,
        Generator::Sparse,
        Generator::Worst,
    ];

    /// The parameters it needs, no more and no less.
    pub fn parameters(self) -> &'static [&'static str] {
        match self {
            Generator::SmallFiles => small_files::PARAMETERS,
            Generator::Incompressible => incompressible::PARAMETERS,
            Generator::Binaries => binaries::PARAMETERS,
            Generator::Logs => logs::PARAMETERS,
            Generator::Sparse => sparse::PARAMETERS,
            Generator::Worst => worst::PARAMETERS,
        }
    }

    /// Fills a tree.
    pub fn fill(self, parameters: &Parameters, tree: &Tree<'_>) -> Result<(), BenchError> {
        match self {
            Generator::SmallFiles => small_files::fill(parameters, tree),
            Generator::Incompressible => incompressible::fill(parameters, tree),
            Generator::Binaries => binaries::fill(parameters, tree),
            Generator::Logs => logs::fill(parameters, tree),
            Generator::Sparse => sparse::fill(parameters, tree),
            Generator::Worst => worst::fill(parameters, tree),
        }
    }
}

/// No number of a recipe is above this, so that sums and products of a few of them hold.
const LARGEST: u64 = 1 << 40;

impl Parameters {
    /// Those of a generator; or why these are not.
    pub fn new(generator: Generator, given: BTreeMap<String, u64>) -> Result<Parameters, String> {
        let names = generator.parameters();
        if let Some(unknown) = given.keys().find(|name| !names.contains(&name.as_str())) {
            return Err(format!("the generator has no parameter `{unknown}`; it has {}", names.join(", ")));
        }
        if let Some(missing) = names.iter().find(|name| !given.contains_key(**name)) {
            return Err(format!("the parameter `{missing}` is missing"));
        }
        for (name, value) in &given {
            let needs_some = matches!(name.as_str(), "files" | "services" | "island_kib");
            if *value > LARGEST || (needs_some && *value == 0) {
                return Err(format!("the parameter `{name}` cannot be {value}"));
            }
        }
        if generator == Generator::Sparse && given["hole_mib"] << 10 < given["gap_kib"] + given["island_kib"] {
            return Err("`hole_mib` must have room for a gap and an island".into());
        }
        Ok(Parameters(given))
    }

    /// Their values in the order of the names. Each name is there: [`Parameters::new`] saw to it.
    fn all<const N: usize>(&self, names: &[&str]) -> [u64; N] {
        std::array::from_fn(|i| self.0[names[i]])
    }
}
