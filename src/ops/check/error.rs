//! The reasons why a check could not be made.

use crate::store::StoreError;
use crate::work::failure::WorkerPanic;
use crate::work::parallel::NoThread;
use std::io;

/// Why a check could not be made. What it finds is no such reason.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index, which a check makes anew in the cache, could not be made.
    #[error("cannot make the index in {folder}: {source}")]
    Cache {
        /// The folder.
        folder: String,
        /// What the system said.
        source: io::Error,
    },
    /// The index that was made anew could not be used.
    #[error("{0}")]
    Index(String),
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

impl CheckError {
    /// Whether an object of the store is damaged or missing, as opposed to something failing.
    pub fn is_damage(&self) -> bool {
        matches!(self, CheckError::Store(error) if error.is_damage())
    }
}
