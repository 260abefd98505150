//! Compares what is in the target with what should be there, as far as this user and this file system can restore it,
//! and removes what the snapshot's entry does not have.

use super::attributes::{Applier, Ownership};
use crate::base::limits::XATTR_VALUE_BYTES_MAX;
use crate::base::time::Time;
use crate::destination::{Existing, Loss, Losses, Part};
use crate::format::compare::{Facts, Fields, differences, is_removable};
use crate::format::extension::{FLAG_APPEND, FLAG_IMMUTABLE, FLAG_NODUMP};
use crate::format::tree::{EntryKind, Xattr};
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::fs::{AtFlags, Statx, StatxFlags, statx};
use rustix::io::Errno;
use rustix::path::Arg;
use std::io;
use std::sync::atomic::Ordering::Relaxed;

/// The system gives names up to this many bytes.
const LIST_BYTES_MAX: usize = 64 << 10;

const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;

/// What lies under a name (an empty one: the open file itself), not following a link.
pub(super) fn look(directory: BorrowedFd<'_>, name: impl Arg) -> rustix::io::Result<Statx> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::EMPTY_PATH;
    statx(directory, name, flags, StatxFlags::BASIC_STATS)
}

/// What it tells.
pub(super) fn existing(stat: &Statx, half_written_mode: u32) -> Existing {
    let kind = EntryKind::of_mode(stat.stx_mode.into());
    let mode = u32::from(stat.stx_mode) & 0o7777;
    // The numbers of statx are those of FS_IOC_GETFLAGS for these three.
    let asked = FLAG_IMMUTABLE | FLAG_APPEND | FLAG_NODUMP;
    let has_flags = matches!(kind, EntryKind::File | EntryKind::Directory);
    let known = if has_flags { stat.stx_attributes_mask.bits() as u32 & asked } else { 0 };
    Existing {
        kind,
        mode,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        size: stat.stx_size,
        mtime: Time { s: stat.stx_mtime.tv_sec, ns: stat.stx_mtime.tv_nsec },
        identity: crate::destination::Identity {
            device: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
        },
        nlink: stat.stx_nlink,
        half_written: kind == EntryKind::File && mode == half_written_mode && stat.stx_nlink == 1,
        rdev: if kind.is_device() { (stat.stx_rdev_major, stat.stx_rdev_minor) } else { (0, 0) },
        flags: stat.stx_attributes.bits() as u32 & known,
        flags_known: known,
    }
}

/// How an entry's extended attributes and target are reached.
#[derive(Clone, Copy)]
pub(super) enum At<'a> {
    /// By its name in an open directory; a link is not followed.
    Name(BorrowedFd<'a>, &'a [u8]),
    /// By a descriptor of it, which may be one that can do nothing else.
    Open(BorrowedFd<'a>),
}

