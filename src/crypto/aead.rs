//! ChaCha20-Poly1305 (RFC 8439) over whole blobs, in place, by one of two libraries: RustCrypto's, or with the cargo
//! feature `aws-lc` AWS-LC's. Both make the same bytes; `docs/performance.md` has what each costs.
//!
//! Nothing else in the crate knows which it is. Small objects are too short to gain and stay with RustCrypto's.

use super::CryptoError;
use crate::format::blob::TAG_LEN;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};

/// Bytes of a nonce.
pub const NONCE_LEN: usize = 12;

/// What packs are sealed with in this build.
#[cfg(not(feature = "aws-lc"))]
pub type Bulk = RustCrypto;
/// What packs are sealed with in this build.
#[cfg(feature = "aws-lc")]
pub type Bulk = AwsLc;

/// One key of ChaCha20-Poly1305.
pub trait Aead {
    /// The library, as `larder bench stages --path aead=…` names it.
    #[cfg_attr(not(any(test, feature = "internals")), allow(dead_code))]
    const LIBRARY: &'static str;

    /// Takes the key.
    fn new(key: &[u8; 32]) -> Self;

    /// Encrypts `text` in place and gives the tag.
    ///
    /// # Panics
    /// When `text` is longer than the cipher allows (256 GiB).
    fn seal(&self, nonce: &[u8; NONCE_LEN], associated: &[u8], text: &mut [u8]) -> [u8; TAG_LEN];

    /// Decrypts `text` in place. Where it is refused, `text` is of no more use: RustCrypto's checks the tag first and
    /// leaves it as it was, AWS-LC's does both in one pass and fills it with zeros. Plaintext is never left in it.
    fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), CryptoError>;
}

/// RustCrypto's. It wipes its key when dropped.
pub struct RustCrypto(ChaCha20Poly1305);

impl Aead for RustCrypto {
    const LIBRARY: &'static str = "rustcrypto";

    fn new(key: &[u8; 32]) -> RustCrypto {
        RustCrypto(ChaCha20Poly1305::new(key.into()))
    }

    fn seal(&self, nonce: &[u8; NONCE_LEN], associated: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
        let sealed = self.0.encrypt_inout_detached(&Nonce::from(*nonce), associated, text.into());
        sealed.expect("a blob is far below the cipher's 256 GiB").into()
    }

    fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), CryptoError> {
        let opened = self.0.decrypt_inout_detached(&Nonce::from(*nonce), associated, text.into(), &Tag::from(*tag));
        opened.map_err(|_| CryptoError::Authentication)
    }
}

/// AWS-LC's. The key lies in one block of the C library's heap, which its `free` overwrites. The crate does not promise
/// that, and gives no access to wipe it from here; nor does it wipe what the assembly code spills to the stack.
#[cfg(feature = "aws-lc")]
pub struct AwsLc(aws_lc_rs::aead::LessSafeKey);

#[cfg(feature = "aws-lc")]
impl Aead for AwsLc {
    const LIBRARY: &'static str = "aws-lc";

