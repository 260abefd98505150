//! Packs written one blob at a time: for trees and lists, and wherever no pipeline is needed.

use super::{Keyring, ObjectError};
use crate::base::id::{ContentId, ObjectId, SessionId};
use crate::codec::Compression;
use crate::format::blob::BlobKind;
use crate::format::pack::{PackKind, PackTable};
use crate::storage::{BlockPool, Storage};
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

/// Compresses, seals, places and appends blobs; starts a new pack when one is full.
pub struct PackWriter {
    _private: (),
}

impl PackWriter {
    /// A writer of packs of one kind for one session. Nothing is created before the first blob.
    pub fn new(
        _storage: Arc<dyn Storage>,
        _keyring: Arc<Keyring>,
        _kind: PackKind,
        _session: SessionId,
        _pack_bytes: u32,
        _compression: Compression,
        _blocks: BlockPool,
    ) -> PackWriter {
        todo!()
    }

    /// Appends one node, list or chunk under its id.
    pub fn append(&mut self, _kind: BlobKind, _id: ContentId, _plain: &[u8]) -> Result<(), ObjectError> {
        todo!()
    }

    /// Packs that became durable since the last call.
    pub fn take_stored(&mut self) -> Vec<StoredPack> {
        todo!()
    }

    /// Closes the open pack and gives all packs not taken yet.
    pub fn finish(self) -> Result<Vec<StoredPack>, ObjectError> {
        todo!()
    }
}
