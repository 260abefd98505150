//! Where blobs lie in a pack: the arithmetic of `place`, without bytes.

use crate::crypto::pack::PackKey;
use crate::format::pack::{PackHeader, PackTable, TableBlob};

/// One pack being laid out. Gives out offsets in order, keeps room for table, trailer and the smallest padding.
pub struct PackLayout {
    _private: (),
}

/// What a closed layout says.
pub struct ClosedLayout {
    /// The table, for the index rows.
    pub table: PackTable,
    /// Sealed padding, sealed table and trailer: the pack's last bytes.
    pub tail: Vec<u8>,
    /// Length of the whole pack.
    pub len: u32,
}

impl PackLayout {
    /// A layout for a new pack; `pack_bytes` is the exact size of a full one.
    pub fn new(_header: &PackHeader, _pack_bytes: u32) -> PackLayout {
        todo!()
    }

    /// The header's bytes: the pack's first bytes.
    pub fn header_bytes(&self) -> &[u8] {
        todo!()
    }

    /// Whether `blob` still fits.
    pub fn fits(&self, _blob: &TableBlob) -> bool {
        todo!()
    }

    /// Gives `blob` its offset. It must fit (an empty pack takes any blob within the limits).
    pub fn place(&mut self, _blob: TableBlob) -> u32 {
        todo!()
    }

    /// Nothing placed yet.
    pub fn is_empty(&self) -> bool {
        todo!()
    }

    /// Plain bytes placed so far (sealed lengths).
    pub fn placed_bytes(&self) -> u32 {
        todo!()
    }

    /// Ends the pack: `full` fills it to exactly `pack_bytes`, otherwise to a Padmé length
    /// (Nikitin et al., PETS 2019: at most 12 % more, few distinct lengths).
    pub fn close(self, _key: &PackKey, _full: bool) -> ClosedLayout {
        todo!()
    }
}

/// The Padmé length of `len`.
pub fn padme(_len: u64) -> u64 {
    todo!()
}
