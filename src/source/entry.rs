//! Listing directories and looking at entries: what one system call tells, as a [`Found`].

use super::filter::{Filter, Rules};
use super::fs::FsOptions;
use super::open::open_handle;
use super::walk::{Directory, Root, ancestor_path, next_components};
use super::{Found, Handle, Walked};
use crate::base::limits::PATH_BYTES_MAX;
use crate::base::path;
use crate::base::time::Time;
use crate::format::tree::{EntryKind, Meta};
use rustix::fs::{AtFlags, FileType, OFlags, RawDir, Statx, StatxFlags, StatxTimestamp};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

/// Directories held open for entries on their way; beyond it entries are named by path.
const OPEN_MAX: usize = 256;

/// Entries of a directory or of a block of it.
#[derive(Default)]
pub(super) struct Entries {
    /// What is emitted, in order.
    pub walked: Vec<Walked>,
    /// Directories among them, in order.
    pub children: Vec<Arc<Directory>>,
}

/// What listing a directory gave.
#[derive(Default)]
pub(super) struct Listing {
    /// Names still to be looked at, sorted.
    pub names: Vec<Box<[u8]>>,
    /// The open directory.
    pub open: Option<Arc<OwnedFd>>,
    /// The rules inside it.
    pub rules: Rules,
    /// Everything is known already.
    pub ready: Option<Entries>,
}

/// Looks at things.
pub(super) struct Lister<'a> {
    options: &'a FsOptions,
    filter: &'a Filter,
    owners: Mutex<Owners>,
    open: Mutex<Vec<Weak<OwnedFd>>>,
    remapped: bool,
    _roots: &'a [Root],
}

#[derive(Default)]
struct Owners {
    users: HashMap<u32, Vec<u8>>,
    groups: HashMap<u32, Vec<u8>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

fn time(t: StatxTimestamp) -> Time {
    Time { s: t.tv_sec, ns: t.tv_nsec }
}

fn statx(dir: impl AsFd, name: &[u8], flags: AtFlags) -> io::Result<Statx> {
    let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    Ok(rustix::fs::statx(dir, name, flags | AtFlags::NO_AUTOMOUNT, mask)?)
}

fn kind(mode: u16) -> Option<EntryKind> {
    match FileType::from_raw_mode(u32::from(mode)) {
        FileType::RegularFile => Some(EntryKind::File),
        FileType::Directory => Some(EntryKind::Directory),
        FileType::Symlink => Some(EntryKind::Symlink),
        FileType::Fifo => Some(EntryKind::Fifo),
        FileType::Socket => Some(EntryKind::Socket),
        FileType::CharacterDevice => Some(EntryKind::CharDevice),
        FileType::BlockDevice => Some(EntryKind::BlockDevice),
        _ => None,
    }
}

impl<'a> Lister<'a> {
    pub fn new(options: &'a FsOptions, filter: &'a Filter, roots: &'a [Root]) -> Lister<'a> {
        let remapped = options.as_path.is_some();
        Lister { options, filter, owners: Mutex::default(), open: Mutex::default(), remapped, _roots: roots }
    }

    fn meta(&self, stat: &Statx, target: Vec<u8>) -> io::Result<Meta> {
        let kind = kind(stat.stx_mode).ok_or_else(|| io::Error::other("is of a kind larder does not know"))?;
        let (user, group) = self.owner_names(stat.stx_uid, stat.stx_gid);
        let device = matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice);
        Ok(Meta {
            kind,
            mode: u32::from(stat.stx_mode) & 0o7777,
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            user,
            group,
            size: if kind == EntryKind::File { stat.stx_size } else { 0 },
            mtime: time(stat.stx_mtime),
            ctime: time(stat.stx_ctime),
            btime: (stat.stx_mask & StatxFlags::BTIME.bits() != 0).then(|| time(stat.stx_btime)),
            nlink: u64::from(stat.stx_nlink),
            device: device_of(stat),
            inode: stat.stx_ino,
            rdev: if device { (stat.stx_rdev_major, stat.stx_rdev_minor) } else { (0, 0) },
            target,
            xattrs: Vec::new(),
        })
    }

