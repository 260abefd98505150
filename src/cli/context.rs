//! What every command starts from: the options, the output, and the way to the store.

use super::args::Global;
use super::credential::{self, Found};
use super::exit_code::ExitCode;
use super::failure::{Failure, chain};
use super::interrupt::Interrupt;
use super::output::Output;
use crate::crypto::slot::Credential;
use crate::ops::init::{is_unfinished, store_id};
use crate::storage::local::LocalStorage;
use crate::storage::{Storage, StorageErrorKind};
use crate::store::{Places, Store};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A command's surroundings.
pub struct Context {
    /// Options of every command.
    pub global: Global,
    /// Where results go.
    pub out: Arc<Output>,
    /// Signals.
    pub interrupt: Interrupt,
    /// What was opened: its notices are told at the end.
    pub stores: RefCell<Vec<Arc<Store>>>,
}

/// An opened store and what opened it.
pub struct Opened {
    /// The store.
    pub store: Arc<Store>,
    /// What its slot opened with.
    pub credential: Credential,
    /// The key file of the configuration folder, when that was it.
    pub default_key_file: Option<PathBuf>,
}

impl Context {
    /// Folders of this machine.
    pub fn places(&self) -> Result<Places, Failure> {
        let (config, cache) = (self.global.config_dir.clone(), self.global.cache_dir.clone());
        if let (Some(config), Some(cache)) = (config.clone(), cache.clone()) {
            return Ok(Places { config, cache });
        }
        let user = Places::of_user();
        Ok(Places { config: config.unwrap_or(user.config), cache: cache.unwrap_or(user.cache) })
    }

    /// Whether the store is the default one: nobody named another.
    pub fn is_default_store(&self) -> bool {
        self.global.store.is_none()
    }

    /// The store's folder.
    pub fn store_folder(&self) -> Result<PathBuf, Failure> {
        match &self.global.store {
            Some(named) => folder_of(named),
            None => {
                let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
                let home = home.ok_or_else(|| Failure::usage("HOME is not set: name the store with -s"))?;
                Ok(Path::new(&home).join(".larder"))
            }
        }
    }

    /// The storage of an existing store; exit code 10 when there is none.
    pub fn storage(&self) -> Result<Arc<dyn Storage>, Failure> {
        let folder = self.store_folder()?;
        if folder.is_file() {
            let message = format!("there is no store at {}: it is a file", folder.display());
            return Err(Failure::new(ExitCode::NoStore, message));
        }
        let at = if self.is_default_store() { String::new() } else { format!(" -s {}", folder.display()) };
        match LocalStorage::open(&folder) {
            Ok(storage) if is_unfinished(&storage).unwrap_or(false) => {
                let message =
                    format!("there is no store at {}: making one there did not come to its end", folder.display());
                let hint = format!("`larder{at} init` makes it; or remove the folder, which holds no data");
                Err(Failure::new(ExitCode::NoStore, message).hint(hint))
            }
            Ok(storage) => Ok(Arc::new(storage)),
            Err(e) if e.kind == StorageErrorKind::NotFound => {
                let message = format!("there is no store at {}", folder.display());
                Err(Failure::new(ExitCode::NoStore, message).hint(format!("`larder{at} init` makes one")))
            }
            Err(e) => Err(crate::store::StoreError::from(e).into()),
        }
    }

    /// Opens the store with what the person gave, the key file that lies in the configuration folder, or a prompt.
    pub fn open(&self) -> Result<Opened, Failure> {
        let storage = self.storage()?;
        self.open_storage(storage)
    }

    /// The same with a storage that is known to hold a store.
    pub fn open_storage(&self, storage: Arc<dyn Storage>) -> Result<Opened, Failure> {
        let places = self.places()?;
        let id = store_id(storage.as_ref())?;
        let mut last = None;
        for Found { credential, file } in credential::for_store(self, &places, id)? {
            match Store::open(storage.clone(), &credential, places.clone()) {
                Ok(store) => {
                    let store = Arc::new(store);
                    if let Some(error) = store.trust_damage() {
                        self.out.warn(&format!(
                            "what this machine has seen of the store is not compared, and only reading works: {}",
                            chain(&error)
                        ));
                    }
                    self.stores.borrow_mut().push(store.clone());
                    return Ok(Opened { store, credential, default_key_file: file });
                }
                Err(e @ crate::store::StoreError::WrongSecret) => last = Some(credential::wrong(e, file)),
                Err(e) => return Err(e.into()),
            }
        }
        Err(last.unwrap_or_else(|| credential::none_given(id)))
    }

    /// Tells what the opened stores noticed and is no error.
    pub fn tell_notices(&self) {
        let stores = self.stores.borrow();
        stores.iter().flat_map(|store| store.take_notices()).for_each(|notice| self.out.note(&notice));
    }

    /// The same, with the index loaded.
    pub fn open_with_index(&self) -> Result<Arc<Store>, Failure> {
        let store = self.open()?.store;
        store.load_index()?;
        Ok(store)
    }
}

/// A store's folder as a person names it.
fn folder_of(named: &Path) -> Result<PathBuf, Failure> {
    let Some((scheme, rest)) = named.to_str().and_then(|text| text.split_once("://")) else { return Ok(named.into()) };
    match scheme {
        "file" if rest.starts_with('/') => Ok(rest.into()),
        "file" => Err(Failure::usage(format!("{}: a file URL names an absolute path: file:///…", named.display()))),
        _ => Err(Failure::usage(format!("{scheme}:// stores are not supported: give a folder or a file:// URL"))),
    }
}

/// This machine's name.
pub fn host_name() -> String {
    String::from_utf8_lossy(rustix::system::uname().nodename().to_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_a_path_or_a_file_url() {
        let folder = |s: &str| folder_of(Path::new(s)).map_err(|e| e.code);
        assert_eq!(folder("/var/backup"), Ok("/var/backup".into()));
        assert_eq!(folder("backup:1"), Ok("backup:1".into()));
        assert_eq!(folder("file:///var/backup"), Ok("/var/backup".into()));
        assert_eq!(folder("file://host/x"), Err(ExitCode::Usage));
        assert_eq!(folder("s3://bucket/x"), Err(ExitCode::Usage));
    }
}
