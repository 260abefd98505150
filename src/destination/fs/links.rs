//! Links where the snapshot has a directory: followed as the live system follows them, as long as they stay beneath the
//! target.
//!
//! A link is resolved here, one component after the other, and never by the kernel: what comes out is a chain of real
//! directories beneath the target, opened like any other. Two kinds of links are not followed:
//!
//! - one that the restored snapshot holds as a link. Else a snapshot with `y/l -> ../z` and `x/l/file` could write through
//!   its own link wherever the target has a link `x -> y`.
//! - one that belongs neither to root, nor to who restores, nor to the owner of the directory that it leads to. Else who
//!   may write anywhere in the target could have root restore his files over others'.

use super::compare::look;
use super::{FsDestination, FsDirectory};
use crate::destination::{FoundDirectory, Identity, Led, Node, Way};
use parking_lot::Mutex;
use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::{FileType, Statx};
use rustix::io::Errno;
use std::collections::HashSet;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

/// Links that may be passed on the way to one directory, as in the kernel.
const LINKS_MAX: usize = 40;

const OUTSIDE: &str = "a link that leads outside the target";
const OF_THE_SNAPSHOT: &str = "a link that leads through one of the snapshot's own links";
const OF_OTHERS: &str = "a link that belongs to another user than the directory it leads to";

/// Links that the snapshot holds, by what they are in the target.
#[derive(Default)]
pub(super) struct OwnLinks(Mutex<HashSet<Identity>>);

/// The directories from the target to one beneath it.
type Chain = Vec<Arc<FsDirectory>>;

/// Where links lead, and who owns them.
type Resolved = (Chain, Vec<u32>);

/// Their names.
fn path_of(chain: &Chain) -> Vec<Vec<u8>> {
    chain[1..].iter().map(|directory| directory.name().to_vec()).collect()
}

pub(super) fn node_of(stat: &Statx) -> Node {
    (rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor), stat.stx_ino)
}

impl FsDestination {
    /// Keeps in mind that the snapshot has a link here. In a target that was empty no other link can lie.
    pub(super) fn own_link(&self, identity: Identity) {
        if self.found != FoundDirectory::New {
            self.own_links.0.lock().insert(identity);
        }
    }

    /// Where the entry `name` leads to.
    pub(super) fn way_of(&self, parent: &Arc<FsDirectory>, name: &[u8]) -> io::Result<Way<Arc<FsDirectory>>> {
        let (chain, owners) = match self.resolve(parent, name, &mut |_, _, _| {})? {
            Ok(resolved) => resolved,
            Err(way) => return Ok(way),
        };
        let directory = chain[chain.len() - 1].clone();
        if !self.may_lead(&owners, &directory)? {
            return Ok(Way::Closed(OF_OTHERS));
        }
        Ok(Way::Leads { directory, path: path_of(&chain) })
    }

