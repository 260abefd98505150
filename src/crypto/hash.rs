//! Ids: keyed BLAKE3 of plaintexts, plain BLAKE3 of objects.

use crate::base::id::{ContentId, ObjectId};

/// The id of a chunk, node or list under its kind's key.
#[inline]
pub fn content_id(key: &[u8; 32], plain: &[u8]) -> ContentId {
    ContentId(*blake3::keyed_hash(key, plain).as_bytes())
}

/// The name of an object.
pub fn object_id(bytes: &[u8]) -> ObjectId {
    ObjectId(*blake3::hash(bytes).as_bytes())
}

/// The name of an object that comes in pieces.
#[derive(Clone, Default)]
pub struct ObjectHasher(blake3::Hasher);

impl ObjectHasher {
    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(&self) -> ObjectId {
        ObjectId(*self.0.finalize().as_bytes())
    }
}
