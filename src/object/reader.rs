//! Reading packs: header, table, blobs. Every read verifies: seal, exact length, then the id again.

use super::{Keyring, ObjectError, pack_secret};
use crate::base::id::ObjectId;
use crate::base::limits::RESTORE_READ_BYTES;
use crate::codec::Decompressor;
use crate::crypto::hash::ObjectHasher;
use crate::crypto::pack::PackKey;
use crate::format::blob::{BlobHeader, BlobKind, SEALED_LEN_MIN};
use crate::format::error::{DecodeError, Reason};
use crate::format::pack::{PackHeader, PackKind, PackTable, PackTrailer, TablePointer};
use crate::storage::{Storage, StorageKey};

/// Bytes that are read to find a header of today's size (81 bytes): every pack is longer.
const HEADER_GUESS: usize = 128;

/// A pack's storage key.
pub fn pack_key(kind: PackKind, id: ObjectId) -> StorageKey {
    match kind {
        PackKind::Data => StorageKey::Pack(id),
        PackKind::Tree => StorageKey::Tree(id),
    }
}

/// The hash of an object's bytes, read piece by piece into `piece`. `each` is given every piece and where it begins.
pub fn hash_object(
    storage: &dyn Storage,
    key: &StorageKey,
    len: u64,
    piece: &mut Vec<u8>,
    mut each: impl FnMut(u64, &[u8]) -> Result<(), DecodeError>,
) -> Result<ObjectId, ObjectError> {
    let mut hasher = ObjectHasher::default();
    let mut at = 0;
    while at < len {
        piece.resize((len - at).min(RESTORE_READ_BYTES as u64) as usize, 0);
        storage.get_range(key, at, piece)?;
        hasher.update(piece);
        each(at, piece).map_err(|source| ObjectError::Decode { object: key.path(), source })?;
        at += piece.len() as u64;
    }
    Ok(hasher.finish())
}

/// A pack's header at the start of `bytes` (which may go on), its length, and the pack's key. `object` names it in errors.
/// That the header is the right one shows when a blob opens.
pub fn open_header(
    ring: &Keyring,
    kind: PackKind,
    bytes: &[u8],
    object: &dyn Fn() -> String,
) -> Result<(PackHeader, u32, PackKey), ObjectError> {
    let decoded = PackHeader::decode(bytes);
    let (header, len) = decoded.map_err(|source| ObjectError::Decode { object: object(), source })?;
    if header.store != ring.store || header.kind != kind {
        return Err(ObjectError::Mismatch { object: object() });
    }
    let secret = pack_secret(ring.epoch(header.epoch, object)?, kind);
    Ok((header, len as u32, PackKey::new(secret, &bytes[..len])))
}

/// Reads a pack's header and derives its key.
pub fn open_pack(
    storage: &dyn Storage,
    ring: &Keyring,
    kind: PackKind,
    id: ObjectId,
) -> Result<(PackHeader, u32, PackKey), ObjectError> {
    let key = pack_key(kind, id);
    let object = || key.path();
    let mut bytes = vec![0; HEADER_GUESS];
    storage.get_range(&key, 0, &mut bytes)?;
    match open_header(ring, kind, &bytes, &object) {
        Err(ObjectError::Decode { source: DecodeError { reason: Reason::Truncated, .. }, .. }) => {
            let len = storage.head(&key)?.len.min(PackHeader::LEN_MAX as u64);
            bytes.resize(len as usize, 0);
            storage.get_range(&key, 0, &mut bytes)?;
            open_header(ring, kind, &bytes, &object)
        }
        other => other,
    }
}

/// Reads a pack's table of contents through its trailer: (header, header length, pack length, table). The header is the
/// trailer's copy of it.
#[cfg(any(test, feature = "internals"))]
pub fn read_table(
    storage: &dyn Storage,
    ring: &Keyring,
    kind: PackKind,
    id: ObjectId,
) -> Result<(PackHeader, u32, u32, PackTable), ObjectError> {
    let len = storage.head(&pack_key(kind, id))?.len;
    let (header, header_len, table, _) = read_table_of(storage, ring, kind, id, len)?;
    Ok((header, header_len, len as u32, table))
}

