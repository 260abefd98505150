//! Small objects: configs, key slots, sessions, state records, manifests. All are read; what is signed is verified.

use super::findings::Findings;
use super::{Severity, Subject};
use crate::base::id::{ObjectId, SessionId};
use crate::base::limits::{CONFIG_BYTES_MAX, KEY_SLOT_BYTES_MAX, STATE_BYTES_MAX};
use crate::crypto::hash::object_id;
use crate::crypto::sign::{Domain, verify};
use crate::format::config::{Config, SignedConfig};
use crate::format::envelope::{Envelope, ObjectKind};
use crate::format::keyslot::KeySlot;
use crate::format::session::{Checkpoint, Lease, Outcome, Verdict};
use crate::format::snapshot::{Manifest, SignedManifest};
use crate::format::state::{Record, SignedRecord};
use crate::object::small;
use crate::storage::{Area, Storage, StorageKey};
use crate::store::{Store, StoreError};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Role bit of a maintainer in the roster.
const MAINTAINER: u8 = 1;

/// What the small objects of a store say together.
#[derive(Default)]
pub(in crate::ops) struct Records {
    /// Sessions, by name.
    pub sessions: BTreeMap<SessionId, SessionState>,
    /// Snapshots that count.
    pub snapshots: Vec<(ObjectId, Manifest)>,
    /// Manifests that no outcome names.
    pub unnamed_snapshots: u64,
}

/// What is known of a session.
#[derive(Default)]
pub(in crate::ops) struct SessionState {
    lease: Option<Lease>,
    /// How it ended, when that is known.
    pub verdict: Option<Verdict>,
    /// Index segments its outcome names.
    pub segments: Vec<ObjectId>,
    /// A record of it cannot be read.
    pub in_doubt: bool,
}

impl Records {
    /// Whether this session was settled as ended without a result: what it stored is not to be used.
    pub fn ended_with_nothing(&self, session: &SessionId) -> bool {
        self.sessions.get(session).and_then(|session| session.verdict) == Some(Verdict::None)
    }

    /// Whether the segments of this session count: it ended well.
    pub fn counts(&self, session: &SessionId) -> bool {
        let verdict = self.sessions.get(session).and_then(|session| session.verdict);
        matches!(verdict, Some(Verdict::Committed(_) | Verdict::Done))
    }
}

/// Every name in an area, sorted.
pub(in crate::ops) fn names(storage: &dyn Storage, area: Area) -> Result<Vec<StorageKey>, StoreError> {
    let mut keys = vec![];
    storage.list(area, &mut |listed| keys.push(listed.key))?;
    keys.sort_unstable();
    Ok(keys)
}

/// Configs, key slots: what can be read without a key.
pub(in crate::ops) fn check_plain(
    storage: &dyn Storage,
    findings: &Findings<'_>,
) -> Result<Option<Config>, StoreError> {
    let mut newest = None;
    let configs = names(storage, Area::Config)?;
    if configs.is_empty() {
        findings.add(Severity::Damage, Subject::Store, "it has no config: nobody can open it without a copy of one");
    }
    for key in configs {
        let config = findings.read(&Subject::Object(key), || -> Result<Config, String> {
            let bytes = storage.get(&key, CONFIG_BYTES_MAX).map_err(|e| e.to_string())?;
            let signed = SignedConfig::decode(&bytes).map_err(|e| e.to_string())?;
            let message = SignedConfig::signed_bytes(&signed.config, &signed.signer);
            let maintainer = |m: &&crate::format::config::Member| m.roles & MAINTAINER != 0 && m.key == signed.signer;
            signed.config.roster.iter().find(maintainer).ok_or("not signed by a maintainer of its roster")?;
            verify(&signed.signer, Domain::Config, &signed.config.store, &message, &signed.signature)
                .map_err(|e| e.to_string())?;
            if key == StorageKey::Config(signed.config.number) {
                Ok(signed.config)
            } else {
                Err("not its number".into())
            }
        });
        newest = config.or(newest);
    }
    let slots = names(storage, Area::Keys)?;
    if slots.is_empty() {
        findings.add(Severity::Damage, Subject::Store, "it has no key slot: nobody can open it without a copy of one");
    }
    for key in slots {
        findings.read(&Subject::Object(key), || -> Result<(), String> {
            let bytes = storage.get(&key, KEY_SLOT_BYTES_MAX).map_err(|e| e.to_string())?;
            let slot = KeySlot::decode(&bytes).map_err(|e| e.to_string())?;
            let foreign = newest.as_ref().is_some_and(|config: &Config| config.store != slot.store);
            if foreign {
                return Err("a key slot of another store".into());
            }
            if key == StorageKey::KeySlot(object_id(&bytes)) { Ok(()) } else { Err("not the bytes of its name".into()) }
        });
    }
    Ok(newest)
}

