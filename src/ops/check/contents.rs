//! Chunks, nodes and lists by id, through the fresh index: where they lie, whether they can be had, reading them.

use super::index::Catalogue;
use crate::base::id::{ContentId, ObjectId};
use crate::base::limits::{BLOB_PLAIN_BYTES_MAX, KIB};
use crate::codec::Decompressor;
use crate::crypto::hash::content_id;
use crate::crypto::pack::PackKey;
use crate::format::blob::BlobKind;
use crate::index::Location;
use crate::object::reader::{open_blob, open_pack, pack_key, read_table_of};
use crate::storage::StorageKey;
use crate::store::Store;
use std::collections::HashMap;
use std::sync::Arc;

/// Pack keys kept.
const KEYS_MAX: usize = 1024;
/// What a sealed blob may add to its plaintext.
const BLOB_EXTRA_BYTES_MAX: usize = 64 * KIB;

/// Whether something can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Availability {
    /// From at least one place.
    Here,
    /// The index gives places, and none of them is good.
    Damaged,
    /// The index does not know it.
    Unknown,
}

pub(super) struct Contents<'a> {
    pub store: &'a Store,
    pub catalogue: &'a Catalogue,
    keys: HashMap<ObjectId, Arc<PackKey>>,
    found: Vec<Location>,
    sealed: Vec<u8>,
    plain: Vec<u8>,
    decompressor: Decompressor,
}

impl<'a> Contents<'a> {
    pub fn new(store: &'a Store, catalogue: &'a Catalogue) -> Contents<'a> {
        Contents {
            store,
            catalogue,
            keys: HashMap::new(),
            found: vec![],
            sealed: vec![],
            plain: vec![],
            decompressor: Decompressor::default(),
        }
    }

    fn is_good(&self, location: &Location) -> bool {
        let Some(pack) = self.catalogue.packs.get(&(location.pack_kind, location.pack)) else { return false };
        let end = u64::from(location.blob_offset) + u64::from(location.blob_len);
        pack.stored_len.is_some_and(|len| end <= len) && !pack.all_bad && !pack.bad.contains(&location.blob_offset)
    }

    /// Whether a chunk of this length can be had, as far as is known.
    pub fn chunk(&mut self, id: &ContentId, len: u32) -> Availability {
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        self.catalogue.index.locate(id, &mut found);
        found.retain(|l| l.blob_kind == BlobKind::Chunks && l.inner_len == len);
        let availability = match found.iter().any(|l| self.is_good(l)) {
            true => Availability::Here,
            false if found.is_empty() => Availability::Unknown,
            false => Availability::Damaged,
        };
        self.found = found;
        availability
    }

    /// The verified bytes of a node or list, from whichever place has them.
    pub fn read(&mut self, kind: BlobKind, id: &ContentId) -> Result<&[u8], String> {
        let mut found = vec![];
        self.catalogue.index.locate(id, &mut found);
        found.retain(|l| l.blob_kind == kind && l.blob_len as usize <= BLOB_PLAIN_BYTES_MAX + BLOB_EXTRA_BYTES_MAX);
        let mut error = "not in the index of the store".to_string();
        for location in &found {
            match self.read_at(location, id) {
                Ok(()) => return Ok(&self.plain),
                Err(e) => error = e,
            }
        }
        Err(error)
    }

    fn read_at(&mut self, location: &Location, id: &ContentId) -> Result<(), String> {
        let name = pack_key(location.pack_kind, location.pack);
        let key = self.key_of(location, false)?;
        if let Err(error) = self.open_at(&key, &name, location, id) {
            // The header may be the damaged part: its end repeats it.
            let key = self.key_of(location, true).map_err(|_| error.clone())?;
            self.open_at(&key, &name, location, id).map_err(|_| error)?;
        }
        Ok(())
    }

    /// The pack's key, from its header or from the copy at its end.
    fn key_of(&mut self, location: &Location, from_end: bool) -> Result<Arc<PackKey>, String> {
        let (storage, ring) = (&*self.store.storage, &*self.store.ring);
        let (kind, id) = (location.pack_kind, location.pack);
        if let Some(key) = self.keys.get(&id).filter(|_| !from_end) {
            return Ok(key.clone());
        }
        let len =
            self.catalogue.packs.get(&(kind, id)).and_then(|pack| pack.stored_len).ok_or("the pack is missing")?;
        let key = match open_pack(storage, ring, kind, id) {
            Ok((_, _, key)) if !from_end => key,
            _ => read_table_of(storage, ring, kind, id, len).map_err(|e| e.to_string())?.3,
        };
        if self.keys.len() >= KEYS_MAX {
            self.keys.clear();
        }
        let key = Arc::new(key);
        self.keys.insert(id, key.clone());
        Ok(key)
    }

    fn open_at(&mut self, key: &PackKey, name: &StorageKey, location: &Location, id: &ContentId) -> Result<(), String> {
        let (storage, ring) = (&*self.store.storage, &*self.store.ring);
        self.sealed.resize(location.blob_len as usize, 0);
        let offset = location.blob_offset;
        storage.get_range(name, u64::from(offset), &mut self.sealed).map_err(|e| e.to_string())?;
        let object = || format!("{} at {offset}", name.path());
        let (sealed, plain) = (&mut self.sealed, &mut self.plain);
        open_blob(key, location.blob_kind, offset, sealed, &mut self.decompressor, plain, &object)
            .map_err(|e| e.to_string())?;
        let keys = &ring.keys;
        let id_key = if location.blob_kind == BlobKind::Node { &keys.node_id } else { &keys.list_id };
        if content_id(id_key, plain) == *id { Ok(()) } else { Err(format!("{}: not the content of its id", object())) }
    }
}
