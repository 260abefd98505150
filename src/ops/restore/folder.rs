//! A folder of this machine as the target of a restore.

use super::RestoreOptions;
use crate::destination::Target;
use crate::destination::fs::{FsDestination, FsOptions};
use std::io;
use std::path::Path;

/// A folder, and what of its files is set.
pub(super) struct Folder<'a> {
    path: &'a Path,
    options: FsOptions,
}

impl<'a> Folder<'a> {
    /// The one that the options name.
    pub fn of(options: &'a RestoreOptions) -> Folder<'a> {
        let fs = FsOptions {
            ownership: options.owners,
            no_xattrs: options.no_xattrs,
            sync: options.sync,
            dry_run: options.dry_run,
        };
        Folder { path: &options.target, options: fs }
    }
}

impl Target for Folder<'_> {
    type Destination = FsDestination;

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn open(&self, dry_run: bool) -> io::Result<Option<FsDestination>> {
        if dry_run
            && let Err(error) = std::fs::metadata(self.path)
            && error.kind() == io::ErrorKind::NotFound
        {
            return Ok(None);
        }
        FsDestination::open(self.path, self.options).map(Some)
    }
}
