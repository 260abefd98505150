//! Uses packs again that a killed run left. They belong to sessions that never committed, and are found through their
//! own tables.

use super::cache::temporary_folder;
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
use crate::storage::{Area, StorageKey};
use std::collections::{HashMap, HashSet};

/// How the names of its folders begin.
const FOLDER_PREFIX: &str = "adopt-";

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
        let index = self.index.as_ref()?;
        index.locate(id, &mut found);
        found.into_iter().find(|location| !index.is_suspect(location))
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
        let listed: HashSet<ObjectId> = {
            let index = self.index.read();
            index.packs().iter().map(|pack| pack.id).collect()
        };
        // Mostly there is nothing, and either listing shows it: the one that is likely to be shorter.
        if self.ended_sessions().len() < listed.len() && !self.has_unfinished_sessions(own, state)? {
            return Ok(Adoptable::default());
        }
        let candidates = self.unlisted_packs(&listed, state)?;
        if candidates.is_empty() {
            return Ok(Adoptable::default());
        }
        let failed = |error| super::machine_files::failed("make a folder in", self.cache.folder())(error);
        let folder = temporary_folder(self.cache.folder(), FOLDER_PREFIX).map_err(failed)?;
        let mut builder = RunBuilder::new(folder.path())?;
        let (mut packs, mut rows) = (HashMap::new(), Vec::new());
        let mut unfinished = HashMap::from([(own, false)]);
        for (kind, id, len) in candidates {
            let (header, header_len, table, _) = match read_table_of(&*self.storage, &self.ring, kind, id, len) {
                Ok(read) => read,
                Err(error) if error.is_damage() => {
                    self.notice(format!("a pack that an unfinished run left cannot be used again: {error}"));
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let is_unfinished = match unfinished.get(&header.session) {
                Some(known) => *known,
                None => self.is_unfinished(header.session, state)?,
            };
            unfinished.insert(header.session, is_unfinished);
            if is_unfinished {
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
        index.suspect(&state.damaged);
        Ok(Adoptable { index: Some(index), packs, _folder: Some(folder) })
    }

    /// Whether a session has no outcome, ended with "none", or is in doubt.
    fn is_unfinished(&self, session: SessionId, state: &State) -> Result<bool, StoreError> {
        if let Some(verdict) = state.settled.get(&session) {
            return Ok(*verdict == Verdict::None);
        }
        match self.read_outcome(session) {
            Ok(outcome) => Ok(outcome.is_none_or(|outcome| outcome.verdict == Verdict::None)),
            Err(error) if error.is_damage() => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn has_unfinished_sessions(&self, own: SessionId, state: &State) -> Result<bool, StoreError> {
        if state.settled.values().any(|verdict| *verdict == Verdict::None) {
            return Ok(true);
        }
        let (mut all, mut with_outcome) = (HashSet::new(), HashSet::new());
        self.storage.list(Area::Sessions, &mut |found| match found.key {
            StorageKey::Outcome(session) => _ = with_outcome.insert(session),
            StorageKey::Lease(session) | StorageKey::Checkpoint(session, _) => _ = all.insert(session),
            _ => {}
        })?;
        if all.iter().any(|id| *id != own && !with_outcome.contains(id) && !state.settled.contains_key(id)) {
            return Ok(true);
        }
        let known = self.ended_sessions();
        let mut ended = Vec::new();
        for session in with_outcome.into_iter().filter(|session| !known.contains(session)) {
            if self.is_unfinished(session, state)? {
                return Ok(true);
            }
            ended.push(session);
        }
        self.note_ended(ended);
        Ok(false)
    }

    /// Packs that are in no segment that counts, and neither condemned nor damaged as a whole.
    fn unlisted_packs(
        &self,
        listed: &HashSet<ObjectId>,
        state: &State,
    ) -> Result<Vec<(PackKind, ObjectId, u64)>, StoreError> {
        let mut unlisted = Vec::new();
        for kind in [PackKind::Data, PackKind::Tree] {
            self.storage.list(pack_area(kind), &mut |found| {
                if let StorageKey::Pack(id) | StorageKey::Tree(id) = found.key
                    && pack_key(kind, id) == found.key
                    && !listed.contains(&id)
                    && !state.condemned_packs.contains(&id)
                    && !state.damaged.has_whole(&id)
                {
                    unlisted.push((kind, id, found.len));
                }
            })?;
        }
        unlisted.sort_unstable_by_key(|(_, id, _)| *id);
        Ok(unlisted)
    }
}
