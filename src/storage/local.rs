//! A store in a folder of this machine.
//!
//! An object appears whole and durable or not at all: it is written to a temporary file (`tmp/` in the store), synced,
//! named without replacing, and then the folders that hold its name are synced (`docs/ordering.md`). A killed run
//! leaves temporary files only; the next one removes those older than a day.

mod cache;
mod disk;
mod list;
mod temporary;
mod write;
#[cfg(test)]
mod power;
#[cfg(test)]
mod tests;

use super::{Area, Capabilities, Created, Listed, Storage, StorageError, StorageKey, StorageWriter};
use cache::OpenFiles;
use disk::{Disk, FOLDER, FOLDER_MODE};
pub use disk::{Step, Watch};
use rustix::buffer::spare_capacity;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, fstat, fstatfs, fsync, mkdir, open, openat, statat};
use rustix::io::{Errno, pread, read};
use std::io;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use write::{Creator, LocalWriter};

/// How objects are opened: never through a link, and never waiting for a device or pipe that poses as one.
const OBJECT: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Local storage: fsync of file and directory, names created without replacing, packs past the page cache.
pub struct LocalStorage {
    folder: PathBuf,
    identity: (u64, u64),
    capabilities: Capabilities,
    disk: Arc<Disk>,
    creator: Arc<Creator>,
    packs: OpenFiles,
}

impl LocalStorage {
    /// Makes the folder (and its parents) and its areas; the folder may exist but must be empty, or hold no more than
    /// what a creation left that was cut short.
    pub fn create(folder: &Path) -> Result<LocalStorage, StorageError> {
        LocalStorage::create_watched(folder, None)
    }

    /// Opens a folder that holds a store (a `config` area, or objects of one that has lost it); `NotFound` otherwise.
    pub fn open(folder: &Path) -> Result<LocalStorage, StorageError> {
        LocalStorage::open_watched(folder, None)
    }

    /// As `create`, every change of the disk seen by a watch: for tests of crashes and of full or failing disks.
    pub fn create_watched(folder: &Path, watch: Option<Arc<dyn Watch>>) -> Result<LocalStorage, StorageError> {
        let error = |e| StorageError::new("create a store in", folder.display(), e);
        make_durable(folder, watch.as_deref()).map_err(error)?;
        let root = open_root(folder).map_err(error)?;
        check_free(&root).map_err(error)?;
        let disk = Disk::new(root, watch.clone()).map_err(error)?;
        // The one that makes it a store comes last.
        let (config, others) = (Area::Config, Area::ALL.into_iter().filter(|&area| area != Area::Config));
        others.chain([config]).try_for_each(|area| disk.make_folder(area.folder())).map_err(error)?;
        disk.sync_folder(&disk.root, ".").map_err(error)?;
        LocalStorage::from_disk(folder, disk).map_err(error)
    }

