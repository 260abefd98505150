//! Opening files that a walk found, and reading them.

use super::ReadMode;
use super::directory::Directory;
use super::meta::look_at_open;
use super::nocow::Nocow;
use super::xattr::{of_file, of_path};
use crate::base::path::split_key;
use crate::base::time::Time;
use crate::format::tree::{EntryKind, Meta, Xattr};
use crate::source::{Fingerprint, FoundEntry, Handle, SourceFile, mmap};
use parking_lot::Mutex;
use rustix::fs::{CWD, FileType, Mode, OFlags, SeekFrom, fstat, fstatfs, openat, seek, statfs};
use rustix::io::{Errno, pread};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Never through a link, never waiting for a FIFO's writer, never taking a terminal.
const OPEN: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// What all open files of a source share.
#[derive(Debug)]
pub(super) struct Opener {
    read: ReadMode,
    no_xattrs: bool,
    user: u32,
    nocow: Nocow,
    /// Whether content is made up as it is read, by device number.
    made_up: Mutex<HashMap<u64, bool>>,
}

impl Opener {
    pub fn new(read: ReadMode, no_xattrs: bool) -> Opener {
        let user = rustix::process::geteuid().as_raw();
        Opener { read, no_xattrs, user, nocow: Nocow::default(), made_up: Mutex::default() }
    }

    pub fn open(self: &Arc<Self>, found: &FoundEntry) -> io::Result<FsFile> {
        // Reading for a backup is no access; only the owner and the administrator may say so.
        let quiet = self.user == 0 || self.user == found.meta.uid;
        let fd = match self.open_with(found, if quiet { OPEN | OFlags::NOATIME } else { OPEN }) {
            Err(Errno::PERM) if quiet => self.open_with(found, OPEN),
            opened => opened,
        };
        let fd = fd.map_err(|error| match error {
            Errno::LOOP | Errno::NXIO => no_file(),
            error => error.into(),
        })?;
        let special = found.untimed.then(|| Fingerprint::of(&found.meta));
        let mapped = self.read == ReadMode::Mmap && special.is_none();
        Ok(FsFile { fd, mapped, device: found.meta.device, special, opener: self.clone() })
    }

    fn open_with(&self, found: &FoundEntry, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        match At::of(&found.handle) {
            At::Directory(directory) => openat(directory.fd()?, name_of(&found.key), flags, Mode::empty()),
            At::Own(own) => openat(CWD, own.path(), flags, Mode::empty()),
            At::Nowhere => Err(Errno::NOENT),
        }
    }

    /// File flags that looking does not tell.
    pub fn more_flags(&self, found: &FoundEntry) -> u32 {
        let kept = matches!(found.meta.kind, EntryKind::File | EntryKind::Directory);
        if !kept || self.nocow.is_absent(found.meta.device) {
            return 0;
        }
        self.open_with(found, OPEN).map_or(0, |fd| self.nocow.of(fd.as_fd(), found.meta.device))
    }

    /// Extended attributes of an entry of any kind.
    pub fn xattrs(&self, found: &FoundEntry) -> io::Result<Vec<Xattr>> {
        // An ancestor that only the snapshot has has none.
        if self.no_xattrs || found.handle.is_key() {
            return Ok(Vec::new());
        }
        match At::of(&found.handle) {
            At::Directory(directory) if proc_is_there() => {
                let fd = directory.fd()?;
                of_path(&proc_path(&fd, name_of(&found.key)))
            }
            At::Directory(_) if matches!(found.meta.kind, EntryKind::File | EntryKind::Directory) => {
                of_file(self.open_with(found, OPEN)?.as_fd())
            }
            At::Directory(directory) => of_path(&path_in(&directory, name_of(&found.key))),
            At::Own(own) => match &*own {
                OwnPath::Plain(path) => of_path(path),
                // Those of a node say who may use the device, nothing of its content.
                OwnPath::Device(_) => Ok(Vec::new()),
            },
            At::Nowhere => Ok(Vec::new()),
        }
    }

