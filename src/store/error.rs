//! What ends an operation on a store.

use crate::base::id::{ObjectId, SessionId};
use crate::index::IndexError;
use crate::object::ObjectError;
use crate::storage::StorageError;
use crate::work::failure::WorkerPanic;
use crate::work::parallel::NoThread;

/// A failure of the store: the session ends and nothing is committed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say it")]
pub enum StoreError {
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error("no store at {0}; `larder init` makes one")]
    NoStore(String),
    /// Objects that only a store has, and no config.
    #[error(
        "the store at {location} has lost its config, and nobody can open it without a copy of that: {remains} are there, \
         and nothing in config/"
    )]
    ConfigLost { location: String, remains: String },
    #[error(
        "the store at {0} has lost its key slots, and nobody can open it without a copy of one: nothing is in keys/"
    )]
    KeysLost(String),
    #[error("there is a store at {0} already")]
    StoreExists(String),
    #[error("no key slot of this store opens with that passphrase or key file")]
    WrongSecret,
    #[error("this store needs a newer larder (feature bits {0:#x})")]
    NeedsNewer(u64),
    #[error("config is not signed by a maintainer of its roster, or is older than one seen before: {0}")]
    Config(String),
    #[error("no snapshot matches {0:?}")]
    NoSnapshot(String),
    #[error("{0:?} is the beginning of more than one snapshot id")]
    Ambiguous(String),
    #[error("{path}: {why} (snapshot {snapshot})")]
    Path { snapshot: ObjectId, path: String, why: &'static str },
    #[error("{0}")]
    NoMatch(String),
    #[error("another run settled this session as ended; nothing was committed. Run the backup again")]
    Settled,
    /// A snapshot of which nothing is left.
    #[error(
        "it is gone, and with it all that its session left: {who}, and nobody removed it. It was lost or deleted, or the store \
         was put back to an earlier state"
    )]
    SnapshotGone { who: &'static str },
    #[error("session {session} is in doubt: {reason}")]
    Doubt { session: SessionId, reason: String },
    #[error("{what} {path}: {source}")]
    Local { what: &'static str, path: String, source: std::io::Error },
    #[error("a worker failed: {0}")]
    Panic(String),
    #[error("{0}")]
    Refused(String),
    /// It gives nothing any more.
    #[error("{0}")]
    StorageFails(String),
    #[error("interrupted")]
    Interrupted,
}

impl From<StorageError> for StoreError {
    fn from(e: StorageError) -> StoreError {
        StoreError::Object(ObjectError::Storage(e))
    }
}

impl From<WorkerPanic> for StoreError {
    fn from(WorkerPanic(text): WorkerPanic) -> StoreError {
        StoreError::Panic(text)
    }
}

impl From<NoThread> for StoreError {
    fn from(NoThread(source): NoThread) -> StoreError {
        StoreError::Local { what: "start", path: "a thread".into(), source }
    }
}

impl StoreError {
    /// Whether an object of the store is damaged or missing, as opposed to something failing.
    pub fn is_damage(&self) -> bool {
        match self {
            StoreError::Object(error) => error.is_damage(),
            StoreError::SnapshotGone { .. } => true,
            StoreError::Doubt { .. } | StoreError::ConfigLost { .. } | StoreError::KeysLost(_) => true,
            _ => false,
        }
    }

    /// Whether the storage failed to give an object: nothing is known of what it holds.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, StoreError::Object(error) if error.is_unreadable())
    }
}
