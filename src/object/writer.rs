//! Packs written one blob at a time: for trees and lists, and wherever no pipeline is needed.
//!
//! The pipeline does the same in stages and shares two of the steps: [`PackStream`] copies sealed bytes into blocks and
//! keeps the running hash, [`PackFile`] adds the storage writer that the blocks go to.

use super::layout::PackLayout;
use super::reader::pack_key;
use super::{Keyring, ObjectError, pack_secret};
use crate::base::id::{ContentId, ObjectId, SessionId};
use crate::base::limits::{BLOB_PLAIN_BYTES_MAX, KIB};
use crate::codec::{Compression, Compressor, compress_bound};
use crate::crypto::hash::ObjectHasher;
use crate::crypto::keys::random_bytes;
use crate::crypto::pack::{NonceInput, PackKey};
use crate::format::blob::{BlobKind, HEADER_LEN_MIN, NONCE_TAIL_LEN, TAG_LEN, encode_header};
use crate::format::pack::{Member, PackHeader, PackKind, PackTable, TableBlob};
use crate::storage::{Area, Block, BlockPool, Storage, StorageKey, StorageWriter};
use std::sync::Arc;

/// A pack that is durable: proof for the commit.
#[derive(Debug, Clone)]
pub struct StoredPack {
    /// Its name.
    pub id: ObjectId,
    /// Its area.
    pub kind: PackKind,
    /// Its length.
    pub len: u32,
    /// Length of its header.
    pub header_len: u32,
    /// What it holds.
    pub table: PackTable,
}

/// How much of a block is hashed at once: enough for the hash to use the processor's lanes, little enough to be still in
/// its cache.
const HASH_STEP: usize = 128 * KIB;

/// Bytes of an object on their way into blocks, with the hash that becomes its name.
#[derive(Default)]
pub struct PackStream {
    hasher: ObjectHasher,
    block: Option<Block>,
    /// Bytes of the block that the hash has seen.
    hashed: usize,
    len: u64,
}

impl PackStream {
    /// Copies bytes; each block that is full goes to `full`. Waits while the pool has no free block.
    pub fn push<E>(
        &mut self,
        mut bytes: &[u8],
        pool: &BlockPool,
        full: &mut dyn FnMut(Block) -> Result<(), E>,
    ) -> Result<(), E> {
        self.len += bytes.len() as u64;
        while !bytes.is_empty() {
            let mut block = self.block.take().unwrap_or_else(|| pool.take());
            bytes = &bytes[block.fill(bytes)..];
            let is_full = block.len() == block.capacity();
            let until = if is_full { block.len() } else { block.len() - block.len() % HASH_STEP };
            if until > self.hashed {
                self.hasher.update(&block.bytes()[self.hashed..until]);
                self.hashed = until;
            }
            if is_full {
                self.hashed = 0;
                full(block)?;
            } else {
                self.block = Some(block);
            }
        }
        Ok(())
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Nothing pushed yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The object's name and length, and its last block, if any is begun. The stream is as new.
    pub fn finish(&mut self) -> (ObjectId, u64, Option<Block>) {
        let PackStream { mut hasher, block, hashed, len } = std::mem::take(self);
        if let Some(block) = &block {
            hasher.update(&block.bytes()[hashed..]);
        }
        (hasher.finish(), len, block)
    }
}

/// An object being written whose name is the hash of its bytes. Dropped before `finish`, it leaves nothing behind.
pub struct PackFile {
    writer: Option<Box<dyn StorageWriter>>,
    stream: PackStream,
    pool: BlockPool,
}

impl PackFile {
    /// Begins an object of an area.
    pub fn create(storage: &dyn Storage, area: Area, pool: BlockPool) -> Result<PackFile, ObjectError> {
        Ok(PackFile { writer: Some(storage.writer(area)?), stream: PackStream::default(), pool })
    }

    /// Appends bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ObjectError> {
        let writer = self.writer.as_mut();
        let Some(writer) = writer else { unreachable!("only finish takes the writer, and it takes the file too") };
        let pool = self.pool.clone();
        self.stream.push(bytes, &self.pool, &mut |mut block| {
            writer.append(&mut block)?;
            pool.give(block);
            Ok(())
        })
    }

    /// Makes it durable under the key that `name` makes of its id. Gives its id and length.
    pub fn finish(mut self, name: impl FnOnce(ObjectId) -> StorageKey) -> Result<(ObjectId, u64), ObjectError> {
        let Some(mut writer) = self.writer.take() else { unreachable!("only finish takes the writer") };
        let (id, len, last) = self.stream.finish();
        let written = match last {
            Some(mut block) => {
                let written = writer.append(&mut block);
                self.pool.give(block);
                written
            }
            None => Ok(()),
        };
        match written {
            // One that exists under the hash of its bytes has these bytes.
            Ok(()) => writer.commit(&name(id))?,
            Err(error) => {
                writer.abort();
                return Err(error.into());
            }
        };
        Ok((id, len))
    }
}

impl Drop for PackFile {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.abort();
        }
        if let (_, _, Some(block)) = self.stream.finish() {
            self.pool.give(block);
        }
    }
}

/// A new pack of a session: its layout and its key. The salt makes the key its own.
pub fn begin_pack(ring: &Keyring, kind: PackKind, session: SessionId, pack_bytes: u32) -> (PackLayout, PackKey) {
    let epoch = ring.newest();
    let key_block = random_bytes::<32>().to_vec();
    let header = PackHeader { store: ring.store, epoch: epoch.number, kind, session, key_block };
    let layout = PackLayout::new(&header, pack_bytes);
    let key = PackKey::new(pack_secret(epoch, kind), layout.header_bytes());
    (layout, key)
}

