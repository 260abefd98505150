//! Sealing blobs in packs and index segments: ChaCha20-Poly1305 under a key of that object alone.

use super::CryptoError;
use crate::format::blob::BlobKind;

/// The keys of one pack or segment: derived from the epoch's (or the index) key and the object's whole header.
#[derive(Clone)]
pub struct PackKey {
    _private: (),
}

/// What goes into a blob's nonce tail, so that two contents never meet one nonce.
pub enum NonceInput<'a> {
    /// Codec byte, plain length, and the ids (32 bytes each, concatenated in order) of what is inside.
    Ids {
        /// The codec's number.
        codec: u8,
        /// Plain length.
        plain_len: u32,
        /// The ids' bytes.
        ids: &'a [u8],
    },
    /// No ids (table, padding, rows): the inside itself.
    Inside,
}

impl PackKey {
    /// Derives the keys of the object with this header.
    pub fn new(_key: &[u8; 32], _header: &[u8]) -> PackKey {
        todo!()
    }

    /// Seals in place. `blob` is `8 bytes for the nonce tail · inside · 16 bytes for the tag`.
    pub fn seal(&self, _kind: BlobKind, _offset: u32, _input: NonceInput<'_>, _blob: &mut [u8]) {
        todo!()
    }

    /// Opens in place and gives the inside.
    pub fn open<'a>(&self, _kind: BlobKind, _offset: u32, _blob: &'a mut [u8]) -> Result<&'a mut [u8], CryptoError> {
        todo!()
    }
}
