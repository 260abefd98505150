//! Packs of sessions that never committed (a killed run), to be used again: found through their own tables.

use super::gather::{describe, rows_of};
use super::state::State;
use super::{Store, StoreError};
use crate::base::id::{ContentId, ObjectId, SessionId};
use crate::format::pack::PackKind;
use crate::format::segment::SegmentPack;
use crate::format::session::Verdict;
use crate::index::run::RunBuilder;
use crate::index::{Index, Location};
use crate::object::reader::{pack_key, read_table_of};
use crate::object::writer::{StoredPack, pack_area};
use crate::storage::StorageKey;
use std::collections::{HashMap, HashSet};
use std::sync::PoisonError;

/// What can be adopted. Lies in a temporary folder of the cache, so that its size does not matter.
#[derive(Default)]
pub struct Adoptable {
    index: Option<Index>,
    packs: HashMap<ObjectId, SegmentPack>,
    // Removed after the index is closed: fields are dropped in order.
    _folder: Option<tempfile::TempDir>,
}

impl Adoptable {
    /// Where something lies, if it can be adopted. What is used must be told to [`super::session::Session::adopted`].
    pub fn get(&self, id: &ContentId) -> Option<Location> {
        let mut found = Vec::new();
        self.index.as_ref()?.locate(id, &mut found);
        found.into_iter().next()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.packs.is_empty()
    }

    /// How many packs there are.
    pub fn packs(&self) -> usize {
        self.packs.len()
    }

    pub(super) fn pack(&self, id: &ObjectId) -> Option<SegmentPack> {
        self.packs.get(id).copied()
    }
}

impl Store {
    /// Packs of other sessions that never committed. `state` and the index must have been read after `own` was registered.
    pub(super) fn find_adoptable(&self, own: SessionId, state: &State) -> Result<Adoptable, StoreError> {
        let sessions = self.unfinished_sessions(own, state)?;
        if sessions.is_empty() {
            return Ok(Adoptable::default());
        }
        let candidates = self.unlisted_packs(state)?;
        if candidates.is_empty() {
            return Ok(Adoptable::default());
        }
        let failed = |error| super::local::failed("make a folder in", self.cache.folder())(error);
        let folder = tempfile::Builder::new().prefix("adopt-").tempdir_in(self.cache.folder()).map_err(failed)?;
        let mut builder = RunBuilder::new(folder.path())?;
        let (mut packs, mut rows) = (HashMap::new(), Vec::new());
        for (kind, id, len) in candidates {
            let (header, header_len, table, _) = match read_table_of(&*self.storage, &self.ring, kind, id, len) {
                Ok(read) => read,
                Err(error) if error.is_damage() => {
                    self.notice(format!("a pack that an unfinished run left cannot be used again: {error}"));
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if sessions.contains(&header.session) {
                let pack = StoredPack { id, kind, len: len as u32, header_len, table };
                rows.clear();
                rows.extend(rows_of(&pack, 0));
                builder.segment(id, &[describe(&pack)])?;
                builder.rows(&rows)?;
                packs.insert(id, describe(&pack));
            }
        }
        let mut index = Index::open(folder.path(), self.id())?;
        index.install(builder)?;
        Ok(Adoptable { index: Some(index), packs, _folder: Some(folder) })
    }

    /// Sessions without an outcome, and those that ended with "none" or are in doubt.
    fn unfinished_sessions(&self, own: SessionId, state: &State) -> Result<HashSet<SessionId>, StoreError> {
        let (mut all, mut with_outcome) = (HashSet::new(), HashSet::new());
        self.storage.list(crate::storage::Area::Sessions, &mut |found| match found.key {
            StorageKey::Outcome(session) => _ = with_outcome.insert(session),
            StorageKey::Lease(session) | StorageKey::Checkpoint(session, _) => _ = all.insert(session),
            _ => {}
        })?;
        let mut unfinished: HashSet<SessionId> = all.difference(&with_outcome).copied().collect();
        let known = self.ended_sessions();
        let mut ended = Vec::new();
        for session in with_outcome.into_iter().filter(|session| !known.contains(session)) {
            match self.read_outcome(session) {
                Ok(Some(outcome)) if outcome.verdict != Verdict::None => ended.push(session),
                Ok(_) => _ = unfinished.insert(session),
                Err(error) if error.is_damage() => _ = unfinished.insert(session),
                Err(error) => return Err(error),
            }
        }
        self.note_ended(ended);
        for (session, verdict) in &state.settled {
            match verdict {
                Verdict::None => _ = unfinished.insert(*session),
                _ => _ = unfinished.remove(session),
            }
        }
        unfinished.remove(&own);
        Ok(unfinished)
    }

    /// Packs that are in no segment that counts, and not condemned.
    fn unlisted_packs(&self, state: &State) -> Result<Vec<(PackKind, ObjectId, u64)>, StoreError> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let listed: HashSet<ObjectId> = index.packs().iter().map(|pack| pack.id).collect();
        drop(index);
        let mut unlisted = Vec::new();
        for kind in [PackKind::Data, PackKind::Tree] {
            self.storage.list(pack_area(kind), &mut |found| {
                if let StorageKey::Pack(id) | StorageKey::Tree(id) = found.key
                    && pack_key(kind, id) == found.key
                    && !listed.contains(&id)
                    && !state.condemned_packs.contains(&id)
                {
                    unlisted.push((kind, id, found.len));
                }
            })?;
        }
        unlisted.sort_unstable_by_key(|(_, id, _)| *id);
        Ok(unlisted)
    }
}
