//! What can go wrong with a storage.

use std::io;

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names say it")]
pub enum StorageErrorKind {
    NotFound,
    /// The object is shorter than what was asked for.
    Short,
    /// The object is larger than its kind may be.
    TooLarge,
    /// No room left.
    Full,
    Permission,
    /// Anything else the system says.
    Other,
}

/// A failed storage operation.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {object}: {source}")]
pub struct StorageError {
    /// What kind of failure.
    pub kind: StorageErrorKind,
    /// What was being done: `read`, `create`, `list`, ….
    pub operation: &'static str,
    /// To which object or folder.
    pub object: String,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl StorageError {
    /// From a system error.
    pub fn new(operation: &'static str, object: impl ToString, source: io::Error) -> StorageError {
        let kind = match source.kind() {
            io::ErrorKind::NotFound => StorageErrorKind::NotFound,
            io::ErrorKind::UnexpectedEof => StorageErrorKind::Short,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageErrorKind::Full,
            io::ErrorKind::PermissionDenied => StorageErrorKind::Permission,
            _ => StorageErrorKind::Other,
        };
        StorageError { kind, operation, object: object.to_string(), source }
    }
}