    /// As `open`, with a watch.
    pub fn open_watched(folder: &Path, watch: Option<Arc<dyn Watch>>) -> Result<LocalStorage, StorageError> {
        let error = |e| StorageError::new("open the store", folder.display(), e);
        let absent = |what| error(io::Error::new(io::ErrorKind::NotFound, what));
        let root = open_root(folder).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => absent("there is no such folder; `larder init` makes a store"),
            _ => error(e),
        })?;
        match statat(&root, Area::Config.folder(), AtFlags::empty()) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
            // One that has lost it is a store all the same.
            Ok(_) | Err(Errno::NOENT) if holds_objects(&root).map_err(error)? => {}
            Ok(_) | Err(Errno::NOENT) => {
                return Err(absent("this folder holds no store (no `config` in it); `larder init` makes one"));
            }
            Err(e) => return Err(error(e.into())),
        }
        Disk::new(root, watch).and_then(|disk| LocalStorage::from_disk(folder, disk)).map_err(error)
    }

    fn from_disk(folder: &Path, disk: Disk) -> io::Result<LocalStorage> {
        let stat = fstat(&disk.root)?;
        let listing_stale_s = listing_stale_s(fstatfs(&disk.root)?.f_type as u32);
        let disk = Arc::new(disk);
        Ok(LocalStorage {
            folder: std::path::absolute(folder)?,
            identity: (stat.st_dev, stat.st_ino),
            capabilities: Capabilities { create_if_absent: true, listing_stale_s, persistent: true },
            creator: Arc::new(Creator::new(disk.clone())),
            disk,
            packs: OpenFiles::default(),
        })
    }

    /// Where it is, as an absolute path.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Device and inode number of its folder: a backup that meets this folder passes it over.
    pub fn identity(&self) -> (u64, u64) {
        self.identity
    }

    fn open_object(&self, key: &StorageKey) -> io::Result<(OwnedFd, u64)> {
        let file = openat(&self.disk.root, key.path(), OBJECT, Mode::empty())?;
        let stat = fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("not a regular file"));
        }
        Ok((file, stat.st_size as u64))
    }

    /// The object's file, from those kept open when it is a pack or an index segment.
    fn kept_open(&self, key: &StorageKey) -> io::Result<Arc<OwnedFd>> {
        let keep = matches!(key, StorageKey::Pack(_) | StorageKey::Tree(_) | StorageKey::Segment(..));
        if keep && let Some(file) = self.packs.get(key) {
            return Ok(file);
        }
        let file = Arc::new(self.open_object(key)?.0);
        if keep {
            self.packs.put(*key, file.clone());
        }
        Ok(file)
    }

    fn remove(&self, key: &StorageKey) -> io::Result<()> {
        self.disk.check_trust()?;
        self.packs.forget(key);
        let path = key.path();
        let (folder_path, _) = path.rsplit_once('/').unwrap_or((".", &path));
        let absent_is_fine = |result: io::Result<()>| match result {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        absent_is_fine(self.disk.remove(&path))?;
        // Sessions and index generations come and go; the folders of packs stay.
        let mut sync_path = folder_path;
        if let (Area::Sessions | Area::Index, Some((area, _))) = (key.area(), folder_path.rsplit_once('/'))
            && self.disk.remove_folder(folder_path).is_ok()
        {
            self.creator.forget(folder_path);
            sync_path = area;
        }
        // Records are dropped in an order that matters: this deletion must not come back after a later one held.
        let synced = self.disk.open_folder(sync_path).and_then(|folder| self.disk.sync_folder(folder, sync_path));
        absent_is_fine(synced)
    }
}

impl Storage for LocalStorage {
    fn location(&self) -> String {
        self.folder.display().to_string()
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn put_if_absent(&self, key: &StorageKey, bytes: &[u8]) -> Result<Created, StorageError> {
        self.creator.put(key, bytes).map_err(|e| self.disk.failed("create", key, e))
    }

    fn writer(&self, area: Area) -> Result<Box<dyn StorageWriter>, StorageError> {
        Ok(Box::new(LocalWriter::create(&self.creator, area)?))
    }

    fn get(&self, key: &StorageKey, max: usize) -> Result<Vec<u8>, StorageError> {
        let error = |e| self.disk.failed("read", key, e);
        let (file, len) = self.open_object(key).map_err(error)?;
        if len > max as u64 {
            return Err(StorageError::too_large("read", key, len, max));
        }
        let len = len as usize;
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            match read(&file, spare_capacity(&mut bytes)) {
                Ok(0) => return Err(StorageError::short("read", key, len as u64)),
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => return Err(error(e.into())),
            }
        }
        bytes.truncate(len);
        Ok(bytes)
    }

    fn get_range(&self, key: &StorageKey, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        let error = |e| self.disk.failed("read", key, e);
        let file = self.kept_open(key).map_err(error)?;
        let mut filled = 0;
        while filled < buf.len() {
            match pread(&*file, &mut buf[filled..], offset.saturating_add(filled as u64)) {
                Ok(0) => return Err(StorageError::short("read", key, offset.saturating_add(buf.len() as u64))),
                Ok(n) => filled += n,
                Err(Errno::INTR) => {}
                Err(e) => return Err(error(e.into())),
            }
        }
        Ok(())
    }

