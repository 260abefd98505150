//! Writes packs one blob at a time, for trees, for lists, and wherever no pipeline is needed. It takes the steps of
//! [`super::pack`] one after the other.

use super::pack::{Inside, Placer, lay_out};
use super::stream::PackFile;
use super::{Keyring, ObjectError};
use crate::base::id::{ContentId, ObjectId, SessionId};
use crate::base::limits::BLOB_PLAIN_BYTES_MAX;
use crate::codec::{Compression, Compressor};
use crate::format::blob::{BlobHeader, BlobKind, NONCE_TAIL_LEN, TAG_LEN};
use crate::format::pack::{Member, PackKind, PackTable, TableBlob};
use crate::storage::{Area, BlockPool, Storage};
use std::sync::Arc;

/// A pack that is durable: proof for the commit.
#[derive(Debug, Clone)]
pub struct StoredPack {
    pub id: ObjectId,
    pub kind: PackKind,
    pub len: u32,
    /// Length of its header.
    pub header_len: u32,
    /// What it holds.
    pub table: PackTable,
}

/// Appends blobs to packs; starts a new pack when one is full.
pub struct PackWriter {
    storage: Arc<dyn Storage>,
    kind: PackKind,
    placer: Placer,
    /// The pack that the placer has open.
    file: Option<PackFile>,
    compression: Compression,
    compressor: Compressor,
    pool: BlockPool,
    stored: Vec<StoredPack>,
    scratch: Vec<u8>,
    ids: Vec<u8>,
}

impl PackWriter {
    /// A writer of packs of one kind for one session. Nothing is created before the first blob. It holds one block of
    /// `blocks` from one call to the next.
    pub fn new(
        storage: Arc<dyn Storage>,
        keyring: Arc<Keyring>,
        kind: PackKind,
        session: SessionId,
        pack_bytes: u32,
        compression: Compression,
        blocks: BlockPool,
    ) -> PackWriter {
        PackWriter {
            storage,
            kind,
            placer: Placer::new(keyring, kind, session, pack_bytes),
            file: None,
            compression,
            compressor: Compressor::default(),
            pool: blocks,
            stored: Vec::new(),
            scratch: Vec::new(),
            ids: Vec::new(),
        }
    }

    /// Appends one node, list or chunk under its id. After an error the packs that are not stored yet are given up: what
    /// was appended since is lost.
    pub fn append(&mut self, kind: BlobKind, id: ContentId, plain: &[u8]) -> Result<(), ObjectError> {
        if plain.is_empty() || plain.len() > BLOB_PLAIN_BYTES_MAX {
            return Err(ObjectError::TooLong { object: format!("{kind:?} {id}"), len: plain.len() });
        }
        let (inside, sealed_len) = lay_out(&mut self.compressor, self.compression, plain, &[], &mut self.scratch, 0);
        let members = vec![Member { id, len: plain.len() as u32 }];
        self.push(TableBlob { kind, sealed_len, members }, inside)
    }

    /// Appends a blob that was opened: its inside, still compressed, as `PackKey::open` gives it, with what its pack's table
    /// says of it. So content moves from one pack to another.
    #[cfg_attr(not(any(test, feature = "internals")), allow(dead_code))]
    pub fn append_inside(&mut self, kind: BlobKind, members: Vec<Member>, opened: &[u8]) -> Result<(), ObjectError> {
        let object = || format!("{kind:?} to be moved");
        let decoded = BlobHeader::decode(opened);
        let (header, _) = decoded.map_err(|source| ObjectError::Decode { object: object(), source })?;
        let plain_len = header.plain_len;
        let lens = || members.iter().map(|member| member.len);
        let same = match header.members.len() {
            0 => members.len() == 1 && lens().eq([plain_len]),
            _ => lens().eq(header.members.iter().copied()),
        };
        if !same {
            return Err(ObjectError::Mismatch { object: object() });
        }
        let end = NONCE_TAIL_LEN + opened.len();
        if self.scratch.len() < end + TAG_LEN {
            self.scratch.resize(end + TAG_LEN, 0);
        }
        self.scratch[NONCE_TAIL_LEN..end].copy_from_slice(opened);
        let inside = Inside { codec: header.codec as u8, plain_len };
        self.push(TableBlob { kind, sealed_len: (end + TAG_LEN) as u32, members }, inside)
    }

    /// Places, seals and appends what lies in `scratch`.
    fn push(&mut self, row: TableBlob, inside: Inside) -> Result<(), ObjectError> {
        let pushed = self.try_push(row, inside);
        if pushed.is_err() {
            // What the placer says of the open pack is not true of its bytes any more.
            self.file = None;
            drop(self.placer.finish());
        }
        pushed
    }

