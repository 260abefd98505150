//! Sealed objects. This is the only room where format, codec, crypto and storage meet.

pub mod error;
pub mod layout;
pub mod pack;
pub mod stream;
pub mod writer;
pub mod reader;
pub mod envelope;
pub mod segment;

pub use error::ObjectError;

use crate::base::id::{ContentId, StoreId};
use crate::crypto::hash::content_id;
use crate::crypto::keys::{EpochKeys, Key, StoreKeys};
use crate::format::blob::BlobKind;
use crate::format::pack::PackKind;

/// The keys that sealed I/O needs.
#[derive(Clone)]
pub struct Keyring {
    /// The store they belong to.
    pub store: StoreId,
    /// Keys of the store secret.
    pub keys: StoreKeys,
    /// Keys of each epoch, oldest first, at least one; the last seals what is new.
    pub epochs: Vec<EpochKeys>,
}

impl Keyring {
    /// The newest epoch.
    pub fn newest(&self) -> &EpochKeys {
        self.epochs.last().expect("a store has an epoch: opening one checks it")
    }

    /// The epoch of this number. `object` names in errors what was sealed in it.
    pub fn epoch(&self, number: u32, object: &dyn Fn() -> String) -> Result<&EpochKeys, ObjectError> {
        let found = self.epochs.iter().find(|epoch| epoch.number == number);
        found.ok_or_else(|| ObjectError::Epoch { object: object(), epoch: number })
    }

    /// The id of a plaintext of this kind: chunks, nodes and lists have a key each, so that a file holding the bytes of a
    /// node never takes the node's id. Other kinds have no ids; they are hashed like chunks.
    #[inline]
    pub fn id_of(&self, kind: BlobKind, plain: &[u8]) -> ContentId {
        let key = match kind {
            BlobKind::Node => &self.keys.node_id,
            BlobKind::List => &self.keys.list_id,
            _ => &self.keys.chunk_id,
        };
        content_id(key, plain)
    }
}

/// The key of an epoch that the keys of packs of this kind are derived from.
pub fn pack_secret(epoch: &EpochKeys, kind: PackKind) -> &Key {
    match kind {
        PackKind::Data => &epoch.data_pack,
        PackKind::Tree => &epoch.tree_pack,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A ring with two epochs.
    pub(crate) fn ring() -> Keyring {
        let epochs = [1, 2].map(|n| EpochKeys::new(n, &[n as u8; 32]));
        Keyring { store: StoreId([5; 16]), keys: StoreKeys::new(&[4; 32]), epochs: epochs.to_vec() }
    }

    #[test]
    fn equal_bytes_of_another_kind_have_another_id() {
        let ring = ring();
        let ids = [BlobKind::Chunks, BlobKind::Node, BlobKind::List].map(|kind| ring.id_of(kind, b"same"));
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
    }

    #[test]
    fn an_epoch_that_the_config_does_not_hold_is_named() {
        let ring = ring();
        assert_eq!(ring.newest().number, 2);
        assert_eq!(ring.epoch(1, &String::new).unwrap().number, 1);
        let error = ring.epoch(3, &|| "packs/x".into()).err().map(|e| e.to_string());
        assert!(error.is_some_and(|e| e.contains("packs/x") && e.contains("epoch 3")));
    }
}
