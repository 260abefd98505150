//! The reasons why a restore ends early.

use crate::storage::StorageKey;
use crate::store::StoreError;
use crate::tree::place::PlaceError;
use crate::work::failure::WorkerPanic;
use crate::work::parallel::NoThread;
use std::io;

/// Why a restore did not come to its end. What single entries lack is no such reason.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is nothing of this path in the snapshot.
    #[error(transparent)]
    Place(PlaceError),
    /// The options contradict each other, or a pattern or a listed path is none.
    #[error("{0}")]
    Refused(String),
    /// The target could not be opened or flushed, or takes nothing more.
    #[error("{what} {path}: {source}")]
    Target {
        /// What was tried.
        what: &'static str,
        /// The target, or what was written in it.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The storage gives nothing any more.
    #[error("{packs} packs one after another could not be read, the last one {last}: the storage fails")]
    StorageFails {
        /// How many reads failed one after another.
        packs: usize,
        /// The last pack.
        last: StorageKey,
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

impl RestoreError {
    /// Whether an object of the store is damaged or missing, as opposed to something failing.
    pub fn is_damage(&self) -> bool {
        matches!(self, RestoreError::Store(error) if error.is_damage())
    }
}

impl From<PlaceError> for RestoreError {
    fn from(error: PlaceError) -> RestoreError {
        match error {
            PlaceError::Store(error) => RestoreError::Store(error),
            error => RestoreError::Place(error),
        }
    }
}
