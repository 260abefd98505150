//! Data sets: a recipe each, made once, found by name; or any path.

use super::error::BenchError;
use super::report::DataUsed;
use std::path::{Path, PathBuf};

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
        let (mut bytes, mut files, mut open) = (0, 0, vec![self.path.clone()]);
        while let Some(path) = open.pop() {
            let meta = path.symlink_metadata().map_err(BenchError::io("look at", &path))?;
            if meta.is_dir() {
                for entry in path.read_dir().map_err(BenchError::io("list", &path))? {
                    open.push(entry.map_err(BenchError::io("list", &path))?.path());
                }
            } else if meta.is_file() {
                (bytes, files) = (bytes + meta.len(), files + 1);
            }
        }
        Ok(DataUsed { name: self.name.clone(), bytes, files })
    }
}

/// The data a person named: a path that is there, or a data set that is made when it is not there yet.
pub fn resolve(word: &str, _places: &DataPlaces) -> Result<DataSet, BenchError> {
    let path = Path::new(word);
    if path.exists() {
        return Ok(DataSet { name: word.into(), path: path.into(), second: None });
    }
    Err(BenchError::Missing(format!("{word}: neither a path nor a data set; `larder bench data list` has their names")))
}
