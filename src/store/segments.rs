//! The cached index brought up to date: segments of sessions that ended well, and only of those.
//!
//! Whatever lies in the index's cache was accepted once: when nothing changed, a listing and a comparison of sets is all
//! there is to do. What is known of the other segments is cached too. Who writes looks first whether the outcomes are
//! still there ([`Store::confirm_ended`]), and a check that finds segments or outcomes damaged has the cache forgotten.

use super::damage;
use super::index_damage::read_again;
use super::outcome::Standing;
use super::state::State;
use super::{Store, StoreError};
use crate::base::id::{ObjectId, SessionId};
use crate::format::cursor::{Reader, put_bytes, put_object_ids, put_varint};
use crate::format::error::DecodeError;
use crate::format::segment::Row;
use crate::format::session::Verdict;
use crate::index::run::RunBuilder;
use crate::object::ObjectError;
use crate::object::segment::SegmentReader;
use crate::storage::{Area, StorageErrorKind, StorageKey};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Its name in the cache.
pub(super) const NAME: &str = "segments";

/// A segment that is not in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    session: SessionId,
    signer: [u8; 32],
    /// Its session ended with "none": it never counts.
    rejected: bool,
}

/// What is known of segments that are not in the index, and of sessions.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Segments {
    loaded: bool,
    waiting: BTreeMap<ObjectId, Waiting>,
    /// Sessions that ended well.
    ended: BTreeSet<SessionId>,
    /// Records of damage: what they name of the index was looked at again since.
    pub(super) looked_again: BTreeSet<ObjectId>,
}

impl Segments {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.waiting.len() as u64);
        for (id, waiting) in &self.waiting {
            out.extend_from_slice(&id.0);
            out.extend_from_slice(&waiting.session.0);
            out.extend_from_slice(&waiting.signer);
            out.push(u8::from(waiting.rejected));
        }
        put_varint(&mut out, self.ended.len() as u64);
        self.ended.iter().for_each(|session| out.extend_from_slice(&session.0));
        let mut records = Vec::new();
        put_object_ids(&mut records, &self.looked_again.iter().copied().collect::<Vec<_>>());
        put_bytes(&mut out, &records);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Segments, DecodeError> {
        let mut reader = Reader::new("cached segments", bytes);
        let mut segments = Segments { loaded: true, ..Segments::default() };
        for _ in 0..reader.count(usize::MAX, 81)? {
            let id = ObjectId(reader.array()?);
            let (session, signer) = (reader.session()?, reader.array()?);
            segments.waiting.insert(id, Waiting { session, signer, rejected: reader.u8()? != 0 });
        }
        for _ in 0..reader.count(usize::MAX, SessionId::LEN)? {
            segments.ended.insert(reader.session()?);
        }
        let records = reader.bytes(usize::MAX)?;
        segments.looked_again = Reader::new("cached segments", records).object_ids()?.into_iter().collect();
        reader.finish()?;
        Ok(segments)
    }
}

impl Store {
    /// Brings the cached index up to date with the store's segments. Those of sessions that have no outcome, or that
    /// ended with "none", are passed over; one that cannot be read is noticed and passed over.
    pub fn load_index(&self) -> Result<(), StoreError> {
        self.forget_doubted()?;
        self.load_listed()?;
        // Its reading may have met an outcome that reads wrong, and of which more is cached.
        if self.forget_doubted()? { self.load_listed() } else { Ok(()) }
    }