    fn owner_names(&self, uid: u32, gid: u32) -> (Vec<u8>, Vec<u8>) {
        let mut owners = lock(&self.owners);
        let bytes = |name: &OsStr| name.as_bytes().to_vec();
        let user = owners.users.entry(uid).or_insert_with(|| {
            uzers::get_user_by_uid(uid).map(|u| bytes(u.name())).unwrap_or_default()
        });
        let user = user.clone();
        let group = owners.groups.entry(gid).or_insert_with(|| {
            uzers::get_group_by_gid(gid).map(|g| bytes(g.name())).unwrap_or_default()
        });
        (user, group.clone())
    }

    /// A directory that is only on the way to roots.
    pub fn virtual_directory(&self, key: Vec<u8>, roots: Vec<Root>) -> Directory {
        let path = ancestor_path(&key);
        let handle = Handle::Path(path.clone());
        let mut directory = Directory::new(key, path, handle, Arc::new((PathBuf::new(), 0)), Rules::default());
        directory.only = Some(roots);
        directory
    }

    /// The entry of a directory on the way to roots. Under `--as` it may not be here at all.
    pub fn entry_of_ancestor(&self, key: &[u8], roots: &[Root]) -> Walked {
        let path = ancestor_path(key);
        let stat = statx(rustix::fs::CWD, path.as_os_str().as_bytes(), AtFlags::empty());
        let usable = stat.as_ref().is_ok_and(|s| kind(s.stx_mode) == Some(EntryKind::Directory));
        let stat = match (usable, self.remapped, roots.first()) {
            (false, true, Some(root)) => statx(rustix::fs::CWD, root.path.as_os_str().as_bytes(), AtFlags::empty()),
            _ => stat,
        };
        let meta = stat.and_then(|stat| {
            let mut meta = self.meta(&stat, Vec::new())?;
            if !usable {
                (meta.kind, meta.mode, meta.size, meta.nlink) = (EntryKind::Directory, 0o755, 0, 1);
            }
            Ok(meta)
        });
        match meta {
            Ok(meta) => {
                let handle = Handle::Path(path);
                Walked::Entry(Found { key: key.to_vec(), meta, handle, sparse: false, streaming: false })
            }
            Err(error) => Walked::Error { path: path::path_of(key), error },
        }
    }

    /// A root's own entry, and the directory behind it.
    pub fn root_entry(&self, root: &Root) -> Entries {
        let bytes = root.path.as_os_str().as_bytes();
        let mut entries = Entries::default();
        match statx(rustix::fs::CWD, bytes, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => {
                let top = Arc::new((root.path.clone(), device_of(&stat)));
                let handle = Handle::Path(root.path.clone());
                self.add(&mut entries, root.key.clone(), &root.path, handle, &stat, top, &Rules::default());
            }
            Err(error) => entries.walked.push(Walked::Error { path: path::path_of(&root.key), error }),
        }
        entries
    }

    /// Lists a directory.
    pub fn list(&self, directory: &Directory) -> Listing {
        if let Some(roots) = &directory.only {
            return Listing { ready: Some(self.on_the_way(directory, roots)), ..Listing::default() };
        }
        match self.read_names(directory) {
            Ok((open, mut names)) => {
                names.sort_unstable();
                self.inside(directory, open, names)
            }
            Err(error) => {
                let walked = vec![Walked::Error { path: path::path_of(&directory.key), error }];
                Listing { ready: Some(Entries { walked, children: Vec::new() }), ..Listing::default() }
            }
        }
    }

