//! Sub-keys by BLAKE3 `derive_key`, one per purpose.

use zeroize::Zeroizing;

/// A secret key; wiped when dropped.
pub type Key = Zeroizing<[u8; 32]>;

/// 32 bytes from the system's random generator.
pub fn random_key() -> Key {
    todo!()
}

/// Random bytes (names, salts).
pub fn random_bytes<const N: usize>() -> [u8; N] {
    todo!()
}

/// Keys from the store secret: never rotated.
#[derive(Clone)]
#[allow(missing_docs, reason = "the names say it")]
pub struct StoreKeys {
    pub chunk_id: Key,
    pub list_id: Key,
    pub node_id: Key,
    /// Boundaries of tree nodes and of list nodes.
    pub boundary: Key,
    pub gear: Key,
    pub index: Key,
    pub session: Key,
    pub state: Key,
}

impl StoreKeys {
    /// Derives all of them.
    pub fn new(_store_secret: &[u8; 32]) -> StoreKeys {
        todo!()
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
    pub fn new(_number: u32, _epoch_key: &[u8; 32]) -> EpochKeys {
        todo!()
    }
}

/// Seals an epoch key under the master key, for the config: nonce 24 · 32 · tag 16.
pub fn seal_epoch(_master: &[u8; 32], _number: u32, _epoch_key: &[u8; 32]) -> Vec<u8> {
    todo!()
}

/// The way back.
pub fn open_epoch(_master: &[u8; 32], _number: u32, _sealed: &[u8]) -> Result<Key, super::CryptoError> {
    todo!()
}
