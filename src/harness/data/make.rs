//! Making a data set: beside its place, whole or not at all, by one process at a time; and verifying one.
//!
//! A made data set is a folder of its name with `first`, `second` when there is one, and `made.json`, which says what it
//! was made by and what came out.

use super::catalog::Catalog;
use super::digest::{self, TreeDigest};
use super::recipe::{Recipe, Source};
use super::tree::{Tree, Version};
use super::{DataPlaces, Watch, command, database, image, package};
use crate::harness::error::BenchError;
use crate::harness::report::{Unit, number};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The record in a data set's folder.
const RECORD: &str = "made.json";
/// What a small file takes beyond its bytes, on average half a block, and an inode.
const FILE_OVERHEAD: u64 = 2304;
/// How often a data set that another process makes is looked at.
const TICK: Duration = Duration::from_millis(200);

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
    /// Nothing.
    Missing,
    /// The data set.
    Made(Record),
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

/// What lies there. Data that is not made has no state: it is asked for by its path.
pub fn state(recipe: &Recipe, places: &DataPlaces) -> Result<State, BenchError> {
    let home = home(recipe, places)?;
    let record = home.join(RECORD);
    match fs::read(&record) {
        Ok(bytes) => Ok(match serde_json::from_slice::<Record>(&bytes) {
            Ok(record) if record.recipe == recipe.fingerprint() => State::Made(record),
            _ => State::Outdated,
        }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            Ok(if home.symlink_metadata().is_ok() { State::Foreign } else { State::Missing })
        }
        Err(e) => Err(BenchError::io("read", &record)(e)),
    }
}

fn home(recipe: &Recipe, places: &DataPlaces) -> Result<PathBuf, BenchError> {
    if places.made.as_os_str().is_empty() {
        return Err(BenchError::Invalid("no folder for data sets is named: give --data-dir".into()));
    }
    Ok(places.made.join(&recipe.name))
}

/// Makes a data set that is not there, or is another recipe's, and whatever it is made of. With `again` also one that is.
pub fn make(
    catalog: &Catalog,
    recipe: &Recipe,
    places: &DataPlaces,
    again: bool,
    watch: &Watch<'_>,
) -> Result<Record, BenchError> {
    if let Source::Path(_) = recipe.source {
        return Err(BenchError::Invalid(format!(
            "{} is not made: its recipe {} says where it lies; `larder bench data verify {}` reads it",
            recipe.name, recipe.file, recipe.name
        )));
    }
    let home = home(recipe, places)?;
    let from = match recipe.source.from() {
        Some(from) => Some(ensure_from(catalog, recipe, from, places, watch)?),
        None => None,
    };
    fs::create_dir_all(&places.made).map_err(BenchError::io("make", &places.made))?;
    let _lock = lock(recipe, places, watch)?;
    match state(recipe, places)? {
        State::Made(record) if !again => return Ok(record),
        State::Foreign => {
            let home = home.display();
            return Err(BenchError::Invalid(format!(
                "{home} is there and was not made by `larder bench data make`: move it away, or name another folder \
                 with --data-dir"
            )));
        }
        _ => {}
    }
    let prefix = format!(".making-{}.", recipe.name);
    remove_leftovers(places, &prefix)?;
    check_room(recipe, places)?;
    watch.say(&format!("making {} in {}", recipe.name, places.made.display()));
    let temporary = tempfile::Builder::new().prefix(&prefix).tempdir_in(&places.made);
    let temporary = temporary.map_err(BenchError::io("make a folder in", &places.made))?;
    let new = temporary.path().join("new");
    fs::create_dir(&new).map_err(BenchError::io("make", &new))?;
    let record = fill(recipe, from.as_ref(), &new, temporary.path(), places, watch)?;
    let text = serde_json::to_string_pretty(&record).map_err(|e| BenchError::Invalid(e.to_string()))?;
    fs::write(new.join(RECORD), text + "\n").map_err(BenchError::io("write", &new.join(RECORD)))?;
    fs::set_permissions(&new, Permissions::from_mode(0o755)).map_err(BenchError::io("set the mode of", &new))?;
    put(&new, &home, temporary.path())?;
    Ok(record)
}

