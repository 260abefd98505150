//! Lists a directory: its names, sorted, and the metadata of its entries, block by block.

use super::directory::Directory;
use super::marks;
use super::meta::{Seen, kind_of, look, made_up_directory};
use super::mounts::{Mounts, covered};
use super::names::Names;
use super::open::device_size;
use super::roots::{Kind, Roots};
use super::tally::LeftOut;
use crate::base::limits::PATH_BYTES_MAX;
use crate::base::pattern::Hits;
use crate::format::extension::FLAG_NODUMP;
use crate::format::tree::{EntryKind, Meta};
use crate::source::Remark;
use crate::source::filter::{Cause, Chain, Filter};
use parking_lot::Mutex;
use rustix::fs::{CWD, FileType, RawDir, readlinkat_raw};
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::{CStr, CString, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Names looked at as one piece of work.
pub(super) const BLOCK: usize = 1024;
/// No node among the roots.
pub(super) const NO_NODE: u32 = u32::MAX;

/// Why a mount is not entered.
const OTHER: &str = "another file system is mounted here";
/// The same, of one that leads to a source.
const OTHER_LEADING: &str = "another file system is mounted here; only the named paths in it are backed up";

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
    /// A root that is a block device, or leads to one, and is to be read: as the regular file of its content.
    Device {
        meta: Meta,
        path: PathBuf,
    },
    /// A directory on which another file system lies, that is not entered, and why.
    Mount(Meta, &'static str),
    /// The same where it was not even looked at: what it covers.
    Covered(Meta, &'static str),
    /// A link whose target cannot be read.
    Unfollowed(Meta, io::Error),
    Error(io::Error),
    Skipped(&'static str),
    /// Left out.
    Nothing(Cause),
}

impl Looked {
    fn meta(&self) -> Option<&Meta> {
        match self {
            Looked::Entry { meta, .. } | Looked::Elsewhere { meta, .. } | Looked::Device { meta, .. } => Some(meta),
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
    /// What went wrong beside: a rule file that cannot be read, a root that is not there.
    pub errors: Mutex<Vec<(Vec<u8>, io::Error)>>,
    /// What was left out of it before it was looked at.
    pub left_out: LeftOut,
    /// What ended the listing before its end.
    pub broken: Mutex<Option<io::Error>>,
}

/// What a walk is told.
#[derive(Debug)]
pub(super) struct Lister<'a> {
    pub roots: &'a Roots,
    pub filter: &'a Filter,
    pub one_file_system: bool,
    /// With `one_file_system`: what is mounted.
    pub mounts: Mounts,
    pub never: &'a HashSet<(u64, u64)>,
    /// Where these lie.
    pub never_at: &'a [PathBuf],
    pub read_special: bool,
    pub stop: AtomicBool,
    /// What a person should know of the walk.
    pub remarks: &'a Mutex<Vec<Remark>>,
}

/// Memory of one thread, used again and again.
pub(super) struct Scratch {
    entries: Box<[MaybeUninit<u8>]>,
    pub path: Vec<u8>,
    pub hits: Hits,
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch { entries: Box::new_uninit_slice(64 << 10), path: Vec::new(), hits: Hits::default() }
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
        let mut broken = None;
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(Errno::INTR) => continue,
                Err(error) if names.len() == 0 => return Err(error.into()),
                // What was listed until then is there.
                Err(error) => {
                    broken = Some(error.into());
                    break;
                }
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
        let mut listing = Listing {
            directory,
            names,
            rules,
            errors: Mutex::default(),
            left_out: LeftOut::default(),
            broken: broken.into(),
        };
        self.missing_roots(&listing);
        if !self.mounts.is_empty() {
            self.find_mounts(&mut listing, &fd, scratch);
        }
        if !self.filter.keeps_all_names() {
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
        let (errors, left_out, broken) = (Mutex::default(), LeftOut::default(), Mutex::default());
        Ok(Listing { directory, names, rules, errors, left_out, broken })
    }

    /// Roots in a directory that is taken whole: one that is not there is an error, and so is one behind a link, which
    /// stays a link.
    fn missing_roots(&self, listing: &Listing) {
        let Some(node) = listing.directory.node else { return };
        for &child in &self.roots.node(node).children {
            let name = &self.roots.node(child).name;
            let error = match listing.names.position(name).map(|at| listing.names.kind(at)) {
                None => io::Error::from(Errno::NOENT),
                Some(Some(EntryKind::Symlink)) if !self.roots.node(child).children.is_empty() => io::Error::other(
                    "is stored as a link. Paths that lead through it are not followed: give the paths that they lead \
                     to",
                ),
                Some(_) => continue,
            };
            listing.errors.lock().push((name.to_vec(), error));
        }
    }

    /// Marks the names on which something is mounted that is not to be touched.
    fn find_mounts(&self, listing: &mut Listing, fd: &OwnedFd, scratch: &mut Scratch) {
        let directory = &listing.directory;
        set_path(&mut scratch.path, directory.prefix());
        if directory.elsewhere() {
            // Reached through a link: the table has it under its own path.
            let path = path_of_fd(fd);
            scratch.path = [&path.unwrap_or_default()[..], b"/"].concat();
            if scratch.path.starts_with(b"//") {
                scratch.path.remove(0);
            }
        }
        for (name, kind) in self.mounts.untouchable(&scratch.path, fd, directory.device) {
            let node = directory.node.and_then(|node| self.roots.child(node, name));
            // What leads to a root is touched.
            let Some(at) = listing.names.position(name).filter(|_| node.is_none()) else { continue };
            listing.names.names[at].mounted = Some(kind);
        }
    }

    /// Looks for rule files and markers, then takes away the names that are left out.
    fn apply_rules(&self, listing: &mut Listing, fd: &OwnedFd, scratch: &mut Scratch) {
        self.apply_markers(listing, fd);
        let own_rules = self.rule_files(listing, fd, scratch);
        let directory = listing.directory.clone();
        let below = set_path(&mut scratch.path, directory.prefix());
        let own = [directory.root + 1];
        let bases = directory.bases(&own);
        let Listing { names, rules, left_out, .. } = listing;
        let Scratch { path, hits, .. } = scratch;
        let mut leaves_out = |rules: &Option<Arc<Chain>>, name: &[u8], is_directory: bool| {
            path.truncate(below);
            path.extend_from_slice(name);
            self.filter.leaves_out(path, bases, rules.as_ref(), is_directory, hits)
        };
        if own_rules && self.is_named_root(&directory) {
            let is_directory = |at: usize| match names.kind(at) {
                Some(kind) => kind == EntryKind::Directory,
                None => look(fd.as_fd(), names.c_str(at), false).is_ok_and(|(m, _)| m.kind == EntryKind::Directory),
            };
            let is_rule_file = |name: &[u8]| self.filter.rule_files().iter().any(|own| own == name);
            let stays = |at: usize| {
                let name = names.get(at);
                !is_rule_file(name) && leaves_out(rules, name, is_directory(at)).is_none()
            };
            let any = (0..names.len()).any(|at| !is_rule_file(names.get(at)));
            if any && !(0..names.len()).any(stays) {
                *rules = directory.rules.clone();
                self.remark(Remark::rules_pass_over(&directory.path()));
            }
        }
        names.retain(|name, kind, on_the_way| {
            let Some(kind) = kind else { return true };
            let Some(cause) = leaves_out(rules, name, kind == EntryKind::Directory) else { return true };
            *on_the_way = self.leads_to_named(&directory, name);
            if !*on_the_way {
                left_out.add(cause);
                self.say_left_out(&directory, name, kind, cause);
            }
            *on_the_way
        });
    }

    /// Says of a folder of a list that it was left out itself, and of any folder that paths of a list go with it.
    fn say_left_out(&self, directory: &Directory, name: &[u8], kind: EntryKind, cause: Cause) {
        let Some(node) = directory.node.and_then(|node| self.roots.child(node, name)) else { return };
        if kind != EntryKind::Directory {
            return;
        }
        let mut why = LeftOut::default();
        why.add(cause);
        let path = [&directory.path()[..], b"/", name].concat();
        let path = path.strip_prefix(b"/").filter(|path| path.starts_with(b"/")).unwrap_or(&path);
        if self.roots.node(node).root == Some(Kind::Listed) {
            self.remark(Remark::left_out(path, &why.words(self.filter)));
        }
        let below = self.roots.roots_below(node);
        if below > 0 {
            self.remark(Remark::left_out_with(path, below, &why.words(self.filter)));
        }
    }

    /// What lies beside a marker is left out, but for what a person named. In a directory that was named itself a marker
    /// does not count.
    fn apply_markers(&self, listing: &mut Listing, fd: &OwnedFd) {
        let Some(marker) = marks::marker(self.filter, &listing.names, fd) else { return };
        let directory = listing.directory.clone();
        if self.is_named_root(&directory) {
            return self.remark(Remark::marker_passed_over(&directory.path(), marker));
        }
        let Listing { names, left_out, .. } = listing;
        names.retain(|name, kind, on_the_way| {
            *on_the_way = name != marker && self.leads_to_named(&directory, name);
            let stays = name == marker || *on_the_way;
            if !stays {
                left_out.add(Cause::Marker);
                self.say_left_out(&directory, name, kind.unwrap_or(EntryKind::Directory), Cause::Marker);
            }
            stays
        });
    }

    /// Reads the rule files of a directory; tells whether there are rules in one.
    fn rule_files(&self, listing: &mut Listing, fd: &OwnedFd, scratch: &mut Scratch) -> bool {
        let below = set_path(&mut scratch.path, listing.directory.prefix());
        let mut any = false;
        for name in self.filter.rule_files() {
            if listing.names.position(name).is_none() {
                continue;
            }
            match marks::rule_file(fd, name) {
                Ok(None) => {}
                Ok(Some(text)) => {
                    listing.rules = Chain::add(&text, below, listing.rules.take());
                    any = true;
                }
                Err(error) => listing.errors.lock().push((name.clone(), error)),
            }
        }
        any
    }

    /// Whether a directory is a root that a person named.
    fn is_named_root(&self, directory: &Directory) -> bool {
        directory.is_root() && directory.node.is_some_and(|node| self.roots.node(node).root == Some(Kind::Named))
    }

    pub fn remark(&self, remark: Remark) {
        self.remarks.lock().push(remark);
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
                found.push(Looked::Nothing(Cause::Stopped));
                continue;
            }
            let name = listing.names.get(at);
            if directory.prefix().len() + 1 + name.len() > PATH_BYTES_MAX {
                found.push(Looked::Error(io::Error::other("its path is longer than 16 KiB")));
                continue;
            }
            let node = directory.node.and_then(|node| self.roots.child(node, name));
            let mut looked = match (directory.full, node, listing.names.names[at].mounted, fd) {
                (false, Some(node), ..) => self.look_named(directory, fd, listing.names.c_str(at), node),
                // A file on which one of another file system is mounted: what it covers cannot be seen.
                (_, _, Some(kind), _) if !listing.names.may_be_directory(at) => Looked::Skipped(kind.reason()),
                (_, _, Some(kind), Some(fd)) => Looked::Covered(covered(fd, listing.names.c_str(at)), kind.reason()),
                _ => self.look_plain(fd, listing.names.c_str(at)),
            };
            let mut on_the_way = listing.names.names[at].on_the_way;
            let unknown = listing.names.names[at].kind.is_none() && !self.filter.is_empty();
            if let (Some(meta), true) = (looked.meta(), unknown) {
                scratch.path.truncate(below);
                scratch.path.extend_from_slice(name);
                let is_directory = meta.kind == EntryKind::Directory;
                let cause = self.left_out(listing, node, &scratch.path, is_directory, &mut scratch.hits);
                if let Some(cause) = cause {
                    on_the_way = node.is_some_and(|node| self.roots.node(node).leads_to_named);
                    if !on_the_way {
                        self.say_left_out(directory, name, meta.kind, cause);
                        looked = Looked::Nothing(cause);
                    }
                }
            }
            found.push(self.judge(directory, looked, node, on_the_way, name, &mut subs));
        }
        (found, subs)
    }

    fn look_plain(&self, fd: Option<BorrowedFd<'_>>, name: &CStr) -> Looked {
        let Some(fd) = fd else { return Looked::Error(Errno::NOENT.into()) };
        match look(fd, name, false) {
            Ok((mut meta, seen)) if meta.kind == EntryKind::Symlink => match link_target(fd, name) {
                Ok(target) if !target.is_empty() => {
                    meta.target = target;
                    Looked::Entry { meta, seen }
                }
                // It is gone, or no link any more.
                Err(error @ (Errno::NOENT | Errno::INVAL)) => Looked::Error(error.into()),
                Ok(_) => Looked::Unfollowed(meta, io::Error::other("the link leads to nothing: it has no target")),
                Err(error) => Looked::Unfollowed(meta, error.into()),
            },
            Ok((meta, mut seen)) => {
                if self.filter.no_dump() && !seen.tells_no_dump && marks::no_dump(fd, name, meta.kind) {
                    seen.flags |= FLAG_NODUMP;
                }
                Looked::Entry { meta, seen }
            }
            Err(error) => Looked::Error(error.into()),
        }
    }

    /// A root or a directory on the way to one.
    fn look_named(&self, directory: &Directory, fd: Option<BorrowedFd<'_>>, name: &CStr, number: u32) -> Looked {
        let node = self.roots.node(number);
        if self.read_special && node.root.is_some() && node.children.is_empty() {
            let here = || PathBuf::from(OsString::from_vec([&directory.path(), &b"/"[..], name.to_bytes()].concat()));
            if let Some(device) = look_device(self.roots.real.clone().unwrap_or_else(here)) {
                return device;
            }
        }
        if let Some(real) = self.roots.real_of(number) {
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
        let above = self.roots.real.is_some() && !directory.elsewhere();
        if on_the_way && above && kind != Some(EntryKind::Directory) {
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
    fn left_out(
        &self,
        listing: &Listing,
        node: Option<u32>,
        path: &[u8],
        is_directory: bool,
        hits: &mut Hits,
    ) -> Option<Cause> {
        let directory = &listing.directory;
        if directory.full {
            let own = [directory.root + 1];
            return self.filter.leaves_out(path, directory.bases(&own), listing.rules.as_ref(), is_directory, hits);
        }
        let listed = node.is_some_and(|node| self.roots.node(node).root == Some(Kind::Listed));
        if listed { self.filter.leaves_out_listed(path, is_directory, hits) } else { None }
    }

    /// Decides whether an entry is kept and entered.
    fn judge(
        &self,
        directory: &Directory,
        looked: Looked,
        node: Option<u32>,
        mut on_the_way: bool,
        name: &[u8],
        subs: &mut Subs,
    ) -> Looked {
        let Some(meta) = looked.meta() else { return looked };
        let found = (meta.device, meta.inode);
        if self.never.contains(&found) && marks::is_one_of(self.never_at, &directory.path(), name) {
            return Looked::Skipped("it belongs to the store or its cache");
        }
        let root = node.and_then(|node| self.roots.node(node).root);
        let no_dump = matches!(looked, Looked::Entry { seen, .. } if seen.flags & FLAG_NODUMP != 0);
        if no_dump && self.filter.no_dump() && root != Some(Kind::Named) && directory.full {
            on_the_way |= node.is_some_and(|node| self.roots.node(node).leads_to_named);
            if !on_the_way {
                self.say_left_out(directory, name, meta.kind, Cause::NoDump);
                return Looked::Nothing(Cause::NoDump);
            }
        }
        if meta.kind != EntryKind::Directory {
            let is_file = meta.kind == EntryKind::File && root != Some(Kind::Named);
            return if is_file && self.filter.is_too_large(meta.size) { Looked::Nothing(Cause::Size) } else { looked };
        }
        // What rules leave out is entered as far as it leads to roots that a person named.
        let full = if on_the_way { root == Some(Kind::Named) } else { root.is_some() || directory.full };
        let root = root.is_some();
        let other = self.one_file_system && directory.full && !root && meta.device != directory.device;
        if other {
            let node = node.filter(|&node| !self.roots.node(node).children.is_empty());
            if let Some(node) = node {
                subs.push(name, Sub { node, full: false, through: false, device: meta.device });
            }
            return match looked {
                Looked::Entry { meta, .. } => Looked::Mount(meta, if node.is_some() { OTHER_LEADING } else { OTHER }),
                other => other,
            };
        }
        let through = matches!(looked, Looked::Elsewhere { through: true, .. });
        let device = if root || !directory.full { meta.device } else { directory.device };
        subs.push(name, Sub { node: node.unwrap_or(NO_NODE), full, through, device });
        looked
    }
}

/// A block device, or where a link to one leads, as a regular file; `None` for anything else.
fn look_device(path: PathBuf) -> Option<Looked> {
    let (meta, _) = look(CWD, path.as_path(), true).ok().filter(|(meta, _)| meta.kind == EntryKind::BlockDevice)?;
    let path = std::fs::canonicalize(&path).unwrap_or(path);
    Some(match device_size(&path) {
        // Its node may have other names; its content stands for itself.
        Ok(size) => Looked::Device { meta: Meta { kind: EntryKind::File, size, rdev: (0, 0), nlink: 1, ..meta }, path },
        Err(error) => Looked::Error(error),
    })
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

/// Where an open directory lies.
fn path_of_fd(fd: &OwnedFd) -> Option<Vec<u8>> {
    use std::os::fd::AsRawFd;
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()?;
    Some(link.into_os_string().into_vec())
}
