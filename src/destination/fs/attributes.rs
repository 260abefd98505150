//! Owner, extended attributes, mode and time of what was restored, in the order in which none undoes another.

use super::directory::Born;
use crate::base::time::Time;
use crate::destination::Attributes;
use crate::format::tree::Xattr;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;
use rustix::thread::CapabilitySet;
use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// An inherited or existing access ACL.
pub(super) const ACL_ACCESS: &str = "system.posix_acl_access";
/// What new entries of a directory inherit.
pub(super) const ACL_DEFAULT: &str = "system.posix_acl_default";

const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;

/// Who owns what is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ownership {
    /// By number, as far as the system permits.
    #[default]
    Try,
    /// By number; what is not permitted is an error.
    Require,
    /// Whoever runs the restore.
    Skip,
}

/// Applies attributes, and counts what the system did not permit.
pub(super) struct Applier {
    pub(super) ownership: Ownership,
    pub(super) xattrs: bool,
    pub(super) root: bool,
    pub(super) user: u32,
    /// It may set the immutable and the append-only flag; in a container not even root may, as a rule.
    pub(super) seals: bool,
    pub(super) groups: HashSet<u32>,
    pub(super) xattrs_kept: AtomicU64,
    owners_refused: AtomicU64,
    xattrs_refused: AtomicU64,
    modes_narrowed: AtomicU64,
}

impl Applier {
    pub fn new(ownership: Ownership, xattrs: bool) -> Applier {
        let mut groups: HashSet<u32> =
            rustix::process::getgroups().unwrap_or_default().iter().map(|g| g.as_raw()).collect();
        groups.insert(rustix::process::getegid().as_raw());
        Applier {
            ownership,
            xattrs,
            root: rustix::process::geteuid().is_root(),
            user: rustix::process::geteuid().as_raw(),
            seals: rustix::thread::capabilities(None)
                .is_ok_and(|sets| sets.effective.contains(CapabilitySet::LINUX_IMMUTABLE)),
            xattrs_kept: AtomicU64::new(0),
            groups,
            owners_refused: AtomicU64::new(0),
            xattrs_refused: AtomicU64::new(0),
            modes_narrowed: AtomicU64::new(0),
        }
    }

    /// Everything, to an open file or directory. Time comes last: it marks what is whole.
    pub fn apply(
        &self,
        fd: BorrowedFd<'_>,
        attributes: &Attributes<'_>,
        born: Born,
        directory: bool,
    ) -> io::Result<()> {
        let mode = self.own(attributes, born, directory, |uid, gid| rustix::fs::fchown(fd, uid, gid))?;
        if born.acl {
            strip_acl(fd, ACL_ACCESS)?;
        }
        self.set_xattrs(attributes.xattrs, |x| {
            rustix::fs::fsetxattr(fd, x.name.as_slice(), &x.value, XattrFlags::empty())
        })?;
        rustix::fs::fchmod(fd, Mode::from_raw_mode(mode))?;
        Ok(rustix::fs::futimens(fd, &times(attributes.mtime))?)
    }

    /// Everything, to an entry that is not opened for reading or writing (`fd` is an O_PATH descriptor of it): devices,
    /// FIFOs, sockets. `name` in `directory` is the same entry.
    pub fn apply_to_path(&self, fd: BorrowedFd<'_>, attributes: &Attributes<'_>, born: Born) -> io::Result<()> {
        let mode =
            self.own(attributes, born, false, |uid, gid| rustix::fs::chownat(fd, c"", uid, gid, AtFlags::EMPTY_PATH))?;
        // The descriptor's own path: it leads to the very entry, whatever lies under its name by now.
        let own = format!("/proc/self/fd/{}", fd.as_raw_fd());
        if born.acl {
            strip(rustix::fs::removexattr(own.as_str(), ACL_ACCESS))?;
        }
        self.set_xattrs(attributes.xattrs, |x| {
            rustix::fs::setxattr(own.as_str(), x.name.as_slice(), &x.value, XattrFlags::empty())
        })?;
        rustix::fs::chmod(own.as_str(), Mode::from_raw_mode(mode))?;
        Ok(rustix::fs::utimensat(rustix::fs::CWD, own.as_str(), &times(attributes.mtime), AtFlags::empty())?)
    }

