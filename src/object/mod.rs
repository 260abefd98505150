//! Sealed I/O: the only place where format, codec, crypto and storage meet.

pub mod error;
pub mod layout;
pub mod writer;
pub mod reader;
pub mod small;
pub mod segment;

pub use error::ObjectError;

use crate::base::id::StoreId;
use crate::crypto::keys::{EpochKeys, StoreKeys};

/// The keys that sealed I/O needs.
#[derive(Clone)]
pub struct Keyring {
    /// The store they belong to.
    pub store: StoreId,
    /// Keys of the store secret.
    pub keys: StoreKeys,
    /// Keys of each epoch, oldest first; the last seals what is new.
    pub epochs: Vec<EpochKeys>,
}

impl Keyring {
    /// The newest epoch.
    pub fn newest(&self) -> &EpochKeys {
        todo!()
    }

    /// The epoch of this number.
    pub fn epoch(&self, _number: u32) -> Result<&EpochKeys, ObjectError> {
        todo!()
    }
}
