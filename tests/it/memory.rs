//! The engine on a store in memory.

use larder::crypto::slot::Credential;
use larder::monitor::Silent;
use larder::ops::backup::{BackupOptions, BackupStats};
use larder::ops::restore::{RestoreOptions, RestoreStats};
use larder::source::fs::{FsOptions, FsSource};
use larder::storage::Storage;
use larder::storage::memory::MemoryStorage;
use larder::store::open::CreateOptions;
use larder::store::{MachineFolders, Store, StoreError};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// A store in memory with folders of its own.
pub struct Engine {
    pub storage: Arc<MemoryStorage>,
    pub store: Arc<Store>,
    folders: tempfile::TempDir,
}

pub fn credential() -> Credential {
    Credential::KeyFile([7; 32].into())
}

impl Engine {
    pub fn new() -> Engine {
        Engine::with(CreateOptions::default())
    }

    pub fn with(options: CreateOptions) -> Engine {
        let folders = tempfile::tempdir().unwrap();
        let storage = Arc::new(MemoryStorage::new());
        let places = MachineFolders { config: folders.path().join("config"), cache: folders.path().join("cache") };
        let store = Store::create(storage.clone(), &credential(), places, options).unwrap();
        Engine { storage, store: Arc::new(store), folders }
    }

    /// Opens another storage with this engine's key, with fresh folders.
    pub fn open(&self, storage: Arc<dyn Storage>) -> Result<Arc<Store>, StoreError> {
        let other = tempfile::tempdir_in(self.folders.path()).unwrap().keep();
        let places = MachineFolders { config: other.join("config"), cache: other.join("cache") };
        Store::open(storage, &credential(), places).map(Arc::new)
    }

    pub fn source(folder: &Path) -> FsSource {
        FsSource::new(FsOptions { roots: vec![folder.to_path_buf()], ..FsOptions::default() }).unwrap()
    }

    pub fn backup(&self, folder: &Path) -> BackupStats {
        self.backup_with(folder, BackupOptions::default())
    }

    pub fn backup_with(&self, folder: &Path, options: BackupOptions) -> BackupStats {
        let options = BackupOptions { host: "here".into(), ..options };
        larder::ops::backup::run(&self.store, &Engine::source(folder), &options, Arc::new(Silent)).unwrap()
    }

    pub fn restore(&self, storage: Arc<dyn Storage>, path: &Path, target: &Path) -> RestoreStats {
        let store = self.open(storage).unwrap();
        let options = RestoreOptions {
            snapshot: "latest".into(),
            path: path.as_os_str().as_bytes().to_vec(),
            target: target.to_path_buf(),
            ..RestoreOptions::default()
        };
        larder::ops::restore::run(&store, &options, &Silent).unwrap()
    }
}

/// A few files of every size class; small when sealed.
pub fn small_tree(at: &Path) {
    fs::create_dir(at.join("sub")).unwrap();
    fs::write(at.join("inline"), "short").unwrap();
    fs::write(at.join("text"), "words and words ".repeat(300)).unwrap();
    fs::write(at.join("sub/noise"), crate::roundtrip::noise(700, 3)).unwrap();
    fs::write(at.join("sub/empty"), "").unwrap();
    std::os::unix::fs::symlink("text", at.join("link")).unwrap();
}
