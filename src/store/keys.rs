//! Key slots: `key add`, `list`, `remove` and `passwd`.
//!
//! The maintainer's signature on the config covers the list of slots. So anybody, even without a key, can tell a slot
//! that was changed, added, brought back or taken away by somebody else.

use super::open::{Slots, new_slot, read_slots};
use super::{Store, StoreError};
use crate::base::id::ObjectId;
use crate::base::limits::{KEY_SLOT_BYTES_MAX, KEY_SLOTS_MAX};
use crate::crypto::hash::object_id;
use crate::crypto::slot::{Credential, KdfCost, unwrap};
use crate::format::keyslot::KeySlot;
use crate::storage::{Area, StorageErrorKind, StorageKey};

impl Store {
    /// All slots, those that the config lists first, then newest first. Those that cannot be read or are not listed are
    /// noticed.
    pub fn key_slots(&self) -> Result<Vec<(ObjectId, KeySlot)>, StoreError> {
        let listed = self.listed_slots()?;
        let (slots, unreadable) = self.slots_under(&listed)?;
        unreadable.iter().for_each(|(_, error)| self.notice(format!("a key slot cannot be read: {error}")));
        if let Some(listed) = listed {
            for (id, _) in slots.iter().filter(|(id, _)| !listed.contains(id)) {
                self.notice(format!(
                    "key slot {id} is not listed in the store's config. Somebody changed it or put it there, or \
                     adding or removing it was interrupted. Do not trust its label; `larder key remove {id}` removes it"
                ));
            }
        }
        Ok(slots)
    }

    fn slots_under(&self, listed: &Option<Vec<ObjectId>>) -> Result<Slots, StoreError> {
        read_slots(&*self.storage, self.id(), listed.as_deref().unwrap_or_default())
    }

    /// The names of all slots that are there or are listed, whether they can be read or not.
    pub fn key_slot_names(&self) -> Result<Vec<ObjectId>, StoreError> {
        let mut names = self.listed_slots()?.unwrap_or_default();
        self.storage.list(Area::Keys, &mut |found| {
            if let StorageKey::KeySlot(id) = found.key {
                names.push(id);
            }
        })?;
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Refused while this machine's trust file is damaged: an old state of the store would be built upon unnoticed.
    fn may_write(&self) -> Result<(), StoreError> {
        self.trust.damage().map_or(Ok(()), Err)
    }

    /// Adds a slot, reads it back, opens it, and lists it in the next config.
    pub fn add_key_slot(&self, credential: &Credential, cost: KdfCost, label: &str) -> Result<ObjectId, StoreError> {
        self.may_write()?;
        let slots = self.key_slots()?;
        if slots.len() >= KEY_SLOTS_MAX {
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
        // A store that did not list its slots so far begins with those it has.
        let before: Vec<ObjectId> = slots.iter().map(|(id, _)| *id).collect();
        self.change_config(&|config| {
            let mut listed = config.key_slots().unwrap_or_else(|| before.clone());
            listed.push(id);
            config.set_key_slots(listed);
        })?;
        Ok(id)
    }

    /// Removes a slot, or what the config lists of one that is lost; refused for the last one that opens the store.
    pub fn remove_key_slot(&self, id: ObjectId) -> Result<(), StoreError> {
        self.may_write()?;
        if !self.key_slot_names()?.contains(&id) {
            return Err(StoreError::Refused(format!("there is no key slot {id}")));
        }
        let listed = self.listed_slots()?;
        let (slots, _) = self.slots_under(&listed)?;
        // One that was slipped in opens nothing.
        let mut others = slots.iter().map(|(id, _)| *id).filter(|other| *other != id);
        if !others.any(|other| listed.as_ref().is_none_or(|listed| listed.contains(&other))) {
            return Err(StoreError::Refused(
                "this is the last key slot: without it nobody could open the store".into(),
            ));
        }
        // First the list: a slot that stays behind is named, and this can be done again.
        let before: Vec<ObjectId> = slots.iter().map(|(id, _)| *id).collect();
        self.change_config(&|config| {
            let mut listed = config.key_slots().unwrap_or_else(|| before.clone());
            listed.retain(|listed| *listed != id);
            config.set_key_slots(listed);
        })?;
        match self.storage.head(&StorageKey::KeySlot(id)) {
            Err(error) if error.kind == StorageErrorKind::NotFound => Ok(()),
            _ => Ok(self.storage.delete(&StorageKey::KeySlot(id))?),
        }
    }
}
