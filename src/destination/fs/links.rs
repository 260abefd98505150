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
use crate::destination::{FoundDirectory, Identity, Way};
use parking_lot::Mutex;
use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::FileType;
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

impl FsDestination {
    /// Keeps in mind that the snapshot has a link here. In a target that was empty no other link can lie.
    pub(super) fn own_link(&self, identity: Identity) {
        if self.found != FoundDirectory::New {
            self.own_links.0.lock().insert(identity);
        }
    }

    /// Where the entry `name` leads to.
    pub(super) fn way_of(&self, parent: &Arc<FsDirectory>, name: &[u8]) -> io::Result<Way<Arc<FsDirectory>>> {
        let mut chain = FsDirectory::chain(parent);
        let mut pending = vec![name.to_vec()];
        let mut owners = vec![];
        while let Some(component) = pending.pop() {
            match component.as_slice() {
                b"" | b"." => continue,
                b".." if chain.len() > 1 => _ = chain.pop(),
                // Above `/` is `/`.
                b".." if self.is_root_directory() => {}
                b".." => return Ok(Way::Closed(OUTSIDE)),
                name => {
                    let here = chain[chain.len() - 1].clone();
                    let fd = self.directories.fd(&here)?;
                    let stat = match look(fd.as_fd(), name) {
                        Ok(stat) => stat,
                        Err(Errno::NOENT | Errno::NAMETOOLONG | Errno::NOTDIR) => return Ok(Way::Nowhere),
                        Err(error) => return Err(error.into()),
                    };
                    match FileType::from_raw_mode(stat.stx_mode.into()) {
                        FileType::Directory => chain.push(self.directories.open(&here, name, false)?),
                        FileType::Symlink => {
                            let device = rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor);
                            let identity = Identity { device, inode: stat.stx_ino };
                            if self.own_links.0.lock().contains(&identity) {
                                return Ok(Way::Closed(OF_THE_SNAPSHOT));
                            }
                            owners.push(stat.stx_uid);
                            if owners.len() > LINKS_MAX {
                                return Ok(Way::Nowhere);
                            }
                            let text = rustix::fs::readlinkat(&*fd, name, Vec::new())?.into_bytes();
                            let Some(rest) = self.beneath(&text) else { return Ok(Way::Closed(OUTSIDE)) };
                            if text.first() == Some(&b'/') {
                                chain.truncate(1);
                            }
                            pending.extend(rest.split(|&b| b == b'/').rev().map(<[u8]>::to_vec));
                        }
                        _ => return Ok(Way::Nowhere),
                    }
                }
            }
        }
        if owners.is_empty() {
            return Ok(Way::Nowhere);
        }
        let directory = chain[chain.len() - 1].clone();
        let owner = rustix::fs::fstat(&*self.directories.fd(&directory)?)?.st_uid;
        let user = rustix::process::geteuid().as_raw();
        if owners.iter().any(|&of_link| of_link != 0 && of_link != user && of_link != owner) {
            return Ok(Way::Closed(OF_OTHERS));
        }
        let path = chain[1..].iter().map(|directory| directory.name().to_vec()).collect();
        Ok(Way::Leads { directory, path })
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
