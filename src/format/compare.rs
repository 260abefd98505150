//! The fields in which two entries differ, apart from the content of files.
//!
//! Restoring, verifying and `diff` all use this comparison, so that they agree.

use crate::base::time::Time;
use crate::format::extension::{Extension, FILE_FLAGS_KNOWN, file_flags};
use crate::format::tree::{EntryKind, Meta, Xattr};

bitflags::bitflags! {
    /// Fields of an entry.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Fields: u16 {
        /// What it is.
        const KIND = 1;
        /// A symlink's target.
        const TARGET = 1 << 1;
        /// A device's numbers.
        const DEVICE = 1 << 2;
        /// Permission bits with setuid, setgid and sticky. A symlink has none.
        const MODE = 1 << 3;
        const UID = 1 << 4;
        const GID = 1 << 5;
        /// Owner's name on the source.
        const USER = 1 << 6;
        /// Group's name on the source.
        const GROUP = 1 << 7;
        /// Last change of content.
        const MTIME = 1 << 8;
        /// Extended attributes, ACLs and capabilities among them.
        const XATTRS = 1 << 9;
        /// File flags (`chattr`).
        const FLAGS = 1 << 10;
        /// What makes an entry another one: it cannot be corrected, only replaced.
        const ESSENCE = Self::KIND.bits() | Self::TARGET.bits() | Self::DEVICE.bits();
    }
}

impl Fields {
    /// Their names as `diff` gives them, in a fixed order.
    pub fn names(self) -> Vec<&'static str> {
        const NAMES: [(Fields, &str); 11] = [
            (Fields::KIND, "kind"),
            (Fields::TARGET, "target"),
            (Fields::DEVICE, "device"),
            (Fields::MODE, "mode"),
            (Fields::UID, "uid"),
            (Fields::GID, "gid"),
            (Fields::USER, "user"),
            (Fields::GROUP, "group"),
            (Fields::MTIME, "mtime"),
            (Fields::XATTRS, "xattrs"),
            (Fields::FLAGS, "flags"),
        ];
        NAMES.iter().filter(|(field, _)| self.contains(*field)).map(|(_, name)| *name).collect()
    }
}

/// What a restore gives an entry beside a file's bytes.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "as in Meta")]
pub struct Facts<'a> {
    pub kind: EntryKind,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub user: &'a [u8],
    pub group: &'a [u8],
    pub mtime: Time,
    pub target: &'a [u8],
    pub rdev: (u32, u32),
    pub xattrs: &'a [Xattr],
    /// As in `extension::FILE_FLAGS`.
    pub flags: u32,
    /// Which of them are known.
    pub flags_known: u32,
}

impl<'a> Facts<'a> {
    /// Of an entry of a snapshot, or of what a walk found.
    pub fn of(meta: &'a Meta, extensions: &[Extension]) -> Facts<'a> {
        Facts {
            kind: meta.kind,
            mode: meta.mode,
            uid: meta.uid,
            gid: meta.gid,
            user: &meta.user,
            group: &meta.group,
            mtime: meta.mtime,
            target: &meta.target,
            rdev: meta.rdev,
            xattrs: &meta.xattrs,
            flags: file_flags(extensions),
            flags_known: FILE_FLAGS_KNOWN,
        }
    }
}

/// In what `there` is not as `wanted`.
pub fn differences(wanted: &Facts<'_>, there: &Facts<'_>) -> Fields {
    let (a, b) = (wanted, there);
    let both = |kind: fn(EntryKind) -> bool| kind(a.kind) && kind(b.kind);
    let mode = a.kind != EntryKind::Symlink && a.mode != b.mode;
    [
        (Fields::KIND, a.kind != b.kind),
        (Fields::TARGET, both(|kind| kind == EntryKind::Symlink) && a.target != b.target),
        (Fields::DEVICE, both(EntryKind::is_device) && a.rdev != b.rdev),
        (Fields::MODE, mode),
        (Fields::UID, a.uid != b.uid),
        (Fields::GID, a.gid != b.gid),
        (Fields::USER, a.user != b.user),
        (Fields::GROUP, a.group != b.group),
        (Fields::MTIME, a.mtime != b.mtime),
        (Fields::XATTRS, xattrs_differ(a.xattrs, b.xattrs)),
        (Fields::FLAGS, (a.flags ^ b.flags) & a.flags_known & b.flags_known != 0),
    ]
    .into_iter()
    .filter_map(|(field, differs)| differs.then_some(field))
    .collect()
}

/// Whether `there` lacks one of `wanted`, or has one beyond them that a restore takes away. Both sorted by name.
fn xattrs_differ(wanted: &[Xattr], there: &[Xattr]) -> bool {
    if wanted == there {
        return false;
    }
    let mut wanted = wanted.iter().peekable();
    for xattr in there {
        if wanted.next_if(|next| *next == xattr).is_none() && is_removable(&xattr.name) {
            return true;
        }
    }
    wanted.next().is_some()
}

/// Whether an extended attribute that the snapshot's entry lacks is taken away. Others are the system's own: labels that
/// a security module gives every file, what a file system shows of itself as an attribute.
pub fn is_removable(name: &[u8]) -> bool {
    const WHOLE: [&[u8]; 3] = [b"system.posix_acl_access", b"system.posix_acl_default", b"security.capability"];
    name.starts_with(b"user.") || name.starts_with(b"trusted.") || WHOLE.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Facts<'static> {
        Facts {
            kind: EntryKind::File,
            mode: 0o644,
            uid: 1,
            gid: 2,
            user: b"u",
            group: b"g",
            mtime: Time { s: 3, ns: 4 },
            target: b"",
            rdev: (0, 0),
            xattrs: &[],
            flags: 0,
            flags_known: FILE_FLAGS_KNOWN,
        }
    }