/// Everything that is sealed.
pub(in crate::ops) fn check_sealed(store: &Store, findings: &Findings<'_>) -> Result<Records, StoreError> {
    let mut records = Records::default();
    sessions(store, findings, &mut records)?;
    let removed = state(store, findings, &mut records)?;
    snapshots(store, findings, &removed, &mut records)?;
    Ok(records)
}

fn is_maintainer(store: &Store, signer: &[u8; 32]) -> bool {
    store.config.roster.iter().any(|m| m.roles & MAINTAINER != 0 && m.key == *signer)
}

fn sessions(store: &Store, findings: &Findings<'_>, records: &mut Records) -> Result<(), StoreError> {
    let (storage, ring) = (&*store.storage, &*store.ring);
    for key in names(storage, Area::Sessions)? {
        let get = |kind| small::get(storage, ring, kind, &key).map_err(|e| e.to_string());
        let text = |e: crate::format::error::DecodeError| e.to_string();
        let subject = Subject::Object(key);
        let other = || "a record of another session".to_string();
        let (id, done) = match key {
            StorageKey::Lease(id) => {
                let lease = findings.read(&subject, || {
                    let lease = Lease::decode(&get(ObjectKind::Lease)?).map_err(text)?;
                    if lease.session == id { Ok(lease) } else { Err(other()) }
                });
                let read = lease.is_some();
                records.sessions.entry(id).or_default().lease = lease;
                (id, read)
            }
            StorageKey::Checkpoint(id, number) => {
                let read = findings.read(&subject, || {
                    let checkpoint = Checkpoint::decode(&get(ObjectKind::Checkpoint)?).map_err(text)?;
                    if (checkpoint.session, checkpoint.number) == (id, number) { Ok(()) } else { Err(other()) }
                });
                (id, read.is_some())
            }
            StorageKey::Outcome(id) => {
                let lease_key = records.sessions.get(&id).and_then(|s| s.lease.as_ref()).map(|lease| lease.host_key);
                let outcome = findings.read(&subject, || {
                    let outcome = Outcome::decode(&get(ObjectKind::Outcome)?).map_err(text)?;
                    verify(
                        &outcome.signer,
                        Domain::Outcome,
                        &ring.store,
                        &outcome.unsigned_bytes(),
                        &outcome.signature,
                    )
                    .map_err(|e| e.to_string())?;
                    let own = lease_key.is_none_or(|host| host == outcome.signer);
                    if !own && !is_maintainer(store, &outcome.signer) {
                        return Err("signed neither by its host nor by a maintainer".into());
                    }
                    if outcome.session == id { Ok(outcome) } else { Err(other()) }
                });
                let read = outcome.is_some();
                if let Some(outcome) = outcome {
                    let session = records.sessions.entry(id).or_default();
                    (session.verdict, session.segments) = (Some(outcome.verdict), outcome.segments);
                }
                (id, read)
            }
            _ => continue,
        };
        records.sessions.entry(id).or_default().in_doubt |= !done;
    }
    Ok(())
}

