//! What can be wrong with a sealed object.

use crate::codec::CodecError;
use crate::crypto::CryptoError;
use crate::format::error::DecodeError;
use crate::storage::StorageError;

/// A sealed object could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ObjectError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("{object}: {source}")]
    Decode { object: String, source: DecodeError },
    #[error("{object}: {source}")]
    Crypto { object: String, source: CryptoError },
    #[error("{object}: {source}")]
    Codec { object: String, source: CodecError },
    /// The bytes are not what their name or id says.
    #[error("{object}: content does not match its id")]
    Mismatch { object: String },
    #[error("{object}: sealed in epoch {epoch}, whose key this store's config does not hold")]
    Epoch { object: String, epoch: u32 },
}

impl ObjectError {
    /// Whether the object is damaged (or not there), as opposed to the storage failing.
    pub fn is_damage(&self) -> bool {
        todo!()
    }
}
