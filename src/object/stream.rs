//! Writes the bytes of an object to the storage. They are copied once into blocks and hashed on the way, and the hash
//! becomes the object's name.

use super::ObjectError;
use super::pack::ClosedPack;
use super::reader::pack_key;
use super::writer::{StoredPack, pack_area};
use crate::base::id::ObjectId;
use crate::base::limits::KIB;
use crate::crypto::hash::ObjectHasher;
use crate::format::pack::PackKind;
use crate::storage::{Area, Block, BlockPool, Storage, StorageKey, StorageWriter};

/// How much of a block is copied and then hashed at once: enough for the hash to use the processor's lanes, little enough
/// to be still in its cache.
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
    /// Copies bytes. Blocks to fill come from `take`; each one that is full goes to `full`.
    pub fn push<E>(
        &mut self,
        mut bytes: &[u8],
        take: &mut dyn FnMut() -> Block,
        full: &mut dyn FnMut(Block) -> Result<(), E>,
    ) -> Result<(), E> {
        self.len += bytes.len() as u64;
        while !bytes.is_empty() {
            let mut block = self.block.take().unwrap_or_else(&mut *take);
            while !bytes.is_empty() && block.room() > 0 {
                let step = bytes.len().min(self.hashed + HASH_STEP - block.len());
                bytes = &bytes[block.fill(&bytes[..step])..];
                if block.len() == self.hashed + HASH_STEP || block.room() == 0 {
                    self.hasher.update(&block.bytes()[self.hashed..]);
                    self.hashed = block.len();
                }
            }
            if block.room() == 0 {
                self.hashed = 0;
                full(block)?;
            } else {
                self.block = Some(block);
            }
        }
        Ok(())
    }

    /// Bytes so far.
    #[cfg(any(test, feature = "internals"))]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Nothing pushed yet.
    #[cfg(any(test, feature = "internals"))]
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

/// The blocks of an object on their way to storage; its name comes last. Dropped before that, it leaves nothing behind.
pub struct PackUpload {
    writer: Option<Box<dyn StorageWriter>>,
}

impl PackUpload {
    /// Begins an object of an area.
    pub fn begin(storage: &dyn Storage, area: Area) -> Result<PackUpload, ObjectError> {
        Ok(PackUpload { writer: Some(storage.writer(area)?) })
    }

    /// Appends a block. All but the last are full.
    pub fn append(&mut self, block: &mut Block) -> Result<(), ObjectError> {
        match &mut self.writer {
            Some(writer) => Ok(writer.append(block)?),
            None => unreachable!("only commit takes the writer, and it takes the upload too"),
        }
    }

    /// Makes it durable under its name. One that exists under the hash of its bytes has these bytes.
    pub fn commit(mut self, key: &StorageKey) -> Result<(), ObjectError> {
        match self.writer.take() {
            Some(writer) => Ok(writer.commit(key).map(drop)?),
            None => unreachable!("only commit takes the writer, and it takes the upload too"),
        }
    }

    /// As [`PackUpload::commit`] for a pack whose bytes hash to `id`: it is stored from now on.
    pub fn commit_pack(self, id: ObjectId, closed: ClosedPack) -> Result<StoredPack, ObjectError> {
        let ClosedPack { kind, header_len, table, len, .. } = closed;
        self.commit(&pack_key(kind, id))?;
        Ok(StoredPack { id, kind, len, header_len, table })
    }
}

impl Drop for PackUpload {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.abort();
        }
    }
}

/// An object being written whose name is the hash of its bytes: both halves on one thread. Dropped before it is finished,
/// it leaves nothing behind.
pub struct PackFile {
    upload: PackUpload,
    stream: PackStream,
    pool: BlockPool,
}

impl PackFile {
    /// Begins an object of an area.
    pub fn create(storage: &dyn Storage, area: Area, pool: BlockPool) -> Result<PackFile, ObjectError> {
        Ok(PackFile { upload: PackUpload::begin(storage, area)?, stream: PackStream::default(), pool })
    }

    /// Begins a pack with its first bytes.
    pub fn pack(
        storage: &dyn Storage,
        kind: PackKind,
        header: &[u8],
        pool: BlockPool,
    ) -> Result<PackFile, ObjectError> {
        let mut file = PackFile::create(storage, pack_area(kind), pool)?;
        file.push(header)?;
        Ok(file)
    }

    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ObjectError> {
        let PackFile { upload, stream, pool } = self;
        stream.push(bytes, &mut || pool.take(), &mut |mut block| upload.append(&mut block))
    }

    /// Its last block goes, and its bytes have a name and a length.
    fn flush(mut self) -> Result<(PackUpload, ObjectId, u64), ObjectError> {
        let (id, len, last) = self.stream.finish();
        last.map_or(Ok(()), |mut block| self.upload.append(&mut block))?;
        Ok((self.upload, id, len))
    }

    /// Makes it durable under the key that `name` makes of its id. Gives its id and length.
    pub fn finish(self, name: impl FnOnce(ObjectId) -> StorageKey) -> Result<(ObjectId, u64), ObjectError> {
        let (upload, id, len) = self.flush()?;
        upload.commit(&name(id))?;
        Ok((id, len))
    }

    /// Appends the end of a pack and makes it durable.
    pub fn finish_pack(mut self, closed: ClosedPack) -> Result<StoredPack, ObjectError> {
        self.push(&closed.tail)?;
        let (upload, id, len) = self.flush()?;
        debug_assert_eq!(len, u64::from(closed.len));
        upload.commit_pack(id, closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::BLOCK_ALIGN;
    use crate::crypto::hash::object_id;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_stream_is_named_by_the_hash_of_its_bytes_however_it_is_cut(
            pieces in prop::collection::vec(0usize..300_000, 0..12), blocks in 1usize..80,
        ) {
            let pool = BlockPool::new(1, blocks * BLOCK_ALIGN);
            let (mut stream, mut expected, mut written) = (PackStream::default(), Vec::new(), Vec::new());
            for (i, len) in pieces.into_iter().enumerate() {
                let piece = vec![i as u8; len];
                expected.extend_from_slice(&piece);
                let mut full = |block: Block| {
                    assert_eq!(block.room(), 0);
                    written.extend_from_slice(block.bytes());
                    Ok::<_, ()>(())
                };
                stream.push(&piece, &mut || pool.take(), &mut full).unwrap();
            }
            let (id, len, last) = stream.finish();
            written.extend_from_slice(last.as_ref().map_or(&[], |block| block.bytes()));
            prop_assert_eq!((id, len), (object_id(&expected), expected.len() as u64));
            prop_assert!(written == expected && stream.is_empty());
        }
    }
}