    /// Whether the file lies where the system makes content up as it is read. Asked once a device. A file on which another
    /// file is mounted lies on another device than its directory, and is asked itself.
    pub fn is_made_up(&self, found: &FoundEntry) -> bool {
        let device = found.meta.device;
        if let Some(known) = self.made_up.lock().get(&device) {
            return *known;
        }
        let asked = match At::of(&found.handle) {
            At::Directory(directory) if directory.device == device => directory.fd().and_then(|fd| fstatfs(&fd)),
            At::Directory(_) => {
                self.open_with(found, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC).and_then(fstatfs)
            }
            At::Own(own) => match &*own {
                OwnPath::Plain(path) => statfs(path),
                OwnPath::Device(_) => Err(Errno::NOENT),
            },
            At::Nowhere => Err(Errno::NOENT),
        };
        let Ok(asked) = asked else { return false };
        let made_up = MADE_UP.contains(&(asked.f_type as u32));
        self.made_up.lock().insert(device, made_up);
        made_up
    }
}

/// Magic numbers of file systems that hold no data of anybody: proc, sysfs, debugfs, tracefs, securityfs, selinuxfs,
/// cgroup (1 and 2), bpf, configfs, pstore, binfmt_misc, fuse's control files, nsfs, rpc_pipefs, smackfs.
const MADE_UP: [u32; 16] = [
    0x9fa0,
    0x6265_6572,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0xf97c_ff8c,
    0x0027_e0eb,
    0x6367_7270,
    0xcafe_4a11,
    0x6265_6570,
    0x6165_676c,
    0x4249_4e4d,
    0x6573_5543,
    0x6e73_6673,
    0x6759_6969,
    0x4341_5d53,
];

/// The path of an entry that is not found through a directory of the walk.
#[derive(Debug)]
pub(super) enum OwnPath {
    Plain(PathBuf),
    /// Of a block device whose content stands in the snapshot as that of a regular file.
    Device(PathBuf),
}

impl OwnPath {
    fn path(&self) -> &Path {
        let (OwnPath::Plain(path) | OwnPath::Device(path)) = self;
        path
    }
}

/// Where an entry is found again.
pub(super) enum At {
    /// In this directory, under the last component of its key.
    Directory(Arc<Directory>),
    Own(Arc<OwnPath>),
    /// Only the snapshot has it.
    Nowhere,
}

impl At {
    pub fn of(handle: &Handle) -> At {
        if let Some(directory) = handle.get() {
            return At::Directory(directory);
        }
        handle.get().map_or(At::Nowhere, At::Own)
    }
}

pub(super) fn name_of(key: &[u8]) -> &OsStr {
    OsStr::from_bytes(split_key(key).map_or(&[], |(_, name)| name))
}

/// A path that leads to a name in an open directory, for calls that take only paths.
fn proc_path(directory: &OwnedFd, name: &OsStr) -> PathBuf {
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    path.push(name);
    path
}

fn path_in(directory: &Directory, name: &OsStr) -> PathBuf {
    Path::new(OsStr::from_bytes(&directory.path())).join(name)
}

fn proc_is_there() -> bool {
    static THERE: OnceLock<bool> = OnceLock::new();
    *THERE.get_or_init(|| Path::new("/proc/self/fd").is_dir())
}

fn no_file() -> io::Error {
    io::Error::other("it is no regular file any more")
}

/// How many bytes a block device holds.
pub(super) fn device_size(path: &Path) -> io::Result<u64> {
    let fd = openat(CWD, path, OPEN, Mode::empty())?;
    match seek(&fd, SeekFrom::End(0))? {
        0 => Err(io::Error::other("the device is empty: nothing is attached to it, or no medium is in it")),
        size => Ok(size),
    }
}

/// Fewer bytes are not worth a map.
const MAP_BYTES_MIN: usize = 256 << 10;

/// An open regular file.
#[derive(Debug)]
pub(super) struct FsFile {
    fd: OwnedFd,
    mapped: bool,
    device: u64,
    /// It is a block device, which the walk saw like this.
    special: Option<Fingerprint>,
    opener: Arc<Opener>,
}

