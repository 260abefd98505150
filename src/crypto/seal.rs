//! Sealing small objects: XChaCha20-Poly1305, nonce from keyed BLAKE3 over plaintext and 16 random bytes.
//!
//! The nonce is as good as random where the system's generator is, and still differs for different plaintexts where it
//! repeats (a cloned machine). Sealing key and nonce key are the two halves of one derivation, so that neither is
//! used for anything else.

use super::CryptoError;
use super::keys::{Key, derive_pair, random_bytes};
use crate::format::envelope::Envelope;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};

const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;
/// What sealing adds to the plaintext: nonce and tag.
pub(super) const OVERHEAD: usize = NONCE_LEN + TAG_LEN;

const SMALL_OBJECT: &str = "larder 2026 v1 small object";

/// A whole sealed object: envelope, nonce, ciphertext, tag.
pub fn seal_small(key: &[u8; 32], envelope: &Envelope, plain: &[u8]) -> Vec<u8> {
    let envelope = envelope.encode();
    let mut object = Vec::with_capacity(envelope.len() + OVERHEAD + plain.len());
    object.extend_from_slice(&envelope);
    seal(SMALL_OBJECT, key, &envelope, plain, &mut object);
    object
}

/// Checks that the object's envelope is `expected` and opens it. Another envelope is refused like a wrong tag: the
/// object was moved here from another store, kind or epoch.
pub fn open_small(key: &[u8; 32], expected: &Envelope, object: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let (envelope, sealed) = object.split_at_checked(Envelope::LEN).ok_or(CryptoError::Authentication)?;
    let expected = expected.encode();
    if envelope != expected {
        return Err(CryptoError::Authentication);
    }
    open(SMALL_OBJECT, key, &expected, sealed)
}

/// Appends `nonce 24 · ciphertext · tag 16` to `out`. `aad` is bound.
pub(super) fn seal(context: &str, key: &[u8; 32], aad: &[u8], plain: &[u8], out: &mut Vec<u8>) {
    let (sealing, nonce_key) = derive_pair(context, key, &[]);
    let nonce = nonce(&nonce_key, &random_bytes(), plain);
    let at = out.len() + NONCE_LEN;
    out.extend_from_slice(&nonce);
    out.extend_from_slice(plain);
    let tag = XChaCha20Poly1305::new((&*sealing).into())
        .encrypt_inout_detached(&nonce, aad, (&mut out[at..]).into())
        .expect("a small object is far below the cipher's 256 GiB");
    out.extend_from_slice(&tag);
}

/// 24 bytes of keyed BLAKE3 over `random 16 · plaintext`.
fn nonce(nonce_key: &Key, random: &[u8; 16], plain: &[u8]) -> XNonce {
    let mut nonce = XNonce::default();
    blake3::Hasher::new_keyed(nonce_key).update(random).update(plain).finalize_xof().fill(&mut nonce);
    nonce
}

/// Opens what [`seal`] appended.
pub(super) fn open(context: &str, key: &[u8; 32], aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(CryptoError::Authentication)?;
    let (text, tag) = rest.split_last_chunk::<TAG_LEN>().ok_or(CryptoError::Authentication)?;
    let (sealing, _) = derive_pair(context, key, &[]);
    let mut plain = text.to_vec();
    XChaCha20Poly1305::new((&*sealing).into())
        .decrypt_inout_detached(&XNonce::from(*nonce), aad, plain.as_mut_slice().into(), &Tag::from(*tag))
        .map_err(|_| CryptoError::Authentication)?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::StoreId;
    use crate::format::envelope::ObjectKind;

    const ENVELOPE: Envelope = Envelope { kind: ObjectKind::Manifest, store: StoreId([9; 16]), epoch: 2 };

    #[test]
    fn a_small_object_comes_back() {
        for plain in [&b""[..], b"x", &[5; 70_000]] {
            let object = seal_small(&[1; 32], &ENVELOPE, plain);
            assert_eq!(object.len(), Envelope::LEN + OVERHEAD + plain.len());
            assert_eq!(open_small(&[1; 32], &ENVELOPE, &object).as_deref(), Ok(plain));
        }
    }

    #[test]
    fn its_layout_is_the_one_the_envelope_decoder_splits() {
        let object = seal_small(&[1; 32], &ENVELOPE, b"hello");
        let (envelope, nonce, sealed) = Envelope::decode(&object).unwrap();
        assert_eq!(envelope, ENVELOPE);
        assert_eq!(nonce, object[Envelope::LEN..Envelope::LEN + 24]);
        assert_eq!(sealed, &object[Envelope::LEN + 24..]);
    }

    #[test]
    fn any_flipped_bit_any_cut_and_any_other_key_kind_store_or_epoch_is_refused() {
        let object = seal_small(&[1; 32], &ENVELOPE, b"some record");
        for bit in 0..object.len() * 8 {
            let mut bad = object.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open_small(&[1; 32], &ENVELOPE, &bad), Err(CryptoError::Authentication), "bit {bit}");
        }
        for len in 0..object.len() {
            assert_eq!(open_small(&[1; 32], &ENVELOPE, &object[..len]), Err(CryptoError::Authentication), "cut {len}");
        }
        assert!(open_small(&[2; 32], &ENVELOPE, &object).is_err());
        for other in [
            Envelope { kind: ObjectKind::Lease, ..ENVELOPE },
            Envelope { store: StoreId([8; 16]), ..ENVELOPE },
            Envelope { epoch: 3, ..ENVELOPE },
        ] {
            assert!(open_small(&[1; 32], &other, &object).is_err(), "{other:?}");
            // Rewriting the envelope to what is expected does not help: it is bound.
            let mut moved = object.clone();
            moved[..Envelope::LEN].copy_from_slice(&other.encode());
            assert!(open_small(&[1; 32], &other, &moved).is_err(), "{other:?}");
        }
    }

    #[test]
    fn equal_records_look_different_and_a_repeating_generator_does_not_repeat_a_nonce() {
        let (a, b) = (seal_small(&[1; 32], &ENVELOPE, b"same"), seal_small(&[1; 32], &ENVELOPE, b"same"));
        assert_ne!(a[Envelope::LEN..], b[Envelope::LEN..]);
        let key = Key::new([3; 32]);
        assert_ne!(nonce(&key, &[0; 16], b"one"), nonce(&key, &[0; 16], b"two"));
        assert_eq!(nonce(&key, &[0; 16], b"one"), nonce(&key, &[0; 16], b"one"));
        assert_ne!(nonce(&key, &[0; 16], b"one"), nonce(&key, &[1; 16], b"one"));
    }

    #[test]
    fn the_construction_does_not_drift() {
        // Sealed by this program when the format was fixed: any later version must open it.
        let sealed: Vec<u8> =
            hex("981c320ddcb152acd5024406fe3a71e5f9b87f1619e9d5efab113d63fdda3845e6cdecd0f23d35f8af52053998ce");
        assert_eq!(open(SMALL_OBJECT, &[1; 32], b"aad", &sealed).as_deref(), Ok(&b"frozen"[..]));
    }

    fn hex(text: &str) -> Vec<u8> {
        text.as_bytes().chunks(2).map(|p| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap()).collect()
    }
}
