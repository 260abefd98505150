//! The mount table of the system. A walk that stays in one file system uses it to avoid mounts that might hang, or
//! trigger something, when they are merely looked at.

use super::meta::{look, made_up_directory};
use crate::format::tree::{EntryKind, Meta};
use rustix::fs::{AtFlags, StatxFlags, makedev, statx};
use rustix::mount::{OpenTreeFlags, open_tree};
use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// File systems without a block device that live in this machine's memory or on its disks.
const LOCAL: [&[u8]; 30] = [
    b"bcachefs",
    b"binfmt_misc",
    b"bpf",
    b"btrfs",
    b"cgroup",
    b"cgroup2",
    b"configfs",
    b"debugfs",
    b"devpts",
    b"devtmpfs",
    b"ecryptfs",
    b"efivarfs",
    b"fusectl",
    b"hugetlbfs",
    b"mqueue",
    b"nfsd",
    b"nsfs",
    b"overlay",
    b"proc",
    b"pstore",
    b"ramfs",
    b"resctrl",
    b"rootfs",
    b"rpc_pipefs",
    b"securityfs",
    b"selinuxfs",
    b"sysfs",
    b"tmpfs",
    b"tracefs",
    b"zfs",
];
/// File systems with a block device that wait for other machines.
const SHARED: [&[u8]; 2] = [b"gfs2", b"ocfs2"];

/// Why a mount is not touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Looking at it mounts something.
    Automount,
    /// Looking at it can wait for another machine or program.
    Remote,
}

impl Kind {
    fn of(fs: &[u8], device: u64) -> Option<Kind> {
        if fs == b"autofs" {
            return Some(Kind::Automount);
        }
        let on_a_disk = rustix::fs::major(device) != 0 && !fs.starts_with(b"fuse") && !SHARED.contains(&fs);
        (!on_a_disk && !LOCAL.contains(&fs)).then_some(Kind::Remote)
    }

    pub fn reason(self) -> &'static str {
        match self {
            Kind::Automount => "an automount point lies here; it was not touched",
            Kind::Remote => "a network or FUSE file system is mounted here; it was not touched",
        }
    }
}

#[derive(Debug)]
struct Mount {
    id: u64,
    /// The mount it lies on.
    above: u64,
    device: u64,
    name: Vec<u8>,
    kind: Option<Kind>,
}

/// The mounts of this process.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    /// By the folder in which the mount point lies, with a slash behind.
    folders: HashMap<Vec<u8>, Vec<Mount>>,
}

impl Mounts {
    /// As they are now; none where the system does not tell.
    pub fn read() -> Mounts {
        std::fs::read("/proc/self/mountinfo").map(|text| Mounts::parse(&text)).unwrap_or_default()
    }

    /// `/proc/self/mountinfo`: see proc(5).
    fn parse(text: &[u8]) -> Mounts {
        let mut mounts = Mounts::default();
        for line in text.split(|&b| b == b'\n') {
            let Some((path, mount)) = parse_line(line) else { continue };
            let name = path.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
            let mount = Mount { name: path[name..].to_vec(), ..mount };
            mounts.folders.entry(path[..name].to_vec()).or_default().push(mount);
        }
        // A folder with nothing but harmless mounts is like one without.
        mounts.folders.retain(|_, mounts| mounts.iter().any(|mount| mount.kind.is_some()));
        mounts
    }

    /// Whether nothing is mounted that is not to be touched.
    pub fn is_empty(&self) -> bool {
        self.folders.is_empty()
    }

    /// Names in a folder (its path with a slash behind) on which something is mounted that is not to be touched, and is
    /// no part of the file system `device`.
    pub fn untouchable<'a>(&'a self, folder: &[u8], fd: &'a OwnedFd, device: u64) -> Vec<(&'a [u8], Kind)> {
        let Some(mounts) = self.folders.get(folder) else { return Vec::new() };
        // Other mounts can hide this folder's path, or be hidden: what lies in it is mounted on the mount it is in.
        let Some(here) = mount_of(fd.as_fd()) else { return Vec::new() };
        let mut found = Vec::new();
        for mount in mounts.iter().filter(|mount| mount.above == here) {
            // One on the other in the same place: the uppermost counts.
            let mut top = mount;
            while let Some(over) = mounts.iter().find(|m| m.above == top.id && m.name == top.name) {
                top = over;
            }
            if let Some(kind) = top.kind.filter(|_| top.device != device) {
                found.push((&top.name[..], kind));
            }
        }
        found
    }
}

