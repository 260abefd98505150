//! `init`: a new store, and finding out about one before it is opened.

use super::keys::{name_key_file, new_pending_key_file};
use crate::base::id::StoreId;
use crate::base::limits::CONFIG_BYTES_MAX;
use crate::crypto::slot::Credential;
use crate::format::config::SignedConfig;
use crate::object::ObjectError;
use crate::storage::{Area, Storage, StorageKey};
use crate::store::open::CreateOptions;
use crate::store::{Places, Store, StoreError};
use std::path::PathBuf;
use std::sync::Arc;

/// What the first key slot opens with.
pub enum FirstSecret {
    /// What the person has.
    Given(Credential),
    /// A key file that is made in the configuration folder.
    NewKeyFile,
}

/// A store that was made.
pub struct Initialized {
    /// Opened.
    pub store: Store,
    /// The key file that was made: nothing can be restored without it.
    pub key_file: Option<PathBuf>,
}

/// Makes a store on an empty storage and opens it.
pub fn run(
    storage: Arc<dyn Storage>,
    secret: FirstSecret,
    places: Places,
    options: CreateOptions,
) -> Result<Initialized, StoreError> {
    match secret {
        FirstSecret::Given(credential) => {
            let store = Store::create(storage, &credential, places, options)?;
            Ok(Initialized { store, key_file: None })
        }
        FirstSecret::NewKeyFile => {
            let (pending, credential) = new_pending_key_file(&places)?;
            match Store::create(storage, &credential, places.clone(), options) {
                Ok(store) => {
                    let key_file = name_key_file(&pending, &places, store.id())?;
                    Ok(Initialized { store, key_file: Some(key_file) })
                }
                // Another run made the store, with another key: this one opens nothing.
                Err(e @ StoreError::StoreExists(_)) => {
                    _ = std::fs::remove_file(&pending);
                    Err(e)
                }
                // The pending key file stays: it may open what was made before the failure.
                Err(e) => Err(e),
            }
        }
    }
}

/// The name of the store that lies in `storage`, read without any key.
pub fn store_id(storage: &dyn Storage) -> Result<StoreId, StoreError> {
    let mut newest = None;
    storage.list(Area::Config, &mut |listed| {
        if let StorageKey::Config(n) = listed.key {
            newest = newest.max(Some(n));
        }
    })?;
    let number = newest.ok_or_else(|| StoreError::NoStore(storage.location()))?;
    let key = StorageKey::Config(number);
    let bytes = storage.get(&key, CONFIG_BYTES_MAX)?;
    let config = SignedConfig::decode(&bytes).map_err(|source| ObjectError::Decode { object: key.path(), source })?;
    Ok(config.config.store)
}
