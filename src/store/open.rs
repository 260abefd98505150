//! Creating and opening.

use super::{Places, Store, StoreError};
use crate::crypto::slot::{Credential, KdfCost};
use crate::storage::Storage;
use std::sync::Arc;

/// How a new store shall be.
#[derive(Default)]
pub struct CreateOptions {
    /// Cost of a passphrase slot.
    pub kdf: KdfCost,
    /// Label of the first key slot.
    pub label: String,
    /// Store secret of another store (`init --like`), so that a sync copies without cutting again.
    pub store_secret: Option<zeroize::Zeroizing<[u8; 32]>>,
    /// Other chunker parameters than the default.
    pub chunker: Option<crate::format::config::ChunkerParams>,
    /// Another pack size than the default (for tests of small stores); a multiple of 4096.
    pub pack_bytes: Option<u32>,
}

impl Store {
    /// Makes a store: secrets, first key slot, config/0 signed by the maintainer key, in this order; then opens it.
    pub fn create(
        _storage: Arc<dyn Storage>,
        _credential: &Credential,
        _places: Places,
        _options: CreateOptions,
    ) -> Result<Store, StoreError> {
        todo!()
    }

    /// Opens a store: highest config, key slots, epochs, signature, trust file. Does not read the index.
    pub fn open(_storage: Arc<dyn Storage>, _credential: &Credential, _places: Places) -> Result<Store, StoreError> {
        todo!()
    }

    /// Brings the cached index up to date with the store's segments (those of sessions with outcome "none" are ignored).
    pub fn load_index(&self) -> Result<(), StoreError> {
        todo!()
    }
}
