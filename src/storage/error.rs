//! Errors of a storage.

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
    /// Something that is no file lies in its place.
    NoFile,
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
    /// An object longer than its kind may be.
    pub fn too_large(operation: &'static str, object: impl ToString, len: u64, max: usize) -> StorageError {
        let what = format!("has {len} bytes where at most {max} are expected: damaged, or not what its name says");
        let source = io::Error::new(io::ErrorKind::FileTooLarge, what);
        StorageError { kind: StorageErrorKind::TooLarge, operation, object: object.to_string(), source }
    }

    /// An object that ends before what was asked for.
    pub fn short(operation: &'static str, object: impl ToString, wanted_end: u64) -> StorageError {
        let what = format!("ends before byte {wanted_end}: cut short or damaged");
        StorageError::new(operation, object, io::Error::new(io::ErrorKind::UnexpectedEof, what))
    }

    /// Something else than a file in an object's place (or than a folder in an area's): what was there is lost, whatever
    /// the storage does.
    pub fn no_file(operation: &'static str, object: impl ToString, what: &str) -> StorageError {
        let source = io::Error::other(format!("{what} lies in its place: what was there is lost"));
        StorageError { kind: StorageErrorKind::NoFile, operation, object: object.to_string(), source }
    }

    /// Something else than a folder in the place of an object's folder: what was in it is lost.
    pub fn no_folder(operation: &'static str, object: impl ToString) -> StorageError {
        let object = object.to_string();
        let folder = object.rsplit_once('/').map_or("", |(folder, _)| folder);
        let what = format!(
            "something that holds no files lies in the place of the folder {folder}: what was in it is lost. Move it away, \
             then run `larder repair index` and `larder check`"
        );
        StorageError { kind: StorageErrorKind::NoFile, operation, object, source: io::Error::other(what) }
    }

    /// An object that is not there.
    pub fn not_found(operation: &'static str, object: impl ToString) -> StorageError {
        StorageError::new(operation, object, io::Error::new(io::ErrorKind::NotFound, "no such object"))
    }
}
