//! The opened store: creating, opening, sessions, snapshots and reading blobs.

pub mod error;
pub mod places;
pub mod open;
pub mod keys;
pub mod trust;
pub mod session;
pub mod snapshots;
pub mod reader;

pub use error::StoreError;
pub use places::Places;

use crate::base::id::StoreId;
use crate::crypto::sign::SigningKey;
use crate::format::config::Config;
use crate::index::Index;
use crate::object::Keyring;
use crate::storage::Storage;
use std::sync::{Arc, RwLock};

/// An opened store.
pub struct Store {
    /// Where it lies.
    pub storage: Arc<dyn Storage>,
    /// Its config, signature verified.
    pub config: Config,
    /// Its keys.
    pub ring: Arc<Keyring>,
    /// Folders of this machine.
    pub places: Places,
    /// This machine's signing key.
    pub host_key: SigningKey,
    /// The maintainer's key, when the credential's role holds it.
    pub maintainer: Option<SigningKey>,
    /// The index; empty until [`Store::load_index`].
    pub index: Arc<RwLock<Index>>,
}

impl Store {
    /// Its name.
    pub fn id(&self) -> StoreId {
        self.config.store
    }
}
