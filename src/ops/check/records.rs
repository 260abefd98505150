//! Small objects: configs, key slots, sessions, state records, manifests. All are read; what is signed is verified.

use super::findings::{Findings, Flaw};
use super::{Severity, Subject};
use crate::base::id::{ObjectId, SessionId, hex};
use crate::base::limits::{CONFIG_BYTES_MAX, KEY_SLOT_BYTES_MAX};
use crate::base::time::Time;
use crate::crypto::hash::object_id;
use crate::crypto::sign::{Domain, verify};
use crate::format::config::{Config, SignedConfig};
use crate::format::envelope::ObjectKind;
use crate::format::keyslot::KeySlot;
use crate::format::session::{Checkpoint, Lease, Verdict};
use crate::format::snapshot::{Manifest, SignedManifest};
use crate::object::small;
use crate::storage::{Area, Storage, StorageError, StorageKey};
use crate::store::outcome::Standing;
use crate::store::state::{Counted, State};
use crate::store::{FoundOutcome, JudgedRecord, Store, StoreError, Testimony, Witnesses};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Role bit of a maintainer in the roster.
const MAINTAINER: u8 = 1;

/// What the small objects of a store say together.
#[derive(Default)]
pub(in crate::ops) struct Records {
    /// Sessions, by name.
    pub sessions: BTreeMap<SessionId, SessionState>,
    /// What was removed, condemned and settled.
    pub state: State,
    /// Snapshots that count.
    pub snapshots: Vec<(ObjectId, Manifest)>,
    /// Manifests that no outcome names.
    pub unnamed_snapshots: u64,
}

/// What is known of a session.
#[derive(Default)]
pub(in crate::ops) struct SessionState {
    lease: Option<Lease>,
    outcome: FoundOutcome,
    /// The storage failed to give its outcome.
    unreadable: bool,
}

impl SessionState {
    /// Index segments its outcome names.
    pub fn segments(&self) -> &[ObjectId] {
        match &self.outcome {
            FoundOutcome::Read(outcome) => &outcome.segments,
            _ => &[],
        }
    }

    /// Whose session it is, as far as its own records say.
    fn host(&self) -> [u8; 32] {
        match (&self.lease, &self.outcome) {
            (Some(lease), _) => lease.host_key,
            (None, FoundOutcome::Read(outcome)) => outcome.signer,
            _ => [0; 32],
        }
    }
}

impl Records {
    /// When a session began, by its own lease.
    pub fn began(&self, session: &SessionId) -> Option<Time> {
        self.sessions.get(session)?.lease.as_ref().map(|lease| lease.started)
    }

    /// Whether the storage failed to give what says how a session ended.
    pub fn is_unreadable(&self, session: &SessionId) -> bool {
        self.sessions.get(session).is_some_and(|session| session.unreadable)
    }

    /// How a session stands for something of it that `host` signed.
    pub fn standing(&self, store: &Store, session: &SessionId, host: &[u8; 32]) -> Standing {
        let outcome = self.sessions.get(session).map_or(&FoundOutcome::None, |session| &session.outcome);
        store.judge_outcome(*session, host, &self.state, outcome)
    }

    /// How a session stands by its own records, for things that nobody signed.
    pub fn own_standing(&self, store: &Store, session: &SessionId) -> Standing {
        let host = self.sessions.get(session).map_or([0; 32], SessionState::host);
        self.standing(store, session, &host)
    }

    /// Whether this session was settled as ended without a result: what it stored is not to be used.
    pub fn ended_with_nothing(&self, store: &Store, session: &SessionId) -> bool {
        matches!(self.own_standing(store, session), Standing::Ended(Verdict::None))
    }

