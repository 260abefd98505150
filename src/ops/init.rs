//! `init`: a new store.

use crate::connect::key_file::{default_key_file, name_key_file, new_pending_key_file};
use crate::connect::open::store_id;
use crate::crypto::slot::Credential;
use crate::storage::Storage;
use crate::store::configs::{newest_config, no_config, remains};
use crate::store::open::CreateOptions;
use crate::store::{MachineFolders, Store, StoreError};
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
    /// The opened store.
    pub store: Store,
    /// The key file that was made: nothing can be restored without it.
    pub key_file: Option<PathBuf>,
}

/// Makes a store and opens it. The storage is made (`make`) when nothing on this machine stands in the way any more; what
/// is left of a run that fails is no store, and another run completes it.
pub fn run(
    make: impl FnOnce() -> Result<Arc<dyn Storage>, StoreError>,
    secret: FirstSecret,
    places: MachineFolders,
    options: CreateOptions,
) -> Result<Initialized, StoreError> {
    match secret {
        FirstSecret::Given(credential) => {
            let store = Store::create(make()?, &credential, places, options)?;
            Ok(Initialized { store, key_file: None })
        }
        FirstSecret::NewKeyFile => {
            let (pending, credential) = new_pending_key_file(&places)?;
            let storage = make().inspect_err(|_| _ = std::fs::remove_file(&pending))?;
            match Store::create(storage.clone(), &credential, places.clone(), options) {
                Ok(store) => {
                    // Where it cannot be renamed it opens the store under the name that it has.
                    let named = name_key_file(&pending, &places, store.id());
                    let key_file = named.unwrap_or_else(|_| match pending.exists() {
                        true => pending,
                        false => default_key_file(&places, store.id()),
                    });
                    Ok(Initialized { store, key_file: Some(key_file) })
                }
                Err(error) => {
                    // Another run made the store, with another key, or nobody did: this one opens nothing. Otherwise it
                    // stays: it may open what was made before the failure.
                    let made_by_another = matches!(error, StoreError::StoreExists(_) | StoreError::ConfigLost { .. });
                    if made_by_another || matches!(store_id(&*storage), Err(StoreError::NoStore(_))) {
                        _ = std::fs::remove_file(&pending);
                    }
                    Err(error)
                }
            }
        }
    }
}

/// Refuses what is a store, or the rest of one that has lost its config.
pub fn refuse_store(storage: &dyn Storage) -> Result<(), StoreError> {
    if newest_config(storage)?.is_some() {
        return Err(StoreError::StoreExists(storage.location()));
    }
    match remains(storage)? {
        Some(_) => Err(no_config(storage)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::key_file::{candidate_key_files, read_key_file};
    use crate::connect::open::is_unfinished;
    use crate::monitor::Silent;
    use crate::ops::check::{self, CheckOptions};
    use crate::storage::layer::{Fault, FaultStorage, Plan};
    use crate::storage::local::LocalStorage;
    use crate::store::machine_folders::tests::machine;
    use std::path::Path;

    fn init(folder: &Path, places: &MachineFolders, plan: Option<Plan>) -> Result<Initialized, StoreError> {
        let make = || -> Result<Arc<dyn Storage>, StoreError> {
            Ok(Arc::new(FaultStorage::new(Arc::new(LocalStorage::create(folder)?), plan)))
        };
        run(make, FirstSecret::NewKeyFile, places.clone(), CreateOptions::default())
    }

    #[test]
    fn a_creation_that_fails_anywhere_leaves_no_store_or_a_whole_one_and_is_completed_by_the_next() {
        let mut failed = 0;
        for fault in Fault::WRITES {
            for at in 0..12 {
                let (guard, places) = machine();
                let folder = guard.path().join("store");
                failed += usize::from(init(&folder, &places, Some(Plan::at(at, fault))).is_err());
                let storage = LocalStorage::open(&folder).unwrap();
                let made = !is_unfinished(&storage).unwrap();
                if !made {
                    init(&folder, &places, None).unwrap();
                }
                // Its key file opens it, whichever run made it.
                let storage: Arc<dyn Storage> = Arc::new(LocalStorage::open(&folder).unwrap());
                let id = store_id(&*storage).unwrap();
                let opened = candidate_key_files(&places, id).into_iter().find_map(|file| {
                    let credential = read_key_file(&file).unwrap().credential;
                    Store::open(storage.clone(), &credential, places.clone()).ok()
                });
                let store = Arc::new(opened.unwrap_or_else(|| panic!("{fault:?} at {at}: no key opens it")));
                let report = check::run(&store, &CheckOptions::default(), &Silent).unwrap();
                assert_eq!(report.counts, [0; 4], "{fault:?} at {at}: {:?}", report.findings);
            }
        }
        assert!(failed > 14, "{failed} creations failed");
    }

    #[test]
    fn what_stands_in_the_way_on_this_machine_makes_no_folder() {
        let (guard, places) = machine();
        std::fs::write(&places.config, "a file").unwrap();
        let folder = guard.path().join("store");
        assert!(init(&folder, &places, None).is_err());
        assert!(!folder.exists());
    }
}
