//! A snapshot backup engine: it cuts data into chunks by content, stores each chunk once, compresses and encrypts
//! it, and packs it into a store that several hosts share.
//!
//! This page is what programs use. A [`Store`] lies in a [`Storage`] and is opened with a [`Credential`]. Each operation
//! is a module named as its verb, with a function `run`, its options, and what it gives back: [`backup`], [`restore`],
//! [`list`], [`find`], [`cat`], [`tar`], [`diff`], [`check`], [`repair`], [`stats`], [`keys`], [`init`]. A [`Monitor`] is told what an operation
//! does while it runs.
//!
//! ```
//! use larder::backup::{self, BackupOptions};
//! use larder::restore::{self, RestoreOptions};
//! use larder::{Counter, Counters, CreateOptions, Credential, FsOptions, FsSource, LocalStorage, MachineFolders, Silent, Store};
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
//! let key = Credential::KeyFile(larder::random_key());
//! let places = MachineFolders { config: folder.path().join("config"), cache: folder.path().join("cache") };
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
//!
//! The rooms behind this page belong to the crate. The feature `internals` opens them to fuzz targets, benchmarks and
//! tests, and promises nothing about them. `docs/architecture.md` describes the rooms and in which order they may use each other.

#![cfg_attr(not(feature = "internals"), warn(missing_docs))]
// Some of the engine serves the command line only.
#![cfg_attr(not(any(feature = "cli", feature = "internals")), allow(dead_code, unused_imports))]

#[cfg(not(feature = "internals"))]
mod base;
#[cfg(feature = "internals")]
pub mod base;
#[cfg(not(feature = "internals"))]
mod monitor;
#[cfg(feature = "internals")]
pub mod monitor;
#[cfg(not(feature = "internals"))]
mod format;
#[cfg(feature = "internals")]
pub mod format;
#[cfg(not(feature = "internals"))]
mod chunking;
#[cfg(feature = "internals")]
pub mod chunking;
#[cfg(not(feature = "internals"))]
mod codec;
#[cfg(feature = "internals")]
pub mod codec;
#[cfg(not(feature = "internals"))]
mod crypto;
#[cfg(feature = "internals")]
pub mod crypto;
#[cfg(not(feature = "internals"))]
mod work;
#[cfg(feature = "internals")]
pub mod work;
#[cfg(not(feature = "internals"))]
mod source;
#[cfg(feature = "internals")]
pub mod source;
#[cfg(not(feature = "internals"))]
mod storage;
#[cfg(feature = "internals")]
pub mod storage;
#[cfg(not(feature = "internals"))]
mod destination;
#[cfg(feature = "internals")]
pub mod destination;
#[cfg(not(feature = "internals"))]
mod object;
#[cfg(feature = "internals")]
pub mod object;
#[cfg(not(feature = "internals"))]
mod index;
#[cfg(feature = "internals")]
pub mod index;
#[cfg(not(feature = "internals"))]
mod store;
#[cfg(feature = "internals")]
pub mod store;
#[cfg(not(feature = "internals"))]
mod tree;
#[cfg(feature = "internals")]
pub mod tree;
#[cfg(not(feature = "internals"))]
mod connect;
#[cfg(feature = "internals")]
pub mod connect;
#[cfg(not(feature = "internals"))]
mod pipeline;
#[cfg(feature = "internals")]
pub mod pipeline;
#[cfg(not(feature = "internals"))]
mod ops;
#[cfg(feature = "internals")]
pub mod ops;
#[cfg(not(feature = "internals"))]
mod report;
#[cfg(feature = "internals")]
pub mod report;
#[cfg(feature = "harness")]
pub mod harness;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;

pub use base::id::{ContentId, ObjectId, SessionId, StoreId};
pub use base::time::Time;
pub use crypto::keys::random_key;
pub use crypto::slot::{Credential, KdfCost};
pub use destination::Target;
pub use destination::spool::{Spool, SpoolTarget, SpooledFile};
pub use format::snapshot::Manifest;
pub use format::tree::{Content, Entry, EntryKind, Meta};
pub use monitor::{Counter, Counters, Counting, Monitor, Problem, Silent, StageTimes};
pub use ops::{backup, cat, check, diff, find, init, keys, list, repair, restore, stats, tar};
pub use source::fs::{FsOptions, FsSource};
pub use source::listing::{ListedFile, ListedItem, ListedKind, Listing, ListingSource, Version};
pub use source::stdin::StreamSource;
pub use source::{Remark, RemarkKind, Source};
pub use storage::{LocalStorage, MemoryStorage, Storage, StorageError, StorageErrorKind};
pub use store::newest::{Select, Wanted};
pub use store::open::CreateOptions;
pub use store::snapshots::{DamagedSnapshot, Snapshot};
pub use store::{MachineFolders, Store, StoreError};
pub use tree::place::PlaceError;
pub use tree::reader::Reader;

// What tests say when the machine lacks something that they need.
#[cfg(test)]
#[path = "../tests/it/lacks.rs"]
mod lacks;