    /// Owner, extended attributes and time of a symbolic link; it has no mode.
    pub fn apply_to_link(
        &self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        attributes: &Attributes<'_>,
        born: Born,
    ) -> io::Result<()> {
        self.own(attributes, born, false, |uid, gid| {
            rustix::fs::chownat(directory, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
        })?;
        self.set_xattrs(attributes.xattrs, |x| {
            let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
            path.extend_from_slice(name);
            rustix::fs::lsetxattr(path, x.name.as_slice(), &x.value, XattrFlags::empty())
        })?;
        Ok(rustix::fs::utimensat(directory, name, &times(attributes.mtime), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Sets the owner where it is not right already; gives the mode that may be set then: an entry that could not be
    /// given its owner does not get that owner's setuid or setgid bit either.
    fn own(
        &self,
        attributes: &Attributes<'_>,
        born: Born,
        directory: bool,
        chown: impl Fn(Option<Uid>, Option<Gid>) -> rustix::io::Result<()>,
    ) -> io::Result<u32> {
        let (mut uid_right, mut gid_right) = (attributes.uid == born.uid, attributes.gid == born.gid);
        if !(uid_right && gid_right) && self.ownership != Ownership::Skip {
            let all = self.root || self.ownership == Ownership::Require;
            let uid = (!uid_right && all && attributes.uid != u32::MAX).then(|| Uid::from_raw(attributes.uid));
            let gid = (!gid_right && (all || self.groups.contains(&attributes.gid)) && attributes.gid != u32::MAX)
                .then(|| Gid::from_raw(attributes.gid));
            match chown(uid, gid) {
                _ if uid.is_none() && gid.is_none() => {}
                Ok(()) => {
                    uid_right |= uid.is_some();
                    gid_right |= gid.is_some();
                }
                // Not permitted, or a number that this user namespace does not map.
                Err(Errno::PERM | Errno::INVAL | Errno::ACCESS | Errno::OPNOTSUPP)
                    if self.ownership == Ownership::Try => {}
                Err(error) => {
                    let (uid, gid) = (attributes.uid, attributes.gid);
                    let error = io::Error::from(error);
                    let message = format!(
                        "its owner {uid}:{gid} cannot be set ({error}); root can, and --owners try does without"
                    );
                    return Err(io::Error::new(error.kind(), message));
                }
            }
            if !(uid_right && gid_right) {
                self.owners_refused.fetch_add(1, Relaxed);
            }
        }
        let mut mode = attributes.mode & 0o7777;
        if !directory && (mode & SETUID != 0 && !uid_right || mode & SETGID != 0 && !gid_right) {
            mode &= !(if uid_right { 0 } else { SETUID } | if gid_right { 0 } else { SETGID });
            self.modes_narrowed.fetch_add(1, Relaxed);
        }
        Ok(mode)
    }

    fn set_xattrs(&self, xattrs: &[Xattr], set: impl Fn(&Xattr) -> rustix::io::Result<()>) -> io::Result<()> {
        if !self.xattrs {
            return Ok(());
        }
        for xattr in xattrs {
            match set(xattr) {
                Ok(()) => {}
                // A namespace that takes a privilege, or that this file system does not have.
                Err(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::NOENT) => {
                    self.xattrs_refused.fetch_add(1, Relaxed);
                }
                Err(error) => {
                    let name = String::from_utf8_lossy(&xattr.name).into_owned();
                    let error = io::Error::from(error);
                    return Err(io::Error::new(error.kind(), format!("extended attribute {name:?}: {error}")));
                }
            }
        }
        Ok(())
    }

    /// What was not permitted.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = vec![];
        let mut note = |count: &AtomicU64, text: &str| {
            let count = count.load(Relaxed);
            if count > 0 {
                notes.push(format!("{text}: {count}"));
            }
        };
        note(&self.owners_refused, "entries whose owner could not be restored (this takes root)");
        note(&self.modes_narrowed, "setuid or setgid entries restored without that bit, since their owner is another");
        note(&self.xattrs_kept, "extended attributes that the snapshot lacks and that could not be removed");
        note(&self.xattrs_refused, "extended attributes that this user or file system does not permit");
        notes
    }
}

fn times(mtime: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.s, tv_nsec: mtime.ns.into() },
    }
}

/// Takes an ACL away that the snapshot's entry does not have.
pub(super) fn strip_acl(fd: impl AsFd, name: &str) -> io::Result<()> {
    strip(rustix::fs::fremovexattr(fd, name))
}

fn strip(removed: rustix::io::Result<()>) -> io::Result<()> {
    match removed {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
