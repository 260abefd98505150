//! `state/`: what was removed, condemned and settled. Records are read once; later looks read only what is new.

use super::{Store, StoreError, lock};
use crate::base::id::{ObjectId, SessionId};
use crate::crypto::sign::{Domain, verify};
use crate::format::session::Verdict;
use crate::format::state::{Record, SignedRecord};
use crate::object::{ObjectError, small};
use crate::storage::{Area, StorageKey};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// The records that were read; `None`: one that is ignored.
#[derive(Default)]
pub struct Records(BTreeMap<StorageKey, Option<Arc<SignedRecord>>>);

/// One look at the state of a store.
#[derive(Debug, Default)]
pub struct State {
    /// Removed snapshots, and who removed them (maintainers or others: see [`Store::is_removed`]).
    removed: HashMap<ObjectId, Vec<[u8; 32]>>,
    /// Removed according to a settled list.
    removed_for_ever: HashSet<ObjectId>,
    /// Every condemnation on record.
    pub condemnations: BTreeSet<ObjectId>,
    /// Packs that are condemned and not spared.
    pub condemned_packs: HashSet<ObjectId>,
    /// Manifests that are condemned and not spared.
    pub condemned_snapshots: HashSet<ObjectId>,
    /// How sessions ended, from settled lists.
    pub settled: HashMap<SessionId, Verdict>,
}

impl Store {
    /// Reads what is new in `state/` and gives the whole. Records that are damaged or not signed by who may say such a
    /// thing are noticed and ignored.
    pub fn read_state(&self) -> Result<State, StoreError> {
        let mut keys = BTreeSet::new();
        self.storage.list(Area::State, &mut |found| _ = keys.insert(found.key))?;
        let records: Vec<(StorageKey, Arc<SignedRecord>)> = {
            let mut known = lock(&self.records);
            known.0.retain(|key, _| keys.contains(key));
            for key in keys {
                if let Entry::Vacant(place) = known.0.entry(key) {
                    place.insert(self.read_record(&key)?.map(Arc::new));
                }
            }
            known.0.iter().filter_map(|(key, record)| Some((*key, record.clone()?))).collect()
        };
        let mut state = State::default();
        for (_, record) in &records {
            if let Record::SettledList { sessions, removed, .. } = &record.record {
                state.settled.extend(sessions.iter().copied());
                state.removed_for_ever.extend(removed);
            }
        }
        let cancelled = self.cancelled_removals(&records, &state)?;
        let decisions: HashMap<ObjectId, &Vec<ObjectId>> = records
            .iter()
            .filter_map(|(_, record)| match &record.record {
                Record::Decision { condemnation, deleted, .. } => Some((*condemnation, deleted)),
                _ => None,
            })
            .collect();
        for (key, record) in &records {
            match (key, &record.record) {
                (StorageKey::State(id), Record::Removal { snapshots }) if !cancelled.contains(id) => {
                    snapshots
                        .iter()
                        .for_each(|snapshot| state.removed.entry(*snapshot).or_default().push(record.signer));
                }
                (StorageKey::State(id), Record::Condemnation { packs, snapshots, .. }) => {
                    state.condemnations.insert(*id);
                    let stands = |object: &&ObjectId| decisions.get(id).is_none_or(|deleted| deleted.contains(object));
                    state.condemned_packs.extend(packs.iter().filter(stands));
                    state.condemned_snapshots.extend(snapshots.iter().filter(stands));
                }
                _ => {}
            }
        }
        Ok(state)
    }

    /// Removals that an undelete cancels: one whose own session ended well.
    fn cancelled_removals(
        &self,
        records: &[(StorageKey, Arc<SignedRecord>)],
        state: &State,
    ) -> Result<HashSet<ObjectId>, StoreError> {
        let mut cancelled = HashSet::new();
        for (_, record) in records {
            if let Record::Undelete { removal, session } = &record.record {
                // The maintainer signs the undelete, the host that ran it its session's outcome.
                let host = self.read_lease(*session)?.map_or(record.signer, |lease| lease.host_key);
                if self.standing(*session, &host, state)?.lends() {
                    cancelled.insert(*removal);
                }
            }
        }
        Ok(cancelled)
    }

    /// One record; `None` when it is to be ignored.
    fn read_record(&self, key: &StorageKey) -> Result<Option<SignedRecord>, StoreError> {
        match self.try_read_record(key) {
            Ok(record) => {
                let allowed = matches!(record.record, Record::Removal { .. }) || self.is_maintainer(&record.signer);
                if !allowed {
                    self.notice(format!("{key} is ignored: its signer is not a maintainer"));
                }
                Ok(allowed.then_some(record))
            }
            Err(error) if error.is_damage() => {
                self.notice(format!("{key} is ignored: {error}"));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn try_read_record(&self, key: &StorageKey) -> Result<SignedRecord, ObjectError> {
        let object = || key.path();
        let sealed = small::get_sealed(&*self.storage, key)?;
        let kind = small::kind_of(&sealed, &object())?;
        let plain = small::open(&self.ring, kind, &sealed, &object())?;
        let record = SignedRecord::decode(&plain).map_err(|source| ObjectError::Decode { object: object(), source })?;
        // A decision lies under the name of its condemnation, so that there is one; nothing else does.
        let named_right = match (key, &record.record) {
            (StorageKey::Decision(id), Record::Decision { condemnation, .. }) => id == condemnation,
            (StorageKey::Decision(_), _) | (_, Record::Decision { .. }) => false,
            _ => true,
        };
        if record.record.kind() != kind || !named_right {
            return Err(ObjectError::Mismatch { object: object() });
        }
        verify(&record.signer, Domain::State, &self.id(), &record.unsigned_bytes(), &record.signature)
            .map_err(|source| ObjectError::Crypto { object: object(), source })?;
        Ok(record)
    }

    /// Whether a snapshot is removed: by a maintainer, or by the host that made it (`signer`; when that is not known, by
    /// anyone of the store).
    pub fn is_removed(&self, state: &State, snapshot: &ObjectId, signer: Option<&[u8; 32]>) -> bool {
        let counts = |by: &[u8; 32]| signer.is_none_or(|signer| signer == by) || self.is_maintainer(by);
        state.removed_for_ever.contains(snapshot) || state.removed.get(snapshot).is_some_and(|by| by.iter().any(counts))
    }
}
