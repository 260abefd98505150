//! Where a store's objects lie. Every byte goes through [`Storage`], so that a wrapper sees everything.

pub mod key;
pub mod error;
pub mod block;
pub mod local;
pub mod memory;
#[cfg(any(test, feature = "internals"))]
pub mod layer;
#[cfg(any(test, feature = "internals"))]
pub mod conformance;

use crate::base::time::Time;
pub use block::{Block, BlockPool};
pub use error::{StorageError, StorageErrorKind};
pub use key::{Area, StorageKey};
pub use local::LocalStorage;
pub use memory::MemoryStorage;

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub key: StorageKey,
    /// Its length in bytes. No object is empty: 0 means that what was there is lost. Something that is no file lies in its
    /// place, or a file without content; who reads it is told which.
    pub len: u64,
    /// When it was stored, by the storage's clock.
    pub stored: Time,
}

/// What a storage can be relied on for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Creating under a name that exists fails, for everyone, always.
    pub create_if_absent: bool,
    /// How stale a listing can be, in seconds; `None`: unknown.
    pub listing_stale_s: Option<u32>,
    /// What is stored outlives the process.
    pub persistent: bool,
}

/// What became of a create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It is there now, durable.
    New,
    /// There was one before; it is unchanged.
    Exists,
}

/// A storage connector. All methods may be called from any thread.
pub trait Storage: Send + Sync {
    /// Where this is, for people.
    fn location(&self) -> String;

    /// What can be relied on.
    fn capabilities(&self) -> Capabilities;

    /// Creates an object whole and durable (file and directory synced), or finds that one is there.
    fn put_if_absent(&self, key: &StorageKey, bytes: &[u8]) -> Result<Created, StorageError>;

    /// Begins an object whose name is not known yet.
    fn writer(&self, area: Area) -> Result<Box<dyn StorageWriter>, StorageError>;

    /// A whole object; `NotFound` when it is not there; `TooLarge` beyond `max` bytes.
    fn get(&self, key: &StorageKey, max: usize) -> Result<Vec<u8>, StorageError>;

    /// Fills `buf` from `offset`; a shorter object is `Short`.
    fn get_range(&self, key: &StorageKey, offset: u64, buf: &mut [u8]) -> Result<(), StorageError>;

    /// Length and time of one object.
    fn head(&self, key: &StorageKey) -> Result<Listed, StorageError>;

    /// Every object of an area (names that are no keys are passed over: a store may hold temporary files).
    /// Complete, or an error. What lies in the place of an object and is no file is given too, with length 0.
    fn list(&self, area: Area, found: &mut dyn FnMut(Listed)) -> Result<(), StorageError>;

    /// Removes an object, durably; one that is not there is no error.
    fn delete(&self, key: &StorageKey) -> Result<(), StorageError>;

    /// Areas whose folder is missing (a copy may have dropped the empty ones): their listing fails, so that a store that
    /// is not wholly there is never taken for an empty one. A storage without folders has none.
    fn missing_folders(&self) -> Result<Vec<Area>, StorageError> {
        Ok(Vec::new())
    }

    /// Makes the folder of such an area again, durably.
    fn make_folder(&self, _area: Area) -> Result<(), StorageError> {
        Ok(())
    }
}

/// An object being written.
pub trait StorageWriter: Send {
    /// Appends the block's bytes (`block.len()`). All but the last are full. May write padding that `commit` cuts off.
    fn append(&mut self, block: &mut Block) -> Result<(), StorageError>;

    /// Makes it durable under its name (file synced, linked without replacing, directory synced).
    fn commit(self: Box<Self>, key: &StorageKey) -> Result<Created, StorageError>;

    /// Gives it up and removes what was written.
    fn abort(self: Box<Self>);
}
