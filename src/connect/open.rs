//! Opens a store with one of several credentials, and answers questions about a store that is not open yet.

use super::key_file::{Exposed, candidate_key_files};
use super::secret::{ReadSecret, Secret, SecretError};
use crate::base::id::StoreId;
use crate::crypto::slot::Credential;
use crate::storage::{Area, Storage};
use crate::store::configs::{newest_config, no_config, read_config};
use crate::store::{MachineFolders, Store, StoreError};
use std::path::PathBuf;
use std::sync::Arc;

/// A credential, and the key file of the configuration folder when it came from there.
pub struct Candidate {
    pub credential: Credential,
    pub file: Option<PathBuf>,
}

impl Candidate {
    /// What a person or the environment gave.
    pub fn given(credential: Credential) -> Candidate {
        Candidate { credential, file: None }
    }
}

/// An open store and what opened it.
pub struct Opened {
    pub store: Arc<Store>,
    /// What the key slot opened with.
    pub credential: Credential,
    /// The key file of the configuration folder, when that was it.
    pub default_key_file: Option<PathBuf>,
}

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There was nothing to try.
    #[error("there is no key file or passphrase for the store {0}")]
    NothingToTry(StoreId),
    /// A key file of the configuration folder opens no slot.
    #[error("the key file {} does not open it", .0.display())]
    KeyFile(PathBuf),
    /// Everything else, among it that what was given opens no slot.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Key files of this machine that may open a store, and those of them that others may read.
pub fn on_this_machine(places: &MachineFolders, store: StoreId) -> Result<(Vec<Candidate>, Vec<Exposed>), SecretError> {
    let (mut candidates, mut exposed) = (Vec::new(), Vec::new());
    for path in candidate_key_files(places, store) {
        let ReadSecret { credential, exposed: by_others } = Secret::KeyFile(&path).read()?;
        exposed.extend(by_others);
        candidates.push(Candidate { credential, file: Some(path) });
    }
    Ok((candidates, exposed))
}

/// Opens the store in `storage` with the first candidate that a key slot takes. `id` is the store's name.
pub fn open(
    storage: &Arc<dyn Storage>,
    id: StoreId,
    candidates: Vec<Candidate>,
    places: &MachineFolders,
) -> Result<Opened, OpenError> {
    let mut last = OpenError::NothingToTry(id);
    for Candidate { credential, file } in candidates {
        match Store::open(storage.clone(), &credential, places.clone()) {
            Ok(store) => return Ok(Opened { store: Arc::new(store), credential, default_key_file: file }),
            Err(error @ StoreError::WrongSecret) => last = file.map_or(error.into(), OpenError::KeyFile),
            Err(error) => return Err(error.into()),
        }
    }
    Err(last)
}

/// The name of the store that lies in `storage`, read without any key.
pub fn store_id(storage: &dyn Storage) -> Result<StoreId, StoreError> {
    let number = newest_config(storage)?.ok_or_else(|| no_config(storage))?;
    Ok(read_config(storage, number)?.frame.store)
}

/// Whether all that lies here is what a creation leaves that did not come to its end: no config, and at most the first
/// key slots. Nobody can have stored anything in it.
pub fn is_unfinished(storage: &dyn Storage) -> Result<bool, StoreError> {
    let mut objects = 0u64;
    for area in [Area::Config].into_iter().chain(Area::ALL).filter(|area| *area != Area::Keys) {
        storage.list(area, &mut |_| objects += 1)?;
        if objects > 0 {
            return Ok(false);
        }
    }
    Ok(true)
}
