//! fetch: one read of a pack, and the pack's key.
//!
//! Takes a read step, gives the sealed bytes in a recycled buffer. Owns nothing. Its errors are those of one pack: the
//! files that need it try their other copies.

use super::item::Pack;
use crate::crypto::pack::PackKey;
use crate::object::ObjectError;
use crate::object::reader::open_pack;
use crate::store::Store;

/// Reads `len` bytes at `offset` of the pack into `sealed`, which keeps its room from read to read.
pub fn fetch(store: &Store, pack: &Pack, offset: u32, len: u32, sealed: &mut Vec<u8>) -> Result<(), ObjectError> {
    // Only what it grows by is filled with zeros.
    sealed.resize(len as usize, 0);
    Ok(store.storage.get_range(&pack.storage_key, u64::from(offset), sealed)?)
}

/// The pack's key; its header is read once.
pub fn key_of<'a>(store: &Store, pack: &'a Pack) -> Result<&'a PackKey, &'a ObjectError> {
    let opened = pack.opened.get_or_init(|| {
        let opened = open_pack(&*store.storage, &store.ring, pack.kind, pack.id);
        opened.map(|(_, _, key)| key)
    });
    opened.as_ref()
}