    /// See [`crate::destination::Destination::led`].
    pub(super) fn led_by(&self, parent: &Arc<FsDirectory>, name: &[u8]) -> io::Result<Option<Led<Arc<FsDirectory>>>> {
        match look(self.directories.fd(parent)?.as_fd(), name) {
            Ok(stat) if FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Symlink => {}
            Ok(_) | Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let own = self.own_path().unwrap_or_default();
        let mut passed = vec![];
        let mut pass = |chain: &Chain, name: &[u8], node| {
            let mut path = if own == b"/" { vec![] } else { own.clone() };
            for name in path_of(chain).iter().map(Vec::as_slice).chain([name]).filter(|name| !name.is_empty()) {
                path.push(b'/');
                path.extend_from_slice(name);
            }
            passed.push((node, if own.is_empty() { vec![] } else { path }));
        };
        let (chain, owners) = match self.resolve(parent, name, &mut pass)? {
            Ok(resolved) => resolved,
            Err(Way::Nowhere) => return Ok(None),
            Err(_) => return Ok(Some(Led { directory: None, path: vec![], may_be_followed: false, passed })),
        };
        let directory = chain[chain.len() - 1].clone();
        let stat = look(self.directories.fd(&directory)?.as_fd(), c"")?;
        pass(&chain, b"", node_of(&stat));
        let may_be_followed = self.may_lead(&owners, &directory)?;
        Ok(Some(Led { directory: Some(directory), path: path_of(&chain), may_be_followed, passed }))
    }

    /// Whether links of these owners may lead to a directory.
    fn may_lead(&self, owners: &[u32], directory: &Arc<FsDirectory>) -> io::Result<bool> {
        let owner = rustix::fs::fstat(&*self.directories.fd(directory)?)?.st_uid;
        let user = rustix::process::geteuid().as_raw();
        Ok(owners.iter().all(|&of_link| of_link == 0 || of_link == user || of_link == owner))
    }

    /// The directories from the target to where the entry leads, and who owns the links on the way. `pass` hears of each
    /// link, and of each directory that is left again, with where it lies.
    fn resolve(
        &self,
        parent: &Arc<FsDirectory>,
        name: &[u8],
        pass: &mut dyn FnMut(&Chain, &[u8], Node),
    ) -> io::Result<Result<Resolved, Way<Arc<FsDirectory>>>> {
        let mut chain = FsDirectory::chain(parent);
        let mut pending = vec![name.to_vec()];
        let mut owners = vec![];
        while let Some(component) = pending.pop() {
            match component.as_slice() {
                b"" | b"." => continue,
                b".." if chain.len() > 1 => {
                    if let Some(left) = chain.pop() {
                        let stat = look(self.directories.fd(&left)?.as_fd(), c"")?;
                        pass(&chain, left.name(), node_of(&stat));
                    }
                }
                // Above `/` is `/`.
                b".." if self.is_root_directory() => {}
                b".." => return Ok(Err(Way::Closed(OUTSIDE))),
                name => {
                    let here = chain[chain.len() - 1].clone();
                    let fd = self.directories.fd(&here)?;
                    let stat = match look(fd.as_fd(), name) {
                        Ok(stat) => stat,
                        Err(Errno::NOENT | Errno::NAMETOOLONG | Errno::NOTDIR) => return Ok(Err(Way::Nowhere)),
                        Err(error) => return Err(error.into()),
                    };
                    match FileType::from_raw_mode(stat.stx_mode.into()) {
                        FileType::Directory => chain.push(self.directories.open(&here, name, false)?),
                        FileType::Symlink => {
                            let device = rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor);
                            let identity = Identity { device, inode: stat.stx_ino };
                            if self.own_links.0.lock().contains(&identity) {
                                return Ok(Err(Way::Closed(OF_THE_SNAPSHOT)));
                            }
                            pass(&chain, name, node_of(&stat));
                            owners.push(stat.stx_uid);
                            if owners.len() > LINKS_MAX {
                                return Ok(Err(Way::Nowhere));
                            }
                            let text = rustix::fs::readlinkat(&*fd, name, Vec::new())?.into_bytes();
                            let Some(rest) = self.beneath(&text) else { return Ok(Err(Way::Closed(OUTSIDE))) };
                            if text.first() == Some(&b'/') {
                                chain.truncate(1);
                            }
                            pending.extend(rest.split(|&b| b == b'/').rev().map(<[u8]>::to_vec));
                        }
                        _ => return Ok(Err(Way::Nowhere)),
                    }
                }
            }
        }
        if owners.is_empty() {
            return Ok(Err(Way::Nowhere));
        }
        Ok(Ok((chain, owners)))
    }

    /// A link's text as seen from where it lies, or, when it is absolute, from the target; `None` when that is outside.
    fn beneath<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        if text.first() != Some(&b'/') {
            return Some(text);
        }
        let target = self.own_path().ok()?;
        if target == b"/" {
            return Some(text);
        }
        let rest = text.strip_prefix(target.as_slice())?;
        matches!(rest.first(), None | Some(b'/')).then_some(rest)
    }

    fn is_root_directory(&self) -> bool {
        self.own_path().is_ok_and(|path| path == b"/")
    }

    fn own_path(&self) -> io::Result<Vec<u8>> {
        let fd = self.directories.fd(&self.target)?;
        let path = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
        Ok(path.into_os_string().into_vec())
    }
}
