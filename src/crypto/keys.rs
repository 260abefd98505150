//! Sub-keys by BLAKE3 `derive_key`, one per purpose.
//!
//! The context strings are part of the format: `larder 2026 v1 <purpose>`, never used for two purposes.

use super::{CryptoError, seal};
use zeroize::Zeroizing;

/// A secret key; wiped when dropped.
pub type Key = Zeroizing<[u8; 32]>;

/// 32 bytes from the system's random generator.
pub fn random_key() -> Key {
    Zeroizing::new(random_bytes())
}

/// Random bytes (names, salts) from the system's generator.
///
/// # Panics
/// When the system has no random generator: nothing may be sealed without one.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system's random generator works");
    bytes
}

fn derive(context: &str, secret: &[u8; 32]) -> Key {
    Zeroizing::new(blake3::derive_key(context, secret))
}

/// Two keys that come from the same secret and `rest` and say nothing about each other: the first 64 bytes of
/// BLAKE3's `derive_key` output stream. `secret` has a fixed length, so `secret · rest` has one reading.
pub(super) fn derive_pair(context: &str, secret: &[u8; 32], rest: &[u8]) -> (Key, Key) {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(secret).update(rest);
    let mut both = Zeroizing::new([0; 64]);
    hasher.finalize_xof().fill(&mut *both);
    let (mut first, mut second) = (Key::default(), Key::default());
    first.copy_from_slice(&both[..32]);
    second.copy_from_slice(&both[32..]);
    (first, second)
}

/// Keys from the store secret: never rotated.
#[derive(Clone)]
#[allow(missing_docs, reason = "the names say it")]
pub struct StoreKeys {
    pub chunk_id: Key,
    pub list_id: Key,
    pub node_id: Key,
    /// Where tree nodes end. List nodes end by the ids of their chunks.
    pub boundary: Key,
    pub gear: Key,
    pub index: Key,
    pub session: Key,
    pub state: Key,
    /// Of what a machine caches beside the index: never of anything in the store.
    pub cache: Key,
}

impl StoreKeys {
    /// Derives all of them.
    pub fn new(store_secret: &[u8; 32]) -> StoreKeys {
        StoreKeys {
            chunk_id: derive("larder 2026 v1 chunk id", store_secret),
            list_id: derive("larder 2026 v1 list id", store_secret),
            node_id: derive("larder 2026 v1 node id", store_secret),
            boundary: derive("larder 2026 v1 node boundary", store_secret),
            gear: derive("larder 2026 v1 gear table", store_secret),
            index: derive("larder 2026 v1 index segment", store_secret),
            session: derive("larder 2026 v1 session record", store_secret),
            state: derive("larder 2026 v1 state record", store_secret),
            cache: derive("larder 2026 v1 local cache", store_secret),
        }
    }
}

/// Keys of one epoch: they seal the contents.
#[derive(Clone)]
#[allow(missing_docs, reason = "the names say it")]
pub struct EpochKeys {
    pub number: u32,
    pub data_pack: Key,
    pub tree_pack: Key,
    pub manifest: Key,
}

impl EpochKeys {
    /// Derives all of them.
    pub fn new(number: u32, epoch_key: &[u8; 32]) -> EpochKeys {
        EpochKeys {
            number,
            data_pack: derive("larder 2026 v1 data pack", epoch_key),
            tree_pack: derive("larder 2026 v1 tree pack", epoch_key),
            manifest: derive("larder 2026 v1 manifest", epoch_key),
        }
    }
}

const EPOCH_WRAP: &str = "larder 2026 v1 epoch wrap";

/// Seals an epoch key under the master key, for the config: nonce 24 · 32 · tag 16. The number is bound.
pub fn seal_epoch(master: &[u8; 32], number: u32, epoch_key: &[u8; 32]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(seal::OVERHEAD + epoch_key.len());
    seal::seal(EPOCH_WRAP, master, &number.to_le_bytes(), epoch_key, &mut sealed);
    sealed
}

/// The way back.
pub fn open_epoch(master: &[u8; 32], number: u32, sealed: &[u8]) -> Result<Key, CryptoError> {
    let opened = Zeroizing::new(seal::open(EPOCH_WRAP, master, &number.to_le_bytes(), sealed)?);
    let key: &[u8; 32] = opened.as_slice().try_into().map_err(|_| CryptoError::Content)?;
    Ok(Zeroizing::new(*key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_purposes_share_a_key() {
        let (store, epoch) = (StoreKeys::new(&[7; 32]), EpochKeys::new(1, &[7; 32]));
        let all = [
            &store.chunk_id,
            &store.list_id,
            &store.node_id,
            &store.boundary,
            &store.gear,
            &store.index,
            &store.session,
            &store.state,
            &store.cache,
            &epoch.data_pack,
            &epoch.tree_pack,
            &epoch.manifest,
        ];
        let distinct: HashSet<[u8; 32]> = all.iter().map(|k| ***k).collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn the_derivation_does_not_drift() {
        let fold = |keys: &[&Key]| {
            let mut hasher = blake3::Hasher::new();
            keys.iter().for_each(|k| _ = hasher.update(k.as_slice()));
            hasher.finalize().to_hex().to_string()
        };
        let s = StoreKeys::new(&[1; 32]);
        let e = EpochKeys::new(3, &[2; 32]);
        assert_eq!(
            fold(&[&s.chunk_id, &s.list_id, &s.node_id, &s.boundary, &s.gear, &s.index, &s.session, &s.state]),
            "be18f0ef0ae3ed825fdee73c94c2f0502e00c42282df443633713dd57c53e244"
        );
        assert_eq!(
            fold(&[&e.data_pack, &e.tree_pack, &e.manifest]),
            "54992f6d3d40e058282c2f6405905ff237c1ed327a0ee12e41b4d2b425d5460a"
        );
    }

    #[test]
    fn an_epoch_key_comes_back_only_under_its_master_and_number() {
        let (master, key) = (random_key(), random_key());
        let sealed = seal_epoch(&master, 5, &key);
        assert_eq!(sealed.len(), 24 + 32 + 16);
        assert_eq!(open_epoch(&master, 5, &sealed).as_deref(), Ok(&*key));
        assert_eq!(open_epoch(&master, 6, &sealed).unwrap_err(), CryptoError::Authentication);
        assert_eq!(open_epoch(&random_key(), 5, &sealed).unwrap_err(), CryptoError::Authentication);
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert_eq!(open_epoch(&master, 5, &bad).unwrap_err(), CryptoError::Authentication, "byte {at}");
        }
        for len in 0..sealed.len() {
            assert!(open_epoch(&master, 5, &sealed[..len]).is_err(), "cut to {len}");
        }
    }

    #[test]
    fn random_keys_differ() {
        assert_ne!(*random_key(), *random_key());
        assert_ne!(random_bytes::<16>(), random_bytes::<16>());
    }
}
