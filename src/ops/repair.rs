//! `repair index`: the index rebuilt from the packs' own tables. Packs are only read.

use super::check::Subject;
use super::check::error::CheckError;
use super::check::findings::{Findings, Flaw};
use super::check::index::{Catalogue, catalogue};
use super::check::records::{Records, check_sealed, names};
use crate::base::id::{ObjectId, SessionId};
use crate::base::limits::SEGMENT_BYTES_MAX;
use crate::format::pack::{PackKind, PackTable};
use crate::format::session::SessionPurpose;
use crate::monitor::{Counter, Monitor, Problem, Silent};
use crate::object::ObjectError;
use crate::object::reader::{hash_object, pack_key, read_table_of};
use crate::object::writer::StoredPack;
use crate::storage::{Area, Storage, StorageError, StorageKey};
use crate::store::session::Session;
use crate::store::{Store, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Why a repair did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the store has could not be looked through.
    #[error(transparent)]
    Check(CheckError),
    /// It was cancelled.
    #[error("interrupted")]
    Interrupted,
}

impl From<CheckError> for RepairError {
    fn from(error: CheckError) -> RepairError {
        match error {
            CheckError::Store(error) => RepairError::Store(error),
            CheckError::Interrupted => RepairError::Interrupted,
            error => RepairError::Check(error),
        }
    }
}

impl From<StorageError> for RepairError {
    fn from(error: StorageError) -> RepairError {
        RepairError::Store(error.into())
    }
}

/// How to repair.
#[derive(Debug, Clone, Default)]
pub struct RepairOptions {
    /// Tell what would be done and write nothing.
    pub dry_run: bool,
    /// Label of this host.
    pub host: String,
    /// Set from outside to end the run early: what was listed by then stays listed.
    pub cancel: Arc<AtomicBool>,
}

/// What a repair did (or, in a dry run, would do).
#[derive(Debug, Clone, Default)]
pub struct RepairStats {
    /// Packs the store has.
    pub packs: u64,
    /// Packs that no readable segment lists, or not with all they hold, and that are listed again.
    pub packs_listed: Vec<ObjectId>,
    /// Chunks, nodes and lists in them.
    pub rows: u64,
    /// Index segments that could not be read; removed once their rows are listed again.
    pub segments_damaged: Vec<ObjectId>,
    /// Index segments that outcomes name and that are not there.
    pub segments_missing: Vec<ObjectId>,
    /// Records of damage that read wrong: removed, since what they named is found again.
    pub damage_records: Vec<ObjectId>,
    /// Packs whose table cannot be read (what they hold stays unknown) or is that of another pack, and segments that the storage failed to give.
    pub problems: Vec<Problem>,
    /// How many of these are no damage: the storage failed.
    pub unreadable: u64,
    /// Wall time of the repair.
    pub duration: Duration,
}

/// Makes missing folders of a store again, unless in a dry run; gives their names. What lay in them is not made again,
/// but the others can be read then. The store cannot be opened before.
pub fn folders(storage: &dyn Storage, dry_run: bool) -> Result<Vec<&'static str>, RepairError> {
    let missing = storage.missing_folders()?;
    for area in missing.iter().filter(|_| !dry_run) {
        storage.make_folder(*area)?;
    }
    Ok(missing.into_iter().map(Area::folder).collect())
}

/// Rebuilds lost or damaged index segments.
///
/// Every pack's table is read, and a pack that is to be listed again is read whole: one that is not the one of its name
/// is not listed. What the readable segments lack is listed in new segments, by a session of its own; segments that
/// cannot be read are removed after that, and so are records of damage that read wrong. Packs of sessions without an outcome are listed too: it may
/// have been lost, and what it had committed is needed. (If the session was killed, or still runs, listing them costs
/// nothing but the rows.) Packs of sessions that were settled as ended are not.
pub fn index(store: &Arc<Store>, options: &RepairOptions, monitor: &dyn Monitor) -> Result<RepairStats, RepairError> {
    let start = Instant::now();
    let mut stats = RepairStats::default();
    // The session first: what is condemned by now is not listed again, and what is condemned later waits for it.
    let session = match options.dry_run {
        true => None,
        false => Some(Session::begin(store.clone(), SessionPurpose::Maintenance, &options.host, vec![])?),
    };
    let silent = Findings::new(&Silent);
    let records = check_sealed(store, &silent)?;
    let catalogue = catalogue(store, &silent, &records)?;
    stats.segments_damaged = catalogue.damaged_segments.iter().map(|(_, id)| *id).collect();
    stats.segments_missing.clone_from(&catalogue.missing_segments);
    let listed = list_packs(store, &records, &catalogue, session.as_ref(), options, monitor, &mut stats);
    if let Some(session) = session {
        // What was listed counts in any case.
        session.end()?;
    }
    listed?;
    stats.damage_records = damage_records(store)?;
    if !options.dry_run {
        put_right(store, &catalogue)?;
        for id in &stats.damage_records {
            store.storage.delete(&StorageKey::State(*id))?;
        }
        // What was met on the way.
        store.record_damage();
    }
    // What the storage failed to give may be whole: nothing is removed on its account, and it is named.
    for (generation, id) in &catalogue.unreadable_segments {
        let path = StorageKey::Segment(*generation, *id).path().into_bytes();
        let message = "the index segment could not be read, so it was left alone".into();
        let problem = Problem { path, message };
        monitor.problem(&problem);
        stats.problems.push(problem);
        stats.unreadable += 1;
    }
    if !options.dry_run && stats.problems.is_empty() {
        let mended = |key: &StorageKey| catalogue.misplaced_segments.iter().any(|(_, own)| own == key);
        let damaged = catalogue.damaged_segments.iter().map(|(generation, id)| StorageKey::Segment(*generation, *id));
        for key in damaged.filter(|key| !mended(key)) {
            store.storage.delete(&key)?;
        }
    }
    stats.duration = start.elapsed();
    Ok(stats)
}

