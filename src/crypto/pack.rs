//! Sealing blobs in packs and index segments: ChaCha20-Poly1305 under a key of that object alone.
//!
//! - Keys: K_p and a nonce key are 64 bytes of BLAKE3 `derive_key` over `key · whole header`; so two headers never share
//!   a key, and a changed header opens nothing.
//! - Nonce, 12 bytes: offset of the blob in the object (u32 LE) · 8-byte tail, which lies before the ciphertext. The tail
//!   is keyed BLAKE3 over what is inside, so that even a cloned machine that writes other content at the same offset
//!   under the same key does not repeat a nonce.
//! - Associated data: kind byte · offset (u32 LE). A blob that was moved or took another's place does not open.
//!
//! The cipher's code is found at run time: AVX2 or SSE2 on x86-64, NEON on 64-bit ARM. Built with `--cfg chacha20_avx512`
//! in `RUSTFLAGS` (the repository's `.cargo/config.toml` does), processors that have AVX-512 use it, and others still
//! take AVX2; another library seals with the cargo feature `aws-lc` ([`super::aead`]). `docs/performance.md` has what
//! each gains.

use super::CryptoError;
use super::aead::{Aead, Bulk, NONCE_LEN};
use super::keys::{Key, derive_pair};
use crate::format::blob::{BlobKind, NONCE_TAIL_LEN, SEAL_OVERHEAD, TAG_LEN};

const PACK: &str = "larder 2026 v1 pack keys";

/// The keys of one pack or segment: derived from the epoch's (or the index) key and the object's whole header.
pub struct PackKey {
    cipher: Bulk,
    nonce_key: Key,
}

/// What goes into a blob's nonce tail, so that two contents never meet one nonce.
pub enum NonceInput<'a> {
    /// Codec byte, plain length, and the ids (32 bytes each, concatenated in order) of what is inside.
    Ids {
        /// The codec's number.
        codec: u8,
        plain_len: u32,
        /// The ids' bytes.
        ids: &'a [u8],
    },
    /// No ids (table, padding, rows): the inside itself.
    Inside,
}

impl PackKey {
    /// Derives the keys of the object with this header.
    pub fn new(key: &[u8; 32], header: &[u8]) -> PackKey {
        let (sealing, nonce_key) = derive_pair(PACK, key, header);
        PackKey { cipher: Bulk::new(&sealing), nonce_key }
    }

    /// Seals in place. `blob` is `8 bytes for the nonce tail · inside · 16 bytes for the tag`.
    ///
    /// # Panics
    /// When `blob` is shorter than [`SEAL_OVERHEAD`].
    pub fn seal(&self, kind: BlobKind, offset: u32, input: NonceInput<'_>, blob: &mut [u8]) {
        let (tail, inside, tag) = split(blob).expect("a blob has room for nonce tail and tag");
        *tail = self.nonce_tail(kind, input, inside);
        *tag = self.cipher.seal(&nonce(offset, tail), &associated_data(kind, offset), inside);
    }

    /// Opens in place and gives the inside. A refused blob holds no plaintext, and is of no more use: see [`Aead::open`].
    pub fn open<'a>(&self, kind: BlobKind, offset: u32, blob: &'a mut [u8]) -> Result<&'a mut [u8], CryptoError> {
        let (tail, inside, tag) = split(blob).ok_or(CryptoError::Authentication)?;
        self.cipher.open(&nonce(offset, tail), &associated_data(kind, offset), inside, tag)?;
        Ok(inside)
    }

    /// 8 bytes of keyed BLAKE3 over `kind · 1 · codec · plain length · length of the inside · ids` or `kind · 0 · inside`.
    /// Ids and codec stand for the contents (an id is a collision-free hash), which spares hashing the payload; the
    /// inside's length tells apart what two levels of one codec make of the same plaintext.
    fn nonce_tail(&self, kind: BlobKind, input: NonceInput<'_>, inside: &[u8]) -> [u8; NONCE_TAIL_LEN] {
        let mut hasher = blake3::Hasher::new_keyed(&self.nonce_key);
        match input {
            NonceInput::Ids { codec, plain_len, ids } => {
                let mut head = [0; 11];
                head[..3].copy_from_slice(&[kind as u8, 1, codec]);
                head[3..7].copy_from_slice(&plain_len.to_le_bytes());
                head[7..].copy_from_slice(&(inside.len() as u32).to_le_bytes());
                hasher.update(&head).update(ids)
            }
            NonceInput::Inside => hasher.update(&[kind as u8, 0]).update(inside),
        };
        let mut tail = [0; NONCE_TAIL_LEN];
        hasher.finalize_xof().fill(&mut tail);
        tail
    }
}

type Parts<'a> = (&'a mut [u8; NONCE_TAIL_LEN], &'a mut [u8], &'a mut [u8; TAG_LEN]);

fn split(blob: &mut [u8]) -> Option<Parts<'_>> {
    const { assert!(SEAL_OVERHEAD == NONCE_TAIL_LEN + TAG_LEN) };
    let (tail, rest) = blob.split_first_chunk_mut()?;
    let (inside, tag) = rest.split_last_chunk_mut()?;
    Some((tail, inside, tag))
}

fn nonce(offset: u32, tail: &[u8; NONCE_TAIL_LEN]) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    nonce[..4].copy_from_slice(&offset.to_le_bytes());
    nonce[4..].copy_from_slice(tail);
    nonce
}

