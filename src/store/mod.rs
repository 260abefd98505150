//! The opened store: creating and opening it, sessions, snapshots, and its index.

pub mod error;
pub mod machine_folders;
pub mod open;
pub(crate) mod configs;
pub mod keys;
pub mod trust;
pub mod state;
mod judge;
mod witnesses;
pub mod outcome;
pub mod segments;
pub mod session;
pub mod gather;
pub mod commit;
pub mod adopt;
pub mod damage;
pub mod index_damage;
pub mod manifests;
pub mod snapshots;
pub mod newest;
pub mod cache;
mod machine_files;
#[cfg(test)]
pub(crate) mod tests;

pub use error::StoreError;
pub(crate) use judge::{FoundOutcome, JudgedRecord};
pub use machine_folders::MachineFolders;
pub(crate) use witnesses::{Testimony, Witnesses};

use crate::base::id::StoreId;
use crate::base::limits::NOTICES_MAX;
use crate::crypto::sign::SigningKey;
use crate::format::config::Config;
use crate::format::keyslot::KeyBundle;
use crate::index::Index;
use crate::index::suspects::Suspects;
use crate::object::Keyring;
use crate::storage::Storage;
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Roles in the roster.
const MAINTAINER: u8 = 1;
const WRITER: u8 = 2;
const READER: u8 = 4;
const SHUT_OUT: u8 = 8;

/// An opened store.
pub struct Store {
    /// Where it lies.
    pub storage: Arc<dyn Storage>,
    /// Its config, signature verified.
    pub config: Config,
    /// The keys of the store.
    pub ring: Arc<Keyring>,
    /// Folders of this machine.
    pub places: MachineFolders,
    /// This machine's signing key.
    pub host_key: SigningKey,
    /// It is kept in this machine's configuration folder. If not, this store object only reads.
    host_key_lasts: bool,
    /// The maintainer's key, when the credential's role holds it.
    pub maintainer: Option<SigningKey>,
    /// The index; empty until [`Store::load_index`].
    pub index: Arc<RwLock<Index>>,
    bundle: KeyBundle,
    cache: cache::Cache,
    trust: trust::TrustFile,
    manifests: Mutex<manifests::Manifests>,
    segments: Mutex<segments::Segments>,
    records: Mutex<state::Records>,
    /// A session of this store object writes.
    writing: AtomicBool,
    notices: Mutex<Vec<String>>,
    /// What this process found damaged of packs.
    damage: Mutex<Suspects>,
    /// What it found damaged of the index.
    index_damage: Mutex<index_damage::Noted>,
}

impl Store {
    /// The id that the store was given when it was made.
    pub fn id(&self) -> StoreId {
        self.config.store
    }

    /// Where this machine caches what it knows of the store: a temporary folder when its cache cannot be used.
    pub(crate) fn cache_folder(&self) -> &std::path::Path {
        self.cache.folder()
    }

    /// What this machine has seen of the store. For reading: nothing, which is noticed, when its file cannot be read.
    pub(crate) fn seen(&self) -> Result<crate::format::trust::Trust, StoreError> {
        let mut notices = Vec::new();
        let seen = self.trust.look(&mut notices);
        notices.into_iter().for_each(|notice| self.notice(notice));
        seen
    }

    /// What is wrong with the file that says what this machine has seen of the store, when it is damaged. Reading goes on
    /// without it; whether somebody brought an old state of the store back is not noticed then. Writing is refused.
    pub fn trust_damage(&self) -> Option<StoreError> {
        self.trust.damage()
    }

    /// What was noticed since the last call and is no error: records that are ignored, segments that cannot be read.
    pub fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut *self.notices.lock())
    }

    fn notice(&self, notice: String) {
        let mut notices = self.notices.lock();
        if notices.len() < NOTICES_MAX && !notices.contains(&notice) {
            notices.push(notice);
        }
    }

    /// Whether this key has a role and is not shut out.
    fn has_role(&self, key: &[u8; 32], role: u8) -> bool {
        open::has_role(&self.config, key, role)
    }

    fn is_maintainer(&self, key: &[u8; 32]) -> bool {
        self.has_role(key, MAINTAINER)
    }
}
