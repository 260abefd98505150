//! Files of this machine: the walk in tree order, metadata, and reading.
//!
//! A path stands in the snapshot as a person named it. Links on the way to a root are followed; links below a root
//! never are.

mod directory;
mod list;
mod marks;
pub(super) mod meta;
mod mounts;
mod names;
mod nocow;
mod open;
mod roots;
mod tally;
mod walk;
mod xattr;
#[cfg(test)]
mod tests;

pub use roots::parse_list;

use self::list::Lister;
use self::mounts::Mounts;
use self::open::{At, Opener, name_of};
use self::roots::{Kind, Roots, absolute, invalid, with_path, without_inner_links};
use self::walk::{AHEAD_MAX, Walk};
use super::filter::{Excludes, Filter};
use super::{Description, FoundEntry, MadeUp, Reached, Remark, Source, SourceFile, Walked};
use crate::format::tree::Xattr;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// How big files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadMode {
    /// pread: measured less CPU time than maps everywhere (`docs/performance.md`), and it has no SIGBUS.
    #[default]
    Pread,
    Mmap,
}

/// What to walk and how.
#[derive(Debug, Clone, Default)]
pub struct FsOptions {
    /// Roots; relative ones are taken from the working directory. A root inside another is walked once. A root that is
    /// a link to a directory stands for that directory. No rule leaves a root out.
    pub roots: Vec<PathBuf>,
    /// Further roots, from a list: one that is not there is an error of the walk, a link is a link, rules hold for them.
    pub listed: Vec<PathBuf>,
    /// The single root appears in the snapshot under this absolute path.
    pub as_path: Option<PathBuf>,
    /// With `as_path`: further roots in that one, as they stand in the snapshot.
    pub inner: Vec<PathBuf>,
    /// Do not enter other file systems than those of the roots (their mount points are kept as empty directories), but
    /// as far as they lead to roots. Automount points, network and FUSE file systems are not even looked at.
    pub one_file_system: bool,
    /// What to leave out.
    pub excludes: Excludes,
    /// Directories or files never entered, by (device, inode): the store, the cache.
    pub never: HashSet<(u64, u64)>,
    /// Where these lie. In a union of file systems others may have the same numbers: a folder that has them is one of these
    /// only if it is found to be. Empty: the numbers are believed.
    pub never_at: Vec<PathBuf>,
    /// How big files are read.
    pub read: ReadMode,
    /// Threads that list directories and look at entries, the one that walks among them; 0 chooses.
    pub threads: usize,
    /// Do not read extended attributes.
    pub no_xattrs: bool,
    /// A root that is a block device, or a link to one, gives its content as a regular file's. Other devices are recorded
    /// as such.
    pub read_special: bool,
}

/// The file system as a source.
#[derive(Debug)]
pub struct FsSource {
    roots: Roots,
    filter: Filter,
    one_file_system: bool,
    never: HashSet<(u64, u64)>,
    never_at: Vec<PathBuf>,
    helpers: usize,
    ahead_max: usize,
    open_max: usize,
    read_special: bool,
    opener: Arc<Opener>,
    /// Of the paths that were given, and of the walk.
    given: Vec<Remark>,
    remarks: Mutex<Vec<Remark>>,
    /// By the last walk.
    reached: Mutex<Reached>,
    /// Files left unread, since their content is made up.
    unread: AtomicU64,
}

/// More threads do not make a walk of a local disk faster.
const THREADS_MAX: usize = 8;

impl FsSource {
    /// Checks the roots and rules: a root that is not there is an error here.
    pub fn new(options: FsOptions) -> io::Result<FsSource> {
        let filter = Filter::new(&options.excludes).map_err(|error| invalid(error.to_string()))?;
        let cores = || std::thread::available_parallelism().map_or(2, usize::from).min(THREADS_MAX);
        let threads = if options.threads > 0 { options.threads } else { cores() };
        let (roots, given) = find_roots(&options)?;
        Ok(FsSource {
            roots,
            filter,
            one_file_system: options.one_file_system,
            never: options.never,
            never_at: options.never_at,
            helpers: threads - 1,
            ahead_max: AHEAD_MAX,
            open_max: 0,
            read_special: options.read_special,
            opener: Arc::new(Opener::new(options.read, options.no_xattrs)),
            given,
            remarks: Mutex::default(),
            reached: Mutex::default(),
            unread: AtomicU64::new(0),
        })
    }

