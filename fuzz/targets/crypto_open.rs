//! What is sealed opens at its place; with a bit flipped, or at another place, it does not. Nor does anything not sealed.
#![no_main]

use larder::base::id::StoreId;
use larder::crypto::pack::{NonceInput, PackKey};
use larder::crypto::seal::{open_small, seal_small};
use larder::format::blob::{BlobKind, NONCE_TAIL_LEN, SEAL_OVERHEAD};
use larder::format::envelope::{Envelope, ObjectKind};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((head, inside)) = bytes.split_first_chunk::<6>() else { return };
    let offset = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    let flip = usize::from(u16::from_le_bytes([head[4], head[5]]));
    let key = PackKey::new(&[1; 32], b"header");
    let mut blob = vec![0; inside.len() + SEAL_OVERHEAD];
    blob[NONCE_TAIL_LEN..][..inside.len()].copy_from_slice(inside);
    assert!(key.open(BlobKind::Chunks, offset, &mut blob.clone()).is_err());
    key.seal(BlobKind::Chunks, offset, NonceInput::Inside, &mut blob);
    let mut flipped = blob.clone();
    flipped[flip / 8 % blob.len()] ^= 1 << (flip % 8);
    assert!(key.open(BlobKind::Chunks, offset, &mut flipped).is_err());
    assert!(key.open(BlobKind::Node, offset, &mut blob.clone()).is_err());
    assert!(key.open(BlobKind::Chunks, offset ^ (1 << (flip % 32)), &mut blob.clone()).is_err());
    assert_eq!(key.open(BlobKind::Chunks, offset, &mut blob).as_deref(), Ok(inside));

    let envelope = Envelope { kind: ObjectKind::Lease, store: StoreId([2; 16]), epoch: 0 };
    assert!(open_small(&[3; 32], &envelope, inside).is_err());
    let mut object = seal_small(&[3; 32], &envelope, inside);
    assert_eq!(open_small(&[3; 32], &envelope, &object).as_deref(), Ok(inside));
    let at = flip / 8 % object.len();
    object[at] ^= 1 << (flip % 8);
    assert!(open_small(&[3; 32], &envelope, &object).is_err());
});