/// As [`read_table`] for a pack whose length is known from a listing; gives header, its length, table and the pack's key.
pub fn read_table_of(
    storage: &dyn Storage,
    ring: &Keyring,
    kind: PackKind,
    id: ObjectId,
    pack_len: u64,
) -> Result<(PackHeader, u32, PackTable, PackKey), ObjectError> {
    let key = pack_key(kind, id);
    let object = || format!("table of {key}");
    let decode = |source| ObjectError::Decode { object: object(), source };
    let mismatch = || ObjectError::Mismatch { object: object() };
    if pack_len > u64::from(u32::MAX) {
        return Err(mismatch());
    }
    let mut end = vec![0; pack_len.min((HEADER_GUESS + PackTrailer::TAIL_LEN) as u64) as usize];
    storage.get_range(&key, pack_len - end.len() as u64, &mut end)?;
    let mut trailer = PackTrailer::decode(&end);
    if matches!(&trailer, Err(e) if e.reason == Reason::Truncated) {
        end.resize(pack_len.min(PackTrailer::len(PackHeader::LEN_MAX) as u64) as usize, 0);
        storage.get_range(&key, pack_len - end.len() as u64, &mut end)?;
        trailer = PackTrailer::decode(&end);
    }
    let mut trailer = trailer.map_err(decode)?;
    let (header, header_len, pack) = open_header(ring, kind, &trailer.header, &object)?;
    let pointer_at = (pack_len - PackTrailer::TAIL_LEN as u64) as u32;
    let pointer = pack.open(BlobKind::Trailer, pointer_at, &mut trailer.pointer);
    let pointer = pointer.map_err(|source| ObjectError::Crypto { object: object(), source })?;
    let pointer = TablePointer::decode(pointer).map_err(decode)?;
    let table_end = u64::from(pointer.offset) + u64::from(pointer.length);
    if table_end + PackTrailer::len(trailer.header.len()) as u64 != pack_len {
        return Err(mismatch());
    }
    let mut sealed = vec![0; pointer.length as usize];
    storage.get_range(&key, u64::from(pointer.offset), &mut sealed)?;
    let mut plain = Vec::new();
    let kind = BlobKind::Table;
    open_blob(&pack, kind, pointer.offset, &mut sealed, &mut Decompressor::default(), &mut plain, &object)?;
    let table = PackTable::decode(&plain).map_err(decode)?;
    let blobs: u64 = table.blobs.iter().map(|blob| u64::from(blob.sealed_len)).sum();
    if u64::from(header_len) + blobs + SEALED_LEN_MIN as u64 > u64::from(pointer.offset) {
        return Err(mismatch());
    }
    Ok((header, header_len, table, pack))
}

