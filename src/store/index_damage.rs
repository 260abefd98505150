//! Index segments and outcomes that read wrong: noted wherever a read meets them, put on record, and looked at again by
//! everybody who has cached something of them.

use super::damage::RECORDS_MAX;
use super::segments::Segments;
use super::state::State;
use super::{Store, StoreError};
use crate::base::id::{ObjectId, SessionId};
use crate::base::time::Time;
use crate::format::damaged_index::DamagedIndex;
use crate::storage::StorageKey;
use std::collections::{BTreeMap, BTreeSet};

/// Segments, and as many outcomes, that one record names: an extension holds 64 KiB.
const INDEX_PART: usize = 1000;
/// So often something is read before it counts as damaged.
pub(crate) const ATTEMPTS: usize = 3;

/// A record of what reads wrong of the index.
#[derive(Debug)]
pub struct IndexDamage {
    /// Its name.
    pub record: ObjectId,
    /// When it was made.
    pub created: Time,
    /// What it names.
    pub damaged: DamagedIndex,
}

/// What this process found.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// Segments, and a generation that each lies in.
    segments: BTreeMap<ObjectId, u32>,
    /// Sessions whose outcome reads wrong.
    sessions: BTreeSet<SessionId>,
    /// Those of them that this machine had read right before.
    relied_on: BTreeSet<SessionId>,
    /// Those of them whose rows the cached index may hold.
    doubted: BTreeSet<SessionId>,
    /// Some of it was found since it was last put on record.
    is_new: bool,
}

/// Reads something again when it reads wrong: it may have been the connection or the memory.
pub(super) fn read_again<T>(mut read: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let mut result = read();
    for _ in 1..ATTEMPTS {
        match &result {
            Err(error) if error.is_damage() => result = read(),
            _ => break,
        }
    }
    result
}

impl Store {
    /// An index segment reads wrong, again and again, wherever a copy of it lies.
    pub(crate) fn note_damaged_segment(&self, generation: u32, id: ObjectId) {
        let mut noted = self.index_damage.lock();
        noted.is_new |= noted.segments.insert(id, generation).is_none();
    }

    /// A session's outcome reads wrong, again and again, or is not its host's. What is cached of the session is forgotten
    /// before the index is used next.
    pub(crate) fn note_damaged_session(&self, session: SessionId) {
        let mut noted = self.index_damage.lock();
        if noted.sessions.insert(session) {
            noted.is_new = true;
            noted.doubted.insert(session);
        }
    }

    /// Forgets the cached index when it may hold rows of a session whose outcome was found to read wrong since the last
    /// time; gives whether it did.
    pub(super) fn forget_doubted(&self) -> Result<bool, StoreError> {
        let doubted = std::mem::take(&mut self.index_damage.lock().doubted);
        if doubted.is_empty() {
            return Ok(false);
        }
        let ended = self.ended_sessions();
        let cached: Vec<SessionId> = doubted.intersection(&ended).copied().collect();
        if cached.is_empty() {
            return Ok(false);
        }
        self.index_damage.lock().relied_on.extend(cached);
        self.forget_index()?;
        Ok(true)
    }

    /// Puts on record which index segments and outcomes were found to read wrong, as far as that is not known yet: other
    /// machines have cached what they said. Where the store cannot be written that is noticed; this machine forgets its own
    /// cache.
    pub(super) fn record_damaged_index(&self) {
        if !std::mem::take(&mut self.index_damage.lock().is_new) {
            return;
        }
        match self.write_damaged_index() {
            Ok(false) => {}
            Ok(true) => self.notice(
                "damage in the index is recorded in the store now: machines that have cached what it said read it again"
                    .into(),
            ),
            Err(error) => self.notice(format!(
                "damage in the index was found, but could not be recorded in the store. Other machines that have \
                 cached what it said may go on relying on it: {error}"
            )),
        }
    }