    fn try_push(&mut self, row: TableBlob, inside: Inside) -> Result<(), ObjectError> {
        let (kind, sealed_len) = (row.kind, row.sealed_len as usize);
        self.ids.clear();
        self.ids.extend(row.members.iter().flat_map(|member| member.id.0));
        let place = self.placer.place(row);
        let sealed = &mut self.scratch[..sealed_len];
        place.pack.seal(kind, place.offset, inside, &self.ids, sealed);
        if let Some((_, closed)) = place.before
            && let Some(file) = self.file.take()
        {
            self.stored.push(file.finish_pack(closed)?);
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(PackFile::pack(&*self.storage, self.kind, place.pack.header(), self.pool.clone())?),
        };
        file.push(sealed)
    }

    /// Packs that became durable since the last call.
    pub fn take_stored(&mut self) -> Vec<StoredPack> {
        std::mem::take(&mut self.stored)
    }

    /// Closes the open pack before it is full, so that all of it can be read.
    pub fn close_open(&mut self) -> Result<(), ObjectError> {
        if let (Some((_, closed)), Some(file)) = (self.placer.finish(), self.file.take()) {
            self.stored.push(file.finish_pack(closed)?);
        }
        Ok(())
    }

    /// Closes the open pack and gives all packs not taken yet.
    pub fn finish(mut self) -> Result<Vec<StoredPack>, ObjectError> {
        self.close_open()?;
        Ok(self.take_stored())
    }
}

