//! Key slots: `key add/list/remove/passwd`.

use super::open::{new_slot, read_slots};
use super::{Store, StoreError};
use crate::base::id::ObjectId;
use crate::base::limits::{KEY_SLOT_BYTES_MAX, KEY_SLOTS_MAX};
use crate::crypto::hash::object_id;
use crate::crypto::slot::{Credential, KdfCost, unwrap};
use crate::format::keyslot::KeySlot;
use crate::storage::StorageKey;

impl Store {
    /// All slots, newest first. Those that cannot be read are noticed.
    pub fn key_slots(&self) -> Result<Vec<(ObjectId, KeySlot)>, StoreError> {
        let (slots, unreadable) = read_slots(&*self.storage, self.id())?;
        unreadable.iter().for_each(|(_, error)| self.notice(format!("a key slot cannot be read: {error}")));
        Ok(slots)
    }

    /// Adds a slot, reads it back and opens it.
    pub fn add_key_slot(&self, credential: &Credential, cost: KdfCost, label: &str) -> Result<ObjectId, StoreError> {
        if self.key_slots()?.len() >= KEY_SLOTS_MAX {
            return Err(StoreError::Refused(format!(
                "a store has at most {KEY_SLOTS_MAX} key slots; remove one first"
            )));
        }
        let bytes = new_slot(self.id(), &self.bundle, credential, cost, label)?;
        let id = object_id(&bytes);
        let key = StorageKey::KeySlot(id);
        self.storage.put_if_absent(&key, &bytes)?;
        let stored = self.storage.get(&key, KEY_SLOT_BYTES_MAX)?;
        let opens = KeySlot::decode(&stored).is_ok_and(|slot| unwrap(&slot, credential).is_ok());
        if stored != bytes || !opens {
            self.storage.delete(&key)?;
            return Err(StoreError::Refused(
                "the new key slot did not come back from the storage as it was written".into(),
            ));
        }
        Ok(id)
    }

    /// Removes a slot; refused for the last one.
    pub fn remove_key_slot(&self, id: ObjectId) -> Result<(), StoreError> {
        let slots = self.key_slots()?;
        if !slots.iter().any(|(slot, _)| *slot == id) {
            return Err(StoreError::Refused(format!("there is no key slot {id}")));
        }
        if slots.len() == 1 {
            return Err(StoreError::Refused(
                "this is the last key slot: without it nobody could open the store".into(),
            ));
        }
        Ok(self.storage.delete(&StorageKey::KeySlot(id))?)
    }
}
