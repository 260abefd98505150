//! Reads and judges manifests. Each is read once, and then comes from the cache: a cached manifest was committed and
//! its signature was right, and neither can change, since its name is its hash.

use super::outcome::Standing;
use super::snapshots::DamagedSnapshot;
use super::state::State;
use super::trust::note_head;
use super::witnesses::{Testimony, Witnesses};
use super::{Store, StoreError};
use crate::base::id::ObjectId;
use crate::base::time::Time;
use crate::crypto::sign::{Domain, verify};
use crate::format::cursor::{Reader, put_bytes, put_varint};
use crate::format::envelope::ObjectKind;
use crate::format::error::DecodeError;
use crate::format::session::Verdict;
use crate::format::snapshot::{Head, Manifest, SignedManifest};
use crate::object::{ObjectError, envelope};
use crate::storage::{Area, StorageKey};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Its name in the cache.
const NAME: &str = "snapshots-2";

/// Committed manifests whose signature fits.
#[derive(Debug, Default)]
pub struct Manifests {
    loaded: bool,
    /// The store's snapshots were looked at.
    fresh: bool,
    known: BTreeMap<ObjectId, Known>,
}

/// A manifest that was found good, and the object that it was read from: another length or time and it is read again.
#[derive(Debug)]
struct Known {
    signed: Arc<SignedManifest>,
    read_from: Stored,
}

/// What a listing says of an object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Stored {
    len: u64,
    time: Time,
}

/// A manifest that was read.
pub(super) struct Judged {
    pub id: ObjectId,
    pub signed: Arc<SignedManifest>,
    /// Whether its signature fits (one that is not signed does not).
    pub valid: bool,
}

/// Whether a manifest counts.
enum Judgement {
    /// Its session's outcome names it.
    Counts(Judged),
    /// Its session has no outcome: it runs, was killed, or its outcome is lost.
    Open(Judged),
    /// It does not count, or is not there.
    No,
}

fn encode(known: &BTreeMap<ObjectId, Known>) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, known.len() as u64);
    for (id, Known { signed, read_from }) in known {
        out.extend_from_slice(&id.0);
        put_varint(&mut out, read_from.len);
        put_varint(&mut out, read_from.time.s as u64);
        put_varint(&mut out, u64::from(read_from.time.ns));
        put_bytes(&mut out, &signed.encode());
    }
    out
}

