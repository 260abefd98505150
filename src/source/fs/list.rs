//! Names of a directory, sorted, and what the system says of them, block by block.

use super::directory::{Directory, lock};
use super::meta::{Seen, kind_of, look, made_up_directory};
use super::roots::{Kind, Roots};
use crate::base::limits::PATH_BYTES_MAX;
use crate::format::tree::{EntryKind, Meta};
use crate::source::filter::{CACHEDIR_TAG, Chain, Filter, RULE_FILE_BYTES_MAX};
use rustix::fs::{CWD, FileType, Mode, OFlags, RawDir, openat, readlinkat_raw};
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::{CStr, CString, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// Names looked at as one piece of work.
pub(super) const BLOCK: usize = 1024;
/// No node among the roots.
pub(super) const NO_NODE: u32 = u32::MAX;

/// Names, each with a zero byte behind, in one piece of memory.
#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    names: Vec<Name>,
}

/// One of [`Names`].
#[derive(Debug, Clone, Copy)]
struct Name {
    start: u32,
    /// Without the zero byte.
    len: u16,
    /// The kind, where the listing told.
    kind: Option<EntryKind>,
    /// Rules leave it out, but it leads to a root that a person named.
    on_the_way: bool,
}

impl Names {
    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn get(&self, at: usize) -> &[u8] {
        let name = self.names[at];
        &self.bytes[name.start as usize..][..name.len as usize]
    }

    fn c_str(&self, at: usize) -> &CStr {
        let name = self.names[at];
        CStr::from_bytes_with_nul(&self.bytes[name.start as usize..][..name.len as usize + 1]).unwrap_or_default()
    }

    pub fn push(&mut self, name: &[u8], kind: Option<EntryKind>) -> io::Result<()> {
        let start = u32::try_from(self.bytes.len()).map_err(|_| io::Error::other("too many names in one directory"))?;
        let len = u16::try_from(name.len()).map_err(|_| io::Error::from(Errno::NAMETOOLONG))?;
        self.bytes.extend_from_slice(name);
        self.bytes.push(0);
        self.names.push(Name { start, len, kind, on_the_way: false });
        Ok(())
    }

    fn sort(&mut self) {
        let bytes = &self.bytes;
        let of = |n: &Name| &bytes[n.start as usize..][..n.len as usize];
        self.names.sort_unstable_by(|a, b| of(a).cmp(of(b)));
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        let of = |n: &Name| &self.bytes[n.start as usize..][..n.len as usize];
        self.names.binary_search_by(|n| of(n).cmp(name)).ok()
    }
}

/// What was found of one name.
#[derive(Debug)]
pub(super) enum Looked {
    Entry {
        meta: Meta,
        seen: Seen,
    },
    /// What stands here lies elsewhere: behind a link that was followed, or under another path, or nowhere.
    Elsewhere {
        meta: Meta,
        seen: Seen,
        path: Option<PathBuf>,
        through: bool,
    },
    /// A directory on which another file system lies, that is not entered.
    Mount(Meta),
    Error(io::Error),
    Skipped(&'static str),
    /// Left out by a rule.
    Nothing,
}

impl Looked {
    fn meta(&self) -> Option<&Meta> {
        match self {
            Looked::Entry { meta, .. } | Looked::Elsewhere { meta, .. } => Some(meta),
            _ => None,
        }
    }
}

/// A subdirectory that is to be listed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sub {
    pub node: u32,
    pub full: bool,
    pub through: bool,
    pub device: u64,
}

/// Subdirectories to be listed, in order.
#[derive(Debug, Default)]
pub(super) struct Subs {
    pub names: Names,
    pub subs: Vec<Sub>,
}

impl Subs {
    fn push(&mut self, name: &[u8], sub: Sub) {
        // Shorter than the names they are taken from.
        if self.names.push(name, None).is_ok() {
            self.subs.push(sub);
        }
    }

