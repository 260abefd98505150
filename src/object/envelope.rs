//! Small sealed objects: manifests, session and state records.

use super::{Keyring, ObjectError};
use crate::base::limits::{MANIFEST_BYTES_MAX, SESSION_BYTES_MAX, STATE_BYTES_MAX};
use crate::crypto::CryptoError;
use crate::crypto::hash::object_id;
use crate::crypto::keys::Key;
use crate::crypto::seal::{open_small, seal_small};
use crate::format::envelope::{Envelope, ObjectKind};
use crate::storage::{Created, Storage, StorageKey};

/// What the seal adds at most; a limit on plaintext becomes one on the object with it.
const SEAL_BYTES: usize = Envelope::LEN + Envelope::NONCE_LEN + 16;

/// Seals an object; its name can then be computed before it is stored.
pub fn seal(ring: &Keyring, kind: ObjectKind, plain: &[u8]) -> Vec<u8> {
    let epoch = if kind == ObjectKind::Manifest { ring.newest().number } else { 0 };
    let key = if kind == ObjectKind::Manifest { &ring.newest().manifest } else { lasting_key(ring, kind) };
    seal_small(key, &Envelope { kind, store: ring.store, epoch }, plain)
}

/// The key of kinds that do not belong to an epoch.
fn lasting_key(ring: &Keyring, kind: ObjectKind) -> &Key {
    match kind {
        ObjectKind::Lease | ObjectKind::Checkpoint | ObjectKind::Outcome => &ring.keys.session,
        _ => &ring.keys.state,
    }
}

/// Opens the bytes of an object of this kind. `object` names it in errors.
pub fn open(ring: &Keyring, kind: ObjectKind, bytes: &[u8], object: &str) -> Result<Vec<u8>, ObjectError> {
    let decoded = Envelope::decode(bytes);
    let (found, ..) = decoded.map_err(|source| ObjectError::Decode { object: object.into(), source })?;
    let refused = || ObjectError::Crypto { object: object.into(), source: CryptoError::Authentication };
    if found.kind != kind || found.store != ring.store || (found.epoch != 0) != (kind == ObjectKind::Manifest) {
        return Err(refused());
    }
    let key = match kind {
        ObjectKind::Manifest => &ring.epoch(found.epoch, &|| object.into())?.manifest,
        _ => lasting_key(ring, kind),
    };
    open_small(key, &found, bytes).map_err(|_| refused())
}

/// The kind that the bytes of an object say they are. Nothing of it is proven before it opens.
pub fn kind_of(bytes: &[u8], object: &str) -> Result<ObjectKind, ObjectError> {
    let decoded = Envelope::decode(bytes);
    Ok(decoded.map_err(|source| ObjectError::Decode { object: object.into(), source })?.0.kind)
}

/// What an object with wrong bytes was: it opens as that when only the plain part is wrong, else the plain part says it.
pub fn kind_of_damaged(ring: &Keyring, bytes: &[u8]) -> Option<ObjectKind> {
    let mut whole = bytes.to_vec();
    let opens = |kind: &ObjectKind| {
        let Some(plain_part) = whole.get_mut(..Envelope::LEN) else { return false };
        plain_part.copy_from_slice(&Envelope { kind: *kind, store: ring.store, epoch: 0 }.encode());
        open(ring, *kind, &whole, "").is_ok()
    };
    ObjectKind::ALL.into_iter().find(opens).or_else(|| kind_of(bytes, "").ok())
}

/// Seals and creates an object under a name that is known (session records).
#[cfg_attr(not(any(test, feature = "internals")), allow(dead_code))]
pub fn put(
    storage: &dyn Storage,
    ring: &Keyring,
    kind: ObjectKind,
    key: &StorageKey,
    plain: &[u8],
) -> Result<Created, ObjectError> {
    Ok(storage.put_if_absent(key, &seal(ring, kind, plain))?)
}

/// Reads and opens an object; one named by its hash is checked against its name first.
pub fn get(storage: &dyn Storage, ring: &Keyring, kind: ObjectKind, key: &StorageKey) -> Result<Vec<u8>, ObjectError> {
    open(ring, kind, &get_sealed(storage, key)?, &key.path())
}

/// Reads a small object as it is stored; one named by its hash is checked against its name.
pub fn get_sealed(storage: &dyn Storage, key: &StorageKey) -> Result<Vec<u8>, ObjectError> {
    let (name, max) = match key {
        StorageKey::Snapshot(id) => (Some(*id), MANIFEST_BYTES_MAX),
        StorageKey::State(id) => (Some(*id), STATE_BYTES_MAX),
        StorageKey::Decision(_) => (None, STATE_BYTES_MAX),
        _ => (None, SESSION_BYTES_MAX),
    };
    let bytes = storage.get(key, max + SEAL_BYTES)?;
    match name {
        Some(id) if object_id(&bytes) != id => Err(ObjectError::Mismatch { object: key.path() }),
        _ => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::{ObjectId, SessionId, StoreId};
    use crate::object::tests::ring;
    use crate::storage::MemoryStorage;

    #[test]
    fn a_small_object_comes_back_under_its_name() {
        let (storage, ring) = (MemoryStorage::default(), ring());
        for kind in ObjectKind::ALL {
            let sealed = seal(&ring, kind, b"what it says");
            assert_eq!(kind_of(&sealed, "x").unwrap(), kind);
            let key = match kind {
                ObjectKind::Manifest => StorageKey::Snapshot(object_id(&sealed)),
                ObjectKind::Outcome => StorageKey::Outcome(SessionId([1; 16])),
                _ => StorageKey::State(object_id(&sealed)),
            };
            assert_eq!(storage.put_if_absent(&key, &sealed).unwrap(), Created::New);
            assert_eq!(get(&storage, &ring, kind, &key).unwrap(), b"what it says");
            for other in ObjectKind::ALL.into_iter().filter(|&other| other != kind) {
                assert!(get(&storage, &ring, other, &key).is_err_and(|e| e.is_damage()), "{kind:?} as {other:?}");
            }
        }
    }

    #[test]
    fn an_object_of_another_store_or_under_another_name_is_refused() {
        let (storage, ring) = (MemoryStorage::default(), ring());
        let other = Keyring { store: StoreId([0xee; 16]), ..ring.clone() };
        let sealed = seal(&other, ObjectKind::Manifest, b"foreign");
        assert!(open(&ring, ObjectKind::Manifest, &sealed, "x").is_err_and(|e| e.is_damage()));
        let key = StorageKey::Snapshot(ObjectId([1; 32]));
        storage.put_if_absent(&key, &seal(&ring, ObjectKind::Manifest, b"moved")).unwrap();
        assert!(matches!(get(&storage, &ring, ObjectKind::Manifest, &key), Err(ObjectError::Mismatch { .. })));
    }

    #[test]
    fn old_epochs_open_and_unknown_ones_are_said() {
        let ring = ring();
        let old = Keyring { epochs: ring.epochs[..1].to_vec(), ..ring.clone() };
        let sealed = seal(&old, ObjectKind::Manifest, b"old");
        assert_eq!(open(&ring, ObjectKind::Manifest, &sealed, "x").unwrap(), b"old");
        let sealed = seal(&ring, ObjectKind::Manifest, b"new");
        assert!(matches!(open(&old, ObjectKind::Manifest, &sealed, "x"), Err(ObjectError::Epoch { epoch: 2, .. })));
    }
}