/// Records of damage that read wrong, again and again.
fn damage_records(store: &Store) -> Result<Vec<ObjectId>, StoreError> {
    let silent = Findings::new(&Silent);
    let mut wrong = vec![];
    for key in names(&*store.storage, Area::State)? {
        let StorageKey::State(id) = key else { continue };
        let read = silent.attempt(&Subject::Object(key), || store.judge_record(&key));
        if read.is_err_and(|flaw| !flaw.is_unreadable()) && store.was_damage_record(&key) {
            wrong.push(id);
        }
    }
    Ok(wrong)
}

/// Puts index segments that were moved where they belong, and removes copies of them elsewhere.
fn put_right(store: &Store, catalogue: &Catalogue) -> Result<(), RepairError> {
    for (there, own) in &catalogue.misplaced_segments {
        let bytes = store.storage.get(there, SEGMENT_BYTES_MAX)?;
        // What cannot be read does not keep its place.
        if let StorageKey::Segment(generation, id) = own
            && catalogue.damaged_segments.contains(&(*generation, *id))
        {
            store.storage.delete(own)?;
        }
        store.storage.put_if_absent(own, &bytes)?;
        store.storage.delete(there)?;
    }
    Ok(())
}

/// Looks at every pack and lists those that the index lacks.
fn list_packs(
    store: &Store,
    records: &Records,
    catalogue: &Catalogue,
    session: Option<&Session>,
    options: &RepairOptions,
    monitor: &dyn Monitor,
    stats: &mut RepairStats,
) -> Result<(), RepairError> {
    let condemned = store.read_state()?.condemned_packs;
    let mut packs: Vec<_> = catalogue
        .packs
        .iter()
        .filter_map(|((kind, id), pack)| Some((*kind, *id, pack.stored_len?, pack.listed)))
        .collect();
    packs.sort_unstable();
    stats.packs = packs.len() as u64;
    monitor.expect(Counter::ObjectsChecked, stats.packs);
    let (mut found, mut piece) = (vec![], vec![]);
    for (kind, id, len, listed) in packs {
        if options.cancel.load(Relaxed) {
            return Err(RepairError::Interrupted);
        }
        monitor.add(Counter::ObjectsChecked, 1);
        if condemned.contains(&id) {
            continue;
        }
        let (owner, header_len, table) = match read_table(store, kind, id, len) {
            Ok(read) => read,
            // The index says what such a pack holds, if it lists it.
            Err(_) if listed => continue,
            Err(error) => {
                stats.unreadable += u64::from(error.is_unreadable());
                let message = format!("its table cannot be read, so larder does not know what it contains: {error}");
                let problem = Problem { path: pack_key(kind, id).path().into_bytes(), message };
                monitor.problem(&problem);
                stats.problems.push(problem);
                continue;
            }
        };
        let lacks = !listed || catalogue.compare(kind, id, &table, &mut found).0 > 0;
        if lacks && !records.ended_with_nothing(store, &owner) {
            if let Some((message, unreadable)) = foreign(store, kind, id, len, &mut piece) {
                stats.unreadable += u64::from(unreadable);
                let problem = Problem { path: pack_key(kind, id).path().into_bytes(), message };
                monitor.problem(&problem);
                stats.problems.push(problem);
                continue;
            }
            stats.packs_listed.push(id);
            stats.rows += table.blobs.iter().map(|blob| blob.members.len() as u64).sum::<u64>();
            if let Some(session) = session {
                // Nothing is claimed here.
                _ = session.stored(StoredPack { id, kind, len: len as u32, header_len, table })?;
                session.checkpoint(false)?;
            }
        }
    }
    Ok(())
}

/// Why a pack is not to be listed although its table reads right, and whether that is because the storage failed: its bytes
/// are not those of its name. What its table says may be of another pack, and wrong as soon as the right one is put back.
fn foreign(store: &Store, kind: PackKind, id: ObjectId, len: u64, piece: &mut Vec<u8>) -> Option<(String, bool)> {
    let key = pack_key(kind, id);
    let silent = Findings::new(&Silent);
    let read =
        silent.attempt(&Subject::Object(key), || match hash_object(&*store.storage, &key, len, piece, |_, _| Ok(())) {
            Ok(own) if own == id => Ok(()),
            Ok(_) => Err(Flaw::from("its content does not match its name, so that it is not listed again")),
            Err(error) => Err(error.into()),
        });
    let flaw = read.err()?;
    if !flaw.is_unreadable() {
        store.note_damage(id, None);
    }
    Some((flaw.to_string(), flaw.is_unreadable()))
}

/// A pack's session, the length of its header, its table.
fn read_table(
    store: &Store,
    kind: PackKind,
    id: ObjectId,
    len: u64,
) -> Result<(SessionId, u32, PackTable), ObjectError> {
    let read = read_table_of(&*store.storage, &store.ring, kind, id, len);
    read.map(|(header, header_len, table, _)| (header.session, header_len, table))
}

#[cfg(test)]
mod tests;