impl FsFile {
    fn look(&self) -> io::Result<Fingerprint> {
        let stat = fstat(&self.fd)?;
        if let Some(seen) = self.special {
            if FileType::from_raw_mode(stat.st_mode) != FileType::BlockDevice {
                return Err(io::Error::other("it is no block device any more"));
            }
            // Its times say nothing of its content.
            return Ok(Fingerprint { size: seek(&self.fd, SeekFrom::End(0))?, ..seen });
        }
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(no_file());
        }
        let time = |s: i64, ns: u64| Time { s, ns: ns.min(999_999_999) as u32 };
        Ok(Fingerprint {
            size: stat.st_size as u64,
            mtime: time(stat.st_mtime, stat.st_mtime_nsec),
            ctime: time(stat.st_ctime, stat.st_ctime_nsec),
            inode: stat.st_ino,
        })
    }

    /// Reads until `buf` is full or the file ends.
    fn pread(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match pread(&self.fd, &mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(Errno::INTR) => {}
                Err(Errno::SPIPE | Errno::ISDIR) => return Err(no_file()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(done)
    }

    /// Fills `buf` from maps as far as that goes. A window counts only when no page of it was gone and the file is the
    /// same before and after: in the last page of a file that was cut, zeros stand where its bytes were.
    fn copy_mapped(&self, offset: u64, buf: &mut [u8]) -> usize {
        let mut done = 0;
        let mut before = self.look().ok();
        for window in buf.chunks_mut(mmap::WINDOW_BYTES) {
            let at = offset + done as u64;
            let Some(seen) = before.filter(|seen| seen.size > at) else { break };
            let len = window.len().min(usize::try_from(seen.size - at).unwrap_or(usize::MAX));
            if !mmap::copy(self.fd.as_fd(), at, &mut window[..len]) {
                break;
            }
            before = self.look().ok();
            if before != Some(seen) {
                break;
            }
            done += len;
            if len < window.len() {
                break;
            }
        }
        done
    }
}

impl SourceFile for FsFile {
    fn fingerprint(&self) -> io::Result<Option<Fingerprint>> {
        self.look().map(Some)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mapped = if self.mapped && buf.len() >= MAP_BYTES_MIN { self.copy_mapped(offset, buf) } else { 0 };
        Ok(mapped + self.pread(offset + mapped as u64, &mut buf[mapped..])?)
    }

    fn read_some(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        if self.mapped && buf.len() >= MAP_BYTES_MIN {
            return self.read_at(offset, buf);
        }
        loop {
            match pread(&self.fd, &mut *buf, offset) {
                Err(Errno::INTR) => {}
                Err(Errno::SPIPE | Errno::ISDIR) => return Err(no_file()),
                read => return Ok(read?),
            }
        }
    }

    fn meta(&self) -> io::Result<Option<Meta>> {
        if self.special.is_some() { Ok(None) } else { Ok(Some(look_at_open(self.fd.as_fd())?)) }
    }

    fn xattrs(&self) -> io::Result<Vec<Xattr>> {
        if self.opener.no_xattrs || self.special.is_some() { Ok(Vec::new()) } else { of_file(self.fd.as_fd()) }
    }

    fn more_flags(&self) -> u32 {
        self.opener.nocow.of(self.fd.as_fd(), self.device)
    }

    fn next_data(&self, offset: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
        if offset >= size {
            return Ok(None);
        }
        let start = match seek(&self.fd, SeekFrom::Data(offset)) {
            Ok(start) => start,
            // Only a hole is left, or the file ends before the offset by now.
            Err(Errno::NXIO) => return Ok(None),
            // A file system that knows no holes.
            Err(Errno::INVAL | Errno::NOTSUP | Errno::NOSYS) => return Ok(Some((offset, size))),
            Err(error) => return Err(error.into()),
        };
        if start >= size {
            return Ok(None);
        }
        let end = match seek(&self.fd, SeekFrom::Hole(start)) {
            Ok(end) => end.clamp(start + 1, size),
            // It shrank between the two questions: reading will tell.
            Err(Errno::NXIO) => size,
            Err(error) => return Err(error.into()),
        };
        Ok(Some((start, end)))
    }
}
