//! `cat`: the content of a file, streamed.

use crate::format::blob::BlobKind;
use crate::format::list::Item;
use crate::format::tree::{Content, Entry, EntryKind};
use crate::object::ObjectError;
use crate::store::snapshots::Snapshot;
use crate::store::{Store, StoreError};
use crate::tree::place::{PlaceError, entry_at};
use crate::tree::reader::Reader;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Opened blobs that each of the two readers keeps.
const CACHE_BYTES: usize = 16 << 20;
/// Holes are given in pieces of this many zeros.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Reads files of one store.
pub struct Cat {
    /// Lists are walked by one reader while the other one reads chunks.
    items: Reader,
    chunks: Reader,
}

impl Cat {
    /// For the files of `store`, whose index must be loaded.
    pub fn new(store: &Arc<Store>) -> Cat {
        Cat { items: Reader::new(store.clone(), CACHE_BYTES), chunks: Reader::new(store.clone(), CACHE_BYTES) }
    }

    /// What lies at `path`.
    pub fn kind(&mut self, snapshot: &Snapshot, path: &[u8]) -> Result<EntryKind, PlaceError> {
        Ok(entry_at(&mut self.items, snapshot, path)?.meta.kind)
    }

    /// The entry at `path`, which must be a file whose content was stored.
    pub fn file(&mut self, snapshot: &Snapshot, path: &[u8]) -> Result<Entry, PlaceError> {
        let entry = entry_at(&mut self.items, snapshot, path)?;
        let why = match (entry.meta.kind, &entry.content) {
            (EntryKind::File, Content::Unreadable) => {
                "could not be read when it was backed up; only its metadata is stored"
            }
            (EntryKind::File, _) => return Ok(entry),
            (EntryKind::Directory, _) => "is a directory",
            _ => "is not a regular file",
        };
        Err(PlaceError::Unfit { snapshot: snapshot.id, path: String::from_utf8_lossy(path).into_owned(), why })
    }

    /// What a content adds up to.
    pub fn len(&mut self, content: &Content) -> Result<u64, StoreError> {
        if let Content::Inline(bytes) = content {
            return Ok(bytes.len() as u64);
        }
        let mut len = 0u64;
        self.items.items(content, &mut |item| {
            len = len.saturating_add(item.len());
            ControlFlow::Continue(())
        })?;
        Ok(len)
    }

    /// Gives the verified content in order, piece by piece, until `each` breaks. A damaged chunk is an error.
    pub fn content(
        &mut self,
        content: &Content,
        each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        if let Content::Inline(bytes) = content {
            _ = each(bytes);
            return Ok(());
        }
        let mut failed = None;
        let chunks = &mut self.chunks;
        self.items.items(content, &mut |item| match item {
            Item::Hole { len } => zeros(len, each),
            Item::Chunk { id, len } => match chunks.read(BlobKind::Chunks, &id) {
                Ok(plain) if plain.len() == len as usize => each(&plain),
                Ok(_) => {
                    let object = format!("chunk {id}");
                    failed = Some(StoreError::Object(ObjectError::Mismatch { object }));
                    ControlFlow::Break(())
                }
                Err(e) => {
                    failed = Some(e);
                    ControlFlow::Break(())
                }
            },
        })?;
        failed.map_or(Ok(()), Err)
    }
}

fn zeros(mut len: u64, each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> ControlFlow<()> {
    while len > 0 {
        let piece = len.min(ZEROS.len() as u64);
        each(&ZEROS[..piece as usize])?;
        len -= piece;
    }
    ControlFlow::Continue(())
}
