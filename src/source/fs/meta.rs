//! The metadata of an entry, from the system.

use crate::base::limits::OWNER_NAME_BYTES_MAX;
use crate::base::time::Time;
use crate::format::extension::{FLAG_APPEND, FLAG_IMMUTABLE, FLAG_NODUMP};
use crate::format::tree::{EntryKind, Meta};
use rustix::fs::{AtFlags, FileType, Statx, StatxAttributes, StatxFlags, StatxTimestamp, makedev, statx};
use rustix::path::Arg;
use std::collections::HashMap;
use std::ffi::OsString;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStringExt;

/// What the system says of an entry beside its metadata.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    /// It takes less room than its length.
    pub sparse: bool,
    /// File flags: those of them that looking tells.
    pub flags: u32,
    /// The file system tells whether there is the no-dump flag.
    pub tells_no_dump: bool,
}

/// lstat, or stat when `follow`. Owner names, target and attributes are still empty.
pub(super) fn look(dir: BorrowedFd<'_>, name: impl Arg, follow: bool) -> rustix::io::Result<(Meta, Seen)> {
    let link = if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
    let stat = statx(dir, name, link | AtFlags::NO_AUTOMOUNT, StatxFlags::BASIC_STATS | StatxFlags::BTIME)?;
    let meta = meta_of(&stat);
    let sparse = meta.kind == EntryKind::File && stat.stx_blocks.saturating_mul(512) < stat.stx_size;
    // statx has the same numbers for these three as FS_IOC_GETFLAGS.
    let told = FLAG_IMMUTABLE | FLAG_APPEND | FLAG_NODUMP;
    let has_flags = matches!(meta.kind, EntryKind::File | EntryKind::Directory);
    let flags = if has_flags { stat.stx_attributes.bits() as u32 & told } else { 0 };
    let tells_no_dump = stat.stx_attributes_mask.contains(StatxAttributes::NODUMP);
    Ok((meta, Seen { sparse, flags, tells_no_dump }))
}

/// What stat says of an open file.
pub(super) fn look_at_open(file: BorrowedFd<'_>) -> rustix::io::Result<Meta> {
    let asked = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    Ok(meta_of(&statx(file, c"", AtFlags::EMPTY_PATH, asked)?))
}

/// The kind of an entry by its mode's bits; what is none of the known kinds is taken as a socket: recorded, never opened.
pub(super) fn kind_of(file_type: FileType) -> EntryKind {
    EntryKind::of_mode(file_type.as_raw_mode())
}

fn time_of(time: &StatxTimestamp) -> Time {
    Time { s: time.tv_sec, ns: time.tv_nsec.min(999_999_999) }
}

fn meta_of(stat: &Statx) -> Meta {
    let kind = kind_of(FileType::from_raw_mode(stat.stx_mode.into()));
    let device = matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice);
    Meta {
        kind,
        mode: u32::from(stat.stx_mode) & 0o7777,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        user: Vec::new(),
        group: Vec::new(),
        size: if kind == EntryKind::File { stat.stx_size } else { 0 },
        mtime: time_of(&stat.stx_mtime),
        ctime: time_of(&stat.stx_ctime),
        btime: (stat.stx_mask & StatxFlags::BTIME.bits() != 0).then(|| time_of(&stat.stx_btime)),
        nlink: stat.stx_nlink.into(),
        device: makedev(stat.stx_dev_major, stat.stx_dev_minor),
        inode: stat.stx_ino,
        rdev: if device { (stat.stx_rdev_major, stat.stx_rdev_minor) } else { (0, 0) },
        target: Vec::new(),
        xattrs: Vec::new(),
    }
}

/// A directory that only the snapshot has: one on the way to a root that appears elsewhere.
pub(in crate::source) fn made_up_directory() -> Meta {
    Meta {
        kind: EntryKind::Directory,
        mode: 0o755,
        uid: 0,
        gid: 0,
        user: Vec::new(),
        group: Vec::new(),
        size: 0,
        mtime: Time::default(),
        ctime: Time::default(),
        btime: None,
        nlink: 1,
        device: 0,
        inode: 0,
        rdev: (0, 0),
        target: Vec::new(),
        xattrs: Vec::new(),
    }
}

/// Names of owners, asked of the system once each.
#[derive(Debug, Default)]
pub(in crate::source) struct Owners {
    users: Names,
    groups: Names,
}

#[derive(Debug, Default)]
struct Names {
    known: HashMap<u32, Vec<u8>>,
    last: Option<(u32, Vec<u8>)>,
}

/// Names beyond this many are not remembered.
const OWNERS_MAX: usize = 1 << 16;

impl Names {
    /// Most entries have the owner of the one before.
    fn get(&mut self, id: u32, ask: impl FnOnce(u32) -> Option<OsString>) -> Vec<u8> {
        if let Some((_, name)) = self.last.as_ref().filter(|(last, _)| *last == id) {
            return name.clone();
        }
        if self.known.len() >= OWNERS_MAX {
            self.known.clear();
        }
        let fresh = || {
            let name = ask(id).map(OsString::into_vec).unwrap_or_default();
            if name.len() > OWNER_NAME_BYTES_MAX { Vec::new() } else { name }
        };
        let name = self.known.entry(id).or_insert_with(fresh).clone();
        self.last = Some((id, name.clone()));
        name
    }
}

impl Owners {
    /// Fills in the names that belong to an entry's numbers; unknown ones stay empty.
    pub fn name(&mut self, meta: &mut Meta) {
        meta.user = self.users.get(meta.uid, |id| Some(uzers::get_user_by_uid(id)?.name().to_owned()));
        meta.group = self.groups.get(meta.gid, |id| Some(uzers::get_group_by_gid(id)?.name().to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_have_the_names_the_system_knows_and_others_none() {
        let mut owners = Owners::default();
        let mut meta = made_up_directory();
        for _ in 0..2 {
            owners.name(&mut meta);
            assert_eq!((meta.user.as_slice(), meta.group.as_slice()), (&b"root"[..], &b"root"[..]));
        }
        (meta.uid, meta.gid) = (4_000_000_001, 4_000_000_002);
        owners.name(&mut meta);
        assert_eq!((meta.user.as_slice(), meta.group.as_slice()), (&b""[..], &b""[..]));
    }
}