/// The data set that another is made of, in both versions.
fn ensure_from(
    catalog: &Catalog,
    recipe: &Recipe,
    from: &str,
    places: &DataPlaces,
    watch: &Watch<'_>,
) -> Result<[PathBuf; 2], BenchError> {
    let wrong = |why: String| BenchError::Invalid(format!("the recipe {} cannot be used: {why}", recipe.file));
    let source = catalog.find(from).map_err(|e| wrong(e.to_string()))?;
    if source.source.from().is_some() {
        return Err(wrong(format!("{from} is itself made of another data set")));
    }
    if recipe.second.is_some() && source.second.is_none() {
        return Err(wrong(format!("{from} has no second version")));
    }
    if !matches!(source.source, Source::Path(_)) {
        make(catalog, source, places, false, watch)?;
    }
    Ok(Version::BOTH.map(|version| place(source, version, places)))
}

/// Holds the right to make this data set, until it is dropped.
fn lock(recipe: &Recipe, places: &DataPlaces, watch: &Watch<'_>) -> Result<File, BenchError> {
    let path = places.made.join(format!(".{}.lock", recipe.name));
    let file = File::options().create(true).append(true).open(&path).map_err(BenchError::io("make", &path))?;
    let mut said = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::Error(e)) => return Err(BenchError::io("lock", &path)(e)),
            Err(fs::TryLockError::WouldBlock) => {
                if !said {
                    watch.say(&format!("another process makes {}: waiting for it", recipe.name));
                    said = true;
                }
                watch.poll()?;
                std::thread::sleep(TICK);
            }
        }
    }
}

/// What a process left that was killed while it made this; the lock says that none does now.
fn remove_leftovers(places: &DataPlaces, prefix: &str) -> Result<(), BenchError> {
    for entry in places.made.read_dir().map_err(BenchError::io("list", &places.made))? {
        let entry = entry.map_err(BenchError::io("list", &places.made))?;
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()) {
            fs::remove_dir_all(entry.path()).map_err(BenchError::io("remove", &entry.path()))?;
        }
    }
    Ok(())
}

/// An error when there is surely not enough space.
fn check_room(recipe: &Recipe, places: &DataPlaces) -> Result<(), BenchError> {
    let stat = rustix::fs::statvfs(&places.made).map_err(|e| BenchError::io("look at", &places.made)(e.into()))?;
    room_for(recipe, stat.f_bavail.saturating_mul(stat.f_frsize), places)
}

fn room_for(recipe: &Recipe, free: u64, places: &DataPlaces) -> Result<(), BenchError> {
    let mut needed = 0;
    for expected in [Some(&recipe.first), recipe.second.as_ref()].into_iter().flatten() {
        let files = expected.files.unwrap_or(0).saturating_mul(FILE_OVERHEAD);
        needed += expected.disk.or(expected.bytes).unwrap_or(0).saturating_add(files);
    }
    if let Source::Package(_) = recipe.source {
        // The package and the archive in it lie there while it is unpacked.
        needed += needed / 5;
    }
    if needed <= free {
        return Ok(());
    }
    let [needed, free] = [needed, free].map(|bytes| number::show(bytes as f64, Unit::Bytes));
    Err(BenchError::Missing(format!(
        "{} needs {needed} in {}, and {free} are free there: make room, or name another folder with --data-dir",
        recipe.name,
        places.made.display()
    )))
}