/// Opens and decompresses one sealed blob that lies in `sealed` (changed in place) into `plain` (what it held is written
/// over). `object` names it in errors.
pub fn open_blob(
    key: &PackKey,
    kind: BlobKind,
    offset: u32,
    sealed: &mut [u8],
    decompressor: &mut Decompressor,
    plain: &mut Vec<u8>,
    object: &dyn Fn() -> String,
) -> Result<BlobHeader, ObjectError> {
    let inside = key.open(kind, offset, sealed);
    let inside = inside.map_err(|source| ObjectError::Crypto { object: object(), source })?;
    let decoded = BlobHeader::decode(inside);
    let (header, payload) = decoded.map_err(|source| ObjectError::Decode { object: object(), source })?;
    // Not cleared first: only what it grows by is filled with zeros.
    plain.resize(header.plain_len as usize, 0);
    let done = decompressor.decompress(header.codec, payload, plain);
    done.map_err(|source| ObjectError::Codec { object: object(), source })?;
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::{ContentId, SessionId};
    use crate::base::limits::BLOCK_ALIGN;
    use crate::codec::Compression;
    use crate::crypto::hash::object_id;
    use crate::object::tests::ring;
    use crate::object::writer::{PackWriter, StoredPack};
    use crate::storage::{BlockPool, MemoryStorage};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn pack(storage: &Arc<MemoryStorage>) -> StoredPack {
        let session = SessionId([8; 16]);
        let blocks = BlockPool::new(1, BLOCK_ALIGN);
        let (kind, how) = (PackKind::Data, Compression::None);
        let mut writer = PackWriter::new(storage.clone(), Arc::new(ring()), kind, session, 4096, how, blocks);
        for n in 0..3u8 {
            writer.append(BlobKind::Chunks, ContentId([n; 32]), &[n; 50]).unwrap();
        }
        writer.finish().unwrap().remove(0)
    }

    proptest! {
        #[test]
        fn a_changed_byte_never_gives_another_table_nor_another_blob(at: prop::sample::Index, bit in 0u8..8) {
            let storage = Arc::new(MemoryStorage::default());
            let stored = pack(&storage);
            let mut bytes = storage.get(&StorageKey::Pack(stored.id), usize::MAX).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let id = object_id(&bytes);
            storage.put_if_absent(&StorageKey::Pack(id), &bytes).unwrap();
            let ring = ring();
            match read_table(&*storage, &ring, PackKind::Data, id) {
                Ok((_, header_len, len, table)) => {
                    prop_assert_eq!((header_len, len, table), (stored.header_len, stored.len, stored.table.clone()));
                }
                Err(error) => prop_assert!(error.is_damage()),
            }
            let mut offset = stored.header_len;
            for (n, blob) in stored.table.blobs.iter().enumerate() {
                let mut sealed = bytes[offset as usize..][..blob.sealed_len as usize].to_vec();
                let mut plain = Vec::new();
                let opened = open_pack(&*storage, &ring, PackKind::Data, id).and_then(|(_, _, key)| {
                    open_blob(&key, blob.kind, offset, &mut sealed, &mut Decompressor::default(), &mut plain, &String::new)
                });
                let hit = at < stored.header_len as usize || (offset as usize..(offset + blob.sealed_len) as usize).contains(&at);
                prop_assert_eq!(opened.is_err(), hit);
                prop_assert!(hit || plain == [n as u8; 50]);
                offset += blob.sealed_len;
            }
        }

        #[test]
        fn a_pack_cut_short_is_damage(len in 0usize..1000) {
            let storage = Arc::new(MemoryStorage::default());
            let stored = pack(&storage);
            let bytes = storage.get(&StorageKey::Pack(stored.id), usize::MAX).unwrap();
            let id = ObjectId([0xcc; 32]);
            storage.put_if_absent(&StorageKey::Pack(id), &bytes[..len.min(bytes.len() - 1)]).unwrap();
            prop_assert!(read_table(&*storage, &ring(), PackKind::Data, id).is_err_and(|e| e.is_damage()));
        }
    }

    #[test]
    fn a_pack_of_the_other_kind_or_one_that_is_not_there_is_refused() {
        let storage = Arc::new(MemoryStorage::default());
        let stored = pack(&storage);
        let bytes = storage.get(&StorageKey::Pack(stored.id), usize::MAX).unwrap();
        storage.put_if_absent(&StorageKey::Tree(stored.id), &bytes).unwrap();
        for (kind, id) in [(PackKind::Tree, stored.id), (PackKind::Data, ObjectId([1; 32]))] {
            assert!(open_pack(&*storage, &ring(), kind, id).is_err_and(|e| e.is_damage()));
            assert!(read_table(&*storage, &ring(), kind, id).is_err_and(|e| e.is_damage()));
        }
    }
}