    /// Puts those of a later block behind.
    pub fn append(&mut self, later: &Subs) {
        for (at, sub) in later.subs.iter().enumerate() {
            self.push(later.names.get(at), *sub);
        }
    }
}

/// A listed directory.
#[derive(Debug)]
pub(super) struct Listing {
    pub directory: Arc<Directory>,
    pub names: Names,
    /// Rules for what lies in it.
    pub rules: Option<Arc<Chain>>,
    /// What went wrong beside: a rule file that cannot be read.
    pub errors: Mutex<Vec<(Vec<u8>, io::Error)>>,
}

/// What a walk is told.
#[derive(Debug)]
pub(super) struct Lister<'a> {
    pub roots: &'a Roots,
    pub filter: &'a Filter,
    pub one_file_system: bool,
    pub never: &'a HashSet<(u64, u64)>,
    pub stop: AtomicBool,
}

/// Memory of one thread, used again and again.
pub(super) struct Scratch {
    entries: Box<[MaybeUninit<u8>]>,
    path: Vec<u8>,
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch { entries: Box::new_uninit_slice(64 << 10), path: Vec::new() }
    }
}

impl Lister<'_> {
    /// Opens a directory and reads its names, without those that rules leave out.
    pub fn list(&self, directory: Arc<Directory>, scratch: &mut Scratch) -> io::Result<Listing> {
        if !directory.full {
            return self.named(directory);
        }
        let fd = directory.list()?;
        let mut names = Names::default();
        let mut entries = RawDir::new(&fd, &mut scratch.entries);
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => None,
                known => Some(kind_of(known)),
            };
            names.push(name, kind)?;
            if entries.is_buffer_empty() && self.stop.load(Relaxed) {
                break;
            }
        }
        names.sort();
        let rules = directory.rules.clone();
        let mut listing = Listing { directory, names, rules, errors: Mutex::default() };
        if !self.filter.is_empty() || self.filter.cache_dirs() {
            self.apply_rules(&mut listing, &fd, scratch);
        }
        Ok(listing)
    }

    /// A directory on the way to roots: it holds what leads to them.
    fn named(&self, directory: Arc<Directory>) -> io::Result<Listing> {
        let mut names = Names::default();
        for &child in directory.node.map_or(&[][..], |node| &self.roots.node(node).children) {
            names.push(&self.roots.node(child).name, None)?;
        }
        let rules = directory.rules.clone();
        Ok(Listing { directory, names, rules, errors: Mutex::default() })
    }

    /// Looks for rule files and tags, then takes away the names that are left out.
    fn apply_rules(&self, listing: &mut Listing, fd: &OwnedFd, scratch: &mut Scratch) {
        const TAG: &[u8] = b"CACHEDIR.TAG";
        let directory = listing.directory.clone();
        let below = set_path(&mut scratch.path, directory.prefix());
        for name in self.filter.rule_files() {
            if listing.names.position(name).is_none() {
                continue;
            }
            match read_regular(fd, name, RULE_FILE_BYTES_MAX) {
                Ok(None) => {}
                Ok(Some(text)) => listing.rules = Chain::add(&text, below, listing.rules.take()),
                Err(error) => lock(&listing.errors).push((name.clone(), error)),
            }
        }
        if self.filter.cache_dirs() && listing.names.position(TAG).is_some() {
            let tag = read_regular(fd, TAG, CACHEDIR_TAG.len());
            if tag.is_ok_and(|tag| tag.is_some_and(|tag| tag == CACHEDIR_TAG)) {
                let Names { bytes, names } = &mut listing.names;
                names.retain(|n| &bytes[n.start as usize..][..n.len as usize] == TAG);
                return;
            }
        }
        let Listing { names: Names { bytes, names }, rules, .. } = listing;
        names.retain_mut(|n| {
            let Some(kind) = n.kind else { return true };
            let name = &bytes[n.start as usize..][..n.len as usize];
            scratch.path.truncate(below);
            scratch.path.extend_from_slice(name);
            let is_directory = kind == EntryKind::Directory;
            if !self.filter.leaves_out(&scratch.path, directory.root + 1, rules.as_ref(), is_directory) {
                return true;
            }
            n.on_the_way = self.leads_to_named(&directory, name);
            n.on_the_way
        });
    }

    fn leads_to_named(&self, directory: &Directory, name: &[u8]) -> bool {
        let node = directory.node.and_then(|node| self.roots.child(node, name));
        node.is_some_and(|node| self.roots.node(node).leads_to_named)
    }

    /// Looks at a block of names. Gives what was found, and the subdirectories to be listed.
    pub fn look(&self, listing: &Listing, block: Range<usize>, scratch: &mut Scratch) -> (Vec<Looked>, Subs) {
        let directory = &listing.directory;
        let mut subs = Subs::default();
        let below = set_path(&mut scratch.path, directory.prefix());
        let fd = match directory.fd() {
            Ok(fd) => Some(fd),
            // An ancestor that only the snapshot has; each name is looked at all the same.
            Err(_) if !directory.full && self.roots.real.is_some() => None,
            Err(error) => {
                let failed = |_| Looked::Error(error.into());
                return (block.map(failed).collect(), subs);
            }
        };
        let fd = fd.as_ref().map(|fd| fd.as_fd());
        let mut found = Vec::with_capacity(block.len());
        for at in block {
            if self.stop.load(Relaxed) {
                found.push(Looked::Nothing);
                continue;
            }
            let name = listing.names.get(at);
            if directory.prefix().len() + 1 + name.len() > PATH_BYTES_MAX {
                found.push(Looked::Error(io::Error::other("its path is longer than 16 KiB")));
                continue;
            }
            let node = directory.node.and_then(|node| self.roots.child(node, name));
            let mut looked = match (directory.full, node) {
                (false, Some(node)) => self.look_named(directory, fd, listing.names.c_str(at), node),
                _ => self.look_plain(fd, listing.names.c_str(at)),
            };
            let mut on_the_way = listing.names.names[at].on_the_way;
            let unknown = listing.names.names[at].kind.is_none() && !self.filter.is_empty();
            if let (Some(meta), true) = (looked.meta(), unknown) {
                scratch.path.truncate(below);
                scratch.path.extend_from_slice(name);
                if self.left_out(listing, node, &scratch.path, meta.kind == EntryKind::Directory) {
                    on_the_way = node.is_some_and(|node| self.roots.node(node).leads_to_named);
                    if !on_the_way {
                        looked = Looked::Nothing;
                    }
                }
            }
            found.push(self.judge(directory, looked, node, on_the_way, name, &mut subs));
        }
        (found, subs)
    }

    fn look_plain(&self, fd: Option<BorrowedFd<'_>>, name: &CStr) -> Looked {
        let Some(fd) = fd else { return Looked::Error(Errno::NOENT.into()) };
        let read = look(fd, name, false).and_then(|(mut meta, seen)| {
            if meta.kind == EntryKind::Symlink {
                meta.target = link_target(fd, name)?;
            }
            Ok(Looked::Entry { meta, seen })
        });
        read.unwrap_or_else(|error| Looked::Error(error.into()))
    }

    /// A root or a directory on the way to one.
    fn look_named(&self, directory: &Directory, fd: Option<BorrowedFd<'_>>, name: &CStr, number: u32) -> Looked {
        let node = self.roots.node(number);
        if let (Some(_), Some(real)) = (node.root, &self.roots.real) {
            return match self.look_plain(Some(CWD), &c_path(real)) {
                Looked::Entry { meta, seen } => {
                    Looked::Elsewhere { meta, seen, path: Some(real.clone()), through: false }
                }
                failed => failed,
            };
        }
        let looked = self.look_plain(fd, name);
        let on_the_way = !node.children.is_empty();
        let kind = looked.meta().map(|meta| meta.kind);
        if on_the_way && self.roots.real.is_some() && kind != Some(EntryKind::Directory) {
            return Looked::Elsewhere { meta: made_up_directory(), seen: Seen::default(), path: None, through: false };
        }
        if kind == Some(EntryKind::Symlink) && (on_the_way || node.root == Some(Kind::Named)) {
            let behind = fd.map(|fd| look(fd, name, true));
            if let Some((meta, seen)) = behind.and_then(|b| b.ok()).filter(|(m, _)| m.kind == EntryKind::Directory) {
                let path = PathBuf::from(OsString::from_vec([&directory.path(), &b"/"[..], name.to_bytes()].concat()));
                let path = std::fs::canonicalize(&path).unwrap_or(path);
                return Looked::Elsewhere { meta, seen, path: Some(path), through: true };
            }
        }
        if on_the_way && kind.is_some_and(|kind| kind != EntryKind::Directory) {
            return Looked::Error(Errno::NOTDIR.into());
        }
        looked
    }

    /// Whether rules leave out an entry whose kind the listing did not tell. Of the roots, they hold for those of a list.
    fn left_out(&self, listing: &Listing, node: Option<u32>, path: &[u8], is_directory: bool) -> bool {
        let directory = &listing.directory;
        if directory.full {
            return self.filter.leaves_out(path, directory.root + 1, listing.rules.as_ref(), is_directory);
        }
        let listed = node.is_some_and(|node| self.roots.node(node).root == Some(Kind::Listed));
        listed && self.filter.leaves_out_listed(path, is_directory)
    }

    /// Decides whether an entry is kept and entered.
    fn judge(
        &self,
        directory: &Directory,
        looked: Looked,
        node: Option<u32>,
        on_the_way: bool,
        name: &[u8],
        subs: &mut Subs,
    ) -> Looked {
        let Some(meta) = looked.meta() else { return looked };
        if !self.never.is_empty() && self.never.contains(&(meta.device, meta.inode)) {
            return Looked::Skipped("it belongs to the store or its cache");
        }
        if meta.kind != EntryKind::Directory {
            return looked;
        }
        let root = node.and_then(|node| self.roots.node(node).root);
        // What rules leave out is entered as far as it leads to roots that a person named.
        let full = if on_the_way { root == Some(Kind::Named) } else { root.is_some() || directory.full };
        let root = root.is_some();
        let other = self.one_file_system && directory.full && !root && meta.device != directory.device;
        if other {
            return match looked {
                Looked::Entry { meta, .. } => Looked::Mount(meta),
                other => other,
            };
        }
        let through = matches!(looked, Looked::Elsewhere { through: true, .. });
        let device = if root || !directory.full { meta.device } else { directory.device };
        subs.push(name, Sub { node: node.unwrap_or(NO_NODE), full, through, device });
        looked
    }
}

/// Puts the absolute path of a directory into `path`, with a slash behind; gives its length.
fn set_path(path: &mut Vec<u8>, prefix: &[u8]) -> usize {
    path.clear();
    path.push(b'/');
    path.extend(prefix.iter().map(|&b| if b == 0 { b'/' } else { b }));
    path.len()
}

fn c_path(path: &std::path::Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}

fn link_target(fd: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<Vec<u8>> {
    let mut short = [0; 256];
    let len = readlinkat_raw(fd, name, &mut short)?;
    if len < short.len() {
        return Ok(short[..len].to_vec());
    }
    Ok(rustix::fs::readlinkat(fd, name, Vec::new())?.into_bytes())
}

/// The first bytes of a regular file; `None` for anything else. Never follows a link, never waits.
fn read_regular(fd: &OwnedFd, name: &[u8], max: usize) -> io::Result<Option<Vec<u8>>> {
    use std::io::Read;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match openat(fd, name, flags, Mode::empty()) {
        Ok(file) => std::fs::File::from(file),
        Err(Errno::LOOP | Errno::NXIO) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut text = Vec::new();
    file.take(max as u64).read_to_end(&mut text)?;
    Ok(Some(text))
}
