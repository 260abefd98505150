//! Sources as the command line names them.

use super::failure::Failure;
use crate::source::Source;
use crate::source::fs::{FsOptions, FsSource};
use crate::source::stdin::StreamSource;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Files of this machine.
pub fn files(options: FsOptions) -> Result<Box<dyn Source>, Failure> {
    let source = FsSource::new(options).map_err(|error| Failure::failed(format!("cannot back up {error}")))?;
    Ok(Box::new(source))
}

/// Standard input as one file of this absolute path.
pub fn stdin(path: Vec<u8>, cancel: Arc<AtomicBool>) -> Result<Box<dyn Source>, Failure> {
    let source = StreamSource::stdin(&path, cancel).map_err(|error| Failure::usage(format!("--stdin: {error}")))?;
    Ok(Box::new(source))
}
