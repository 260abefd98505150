//! Data sets: a recipe each, made once, found by name; or any path.
//!
//! | file | what |
//! |---|---|
//! | [`catalog`] | which there are: compiled recipes and those of further folders |
//! | [`recipe`] | what a recipe says |
//! | [`made`] | what lies at a data set's place |
//! | [`verify`] | reading it, and holding it against what is known |
//! | [`make`] | making |
//! | [`digest`] | the digest of a tree |
//! | [`content`] | which of a file's bytes are no holes |
//! | [`generate`] | seeded generators |
//! | `package`, `image`, `database`, `command` | what other programs make |

pub mod catalog;
pub mod recipe;
pub mod made;
pub mod verify;
pub mod make;
pub mod digest;
pub mod content;
pub mod generate;
pub mod tree;
pub mod watch;
mod command;
mod database;
mod image;
mod package;
mod tool;

pub use catalog::Catalog;
pub use watch::Watch;

use super::error::BenchError;
use super::report::DataUsed;
use made::State;
use recipe::{Recipe, Source};
use std::path::{Path, PathBuf};
use tree::Version;

/// Where data sets lie on this machine, and where more recipes come from.
#[derive(Debug, Clone, Default)]
pub struct DataPlaces {
    /// Made data sets: one folder a name.
    pub made: PathBuf,
    /// Folders with further recipes (`--datasets DIR`).
    pub recipes: Vec<PathBuf>,
}

/// Data to measure on, there on this machine.
#[derive(Debug, Clone, Default)]
pub struct DataSet {
    /// Name of the recipe, or the path as given.
    pub name: String,
    /// The folder or file to back up.
    pub path: PathBuf,
    /// Another version of the same data, when the recipe has one.
    pub second: Option<PathBuf>,
}

impl DataSet {
    /// What a report says of it: walks it, to count.
    pub fn used(&self) -> Result<DataUsed, BenchError> {
        let (mut used, mut open, mut links) = (
            DataUsed { name: self.name.clone(), ..DataUsed::default() },
            vec![self.path.clone()],
            content::Links::default(),
        );
        while let Some(path) = open.pop() {
            let meta = path.symlink_metadata().map_err(BenchError::io("look at", &path))?;
            if meta.is_dir() {
                for entry in path.read_dir().map_err(BenchError::io("list", &path))? {
                    open.push(entry.map_err(BenchError::io("list", &path))?.path());
                }
            } else if meta.is_file() && links.is_another(&meta) {
                used.files += 1;
            } else if meta.is_file() {
                used.bytes += meta.len();
                used.holes += meta.len().saturating_sub(content::bytes(&content::ranges(&path, &meta)));
                used.files += 1;
            }
        }
        Ok(used)
    }

    /// The same; data without a byte is an error, as every rate of it would be of nothing.
    pub fn used_with_content(&self) -> Result<DataUsed, BenchError> {
        let used = self.used()?;
        if used.content() == 0 {
            let what = format!("{} holds no content: name other data", self.path.display());
            return Err(BenchError::NotMeasured(what));
        }
        Ok(used)
    }
}

/// The data a person named: a path that is there, or a data set. A seeded one is made when it is not there yet; what needs
/// other programs or the network is made only by `larder bench data make`, and the error says so.
pub fn resolve(word: &str, places: &DataPlaces) -> Result<DataSet, BenchError> {
    resolve_watched(word, places, &Watch::default())
}

/// The same; the watch hears when something is made, and may end that.
pub fn resolve_watched(word: &str, places: &DataPlaces, watch: &Watch<'_>) -> Result<DataSet, BenchError> {
    let path = Path::new(word);
    if path.exists() {
        return Ok(DataSet { name: word.into(), path: path.into(), second: None });
    }
    let catalog = Catalog::load(places)?;
    let recipe = catalog.find(word).map_err(|_| {
        BenchError::Missing(format!("{word}: neither a path nor a data set; there are {}", catalog.names()))
    })?;
    match &recipe.source {
        Source::Path(_) => {}
        Source::Seeded(..) => {
            make::make(&catalog, recipe, places, false, watch)?;
        }
        _ => match made::state(recipe, places)? {
            State::Made(record) | State::Incomplete(record) => made::check(recipe, &record, places)?,
            state => {
                let why = if state == State::Outdated { "was made by another recipe" } else { "is not made yet" };
                return Err(BenchError::Missing(format!("{word} {why}: `larder bench data make {word}` makes it")));
            }
        },
    }
    found(recipe, places)
}

/// The data set at its place.
fn found(recipe: &Recipe, places: &DataPlaces) -> Result<DataSet, BenchError> {
    let at = |version| {
        let path = made::place(recipe, version, places);
        path.symlink_metadata().map_err(BenchError::io("find", &path)).map(|_| path)
    };
    let second = if recipe.second.is_some() { Some(at(Version::Second)?) } else { None };
    Ok(DataSet { name: recipe.name.clone(), path: at(Version::First)?, second })
}
