//! A store in a folder of this machine.

use std::path::Path;

/// Local storage: fsync of file and directory, names created without replacing, packs past the page cache.
pub struct LocalStorage {
    _private: (),
}

impl LocalStorage {
    /// Makes the folder and its areas; the folder may exist but must be empty.
    pub fn create(_folder: &Path) -> Result<LocalStorage, super::StorageError> {
        todo!()
    }

    /// Opens a folder that holds a store (a `config` area); `NotFound` otherwise.
    pub fn open(_folder: &Path) -> Result<LocalStorage, super::StorageError> {
        todo!()
    }
}
