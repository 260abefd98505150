//! A store in memory, for tests and fuzzing.

use super::{Area, Block, Capabilities, Created, Listed, Storage, StorageError, StorageKey, StorageWriter};
use crate::base::time::Time;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Objects in a map. The same promises as on a disk, as long as the process lives.
#[derive(Default)]
pub struct MemoryStorage {
    objects: Arc<RwLock<Objects>>,
}

type Objects = BTreeMap<StorageKey, Object>;

#[derive(Clone)]
struct Object {
    /// Shared, so that a copy of the whole store is cheap and reading holds no lock.
    bytes: Arc<[u8]>,
    stored: Time,
}

impl MemoryStorage {
    /// An empty one.
    pub fn new() -> MemoryStorage {
        MemoryStorage::default()
    }

    /// A second store that holds the same objects and goes its own way from here on.
    pub fn copy(&self) -> MemoryStorage {
        MemoryStorage { objects: Arc::new(RwLock::new(self.read().clone())) }
    }

    /// The names of all objects, sorted.
    pub fn keys(&self) -> Vec<StorageKey> {
        self.read().keys().copied().collect()
    }

    /// Puts other bytes in an object's place, whether it was there or not: damage, for tests.
    pub fn replace(&self, key: &StorageKey, bytes: impl Into<Arc<[u8]>>) {
        self.write().insert(*key, Object { bytes: bytes.into(), stored: Time::now() });
    }

    fn object(&self, operation: &'static str, key: &StorageKey) -> Result<Object, StorageError> {
        self.read().get(key).cloned().ok_or_else(|| StorageError::not_found(operation, key))
    }

    fn read(&self) -> RwLockReadGuard<'_, Objects> {
        self.objects.read()
    }

    fn write(&self) -> RwLockWriteGuard<'_, Objects> {
        self.objects.write()
    }
}

fn create(objects: &RwLock<Objects>, key: &StorageKey, bytes: Arc<[u8]>) -> Created {
    match objects.write().entry(*key) {
        Entry::Occupied(_) => Created::Exists,
        Entry::Vacant(place) => {
            place.insert(Object { bytes, stored: Time::now() });
            Created::New
        }
    }
}

impl Storage for MemoryStorage {
    fn location(&self) -> String {
        "memory".into()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { create_if_absent: true, listing_stale_s: Some(0), persistent: false }
    }

    fn put_if_absent(&self, key: &StorageKey, bytes: &[u8]) -> Result<Created, StorageError> {
        Ok(create(&self.objects, key, bytes.into()))
    }

    fn writer(&self, area: Area) -> Result<Box<dyn StorageWriter>, StorageError> {
        Ok(Box::new(MemoryWriter { objects: self.objects.clone(), area, bytes: Vec::new(), ended: false }))
    }

    fn get(&self, key: &StorageKey, max: usize) -> Result<Vec<u8>, StorageError> {
        let object = self.object("read", key)?;
        if object.bytes.len() > max {
            return Err(StorageError::too_large("read", key, object.bytes.len() as u64, max));
        }
        Ok(object.bytes.to_vec())
    }

    fn get_range(&self, key: &StorageKey, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        let object = self.object("read", key)?;
        let end = offset.saturating_add(buf.len() as u64);
        let range = || Some(Range { start: usize::try_from(offset).ok()?, end: usize::try_from(end).ok()? });
        match range().and_then(|range| object.bytes.get(range)) {
            Some(bytes) => {
                buf.copy_from_slice(bytes);
                Ok(())
            }
            // An empty range is there wherever it begins, as on a disk.
            None if buf.is_empty() => Ok(()),
            None => Err(StorageError::short("read", key, end)),
        }
    }

    fn head(&self, key: &StorageKey) -> Result<Listed, StorageError> {
        let object = self.object("look at", key)?;
        Ok(Listed { key: *key, len: object.bytes.len() as u64, stored: object.stored })
    }

    fn list(&self, area: Area, found: &mut dyn FnMut(Listed)) -> Result<(), StorageError> {
        let listed = |(key, object): (&StorageKey, &Object)| Listed {
            key: *key,
            len: object.bytes.len() as u64,
            stored: object.stored,
        };
        // Collected first: whoever listens may write.
        let all: Vec<Listed> = self.read().iter().filter(|(key, _)| key.area() == area).map(listed).collect();
        all.into_iter().for_each(found);
        Ok(())
    }

    fn delete(&self, key: &StorageKey) -> Result<(), StorageError> {
        self.write().remove(key);
        Ok(())
    }
}

struct MemoryWriter {
    objects: Arc<RwLock<Objects>>,
    area: Area,
    bytes: Vec<u8>,
    /// A block that was not full came: it was the last.
    ended: bool,
}

impl StorageWriter for MemoryWriter {
    fn append(&mut self, block: &mut Block) -> Result<(), StorageError> {
        if self.ended && !block.is_empty() {
            let e = io::Error::new(io::ErrorKind::InvalidInput, "a block after an error or after the last one");
            return Err(StorageError::new("write a file of", self.area.folder(), e));
        }
        self.bytes.extend_from_slice(block.bytes());
        self.ended = !self.bytes.len().is_multiple_of(crate::base::limits::BLOCK_ALIGN);
        Ok(())
    }

    fn commit(self: Box<Self>, key: &StorageKey) -> Result<Created, StorageError> {
        if key.area() != self.area {
            let e = io::Error::new(io::ErrorKind::InvalidInput, "a file under a name of another area");
            return Err(StorageError::new("create", key, e));
        }
        Ok(create(&self.objects, key, self.bytes.into()))
    }

    fn abort(self: Box<Self>) {}
}
