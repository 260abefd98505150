//! larder, a snapshot backup engine.
//!
//! The way of the data:
//!
//! ```text
//! source → scan → read → chunk → hash → dedup ─novel→ compress → place → encrypt → write → upload → commit
//!                                         └─known──── reference only ─────────────────────────────┘
//! ```
//!
//! Layers, lowest first; a module imports only from lower ranks, and `tests/it/tidy.rs` holds that:
//!
//! | rank | modules |
//! |---|---|
//! | 0 | [`base`] |
//! | 1 | [`monitor`], [`format`] |
//! | 2 | [`chunking`], [`codec`], [`crypto`] |
//! | 3 | [`source`], [`storage`], [`destination`] |
//! | 4 | [`object`] |
//! | 5 | [`index`] |
//! | 6 | [`store`] |
//! | 7 | [`pipeline`] |
//! | 8 | [`ops`] |
//! | 9 | `harness` |
//! | 10 | `cli` |
//!
//! # Using the engine
//!
//! ```
//! use larder::crypto::slot::Credential;
//! use larder::monitor::{Counter, Counters, Silent};
//! use larder::ops::backup::{self, BackupOptions};
//! use larder::ops::restore::{self, RestoreOptions};
//! use larder::source::fs::{FsOptions, FsSource};
//! use larder::storage::local::LocalStorage;
//! use larder::store::{Places, Store, open::CreateOptions};
//! use std::sync::Arc;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let data = folder.path().join("data");
//! std::fs::create_dir(&data)?;
//! std::fs::write(data.join("hello"), "hello, larder")?;
//!
//! // A store in a folder, opened by a key file's 32 bytes.
//! let storage = Arc::new(LocalStorage::create(&folder.path().join("store"))?);
//! let key = Credential::KeyFile(larder::crypto::keys::random_key());
//! let places = Places { config: folder.path().join("config"), cache: folder.path().join("cache") };
//! let store = Arc::new(Store::create(storage, &key, places, CreateOptions::default())?);
//!
//! // A backup, watched by a monitor.
//! let source = FsSource::new(FsOptions { roots: vec![data.clone()], ..FsOptions::default() })?;
//! let counters = Arc::new(Counters::default());
//! let options = BackupOptions { host: "here".into(), ..BackupOptions::default() };
//! let stats = backup::run(&store, &source, &options, counters.clone())?;
//! assert_eq!((stats.files, counters.get(Counter::Files)), (1, 1));
//!
//! // And back.
//! let target = folder.path().join("restored");
//! let options = RestoreOptions {
//!     snapshot: "latest".into(),
//!     path: data.into_os_string().into_encoded_bytes(),
//!     target: target.clone(),
//!     ..RestoreOptions::default()
//! };
//! restore::run(&store, &options, &Silent)?;
//! assert_eq!(std::fs::read_to_string(target.join("hello"))?, "hello, larder");
//! # Ok(())
//! # }
//! ```

pub mod base;
pub mod monitor;
pub mod format;
pub mod chunking;
pub mod codec;
pub mod crypto;
pub mod source;
pub mod storage;
pub mod destination;
pub mod object;
pub mod index;
pub mod store;
pub mod pipeline;
pub mod ops;
#[cfg(feature = "harness")]
pub mod harness;
#[cfg(feature = "cli")]
pub mod cli;