/// The area that packs of a kind lie in.
pub fn pack_area(kind: PackKind) -> Area {
    match kind {
        PackKind::Data => Area::Packs,
        PackKind::Tree => Area::Trees,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::BLOCK_ALIGN;
    use crate::crypto::hash::object_id;
    use crate::object::reader::{open_blob, open_pack, pack_key, read_table};
    use crate::object::tests::ring;
    use crate::storage::MemoryStorage;
    use crate::storage::layer::{Fault, FaultStorage, Plan};
    use proptest::prelude::*;

    const SESSION: SessionId = SessionId([8; 16]);

    fn writer(storage: &Arc<impl Storage + 'static>, pack_bytes: u32, blocks: &BlockPool) -> PackWriter {
        let storage: Arc<dyn Storage> = storage.clone();
        let compression = Compression::Lz4;
        PackWriter::new(storage, Arc::new(ring()), PackKind::Tree, SESSION, pack_bytes, compression, blocks.clone())
    }

    fn noise(len: usize, seed: u64) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }

    /// Opens every blob of a pack through its table and compares ids.
    fn check_pack(storage: &MemoryStorage, pack: &StoredPack) -> usize {
        let ring = ring();
        let key = pack_key(pack.kind, pack.id);
        let bytes = storage.get(&key, usize::MAX).unwrap();
        assert_eq!((object_id(&bytes), bytes.len()), (pack.id, pack.len as usize));
        let (header, header_len, len, table) = read_table(storage, &ring, pack.kind, pack.id).unwrap();
        assert_eq!((header.session, header_len, len), (SESSION, pack.header_len, pack.len));
        assert_eq!(table, pack.table);
        let (_, _, secret) = open_pack(storage, &ring, pack.kind, pack.id).unwrap();
        let mut at = header_len;
        for blob in &table.blobs {
            let mut sealed = bytes[at as usize..][..blob.sealed_len as usize].to_vec();
            let mut plain = vec![1; 7];
            let mut codec = crate::codec::Decompressor::default();
            open_blob(&secret, blob.kind, at, &mut sealed, &mut codec, &mut plain, &|| key.path()).unwrap();
            assert_eq!(ring.id_of(blob.kind, &plain), blob.members[0].id);
            assert_eq!(plain.len(), blob.members[0].len as usize);
            at += blob.sealed_len;
        }
        table.blobs.len()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_is_appended_lies_in_packs_that_read_back(
            blobs in prop::collection::vec((1usize..20_000, any::<u8>(), any::<bool>()), 1..40),
        ) {
            let storage = Arc::new(MemoryStorage::default());
            let blocks = BlockPool::new(1, BLOCK_ALIGN);
            let mut writer = writer(&storage, 32 << 10, &blocks);
            let mut packs = Vec::new();
            for &(len, byte, noisy) in &blobs {
                let noise = |i: usize| blake3::hash(&i.to_le_bytes()).as_bytes()[0];
                let plain: Vec<u8> = (0..len).map(|i| if noisy { noise(i) } else { byte }).collect();
                writer.append(BlobKind::Node, ring().id_of(BlobKind::Node, &plain), &plain).unwrap();
                packs.extend(writer.take_stored());
            }
            prop_assert!(packs.iter().all(|pack| pack.len == 32 << 10), "a pack that was followed by another is full");
            packs.extend(writer.finish().unwrap());
            prop_assert_eq!(packs.iter().map(|pack| check_pack(&storage, pack)).sum::<usize>(), blobs.len());
        }
    }

    #[test]
    fn nothing_is_created_before_the_first_blob_and_nothing_stays_of_a_dropped_pack() {
        let storage = Arc::new(MemoryStorage::default());
        let blocks = BlockPool::new(1, BLOCK_ALIGN);
        assert!(writer(&storage, 1 << 20, &blocks).finish().unwrap().is_empty());
        let mut dropped = writer(&storage, 1 << 20, &blocks);
        dropped.append(BlobKind::Node, ContentId([1; 32]), &[7; 100]).unwrap();
        drop(dropped);
        storage.list(Area::Trees, &mut |found| panic!("{found:?}")).unwrap();
        assert!(blocks.try_take().is_some(), "its block came back");
    }

    #[test]
    fn what_is_opened_moves_into_another_pack_as_it_is() {
        let storage = Arc::new(MemoryStorage::default());
        let blocks = BlockPool::new(1, BLOCK_ALIGN);
        let mut first = writer(&storage, 1 << 20, &blocks);
        let plains = [noise(5000, 1), vec![7; 9000], noise(10, 2)];
        for plain in &plains {
            first.append(BlobKind::Node, ring().id_of(BlobKind::Node, plain), plain).unwrap();
        }
        let old = first.finish().unwrap().remove(0);
        let bytes = storage.get(&pack_key(old.kind, old.id), usize::MAX).unwrap();
        let (_, mut at, key) = open_pack(&*storage, &ring(), old.kind, old.id).unwrap();
        let mut second = writer(&storage, 1 << 20, &blocks);
        // Behind something else, so that nothing keeps its offset.
        second.append(BlobKind::Node, ring().id_of(BlobKind::Node, b"x"), b"x").unwrap();
        for blob in &old.table.blobs {
            let mut sealed = bytes[at as usize..][..blob.sealed_len as usize].to_vec();
            let inside = key.open(blob.kind, at, &mut sealed).unwrap();
            second.append_inside(blob.kind, blob.members.clone(), inside).unwrap();
            let longer = vec![Member { len: blob.members[0].len + 1, ..blob.members[0] }];
            for wrong in [longer, vec![], [&blob.members[..], &blob.members[..]].concat()] {
                let refused = second.append_inside(blob.kind, wrong, inside);
                assert!(matches!(refused, Err(ObjectError::Mismatch { .. })));
            }
            at += blob.sealed_len;
        }
        let new = second.finish().unwrap().remove(0);
        assert_eq!((new.table.blobs[1..].to_vec(), check_pack(&storage, &new)), (old.table.blobs, 4));
    }

    #[test]
    fn whatever_fails_what_is_said_to_be_stored_afterwards_reads_back() {
        let count = Arc::new(FaultStorage::new(Arc::new(MemoryStorage::default()), None));
        let run = |storage: &Arc<FaultStorage>| {
            let mut writer = writer(storage, 16 << 10, &BlockPool::new(1, BLOCK_ALIGN));
            let (mut packs, mut failed) = (Vec::new(), 0);
            for n in 0..40 {
                let plain = noise(1500, n);
                failed +=
                    usize::from(writer.append(BlobKind::Node, ring().id_of(BlobKind::Node, &plain), &plain).is_err());
                packs.extend(writer.take_stored());
            }
            match writer.finish() {
                Ok(last) => packs.extend(last),
                Err(_) => failed += 1,
            }
            (packs, failed)
        };
        assert!(run(&count).1 == 0 && count.operations() > 10);
        for (at, fault) in (0..count.operations()).flat_map(|at| Fault::WRITES.map(|fault| (at, fault))) {
            let memory = Arc::new(MemoryStorage::default());
            let (packs, failed) = run(&Arc::new(FaultStorage::new(memory.clone(), Some(Plan::at(at, fault)))));
            let blobs: usize = packs.iter().map(|pack| check_pack(&memory, pack)).sum();
            assert!(if failed == 0 { blobs == 40 } else { blobs < 40 }, "{fault:?} at {at}: {blobs}, {failed}");
        }
    }

    #[test]
    fn what_cannot_be_a_blob_is_refused() {
        let storage = Arc::new(MemoryStorage::default());
        let mut writer = writer(&storage, 1 << 20, &BlockPool::new(1, BLOCK_ALIGN));
        for plain in [vec![], vec![0; BLOB_PLAIN_BYTES_MAX + 1]] {
            let refused = writer.append(BlobKind::Node, ContentId([1; 32]), &plain);
            assert!(matches!(refused, Err(ObjectError::TooLong { .. })));
        }
    }
}
