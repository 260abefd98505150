//! Opening files again and reading them.

use super::fs::ReadMode;
use super::{Fingerprint, Found, Handle, SourceFile, mmap, xattr};
use crate::base::limits::MIB;
use crate::base::time::Time;
use crate::format::tree::Xattr;
use rustix::fs::{Mode, OFlags, ResolveFlags, SeekFrom};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Bytes below which a map is not worth its set-up.
const MAP_MIN: usize = MIB;

/// How a found file is opened: never through a link, never waiting for a FIFO's writer.
const FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Opens whatever a handle names, with extra flags.
pub fn open_handle(handle: &Handle, flags: OFlags) -> io::Result<OwnedFd> {
    match handle {
        Handle::At(dir, name) => Ok(rustix::fs::openat(dir, name.as_slice(), FLAGS | flags, Mode::empty())?),
        Handle::Path(path) => open_path(path, FLAGS | flags),
        Handle::Key => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Opens an absolute path without following any link on the way, however long it is.
pub fn open_path(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    use std::os::unix::ffi::OsStrExt;
    let links = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let bytes = path.as_os_str().as_bytes();
    let mut dir: Option<OwnedFd> = None;
    let mut rest = bytes;
    // The system takes at most 4,095 bytes at once.
    while rest.len() > 4000 {
        let end = rest[..4000].iter().rposition(|&b| b == b'/').filter(|&at| at > 0).ok_or(Errno::NAMETOOLONG)?;
        let at = dir.as_ref().map_or(rustix::fs::CWD, |d| d.as_fd());
        let next = rustix::fs::openat2(at, &rest[..end], OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), links)?;
        (dir, rest) = (Some(next), &rest[end + 1..]);
    }
    let at = dir.as_ref().map_or(rustix::fs::CWD, |d| d.as_fd());
    Ok(rustix::fs::openat2(at, rest, flags, Mode::empty(), links)?)
}

/// A path that names a handle's entry for calls that take paths only.
pub fn proc_path(handle: &Handle) -> io::Result<PathBuf> {
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStrExt;
    match handle {
        Handle::At(dir, name) => {
            let mut path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
            path.push(std::ffi::OsStr::from_bytes(name));
            Ok(path)
        }
        Handle::Path(path) => Ok(path.clone()),
        Handle::Key => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// An open regular file.
pub struct FsFile {
    fd: OwnedFd,
    map: bool,
}

impl FsFile {
    /// Opens a found file; refuses what is no regular file any more.
    pub fn open(found: &Found, read: ReadMode, local: bool) -> io::Result<FsFile> {
        let fd = open_handle(&found.handle, OFlags::empty())?;
        let map = match read {
            ReadMode::Auto => local && found.meta.size >= MAP_MIN as u64,
            ReadMode::Mmap => true,
            ReadMode::Pread => false,
        };
        Ok(FsFile { fd, map })
    }

    fn pread(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match rustix::io::pread(&self.fd, &mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(done)
    }
}

impl SourceFile for FsFile {
    fn fingerprint(&self) -> io::Result<Option<Fingerprint>> {
        let stat = rustix::fs::fstat(&self.fd)?;
        if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile {
            return Err(io::Error::other("is no regular file any more"));
        }
        Ok(Some(Fingerprint {
            size: stat.st_size as u64,
            mtime: Time { s: stat.st_mtime, ns: stat.st_mtime_nsec as u32 },
            ctime: Time { s: stat.st_ctime, ns: stat.st_ctime_nsec as u32 },
            inode: stat.st_ino,
        }))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        if self.map && buf.len() >= MAP_MIN {
            // A map that cannot be had, or that lost its file meanwhile, is no error: pread tells what is there.
            if let Some(done) = mmap::read(&self.fd, offset, buf) {
                return Ok(done);
            }
        }
        self.pread(offset, buf)
    }

    fn xattrs(&self) -> io::Result<Vec<Xattr>> {
        xattr::of_file(self.fd.as_fd())
    }

    fn next_data(&self, offset: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
        let start = match rustix::fs::seek(&self.fd, SeekFrom::Data(offset)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(None),
            Err(Errno::INVAL | Errno::NOTSUP) => return Ok(Some((offset, size))),
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(&self.fd, SeekFrom::Hole(start))?;
        Ok(Some((start, end)))
    }
}
