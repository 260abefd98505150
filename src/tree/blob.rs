//! One copy of a blob: read from its pack, opened, and compared with the id of what it should contain.
//!
//! [`BlobOpener`] opens sealed bytes, wherever they came from. [`BlobReader`] reads a single blob and opens it; reading by id
//! ([`super::reader`]) and checking a store use it. A restore reads ranges of packs with many blobs in them and opens them
//! here; what is wrong with one it lets [`super::reader`] judge.

use crate::base::id::{ContentId, ObjectId};
use crate::codec::Decompressor;
use crate::crypto::pack::PackKey;
use crate::format::blob::BlobKind;
use crate::format::pack::PackKind;
use crate::index::Location;
use crate::object::reader::{open_blob, open_header, open_pack, pack_key, read_table_of};
use crate::object::{Keyring, ObjectError};
use crate::storage::{Storage, StorageKey};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Keys of opened packs that are kept.
const PACK_KEYS_MAX: usize = 4096;

/// Which copy of a pack's header gives the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Header {
    AtBegin,
    AtEnd,
}

/// A range of a pack that was read.
pub struct PackRange<'a> {
    /// The pack's name.
    pub pack: StorageKey,
    /// The pack's key.
    pub key: &'a PackKey,
    /// Where the range begins in the pack.
    pub offset: u32,
    /// Its bytes; what is opened is changed in place.
    pub bytes: &'a mut [u8],
}

/// Opens sealed blobs, and keeps the room for one that is open.
#[derive(Default)]
pub struct BlobOpener {
    decompressor: Decompressor,
    plain: Vec<u8>,
}

impl BlobOpener {
    /// Opens the blob of so many bytes at this offset of the pack. The error says what is wrong with this copy.
    pub fn open(
        &mut self,
        range: &mut PackRange<'_>,
        kind: BlobKind,
        blob_offset: u32,
        blob_len: u32,
    ) -> Result<(), ObjectError> {
        let pack = range.pack;
        let object = || format!("{pack}, blob at {blob_offset}");
        let from = blob_offset.checked_sub(range.offset).map(|from| from as usize);
        let bytes = from.and_then(|from| range.bytes.get_mut(from..)?.get_mut(..blob_len as usize));
        let bytes = bytes.ok_or_else(|| ObjectError::Mismatch { object: object() })?;
        let (decompressor, plain) = (&mut self.decompressor, &mut self.plain);
        open_blob(range.key, kind, blob_offset, bytes, decompressor, plain, &object)?;
        Ok(())
    }

    /// The blob that was opened last.
    pub fn plain(&self) -> &[u8] {
        &self.plain
    }
}

/// Reads single copies of blobs.
pub struct BlobReader {
    storage: Arc<dyn Storage>,
    ring: Arc<Keyring>,
    keys: HashMap<ObjectId, Arc<PackKey>>,
    sealed: Vec<u8>,
    opener: BlobOpener,
}

impl BlobReader {
    pub fn new(storage: Arc<dyn Storage>, ring: Arc<Keyring>) -> BlobReader {
        BlobReader { storage, ring, keys: HashMap::new(), sealed: Vec::new(), opener: BlobOpener::default() }
    }

    /// Derives the pack's key anew when it is needed next.
    pub fn forget_key(&mut self, pack: &ObjectId) {
        self.keys.remove(pack);
    }

    /// Reads and opens the blob at `location` into `plain`. With `try_end`, the copy of the header at the end of the pack
    /// is tried when the one at its begin does not do.
    pub fn open(&mut self, location: &Location, try_end: bool, plain: &mut Vec<u8>) -> Result<(), ObjectError> {
        match self.open_with(location, Header::AtBegin, plain) {
            Err(error) if try_end && error.is_damage() => {
                self.open_with(location, Header::AtEnd, plain).map_err(|_| error)
            }
            other => other,
        }
    }

    /// The same, and whether the blob holds the content of `id`.
    pub fn verified(
        &mut self,
        location: &Location,
        id: &ContentId,
        try_end: bool,
        plain: &mut Vec<u8>,
    ) -> Result<(), ObjectError> {
        self.open(location, try_end, plain)?;
        if holds(&self.ring, location, plain, id) {
            return Ok(());
        }
        let pack = pack_key(location.pack_kind, location.pack);
        Err(ObjectError::Mismatch { object: format!("{} {id} in {pack}", word(location.blob_kind)) })
    }

    fn open_with(&mut self, location: &Location, header: Header, plain: &mut Vec<u8>) -> Result<(), ObjectError> {
        let Location { pack, pack_kind, blob_offset, blob_len, blob_kind, .. } = *location;
        let key = self.pack_key(location, header)?;
        let pack = pack_key(pack_kind, pack);
        self.sealed.resize(blob_len as usize, 0);
        self.storage.get_range(&pack, u64::from(blob_offset), &mut self.sealed)?;
        // The caller's room is written to, so that nothing is copied.
        std::mem::swap(plain, &mut self.opener.plain);
        let mut range = PackRange { pack, key: &key, offset: blob_offset, bytes: &mut self.sealed };
        let opened = self.opener.open(&mut range, blob_kind, blob_offset, blob_len);
        std::mem::swap(plain, &mut self.opener.plain);
        opened
    }

    fn pack_key(&mut self, location: &Location, header: Header) -> Result<Arc<PackKey>, ObjectError> {
        let (kind, pack) = (location.pack_kind, location.pack);
        if let Some(key) = self.keys.get(&pack).filter(|_| header == Header::AtBegin) {
            return Ok(key.clone());
        }
        if self.keys.len() >= PACK_KEYS_MAX {
            self.keys.clear();
        }
        let key = match header {
            Header::AtBegin => self.key_at_begin(kind, pack, location.pack_header_len)?,
            Header::AtEnd => {
                let len = self.storage.head(&pack_key(kind, pack))?.len;
                read_table_of(&*self.storage, &self.ring, kind, pack, len)?.3
            }
        };
        let key = Arc::new(key);
        self.keys.insert(pack, key.clone());
        Ok(key)
    }

    /// A pack's key from its header, whose length the index knows.
    fn key_at_begin(&self, kind: PackKind, id: ObjectId, header_len: u32) -> Result<PackKey, ObjectError> {
        let key = pack_key(kind, id);
        let mut header = vec![0; header_len as usize];
        self.storage.get_range(&key, 0, &mut header)?;
        match open_header(&self.ring, kind, &header, &|| key.path()) {
            Ok((_, len, secret)) if len == header_len => Ok(secret),
            Ok(_) => Ok(open_pack(&*self.storage, &self.ring, kind, id)?.2),
            Err(error) => Err(error),
        }
    }
}

/// Whether the opened blob has the content of `id` where `location` says.
pub fn holds(ring: &Keyring, location: &Location, plain: &[u8], id: &ContentId) -> bool {
    plain.get(inner(location)).is_some_and(|inside| ring.id_of(location.blob_kind, inside) == *id)
}

/// Where a chunk lies in its decompressed blob. What lies outside is found out when it is taken.
pub fn inner(location: &Location) -> Range<usize> {
    let start = location.inner_offset as usize;
    start..start + location.inner_len as usize
}

/// What a person calls it.
pub fn word(kind: BlobKind) -> &'static str {
    match kind {
        BlobKind::Node => "tree node",
        BlobKind::List => "content list",
        _ => "chunk",
    }
}
