//! Listing and naming snapshots.

use super::trust::Authenticity;
use super::{Store, StoreError};
use crate::base::id::ObjectId;
use crate::format::snapshot::Manifest;

/// A snapshot that counts: its session's outcome names it, and it is not removed.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its name.
    pub id: ObjectId,
    /// What it says of itself.
    pub manifest: Manifest,
    /// Who signed it.
    pub signer: [u8; 32],
    /// Whether that holds.
    pub authenticity: Authenticity,
}

/// A manifest that could not be used.
#[derive(Debug)]
pub struct DamagedSnapshot {
    /// Its name.
    pub id: ObjectId,
    /// Why.
    pub error: StoreError,
}

impl Store {
    /// All snapshots, oldest first, and those that cannot be read.
    pub fn snapshots(&self) -> Result<(Vec<Snapshot>, Vec<DamagedSnapshot>), StoreError> {
        todo!()
    }

    /// `latest`, a full id or a unique prefix of one (at least 4 digits).
    pub fn find_snapshot(&self, _name: &str) -> Result<Snapshot, StoreError> {
        todo!()
    }

    /// The newest committed snapshot of this host key, host label and paths.
    pub fn find_parent(&self, _host: &str, _paths: &[Vec<u8>]) -> Result<Option<Snapshot>, StoreError> {
        todo!()
    }
}
