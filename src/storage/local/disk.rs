//! The few system calls that change a store's folder. A watch sees each of them before it is made.

use super::super::{Created, StorageError, StorageKey};
use crate::base::id::StoreId;
use parking_lot::Mutex;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    self as sys, AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, StatxFlags, fsync, ftruncate, linkat,
    mkdirat, openat, renameat_with, statat, statx, unlinkat,
};
use rustix::io::{Errno, pwrite};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::temporary::{self, TEMPORARY_FOLDER};
use crate::base::limits::BLOCK_ALIGN;

/// Folders are their owner's alone.
pub(super) const FOLDER_MODE: Mode = Mode::RWXU;
pub(super) const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
/// How a folder is opened.
pub(super) const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// One change of a store's folder. Paths are relative to it, with `/`; the folder itself is `.`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// A folder is made.
    MakeFolder(&'a str),
    /// A new, empty file is made.
    CreateFile(&'a str),
    /// Bytes are written at an offset.
    Write(&'a str, u64, &'a [u8]),
    /// A file is cut.
    Truncate(&'a str, u64),
    /// A file's bytes are made durable.
    SyncFile(&'a str),
    /// A file gets a second name (then loses the first) or a new one; nothing is replaced.
    Name(&'a str, &'a str),
    /// A folder's names are made durable.
    SyncFolder(&'a str),
    /// A file loses a name.
    Remove(&'a str),
    /// An empty folder goes away.
    RemoveFolder(&'a str),
}

/// Sees each step before it is made; an error is taken as the step's own failure.
pub trait Watch: Send + Sync {
    /// The step that comes next.
    fn step(&self, step: &Step) -> io::Result<()>;
}

/// An open store folder.
pub(super) struct Disk {
    pub(super) root: OwnedFd,
    watch: Option<Arc<dyn Watch>>,
    temporary: OnceLock<OwnedFd>,
    temporary_once: Mutex<()>,
    name_prefix: String,
    name_counter: AtomicU64,
    /// Direct writes were refused, or are not aligned the way blocks are.
    direct_refused: AtomicBool,
    rename_refused: AtomicBool,
    in_doubt: AtomicBool,
}

impl Disk {
    pub(super) fn new(root: OwnedFd, watch: Option<Arc<dyn Watch>>) -> io::Result<Disk> {
        let mut prefix = [0; StoreId::LEN];
        getrandom::fill(&mut prefix).map_err(|e| io::Error::other(format!("no random bytes: {e}")))?;
        Ok(Disk {
            root,
            watch,
            temporary: OnceLock::new(),
            temporary_once: Mutex::new(()),
            name_prefix: StoreId(prefix).to_string(),
            name_counter: AtomicU64::new(0),
            direct_refused: AtomicBool::new(false),
            rename_refused: AtomicBool::new(false),
            in_doubt: AtomicBool::new(false),
        })
    }

    fn watched(&self, step: Step) -> io::Result<()> {
        self.watch.as_ref().map_or(Ok(()), |watch| watch.step(&step))
    }

    /// Refuses to go on after a folder could not be synced: the system may report a lost write only once, so a later
    /// sync that succeeds proves nothing.
    pub(super) fn check_trust(&self) -> io::Result<()> {
        if self.in_doubt.load(Ordering::Acquire) {
            return Err(io::Error::other(
                "an earlier sync of a folder failed, so nothing written since can be trusted; check the disk, then \
                 start again",
            ));
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn direct_refused(&self) -> bool {
        self.direct_refused.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn refuse_rename(&self) {
        self.rename_refused.store(true, Ordering::Relaxed);
    }

    pub(super) fn make_folder(&self, path: &str) -> io::Result<()> {
        self.watched(Step::MakeFolder(path))?;
        match mkdirat(&self.root, path, FOLDER_MODE) {
            Err(Errno::EXIST) => Ok(()),
            other => Ok(other?),
        }
    }

    pub(super) fn open_folder(&self, path: &str) -> io::Result<OwnedFd> {
        Ok(openat(&self.root, path, FOLDER, Mode::empty())?)
    }

    /// What failed at an object: told from something else that lies in its place, or in that of its folder, which no trying
    /// again makes right.
    pub(super) fn failed(&self, operation: &'static str, key: &StorageKey, error: io::Error) -> StorageError {
        if error.kind() == io::ErrorKind::NotFound {
            return StorageError::new(operation, key, error);
        }
        let what = match statat(&self.root, key.path(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => "a folder",
                FileType::Symlink => "a link",
                FileType::Fifo => "a pipe",
                FileType::Socket => "a socket",
                FileType::CharacterDevice | FileType::BlockDevice => "a device",
                _ => return StorageError::new(operation, key, error),
            },
            Err(Errno::NOTDIR) => return StorageError::no_folder(operation, key),
            Err(_) => return StorageError::new(operation, key, error),
        };
        StorageError::no_file(operation, key, what)
    }

    pub(super) fn sync_folder(&self, folder: impl AsFd, path: &str) -> io::Result<()> {
        let synced = self.watched(Step::SyncFolder(path)).and_then(|()| Ok(fsync(folder)?));
        if synced.is_err() {
            self.in_doubt.store(true, Ordering::Release);
        }
        synced
    }

    pub(super) fn remove(&self, path: &str) -> io::Result<()> {
        self.watched(Step::Remove(path))?;
        Ok(unlinkat(&self.root, path, AtFlags::empty())?)
    }

    pub(super) fn remove_folder(&self, path: &str) -> io::Result<()> {
        self.watched(Step::RemoveFolder(path))?;
        Ok(unlinkat(&self.root, path, AtFlags::REMOVEDIR)?)
    }

    /// The folder of temporary files, made and cleaned of what killed runs left when it is first needed.
    fn temporary_folder(&self) -> io::Result<&OwnedFd> {
        if let Some(folder) = self.temporary.get() {
            return Ok(folder);
        }
        let _only_one = self.temporary_once.lock();
        if self.temporary.get().is_none() {
            let folder = match self.open_folder(TEMPORARY_FOLDER) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    self.make_folder(TEMPORARY_FOLDER)?;
                    self.open_folder(TEMPORARY_FOLDER)?
                }
                other => other?,
            };
            temporary::clean(&folder);
            let _ = self.temporary.set(folder);
        }
        self.temporary.get().ok_or_else(|| io::Error::other("the folder for temporary files is not open"))
    }
}

/// A file without a name of its own yet: it lies among the temporary ones and goes away unless it is named.
pub(super) struct Temporary {
    disk: Arc<Disk>,
    file: OwnedFd,
    /// Its path in the store's folder.
    path: String,
    unnamed: bool,
}

impl Temporary {
    /// A new one for a small object that is written at once.
    pub(super) fn create(disk: &Arc<Disk>) -> io::Result<Temporary> {
        Temporary::open(disk, OFlags::empty())
    }

    /// A new one for blocks, and whether it takes direct writes. It stays locked, so that one that takes days is not
    /// cleaned away.
    pub(super) fn create_for_blocks(disk: &Arc<Disk>) -> io::Result<(Temporary, bool)> {
        let (temporary, direct) = match Temporary::open_direct(disk)? {
            Some(temporary) => (temporary, true),
            None => (Temporary::open(disk, OFlags::empty())?, false),
        };
        // Some network file systems have no locks; the age of a file then decides alone.
        let _ = sys::flock(&temporary.file, FlockOperation::NonBlockingLockExclusive);
        Ok((temporary, direct))
    }

    /// `None`: direct writes are refused here.
    fn open_direct(disk: &Arc<Disk>) -> io::Result<Option<Temporary>> {
        if disk.direct_refused.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let opened = match Temporary::open(disk, OFlags::DIRECT) {
            Err(e) if refused(&e) => None,
            other => {
                let temporary = other?;
                temporary.takes_blocks()?.then_some(temporary)
            }
        };
        if opened.is_none() {
            disk.direct_refused.store(true, Ordering::Relaxed);
        }
        Ok(opened)
    }

    fn open(disk: &Arc<Disk>, extra: OFlags) -> io::Result<Temporary> {
        let folder = disk.temporary_folder()?;
        let n = disk.name_counter.fetch_add(1, Ordering::Relaxed);
        let path = format!("{TEMPORARY_FOLDER}/{}-{n}", disk.name_prefix);
        disk.watched(Step::CreateFile(&path))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW | extra;
        // A name of 128 random bits that exists means a cloned machine beside us: an error is right.
        let file = match openat(folder, leaf(&path), flags, FILE_MODE) {
            Err(e) => {
                if extra.contains(OFlags::DIRECT) && refused(&e.into()) {
                    // Some systems refuse the flag after they made the file.
                    let _ = disk.remove(&path);
                }
                return Err(e.into());
            }
            Ok(file) => file,
        };
        Ok(Temporary { disk: disk.clone(), file, path, unnamed: true })
    }

    /// Whether direct writes of blocks and of their padding (both multiples of `BLOCK_ALIGN`) are aligned enough.
    fn takes_blocks(&self) -> io::Result<bool> {
        let told = match statx(&self.file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN) {
            Ok(told) if told.stx_mask & StatxFlags::DIOALIGN.bits() != 0 => told,
            // Not told, as before Linux 6.1: what a page needs is enough for any disk.
            Ok(_) | Err(Errno::NOSYS) => return Ok(true),
            Err(e) => return Err(e.into()),
        };
        let fits = |align: u32| align.is_power_of_two() && align as usize <= BLOCK_ALIGN;
        Ok(fits(told.stx_dio_mem_align) && fits(told.stx_dio_offset_align))
    }

    /// Turns direct writes off, for this file and all later ones.
    pub(super) fn write_plainly(&self) -> io::Result<()> {
        self.disk.direct_refused.store(true, Ordering::Relaxed);
        let flags = sys::fcntl_getfl(&self.file)?;
        Ok(sys::fcntl_setfl(&self.file, flags.difference(OFlags::DIRECT))?)
    }

    /// Writes all of `bytes`; a short write is an error.
    pub(super) fn write(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.disk.watched(Step::Write(&self.path, at, bytes))?;
        let written = loop {
            match pwrite(&self.file, bytes, at) {
                Err(Errno::INTR) => {}
                other => break other?,
            }
        };
        if written != bytes.len() {
            let what = format!("only {written} of {} bytes were written: the disk or a quota may be full", bytes.len());
            return Err(io::Error::new(io::ErrorKind::StorageFull, what));
        }
        Ok(())
    }

    pub(super) fn truncate(&self, len: u64) -> io::Result<()> {
        self.disk.watched(Step::Truncate(&self.path, len))?;
        Ok(ftruncate(&self.file, len)?)
    }

    /// Makes its bytes durable. After an error the file is given up: the system may have dropped the bytes and
    /// called them clean.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.disk.watched(Step::SyncFile(&self.path))?;
        Ok(fsync(&self.file)?)
    }

    /// Gives it the name `path` (in the open folder) unless that exists. `NotFound`: the folder is gone.
    pub(super) fn name(&mut self, folder: impl AsFd, path: &str) -> io::Result<Created> {
        self.disk.watched(Step::Name(&self.path, path))?;
        let from = self.disk.temporary_folder()?;
        if !self.disk.rename_refused.load(Ordering::Relaxed) {
            match renameat_with(from, leaf(&self.path), &folder, leaf(path), RenameFlags::NOREPLACE) {
                Ok(()) => {
                    self.unnamed = false;
                    return Ok(Created::New);
                }
                Err(Errno::EXIST) => return Ok(Created::Exists),
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    self.disk.rename_refused.store(true, Ordering::Relaxed);
                }
                Err(e) => return Err(e.into()),
            }
        }
        match linkat(from, leaf(&self.path), &folder, leaf(path), AtFlags::empty()) {
            Ok(()) => Ok(Created::New),
            // A network file system that repeats a request whose answer was lost finds our own link.
            Err(Errno::EXIST) if sys::fstat(&self.file)?.st_nlink > 1 => Ok(Created::New),
            Err(Errno::EXIST) => Ok(Created::Exists),
            Err(Errno::PERM | Errno::OPNOTSUPP) => {
                let what = "a store cannot lie on this file system, which supports neither renaming without replacing \
                            nor hard links";
                Err(io::Error::new(io::ErrorKind::Unsupported, what))
            }
            Err(e) => Err(e.into()),
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.unnamed {
            // What cannot be removed now is cleaned by a later run.
            let _ = self.disk.remove(&self.path);
        }
    }
}

/// Whether a direct open or write was refused as such.
pub(super) fn refused(e: &io::Error) -> bool {
    [Errno::INVAL, Errno::OPNOTSUPP].iter().any(|errno| e.raw_os_error() == Some(errno.raw_os_error()))
}

/// The last component of a relative path.
pub(super) fn leaf(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, leaf)| leaf)
}
