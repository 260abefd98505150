//! `keys/<id>`: a role's bundle of keys, wrapped under a passphrase or a key file.

use crate::base::id::StoreId;
use crate::format::error::DecodeError;
use crate::format::extension::Extension;

/// How the wrapping key comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotKind {
    /// Argon2id over a passphrase.
    Passphrase {
        /// Memory in KiB.
        memory_kib: u32,
        /// Passes.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
    /// 32 random bytes through `derive_key`, not stretched.
    KeyFile,
}

/// A decoded key slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySlot {
    /// The store it opens.
    pub store: StoreId,
    /// How.
    pub kind: SlotKind,
    /// Salt of the derivation.
    pub salt: [u8; 32],
    /// Key commitment: checked before anything is opened.
    pub commitment: [u8; 32],
    /// X25519 public key; the secret one lies in the bundle.
    pub exchange_public: [u8; 32],
    /// When it was made, seconds since 1970.
    pub created_s: i64,
    /// A name for people.
    pub label: String,
    /// nonce 24 · sealed bundle · tag 16.
    pub sealed: Vec<u8>,
    /// Room to grow.
    pub extensions: Vec<Extension>,
}

impl KeySlot {
    /// All bytes before `sealed`, which are the associated data.
    pub fn associated_data(&self) -> Vec<u8> {
        todo!()
    }

    /// All bytes.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }

    /// Reads a slot back; derivation costs beyond the limits are refused.
    pub fn decode(_bytes: &[u8]) -> Result<KeySlot, DecodeError> {
        todo!()
    }
}

/// What a slot wraps.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyBundle {
    /// 1 writer, 2 reader, 3 admin. Only admin is issued so far.
    pub role: u8,
    /// The store secret; zero when the role lacks it.
    pub store_secret: [u8; 32],
    /// The master key, which opens the epochs.
    pub master: [u8; 32],
    /// Seed of the maintainer's ed25519 key.
    pub maintainer_seed: [u8; 32],
    /// X25519 secret of the slot.
    pub exchange_secret: [u8; 32],
}

impl KeyBundle {
    /// All bytes.
    pub fn encode(&self) -> Vec<u8> {
        todo!()
    }

    /// Reads a bundle back.
    pub fn decode(_bytes: &[u8]) -> Result<KeyBundle, DecodeError> {
        todo!()
    }
}

impl Drop for KeyBundle {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.store_secret.zeroize();
        self.master.zeroize();
        self.maintainer_seed.zeroize();
        self.exchange_secret.zeroize();
    }
}