fn parse_line(line: &[u8]) -> Option<(Vec<u8>, Mount)> {
    let mut fields = line.split(|&b| b == b' ');
    let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse::<u64>().ok();
    let (id, above) = (number()?, number()?);
    let device = std::str::from_utf8(fields.next()?).ok()?;
    let (major, minor) = device.split_once(':')?;
    let device = makedev(major.parse().ok()?, minor.parse().ok()?);
    let path = unescape(fields.nth(1)?);
    let fs = fields.skip_while(|field| *field != b"-").nth(1)?;
    // A subtype is `fuse.sshfs`.
    Some((path, Mount { id, above, device, name: Vec::new(), kind: Kind::of(fs, device) }))
}

/// Blanks, line ends and backslashes are written as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut at = 0;
    while at < field.len() {
        let digits =
            field.get(at + 1..at + 4).filter(|d| field[at] == b'\\' && d.iter().all(|b| (b'0'..b'8').contains(b)));
        match digits {
            Some(d) => {
                out.push(d.iter().fold(0u8, |value, digit| value.wrapping_mul(8).wrapping_add(digit - b'0')));
                at += 4;
            }
            None => {
                out.push(field[at]);
                at += 1;
            }
        }
    }
    out
}

/// The mount in which an open directory lies.
fn mount_of(fd: BorrowedFd<'_>) -> Option<u64> {
    let stat = statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok();
    if let Some(stat) = stat.filter(|stat| stat.stx_mask & StatxFlags::MNT_ID.bits() != 0) {
        return Some(stat.stx_mnt_id);
    }
    // Before Linux 5.8.
    use std::os::fd::AsRawFd;
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
    info.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
}

/// What the system says of the directory on which something is mounted, without touching that: a private copy of the
/// mount below has nothing mounted on it. Who may not make one gets a directory that tells nothing.
pub(super) fn covered(folder: BorrowedFd<'_>, name: &CStr) -> Meta {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let below = open_tree(folder, "", flags).and_then(|copy| look(copy.as_fd(), name, false));
    match below {
        Ok((meta, _)) if meta.kind == EntryKind::Directory => meta,
        _ => made_up_directory(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_mounts_is_read_with_its_escapes() {
        let text = b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
            30 22 0:40 / /mnt/a\\040b\\134\\012c rw shared:2 master:3 - nfs4 server:/x rw\n\
            31 22 0:41 / /mnt/auto rw - autofs systemd-1 rw\n\
            32 31 8:2 / /mnt/auto rw - ext4 /dev/sdb1 rw\n\
            33 22 0:42 / /mnt/\xff rw - fuse.sshfs host: rw\n\
            34 22 0:43 / /mnt/t rw - tmpfs none rw\n\
            35 22 8:3 / /mnt/ntfs rw - fuseblk /dev/sdc1 rw\n\
            36 22 8:4 / /srv/disk rw - xfs /dev/sdd1 rw\n\
            37 22 garbage\n\n";
        let mounts = Mounts::parse(text);
        assert_eq!(mounts.folders.keys().collect::<Vec<_>>(), [b"/mnt/"]);
        let kinds: Vec<_> = mounts.folders[&b"/mnt/"[..]].iter().map(|m| (m.id, &m.name[..], m.kind)).collect();
        assert_eq!(
            kinds,
            [
                (30, &b"a b\\\nc"[..], Some(Kind::Remote)),
                (31, b"auto", Some(Kind::Automount)),
                (32, b"auto", None),
                (33, b"\xff", Some(Kind::Remote)),
                (34, b"t", None),
                (35, b"ntfs", Some(Kind::Remote)),
            ]
        );
    }

    #[test]
    fn this_machines_table_can_be_read() {
        let fd = rustix::fs::open("/", super::super::directory::LIST, rustix::fs::Mode::empty()).unwrap();
        let here = mount_of(fd.as_fd()).unwrap();
        let text = std::fs::read("/proc/self/mountinfo").unwrap();
        let root = text.split(|&b| b == b'\n').filter_map(parse_line).find(|(_, mount)| mount.id == here);
        assert_eq!(root.map(|(path, _)| path), Some(b"/".to_vec()));
    }
}