struct OpenPack {
    layout: PackLayout,
    key: PackKey,
    file: PackFile,
}

/// Compresses, seals, places and appends blobs; starts a new pack when one is full.
pub struct PackWriter {
    storage: Arc<dyn Storage>,
    ring: Arc<Keyring>,
    kind: PackKind,
    session: SessionId,
    pack_bytes: u32,
    compression: Compression,
    compressor: Compressor,
    pool: BlockPool,
    open: Option<OpenPack>,
    stored: Vec<StoredPack>,
    scratch: Vec<u8>,
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
            ring: keyring,
            kind,
            session,
            pack_bytes,
            compression,
            compressor: Compressor::default(),
            pool: blocks,
            open: None,
            stored: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Appends one node, list or chunk under its id. After an error the writer is of no more use: dropping it removes
    /// what was not finished.
    pub fn append(&mut self, kind: BlobKind, id: ContentId, plain: &[u8]) -> Result<(), ObjectError> {
        if plain.is_empty() || plain.len() > BLOB_PLAIN_BYTES_MAX {
            return Err(ObjectError::TooLong { object: format!("{kind:?} {id}"), len: plain.len() });
        }
        const INSIDE: usize = NONCE_TAIL_LEN + HEADER_LEN_MIN;
        let plain_len = plain.len() as u32;
        let room = INSIDE + compress_bound(plain.len()) + TAG_LEN;
        if self.scratch.len() < room {
            self.scratch.resize(room, 0);
        }
        let (codec, payload_len) = self.compressor.compress(self.compression, plain, &mut self.scratch[INSIDE..]);
        encode_header(codec, plain_len, &[], &mut self.scratch[NONCE_TAIL_LEN..INSIDE]);
        let sealed_len = INSIDE + payload_len + TAG_LEN;
        let row = TableBlob { kind, sealed_len: sealed_len as u32, members: vec![Member { id, len: plain_len }] };
        if self.open.as_ref().is_some_and(|open| !open.layout.is_empty() && !open.layout.fits(&row)) {
            self.close(true)?;
        }
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let (layout, key) = begin_pack(&self.ring, self.kind, self.session, self.pack_bytes);
                let mut file = PackFile::create(&*self.storage, pack_area(self.kind), self.pool.clone())?;
                file.push(layout.header_bytes())?;
                self.open.insert(OpenPack { layout, key, file })
            }
        };
        let offset = open.layout.place(row);
        let sealed = &mut self.scratch[..sealed_len];
        open.key.seal(kind, offset, NonceInput::Ids { codec: codec as u8, plain_len, ids: id.as_bytes() }, sealed);
        open.file.push(sealed)
    }

    fn close(&mut self, full: bool) -> Result<(), ObjectError> {
        let Some(OpenPack { layout, key, mut file }) = self.open.take() else { return Ok(()) };
        let header_len = layout.header_bytes().len() as u32;
        let closed = layout.close(&key, full);
        file.push(&closed.tail)?;
        let kind = self.kind;
        let (id, len) = file.finish(|id| pack_key(kind, id))?;
        debug_assert_eq!(len, u64::from(closed.len));
        self.stored.push(StoredPack { id, kind, len: closed.len, header_len, table: closed.table });
        Ok(())
    }

    /// Packs that became durable since the last call.
    pub fn take_stored(&mut self) -> Vec<StoredPack> {
        std::mem::take(&mut self.stored)
    }

    /// Closes the open pack and gives all packs not taken yet.
    pub fn finish(mut self) -> Result<Vec<StoredPack>, ObjectError> {
        self.close(false)?;
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
    use crate::object::reader::{open_blob, open_pack, read_table};
    use crate::object::tests::ring;
    use crate::storage::MemoryStorage;
    use proptest::prelude::*;

    const SESSION: SessionId = SessionId([8; 16]);

    fn writer(storage: &Arc<MemoryStorage>, pack_bytes: u32, blocks: &BlockPool) -> PackWriter {
        let storage: Arc<dyn Storage> = storage.clone();
        let compression = Compression::Lz4;
        PackWriter::new(storage, Arc::new(ring()), PackKind::Tree, SESSION, pack_bytes, compression, blocks.clone())
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

        #[test]
        fn a_stream_is_named_by_the_hash_of_its_bytes_however_it_is_cut(
            pieces in prop::collection::vec(0usize..300_000, 0..12), blocks in 1usize..80,
        ) {
            let pool = BlockPool::new(1, blocks * BLOCK_ALIGN);
            let (mut stream, mut expected, mut written) = (PackStream::default(), Vec::new(), Vec::new());
            for (i, len) in pieces.into_iter().enumerate() {
                let piece = vec![i as u8; len];
                expected.extend_from_slice(&piece);
                stream.push(&piece, &pool, &mut |block| { written.extend_from_slice(block.bytes()); Ok::<_, ()>(()) }).unwrap();
            }
            let (id, len, last) = stream.finish();
            written.extend_from_slice(last.as_ref().map_or(&[], |block| block.bytes()));
            prop_assert_eq!((id, len), (object_id(&expected), expected.len() as u64));
            prop_assert!(written == expected && stream.is_empty());
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
    fn what_cannot_be_a_blob_is_refused() {
        let storage = Arc::new(MemoryStorage::default());
        let mut writer = writer(&storage, 1 << 20, &BlockPool::new(1, BLOCK_ALIGN));
        for plain in [vec![], vec![0; BLOB_PLAIN_BYTES_MAX + 1]] {
            let refused = writer.append(BlobKind::Node, ContentId([1; 32]), &plain);
            assert!(matches!(refused, Err(ObjectError::TooLong { .. })));
        }
    }
}