fn associated_data(kind: BlobKind, offset: u32) -> [u8; 5] {
    let [a, b, c, d] = offset.to_le_bytes();
    [kind as u8, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use chacha20poly1305::aead::{AeadInOut, KeyInit};
    use proptest::prelude::*;

    fn sealed(key: &PackKey, offset: u32, input: NonceInput<'_>, inside: &[u8]) -> Vec<u8> {
        let mut blob = vec![0; inside.len() + SEAL_OVERHEAD];
        blob[NONCE_TAIL_LEN..][..inside.len()].copy_from_slice(inside);
        key.seal(BlobKind::Chunks, offset, input, &mut blob);
        blob
    }

    fn ids(ids: &[u8]) -> NonceInput<'_> {
        NonceInput::Ids { codec: 1, plain_len: 10, ids }
    }

    proptest! {
        #[test]
        fn a_blob_comes_back_at_its_own_place_only(
            inside in proptest::collection::vec(any::<u8>(), 0..5000), offset: u32, other: u32, header: Vec<u8>,
        ) {
            let key = PackKey::new(&[1; 32], &header);
            let blob = sealed(&key, offset, ids(&[3; 32]), &inside);
            let mut copy = blob.clone();
            prop_assert_eq!(&*key.open(BlobKind::Chunks, offset, &mut copy).unwrap(), inside.as_slice());
            if other != offset {
                prop_assert!(key.open(BlobKind::Chunks, other, &mut blob.clone()).is_err());
            }
            prop_assert!(key.open(BlobKind::Node, offset, &mut blob.clone()).is_err());
        }
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_refused_and_gives_no_plaintext() {
        let key = PackKey::new(&[1; 32], b"header");
        let blob = sealed(&key, 77, NonceInput::Inside, b"what is inside");
        for bit in 0..blob.len() * 8 {
            let mut bad = blob.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let before = bad.clone();
            assert_eq!(key.open(BlobKind::Chunks, 77, &mut bad), Err(CryptoError::Authentication), "bit {bit}");
            let zeroed = before.iter().zip(&bad).filter(|(before, bad)| before != bad).all(|(_, bad)| *bad == 0);
            assert!(bad == before || (zeroed && cfg!(feature = "aws-lc")), "bit {bit}");
        }
        for len in 0..blob.len() {
            assert!(key.open(BlobKind::Chunks, 77, &mut blob[..len].to_vec()).is_err(), "cut to {len}");
        }
    }

    #[test]
    fn another_header_or_key_is_another_key() {
        let blob = sealed(&PackKey::new(&[1; 32], b"header"), 0, NonceInput::Inside, b"abc");
        for key in [PackKey::new(&[1; 32], b"headeR"), PackKey::new(&[2; 32], b"header"), PackKey::new(&[1; 32], b"")] {
            assert!(key.open(BlobKind::Chunks, 0, &mut blob.clone()).is_err());
        }
    }

    #[test]
    fn the_nonce_tail_differs_with_everything_that_goes_into_it() {
        let key = PackKey::new(&[1; 32], b"header");
        let base = key.nonce_tail(BlobKind::Chunks, ids(&[3; 32]), b"inside");
        let input = |codec, plain_len| NonceInput::Ids { codec, plain_len, ids: &[3; 32] };
        let others = [
            key.nonce_tail(BlobKind::Node, ids(&[3; 32]), b"inside"),
            key.nonce_tail(BlobKind::Chunks, ids(&[4; 32]), b"inside"),
            key.nonce_tail(BlobKind::Chunks, ids(&[3; 64]), b"inside"),
            key.nonce_tail(BlobKind::Chunks, ids(&[3; 32]), b"insides"),
            key.nonce_tail(BlobKind::Chunks, input(2, 10), b"inside"),
            key.nonce_tail(BlobKind::Chunks, input(1, 11), b"inside"),
            key.nonce_tail(BlobKind::Chunks, NonceInput::Inside, b"inside"),
            key.nonce_tail(BlobKind::Chunks, NonceInput::Inside, b"inside2"),
            PackKey::new(&[1; 32], b"other").nonce_tail(BlobKind::Chunks, ids(&[3; 32]), b"inside"),
        ];
        assert!(others.iter().all(|tail| *tail != base));
        assert_eq!(base, key.nonce_tail(BlobKind::Chunks, ids(&[3; 32]), b"inside"));
    }

    #[test]
    fn the_construction_does_not_drift() {
        // Built step by step from the primitives, as docs/format.md tells it.
        let (header, inside, offset) = (b"some header", b"inside of a blob", 0x0102_0304_u32);
        let mut keys = [0; 64];
        blake3::Hasher::new_derive_key("larder 2026 v1 pack keys")
            .update(&[7; 32])
            .update(header)
            .finalize_xof()
            .fill(&mut keys);
        let (sealing, nonce_key): ([u8; 32], [u8; 32]) =
            (keys[..32].try_into().unwrap(), keys[32..].try_into().unwrap());
        let mut tailed = vec![BlobKind::Chunks as u8, 1, 1];
        tailed.extend(10_u32.to_le_bytes());
        tailed.extend((inside.len() as u32).to_le_bytes());
        tailed.extend([3; 32]);
        let tail = blake3::keyed_hash(&nonce_key, &tailed).as_bytes()[..8].to_vec();
        let nonce: [u8; 12] = [vec![4, 3, 2, 1], tail.clone()].concat().try_into().unwrap();
        let mut text = inside.to_vec();
        let tag = chacha20poly1305::ChaCha20Poly1305::new(&sealing.into())
            .encrypt_inout_detached(&nonce.into(), &[BlobKind::Chunks as u8, 4, 3, 2, 1], text.as_mut_slice().into())
            .unwrap();
        let expected = [tail, text, tag.to_vec()].concat();
        assert_eq!(sealed(&PackKey::new(&[7; 32], header), offset, ids(&[3; 32]), inside), expected);
    }
}