    fn on_the_way(&self, directory: &Directory, roots: &[Root]) -> Entries {
        let mut entries = Entries::default();
        for (name, below) in next_components(&directory.key, roots) {
            let key = path::child_key(&directory.key, &name);
            match below.iter().find(|root| root.key == key) {
                Some(root) => {
                    let own = self.root_entry(root);
                    entries.walked.extend(own.walked);
                    entries.children.extend(own.children);
                }
                None => {
                    entries.walked.push(self.entry_of_ancestor(&key, &below));
                    entries.children.push(Arc::new(self.virtual_directory(key, below)));
                }
            }
        }
        entries
    }

    fn read_names(&self, directory: &Directory) -> io::Result<(OwnedFd, Vec<Box<[u8]>>)> {
        let fd = open_handle(&directory.handle, OFlags::DIRECTORY)?;
        let mut names = Vec::new();
        let mut space = vec![MaybeUninit::uninit(); 64 << 10];
        let mut reader = RawDir::new(&fd, &mut space);
        while let Some(entry) = reader.next() {
            let entry = match entry {
                Err(Errno::INTR) => continue,
                entry => entry?,
            };
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.into());
            }
        }
        Ok((fd, names))
    }

    fn inside(&self, directory: &Directory, open: OwnedFd, names: Vec<Box<[u8]>>) -> Listing {
        let mut listing = Listing { rules: directory.rules.clone(), ..Listing::default() };
        let mut told = Vec::new();
        if !self.filter.is_empty() {
            let has = |name: &[u8]| names.binary_search_by(|n| (**n).cmp(name)).is_ok();
            if self.filter.is_cache(&directory.path, has) {
                let reason = "a cache (CACHEDIR.TAG)";
                let walked = vec![Walked::Skipped { path: path::path_of(&directory.key), reason }];
                return Listing { ready: Some(Entries { walked, children: Vec::new() }), ..listing };
            }
            let (rules, problem) = self.filter.enter(&directory.rules, &directory.path, has);
            listing.rules = rules;
            told.extend(problem.map(|p| Walked::Error {
                path: path::path_of(&directory.key),
                error: io::Error::new(io::ErrorKind::InvalidData, p.to_string()),
            }));
        }
        let open = self.keep_open(open);
        if !told.is_empty() || names.is_empty() {
            let rules = listing.rules.clone();
            let mut entries = self.look(directory, open, &rules, &names);
            entries.walked.splice(0..0, told);
            return Listing { ready: Some(entries), ..listing };
        }
        (listing.open, listing.names) = (open, names);
        listing
    }

    /// Keeps a directory open for the entries found in it, while there are not too many.
    fn keep_open(&self, fd: OwnedFd) -> Option<Arc<OwnedFd>> {
        let mut open = lock(&self.open);
        if open.len() >= OPEN_MAX {
            open.retain(|weak| weak.strong_count() > 0);
        }
        let fd = Arc::new(fd);
        (open.len() < OPEN_MAX).then(|| {
            open.push(Arc::downgrade(&fd));
            fd
        })
    }

    /// Looks at names of a directory.
    pub fn look(&self, directory: &Directory, open: Option<Arc<OwnedFd>>, rules: &Rules, names: &[Box<[u8]>]) -> Entries {
        let mut entries = Entries { walked: Vec::with_capacity(names.len()), children: Vec::new() };
        // Over the bound: open it just for these looks.
        let reopened = match (&open, names.is_empty()) {
            (None, false) => match open_handle(&directory.handle, OFlags::DIRECTORY) {
                Ok(fd) => Some(fd),
                Err(error) => {
                    entries.walked.push(Walked::Error { path: path::path_of(&directory.key), error });
                    return entries;
                }
            },
            _ => None,
        };
        let Some(dir) = reopened.as_ref().map(|fd| fd.as_fd()).or(open.as_ref().map(|fd| fd.as_fd())) else {
            return entries;
        };
        for name in names {
            let key = path::child_key(&directory.key, name);
            if key.len() > PATH_BYTES_MAX {
                let error = io::Error::other("its path is longer than 16 KiB");
                entries.walked.push(Walked::Error { path: path::path_of(&key), error });
                continue;
            }
            let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC;
            match statx(dir, name, flags) {
                Ok(stat) => {
                    let handle = |path: &Path| match &open {
                        Some(fd) => Handle::At(fd.clone(), name.to_vec()),
                        None => Handle::Path(path.to_path_buf()),
                    };
                    self.consider(&mut entries, directory, key, name, &handle, &stat, rules);
                }
                Err(error) => entries.walked.push(Walked::Error { path: path::path_of(&key), error }),
            }
        }
        entries
    }

    #[allow(clippy::too_many_arguments, reason = "one call site; a struct would only rename them")]
    fn consider(
        &self, entries: &mut Entries, directory: &Directory, key: Vec<u8>, name: &[u8], handle: &dyn Fn(&Path) -> Handle,
        stat: &Statx, rules: &Rules,
    ) {
        let is_directory = kind(stat.stx_mode) == Some(EntryKind::Directory);
        let needs_path = is_directory || !self.filter.is_empty() || matches!(handle(Path::new("")), Handle::Path(_));
        let path = if needs_path { directory.path.join(OsStr::from_bytes(name)) } else { PathBuf::new() };
        if !self.filter.is_empty() {
            let relative = path.strip_prefix(&directory.root.0).unwrap_or(&path);
            if self.filter.excludes(rules, relative, &path, is_directory) {
                return;
            }
        }
        self.add(entries, key, &path, handle(&path), stat, directory.root.clone(), rules);
    }

    /// Adds an entry, and the directory behind it when it is to be entered.
    #[allow(clippy::too_many_arguments, reason = "as above")]
    fn add(
        &self, entries: &mut Entries, key: Vec<u8>, path: &Path, handle: Handle, stat: &Statx, root: Arc<(PathBuf, u64)>,
        rules: &Rules,
    ) {
        let device = device_of(stat);
        if !self.options.never.is_empty() && self.options.never.contains(&(device, stat.stx_ino)) {
            let reason = "the store, the cache or the configuration of larder itself";
            entries.walked.push(Walked::Skipped { path: path::path_of(&key), reason });
            return;
        }
        let target = match kind(stat.stx_mode) {
            Some(EntryKind::Symlink) => match read_link(&handle) {
                Ok(target) => target,
                Err(error) => {
                    entries.walked.push(Walked::Error { path: path::path_of(&key), error });
                    return;
                }
            },
            _ => Vec::new(),
        };
        let meta = match self.meta(stat, target) {
            Ok(meta) => meta,
            Err(error) => {
                entries.walked.push(Walked::Error { path: path::path_of(&key), error });
                return;
            }
        };
        let enter = meta.kind == EntryKind::Directory;
        let sparse = meta.kind == EntryKind::File && stat.stx_blocks * 512 < meta.size;
        entries.walked.push(Walked::Entry(Found {
            key: key.clone(),
            meta,
            handle: handle.clone(),
            sparse,
            streaming: false,
        }));
        if enter && self.options.one_file_system && device != root.1 {
            entries.walked.push(Walked::Skipped { path: path::path_of(&key), reason: "another file system" });
        } else if enter {
            let child = Directory::new(key, path.to_path_buf(), handle, root, rules.clone());
            entries.children.push(Arc::new(child));
        }
    }
}

fn device_of(stat: &Statx) -> u64 {
    rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor)
}

fn read_link(handle: &Handle) -> io::Result<Vec<u8>> {
    let target = match handle {
        Handle::At(dir, name) => rustix::fs::readlinkat(dir, name.as_slice(), Vec::new())?,
        Handle::Path(path) => rustix::fs::readlinkat(rustix::fs::CWD, path, Vec::new())?,
        Handle::Key => return Err(io::ErrorKind::Unsupported.into()),
    };
    Ok(target.into_bytes())
}