    fn load_listed(&self) -> Result<(), StoreError> {
        // A copy may lie in another generation than its own; which bytes count is told by its name.
        let mut listed: BTreeMap<ObjectId, Vec<u32>> = BTreeMap::new();
        let mut lost = Vec::new();
        self.storage.list(Area::Index, &mut |found| match found.key {
            StorageKey::Segment(generation, id) if found.len == 0 => lost.push((id, generation)),
            StorageKey::Segment(generation, id) => listed.entry(id).or_default().push(generation),
            _ => {}
        })?;
        let known = self.drop_gone_segments(&listed)?;
        // Reading says what lies in their place.
        lost.into_iter().for_each(|(id, generation)| listed.entry(id).or_default().push(generation));
        let mut segments = self.segments.lock();
        self.load_segments(&mut segments);
        let (waiting_before, ended_before) = (segments.waiting.clone(), segments.ended.len());
        segments.waiting.retain(|id, _| listed.contains_key(id) && !known.contains(id));
        listed.retain(|id, _| !known.contains(id) && segments.waiting.get(id).is_none_or(|w| !w.rejected));
        if !listed.is_empty() {
            let state = self.read_state()?;
            self.add_segments(&mut segments, &listed, &state)?;
        }
        if segments.waiting != waiting_before || segments.ended.len() != ended_before {
            self.write_segments(&segments);
        }
        Ok(())
    }

    pub(super) fn load_segments(&self, segments: &mut Segments) {
        if !segments.loaded {
            let cached = self.cache.read(NAME).and_then(|bytes| Segments::decode(&bytes).ok());
            *segments = cached.unwrap_or(Segments { loaded: true, ..Segments::default() });
        }
    }

    /// Drops what the index holds of segments that are gone, or that it cannot read any more. Gives those it has.
    fn drop_gone_segments(&self, listed: &BTreeMap<ObjectId, Vec<u32>>) -> Result<HashSet<ObjectId>, StoreError> {
        let (known, damaged) = {
            let index = self.index.read();
            (index.segments(), index.is_damaged())
        };
        if !damaged && known.iter().all(|id| listed.contains_key(id)) {
            return Ok(known);
        }
        let mut index = self.index.write();
        index.retain_segments(&listed.keys().copied().collect())?;
        Ok(index.segments())
    }

    /// Adds those of these segments that count.
    fn add_segments(
        &self,
        segments: &mut Segments,
        listed: &BTreeMap<ObjectId, Vec<u32>>,
        state: &State,
    ) -> Result<(), StoreError> {
        let mut builder = RunBuilder::new(&self.index_folder())?;
        let mut rows = Vec::new();
        for (&id, generations) in listed {
            if let Some(waiting) = segments.waiting.get(&id).copied()
                && !self.counts(segments, id, waiting, state)?
            {
                continue;
            }
            let mut wrong = None;
            for &generation in generations {
                match read_again(|| self.add_segment(segments, (id, generation), state, &mut rows, &mut builder)) {
                    Err(error) if error.is_damage() => {
                        if is_wrong(&error) {
                            wrong = Some(generation);
                        }
                        self.notice(format!("an index segment cannot be read: {error}"));
                    }
                    other => {
                        other?;
                        wrong = None;
                        break;
                    }
                }
            }
            if let Some(generation) = wrong {
                self.note_damaged_segment(generation, id);
            }
        }
        if !builder.is_empty() {
            let run = builder.finish(self.id())?;
            let mut index = self.index.write();
            index.install_finished(run)?;
            index.merge()?;
        }
        Ok(())
    }

    /// Whether a segment's session ended well; otherwise the segment waits, or is rejected for ever.
    fn counts(
        &self,
        segments: &mut Segments,
        id: ObjectId,
        waiting: Waiting,
        state: &State,
    ) -> Result<bool, StoreError> {
        let standing = self.standing(waiting.session, &waiting.signer, state)?;
        if standing.is_reliable() {
            segments.ended.insert(waiting.session);
            segments.waiting.remove(&id);
            return Ok(true);
        }
        if let Standing::Doubt(reason) = &standing {
            self.notice(format!("session {} is in doubt: {reason}", waiting.session));
        }
        let rejected = matches!(standing, Standing::Ended(Verdict::None));
        segments.waiting.insert(id, Waiting { rejected, ..waiting });
        Ok(false)
    }

    fn add_segment(
        &self,
        segments: &mut Segments,
        (id, generation): (ObjectId, u32),
        state: &State,
        rows: &mut Vec<Row>,
        builder: &mut RunBuilder,
    ) -> Result<(), StoreError> {
        let mut reader = SegmentReader::open(&*self.storage, &self.ring, generation, id)?;
        let waiting = Waiting { session: reader.header.session, signer: reader.footer.signer, rejected: false };
        if !self.counts(segments, id, waiting, state)? {
            return Ok(());
        }
        // All of it is verified before any of it is taken.
        rows.clear();
        reader.rows(&mut |some| rows.extend_from_slice(some))?;
        builder.segment(id, &reader.footer.packs)?;
        builder.rows(rows)?;
        Ok(())
    }

