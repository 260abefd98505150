//! Sources as the command line names them, and what they leave out.

use super::context::Context;
use super::failure::Failure;
use crate::source::Source;
use crate::source::command::{CommandLine, Said};
use crate::source::fs::{FsOptions, FsSource};
use crate::source::stdin::StreamSource;
use crate::store::Store;
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What no walk enters: the store and the cache, by device and inode. The cache is made, so that it is known by them;
/// where it cannot be, nothing lies in it.
pub fn never(context: &Context, store: &Store) -> Result<HashSet<(u64, u64)>, Failure> {
    let cache = &store.places.cache;
    let mut builder = fs::DirBuilder::new();
    _ = builder.recursive(true).mode(0o700).create(cache);
    let folder = context.store_folder()?;
    let found = [&folder, cache].into_iter().filter_map(|path| fs::metadata(path).ok());
    Ok(found.map(|meta| (meta.dev(), meta.ino())).collect())
}

/// Where the folders of [`never`] lie.
pub fn never_at(context: &Context, store: &Store) -> Result<Vec<PathBuf>, Failure> {
    Ok(vec![context.store_folder()?, store.places.cache.clone()])
}

/// Files of this machine.
pub fn files(options: FsOptions) -> Result<Box<dyn Source>, Failure> {
    let source = FsSource::new(options).map_err(|error| Failure::failed(format!("cannot back up {error}")))?;
    Ok(Box::new(source))
}

/// Standard input as one file of this absolute path.
pub fn stdin(path: &[u8], cancel: Arc<AtomicBool>, allow_empty: bool) -> Result<Box<dyn Source>, Failure> {
    let source = StreamSource::stdin(path, cancel, allow_empty);
    Ok(Box::new(source.map_err(|error| Failure::usage(format!("--stdin: {error}")))?))
}

/// What a command prints as one file of this absolute path; its standard error is told to `said`.
pub fn command(
    path: &[u8],
    command: CommandLine,
    said: Said,
    cancel: Arc<AtomicBool>,
    allow_empty: bool,
) -> Result<Box<dyn Source>, Failure> {
    let source = StreamSource::command(path, command, said, cancel, allow_empty);
    Ok(Box::new(source.map_err(|error| Failure::usage(format!("--stdin-from-command: {error}")))?))
}
