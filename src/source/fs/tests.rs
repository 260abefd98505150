//! Tests of the walk: order, roots, and trees that mean harm.

mod hostile;
mod order;
mod reading;
mod rules;

use super::{FsOptions, FsSource};
use crate::base::path::path_of;
use crate::source::{FoundEntry, Source, Walked};
use std::path::Path;

/// Everything a walk gives.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub entries: Vec<FoundEntry>,
    /// Paths and what the system said.
    pub errors: Vec<(Vec<u8>, String)>,
    pub skipped: Vec<Vec<u8>>,
    /// Paths of directories that are not whole.
    pub incomplete: Vec<Vec<u8>>,
}

impl Seen {
    pub fn of(source: &dyn Source) -> Seen {
        let mut seen = Seen::default();
        let ended = source.walk(&mut |walked| {
            match walked {
                Walked::Entry(found) => seen.entries.push(found),
                Walked::Error { path, error } => seen.errors.push((path, error.to_string())),
                Walked::Skipped { path, .. } => seen.skipped.push(path),
                Walked::Incomplete { key } => seen.incomplete.push(path_of(&key)),
            }
            true
        });
        ended.unwrap();
        assert!(seen.entries.is_sorted_by(|a, b| a.key < b.key), "keys ascend strictly");
        for found in &seen.entries {
            assert_eq!(crate::base::path::check_key(&found.key), Ok(()));
        }
        seen
    }

    /// Of a walk that finds nothing wrong.
    pub fn well(source: &dyn Source) -> Seen {
        let seen = Seen::of(source);
        assert!(seen.errors.is_empty(), "{:?}", seen.errors);
        seen
    }

    pub fn paths(&self) -> Vec<Vec<u8>> {
        self.entries.iter().map(|found| path_of(&found.key)).collect()
    }

    /// Paths below a folder, relative to it.
    pub fn below(&self, folder: &Path) -> Vec<String> {
        use std::os::unix::ffi::OsStrExt;
        let prefix = [folder.as_os_str().as_bytes(), b"/"].concat();
        let relative = |path: Vec<u8>| Some(String::from_utf8_lossy(path.strip_prefix(&prefix[..])?).into_owned());
        self.paths().into_iter().filter_map(relative).collect()
    }

    pub fn get(&self, path: impl AsRef<Path>) -> &FoundEntry {
        use std::os::unix::ffi::OsStrExt;
        let path = path.as_ref().as_os_str().as_bytes();
        self.entries.iter().find(|found| path_of(&found.key) == path).expect("the walk found it")
    }
}

pub(super) fn source_of(root: &Path) -> FsSource {
    source(FsOptions { roots: vec![root.to_path_buf()], ..FsOptions::default() })
}

pub(super) fn source(options: FsOptions) -> FsSource {
    FsSource::new(options).unwrap()
}
