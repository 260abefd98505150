//! Manifests read and judged: each once, then from the cache. What is cached was committed and its signature fits; both
//! stay so for ever, the object being named by its hash.

use super::outcome::Standing;
use super::snapshots::DamagedSnapshot;
use super::state::State;
use super::trust::note_head;
use super::{Store, StoreError, lock};
use crate::base::id::ObjectId;
use crate::crypto::sign::{Domain, verify};
use crate::format::cursor::{Reader, put_bytes, put_varint};
use crate::format::envelope::ObjectKind;
use crate::format::error::DecodeError;
use crate::format::session::Verdict;
use crate::format::snapshot::{Head, SignedManifest};
use crate::object::{ObjectError, small};
use crate::storage::{Area, StorageKey};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Its name in the cache.
const NAME: &str = "snapshots";

/// Committed manifests whose signature fits.
#[derive(Debug, Default)]
pub struct Manifests {
    loaded: bool,
    /// The store's snapshots were looked at.
    fresh: bool,
    known: BTreeMap<ObjectId, Arc<SignedManifest>>,
}

/// A committed manifest.
pub(super) struct Judged {
    pub id: ObjectId,
    pub signed: Arc<SignedManifest>,
    /// Whether its signature fits (one that is not signed does not).
    pub valid: bool,
}

fn encode(known: &BTreeMap<ObjectId, Arc<SignedManifest>>) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, known.len() as u64);
    for (id, signed) in known {
        out.extend_from_slice(&id.0);
        put_bytes(&mut out, &signed.encode());
    }
    out
}

fn decode(bytes: &[u8]) -> Result<BTreeMap<ObjectId, Arc<SignedManifest>>, DecodeError> {
    let mut reader = Reader::new("cached snapshots", bytes);
    let count = reader.count(usize::MAX, ObjectId::LEN + 1)?;
    let mut known = Vec::with_capacity(count);
    for _ in 0..count {
        let id = ObjectId(reader.array()?);
        known.push((id, Arc::new(SignedManifest::decode(reader.bytes(usize::MAX)?)?)));
    }
    reader.finish()?;
    Ok(known.into_iter().collect())
}

impl Manifests {
    fn load(&mut self, store: &Store) {
        if !self.loaded {
            self.known = store.cache.read(NAME).and_then(|bytes| decode(&bytes).ok()).unwrap_or_default();
            self.loaded = true;
        }
    }
}

impl Store {
    /// Every committed manifest, in the order of their ids, and those that cannot be read or whose session is in doubt.
    pub(super) fn judge_manifests(&self, state: &State) -> Result<(Vec<Judged>, Vec<DamagedSnapshot>), StoreError> {
        let mut listed = BTreeSet::new();
        self.storage.list(Area::Snapshots, &mut |found| {
            if let StorageKey::Snapshot(id) = found.key {
                listed.insert(id);
            }
        })?;
        let mut manifests = lock(&self.manifests);
        manifests.load(self);
        let before = manifests.known.len();
        manifests.known.retain(|id, _| listed.contains(id));
        let mut changed = manifests.known.len() != before;
        let (mut judged, mut damaged) = (Vec::with_capacity(listed.len()), Vec::new());
        for id in listed {
            if let Some(signed) = manifests.known.get(&id) {
                judged.push(Judged { id, signed: signed.clone(), valid: true });
                continue;
            }
            match self.judge(id, state) {
                Ok(Some(new)) => {
                    if new.valid {
                        manifests.known.insert(id, new.signed.clone());
                        changed = true;
                    }
                    judged.push(new);
                }
                Ok(None) => {}
                Err(error) if error.is_damage() => damaged.push(DamagedSnapshot { id, error }),
                Err(error) => return Err(error),
            }
        }
        manifests.fresh = true;
        if changed {
            self.cache.write(NAME, &encode(&manifests.known));
        }
        Ok((judged, damaged))
    }

    /// Reads one manifest; `None` when it does not count.
    fn judge(&self, id: ObjectId, state: &State) -> Result<Option<Judged>, StoreError> {
        let key = StorageKey::Snapshot(id);
        let plain = match small::get(&*self.storage, &self.ring, ObjectKind::Manifest, &key) {
            // Deleted since it was listed.
            Err(error) if error.is_absent() => return Ok(None),
            other => other?,
        };
        let decoded = SignedManifest::decode(&plain);
        let signed = decoded.map_err(|source| ObjectError::Decode { object: key.path(), source })?;
        let session = signed.manifest.session;
        match self.standing(session, &signed.signer, state)? {
            Standing::Ended(Verdict::Committed(named)) if named == id => {}
            Standing::Doubt(reason) => return Err(StoreError::Doubt { session, reason }),
            Standing::Open | Standing::Ended(_) => return Ok(None),
        }
        let message = SignedManifest::unsigned_bytes(&signed.manifest, &signed.signer);
        let valid = verify(&signed.signer, Domain::Manifest, &self.id(), &message, &signed.signature).is_ok();
        Ok(Some(Judged { id, signed: Arc::new(signed), valid }))
    }

    /// Looks at the store's snapshots, unless this store object did so already.
    pub(super) fn refresh_snapshots(&self) -> Result<(), StoreError> {
        if !lock(&self.manifests).fresh {
            self.snapshots()?;
        }
        Ok(())
    }

    /// The newest known manifest of each signer.
    pub(super) fn known_heads(&self) -> Vec<Head> {
        let manifests = lock(&self.manifests);
        let mut heads = Vec::new();
        for (id, signed) in &manifests.known {
            let (signer, sequence) = (signed.signer, signed.manifest.sequence);
            note_head(&mut heads, Head { signer, sequence, manifest: *id });
        }
        heads
    }

    /// Who signed a snapshot, if it is known.
    pub(super) fn known_signer(&self, id: &ObjectId) -> Option<[u8; 32]> {
        lock(&self.manifests).known.get(id).map(|signed| signed.signer)
    }

    /// A manifest that this machine has just committed.
    pub(super) fn note_manifest(&self, id: ObjectId, signed: SignedManifest) {
        let mut manifests = lock(&self.manifests);
        manifests.load(self);
        manifests.known.insert(id, Arc::new(signed));
        self.cache.write(NAME, &encode(&manifests.known));
    }
}
