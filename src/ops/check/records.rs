//! Reads all small objects (configs, key slots, sessions, state records, manifests) and verifies their signatures.

use super::findings::{ATTEMPTS, Findings, Flaw};
use super::{Severity, Subject};
use crate::base::id::{ObjectId, SessionId, hex};
use crate::base::limits::KEY_SLOT_BYTES_MAX;
use crate::base::time::Time;
use crate::crypto::hash::object_id;
use crate::format::config::Config;
use crate::format::envelope::ObjectKind;
use crate::format::keyslot::KeySlot;
use crate::format::session::{Checkpoint, Lease, Verdict};
use crate::format::snapshot::{Manifest, SignedManifest};
use crate::monitor::Silent;
use crate::object::envelope;
use crate::storage::{Area, Storage, StorageError, StorageKey};
use crate::store::configs::{configs, newest_config, read_config};
use crate::store::outcome::Standing;
use crate::store::state::{Counted, State};
use crate::store::{FoundOutcome, JudgedRecord, Store, StoreError, Testimony, Witnesses};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

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

    /// Whether what says how a session ended is there, and cannot be relied on.
    pub fn is_damaged(&self, store: &Store, id: &SessionId) -> bool {
        let is_there = |session: &SessionState| !matches!(session.outcome, FoundOutcome::None) && !session.unreadable;
        self.sessions.get(id).is_some_and(is_there) && matches!(self.own_standing(store, id), Standing::Doubt(_))
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
        self.own_standing(store, session).is_reliable()
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
pub(in crate::ops) fn check_plain(storage: &dyn Storage, findings: &Findings<'_>) -> Result<(), StoreError> {
    let configs = configs(storage)?;
    if configs.is_empty() {
        findings.add(Severity::Damage, Subject::Store, "it has no config: nobody can open it without a copy of one");
    }
    // What the last one says, if that can be read.
    let mut newest = None;
    for number in configs {
        let key = StorageKey::Config(number);
        newest = None;
        let Some(read) = findings.read(&Subject::Object(key), || read_config(storage, number)) else { continue };
        if read.unknown_features() != 0 {
            let message = format!("it needs a newer larder: {}", StoreError::NeedsNewer(read.unknown_features()));
            findings.add(Severity::Notice, Subject::Object(key), message);
            continue;
        }
        match read.decode() {
            Ok(config) => newest = Some(config),
            Err(error) => findings.add(Severity::Damage, Subject::Object(key), error.to_string()),
        }
    }
    for (severity, subject, message) in slots(storage, findings, newest)? {
        findings.add(severity, subject, message);
    }
    Ok(())
}

/// What the newest config, if it can be read, says of the store and its slots.
fn newest(storage: &dyn Storage) -> Result<Option<Config>, StoreError> {
    let number = newest_config(storage)?;
    Ok(number.and_then(|number| read_config(storage, number).ok()?.decode().ok()))
}

/// Holds the key slots against the list of the config, again when that has changed meanwhile.
fn slots(
    storage: &dyn Storage,
    findings: &Findings<'_>,
    mut config: Option<Config>,
) -> Result<Vec<(Severity, Subject, String)>, StoreError> {
    let mut found = compare_slots(storage, findings, config.as_ref())?;
    for _ in 1..ATTEMPTS {
        if found.is_empty() {
            break;
        }
        let again = newest(storage)?;
        if again == config {
            break;
        }
        config = again;
        found = compare_slots(storage, &Findings::new(&Silent), config.as_ref())?;
    }
    Ok(found)
}

fn compare_slots(
    storage: &dyn Storage,
    findings: &Findings<'_>,
    config: Option<&Config>,
) -> Result<Vec<(Severity, Subject, String)>, StoreError> {
    let slots = names(storage, Area::Keys)?;
    let mut found = vec![];
    if slots.is_empty() {
        let message = "it has no key slot: nobody can open it without a copy of one";
        found.push((Severity::Damage, Subject::Store, message.to_string()));
    }
    let listed = config.and_then(Config::key_slots);
    for key in &slots {
        let StorageKey::KeySlot(id) = key else { continue };
        let subject = Subject::Object(*key);
        let slot = findings.read(&subject, || -> Result<KeySlot, Flaw> {
            let bytes = storage.get(key, KEY_SLOT_BYTES_MAX)?;
            let slot = KeySlot::decode(&bytes)?;
            if object_id(&bytes) == *id { Ok(slot) } else { Err("its content does not match its name".into()) }
        });
        let Some(slot) = slot else { continue };
        if config.is_some_and(|config| config.store != slot.store) {
            let message = "this key slot belongs to another store and opens nothing here; it can be deleted. An \
                           interrupted `larder init` leaves such a slot";
            found.push((Severity::Notice, subject, message.into()));
        } else if listed.as_ref().is_some_and(|listed| !listed.contains(id)) {
            let message = format!(
                "the store's config does not list this key slot. Somebody changed it or put it there, or adding or \
                 removing it was interrupted. `larder key remove {id}` removes it"
            );
            found.push((Severity::Damage, subject, message));
        }
    }
    for id in listed.unwrap_or_default() {
        let key = StorageKey::KeySlot(id);
        if slots.binary_search(&key).is_err() {
            let message = format!(
                "the store's config lists this key slot, but it is gone: its passphrase or key file opens the store \
                 no more. `larder key add` adds another, and `larder key remove {id}` removes it from the list"
            );
            found.push((Severity::Damage, Subject::Object(key), message));
        }
    }
    Ok(found)
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
        let get = |kind| envelope::get(storage, ring, kind, &key).map_err(Flaw::from);
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
            Some(JudgedRecord::Counts(record)) => counted.push((key, Arc::new(*record))),
            Some(JudgedRecord::Ignored(why)) => {
                findings.add(Severity::Notice, subject, format!("it is ignored: {why}"))
            }
            None if store.was_damage_record(&key) => {
                let message = "it was a record of damage: `larder repair index` removes it, and then `larder check \
                               --read-data` puts on record again what still reads wrong";
                findings.add(Severity::Notice, subject, message);
            }
            None => {}
        }
    }
    store.fold_state(&counted)
}

