//! Sets the owner, the extended attributes, the mode and the time of a restored entry, in an order in which no step
//! undoes another.

use super::directory::Born;
use crate::base::time::Time;
use crate::destination::{Attributes, Loss, Losses, Part};
use crate::format::tree::Xattr;
use parking_lot::Mutex;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use rustix::thread::CapabilitySet;
use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

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
    took: Took,
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
            took: Took::default(),
            modes_narrowed: AtomicU64::new(0),
        }
    }

    /// Everything, to an open file or directory. Each part is tried whatever became of the others. The mode comes last:
    /// until then it says that the entry is not whole.
    pub fn apply(&self, fd: BorrowedFd<'_>, attributes: &Attributes<'_>, born: Born, directory: bool) -> Losses {
        let mut given = Given::new(self);
        let mode = given.own(attributes, born, directory, |uid, gid| rustix::fs::fchown(fd, uid, gid));
        if born.acl {
            given.strip(rustix::fs::fremovexattr(fd, ACL_ACCESS));
        }
        let mode = given.xattrs(attributes.xattrs, mode, |x| {
            rustix::fs::fsetxattr(fd, x.name.as_slice(), &x.value, XattrFlags::empty())
        });
        given.done(Part::Time, rustix::fs::futimens(fd, &times(attributes.mtime)));
        given.done(Part::Mode(mode), rustix::fs::fchmod(fd, Mode::from_raw_mode(mode)));
        given.losses
    }

    /// Everything, to an entry that is not opened for reading or writing (`fd` is an O_PATH descriptor of it): devices,
    /// FIFOs, sockets. `name` in `directory` is the same entry.
    pub fn apply_to_path(&self, fd: BorrowedFd<'_>, attributes: &Attributes<'_>, born: Born) -> Losses {
        let mut given = Given::new(self);
        let mode =
            given.own(attributes, born, false, |uid, gid| rustix::fs::chownat(fd, c"", uid, gid, AtFlags::EMPTY_PATH));
        // The descriptor's own path: it leads to the very entry, whatever lies under its name by now.
        let own = format!("/proc/self/fd/{}", fd.as_raw_fd());
        if born.acl {
            given.strip(rustix::fs::removexattr(own.as_str(), ACL_ACCESS));
        }
        let mode = given.xattrs(attributes.xattrs, mode, |x| {
            rustix::fs::setxattr(own.as_str(), x.name.as_slice(), &x.value, XattrFlags::empty())
        });
        given.done(Part::Mode(mode), rustix::fs::chmod(own.as_str(), Mode::from_raw_mode(mode)));
        let times = times(attributes.mtime);
        given.done(Part::Time, rustix::fs::utimensat(rustix::fs::CWD, own.as_str(), &times, AtFlags::empty()));
        given.losses
    }

    /// Owner, extended attributes and time of a symbolic link; it has no mode.
    pub fn apply_to_link(
        &self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        attributes: &Attributes<'_>,
        born: Born,
    ) -> Losses {
        let mut given = Given::new(self);
        given.own(attributes, born, false, |uid, gid| {
            rustix::fs::chownat(directory, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
        });
        given.xattrs(attributes.xattrs, 0, |x| {
            let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
            path.extend_from_slice(name);
            rustix::fs::lsetxattr(path, x.name.as_slice(), &x.value, XattrFlags::empty())
        });
        let times = times(attributes.mtime);
        given.done(Part::Time, rustix::fs::utimensat(directory, name, &times, AtFlags::SYMLINK_NOFOLLOW));
        given.losses
    }

    /// Whether some entry was given a part of this class.
    pub fn took(&self, part: &Part) -> bool {
        let took = &self.took;
        match part {
            Part::Owner(..) => took.owner.load(Relaxed),
            Part::Mode(_) => took.mode.load(Relaxed),
            Part::Time => took.time.load(Relaxed),
            Part::Link => took.link.load(Relaxed),
            Part::Xattr(..) => took.xattrs.lock().contains(&part.class()),
            Part::InheritedAcl | Part::ExtraXattrs | Part::Durable => true,
        }
    }

    /// Some entry was given this part.
    pub fn takes(&self, part: &Part) {
        // Written once: a flag that is set already stays shared by all cores.
        let set = |flag: &AtomicBool| {
            if !flag.load(Relaxed) {
                flag.store(true, Relaxed);
            }
        };
        match part {
            Part::Owner(..) => set(&self.took.owner),
            Part::Mode(_) => set(&self.took.mode),
            Part::Time => set(&self.took.time),
            Part::Link => set(&self.took.link),
            Part::Xattr(..) => _ = self.took.xattrs.lock().insert(part.class()),
            Part::InheritedAcl | Part::ExtraXattrs | Part::Durable => {}
        }
    }

    /// What was not tried.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = vec![];
        let mut note = |count: &AtomicU64, text: &str| {
            let count = count.load(Relaxed);
            if count > 0 {
                notes.push(format!("{text}: {count}"));
            }
        };
        note(&self.owners_refused, "entries whose owner could not be restored (this takes root)");
        note(
            &self.modes_narrowed,
            "setuid or setgid files restored without that bit, since they belong to another owner",
        );
        note(&self.xattrs_kept, "extended attributes that the snapshot lacks and that could not be removed");
        notes
    }
}