    fn lister(&self) -> Lister<'_> {
        Lister {
            roots: &self.roots,
            filter: &self.filter,
            one_file_system: self.one_file_system,
            mounts: if self.one_file_system { Mounts::read() } else { Mounts::default() },
            never: &self.never,
            never_at: &self.never_at,
            read_special: self.read_special,
            stop: AtomicBool::new(false),
            remarks: &self.remarks,
        }
    }
}

fn find_roots(options: &FsOptions) -> io::Result<(Roots, Vec<Remark>)> {
    let mut paths = Vec::with_capacity(options.roots.len() + options.listed.len());
    for given in &options.roots {
        std::fs::symlink_metadata(given).map_err(|error| with_path(given, error))?;
        paths.push((absolute(given)?, Kind::Named));
    }
    for given in &options.listed {
        paths.push((absolute(given)?, Kind::Listed));
    }
    if paths.is_empty() {
        return Err(invalid("there is nothing to walk: no path was given".into()));
    }
    let Some(shown) = &options.as_path else {
        let changed = without_inner_links(&mut paths);
        let mut roots = Roots::new(&mut paths, None)?;
        if options.one_file_system {
            roots.find_apart();
        }
        return Ok((roots, changed.iter().map(|(given, real)| Remark::moved(given, real)).collect()));
    };
    let [given] = &options.roots[..] else {
        return Err(invalid("only a single path can appear under another".into()));
    };
    if paths.len() != 1 || !shown.is_absolute() {
        return Err(invalid("a single path can appear under an absolute path".into()));
    }
    // A link to a directory stands for the directory.
    let real = if given.is_dir() { std::fs::canonicalize(given) } else { std::path::absolute(given) };
    let real = real.map_err(|error| with_path(given, error))?;
    let shown = absolute(shown)?;
    if shown == b"/" && !real.is_dir() {
        return Err(invalid(format!("{} is no directory and cannot appear as /", given.display())));
    }
    let mut paths = vec![(shown, Kind::Named)];
    for inner in &options.inner {
        paths.push((absolute(inner)?, Kind::Named));
    }
    Ok((Roots::new(&mut paths, Some(real))?, Vec::new()))
}

impl Source for FsSource {
    fn describe(&self) -> Description {
        Description { paths: self.roots.paths(), reopens: true, stable_identity: true }
    }

    fn walk(&self, emit: &mut dyn FnMut(Walked) -> bool) -> io::Result<()> {
        self.remarks.lock().clear();
        let walk = Walk::new(self.lister(), self.ahead_max, self.open_max);
        let ended = walk.run(self.helpers, emit);
        *self.reached.lock() = walk.reached();
        ended
    }

    fn open(&self, found: &FoundEntry) -> io::Result<Box<dyn SourceFile>> {
        Ok(Box::new(self.opener.open(found)?))
    }

    fn xattrs(&self, found: &FoundEntry) -> io::Result<Vec<Xattr>> {
        self.opener.xattrs(found)
    }

    fn more_flags(&self, found: &FoundEntry) -> u32 {
        self.opener.more_flags(found)
    }

    fn remarks(&self) -> Vec<Remark> {
        let mut remarks = [&self.given[..], &self.remarks.lock()].concat();
        remarks.sort();
        let unread = self.unread.swap(0, Relaxed);
        remarks.extend((unread > 0).then(|| Remark::left_unread(unread)));
        remarks.extend(self.filter.take_too_large().map(|(files, bytes)| Remark::too_large(files, bytes)));
        remarks.extend(Remark::of_rules(self.filter.rules(), "each source"));
        remarks
    }

    fn made_up(&self, found: &FoundEntry) -> MadeUp {
        if !self.opener.is_made_up(found) {
            return MadeUp::No;
        }
        let At::Directory(directory) = At::of(&found.handle) else { return MadeUp::Root };
        let node = directory.node.and_then(|node| self.roots.child(node, name_of(&found.key).as_bytes()));
        // Of a directory on the way to roots only those are taken.
        if !directory.full || node.is_some_and(|node| self.roots.node(node).root.is_some()) {
            return MadeUp::Root;
        }
        if directory.device == found.meta.device { MadeUp::Near } else { MadeUp::Apart }
    }

    fn left_unread(&self) {
        self.unread.fetch_add(1, Relaxed);
    }

    fn reached(&self) -> Option<Reached> {
        Some(*self.reached.lock())
    }
}
