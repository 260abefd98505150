//! Errors of a store.

use crate::base::id::SessionId;
use crate::index::IndexError;
use crate::object::ObjectError;
use crate::storage::StorageError;

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
        "the store at {location} has lost its config: {remains} are there, and config/ is empty. Nobody can open the \
         store without a copy of the config"
    )]
    ConfigLost { location: String, remains: String },
    #[error("the store at {0} has lost its key slots: keys/ is empty. Nobody can open the store without a copy of one")]
    KeysLost(String),
    #[error("there is a store at {0} already")]
    StoreExists(String),
    #[error("no key slot of this store opens with that passphrase or key file")]
    WrongSecret,
    #[error("this store needs a newer larder (feature bits {0:#x})")]
    NeedsNewer(u64),
    #[error("the store's config is not signed by one of its maintainers, or is older than one seen before: {0}")]
    Config(String),
    #[error("no snapshot matches {0:?}")]
    NoSnapshot(String),
    #[error("{0:?} is the beginning of more than one snapshot id")]
    Ambiguous(String),
    /// The selection leaves no snapshot.
    #[error("{0}")]
    NoMatch(String),
    #[error("another run settled this session as ended; nothing was committed. Run the backup again")]
    Settled,
    /// A snapshot of which nothing is left.
    #[error(
        "it is gone, together with everything of its session: {who}, and nobody removed it. It was lost or deleted, \
         or the store was replaced by an earlier copy"
    )]
    SnapshotGone { who: &'static str },
    #[error("session {session} is in doubt: {reason}")]
    Doubt { session: SessionId, reason: String },
    #[error("{what} {path}: {source}")]
    Local { what: &'static str, path: String, source: std::io::Error },
    #[error("{0}")]
    Refused(String),
}

impl From<StorageError> for StoreError {
    fn from(e: StorageError) -> StoreError {
        StoreError::Object(ObjectError::Storage(e))
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
