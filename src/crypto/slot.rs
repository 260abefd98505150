//! Key slots: a role's bundle under a passphrase (Argon2id) or a key file (`derive_key`).

use super::CryptoError;
use crate::base::id::StoreId;
use crate::format::keyslot::{KeyBundle, KeySlot};
use zeroize::Zeroizing;

/// What opens a slot.
#[derive(Clone)]
pub enum Credential {
    /// 32 random bytes from a key file.
    KeyFile(Zeroizing<[u8; 32]>),
    /// A passphrase, UTF-8.
    Passphrase(Zeroizing<String>),
}

/// Cost of a new passphrase slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KdfCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes.
    pub passes: u32,
}

impl Default for KdfCost {
    /// 64 MiB, 3 passes.
    fn default() -> KdfCost {
        KdfCost { memory_kib: 64 << 10, passes: 3 }
    }
}

/// Wraps a bundle in a new slot. Fills `exchange_secret` of the bundle with a fresh key first.
pub fn wrap(
    _store: StoreId,
    _bundle: &KeyBundle,
    _credential: &Credential,
    _cost: KdfCost,
    _label: &str,
) -> Result<KeySlot, CryptoError> {
    todo!()
}

/// Opens a slot: the commitment first (`WrongSecret`), then the seal. A slot of the other kind is `WrongSecret` at no cost.
pub fn unwrap(_slot: &KeySlot, _credential: &Credential) -> Result<KeyBundle, CryptoError> {
    todo!()
}