/// State records; gives the snapshots that are removed.
fn state(store: &Store, findings: &Findings<'_>, records: &mut Records) -> Result<HashSet<ObjectId>, StoreError> {
    let (storage, ring) = (&*store.storage, &*store.ring);
    let (mut removals, mut undone) = (HashMap::new(), HashSet::new());
    let mut removed = HashSet::new();
    for key in names(storage, Area::State)? {
        let record = findings.read(&Subject::Object(key), || -> Result<Record, String> {
            let bytes = storage.get(&key, STATE_BYTES_MAX).map_err(|e| e.to_string())?;
            if let StorageKey::State(id) = key
                && object_id(&bytes) != id
            {
                return Err("not the bytes of its name".into());
            }
            let kind = Envelope::decode(&bytes).map_err(|e| e.to_string())?.0.kind;
            let plain = small::open(ring, kind, &bytes, &key.path()).map_err(|e| e.to_string())?;
            let signed = SignedRecord::decode(&plain).map_err(|e| e.to_string())?;
            verify(&signed.signer, Domain::State, &ring.store, &signed.unsigned_bytes(), &signed.signature)
                .map_err(|e| e.to_string())?;
            Ok(signed.record)
        });
        match (key, record) {
            (StorageKey::State(id), Some(Record::Removal { snapshots })) => _ = removals.insert(id, snapshots),
            (_, Some(Record::Undelete { removal, session })) => {
                let done = records.sessions.get(&session).and_then(|s| s.verdict.as_ref());
                if done.is_some_and(|verdict| *verdict != Verdict::None) {
                    undone.insert(removal);
                }
            }
            (_, Some(Record::SettledList { sessions, removed: for_ever, .. })) => {
                removed.extend(for_ever);
                for (id, verdict) in sessions {
                    let session = records.sessions.entry(id).or_default();
                    // What is settled wins over whatever outcome turns up.
                    session.verdict = Some(verdict);
                    session.in_doubt = false;
                }
            }
            _ => {}
        }
    }
    removed.extend(removals.into_iter().filter(|(id, _)| !undone.contains(id)).flat_map(|(_, snapshots)| snapshots));
    Ok(removed)
}

fn snapshots(
    store: &Store,
    findings: &Findings<'_>,
    removed: &HashSet<ObjectId>,
    records: &mut Records,
) -> Result<(), StoreError> {
    let (storage, ring) = (&*store.storage, &*store.ring);
    let committed: HashMap<ObjectId, SessionId> = records
        .sessions
        .iter()
        .filter_map(|(session, state)| match state.verdict {
            Some(Verdict::Committed(snapshot)) => Some((snapshot, *session)),
            _ => None,
        })
        .collect();
    let mut here = HashSet::new();
    for key in names(storage, Area::Snapshots)? {
        let StorageKey::Snapshot(id) = key else { continue };
        here.insert(id);
        if removed.contains(&id) {
            continue;
        }
        let manifest = findings.read(&Subject::Object(key), || -> Result<Manifest, String> {
            let plain = small::get(storage, ring, ObjectKind::Manifest, &key).map_err(|e| e.to_string())?;
            let signed = SignedManifest::decode(&plain).map_err(|e| e.to_string())?;
            if signed.signer != [0; 32] {
                let message = SignedManifest::unsigned_bytes(&signed.manifest, &signed.signer);
                verify(&signed.signer, Domain::Manifest, &ring.store, &message, &signed.signature)
                    .map_err(|e| format!("the snapshot is tampered with: {e}"))?;
            }
            Ok(signed.manifest)
        });
        let Some(manifest) = manifest else {
            findings.affected_snapshot(id);
            continue;
        };
        match committed.get(&id) {
            Some(session) if *session == manifest.session => records.snapshots.push((id, manifest)),
            Some(_) => {
                let message = "it names another session than the one that committed it";
                findings.add(Severity::Damage, Subject::Snapshot(id), message);
                findings.affected_snapshot(id);
            }
            None if records.sessions.get(&manifest.session).is_some_and(|s| s.in_doubt && s.verdict.is_none()) => {
                let message =
                    format!("whether it was committed is in doubt: session {} cannot be read", manifest.session);
                findings.add(Severity::Damage, Subject::Snapshot(id), message);
                findings.affected_snapshot(id);
            }
            None if store.seen_committed(&id)? => {
                let message = format!(
                    "this machine has seen it committed, and the outcome of its session {} is gone: it is in no listing",
                    manifest.session
                );
                findings.add(Severity::Damage, Subject::Snapshot(id), message);
                findings.affected_snapshot(id);
            }
            None => records.unnamed_snapshots += 1,
        }
    }
    for (id, session) in committed.into_iter().filter(|(id, _)| !here.contains(id) && !removed.contains(id)) {
        let message = format!("it is gone: session {session} committed it, and nobody removed it");
        findings.add(Severity::Damage, Subject::Snapshot(id), message);
        findings.affected_snapshot(id);
    }
    Ok(())
}