/// Which classes of parts some entry was given.
#[derive(Default)]
struct Took {
    owner: AtomicBool,
    mode: AtomicBool,
    time: AtomicBool,
    link: AtomicBool,
    xattrs: Mutex<HashSet<String>>,
}

/// What one entry is given, part by part, and what it has to do without.
struct Given<'a> {
    applier: &'a Applier,
    losses: Losses,
}

impl<'a> Given<'a> {
    fn new(applier: &'a Applier) -> Given<'a> {
        Given { applier, losses: vec![] }
    }

    fn done(&mut self, part: Part, done: rustix::io::Result<()>) {
        match done {
            Ok(()) => self.applier.takes(&part),
            Err(error) => self.losses.push(Loss { part, error: error.into(), refused: refused(error) }),
        }
    }

    fn strip(&mut self, removed: rustix::io::Result<()>) {
        if let Err(error) = removed
            && !is_stripped(error)
        {
            self.losses.push(Loss { part: Part::InheritedAcl, error: error.into(), refused: false });
        }
    }

    /// Sets the owner where it is not right already; gives the mode that may be set then: an entry that could not be
    /// given its owner does not get that owner's setuid or setgid bit either.
    fn own(
        &mut self,
        attributes: &Attributes<'_>,
        born: Born,
        directory: bool,
        chown: impl Fn(Option<Uid>, Option<Gid>) -> rustix::io::Result<()>,
    ) -> u32 {
        let Applier { ownership, root, groups, .. } = self.applier;
        let (mut uid_right, mut gid_right) = (attributes.uid == born.uid, attributes.gid == born.gid);
        if !(uid_right && gid_right) && *ownership != Ownership::Skip {
            let all = *root || *ownership == Ownership::Require;
            let uid = (!uid_right && all && attributes.uid != u32::MAX).then(|| Uid::from_raw(attributes.uid));
            let gid = (!gid_right && (all || groups.contains(&attributes.gid)) && attributes.gid != u32::MAX)
                .then(|| Gid::from_raw(attributes.gid));
            let tried = uid.is_some() || gid.is_some();
            let part = Part::Owner(attributes.uid, attributes.gid);
            match if tried { chown(uid, gid) } else { Ok(()) } {
                Ok(()) => {
                    if tried {
                        self.applier.takes(&part);
                    }
                    uid_right |= uid.is_some();
                    gid_right |= gid.is_some();
                    if !(uid_right && gid_right) {
                        self.applier.owners_refused.fetch_add(1, Relaxed);
                    }
                }
                Err(error) if *ownership == Ownership::Require => {
                    let what =
                        format!("{}. Root can set owners; --owners try restores without them", io::Error::from(error));
                    let error = io::Error::new(io::Error::from(error).kind(), what);
                    self.losses.push(Loss { part, error, refused: false });
                }
                Err(error) => self.losses.push(Loss { part, error: error.into(), refused: refused(error) }),
            }
        }
        let mut mode = attributes.mode & 0o7777;
        if !directory && (mode & SETUID != 0 && !uid_right || mode & SETGID != 0 && !gid_right) {
            mode &= !(if uid_right { 0 } else { SETUID } | if gid_right { 0 } else { SETGID });
            self.applier.modes_narrowed.fetch_add(1, Relaxed);
        }
        mode
    }

    /// Sets extended attributes; gives the mode that may be set then: the group's bits of an entry with an ACL are the
    /// ACL's mask, and without the ACL they must not give the group more than it had.
    fn xattrs(&mut self, xattrs: &[Xattr], mode: u32, set: impl Fn(&Xattr) -> rustix::io::Result<()>) -> u32 {
        let mut mode = mode;
        for xattr in xattrs.iter().filter(|_| self.applier.xattrs) {
            let before = self.losses.len();
            self.done(Part::Xattr(xattr.name.as_slice().into(), xattr.value.len()), set(xattr));
            if self.losses.len() > before && xattr.name == ACL_ACCESS.as_bytes() {
                let group = group_of_acl(&xattr.value).unwrap_or(0);
                mode = mode & !0o070 | mode & 0o070 & group << 3;
            }
        }
        mode
    }
}

/// What an ACL gives the owning group, as it is stored in an extended attribute: a version of 4 bytes, then entries of a
/// tag and permissions of 2 bytes each and an id of 4.
fn group_of_acl(acl: &[u8]) -> Option<u32> {
    const GROUP: [u8; 2] = [4, 0];
    let entries = acl.get(4..)?.as_chunks::<8>().0;
    entries.iter().find(|entry| entry[..2] == GROUP).map(|entry| u32::from(entry[2] & 7))
}

/// Whether an error may say that this user, or this file system, cannot do it for any entry: not permitted, no such call,
/// or a number or name that it does not have.
fn refused(error: Errno) -> bool {
    matches!(
        error,
        Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::NOENT | Errno::NOTTY
    )
}

/// Both times, since file systems behind libfuse 2 take both or none: it was read now.
fn times(mtime: Time) -> Timestamps {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    Timestamps { last_access: now, last_modification: Timespec { tv_sec: mtime.s, tv_nsec: mtime.ns.into() } }
}

/// Takes an ACL away that the snapshot's entry does not have; says whether that went well.
pub(super) fn strip_acl(fd: impl AsFd, name: &str) -> bool {
    rustix::fs::fremovexattr(fd, name).map_or_else(is_stripped, |()| true)
}

/// There is none, or can be none.
fn is_stripped(error: Errno) -> bool {
    matches!(error, Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS)
}
