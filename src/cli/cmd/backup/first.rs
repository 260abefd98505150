//! Opens the store of a backup. The first backup makes the default store. When several first backups run at once, one
//! of them makes the store and the others open it.

use crate::cli::cmd::init::create;
use crate::cli::context::Context;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::connect::key_file::{candidate_key_files, default_key_file};
use crate::connect::open::{Opened, store_id};
use crate::crypto::keys::random_key;
use crate::crypto::slot::Credential;
use crate::storage::{MemoryStorage, Storage};
use crate::store::open::CreateOptions;
use crate::store::{MachineFolders, Store, StoreError};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long another run may take from its first folder to its key file's name.
const SETTLE: Duration = Duration::from_secs(5);
/// It is looked at this often.
const PAUSE: Duration = Duration::from_millis(20);

/// Opens the store. The default one is made when it is not there; a dry run pretends that it was.
pub fn open_or_create(context: &Context, dry_run: bool) -> Result<(Opened, Option<TempDir>), Failure> {
    if !context.is_default_store() {
        return Ok((context.open()?, None));
    }
    if let Some(storage) = settled(context)? {
        return Ok((open(context, storage)?, None));
    }
    if dry_run {
        context.out.note("there is no store yet: everything is new");
        let (opened, folder) = pretend()?;
        return Ok((opened, Some(folder)));
    }
    let folder = context.store_folder()?;
    let opened = match create(context, &folder, CreateOptions::default()) {
        Ok(opened) => opened,
        Err(failure) => match settled(context)? {
            Some(storage) => return Ok((open(context, storage)?, None)),
            None => return Err(failure),
        },
    };
    context.out.note(&format!("made store {} at {}", opened.store.id(), folder.display()));
    Ok((opened, None))
}

/// The default store's storage, when there is a store. One that is being made is waited for.
fn settled(context: &Context) -> Result<Option<Arc<dyn Storage>>, Failure> {
    let deadline = Instant::now() + SETTLE;
    let storage = match context.storage() {
        Err(failure) if failure.code == ExitCode::NoStore && !context.store_folder()?.is_file() => return Ok(None),
        storage => storage?,
    };
    loop {
        match store_id(storage.as_ref()) {
            // Without a first config: it is being made, or a creation was cut short and can be begun again.
            Err(StoreError::NoStore(_)) if Instant::now() < deadline => sleep(PAUSE),
            Err(StoreError::NoStore(_)) => return Ok(None),
            found => return Ok(found.map(|_| Some(storage))?),
        }
    }
}

/// Opens it. The key file of a store that was made a moment ago may not have its name yet.
fn open(context: &Context, storage: Arc<dyn Storage>) -> Result<Opened, Failure> {
    let failure = match context.open_storage(storage.clone()) {
        Err(failure) if failure.code == ExitCode::WrongSecret => failure,
        opened => return opened,
    };
    let (places, id) = (context.places()?, store_id(storage.as_ref())?);
    let own = default_key_file(&places, id);
    let deadline = Instant::now() + SETTLE;
    loop {
        match candidate_key_files(&places, id).first() {
            Some(file) if *file == own => return context.open_storage(storage),
            Some(_) if Instant::now() < deadline => sleep(PAUSE),
            _ => return Err(failure),
        }
    }
}

/// A store in memory, and the folder of its files of this machine.
fn pretend() -> Result<(Opened, TempDir), Failure> {
    let folder = tempfile::tempdir().map_err(|e| Failure::failed(format!("cannot make a temporary folder: {e}")))?;
    let places = MachineFolders { config: folder.path().join("config"), cache: folder.path().join("cache") };
    let credential = Credential::KeyFile(random_key());
    let store = Store::create(Arc::new(MemoryStorage::new()), &credential, places, CreateOptions::default())?;
    Ok((Opened { store: Arc::new(store), credential, default_key_file: None }, folder))
}