    /// Whether what this session stored counts: it ended well.
    pub fn counts(&self, store: &Store, session: &SessionId) -> bool {
        self.own_standing(store, session).lends()
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
        let config = findings.read(&Subject::Object(key), || -> Result<Config, Flaw> {
            let bytes = storage.get(&key, CONFIG_BYTES_MAX)?;
            let signed = SignedConfig::decode(&bytes)?;
            let message = SignedConfig::signed_bytes(&signed.config, &signed.signer);
            let maintainer = |m: &&crate::format::config::Member| m.roles & MAINTAINER != 0 && m.key == signed.signer;
            signed.config.roster.iter().find(maintainer).ok_or("not signed by a maintainer of its roster")?;
            verify(&signed.signer, Domain::Config, &signed.config.store, &message, &signed.signature)?;
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
        findings.read(&Subject::Object(key), || -> Result<(), Flaw> {
            let bytes = storage.get(&key, KEY_SLOT_BYTES_MAX)?;
            let slot = KeySlot::decode(&bytes)?;
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
    records.state = state(store, findings)?;
    strange_outcomes(store, findings, &records);
    snapshots(store, findings, &mut records)?;
    Ok(records)
}

fn sessions(store: &Store, findings: &Findings<'_>, records: &mut Records) -> Result<(), StoreError> {
    let (storage, ring) = (&*store.storage, &*store.ring);
    for key in names(storage, Area::Sessions)? {
        let get = |kind| small::get(storage, ring, kind, &key).map_err(Flaw::from);
        let subject = Subject::Object(key);
        let other = || Flaw::from("a record of another session");
        match key {
            StorageKey::Lease(id) => {
                let lease = findings.read(&subject, || {
                    let lease = Lease::decode(&get(ObjectKind::Lease)?)?;
                    if lease.session == id { Ok(lease) } else { Err(other()) }
                });
                records.sessions.entry(id).or_default().lease = lease;
            }
            StorageKey::Checkpoint(id, number) => {
                findings.read(&subject, || {
                    let checkpoint = Checkpoint::decode(&get(ObjectKind::Checkpoint)?)?;
                    if (checkpoint.session, checkpoint.number) == (id, number) { Ok(()) } else { Err(other()) }
                });
                records.sessions.entry(id).or_default();
            }
            StorageKey::Outcome(id) => {
                let read = || store.read_outcome(id).and_then(|o| o.ok_or_else(|| gone(&key)));
                let session = records.sessions.entry(id).or_default();
                session.outcome = match findings.attempt(&subject, read) {
                    Ok(outcome) => FoundOutcome::Read(Box::new(outcome)),
                    Err(flaw) => {
                        session.unreadable = flaw.is_unreadable();
                        FoundOutcome::Unreadable("its outcome cannot be read".into())
                    }
                };
            }
            _ => {}
        }
    }
    Ok(())
}

fn gone(key: &StorageKey) -> StoreError {
    StorageError::not_found("read", key).into()
}

/// Outcomes that nobody entitled signed. What follows from one for snapshots and segments is found with them.
fn strange_outcomes(store: &Store, findings: &Findings<'_>, records: &Records) {
    for (id, session) in &records.sessions {
        if matches!(session.outcome, FoundOutcome::Read(_))
            && let Standing::Doubt(reason) = records.own_standing(store, id)
        {
            findings.add(Severity::Damage, Subject::Object(StorageKey::Outcome(*id)), reason);
        }
    }
}

/// State records, and what they say together.
fn state(store: &Store, findings: &Findings<'_>) -> Result<State, StoreError> {
    let mut counted: Vec<Counted> = vec![];
    for key in names(&*store.storage, Area::State)? {
        let subject = Subject::Object(key);
        match findings.read(&subject, || store.judge_record(&key)) {
            Some(JudgedRecord::Counts(record)) => counted.push((key, Arc::new(record))),
            Some(JudgedRecord::Ignored(why)) => {
                findings.add(Severity::Notice, subject, format!("it is ignored: {why}"))
            }
            None => {}
        }
    }
    store.fold_state(&counted)
}

fn snapshots(store: &Store, findings: &Findings<'_>, records: &mut Records) -> Result<(), StoreError> {
    let committed: HashMap<ObjectId, SessionId> = records
        .sessions
        .keys()
        .chain(records.state.settled.keys())
        .filter_map(|session| match records.own_standing(store, session) {
            Standing::Ended(Verdict::Committed(snapshot)) => Some((snapshot, *session)),
            _ => None,
        })
        .collect();
    let damaged = |id: ObjectId, message: String| {
        findings.add(Severity::Damage, Subject::Snapshot(id), message);
        findings.affected_snapshot(id);
    };
    let (mut here, mut open, mut witnesses) = (HashSet::new(), vec![], Witnesses::default());
    for key in names(&*store.storage, Area::Snapshots)? {
        let StorageKey::Snapshot(id) = key else { continue };
        here.insert(id);
        // By a maintainer: then it need not even be readable.
        if store.is_removed(&records.state, &id, Some(&[0; 32])) {
            continue;
        }
        let read = findings.attempt(&Subject::Object(key), || {
            store.read_manifest(id).and_then(|manifest| manifest.ok_or_else(|| gone(&key)))
        });
        let (signed, valid) = match read {
            Ok(read) => read,
            Err(flaw) => {
                if !flaw.is_unreadable() {
                    findings.affected_snapshot(id);
                }
                continue;
            }
        };
        if store.is_removed(&records.state, &id, Some(&signed.signer)) {
            continue;
        }
        for by in records.state.removed_by(&id) {
            let message = format!(
                "a removal of it, signed by {}, is ignored: that is neither its host nor a maintainer",
                hex(by)
            );
            findings.add(Severity::Notice, Subject::Snapshot(id), message);
        }
        if valid {
            witnesses.hear(id, &signed);
        } else if signed.signer != [0; 32] {
            findings.add(
                Severity::Damage,
                Subject::Object(key),
                "the snapshot is tampered with: its signature does not fit",
            );
            findings.affected_snapshot(id);
            continue;
        }
        let session = signed.manifest.session;
        match records.standing(store, &session, &signed.signer) {
            Standing::Ended(Verdict::Committed(named)) if named == id => records.snapshots.push((id, signed.manifest)),
            Standing::Doubt(_) if records.is_unreadable(&session) => {
                let message = format!("whether it was committed is not known: session {session} could not be read");
                findings.add(Severity::Unreadable, Subject::Snapshot(id), message);
            }
            Standing::Doubt(reason) => {
                damaged(id, format!("whether it was committed is in doubt: session {session}: {reason}"));
            }
            _ if committed.contains_key(&id) => {
                damaged(id, "it names another session than the one that committed it".into());
            }
            Standing::Open if valid => open.push((id, signed)),
            Standing::Open | Standing::Ended(_) => records.unnamed_snapshots += 1,
        }
    }
    for (id, signed) in open {
        match without_outcome(store, &witnesses, id, &signed)? {
            Some(message) => damaged(id, message),
            None => records.unnamed_snapshots += 1,
        }
    }
    for (id, session) in committed.into_iter().filter(|(id, _)| !here.contains(id)) {
        let host = records.sessions.get(&session).map_or([0; 32], SessionState::host);
        if !store.is_removed(&records.state, &id, Some(&host)) {
            damaged(id, format!("it is gone: session {session} committed it, and nobody removed it"));
        }
    }
    Ok(())
}

/// What is wrong with a manifest whose session has no outcome; `None`: its run was killed before, or is still at it.
fn without_outcome(
    store: &Store,
    witnesses: &Witnesses,
    id: ObjectId,
    signed: &SignedManifest,
) -> Result<Option<String>, StoreError> {
    let session = signed.manifest.session;
    let testimony = match store.seen_committed(&id)? {
        true => Testimony::Committed,
        false => witnesses.of(&id, signed),
    };
    Ok(match testimony {
        Testimony::Never => None,
        Testimony::Committed => {
            let message = format!(
                "it was committed, and the outcome of its session {session} is gone: it is in no listing; \
                 its id restores it"
            );
            Some(message)
        }
        // A run that was just about to write it has done so by now.
        Testimony::Unknown if !matches!(store.find_outcome(session)?, FoundOutcome::None) => None,
        Testimony::Unknown => {
            let message = format!(
                "whether it was committed is in doubt: its session {session} has no outcome. Either its run was killed \
                 before it was acknowledged, or the outcome was lost or deleted. It is in no listing; its id restores it. \
                 The next backup of host {} decides",
                signed.manifest.host
            );
            Some(message)
        }
    })
}
