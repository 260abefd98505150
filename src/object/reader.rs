//! Reading packs: header, table, blobs. Every read verifies: seal, exact length, then the id again.

use super::{Keyring, ObjectError};
use crate::base::id::ObjectId;
use crate::codec::Decompressor;
use crate::crypto::pack::PackKey;
use crate::format::blob::{BlobHeader, BlobKind};
use crate::format::pack::{PackHeader, PackKind, PackTable};
use crate::storage::Storage;

/// A pack's storage key.
pub fn pack_key(_kind: PackKind, _id: ObjectId) -> crate::storage::StorageKey {
    todo!()
}

/// Reads a pack's header and derives its key.
pub fn open_pack(
    _storage: &dyn Storage,
    _ring: &Keyring,
    _kind: PackKind,
    _id: ObjectId,
) -> Result<(PackHeader, u32, PackKey), ObjectError> {
    todo!()
}

/// Reads a pack's table of contents through its trailer: (header, header length, pack length, table).
pub fn read_table(
    _storage: &dyn Storage,
    _ring: &Keyring,
    _kind: PackKind,
    _id: ObjectId,
) -> Result<(PackHeader, u32, u32, PackTable), ObjectError> {
    todo!()
}

/// Opens and decompresses one sealed blob that lies in `sealed` (changed in place) into `plain` (cleared first).
/// `object` names it in errors.
pub fn open_blob(
    _key: &PackKey,
    _kind: BlobKind,
    _offset: u32,
    _sealed: &mut [u8],
    _decompressor: &mut Decompressor,
    _plain: &mut Vec<u8>,
    _object: &dyn Fn() -> String,
) -> Result<BlobHeader, ObjectError> {
    todo!()
}
