//! Removing what the snapshot lacks: beneath the target, through descriptors, never through a link, never into another
//! file system.

use super::compare::look;
use super::flags::explain;
use super::links::node_of;
use super::{FsDestination, FsDirectory};
use crate::destination::{Identity, Node, Sweep, Swept, Verdict};
use crate::format::config::begins_config;
use crate::format::extension::FLAG_IMMUTABLE;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Statx, StatxAttributes};
use rustix::io::Errno;
use std::collections::HashSet;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

const OURS: &str = "it belongs to the store, its cache or its configuration, or this command reads it";
const LED: &str = "a link in the place of one of the snapshot's directories leads to it, or through it";

/// A directory that is being swept.
struct Level {
    directory: Arc<FsDirectory>,
    device: (u32, u32),
    identity: Identity,
    /// Its path on this machine.
    path: Vec<u8>,
    /// Still to be looked at.
    names: Vec<Vec<u8>>,
    /// Length of the path of its entries, below where the sweep began.
    path_len: usize,
    verdict: Verdict,
    /// Something in it stays, so that it stays too.
    stays: bool,
}

fn device(stat: &Statx) -> (u32, u32) {
    (stat.stx_dev_major, stat.stx_dev_minor)
}

fn is_directory(stat: &Statx) -> bool {
    FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Directory
}

fn is_mount(stat: &Statx, above: (u32, u32)) -> bool {
    device(stat) != above || stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
}

impl FsDestination {
    /// Whether another file system is mounted on this directory.
    pub(super) fn is_mount(&self, directory: &Arc<FsDirectory>) -> io::Result<bool> {
        let stat = look(self.directories.fd(directory)?.as_fd(), c"")?;
        let Some(parent) = directory.parent() else { return Ok(false) };
        let above = look(self.directories.fd(parent)?.as_fd(), c"")?;
        Ok(is_mount(&stat, device(&above)))
    }

    /// See [`crate::destination::Destination::sweep`].
    pub(super) fn sweep_directory(&self, directory: &Arc<FsDirectory>, sweep: &mut Sweep<'_>) -> io::Result<()> {
        let mut path = vec![];
        let only = sweep.only.map(|(name, _)| vec![name.to_vec()]);
        let mut levels = vec![self.level((directory, None), 0, Verdict::Descend, only)?];
        // What the snapshot has of a store it has with its config; without that, the folder was not backed up.
        let has_config = sweep.names.binary_search_by(|name| (**name).cmp(b"config")).is_ok();
        let fd = self.directories.fd(directory)?;
        // What belongs to the store or the program is kept with all in it, whatever was written there meanwhile.
        let stat = look(fd.as_fd(), c"")?;
        let node = node_of(&stat);
        if !has_config && is_store(&fd) || (sweep.never)(node, &levels[0].path) {
            levels[0].names.clear();
        }
        let spelt_otherwise = self.spelt_otherwise(&levels[0], sweep.names)?;
        while let Some(level) = levels.last_mut() {
            path.truncate(level.path_len);
            let Some(name) = level.names.pop() else {
                let (done, stays) = (levels.pop(), path.clone());
                if let (Some(done), Some(above)) = (done, levels.last_mut()) {
                    above.stays |= self.end(&done, above, stays, sweep);
                }
                continue;
            };
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            match self.one(level, &name, &path, &spelt_otherwise, sweep) {
                Ok(None) => {}
                Ok(Some(deeper)) => levels.push(deeper),
                Err(error) => {
                    level.stays = true;
                    (sweep.tell)(&path, Swept::Failed(error));
                }
            }
        }
        Ok(())
    }

    fn level(
        &self,
        (directory, path): (&Arc<FsDirectory>, Option<Vec<u8>>),
        path_len: usize,
        verdict: Verdict,
        only: Option<Vec<Vec<u8>>>,
    ) -> io::Result<Level> {
        let fd = self.directories.fd(directory)?;
        let stat = look(fd.as_fd(), c"")?;
        let device = device(&stat);
        let identity = Identity { device: rustix::fs::makedev(device.0, device.1), inode: stat.stx_ino };
        let own_path = || {
            let path = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap_or_default();
            path.into_os_string().into_vec()
        };
        let path = path.unwrap_or_else(own_path);
        let names = only.map_or_else(|| names(&fd), Ok)?;
        Ok(Level { directory: directory.clone(), names, device, identity, path, path_len, verdict, stays: false })
    }

    /// What the snapshot has and the listing does not, and what is there all the same: file systems that do not tell
    /// upper case from lower, or that compose letters otherwise, list it under another name.
    fn spelt_otherwise(&self, level: &Level, names: &[Box<[u8]>]) -> io::Result<HashSet<Node>> {
        let fd = self.directories.fd(&level.directory)?;
        // Listed in descending order.
        let is_listed = |name: &[u8]| level.names.binary_search_by(|listed| name.cmp(listed)).is_ok();
        let unlisted = names.iter().filter(|name| !is_listed(name));
        let there = unlisted.filter_map(|name| look(fd.as_fd(), &**name).ok());
        Ok(there.map(|stat| node_of(&stat)).collect())
    }

