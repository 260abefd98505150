//! Sources as the command line names them.

use super::failure::Failure;
use crate::source::Source;
use crate::source::fs::FsOptions;

/// Files of this machine.
pub fn files(_options: FsOptions) -> Result<Box<dyn Source>, Failure> {
    todo!("waits for the source layer")
}

/// Standard input as one file of this absolute path.
pub fn stdin(_path: Vec<u8>) -> Result<Box<dyn Source>, Failure> {
    todo!("waits for the source layer")
}
