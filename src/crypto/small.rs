//! Sealing small objects: XChaCha20-Poly1305, nonce from keyed BLAKE3 over plaintext and 16 random bytes.

use super::CryptoError;
use crate::format::envelope::Envelope;

/// A whole sealed object: envelope, nonce, ciphertext, tag.
pub fn seal_small(_key: &[u8; 32], _envelope: &Envelope, _plain: &[u8]) -> Vec<u8> {
    todo!()
}

/// Checks that the object's envelope is `expected` and opens it.
pub fn open_small(_key: &[u8; 32], _expected: &Envelope, _object: &[u8]) -> Result<Vec<u8>, CryptoError> {
    todo!()
}