    /// For who is about to write: forgets the cached index when a session that ended well has lost its outcome. Its copies of
    /// chunks do not count then, and nothing may refer to them; what lies there is adopted or stored anew.
    pub fn confirm_ended(&self) -> Result<(), StoreError> {
        let ended = self.ended_sessions();
        if ended.is_empty() {
            return Ok(());
        }
        let outcomes = self.outcomes()?;
        let missing: Vec<_> = ended.iter().filter(|session| !outcomes.contains(session)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let settled = self.read_state()?.settled;
        if missing.iter().any(|session| !settled.contains_key(session)) {
            self.notice(
                "a session that had ended well has lost its outcome: what is cached of the store is read anew".into(),
            );
            self.forget_index()?;
        }
        Ok(())
    }

    /// The sessions that have an outcome, whatever that says. One in whose place lies no file is lost.
    pub(super) fn outcomes(&self) -> Result<HashSet<SessionId>, StoreError> {
        let mut outcomes = HashSet::new();
        self.storage.list(Area::Sessions, &mut |found| {
            if let (StorageKey::Outcome(session), 1..) = (found.key, found.len) {
                outcomes.insert(session);
            }
        })?;
        Ok(outcomes)
    }

    /// Forgets what is cached of segments and sessions, so that it is read from the store again. For when some of it was
    /// found to be damaged or lost there: a cache that outlives what it was made of would lend what nobody else has.
    pub fn forget_index(&self) -> Result<(), StoreError> {
        {
            let mut segments = self.segments.lock();
            self.load_segments(&mut segments);
            let looked_again = std::mem::take(&mut segments.looked_again);
            *segments = Segments { loaded: true, looked_again, ..Segments::default() };
            self.write_segments(&segments);
        }
        self.forget_manifests();
        let mut index = self.index.write();
        index.retain_segments(&HashSet::new())?;
        Ok(())
    }

    /// Where the runs of the index lie.
    pub(super) fn index_folder(&self) -> std::path::PathBuf {
        self.cache.folder().join(super::open::INDEX_FOLDER)
    }

    /// Sessions that are known to have ended well.
    pub(super) fn ended_sessions(&self) -> BTreeSet<SessionId> {
        let mut segments = self.segments.lock();
        self.load_segments(&mut segments);
        segments.ended.clone()
    }

    /// Remembers that sessions ended well.
    pub(super) fn note_ended(&self, sessions: impl IntoIterator<Item = SessionId>) {
        let mut segments = self.segments.lock();
        self.load_segments(&mut segments);
        let before = segments.ended.len();
        segments.ended.extend(sessions);
        if segments.ended.len() != before {
            self.write_segments(&segments);
        }
    }
}

/// Whether a segment is there and reads wrong, or something else lies in its place.
fn is_wrong(error: &StoreError) -> bool {
    match error {
        StoreError::Object(ObjectError::Storage(e)) if e.kind == StorageErrorKind::NoFile => true,
        StoreError::Object(error) => damage::is_wrong(error),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_segments_reads_back() {
        let mut segments = Segments { loaded: true, ..Segments::default() };
        assert_eq!(Segments::decode(&segments.encode()), Ok(Segments { loaded: true, ..Segments::default() }));
        for n in 0..3u8 {
            let waiting = Waiting { session: SessionId([n; 16]), signer: [n; 32], rejected: n == 1 };
            segments.waiting.insert(ObjectId([n; 32]), waiting);
            segments.ended.insert(SessionId([10 + n; 16]));
            segments.looked_again.insert(ObjectId([20 + n; 32]));
        }
        assert_eq!(Segments::decode(&segments.encode()).as_ref(), Ok(&segments));
        assert!(Segments::decode(&segments.encode()[1..]).is_err());
    }
}
