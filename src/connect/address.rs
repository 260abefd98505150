//! Where a store lies, as people name it.

use super::open::is_unfinished;
use crate::storage::local::LocalStorage;
use crate::storage::{Storage, StorageErrorKind};
use crate::store::StoreError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a store lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// In a folder of this machine.
    Folder(PathBuf),
}

/// A text that is no address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// A `file://` URL that names another host or a relative path.
    #[error("{0}: a file URL names an absolute path: file:///…")]
    FileUrl(String),
    /// A kind of storage that is not known.
    #[error("{0}:// stores are not supported: give a folder or a file:// URL")]
    Scheme(String),
}

/// Why there is no storage to open.
#[derive(Debug, thiserror::Error)]
pub enum NoStorage {
    /// Nothing lies there.
    #[error("there is no store at {}", .0.display())]
    Missing(PathBuf),
    /// A file lies there.
    #[error("there is no store at {}: it is a file", .0.display())]
    File(PathBuf),
    /// The creation of a store was cut short.
    #[error("there is no store at {}: a `larder init` there was interrupted", .0.display())]
    Unfinished(PathBuf),
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Address {
    /// Reads a path or a `file://` URL.
    pub fn parse(named: &Path) -> Result<Address, AddressError> {
        let Some((scheme, rest)) = named.to_str().and_then(|text| text.split_once("://")) else {
            return Ok(Address::Folder(named.into()));
        };
        match scheme {
            "file" if rest.starts_with('/') => Ok(Address::Folder(rest.into())),
            "file" => Err(AddressError::FileUrl(named.display().to_string())),
            _ => Err(AddressError::Scheme(scheme.into())),
        }
    }

    /// The folder in which it lies.
    pub fn folder(&self) -> &Path {
        let Address::Folder(folder) = self;
        folder
    }

    /// The storage of a store that exists.
    pub fn storage(&self) -> Result<Arc<dyn Storage>, NoStorage> {
        let folder = self.folder();
        if folder.is_file() {
            return Err(NoStorage::File(folder.into()));
        }
        match LocalStorage::open(folder) {
            Ok(storage) if is_unfinished(&storage).unwrap_or(false) => Err(NoStorage::Unfinished(folder.into())),
            Ok(storage) => Ok(Arc::new(storage)),
            Err(error) if error.kind == StorageErrorKind::NotFound => Err(NoStorage::Missing(folder.into())),
            Err(error) => Err(NoStorage::Store(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_a_path_or_a_file_url() {
        let folder = |text: &str| Address::parse(Path::new(text));
        let at = |path: &str| Ok(Address::Folder(path.into()));
        assert_eq!(folder("/var/backup"), at("/var/backup"));
        assert_eq!(folder("backup:1"), at("backup:1"));
        assert_eq!(folder("file:///var/backup"), at("/var/backup"));
        assert_eq!(folder("file://host/x"), Err(AddressError::FileUrl("file://host/x".into())));
        assert_eq!(folder("s3://bucket/x"), Err(AddressError::Scheme("s3".into())));
    }
}
