//! Key slots: a role's bundle under a passphrase (Argon2id) or a key file (`derive_key`).
//!
//! Either derivation gives 64 bytes: a wrapping key and a commitment. The commitment lies in the slot and is compared
//! first, in constant time: so a wrong secret is told from damage, and no ciphertext can be made that opens under two
//! secrets. Then the bundle is opened with XChaCha20-Poly1305, all other bytes of the slot being associated data.

use super::keys::{derive_pair, random_bytes, random_key};
use super::{CryptoError, seal};
use crate::base::id::StoreId;
use crate::base::limits::{KDF_LANES_MAX, KDF_MEMORY_KIB_MAX, KDF_PASSES_MAX};
use crate::format::keyslot::{KeyBundle, KeySlot, SlotKind};
use argon2::{Algorithm, Argon2, Params, Version};
use std::time::{SystemTime, UNIX_EPOCH};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// What opens a slot.
#[derive(Clone)]
pub enum Credential {
    /// 32 random bytes from a key file.
    KeyFile(Zeroizing<[u8; 32]>),
    /// A passphrase, UTF-8, taken byte for byte (no normalisation).
    Passphrase(Zeroizing<String>),
}

/// Cost of a new passphrase slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KdfCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// How often Argon2id goes over its memory.
    pub passes: u32,
}

impl Default for KdfCost {
    /// 64 MiB, 3 passes.
    fn default() -> KdfCost {
        KdfCost { memory_kib: 64 << 10, passes: 3 }
    }
}

const KEY_FILE: &str = "larder 2026 v1 key file slot";
const SLOT_WRAP: &str = "larder 2026 v1 slot wrap";

/// What a derivation gives.
struct Derived {
    wrapping: Zeroizing<[u8; 32]>,
    commitment: Zeroizing<[u8; 32]>,
}

/// Wraps a bundle in a new slot. Fills `exchange_secret` of the bundle with a fresh key first.
/// `Cost` or `Memory` when a passphrase cannot be stretched at `cost`, which a key file ignores.
pub fn wrap(
    store: StoreId,
    bundle: &KeyBundle,
    credential: &Credential,
    cost: KdfCost,
    label: &str,
) -> Result<KeySlot, CryptoError> {
    let kind = match credential {
        Credential::KeyFile(_) => SlotKind::KeyFile,
        Credential::Passphrase(_) => {
            SlotKind::Passphrase { memory_kib: cost.memory_kib, passes: cost.passes, lanes: 1 }
        }
    };
    let salt = random_bytes();
    let derived = derive(kind, &salt, credential)?;
    let exchange_secret = random_key();
    let exchange = x25519_dalek::StaticSecret::from(*exchange_secret);
    let mut slot = KeySlot {
        store,
        kind,
        salt,
        commitment: *derived.commitment,
        exchange_public: x25519_dalek::PublicKey::from(&exchange).to_bytes(),
        created_s: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64),
        label: label.to_owned(),
        sealed: Vec::new(),
        extensions: Vec::new(),
    };
    let mut bundle = bundle.clone();
    bundle.exchange_secret = *exchange_secret;
    let plain = Zeroizing::new(bundle.encode());
    let mut sealed = Vec::with_capacity(seal::OVERHEAD + plain.len());
    seal::seal(SLOT_WRAP, &derived.wrapping, &slot.associated_data(), &plain, &mut sealed);
    slot.sealed = sealed;
    Ok(slot)
}

/// Opens a slot: the commitment first (`WrongSecret`), then the seal (`Authentication` when the slot is damaged).
/// A slot of the other kind is `WrongSecret` at no cost; one that asks for more than the limits is `Cost` before anything runs.
pub fn unwrap(slot: &KeySlot, credential: &Credential) -> Result<KeyBundle, CryptoError> {
    let derived = derive(slot.kind, &slot.salt, credential)?;
    if !bool::from(derived.commitment.ct_eq(&slot.commitment)) {
        return Err(CryptoError::WrongSecret);
    }
    let plain = Zeroizing::new(seal::open(SLOT_WRAP, &derived.wrapping, &slot.associated_data(), &slot.sealed)?);
    KeyBundle::decode(&plain).map_err(|_| CryptoError::Content)
}

fn derive(kind: SlotKind, salt: &[u8; 32], credential: &Credential) -> Result<Derived, CryptoError> {
    match (kind, credential) {
        (SlotKind::KeyFile, Credential::KeyFile(key)) => {
            let (wrapping, commitment) = derive_pair(KEY_FILE, key, salt);
            Ok(Derived { wrapping, commitment })
        }
        (SlotKind::Passphrase { memory_kib, passes, lanes }, Credential::Passphrase(passphrase)) => {
            stretch(passphrase.as_bytes(), salt, memory_kib, passes, lanes)
        }
        _ => Err(CryptoError::WrongSecret),
    }
}