/// Makes the versions in `new`, one after the other, and holds each against the recipe.
fn fill(
    recipe: &Recipe,
    from: Option<&[PathBuf; 2]>,
    new: &Path,
    temporary: &Path,
    places: &DataPlaces,
    watch: &Watch<'_>,
) -> Result<Record, BenchError> {
    let (mut made_from, mut digests) = (vec![], vec![]);
    for (i, version) in Version::BOTH.into_iter().enumerate() {
        let Some(expected) = recipe.expected(version) else { continue };
        watch.say(&format!("making {}: {} version", recipe.name, version.word()));
        let work = temporary.join(format!("work-{}", version.word()));
        fs::create_dir(&work).map_err(BenchError::io("make", &work))?;
        let (first, out) = (new.join(Version::First.word()), new.join(version.word()));
        let first = (version == Version::Second).then_some(first.as_path());
        match (&recipe.source, from, first) {
            (Source::Seeded(generator, parameters), ..) => {
                let tree = Tree::create(&out, version, watch)?;
                generator.fill(parameters, &tree)?;
                tree.finish()?;
            }
            (Source::Package(package), ..) => {
                made_from.push(package::fill(package, version, &out, &work, places, watch)?);
            }
            (Source::Image(image), Some(from), None) => image::first(image, &from[0], &out, watch)?,
            (Source::Image(_), Some([a, b]), Some(first)) => image::second(first, [a, b], &out, &work, watch)?,
            (Source::Database(database), _, first) => database::fill(database, first, &out, &work, watch)?,
            (Source::Command(command), from, first) => {
                command::fill(command, version, first, from.map(|from| from[i].as_path()), &out, watch)?;
            }
            (Source::Image(_), None, _) | (Source::Path(_), ..) => {
                return Err(BenchError::Invalid(format!("{} cannot be made", recipe.name)));
            }
        }
        fs::remove_dir_all(&work).map_err(BenchError::io("remove", &work))?;
        let digest = digest::of(&out, watch)?;
        if let Some(why) = expected.differs(&digest) {
            let (name, file, word) = (&recipe.name, &recipe.file, version.word());
            return Err(BenchError::NotMeasured(format!(
                "the {word} version of {name} is not what its recipe {file} says: {why}"
            )));
        }
        digests.push(digest);
    }
    let mut digests = digests.into_iter();
    let first = digests.next().unwrap_or_default();
    Ok(Record { recipe: recipe.fingerprint(), made_from, first, second: digests.next() })
}

/// Brings the new folder to its place. What is written back now does not disturb what is measured next.
fn put(new: &Path, home: &Path, temporary: &Path) -> Result<(), BenchError> {
    let folder = File::open(new).map_err(BenchError::io("open", new))?;
    rustix::fs::syncfs(&folder).map_err(|e| BenchError::io("write back", new)(e.into()))?;
    if home.exists() {
        let old = temporary.join("old");
        fs::rename(home, &old).map_err(BenchError::io("move away", home))?;
    }
    fs::rename(new, home).map_err(BenchError::io("move into its place", home))
}

/// What a verification found in one version.
#[derive(Debug, Clone)]
pub struct Verified {
    /// Which.
    pub version: Version,
    /// What is there.
    pub found: TreeDigest,
    /// How that differs from what the recipe says, or from what was made.
    pub differs: Option<String>,
}

/// Reads a data set and holds it against its recipe; where that has no digest, against the record of its making.
pub fn verify(recipe: &Recipe, places: &DataPlaces, watch: &Watch<'_>) -> Result<Vec<Verified>, BenchError> {
    let name = &recipe.name;
    let record = match &recipe.source {
        Source::Path(_) => None,
        _ => match state(recipe, places)? {
            State::Made(record) => Some(record),
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
    let mut verified = vec![];
    for version in Version::BOTH {
        let Some(expected) = recipe.expected(version) else { continue };
        let found = digest::of(&place(recipe, version, places), watch)?;
        let made = record.as_ref().and_then(|record| record.version(version));
        let moved = made.filter(|made| **made != found);
        let differs =
            expected.differs(&found).or_else(|| moved.map(|made| format!("its digest is {found}; made was {made}")));
        verified.push(Verified { version, found, differs });
    }
    Ok(verified)
}
