//! Files of this machine: the walk in tree order, metadata and reading.

use std::collections::HashSet;
use std::path::PathBuf;

/// How big files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadMode {
    /// Memory maps on local file systems, pread elsewhere.
    #[default]
    Auto,
    /// Memory maps.
    Mmap,
    /// pread.
    Pread,
}

/// What to walk and how.
#[derive(Debug, Clone, Default)]
pub struct FsOptions {
    /// Roots; relative ones are taken from the working directory. A root inside another is walked once.
    pub roots: Vec<PathBuf>,
    /// The single root appears in the snapshot under this absolute path.
    pub as_path: Option<PathBuf>,
    /// Do not enter other file systems than those of the roots (their mount points are kept as empty directories).
    pub one_file_system: bool,
    /// What to leave out.
    pub excludes: super::filter::Excludes,
    /// Directories or files never entered, by (device, inode): the store, the cache.
    pub never: HashSet<(u64, u64)>,
    /// How big files are read.
    pub read: ReadMode,
    /// Threads that list directories and look at entries; 0 chooses.
    pub threads: usize,
    /// Do not read extended attributes.
    pub no_xattrs: bool,
}

/// The file system as a source.
pub struct FsSource {
    _private: (),
}

impl FsSource {
    /// Checks the roots: one that is not there is an error here.
    pub fn new(_options: FsOptions) -> std::io::Result<FsSource> {
        todo!()
    }
}
