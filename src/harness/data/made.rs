//! A made data set: a folder of its name with `first`, `second` when there is one, and `made.json`, which says what it was
//! made by and what came out.

use super::digest::TreeDigest;
use super::recipe::{Recipe, Source};
use super::tree::Version;
use super::{DataPlaces, DataSet};
use crate::harness::error::BenchError;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The record in a data set's folder.
pub(super) const RECORD: &str = "made.json";

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The recipe's [`Recipe::fingerprint`].
    pub recipe: String,
    /// Which of several it was made from: versions of packages.
    #[serde(default)]
    pub made_from: Vec<String>,
    /// What came out.
    pub first: TreeDigest,
    /// The same of the second version.
    pub second: Option<TreeDigest>,
}

impl Record {
    /// What came out as this version.
    pub fn version(&self, version: Version) -> Option<&TreeDigest> {
        match version {
            Version::First => Some(&self.first),
            Version::Second => self.second.as_ref(),
        }
    }
}

/// What lies at a data set's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Missing,
    /// The data set.
    Made(Record),
    /// The same without one of its versions.
    Incomplete(Record),
    /// What another recipe of this name made.
    Outdated,
    /// Something that was not made here.
    Foreign,
}

/// Where a version of a data set is, or would be.
pub fn place(recipe: &Recipe, version: Version, places: &DataPlaces) -> PathBuf {
    match (&recipe.source, version) {
        (Source::Path(paths), Version::First) => paths.first.clone(),
        (Source::Path(paths), Version::Second) => paths.second.clone().unwrap_or_default(),
        _ => places.made.join(&recipe.name).join(version.word()),
    }
}

/// What lies there, without reading it. Data that is not made has no state: it is asked for by its path.
pub fn state(recipe: &Recipe, places: &DataPlaces) -> Result<State, BenchError> {
    let home = home(recipe, places)?;
    let record = home.join(RECORD);
    match fs::read(&record) {
        Ok(bytes) => Ok(match serde_json::from_slice::<Record>(&bytes) {
            Ok(record) if record.recipe == recipe.fingerprint() => {
                let is_gone = |version: &Version| {
                    record.version(*version).is_some() && !is_there(&place(recipe, *version, places))
                };
                if Version::BOTH.iter().any(is_gone) { State::Incomplete(record) } else { State::Made(record) }
            }
            _ => State::Outdated,
        }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            Ok(if is_there(&home) { State::Foreign } else { State::Missing })
        }
        Err(e) => Err(BenchError::io("read", &record)(e)),
    }
}

fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The folder of a data set that is made.
pub(super) fn home(recipe: &Recipe, places: &DataPlaces) -> Result<PathBuf, BenchError> {
    if places.made.as_os_str().is_empty() {
        return Err(BenchError::Invalid("no folder for data sets is named: give --data-dir".into()));
    }
    Ok(places.made.join(&recipe.name))
}

/// Whether what lies there has as many files and bytes as were made: a walk without reading, for whoever only uses it.
pub fn check(recipe: &Recipe, record: &Record, places: &DataPlaces) -> Result<(), BenchError> {
    for version in Version::BOTH {
        let Some(made) = record.version(version) else { continue };
        let set = DataSet { path: place(recipe, version, places), ..DataSet::default() };
        let (name, word) = (&recipe.name, version.word());
        let why = match set.path.symlink_metadata() {
            Err(_) => "is gone".into(),
            Ok(_) => match set.used()? {
                used if (used.bytes, used.files) == (made.bytes, made.files) => continue,
                used => format!(
                    "has {} bytes in {} files and was made of {} in {}",
                    used.bytes, used.files, made.bytes, made.files
                ),
            },
        };
        return Err(BenchError::NotMeasured(format!(
            "the {word} version of {name} {why}: `larder bench data verify {name}` reads it, `larder bench data make {name} \
             --again` makes it anew"
        )));
    }
    Ok(())
}