    /// One entry; a directory that is to be gone through comes back.
    fn one(
        &self,
        level: &mut Level,
        name: &[u8],
        path: &[u8],
        spelt_otherwise: &HashSet<Node>,
        sweep: &mut Sweep<'_>,
    ) -> io::Result<Option<Level>> {
        // Written by this run under a name of the moment.
        if self.is_temporary(name) {
            level.stays = true;
            return Ok(None);
        }
        let fd = self.directories.fd(&level.directory)?;
        // Where that is another name, all else is said and decided of the one that it had.
        let lies_as = sweep.only.filter(|_| path.len() == name.len()).map_or(name, |(_, lies_as)| lies_as);
        let stat = match look(fd.as_fd(), lies_as) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let node = node_of(&stat);
        let directory = is_directory(&stat);
        if path.len() == name.len() && spelt_otherwise.contains(&node) {
            return Ok(None);
        }
        let verdict = (sweep.decide)(path, directory, level.verdict);
        if verdict == Verdict::Keep {
            level.stays = true;
            return Ok(None);
        }
        let at = [&level.path, &b"/"[usize::from(level.path.ends_with(b"/"))..], name].concat();
        if (sweep.never)(node, &at) {
            level.stays = true;
            (sweep.tell)(path, Swept::Kept(OURS));
            return Ok(None);
        }
        if (sweep.led)(node, &at) {
            level.stays = true;
            (sweep.tell)(path, Swept::Kept(LED));
            return Ok(None);
        }
        if directory {
            if is_mount(&stat, level.device) {
                level.stays = true;
                if verdict == Verdict::Remove {
                    (sweep.tell)(path, Swept::Kept("another file system is mounted there"));
                }
                return Ok(None);
            }
            let opened = match self.dry_run {
                true => self.directories.open(&level.directory, lies_as, false)?,
                false => self.open_existing(&level.directory, lies_as)?,
            };
            let fd = self.directories.fd(&opened)?;
            if is_store(&fd) {
                level.stays = true;
                (sweep.tell)(path, Swept::Kept("it is a store of backups"));
                return Ok(None);
            }
            return self.level((&opened, Some(at)), path.len(), verdict, None).map(Some);
        }
        if verdict != Verdict::Remove {
            level.stays = true;
            return Ok(None);
        }
        self.leaf(level, lies_as, &stat, path, sweep).map(|()| None)
    }

    /// Removes what is no directory.
    fn leaf(&self, level: &mut Level, name: &[u8], stat: &Statx, path: &[u8], sweep: &mut Sweep<'_>) -> io::Result<()> {
        // File systems below others give their files numbers of their own: only the mark tells.
        let mounted = stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
        let removed = match sweep.dry_run || mounted {
            true => Ok(()),
            false => self.remove(level, name, AtFlags::empty(), stat.stx_attributes.bits() as u32),
        };
        match removed {
            Ok(()) if !mounted => (sweep.tell)(path, Swept::Removed),
            Err(error) if error.kind() != io::ErrorKind::ResourceBusy => return Err(error),
            _ => {
                level.stays = true;
                (sweep.tell)(path, Swept::Kept("another file is mounted there"));
            }
        }
        Ok(())
    }

    /// A directory that was gone through; says whether it stays.
    fn end(&self, done: &Level, above: &Level, path: Vec<u8>, sweep: &mut Sweep<'_>) -> bool {
        if done.stays || done.verdict != Verdict::Remove {
            return true;
        }
        if !sweep.dry_run {
            let flags = self.flags_of(&done.directory);
            if let Err(error) = self.remove(above, done.directory.name(), AtFlags::REMOVEDIR, flags) {
                (sweep.tell)(&path, Swept::Failed(error));
                return true;
            }
        }
        self.time_is_given(done.identity);
        (sweep.tell)(&path, Swept::Removed);
        false
    }

    fn remove(&self, level: &Level, name: &[u8], how: AtFlags, flags: u32) -> io::Result<()> {
        let fd = self.directories.fd(&level.directory)?;
        let removed = self.in_writable(&level.directory, &fd, || Ok(rustix::fs::unlinkat(&*fd, name, how)?));
        removed.map_err(|error| explain(error, flags | self.flags_of(&level.directory) & FLAG_IMMUTABLE))
    }

    pub(super) fn flags_of(&self, directory: &Arc<FsDirectory>) -> u32 {
        let stat = self.directories.fd(directory).map(|fd| look(fd.as_fd(), c""));
        stat.map_or(0, |stat| stat.map_or(0, |stat| stat.stx_attributes.bits() as u32))
    }
}

/// Whether a directory holds a store, of whoever it is: no snapshot of a tree has the stores in it that were left out.
fn is_store(directory: &OwnedFd) -> bool {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(configs) = rustix::fs::openat(directory, c"config", flags | OFlags::DIRECTORY, Mode::empty()) else {
        return false;
    };
    let begins = |name: &[u8]| {
        let mut begin = [0; 8];
        let file = rustix::fs::openat(&configs, name, flags, Mode::empty());
        let read = file.and_then(|file| rustix::io::pread(&file, &mut begin, 0));
        read.is_ok() && begins_config(&begin)
    };
    let is_number = |name: &[u8]| name.iter().all(u8::is_ascii_digit);
    names(&configs).is_ok_and(|names| names.iter().any(|name| is_number(name) && begins(name)))
}

/// What lies in a directory.
pub(super) fn names(directory: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // Of its own, so that nobody else's position in it is moved.
    let listed = rustix::fs::openat(directory, c".", flags, Mode::empty())?;
    let mut buffer = vec![MaybeUninit::uninit(); 32 << 10];
    let mut entries = RawDir::new(listed, &mut buffer);
    let mut names = vec![];
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Err(Errno::INTR) => continue,
            entry => entry?,
        };
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    // Taken from the end.
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(names)
}
