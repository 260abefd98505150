//! What every command starts with: the options, the output, and how to open the store.

use super::args::Global;
use super::credential;
use super::exit_code::ExitCode;
use super::failure::{Failure, chain};
use super::interrupt::Interrupt;
use super::output::Output;
use crate::connect;
use crate::connect::address::{Address, NoStorage};
use crate::connect::open::{Opened, store_id};
use crate::storage::Storage;
use crate::store::{MachineFolders, Store};
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

impl Context {
    /// Folders of this machine.
    pub fn places(&self) -> Result<MachineFolders, Failure> {
        let (config, cache) = (self.global.config_dir.clone(), self.global.cache_dir.clone());
        if let (Some(config), Some(cache)) = (config.clone(), cache.clone()) {
            return Ok(MachineFolders { config, cache });
        }
        let user = MachineFolders::of_user();
        Ok(MachineFolders { config: config.unwrap_or(user.config), cache: cache.unwrap_or(user.cache) })
    }

    /// Whether the store is the default one: nobody named another.
    pub fn is_default_store(&self) -> bool {
        self.global.store.is_none()
    }

    /// Where the store lies.
    pub fn address(&self) -> Result<Address, Failure> {
        match &self.global.store {
            Some(named) => Address::parse(named).map_err(|error| Failure::usage(error.to_string())),
            None => {
                let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
                let home = home.ok_or_else(|| Failure::usage("HOME is not set: name the store with -s"))?;
                Ok(Address::Folder(Path::new(&home).join(".larder")))
            }
        }
    }

    /// The store's folder.
    pub fn store_folder(&self) -> Result<PathBuf, Failure> {
        Ok(self.address()?.folder().into())
    }

    /// The storage of an existing store; exit code 10 when there is none.
    pub fn storage(&self) -> Result<Arc<dyn Storage>, Failure> {
        let address = self.address()?;
        let at = if self.is_default_store() { String::new() } else { format!(" -s {}", address.folder().display()) };
        address.storage().map_err(|error| {
            let failure = Failure::new(ExitCode::NoStore, error.to_string());
            match error {
                NoStorage::Store(error) => error.into(),
                NoStorage::File(_) => failure,
                NoStorage::Missing(_) => failure.hint(format!("`larder{at} init` makes one")),
                NoStorage::Unfinished(_) => {
                    failure.hint(format!("`larder{at} init` makes it; or remove the folder, which holds no data"))
                }
            }
        })
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
        let candidates = credential::for_store(self, &places, id)?;
        let opened = connect::open::open(&storage, id, candidates, &places)?;
        if let Some(error) = opened.store.trust_damage() {
            self.out.warn(&format!(
                "larder cannot compare the store with what this machine saw before, and only reads: {}",
                chain(&error)
            ));
        }
        self.stores.borrow_mut().push(opened.store.clone());
        Ok(opened)
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

/// This machine's name.
pub fn host_name() -> String {
    String::from_utf8_lossy(rustix::system::uname().nodename().to_bytes()).into_owned()
}
