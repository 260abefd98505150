//! ed25519 signatures under a domain string and the store's id.

use super::CryptoError;
use crate::base::id::StoreId;
use ed25519_dalek::{Signature, Signer, VerifyingKey};

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

impl Domain {
    /// The string; none is the beginning of another, as each ends in its only zero byte.
    fn bytes(self) -> &'static [u8] {
        match self {
            Domain::Config => b"larder 2026 v1 signed config\0",
            Domain::Manifest => b"larder 2026 v1 signed manifest\0",
            Domain::Outcome => b"larder 2026 v1 signed outcome\0",
            Domain::State => b"larder 2026 v1 signed state\0",
            Domain::Segment => b"larder 2026 v1 signed segment\0",
        }
    }
}

/// A signing key: of a host or of a maintainer. Wiped when dropped.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// From its 32 secret bytes.
    pub fn from_seed(seed: &[u8; 32]) -> SigningKey {
        SigningKey(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The public key.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Signs `domain · store · message`.
    pub fn sign(&self, domain: Domain, store: &StoreId, message: &[u8]) -> [u8; 64] {
        self.0.sign(&signed(domain, store, message)).to_bytes()
    }
}

/// Verifies strictly: keys of small order and signatures that are not canonical are refused.
pub fn verify(
    public: &[u8; 32],
    domain: Domain,
    store: &StoreId,
    message: &[u8],
    signature: &[u8; 64],
) -> Result<(), CryptoError> {
    VerifyingKey::from_bytes(public)
        .and_then(|key| key.verify_strict(&signed(domain, store, message), &Signature::from_bytes(signature)))
        .map_err(|_| CryptoError::Signature)
}

fn signed(domain: Domain, store: &StoreId, message: &[u8]) -> Vec<u8> {
    [domain.bytes(), store.as_bytes(), message].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: StoreId = StoreId([4; 16]);
    const DOMAINS: [Domain; 5] = [Domain::Config, Domain::Manifest, Domain::Outcome, Domain::State, Domain::Segment];

    #[test]
    fn a_signature_holds_for_its_key_domain_store_and_message_only() {
        let key = SigningKey::from_seed(&[1; 32]);
        let signature = key.sign(Domain::Manifest, &STORE, b"message");
        assert_eq!(verify(&key.public(), Domain::Manifest, &STORE, b"message", &signature), Ok(()));
        let other = SigningKey::from_seed(&[2; 32]).public();
        assert!(verify(&other, Domain::Manifest, &STORE, b"message", &signature).is_err());
        assert!(verify(&key.public(), Domain::State, &STORE, b"message", &signature).is_err());
        assert!(verify(&key.public(), Domain::Manifest, &StoreId([5; 16]), b"message", &signature).is_err());
        assert!(verify(&key.public(), Domain::Manifest, &STORE, b"messagE", &signature).is_err());
        for bit in 0..512 {
            let mut bad = signature;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                verify(&key.public(), Domain::Manifest, &STORE, b"message", &bad),
                Err(CryptoError::Signature),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn a_key_of_small_order_signs_nothing() {
        // The neutral point: with R = it and s = 0 a lax verifier accepts every message.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&neutral);
        assert_eq!(verify(&neutral, Domain::State, &STORE, b"anything", &signature), Err(CryptoError::Signature));
    }

    #[test]
    fn what_is_signed_has_one_reading() {
        for a in DOMAINS {
            assert_eq!(a.bytes().iter().position(|b| *b == 0), Some(a.bytes().len() - 1));
            assert_eq!(DOMAINS.iter().filter(|b| b.bytes() == a.bytes()).count(), 1);
        }
        let public = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
        let by_hand = [&b"larder 2026 v1 signed outcome\0"[..], &[4; 16], b"m"].concat();
        let signature = SigningKey::from_seed(&[1; 32]).sign(Domain::Outcome, &STORE, b"m");
        assert_eq!(public.sign(&by_hand).to_bytes(), signature);
    }
}
