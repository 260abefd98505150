//! Key slots: `key add/list/remove/passwd`.

use super::{Store, StoreError};
use crate::base::id::ObjectId;
use crate::crypto::slot::{Credential, KdfCost};
use crate::format::keyslot::KeySlot;

impl Store {
    /// All slots.
    pub fn key_slots(&self) -> Result<Vec<(ObjectId, KeySlot)>, StoreError> {
        todo!()
    }

    /// Adds a slot, reads it back and opens it.
    pub fn add_key_slot(&self, _credential: &Credential, _cost: KdfCost, _label: &str) -> Result<ObjectId, StoreError> {
        todo!()
    }

    /// Removes a slot; refused for the last one.
    pub fn remove_key_slot(&self, _id: ObjectId) -> Result<(), StoreError> {
        todo!()
    }
}
