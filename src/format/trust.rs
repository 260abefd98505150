//! The trust file: what this client has seen of a store. It lies in the configuration folder, never in the cache.

use crate::base::id::StoreId;
use crate::format::error::DecodeError;
use crate::format::snapshot::Head;

/// The decoded trust file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    /// The store.
    pub store: StoreId,
    /// Highest config number seen.
    pub config: u32,
    /// Signers pinned on first sight: (key, the host label it was seen with). Sorted by key.
    pub signers: Vec<([u8; 32], String)>,
    /// Newest manifest seen of each signer. Sorted by key.
    pub heads: Vec<Head>,
}

impl Trust {
    /// All bytes, ending in a checksum.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }

    /// Reads it back.
    pub fn decode(_bytes: &[u8]) -> Result<Trust, DecodeError> {
        todo!()
    }
}
