//! ed25519 signatures under a domain string and the store's id.

use super::CryptoError;
use crate::base::id::StoreId;

/// What a signature is for; part of what is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Domain {
    Config,
    Manifest,
    Outcome,
    State,
    Segment,
}

/// A signing key: of a host or of a maintainer.
pub struct SigningKey {
    _private: (),
}

impl SigningKey {
    /// From its 32 secret bytes.
    pub fn from_seed(_seed: &[u8; 32]) -> SigningKey {
        todo!()
    }

    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        todo!()
    }

    /// Signs `domain · store · message`.
    pub fn sign(&self, _domain: Domain, _store: &StoreId, _message: &[u8]) -> [u8; 64] {
        todo!()
    }
}

/// Verifies strictly.
pub fn verify(
    _public: &[u8; 32],
    _domain: Domain,
    _store: &StoreId,
    _message: &[u8],
    _signature: &[u8; 64],
) -> Result<(), CryptoError> {
    todo!()
}
