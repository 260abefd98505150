//! The folder of an index: which run files are current, and clearing away the others.
//!
//! Several processes may use one folder at a time. Every `*.run1` file is a whole run (it got this name when it was
//! complete) and says which segments it holds, so there is no list to keep: a run all of whose segments lie in other,
//! larger runs is superseded, and two runs that hold one segment do no harm. A removed file stays mapped where it is open.
//! Whoever merges or clears away holds the lock.

use super::IndexError;
use super::run::Run;
use super::writer::TEMPORARY_PREFIX;
use crate::base::id::{ObjectId, StoreId};
use crate::base::machine_file;
use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tempfile::NamedTempFile;

/// How a run's name ends: another version of the format has another one.
const RUN_SUFFIX: &str = ".run1";
const LOCK_NAME: &str = "lock";
/// A temporary file not written to for so long has been locked by its writer, if there is one.
const TEMPORARY_AGE: Duration = Duration::from_secs(3600);
/// Readings of the folder, when files that it lists are gone (merged by another process) before they are opened.
const SCANS: usize = 5;

/// The folder with the runs of one store.
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder if it is not there.
    pub fn open(path: &Path) -> Result<Folder, IndexError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Ok(Folder { path: path.to_owned() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The lock, if nobody has it; it ends when the file is dropped. It saves work, but nothing is lost without it, so a
    /// file system that knows no locks is no error.
    pub fn try_lock(&self) -> Result<Option<File>, IndexError> {
        let path = self.path.join(LOCK_NAME);
        let opened = match machine_file::open_lock(&path) {
            Err(error) if machine_file::is_no_file(&error) => {
                remove(&path)?;
                machine_file::open_lock(&path)
            }
            opened => opened,
        };
        let file = match opened {
            Err(error) if machine_file::is_no_file(&error) => return Ok(None),
            opened => opened?,
        };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(None),
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(file)),
        }
    }

    /// Opens the current runs, largest first. Damaged and foreign files and old temporary ones are removed.
    pub fn runs(&self, store: StoreId) -> Result<Vec<Run>, IndexError> {
        for _ in 1..SCANS {
            if let Some(runs) = self.scan(store)? {
                return Ok(runs);
            }
        }
        // Somebody merges all the time. What is lost is read again from the segments.
        Ok(self.scan(store)?.unwrap_or_default())
    }

    /// None when a file that was listed was gone when it was to be opened.
    fn scan(&self, store: StoreId) -> Result<Option<Vec<Run>>, IndexError> {
        let mut runs = Vec::new();
        for file in fs::read_dir(&self.path)? {
            let path = file?.path();
            if path.extension().is_none_or(|extension| extension != &RUN_SUFFIX[1..]) {
                remove_if_old(&path)?;
                continue;
            }
            match Run::open(&path) {
                Ok(run) if run.head().store == store => runs.push(run),
                Ok(_) | Err(IndexError::Damaged(_)) => remove(&path)?,
                Err(IndexError::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        // Ties by name, so that all processes choose the same.
        runs.sort_by(|a, b| (b.rows(), a.path()).cmp(&(a.rows(), b.path())));
        let mut held: HashSet<ObjectId> = HashSet::new();
        let (mut current, mut superseded) = (Vec::with_capacity(runs.len()), Vec::new());
        for run in runs {
            // Not `any`: every segment has to be added.
            if run.segments().filter(|segment| held.insert(*segment)).count() > 0 {
                current.push(run);
            } else {
                superseded.push(run);
            }
        }
        if !superseded.is_empty()
            && let Some(_lock) = self.try_lock()?
        {
            superseded.iter().try_for_each(|run| remove(run.path()))?;
        }
        Ok(Some(current))
    }

    /// Opens a finished run and gives it its name: in this order, since from then on another process may merge it away.
    pub fn adopt(&self, file: NamedTempFile) -> Result<Run, IndexError> {
        let mut name = [0; 16];
        getrandom::fill(&mut name).map_err(io::Error::other)?;
        let path = self.path.join(format!("{}{RUN_SUFFIX}", StoreId(name)));
        let run = Run::open(file.path())?;
        file.persist_noclobber(&path).map_err(|error| error.error)?;
        Ok(run.renamed(path))
    }
}

/// Removes a file, or whatever lies in its place; that it is gone already is as good.
pub fn remove(path: &Path) -> Result<(), IndexError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // A folder in its place, which somebody made: it is not emptied.
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => Ok(()),
        other => Ok(other?),
    }
}

/// Removes a temporary file that a killed process left behind.
fn remove_if_old(path: &Path) -> Result<(), IndexError> {
    let ours = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(TEMPORARY_PREFIX));
    if !ours {
        return Ok(());
    }
    let modified = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    let old = modified.is_ok_and(|time| SystemTime::now().duration_since(time).is_ok_and(|age| age > TEMPORARY_AGE));
    // Its writer, or the session that it belongs to, holds a lock on it.
    if old && machine_file::open(path).is_ok_and(|file| file.try_lock().is_ok()) { remove(path) } else { Ok(()) }
}
