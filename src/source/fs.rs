//! Files of this machine: the walk in tree order, metadata and reading.

use super::filter::Filter;
use super::open::{FsFile, proc_path};
use super::walk::{Root, Walk};
use super::{Description, Found, Source, SourceFile, Walked, xattr};
use crate::base::path;
use crate::format::tree::{EntryKind, Xattr};
use std::collections::HashSet;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

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
    /// Roots; relative ones are taken from the working directory. A root inside another is walked once. A root that is
    /// a link to a directory stands for that directory.
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
    options: FsOptions,
    filter: Filter,
    roots: Vec<Root>,
    paths: Vec<Vec<u8>>,
}

impl FsSource {
    /// Checks the roots and rules: a root that is not there is an error here.
    pub fn new(options: FsOptions) -> io::Result<FsSource> {
        let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidInput, message);
        let filter = Filter::new(&options.excludes).map_err(|e| invalid(e.to_string()))?;
        if options.as_path.is_some() && options.roots.len() != 1 {
            return Err(invalid("--as needs exactly one path to back up".into()));
        }
        let mut roots = Vec::new();
        for given in &options.roots {
            let lexical = absolute(given)?;
            let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", given.display()));
            let shown = match &options.as_path {
                Some(path) => absolute(path)?,
                None => lexical.clone(),
            };
            let real = real_path(&lexical).map_err(named)?;
            let key = path::key_of(shown.as_os_str().as_bytes()).map_err(|e| invalid(e.to_string()))?;
            roots.push(Root { key, path: real });
        }
        roots.sort_by(|a, b| a.key.cmp(&b.key));
        roots.dedup_by(|a, b| a.key == b.key);
        let kept = without_nested(roots);
        let mut paths: Vec<_> = kept.iter().map(|r| path::path_of(&r.key)).collect();
        paths.sort();
        Ok(FsSource { options, filter, roots: kept, paths })
    }
}

/// Roots that lie in no other root.
fn without_nested(roots: Vec<Root>) -> Vec<Root> {
    let keys: HashSet<Vec<u8>> = roots.iter().map(|r| r.key.clone()).collect();
    let nested = |key: &[u8]| {
        let mut at = key.to_vec();
        while let Some(parent) = path::split_key(&at).map(|(parents, _)| parent_key(parents)) {
            if keys.contains(&parent) {
                return true;
            }
            at = parent;
        }
        false
    };
    roots.into_iter().filter(|r| !nested(&r.key)).collect()
}

/// The key of the directory whose entries' keys begin with `parents` (components, each followed by a zero).
pub(super) fn parent_key(parents: &[u8]) -> Vec<u8> {
    let Some(components) = parents.strip_suffix(&[0]) else { return Vec::new() };
    match components.iter().rposition(|&b| b == 0) {
        Some(at) => [&components[..=at], &[0], &components[at + 1..]].concat(),
        None => [&[0], components].concat(),
    }
}

/// Absolute, without `.` and `..`, by text alone.
fn absolute(given: &Path) -> io::Result<PathBuf> {
    let mut out = PathBuf::from("/");
    for component in std::path::absolute(given)?.components() {
        match component {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => _ = out.pop(),
            _ => {}
        }
    }
    Ok(out)
}

/// The path to open: links on the way resolved, and a link at the end when it leads to a directory.
fn real_path(lexical: &Path) -> io::Result<PathBuf> {
    let meta = std::fs::symlink_metadata(lexical)?;
    if meta.is_symlink() && !std::fs::metadata(lexical).is_ok_and(|m| m.is_dir()) {
        let parent = lexical.parent().unwrap_or(Path::new("/")).canonicalize()?;
        return Ok(parent.join(lexical.file_name().unwrap_or_default()));
    }
    lexical.canonicalize()
}

impl Source for FsSource {
    fn describe(&self) -> Description {
        Description { paths: self.paths.clone(), reopens: true, stable_identity: true }
    }

    fn walk(&self, emit: &mut dyn FnMut(Walked) -> bool) -> io::Result<()> {
        Walk::new(&self.options, &self.filter, &self.roots).run(emit)
    }

    fn open(&self, found: &Found) -> io::Result<Box<dyn SourceFile>> {
        Ok(Box::new(FsFile::open(found, self.options.read, true)?))
    }

    fn xattrs(&self, found: &Found) -> io::Result<Vec<Xattr>> {
        if self.options.no_xattrs || matches!(found.meta.kind, EntryKind::Socket) {
            return Ok(Vec::new());
        }
        xattr::of_path(&proc_path(&found.handle)?)
    }
}
