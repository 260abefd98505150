//! The reasons why a backup makes no snapshot.

use crate::store::StoreError;
use crate::work::failure::WorkerPanic;
use crate::work::parallel::NoThread;
use std::io;

/// Why there is no snapshot. What could not be read of single files is no such reason.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The source failed as a whole.
    #[error("{what} {path}: {source}")]
    Source {
        /// What was tried.
        what: &'static str,
        /// Where in the source.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A worker panicked.
    #[error(transparent)]
    Panic(#[from] WorkerPanic),
    /// The system gave no thread.
    #[error(transparent)]
    NoThread(#[from] NoThread),
    /// It was cancelled.
    #[error("interrupted")]
    Interrupted,
}

impl BackupError {
    /// Whether an object of the store is damaged or missing, as opposed to something failing.
    pub fn is_damage(&self) -> bool {
        matches!(self, BackupError::Store(error) if error.is_damage())
    }
}