    fn new(key: &[u8; 32]) -> AwsLc {
        use aws_lc_rs::aead::{CHACHA20_POLY1305, LessSafeKey, UnboundKey};
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).expect("32 bytes, and memory for them");
        AwsLc(LessSafeKey::new(key))
    }

    fn seal(&self, nonce: &[u8; NONCE_LEN], associated: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
        use aws_lc_rs::aead::{Aad, Nonce};
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(associated), text);
        let tag = tag.expect("a blob is far below the cipher's 256 GiB");
        tag.as_ref().try_into().expect("the whole tag")
    }

    fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), CryptoError> {
        use aws_lc_rs::aead::{Aad, Nonce};
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.0.open_in_place_separate_tag(nonce, Aad::from(associated), tag, text);
        opened.map(|_| ()).map_err(|_| CryptoError::Authentication)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8439, 2.8.2.
    fn gives_the_bytes_of_the_standard<A: Aead>() {
        let key = std::array::from_fn(|n| 0x80 + n as u8);
        let nonce = [7, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];
        let associated = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
        let mut text = *b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
                          sunscreen would be it.";
        let tag = A::new(&key).seal(&nonce, &associated, &mut text);
        assert_eq!(text[..8], [0xd3, 0x1a, 0x8d, 0x34, 0x64, 0x8e, 0x60, 0xdb]);
        assert_eq!(
            tag,
            [0x1a, 0xe1, 0x0b, 0x59, 0x4f, 0x09, 0xe2, 0x6a, 0x7e, 0x90, 0x2e, 0xcb, 0xd0, 0x60, 0x06, 0x91]
        );
    }

    #[test]
    fn what_is_sealed_is_what_the_standard_says() {
        gives_the_bytes_of_the_standard::<RustCrypto>();
        gives_the_bytes_of_the_standard::<Bulk>();
    }

    #[cfg(feature = "aws-lc")]
    mod both {
        use super::*;

        const NONCE: [u8; NONCE_LEN] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        const ASSOCIATED: [u8; 5] = [1, 9, 8, 7, 6];

        fn noise(len: usize) -> Vec<u8> {
            let mut bytes = vec![0; len];
            blake3::Hasher::new().update(&len.to_le_bytes()).finalize_xof().fill(&mut bytes);
            bytes
        }

        /// Seals with one and opens with the other.
        fn crosses<From: Aead, To: Aead>(plain: &[u8]) -> (Vec<u8>, [u8; TAG_LEN]) {
            let (from, to) = (From::new(&[7; 32]), To::new(&[7; 32]));
            let mut sealed = plain.to_vec();
            let tag = from.seal(&NONCE, &ASSOCIATED, &mut sealed);
            let mut opened = sealed.clone();
            assert_eq!(to.open(&NONCE, &ASSOCIATED, &mut opened, &tag), Ok(()), "{} bytes", plain.len());
            assert!(opened == plain, "{} sealed, {} opened {} bytes", From::LIBRARY, To::LIBRARY, plain.len());
            (sealed, tag)
        }

        #[test]
        fn either_library_opens_what_the_other_sealed_and_the_bytes_are_the_same() {
            // The assembly has paths of its own for short texts and for tails: every length up to several of its strides.
            for len in (0..300).chain([511, 1024, 4095, 65_537, 262_144, 1_048_579, 8 << 20]) {
                let plain = noise(len);
                let (theirs, ours) = (crosses::<AwsLc, RustCrypto>(&plain), crosses::<RustCrypto, AwsLc>(&plain));
                assert!(theirs == ours, "{len} bytes");
            }
        }

        #[test]
        fn either_library_refuses_what_was_tampered_with_and_gives_no_plaintext() {
            for len in [0, 1, 16, 63, 64, 65, 191, 320, 321, 4096, 100_000] {
                let plain = noise(len);
                let (sealed, tag) = crosses::<AwsLc, RustCrypto>(&plain);
                refuses::<AwsLc>(&plain, &sealed, &tag);
                refuses::<RustCrypto>(&plain, &sealed, &tag);
            }
        }

        fn refuses<A: Aead>(plain: &[u8], sealed: &[u8], tag: &[u8; TAG_LEN]) {
            let refuse = |key: u8, nonce: [u8; NONCE_LEN], associated: &[u8], text: &[u8], tag: &[u8; TAG_LEN]| {
                let mut left = text.to_vec();
                let opened = A::new(&[key; 32]).open(&nonce, associated, &mut left, tag);
                assert_eq!(opened, Err(CryptoError::Authentication), "{}", A::LIBRARY);
                let zeroed = left.iter().all(|byte| *byte == 0);
                assert!(zeroed || (left == text && left != plain), "{} left something else", A::LIBRARY);
            };
            for bit in 0..TAG_LEN * 8 {
                let mut tag = *tag;
                tag[bit / 8] ^= 1 << (bit % 8);
                refuse(7, NONCE, &ASSOCIATED, sealed, &tag);
            }
            for at in [0, sealed.len() / 2, sealed.len().saturating_sub(1)].into_iter().filter(|at| *at < sealed.len())
            {
                let mut text = sealed.to_vec();
                text[at] ^= 0x10;
                refuse(7, NONCE, &ASSOCIATED, &text, tag);
                refuse(7, NONCE, &ASSOCIATED, &sealed[..at], tag);
            }
            refuse(8, NONCE, &ASSOCIATED, sealed, tag);
            refuse(7, [0; NONCE_LEN], &ASSOCIATED, sealed, tag);
            refuse(7, NONCE, &[1, 9, 8, 7, 5], sealed, tag);
            refuse(7, NONCE, &ASSOCIATED[..4], sealed, tag);
        }
    }
}