    fn xattrs(names: &[&str]) -> Vec<Xattr> {
        names.iter().map(|n| Xattr { name: n.as_bytes().to_vec(), value: b"v".to_vec() }).collect()
    }

    #[test]
    fn every_field_that_is_restored_is_compared() {
        let x = xattrs(&["user.x"]);
        let others = [
            Facts { kind: EntryKind::Fifo, ..plain() },
            Facts { mode: 0o600, ..plain() },
            Facts { uid: 9, ..plain() },
            Facts { gid: 9, ..plain() },
            Facts { user: b"", ..plain() },
            Facts { group: b"", ..plain() },
            Facts { mtime: Time { s: 3, ns: 5 }, ..plain() },
            Facts { xattrs: &x, ..plain() },
            Facts { flags: 0x40, ..plain() },
        ];
        let unknown = Facts { flags_known: 0, ..plain() };
        assert_eq!(differences(&unknown, &Facts { flags: 0x40, ..plain() }), Fields::empty());
        let names: Vec<_> = others.iter().flat_map(|other| differences(&plain(), other).names()).collect();
        assert_eq!(names, ["kind", "mode", "uid", "gid", "user", "group", "mtime", "xattrs", "flags"]);
        assert_eq!(differences(&plain(), &plain()), Fields::empty());
        let link = Facts { kind: EntryKind::Symlink, target: b"a", ..plain() };
        assert_eq!(differences(&link, &Facts { target: b"b", mode: 0o777, ..link }), Fields::TARGET);
        let device = Facts { kind: EntryKind::CharDevice, rdev: (1, 3), ..plain() };
        assert_eq!(differences(&device, &Facts { rdev: (1, 5), ..device }), Fields::DEVICE);
    }

    #[test]
    fn attributes_beyond_the_wanted_ones_differ_unless_the_system_gave_them() {
        let wanted = xattrs(&["security.capability", "user.x"]);
        let differ = |there: &[&str]| xattrs_differ(&wanted, &xattrs(there));
        assert!(!differ(&["security.capability", "user.x"]));
        assert!(!differ(&["security.capability", "security.selinux", "system.nfs4_acl", "user.x"]));
        assert!(differ(&["security.capability", "user.w", "user.x"]));
        assert!(differ(&["security.capability", "user.x", "user.y"]));
        assert!(differ(&["security.capability"]));
        assert!(differ(&["security.selinux", "user.x"]));
        assert!(xattrs_differ(&[], &xattrs(&["security.capability"])));
        assert!(xattrs_differ(&[], &xattrs(&["system.posix_acl_access"])));
        assert!(xattrs_differ(&xattrs(&["security.selinux"]), &[]));
        let mut other = wanted.clone();
        other[1].value = b"w".to_vec();
        assert!(xattrs_differ(&wanted, &other));
    }
}