fn decode(bytes: &[u8]) -> Result<BTreeMap<ObjectId, Known>, DecodeError> {
    let mut reader = Reader::new("cached snapshots", bytes);
    let count = reader.count(usize::MAX, ObjectId::LEN + 1)?;
    let mut known = Vec::with_capacity(count);
    for _ in 0..count {
        let id = ObjectId(reader.array()?);
        let len = reader.varint()?;
        let time = Time { s: reader.varint()? as i64, ns: reader.varint()? as u32 };
        let signed = Arc::new(SignedManifest::decode(reader.bytes(usize::MAX)?)?);
        known.push((id, Known { signed, read_from: Stored { len, time } }));
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
    pub(super) fn verified_manifests(&self, state: &State) -> Result<(Vec<Judged>, Vec<DamagedSnapshot>), StoreError> {
        let mut listed = BTreeMap::new();
        self.storage.list(Area::Snapshots, &mut |found| {
            if let StorageKey::Snapshot(id) = found.key {
                listed.insert(id, Stored { len: found.len, time: found.stored });
            }
        })?;
        let mut manifests = self.manifests.lock();
        manifests.load(self);
        let before = manifests.known.len();
        manifests.known.retain(|id, known| listed.get(id) == Some(&known.read_from));
        let mut changed = manifests.known.len() != before;
        let (mut judged, mut damaged, mut open) = (Vec::with_capacity(listed.len()), Vec::new(), Vec::new());
        for (id, read_from) in listed {
            if let Some(known) = manifests.known.get(&id) {
                judged.push(Judged { id, signed: known.signed.clone(), valid: true });
                continue;
            }
            match self.judge(id, state) {
                Ok(Judgement::Counts(new)) => {
                    if new.valid {
                        manifests.known.insert(id, Known { signed: new.signed.clone(), read_from });
                        changed = true;
                    }
                    judged.push(new);
                }
                Ok(Judgement::Open(new)) => open.push(new),
                Ok(Judgement::No) => {}
                Err(error) if error.is_damage() || error.is_unreadable() => {
                    damaged.push(DamagedSnapshot { id, error, signed: None, head: None });
                }
                Err(error) => return Err(error),
            }
        }
        damaged.extend(self.lost_outcomes(state, &judged, &open)?);
        manifests.fresh = true;
        if changed {
            self.cache.write(NAME, &encode(&manifests.known));
        }
        Ok((judged, damaged))
    }

    /// Reads a snapshot that is about to be used from the store, whatever the cache knew of it.
    pub(super) fn judge_again(&self, id: ObjectId, state: &State) -> Result<Judged, StoreError> {
        match self.judge(id, state) {
            Ok(Judgement::Counts(judged)) => return Ok(judged),
            Ok(_) => {}
            Err(error) => {
                if error.is_damage() {
                    self.forget_manifest(&id);
                }
                return Err(error);
            }
        }
        let session = self.manifests.lock().known.get(&id).map(|known| known.signed.manifest.session);
        Err(match session {
            // It counted when it was read first.
            Some(session) if self.storage.head(&StorageKey::Snapshot(id)).is_ok() => {
                let reason = format!("snapshot {id} was committed by it, and its outcome is gone");
                StoreError::Doubt { session, reason }
            }
            _ => StoreError::NoSnapshot(id.to_string()),
        })
    }

    /// Forgets what is cached of manifests.
    pub(super) fn forget_manifests(&self) {
        let mut manifests = self.manifests.lock();
        manifests.known.clear();
        (manifests.loaded, manifests.fresh) = (true, false);
        self.cache.write(NAME, &encode(&manifests.known));
    }

    /// Forgets what is cached of one manifest.
    fn forget_manifest(&self, id: &ObjectId) {
        let mut manifests = self.manifests.lock();
        manifests.load(self);
        if manifests.known.remove(id).is_some() {
            self.cache.write(NAME, &encode(&manifests.known));
        }
    }

    /// Reads the outcomes of the sessions of all cached manifests, and forgets those manifests that they do not name (any
    /// more).
    pub(super) fn forget_unconfirmed(&self) -> Result<(), StoreError> {
        let state = self.read_state()?;
        let known: Vec<(ObjectId, Arc<SignedManifest>)> = {
            let mut manifests = self.manifests.lock();
            manifests.load(self);
            manifests.known.iter().map(|(id, known)| (*id, known.signed.clone())).collect()
        };
        for (id, signed) in known {
            self.confirm_manifest(id, &signed.manifest, &signed.signer, &state)?;
        }
        Ok(())
    }

    /// Reads the outcome of the session that committed a cached manifest, and forgets the manifest when that does not name
    /// it (any more). Gives the reason why the manifest is not to be relied on.
    pub(super) fn confirm_manifest(
        &self,
        id: ObjectId,
        manifest: &Manifest,
        signer: &[u8; 32],
        state: &State,
    ) -> Result<Option<String>, StoreError> {
        let reason = match self.standing(manifest.session, signer, state) {
            Ok(Standing::Ended(Verdict::Committed(named))) if named == id => return Ok(None),
            Ok(Standing::Doubt(reason)) => reason,
            Ok(Standing::Open) => "the outcome of its session is gone".into(),
            Ok(Standing::Ended(_)) => "the outcome of its session does not name it".into(),
            Err(error) if error.is_unreadable() => error.to_string(),
            Err(error) => return Err(error),
        };
        self.forget_manifest(&id);
        Ok(Some(reason))
    }

    /// Whether this machine has seen a snapshot committed.
    pub(crate) fn seen_committed(&self, id: &ObjectId) -> Result<bool, StoreError> {
        let mut manifests = self.manifests.lock();
        manifests.load(self);
        Ok(manifests.known.contains_key(id) || self.seen()?.heads.iter().any(|head| head.manifest == *id))
    }

    /// Reads a manifest by its name alone, for someone who asks for it although its session is in doubt.
    pub(super) fn read_in_doubt(&self, id: ObjectId) -> Result<Option<Judged>, StoreError> {
        Ok(self.read_manifest(id)?.map(|(signed, valid)| Judged { id, signed: Arc::new(signed), valid }))
    }

    /// A manifest, and whether its signature fits; `None` when it is not there.
    pub(crate) fn read_manifest(&self, id: ObjectId) -> Result<Option<(SignedManifest, bool)>, StoreError> {
        let key = StorageKey::Snapshot(id);
        let plain = match envelope::get(&*self.storage, &self.ring, ObjectKind::Manifest, &key) {
            // Deleted since it was listed.
            Err(error) if error.is_absent() => return Ok(None),
            other => other?,
        };
        let decoded = SignedManifest::decode(&plain);
        let signed = decoded.map_err(|source| ObjectError::Decode { object: key.path(), source })?;
        let message = SignedManifest::unsigned_bytes(&signed.manifest, &signed.signer);
        let valid = verify(&signed.signer, Domain::Manifest, &self.id(), &message, &signed.signature).is_ok();
        Ok(Some((signed, valid)))
    }

    /// Reads one manifest.
    fn judge(&self, id: ObjectId, state: &State) -> Result<Judgement, StoreError> {
        let Some((signed, valid)) = self.read_manifest(id)? else { return Ok(Judgement::No) };
        let session = signed.manifest.session;
        let judged = Judged { id, signed: Arc::new(signed), valid };
        match self.standing(session, &judged.signed.signer, state)? {
            Standing::Ended(Verdict::Committed(named)) if named == id => Ok(Judgement::Counts(judged)),
            Standing::Doubt(reason) => Err(StoreError::Doubt { session, reason }),
            Standing::Open => Ok(Judgement::Open(judged)),
            Standing::Ended(_) => Ok(Judgement::No),
        }
    }

    /// Of manifests whose session has no outcome, those that were committed all the same: their outcome is lost.
    fn lost_outcomes(
        &self,
        state: &State,
        judged: &[Judged],
        open: &[Judged],
    ) -> Result<Vec<DamagedSnapshot>, StoreError> {
        if open.is_empty() {
            return Ok(Vec::new());
        }
        let mut witnesses = Witnesses::default();
        judged.iter().chain(open).filter(|one| one.valid).for_each(|one| witnesses.hear(one.id, &one.signed));
        let seen = self.seen()?.heads;
        let was_committed = |one: &&Judged| {
            one.valid
                && !self.is_removed(state, &one.id, Some(&one.signed.signer))
                && (witnesses.of(&one.id, &one.signed) == Testimony::Committed
                    || seen.iter().any(|head| head.manifest == one.id))
        };
        let lost = open.iter().filter(was_committed).map(|Judged { id, signed, .. }| {
            let reason = format!("snapshot {id} was committed by it, and its outcome is gone");
            let error = StoreError::Doubt { session: signed.manifest.session, reason };
            DamagedSnapshot { id: *id, error, signed: Some(signed.clone()), head: None }
        });
        Ok(lost.collect())
    }

    /// Looks at the store's snapshots, unless this store object did so already.
    pub(super) fn refresh_snapshots(&self) -> Result<(), StoreError> {
        if !self.manifests.lock().fresh {
            self.snapshots()?;
        }
        Ok(())
    }

    /// The newest known manifest of each signer.
    pub(super) fn known_heads(&self) -> Vec<Head> {
        let manifests = self.manifests.lock();
        let mut heads = Vec::new();
        for (id, Known { signed, .. }) in &manifests.known {
            let (signer, sequence) = (signed.signer, signed.manifest.sequence);
            note_head(&mut heads, Head { signer, sequence, manifest: *id });
        }
        heads
    }

    /// A manifest that this machine has just committed.
    pub(super) fn note_manifest(&self, id: ObjectId, signed: SignedManifest) {
        // Without an answer the next listing finds another length, and reads it.
        let listed = self.storage.head(&StorageKey::Snapshot(id)).ok();
        let read_from = listed.map_or_else(Stored::default, |l| Stored { len: l.len, time: l.stored });
        let mut manifests = self.manifests.lock();
        manifests.load(self);
        manifests.known.insert(id, Known { signed: Arc::new(signed), read_from });
        self.cache.write(NAME, &encode(&manifests.known));
    }
}
