//! Verifying a data set: reading it, and holding it against what is known of it.

use super::digest::{self, TreeDigest};
use super::made::{Record, State, place, state};
use super::recipe::{Recipe, Source};
use super::tree::Version;
use super::{DataPlaces, Watch};
use crate::harness::error::BenchError;

/// What a verification found in one version.
#[derive(Debug, Clone)]
pub struct Verified {
    pub version: Version,
    /// What is there.
    pub found: Option<TreeDigest>,
    /// How that compares.
    pub outcome: Outcome,
}

/// What is there beside what the recipe says, or what was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Same,
    /// No digest is known, so nothing is said of what is there.
    NothingKnown,
    /// Another digest, in words.
    Differs(String),
    /// Nothing is there; where, and what helps.
    Missing(String),
}

impl Verified {
    /// Whether it is not what it should be.
    pub fn is_damaged(&self) -> bool {
        matches!(self.outcome, Outcome::Differs(_) | Outcome::Missing(_))
    }
}

/// Reads a data set and holds it against its recipe; where that has no digest, against the record of its making.
pub fn verify(recipe: &Recipe, places: &DataPlaces, watch: &Watch<'_>) -> Result<Vec<Verified>, BenchError> {
    let name = &recipe.name;
    let record = match &recipe.source {
        Source::Path(_) => None,
        _ => match state(recipe, places)? {
            State::Made(record) | State::Incomplete(record) => Some(record),
            State::Outdated => {
                return Err(BenchError::Missing(format!(
                    "{name} was made by another recipe: `larder bench data make {name}` makes it anew"
                )));
            }
            State::Missing | State::Foreign => {
                return Err(BenchError::Missing(format!("{name} is not made: `larder bench data make {name}` does")));
            }
        },
    };
    Version::BOTH
        .into_iter()
        .filter(|version| recipe.expected(*version).is_some())
        .map(|version| hold(recipe, record.as_ref(), version, places, watch))
        .collect()
}

/// One version beside what is known of it.
fn hold(
    recipe: &Recipe,
    record: Option<&Record>,
    version: Version,
    places: &DataPlaces,
    watch: &Watch<'_>,
) -> Result<Verified, BenchError> {
    let path = place(recipe, version, places);
    if path.symlink_metadata().is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound) {
        let help = match record {
            Some(_) => format!(": `larder bench data make {} --again` makes it anew", recipe.name),
            None => format!("; its recipe {} says where it lies", recipe.file),
        };
        let outcome = Outcome::Missing(format!("{} is not there{help}", path.display()));
        return Ok(Verified { version, found: None, outcome });
    }
    let found = digest::of(&path, watch)?;
    let expected = recipe.expected(version);
    let made = record.and_then(|record| record.version(version));
    let outcome = match (expected.and_then(|expected| expected.differs(&found)), made) {
        (Some(why), _) => Outcome::Differs(why),
        (None, Some(made)) if *made != found => Outcome::Differs(format!("its digest is {found}; made was {made}")),
        (None, None) if expected.is_none_or(|expected| expected.digest.is_none()) => Outcome::NothingKnown,
        (None, _) => Outcome::Same,
    };
    Ok(Verified { version, found: Some(found), outcome })
}