/// Argon2id, version 0x13. Its memory is given back before this returns.
fn stretch(
    passphrase: &[u8],
    salt: &[u8; 32],
    memory_kib: u32,
    passes: u32,
    lanes: u32,
) -> Result<Derived, CryptoError> {
    if memory_kib > KDF_MEMORY_KIB_MAX || passes > KDF_PASSES_MAX || lanes > KDF_LANES_MAX {
        return Err(CryptoError::Cost);
    }
    let mut both = Zeroizing::new([0; 64]);
    let params = Params::new(memory_kib, passes, lanes, Some(both.len())).map_err(|_| CryptoError::Cost)?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(passphrase, salt, &mut *both).map_err(
        |error| match error {
            argon2::Error::OutOfMemory => CryptoError::Memory,
            _ => CryptoError::Cost,
        },
    )?;
    let mut derived = Derived { wrapping: Zeroizing::default(), commitment: Zeroizing::default() };
    derived.wrapping.copy_from_slice(&both[..32]);
    derived.commitment.copy_from_slice(&both[32..]);
    Ok(derived)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: StoreId = StoreId([9; 16]);
    const CHEAP: KdfCost = KdfCost { memory_kib: 64, passes: 1 };

    fn bundle() -> KeyBundle {
        KeyBundle {
            role: 3,
            store_secret: [1; 32],
            master: [2; 32],
            maintainer_seed: [3; 32],
            exchange_secret: [0; 32],
        }
    }

    fn passphrase(text: &str) -> Credential {
        Credential::Passphrase(Zeroizing::new(text.to_owned()))
    }

    fn key_file(byte: u8) -> Credential {
        Credential::KeyFile(Zeroizing::new([byte; 32]))
    }

    #[test]
    fn a_slot_opens_with_its_own_secret_only() {
        for (right, wrong, other) in
            [(passphrase("right"), passphrase("wrong"), key_file(1)), (key_file(1), key_file(2), passphrase("right"))]
        {
            let slot = wrap(STORE, &bundle(), &right, CHEAP, "label").unwrap();
            let slot = KeySlot::decode(&slot.encode()).unwrap();
            let opened = unwrap(&slot, &right).unwrap();
            assert!(opened.master == [2; 32] && opened.store_secret == [1; 32] && opened.maintainer_seed == [3; 32]);
            assert_eq!(unwrap(&slot, &wrong).err(), Some(CryptoError::WrongSecret));
            assert_eq!(unwrap(&slot, &other).err(), Some(CryptoError::WrongSecret));
        }
    }

    #[test]
    fn each_slot_has_its_own_exchange_key_which_fits_its_public_one() {
        let slots = [0, 1].map(|_| wrap(STORE, &bundle(), &key_file(1), CHEAP, "").unwrap());
        let opened = slots.each_ref().map(|s| unwrap(s, &key_file(1)).unwrap());
        assert!(opened[0].exchange_secret != opened[1].exchange_secret && opened[0].exchange_secret != [0; 32]);
        for (slot, bundle) in slots.iter().zip(&opened) {
            let secret = x25519_dalek::StaticSecret::from(bundle.exchange_secret);
            assert_eq!(x25519_dalek::PublicKey::from(&secret).to_bytes(), slot.exchange_public);
        }
        assert_ne!(slots[0].salt, slots[1].salt);
        assert_ne!(slots[0].commitment, slots[1].commitment);
    }

    #[test]
    fn every_field_of_a_slot_is_bound() {
        let right = key_file(1);
        let slot = wrap(STORE, &bundle(), &right, CHEAP, "label").unwrap();
        let changes: [fn(&mut KeySlot); 6] = [
            |s| s.store = StoreId([8; 16]),
            |s| s.exchange_public[0] ^= 1,
            |s| s.created_s += 1,
            |s| s.label.push('x'),
            |s| s.sealed[30] ^= 1,
            |s| s.sealed.truncate(20),
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut bad = slot.clone();
            change(&mut bad);
            assert_eq!(unwrap(&bad, &right).err(), Some(CryptoError::Authentication), "change {number}");
        }
        let mut salted = slot.clone();
        salted.salt[0] ^= 1;
        assert_eq!(unwrap(&salted, &right).err(), Some(CryptoError::WrongSecret));
        let mut committed = slot;
        committed.commitment[31] ^= 0x80;
        assert_eq!(unwrap(&committed, &right).err(), Some(CryptoError::WrongSecret));
    }

    #[test]
    fn costs_beyond_the_limits_are_refused_before_anything_runs() {
        let slot = wrap(STORE, &bundle(), &passphrase("p"), CHEAP, "").unwrap();
        let bad = [
            (KDF_MEMORY_KIB_MAX + 1, 1, 1),
            (u32::MAX, u32::MAX, u32::MAX),
            (64, KDF_PASSES_MAX + 1, 1),
            (64, 0, 1),
            (64, 1, 0),
            (64, 1, KDF_LANES_MAX + 1),
            (7, 1, 1),
            (0, 1, 1),
        ];
        for (memory_kib, passes, lanes) in bad {
            let kind = SlotKind::Passphrase { memory_kib, passes, lanes };
            let costly = KeySlot { kind, ..slot.clone() };
            assert_eq!(unwrap(&costly, &passphrase("p")).err(), Some(CryptoError::Cost), "{kind:?}");
        }
        let cost = KdfCost { memory_kib: KDF_MEMORY_KIB_MAX + 1, passes: 1 };
        assert_eq!(wrap(STORE, &bundle(), &passphrase("p"), cost, "").err(), Some(CryptoError::Cost));
    }

    #[test]
    fn the_derivations_do_not_drift() {
        let show = |d: Derived| {
            let hex = |b: &[u8]| b.iter().map(|b| format!("{b:02x}")).collect::<String>();
            (hex(&d.wrapping[..8]), hex(&d.commitment[..8]))
        };
        let kind = SlotKind::Passphrase { memory_kib: 64, passes: 3, lanes: 1 };
        let derived = derive(kind, &[5; 32], &passphrase("correct horse")).unwrap();
        assert_eq!(show(derived), ("8a5ad28d494cadef".to_owned(), "b4ddb35abd2231b2".to_owned()));
        let derived = derive(SlotKind::KeyFile, &[5; 32], &key_file(6)).unwrap();
        assert_eq!(show(derived), ("124785e2b60b2ce3".to_owned(), "23f1668edefcc525".to_owned()));
    }
}