    /// Gives whether anything was written.
    fn write_damaged_index(&self) -> Result<bool, StoreError> {
        let known = self.read_state()?.damaged_index;
        let (held, ended) = (self.index.read().segments(), self.ended_sessions());
        let (segments, sessions) = {
            let noted = self.index_damage.lock();
            let relied_on = |id: &SessionId| noted.relied_on.contains(id) || ended.contains(id);
            let segments: Vec<_> = noted.segments.iter().map(|(id, at)| (*id, *at, held.contains(id))).collect();
            let sessions: Vec<_> = noted.sessions.iter().map(|id| (*id, relied_on(id))).collect();
            (segments, sessions)
        };
        let segments = segments.into_iter().filter(|(id, generation, relied_on)| {
            let last = last_record(&known, |damaged| damaged.segments.contains(id));
            !self.is_told(last, &StorageKey::Segment(*generation, *id), *relied_on)
        });
        let mut segments = segments.map(|(id, ..)| id);
        let sessions = sessions.into_iter().filter(|(id, relied_on)| {
            let last = last_record(&known, |damaged| damaged.sessions.contains(id));
            !self.is_told(last, &StorageKey::Outcome(*id), *relied_on)
        });
        let mut sessions = sessions.map(|(id, _)| id);
        for written in 0..RECORDS_MAX {
            let part = DamagedIndex {
                segments: segments.by_ref().take(INDEX_PART).collect(),
                sessions: sessions.by_ref().take(INDEX_PART).collect(),
            };
            if part.is_empty() {
                return Ok(written > 0);
            }
            self.write_damage(Vec::new(), vec![part.extension()])?;
        }
        Ok(true)
    }

    /// Whether the last record of something damaged says enough. It does not when the object was right again since: this
    /// machine has looked again because of the record and relied on what it read, or the object was stored after it.
    fn is_told(&self, last: Option<&IndexDamage>, key: &StorageKey, relied_on: bool) -> bool {
        let Some(last) = last else { return false };
        if relied_on && self.has_looked_again(&last.record) {
            return false;
        }
        let stored = self.storage.head(key).map(|listed| listed.stored);
        // A clock that is ahead would have it written again and again.
        !stored.is_ok_and(|stored| stored > last.created && stored <= Time::now())
    }

    fn has_looked_again(&self, record: &ObjectId) -> bool {
        let mut segments = self.segments.lock();
        self.load_segments(&mut segments);
        segments.looked_again.contains(record)
    }

    /// For who is about to write: looks again at what is on record as damaged, and forgets what is cached of it. Each time
    /// that there is a new record; what reads right after all is taken in again by [`Store::load_index`].
    pub(crate) fn look_again(&self, state: &State) -> Result<(), StoreError> {
        let mut fresh = DamagedIndex::default();
        {
            let mut segments = self.segments.lock();
            self.load_segments(&mut segments);
            let records = state.damaged_index.iter();
            let records = records.filter(|record| !segments.looked_again.contains(&record.record));
            records.for_each(|record| fresh.extend(record.damaged.clone()));
        }
        if fresh.is_empty() {
            return Ok(());
        }
        if fresh.sessions.is_empty() {
            let mut index = self.index.write();
            let mut live = index.segments();
            live.retain(|id| !fresh.segments.contains(id));
            index.retain_segments(&live)?;
        } else {
            self.forget_index()?;
        }
        let mut segments = self.segments.lock();
        segments.looked_again = state.damaged_index.iter().map(|record| record.record).collect();
        self.write_segments(&segments);
        Ok(())
    }

    pub(super) fn write_segments(&self, segments: &Segments) {
        self.cache.write(super::segments::NAME, &segments.encode());
    }
}

fn last_record(records: &[IndexDamage], names: impl Fn(&DamagedIndex) -> bool) -> Option<&IndexDamage> {
    records.iter().filter(|record| names(&record.damaged)).max_by_key(|record| record.created)
}
