//! `key`: adding, listing, removing and changing the key slots of a store.

use crate::base::id::ObjectId;
use crate::crypto::slot::{Credential, KdfCost, unwrap};
use crate::format::keyslot::{KeySlot, SlotKind};
use crate::store::{Store, StoreError};

/// Why a key slot was not added, removed or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The store failed, or refused it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No slot is meant.
    #[error("no key slot's id begins with {0:?}")]
    NoSlot(String),
    /// More than one slot may be meant.
    #[error("{0:?} is the beginning of several key ids")]
    SeveralSlots(String),
}

/// A slot of a store.
#[derive(Debug, Clone)]
pub struct KeyInfo {
    /// The slot's id.
    pub id: ObjectId,
    /// Passphrase or key file.
    pub kind: SlotKind,
    /// A name for people.
    pub label: String,
    /// When it was made, seconds since 1970.
    pub created_s: i64,
    /// It opens with the credential given.
    pub current: bool,
}

/// All slots, oldest first.
pub fn list(store: &Store, credential: &Credential) -> Result<Vec<KeyInfo>, KeysError> {
    let mut keys: Vec<_> = store.key_slots()?.into_iter().map(|(id, slot)| info(id, &slot, credential)).collect();
    keys.sort_by_key(|key| (key.created_s, key.id));
    Ok(keys)
}

fn info(id: ObjectId, slot: &KeySlot, credential: &Credential) -> KeyInfo {
    let current = unwrap(slot, credential).is_ok();
    KeyInfo { id, kind: slot.kind, label: slot.label.clone(), created_s: slot.created_s, current }
}

/// Adds a slot.
pub fn add(store: &Store, new: &Credential, cost: KdfCost, label: &str) -> Result<ObjectId, KeysError> {
    Ok(store.add_key_slot(new, cost, label)?)
}

/// Removes the slot whose id is `name` or begins with it. Gives its id.
pub fn remove(store: &Store, name: &str) -> Result<ObjectId, KeysError> {
    let names = store.key_slot_names()?;
    let mut matching = names.into_iter().filter(|id| !name.is_empty() && id.to_string().starts_with(name));
    let id = match (matching.next(), matching.next()) {
        (Some(id), None) => id,
        (None, _) => return Err(KeysError::NoSlot(name.into())),
        (Some(_), Some(_)) => return Err(KeysError::SeveralSlots(name.into())),
    };
    store.remove_key_slot(id)?;
    Ok(id)
}

/// Puts a slot for `new` in the place of the one that `old` opens. Gives the new one's id and the removed one's.
pub fn passwd(
    store: &Store,
    old: &Credential,
    new: &Credential,
    cost: KdfCost,
) -> Result<(ObjectId, ObjectId), KeysError> {
    let slots = store.key_slots()?;
    let (old_id, slot) = slots.iter().find(|(_, slot)| unwrap(slot, old).is_ok()).ok_or(StoreError::WrongSecret)?;
    // The new slot is there and has been opened before the old one goes.
    let new_id = store.add_key_slot(new, cost, &slot.label)?;
    store.remove_key_slot(*old_id)?;
    Ok((new_id, *old_id))
}
