//! Creating objects: a temporary file, synced, then named without replacing, then the folder synced.

use super::super::{Area, Block, Created, StorageError, StorageKey, StorageWriter};
use super::disk::{Disk, Temporary, refused};
use super::list::missing_folder;
use crate::base::limits::BLOCK_ALIGN;
use parking_lot::Mutex;
use rustix::fd::OwnedFd;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;

/// How often a folder that vanishes under our hands (its last object was deleted) is made anew.
const FOLDER_TRIES: usize = 4;

/// Where objects are created.
pub(super) struct Creator {
    pub(super) disk: Arc<Disk>,
    /// Folders below an area whose own name is known to be durable.
    durable: Mutex<HashSet<String>>,
}

impl Creator {
    pub(super) fn new(disk: Arc<Disk>) -> Creator {
        Creator { disk, durable: Mutex::default() }
    }

    /// A small object: one write.
    pub(super) fn put(&self, key: &StorageKey, bytes: &[u8]) -> io::Result<Created> {
        self.disk.check_trust()?;
        let temporary = Temporary::create(&self.disk)?;
        temporary.write(bytes, 0)?;
        self.publish(temporary, key)
    }

    /// Makes a complete temporary file durable, then visible, then its name durable.
    fn publish(&self, mut temporary: Temporary, key: &StorageKey) -> io::Result<Created> {
        let path = key.path();
        let (folder_path, _) = path.rsplit_once('/').unwrap_or((".", &path));
        let mut tries = FOLDER_TRIES;
        // The folder is made before the file is synced: one journal commit then covers both.
        let mut folder = self.open_or_make(folder_path)?;
        temporary.sync()?;
        let created = loop {
            match temporary.name(&folder, &path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound && tries > 0 => {
                    tries -= 1;
                    self.forget(folder_path);
                    folder = self.open_or_make(folder_path)?;
                }
                other => break other?,
            }
        };
        // Also when it was there before: whoever made it may not have come to this point.
        self.disk.sync_folder(&folder, folder_path)?;
        self.sync_parent(folder_path)?;
        Ok(created)
    }

    fn open_or_make(&self, folder_path: &str) -> io::Result<OwnedFd> {
        match self.disk.open_folder(folder_path) {
            // Areas themselves are made with the store; one that is missing is damage, not something to make.
            Err(e) if e.kind() == io::ErrorKind::NotFound && folder_path.contains('/') => {
                self.forget(folder_path);
                self.disk.make_folder(folder_path)?;
                self.disk.open_folder(folder_path)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(missing_folder()),
            other => other,
        }
    }

    /// Makes the folder's own name durable, once a process and folder: another process may have made it just now.
    fn sync_parent(&self, folder_path: &str) -> io::Result<()> {
        let Some((parent, _)) = folder_path.rsplit_once('/') else { return Ok(()) };
        let known = || self.durable.lock();
        if known().contains(folder_path) {
            return Ok(());
        }
        self.disk.sync_folder(self.disk.open_folder(parent)?, parent)?;
        known().insert(folder_path.to_owned());
        Ok(())
    }

    pub(super) fn forget(&self, folder_path: &str) {
        self.durable.lock().remove(folder_path);
    }
}

/// An object that is written in blocks, past the page cache where the file system takes that.
pub(super) struct LocalWriter {
    creator: Arc<Creator>,
    area: Area,
    temporary: Temporary,
    /// Whether writes go past the page cache, padded to `BLOCK_ALIGN`.
    direct: bool,
    /// Bytes of the object, and of the file with the padding.
    len: u64,
    file_len: u64,
    failed: bool,
}

impl LocalWriter {
    pub(super) fn create(creator: &Arc<Creator>, area: Area) -> Result<LocalWriter, StorageError> {
        let error = |e| StorageError::new("begin a file in", area.folder(), e);
        creator.disk.check_trust().map_err(error)?;
        let (temporary, direct) = Temporary::create_for_blocks(&creator.disk).map_err(error)?;
        Ok(LocalWriter { creator: creator.clone(), area, temporary, direct, len: 0, file_len: 0, failed: false })
    }

    fn write(&mut self, block: &mut Block) -> io::Result<()> {
        if self.failed || !self.len.is_multiple_of(BLOCK_ALIGN as u64) {
            let what = "a block after an error or after the last one";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let len = block.len() as u64;
        if self.direct {
            let padded = block.padded(BLOCK_ALIGN);
            match self.temporary.write(padded, self.len) {
                Err(e) if refused(&e) => {
                    self.temporary.write_plainly()?;
                    self.direct = false;
                }
                other => {
                    other?;
                    self.file_len = self.len + padded.len() as u64;
                    self.len += len;
                    return Ok(());
                }
            }
        }
        self.temporary.write(block.bytes(), self.len)?;
        self.len += len;
        self.file_len = self.len;
        Ok(())
    }

    fn finish(self, key: &StorageKey) -> io::Result<Created> {
        if self.failed || key.area() != self.area {
            let what = "a file after an error, or under a name of another area";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        self.creator.disk.check_trust()?;
        if self.file_len > self.len {
            self.temporary.truncate(self.len)?;
        }
        self.creator.publish(self.temporary, key)
    }
}

impl StorageWriter for LocalWriter {
    fn append(&mut self, block: &mut Block) -> Result<(), StorageError> {
        if block.is_empty() {
            return Ok(());
        }
        self.write(block).map_err(|e| {
            self.failed = true;
            StorageError::new("write a file of", self.area.folder(), e)
        })
    }

    fn commit(self: Box<Self>, key: &StorageKey) -> Result<Created, StorageError> {
        let disk = self.creator.disk.clone();
        (*self).finish(key).map_err(|e| disk.failed("create", key, e))
    }

    fn abort(self: Box<Self>) {}
}
