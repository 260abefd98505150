//! Small sealed objects: manifests, session and state records.

use super::{Keyring, ObjectError};
use crate::format::envelope::ObjectKind;
use crate::storage::{Created, Storage, StorageKey};

/// Seals an object; its name can then be computed before it is stored.
pub fn seal(_ring: &Keyring, _kind: ObjectKind, _plain: &[u8]) -> Vec<u8> {
    todo!()
}

/// Opens the bytes of an object of this kind. `object` names it in errors.
pub fn open(_ring: &Keyring, _kind: ObjectKind, _bytes: &[u8], _object: &str) -> Result<Vec<u8>, ObjectError> {
    todo!()
}

/// Seals and creates an object under a name that is known (session records).
pub fn put(
    _storage: &dyn Storage,
    _ring: &Keyring,
    _kind: ObjectKind,
    _key: &StorageKey,
    _plain: &[u8],
) -> Result<Created, ObjectError> {
    todo!()
}

/// Reads and opens an object; one named by its hash is checked against its name first.
pub fn get(
    _storage: &dyn Storage,
    _ring: &Keyring,
    _kind: ObjectKind,
    _key: &StorageKey,
) -> Result<Vec<u8>, ObjectError> {
    todo!()
}
