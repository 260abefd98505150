//! What is left out: exclude patterns by the `ignore` crate's rules.

use std::path::{Path, PathBuf};

/// Exclude rules, as a person gives them.
#[derive(Debug, Clone, Default)]
pub struct Excludes {
    /// Patterns in `.gitignore` syntax, matched from each root.
    pub patterns: Vec<String>,
    /// Files of such patterns.
    pub files: Vec<PathBuf>,
    /// Name of per-directory rule files to honour, e.g. `.gitignore` or `.larderignore`.
    pub per_directory: Vec<String>,
    /// Leave out directories that hold a `CACHEDIR.TAG`.
    pub cache_dirs: bool,
}

/// A bad pattern or an unreadable pattern file.
#[derive(Debug, thiserror::Error)]
#[error("{origin}: {message}")]
pub struct FilterError {
    /// Where the pattern came from.
    pub origin: String,
    /// What is wrong with it.
    pub message: String,
}

/// Compiled rules.
pub struct Filter {
    _private: (),
}

impl Filter {
    /// Compiles the rules.
    pub fn new(_excludes: &Excludes) -> Result<Filter, FilterError> {
        todo!()
    }

    /// Whether an entry is left out, given its path relative to its root.
    pub fn excludes(&self, _relative: &Path, _directory: bool) -> bool {
        todo!()
    }
}
