//! What can be wrong with a sealed object.

use crate::codec::CodecError;
use crate::crypto::CryptoError;
use crate::format::error::DecodeError;
use crate::storage::StorageError;
use crate::storage::error::StorageErrorKind;

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
    /// Something that is listed nowhere.
    #[error("{object}: not in the index of the store")]
    Unknown { object: String },
    /// Something that cannot be stored at all.
    #[error("{object}: {len} bytes are more than fit")]
    TooLong { object: String, len: usize },
}

impl ObjectError {
    /// Whether there is no such object.
    pub fn is_absent(&self) -> bool {
        matches!(self, ObjectError::Storage(e) if e.kind == StorageErrorKind::NotFound)
    }

    /// Whether the storage failed to give it: nothing is known of what it holds, and another time it may be read.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, ObjectError::Storage(_)) && !self.is_damage()
    }

    /// Whether the object is damaged (or not there), as opposed to the storage failing.
    pub fn is_damage(&self) -> bool {
        match self {
            ObjectError::Storage(e) => {
                use StorageErrorKind::{NoFile, NotFound, Short, TooLarge};
                matches!(e.kind, NotFound | NoFile | Short | TooLarge)
            }
            ObjectError::Decode { .. }
            | ObjectError::Crypto { .. }
            | ObjectError::Codec { .. }
            | ObjectError::Mismatch { .. }
            | ObjectError::Epoch { .. }
            | ObjectError::Unknown { .. } => true,
            ObjectError::TooLong { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn what_is_gone_or_wrong_is_damage_and_what_fails_is_not() {
        let storage = |kind: io::ErrorKind| ObjectError::Storage(StorageError::new("read", "x", kind.into()));
        assert!(storage(io::ErrorKind::NotFound).is_damage());
        assert!(storage(io::ErrorKind::UnexpectedEof).is_damage());
        assert!(!storage(io::ErrorKind::PermissionDenied).is_damage());
        assert!(!storage(io::ErrorKind::TimedOut).is_damage());
        // EIO, EACCES, ETIMEDOUT, ESTALE.
        for errno in [5, 13, 110, 116] {
            let error = ObjectError::Storage(StorageError::new("read", "x", io::Error::from_raw_os_error(errno)));
            assert!(error.is_unreadable() && !error.is_damage(), "{errno}");
        }
        let wrong = ObjectError::Mismatch { object: "x".into() };
        assert!(wrong.is_damage() && !wrong.is_unreadable());
    }
}
