//! Reads blobs by id: it finds their places in the index, tries each copy, and keeps a small cache of opened blobs.

use super::blob::{BlobReader, holds, inner, word};
use crate::base::id::{ContentId, ObjectId};
use crate::format::blob::BlobKind;
use crate::format::list::ListNode;
use crate::format::tree::Node;
use crate::index::Location;
use crate::object::ObjectError;
use crate::object::reader::pack_key;
use crate::storage::StorageKey;
use crate::store::damage::is_wrong;
use crate::store::{Store, StoreError};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// How often a reader reads the index again because something is not where it says.
const RELOADS_MAX: u32 = 3;

/// Reads blobs of one store; make one per thread. Errors that are damage name the object.
pub struct Reader {
    store: Arc<Store>,
    cache: BlobCache,
    blobs: BlobReader,
    found: Vec<Location>,
    reloads: u32,
    unstable: Vec<StorageKey>,
}

/// Pack and offset.
type BlobPlace = (ObjectId, u32);

/// Opened blobs, the one that was not used for longest going first.
#[derive(Default)]
struct BlobCache {
    bytes_max: usize,
    bytes: usize,
    clock: u64,
    /// When it was last used, and the plaintext.
    blobs: HashMap<BlobPlace, (u64, Arc<Vec<u8>>)>,
    by_age: BTreeMap<u64, BlobPlace>,
}

impl BlobCache {
    fn get(&mut self, at: BlobPlace) -> Option<Arc<Vec<u8>>> {
        let (used, plain) = self.blobs.get_mut(&at)?;
        self.clock += 1;
        self.by_age.remove(used);
        *used = self.clock;
        self.by_age.insert(self.clock, at);
        Some(plain.clone())
    }

    fn put(&mut self, at: BlobPlace, plain: &Arc<Vec<u8>>) {
        if plain.len() > self.bytes_max || self.blobs.contains_key(&at) {
            return;
        }
        while self.bytes + plain.len() > self.bytes_max {
            let Some((_, oldest)) = self.by_age.pop_first() else { break };
            self.bytes -= self.blobs.remove(&oldest).map_or(0, |(_, plain)| plain.len());
        }
        self.clock += 1;
        self.bytes += plain.len();
        self.by_age.insert(self.clock, at);
        self.blobs.insert(at, (self.clock, plain.clone()));
    }
}

impl Reader {
    /// A reader with a cache of about `cache_bytes` of opened blobs.
    pub fn new(store: Arc<Store>, cache_bytes: usize) -> Reader {
        Reader {
            blobs: BlobReader::new(store.storage.clone(), store.ring.clone()),
            store,
            cache: BlobCache { bytes_max: cache_bytes, ..BlobCache::default() },
            found: Vec::new(),
            reloads: 0,
            unstable: Vec::new(),
        }
    }

    /// The store it reads.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Packs of which a read failed or gave wrong bytes, and the same read again gave the right ones: the medium, the
    /// memory or the connection is not to be trusted. Each once since the last call.
    pub fn take_unstable(&mut self) -> Vec<StorageKey> {
        std::mem::take(&mut self.unstable)
    }

    /// The verified plaintext of a chunk, node or list.
    pub fn read(&mut self, kind: BlobKind, id: &ContentId) -> Result<Vec<u8>, StoreError> {
        self.with(kind, id, <[u8]>::to_vec)
    }

    /// A decoded node.
    pub fn node(&mut self, id: &ContentId) -> Result<Node, StoreError> {
        let node = self.with(BlobKind::Node, id, Node::decode)?;
        node.map_err(|source| ObjectError::Decode { object: format!("node {id}"), source }.into())
    }

    /// A decoded list node.
    pub fn list(&mut self, id: &ContentId) -> Result<ListNode, StoreError> {
        let list = self.with(BlobKind::List, id, ListNode::decode)?;
        list.map_err(|source| ObjectError::Decode { object: format!("list {id}"), source }.into())
    }

    /// Hands the verified plaintext of a chunk, node or list to `take`, without a copy.
    pub fn with<T>(&mut self, kind: BlobKind, id: &ContentId, take: impl FnOnce(&[u8]) -> T) -> Result<T, StoreError> {
        loop {
            self.locate(kind, id);
            match self.try_all(kind, id) {
                Ok((plain, at)) => return Ok(take(&plain[inner(&at)])),
                // The pack may have been rewritten since the index was read.
                Err(error) if error.is_damage() && self.reload()? => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn locate(&mut self, kind: BlobKind, id: &ContentId) {
        self.found.clear();
        let index = self.store.index.read();
        index.locate(id, &mut self.found);
        drop(index);
        self.found.retain(|location| location.blob_kind == kind);
    }

    /// Reads the index again; whether anything is different now.
    fn reload(&mut self) -> Result<bool, StoreError> {
        if self.reloads >= RELOADS_MAX {
            return Ok(false);
        }
        self.reloads += 1;
        let segments = |store: &Store| store.index.read().segments();
        let before = segments(&self.store);
        self.store.load_index()?;
        Ok(segments(&self.store) != before)
    }

    /// Tries every copy until one is right, then what was wrong once more: what is wrong again is damaged.
    fn try_all(&mut self, kind: BlobKind, id: &ContentId) -> Result<(Arc<Vec<u8>>, Location), StoreError> {
        let found = std::mem::take(&mut self.found);
        let mut first_error: Option<ObjectError> = None;
        let mut result = None;
        let mut tried = 0;
        for location in &found {
            match self.try_one(id, location, false) {
                Ok(plain) => {
                    result = Some((plain, *location));
                    break;
                }
                Err(error) => keep_graver(&mut first_error, error),
            }
            tried += 1;
        }
        for location in &found[..tried] {
            match self.try_one(id, location, true) {
                Ok(plain) => {
                    self.note_unstable(location);
                    result = result.or(Some((plain, *location)));
                }
                Err(error) => {
                    if is_wrong(&error) {
                        self.store.note_damage(location.pack, Some(location.blob_offset));
                    }
                    keep_graver(&mut first_error, error);
                }
            }
        }
        self.found = found;
        let unknown = || ObjectError::Unknown { object: format!("{} {id}", word(kind)) };
        result.ok_or_else(|| first_error.unwrap_or_else(unknown).into())
    }

    fn note_unstable(&mut self, location: &Location) {
        let key = pack_key(location.pack_kind, location.pack);
        if !self.unstable.contains(&key) {
            self.unstable.push(key);
        }
    }

    /// One copy. The second time nothing that was kept is relied on: the key is derived from the header anew, and from
    /// the header's copy at the end of the pack if that does not do.
    fn try_one(&mut self, id: &ContentId, location: &Location, again: bool) -> Result<Arc<Vec<u8>>, ObjectError> {
        let at = (location.pack, location.blob_offset);
        if let Some(plain) = self.cache.get(at)
            && holds(&self.store.ring, location, &plain, id)
        {
            return Ok(plain);
        }
        if again {
            self.blobs.forget_key(&location.pack);
        }
        let mut plain = Vec::new();
        self.blobs.verified(location, id, again, &mut plain)?;
        let plain = Arc::new(plain);
        self.cache.put(at, &plain);
        Ok(plain)
    }
}

/// Of the errors of several copies the one that counts: where one could not be read, it may still be there.
fn keep_graver(kept: &mut Option<ObjectError>, error: ObjectError) {
    if kept.as_ref().is_none_or(|kept| kept.is_damage() && !error.is_damage()) {
        *kept = Some(error);
    }
}
