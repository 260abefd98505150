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