impl At<'_> {
    fn path(self) -> Vec<u8> {
        match self {
            At::Name(directory, name) => {
                [format!("/proc/self/fd/{}/", directory.as_raw_fd()).as_bytes(), name].concat()
            }
            At::Open(fd) => format!("/proc/self/fd/{}", fd.as_raw_fd()).into_bytes(),
        }
    }

    fn list(self, path: &[u8], names: &mut [u8]) -> rustix::io::Result<usize> {
        match self {
            At::Name(..) => rustix::fs::llistxattr(path, names),
            At::Open(_) => rustix::fs::listxattr(path, names),
        }
    }

    fn get(self, path: &[u8], name: &[u8], value: &mut [u8]) -> rustix::io::Result<usize> {
        match self {
            At::Name(..) => rustix::fs::lgetxattr(path, name, value),
            At::Open(_) => rustix::fs::getxattr(path, name, value),
        }
    }

    fn remove(self, path: &[u8], name: &[u8]) -> rustix::io::Result<()> {
        match self {
            At::Name(..) => rustix::fs::lremovexattr(path, name),
            At::Open(_) => rustix::fs::removexattr(path, name),
        }
    }

    /// Names of its extended attributes, with zero bytes behind; none where there can be none.
    fn names(self, path: &[u8]) -> io::Result<Vec<u8>> {
        let mut names = vec![0; 512];
        loop {
            match self.list(path, &mut names) {
                Ok(len) => {
                    names.truncate(len);
                    return Ok(names);
                }
                Err(Errno::RANGE) if names.len() < LIST_BYTES_MAX => names = vec![0; LIST_BYTES_MAX],
                Err(Errno::NOTSUP | Errno::NOSYS) => return Ok(vec![]),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn xattrs(self, path: &[u8]) -> io::Result<Vec<Xattr>> {
        let names = self.names(path)?;
        let mut found = vec![];
        let mut value = vec![0; 1024];
        for name in names.split(|&b| b == 0).filter(|name| !name.is_empty()) {
            let read = match self.get(path, name, &mut value) {
                Err(Errno::RANGE) => {
                    value.resize(XATTR_VALUE_BYTES_MAX, 0);
                    self.get(path, name, &mut value)
                }
                read => read,
            };
            match read {
                Ok(len) => found.push(Xattr { name: name.to_vec(), value: value[..len].to_vec() }),
                // Longer than any that a snapshot holds: it differs.
                Err(Errno::RANGE | Errno::TOOBIG) => found.push(Xattr { name: name.to_vec(), value: vec![] }),
                Err(Errno::NODATA | Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP) => {}
                Err(error) => return Err(error.into()),
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }
}

impl Applier {
    /// Whether this user may set and remove an extended attribute of this name.
    fn may_set(&self, name: &[u8]) -> bool {
        self.root || name.starts_with(b"user.") || name.starts_with(b"system.posix_acl")
    }

    /// Which file flags this user may change.
    pub fn flags_of_user(&self) -> u32 {
        if self.seals { FLAG_IMMUTABLE | FLAG_APPEND | FLAG_NODUMP } else { FLAG_NODUMP }
    }

    /// In what an entry is not as wanted, of what can be restored here. Its time is left to the caller.
    pub fn compare(&self, existing: &Existing, at: At<'_>, wanted: &Facts<'_>) -> io::Result<Fields> {
        let owns = self.ownership != Ownership::Skip;
        let sets_uid = owns && self.root;
        let own = existing.uid == self.user;
        let sets_gid = owns && (self.root || own && self.groups.contains(&wanted.gid));
        // Who may not set owners does not get their setuid and setgid bits either.
        let (uid_right, gid_right) = (sets_uid || existing.uid == wanted.uid, sets_gid || existing.gid == wanted.gid);
        let mut mode = wanted.mode;
        if wanted.kind != EntryKind::Directory {
            mode &= !(if uid_right { 0 } else { SETUID } | if gid_right { 0 } else { SETGID });
        }
        let path = at.path();
        let target = match (wanted.kind, existing.kind, at) {
            (EntryKind::Symlink, EntryKind::Symlink, At::Name(directory, name)) => {
                rustix::fs::readlinkat(directory, name, Vec::new())?.into_bytes()
            }
            _ => vec![],
        };
        let (mut wanted_xattrs, mut xattrs) = (vec![], vec![]);
        if self.xattrs && wanted.kind == existing.kind {
            xattrs = at.xattrs(&path)?;
            xattrs.retain(|x| self.may_set(&x.name));
            let missing = |x: &Xattr| !xattrs.iter().any(|there| there.name == x.name);
            // What the file system cannot hold is no difference that could be corrected.
            let impossible = |x: &Xattr| missing(x) && at.get(&path, &x.name, &mut []) == Err(Errno::OPNOTSUPP);
            wanted_xattrs = wanted.xattrs.iter().filter(|x| self.may_set(&x.name) && !impossible(x)).cloned().collect();
        }
        let flags = existing.flags_known & self.flags_of_user() & wanted.flags_known;
        let there = Facts {
            kind: existing.kind,
            mode: existing.mode,
            uid: if sets_uid { existing.uid } else { wanted.uid },
            gid: if sets_gid { existing.gid } else { wanted.gid },
            user: wanted.user,
            group: wanted.group,
            mtime: wanted.mtime,
            target: &target,
            rdev: existing.rdev,
            xattrs: &xattrs,
            flags: existing.flags & flags,
            flags_known: flags,
        };
        let wanted = Facts { mode, xattrs: &wanted_xattrs, flags: wanted.flags & flags, ..*wanted };
        Ok(differences(&wanted, &there))
    }

    /// Takes extended attributes away that the snapshot's entry lacks; what is not permitted is counted.
    pub fn remove_extra(&self, at: At<'_>, wanted: &[Xattr]) -> Losses {
        if !self.xattrs {
            return vec![];
        }
        let path = at.path();
        let names = match at.names(&path) {
            Ok(names) => names,
            Err(error) => return vec![Loss { part: Part::ExtraXattrs, error, refused: false }],
        };
        for name in names.split(|&b| b == 0).filter(|name| is_removable(name) && self.may_set(name)) {
            if wanted.iter().any(|x| x.name == name) {
                continue;
            }
            match at.remove(&path, name) {
                Ok(()) | Err(Errno::NODATA) => {}
                Err(_) => _ = self.xattrs_kept.fetch_add(1, Relaxed),
            }
        }
        vec![]
    }
}
