//! `state/`: what was removed, condemned and settled. Every record is read once; later only new ones are read.

use super::index_damage::IndexDamage;
use super::judge::JudgedRecord;
use super::{Store, StoreError};
use crate::base::id::{ObjectId, SessionId};
use crate::format::damaged_index::DamagedIndex;
use crate::format::session::Verdict;
use crate::format::state::{Record, SignedRecord};
use crate::index::suspects::Suspects;
use crate::storage::{Area, StorageKey};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// A record that counts, and its name.
pub(crate) type Counted = (StorageKey, Arc<SignedRecord>);

/// The records that were read; `None`: one that is ignored.
#[derive(Default)]
pub struct Records(BTreeMap<StorageKey, Option<Arc<SignedRecord>>>);

/// One look at the state of a store.
#[derive(Debug, Default)]
pub struct State {
    /// Removed snapshots, and who removed them (maintainers or others: see [`Store::is_removed`]).
    removed: HashMap<ObjectId, Vec<[u8; 32]>>,
    /// Removed according to a settled list.
    pub(super) removed_for_ever: HashSet<ObjectId>,
    /// Every condemnation on record.
    pub condemnations: BTreeSet<ObjectId>,
    /// Packs that are condemned and not spared.
    pub condemned_packs: HashSet<ObjectId>,
    /// Manifests that are condemned and not spared.
    pub condemned_snapshots: HashSet<ObjectId>,
    /// How sessions ended, from settled lists.
    pub settled: HashMap<SessionId, Verdict>,
    /// Sessions of which settled lists say different things: they are in doubt.
    pub contested: HashSet<SessionId>,
    /// Places in packs that were found damaged.
    pub damaged: Suspects,
    /// Records of index segments and outcomes that were found damaged.
    pub damaged_index: Vec<IndexDamage>,
}

impl State {
    /// Who signed removals of this snapshot. Whether they count is for [`Store::is_removed`] to say.
    pub(crate) fn removed_by(&self, snapshot: &ObjectId) -> &[[u8; 32]] {
        self.removed.get(snapshot).map_or(&[], Vec::as_slice)
    }

    /// What one settled list says. The order of the lists makes no difference.
    fn settle(&mut self, sessions: &[(SessionId, Verdict)], removed: &[ObjectId]) {
        for (session, verdict) in sessions {
            if self.settled.insert(*session, *verdict).is_some_and(|before| before != *verdict) {
                self.contested.insert(*session);
            }
        }
        self.removed_for_ever.extend(removed);
    }
}

impl Store {
    /// Reads what is new in `state/` and gives the whole. Records that are damaged or not signed by who may say such a
    /// thing are noticed and ignored.
    pub fn read_state(&self) -> Result<State, StoreError> {
        let mut keys = BTreeSet::new();
        self.storage.list(Area::State, &mut |found| _ = keys.insert(found.key))?;
        let records: Vec<Counted> = {
            let mut known = self.records.lock();
            known.0.retain(|key, _| keys.contains(key));
            for key in keys {
                if let Entry::Vacant(place) = known.0.entry(key) {
                    place.insert(self.record_that_counts(&key)?.map(Arc::new));
                }
            }
            known.0.iter().filter_map(|(key, record)| Some((*key, record.clone()?))).collect()
        };
        self.fold_state(&records)
    }

    /// What the records that count say together. The order in which they come makes no difference.
    pub(crate) fn fold_state(&self, records: &[Counted]) -> Result<State, StoreError> {
        let mut state = State::default();
        for (_, record) in records {
            if let Record::SettledList { sessions, removed, .. } = &record.record {
                state.settle(sessions, removed);
            }
        }
        let cancelled = self.cancelled_removals(records, &state)?;
        let decisions: HashMap<ObjectId, &Vec<ObjectId>> = records
            .iter()
            .filter_map(|(_, record)| match &record.record {
                Record::Decision { condemnation, deleted, .. } => Some((*condemnation, deleted)),
                _ => None,
            })
            .collect();
        for (key, record) in records {
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
                (_, Record::Damage { packs }) => {
                    packs.iter().for_each(|pack| super::damage::add(&mut state.damaged, pack.id, &pack.blobs));
                    let damaged = DamagedIndex::of(&record.extensions);
                    if let (StorageKey::State(id), false) = (key, damaged.is_empty()) {
                        state.damaged_index.push(IndexDamage { record: *id, created: record.created, damaged });
                    }
                }
                _ => {}
            }
        }
        Ok(state)
    }

    /// Removals that an undelete cancels: one whose own session ended well.
    fn cancelled_removals(&self, records: &[Counted], state: &State) -> Result<HashSet<ObjectId>, StoreError> {
        let mut cancelled = HashSet::new();
        for (_, record) in records {
            if let Record::Undelete { removal, session } = &record.record {
                // The maintainer signs the undelete, the host that ran it its session's outcome.
                let host = self.read_lease(*session)?.map_or(record.signer, |lease| lease.host_key);
                if self.standing(*session, &host, state)?.is_reliable() {
                    cancelled.insert(*removal);
                }
            }
        }
        Ok(cancelled)
    }

    /// One record; `None` when it is to be ignored.
    fn record_that_counts(&self, key: &StorageKey) -> Result<Option<SignedRecord>, StoreError> {
        match self.judge_record(key) {
            Ok(JudgedRecord::Counts(record)) => Ok(Some(*record)),
            Ok(JudgedRecord::Ignored(why)) => {
                self.notice(format!("{key} is ignored: {why}"));
                Ok(None)
            }
            Err(error) if error.is_damage() => {
                self.notice(format!("{key} is ignored: {error}"));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}