    fn head(&self, key: &StorageKey) -> Result<Listed, StorageError> {
        let error = |e| self.disk.failed("look at", key, e);
        let stat = statat(&self.disk.root, key.path(), AtFlags::SYMLINK_NOFOLLOW).map_err(|e| error(e.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(error(io::Error::other("not a regular file")));
        }
        Ok(list::listed(*key, &stat))
    }

    fn list(&self, area: Area, found: &mut dyn FnMut(Listed)) -> Result<(), StorageError> {
        list::list(&self.disk, area, found)
    }

    /// Durable, as what is created is: a record dropped first must not outlive, after a crash, one dropped later.
    fn delete(&self, key: &StorageKey) -> Result<(), StorageError> {
        self.remove(key).map_err(|e| self.disk.failed("delete", key, e))
    }

    fn missing_folders(&self) -> Result<Vec<Area>, StorageError> {
        let mut missing = Vec::new();
        for area in Area::ALL {
            match statat(&self.disk.root, area.folder(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => {}
                Err(Errno::NOENT) => missing.push(area),
                Err(e) => return Err(StorageError::new("look at", area.folder(), e.into())),
            }
        }
        Ok(missing)
    }

    fn make_folder(&self, area: Area) -> Result<(), StorageError> {
        let made = self.disk.make_folder(area.folder()).and_then(|()| self.disk.sync_folder(&self.disk.root, "."));
        made.map_err(|e| StorageError::new("make the folder", area.folder(), e))
    }
}

fn open_root(folder: &Path) -> io::Result<OwnedFd> {
    Ok(open(folder, FOLDER, Mode::empty())?)
}

/// Makes a folder and what is missing above it, each name durable.
fn make_durable(folder: &Path, watch: Option<&dyn Watch>) -> io::Result<()> {
    let watched = |step: Step| watch.map_or(Ok(()), |watch| watch.step(&step));
    let folder = std::path::absolute(folder)?;
    let mut missing: Vec<&Path> = folder.ancestors().take_while(|path| !path.exists()).collect();
    while let Some(path) = missing.pop() {
        watched(Step::MakeFolder(&path.to_string_lossy()))?;
        match mkdir(path, FOLDER_MODE) {
            Err(Errno::EXIST) => {}
            other => other?,
        }
        if let Some(parent) = path.parent() {
            watched(Step::SyncFolder(&parent.to_string_lossy()))?;
            fsync(open_root(parent)?)?;
        }
    }
    Ok(())
}

/// Whether a store can be made in this folder: nothing in it but what a creation that was cut short leaves.
fn check_free(root: &OwnedFd) -> io::Result<()> {
    let taken = |name: &str| {
        let what = format!("the folder is not empty (it holds `{name}`); a store needs one of its own");
        Err(io::Error::new(io::ErrorKind::AlreadyExists, what))
    };
    for name in names(root)? {
        let ours = Area::ALL.iter().any(|area| area.folder() == name);
        // Temporary files are nobody's; the other one lies in the root of a new file system.
        if name == temporary::TEMPORARY_FOLDER || name == "lost+found" {
            continue;
        }
        let inside = if ours { names(&openat(root, &*name, FOLDER, Mode::empty())?)? } else { return taken(&name) };
        // A creation that was cut short may have come as far as its first key slot, which opens nothing.
        let is_slot =
            |inside: &String| matches!(StorageKey::parse(&format!("{name}/{inside}")), Some(StorageKey::KeySlot(_)));
        if !inside.iter().all(is_slot) {
            return taken(&name);
        }
    }
    Ok(())
}

/// Whether something lies in this folder that only a store has, beside configs and key slots.
fn holds_objects(root: &OwnedFd) -> io::Result<bool> {
    for area in Area::ALL.into_iter().filter(|area| !matches!(area, Area::Config | Area::Keys)) {
        let folder = match openat(root, area.folder(), FOLDER, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            folder => folder?,
        };
        for name in names(&folder)? {
            let path = format!("{}/{name}", area.folder());
            let holds_some = || -> io::Result<bool> {
                let inside = names(&openat(&folder, &*name, FOLDER, Mode::empty())?)?;
                Ok(inside.iter().any(|inside| StorageKey::parse(&format!("{path}/{inside}")).is_some()))
            };
            if StorageKey::parse(&path).is_some() || (area.holds_folder(&name) && holds_some().unwrap_or(false)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn names(folder: &OwnedFd) -> io::Result<Vec<String>> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(folder, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// How stale a listing can be on a file system, by its number in statfs(2); `None`: unknown.
fn listing_stale_s(kind: u32) -> Option<u32> {
    const NFS: u32 = 0x6969;
    /// SMB (three dialects), FUSE, 9p, AFS, Coda: other machines or programs answer, by rules of their own.
    const OTHERS: [u32; 7] = [0x517b, 0xff53_4d42, 0xfe53_4d42, 0x6573_5546, 0x0102_1997, 0x5346_414f, 0x7375_7245];
    match kind {
        NFS => Some(60),
        kind if OTHERS.contains(&kind) => None,
        _ => Some(0),
    }
}

/// A temporary folder for tests, where syncing costs nothing if the machine has such a place.
#[cfg(test)]
pub(in crate::storage) fn quick_folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a temporary folder")
}