/// The snapshots that outcomes name, and whose.
fn committed(store: &Store, records: &Records) -> HashMap<ObjectId, SessionId> {
    let sessions = records.sessions.keys().chain(records.state.settled.keys());
    let committed = sessions.filter_map(|session| match records.own_standing(store, session) {
        Standing::Ended(Verdict::Committed(snapshot)) => Some((snapshot, *session)),
        _ => None,
    });
    committed.collect()
}

/// Says that a snapshot which is there was removed by somebody who may not do that.
fn ignored_removals(findings: &Findings<'_>, state: &State, id: ObjectId) {
    for by in state.removed_by(&id) {
        let message =
            format!("a removal of it, signed by {}, is ignored: that is neither its host nor a maintainer", hex(by));
        findings.add(Severity::Notice, Subject::Snapshot(id), message);
    }
}

fn snapshots(store: &Store, findings: &Findings<'_>, records: &mut Records) -> Result<(), StoreError> {
    let committed = committed(store, records);
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
        ignored_removals(findings, &records.state, id);
        if valid {
            witnesses.hear(id, &signed);
        } else if signed.signer != [0; 32] {
            let message = "the snapshot is tampered with: its signature does not fit";
            findings.add(Severity::Damage, Subject::Object(key), message);
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
    for (id, message) in absent(store, records, &committed, &here, &witnesses)? {
        damaged(id, message);
    }
    Ok(())
}

/// Snapshots that were committed, that nobody removed, and that are not there.
fn absent(
    store: &Store,
    records: &Records,
    committed: &HashMap<ObjectId, SessionId>,
    here: &HashSet<ObjectId>,
    witnesses: &Witnesses,
) -> Result<Vec<(ObjectId, String)>, StoreError> {
    let is_known = |id: &ObjectId| here.contains(id) || committed.contains_key(id);
    let gone = store.gone_snapshots(&records.state, witnesses, &store.seen()?.heads, &is_known);
    let mut absent: Vec<_> = gone.into_iter().map(|gone| (gone.id, gone.error.to_string())).collect();
    for (id, session) in committed.iter().filter(|(id, _)| !here.contains(id)) {
        let host = records.sessions.get(session).map_or([0; 32], SessionState::host);
        if !store.is_removed(&records.state, id, Some(&host)) {
            absent.push((*id, format!("it is gone: session {session} committed it, and nobody removed it")));
        }
    }
    Ok(absent)
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
                "it was committed, but the outcome of its session {session} is gone, so no listing shows it. It can \
                 be restored by its id"
            );
            Some(message)
        }
        // A run that was just about to write it has done so by now.
        Testimony::Unknown if !matches!(store.find_outcome(session)?, FoundOutcome::None) => None,
        Testimony::Unknown => {
            let message = format!(
                "it is in doubt: its session {session} has no outcome. Either the backup was killed before it was \
                 complete, or the outcome was lost or deleted. No listing shows it, and it can be restored by its id. \
                 The next backup of host {} settles this",
                signed.manifest.host
            );
            Some(message)
        }
    })
}
