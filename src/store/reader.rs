//! Reading by id: locations from the index, each copy tried, a small cache of opened blobs; walking trees and lists.

use super::{Store, StoreError};
use crate::base::id::ContentId;
use crate::format::blob::BlobKind;
use crate::format::list::Item;
use crate::format::tree::{Content, Entry, Node};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Reads blobs of one store; clone or make one per thread. Errors that are damage name the object.
pub struct Reader {
    _private: (),
}

impl Reader {
    /// A reader with a cache of about `cache_bytes` of opened blobs.
    pub fn new(_store: Arc<Store>, _cache_bytes: usize) -> Reader {
        todo!()
    }

    /// The verified plaintext of a chunk, node or list.
    pub fn read(&mut self, _kind: BlobKind, _id: &ContentId) -> Result<Vec<u8>, StoreError> {
        todo!()
    }

    /// A decoded node.
    pub fn node(&mut self, _id: &ContentId) -> Result<Node, StoreError> {
        todo!()
    }

    /// Entries with keys in `[from, to)` (`to` empty: to the end), in order. A node that cannot be read is handed to
    /// `damaged` with its key range and passed over.
    pub fn entries(
        &mut self,
        _root: &ContentId,
        _from: &[u8],
        _to: &[u8],
        _each: &mut dyn FnMut(Entry) -> ControlFlow<()>,
        _damaged: &mut dyn FnMut(&[u8], StoreError) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        todo!()
    }

    /// The entry of one key.
    pub fn entry(&mut self, _root: &ContentId, _key: &[u8]) -> Result<Option<Entry>, StoreError> {
        todo!()
    }

    /// Items of a file's content in order, lists resolved.
    pub fn items(
        &mut self,
        _content: &Content,
        _each: &mut dyn FnMut(Item) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        todo!()
    }
}
