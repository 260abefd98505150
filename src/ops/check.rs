//! `check`: is everything there, and is it right? Findings are values. Nothing is changed, except that damage is
//! recorded in the store, so that the next backup stores the damaged content anew.

mod contents;
mod damage;
pub(in crate::ops) mod error;
pub(super) mod findings;
pub(super) mod index;
mod keyless;
mod meters;
mod packs;
pub(super) mod records;
mod tree;

pub use keyless::{keyless, nobody_can_open};

use crate::base::id::{ContentId, ObjectId, hex};
use crate::base::time::Time;
use crate::crypto::keys::random_bytes;
use crate::format::blob::BlobKind;
use crate::format::pack::PackKind;
use crate::monitor::{Counter, Monitor};
use crate::storage::StorageKey;
use crate::store::Store;
use crate::store::newest;
use crate::store::outcome::Standing;
use crate::store::trust::Authenticity;
use crate::tree::blob::word;
use crate::tree::reach::Reach;
use crate::work::parallel;
pub use error::CheckError;

use contents::Contents;
use findings::Findings;
use index::Catalogue;
use meters::Meters;
use packs::{Bad, PackReader, Scratch};
use parking_lot::Mutex;
use records::Records;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tree::{Trees, check_snapshot};

/// How many packs are read.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum ReadData {
    /// None: structure only.
    #[default]
    No,
    /// All of them.
    All,
    /// This share of them, in percent, chosen at random.
    Percent(f64),
}

/// How to check.
#[derive(Debug, Clone, Default)]
pub struct CheckOptions {
    /// How many packs are read front to back.
    pub read_data: ReadData,
    /// Worker threads; 0: one a core.
    pub threads: usize,
    /// Set from outside to end the run early.
    pub cancel: Arc<AtomicBool>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; nothing is lost.
    Notice,
    /// A read failed or gave wrong bytes, and the same read again gave the right ones: the medium, the memory or the
    /// connection is not to be trusted.
    ReadErrorOnce,
    /// The storage failed to give it, again and again: nothing is known of what it holds.
    Unreadable,
    /// Damaged or missing.
    Damage,
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An object of the store.
    Object(StorageKey),
    /// A blob of a pack: its offset.
    Blob(StorageKey, u32),
    /// A chunk, tree node or list that cannot be read from anywhere.
    Content(BlobKind, ContentId),
    /// A snapshot.
    Snapshot(ObjectId),
    /// The store as a whole.
    Store,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How grave it is.
    pub severity: Severity,
    /// What it concerns.
    pub subject: Subject,
    /// What is wrong, and what one can do.
    pub message: String,
}

/// A path of a snapshot that does not restore as it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Affected {
    /// The snapshot that is affected.
    pub snapshot: ObjectId,
    /// The path; the first of a range when `until` is set.
    pub path: Vec<u8>,
    /// A part of the tree is lost: everything from `path` up to this path, which is not lost any more (empty: to the end).
    pub until: Option<Vec<u8>>,
}

/// What unfinished runs left behind: no damage, the next backup or maintenance takes it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leftovers {
    /// Sessions without an outcome (running, or killed).
    pub sessions: u64,
    /// Packs that no index segment lists.
    pub packs: u64,
    /// Bytes of those packs.
    pub pack_bytes: u64,
    /// Manifests that no outcome names.
    pub snapshots: u64,
}

/// What a check found.
#[derive(Debug, Clone, Default)]
pub struct CheckReport {
    /// The first 10,000 findings, worst first.
    pub findings: Vec<Finding>,
    /// How many there were of each severity: notices, read errors, objects that could not be read, damages.
    pub counts: [u64; 4],
    /// Paths that do not restore, the first 10,000.
    pub affected: Vec<Affected>,
    /// How many there are.
    pub affected_count: u64,
    /// Snapshots with at least one such path, or whose manifest is lost.
    pub affected_snapshots: Vec<ObjectId>,
    /// Older snapshots that need what was damaged, all of which has been stored anew since.
    pub whole_again: Vec<ObjectId>,
    /// Packs whose damage was put on record.
    pub packs_recorded: u64,
    /// Left behind by unfinished runs.
    pub leftovers: Leftovers,
    /// Snapshots that were checked.
    pub snapshots: u64,
    /// Tree nodes and lists checked, each once.
    pub nodes: u64,
    /// Entries in them.
    pub entries: u64,
    /// Chunks they refer to, each looked up.
    pub chunks: u64,
    /// Index segments and rows.
    pub segments: u64,
    /// Rows of the index that were read.
    pub rows: u64,
    /// Packs the store has.
    pub packs: u64,
    /// Packs read front to back, and their bytes.
    pub packs_read: u64,
    /// Bytes of packs that were read.
    pub bytes_read: u64,
    /// Wall time of the check.
    pub duration: Duration,
}

impl CheckReport {
    /// Whether anything is damaged or missing.
    pub fn is_damaged(&self) -> bool {
        self.counts[Severity::Damage as usize] > 0
    }

    /// How many things the storage failed to give.
    pub fn unreadable(&self) -> u64 {
        self.counts[Severity::Unreadable as usize]
    }
}

impl Subject {
    /// Its name in the store, as people see it.
    pub fn name(&self) -> String {
        match self {
            Subject::Object(key) => key.path(),
            Subject::Blob(key, offset) => format!("{} at {offset}", key.path()),
            Subject::Content(kind, id) => format!("{} {id}", word(*kind)),
            Subject::Snapshot(id) => format!("snapshot {id}"),
            Subject::Store => "the store".into(),
        }
    }
}

/// Checks a store. An error means that the check could not be made, not that it found something.
pub fn run(store: &Arc<Store>, options: &CheckOptions, monitor: &dyn Monitor) -> Result<CheckReport, CheckError> {
    let start = Instant::now();
    let (findings, meters) = (Findings::new(monitor), Meters::default());
    let mut report = CheckReport::default();
    records::check_plain(&*store.storage, &findings)?;
    let records = records::check_sealed(store, &findings)?;
    signers(store, &findings)?;
    meters.records.worked_on((records.sessions.len() + records.snapshots.len()) as u64, start.elapsed());
    let mark = Instant::now();
    let mut catalogue = index::catalogue(store, &findings, &records)?;
    meters.index.worked_on(catalogue.segments, mark.elapsed());
    interrupted(options)?;
    let sight = findings.sight();
    let bad = read_packs(store, options, (monitor, &meters), &findings, &records, &mut catalogue, &mut report)?;
    let mark = Instant::now();
    let contents = Contents::new(store, &catalogue, &findings);
    let mut reach = Reach::new(Trees::new(contents, &findings, monitor, &options.cancel));
    for (id, manifest) in &records.snapshots {
        check_snapshot(&mut reach, *id, manifest);
        interrupted(options)?;
    }
    (report.nodes, report.entries, report.chunks) = (reach.nodes, reach.entries, reach.chunks);
    meters.trees.worked_on(report.nodes, mark.elapsed());
    let needs = reach.visitor.needs(sight);
    damage::judge(store, &catalogue, &findings, &bad, &needs);
    note_damaged_index(store, &records, &catalogue);
    report.packs_recorded = store.record_damage();
    report.whole_again = needs.whole_again;
    damage::advise(&findings, &records);
    report.snapshots = records.snapshots.len() as u64;
    (report.segments, report.rows) = (catalogue.segments, catalogue.rows);
    report.leftovers = leftovers(store, &records, &catalogue);
    if findings.any_damage() && report.leftovers.packs > 0 {
        let message = format!(
            "some packs ({}) belong to no finished session. If the outcome of such a session was lost, they may hold \
             what is missing, and `larder repair index` adds them to the index again",
            report.leftovers.packs
        );
        findings.add(Severity::Notice, Subject::Store, message);
    }
    report.packs = catalogue.packs.values().filter(|pack| pack.stored_len.is_some()).count() as u64;
    findings.finish(&mut report);
    if report.findings.iter().any(is_of_the_index) {
        // What is cached of it would lend to the next backup what no other machine can read.
        store.forget_index()?;
    }
    meters.report(monitor);
    report.duration = start.elapsed();
    Ok(report)
}

/// Notes segments and outcomes that are there and read wrong. What is gone every listing shows.
fn note_damaged_index(store: &Store, records: &Records, catalogue: &Catalogue) {
    for (generation, id) in catalogue.damaged_segments.iter().filter(|(_, id)| !catalogue.whole_segments.contains(id)) {
        store.note_damaged_segment(*generation, *id);
    }
    for id in records.sessions.keys().filter(|id| records.is_damaged(store, id)) {
        store.note_damaged_session(*id);
    }
}

/// Whether something is damaged or lost that the cached index was made of.
fn is_of_the_index(finding: &Finding) -> bool {
    let subject = &finding.subject;
    finding.severity == Severity::Damage
        && matches!(
            subject,
            Subject::Object(StorageKey::Segment(..) | StorageKey::Outcome(_)) | Subject::Snapshot(_) | Subject::Store
        )
}

/// Says whose snapshots this machine cannot vouch for, and which are from the future. What is damaged is found elsewhere.
fn signers(store: &Store, findings: &Findings<'_>) -> Result<(), CheckError> {
    let snapshots = match store.snapshots() {
        Ok((snapshots, _)) => snapshots,
        // What could not be read has been named.
        Err(error) if error.is_unreadable() => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let now = Time::now();
    for snapshot in snapshots {
        if newest::is_ahead(&snapshot, now) {
            let message = "it is from the future: its time is later than this machine's clock says";
            findings.add(Severity::Notice, Subject::Snapshot(snapshot.id), message);
        }
        let host = &snapshot.manifest.host;
        let message = match snapshot.authenticity {
            Authenticity::UnknownSigner => {
                format!("says it is of host {host}, but is signed by an unknown key {}", hex(&snapshot.signer))
            }
            Authenticity::Unsigned => "is not signed".into(),
            _ => continue,
        };
        findings.add(Severity::Notice, Subject::Snapshot(snapshot.id), message);
    }
    Ok(())
}

fn interrupted(options: &CheckOptions) -> Result<(), CheckError> {
    if options.cancel.load(Relaxed) { Err(CheckError::Interrupted) } else { Ok(()) }
}

fn threads(options: &CheckOptions) -> usize {
    match options.threads {
        0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
        threads => threads,
    }
}

/// Reads all packs, or the chosen share of them, front to back, and those on record as damaged in any case; what cannot
/// be read goes into the catalogue, and is given.
fn read_packs(
    store: &Arc<Store>,
    options: &CheckOptions,
    (monitor, meters): (&dyn Monitor, &Meters),
    findings: &Findings<'_>,
    records: &Records,
    catalogue: &mut Catalogue,
    report: &mut CheckReport,
) -> Result<Vec<Bad>, CheckError> {
    let here = catalogue.packs.iter().filter_map(|((kind, id), pack)| Some((*kind, *id, pack.stored_len?)));
    let here: Vec<_> = here.collect();
    let mut packs = choose(here.clone(), options.read_data);
    packs.extend(here.into_iter().filter(|(_, id, _)| records.state.damaged.has_some(id)));
    packs.sort_unstable_by_key(|(kind, id, _)| (*kind, *id));
    packs.dedup();
    report.packs_read = packs.len() as u64;
    report.bytes_read = packs.iter().map(|(_, _, len)| len).sum();
    monitor.expect(Counter::BytesChecked, report.bytes_read);
    let bad = Mutex::new(vec![]);
    let reader = PackReader { store, records, catalogue, findings, monitor, meters, bad: &bad };
    parallel::each(threads(options), "check", packs.into_iter(), Scratch::default, |scratch, (kind, id, len)| {
        interrupted(options)?;
        reader.read(scratch, kind, id, len);
        Ok::<_, CheckError>(())
    })?;
    let mut found = bad.into_inner();
    found.sort_unstable_by_key(|bad| (bad.kind, bad.id));
    for bad in &found {
        let pack = catalogue.packs.entry((bad.kind, bad.id)).or_default();
        pack.bad = bad.blobs.keys().copied().collect();
        (pack.all_bad, pack.doubtful, pack.unreadable) = (bad.all, bad.structure, bad.unreadable);
    }
    Ok(found)
}

/// The packs to read, in the order of their names; a share of them is another one each time.
fn choose(mut packs: Vec<(PackKind, ObjectId, u64)>, how: ReadData) -> Vec<(PackKind, ObjectId, u64)> {
    let share = match how {
        ReadData::No => 0.0,
        ReadData::All => 100.0,
        ReadData::Percent(share) => share.clamp(0.0, 100.0),
    };
    if share < 100.0 {
        let seed = random_bytes::<32>();
        packs.sort_by_cached_key(|(_, id, _)| *blake3::keyed_hash(&seed, id.as_bytes()).as_bytes());
        packs.truncate((packs.len() as f64 * share / 100.0).ceil() as usize);
    }
    packs.sort_unstable_by_key(|(kind, id, _)| (*kind, *id));
    packs
}

/// What unfinished runs left.
fn leftovers(store: &Store, records: &Records, catalogue: &Catalogue) -> Leftovers {
    let unlisted = || catalogue.packs.values().filter(|pack| !pack.listed);
    Leftovers {
        sessions: records
            .sessions
            .keys()
            .filter(|id| !matches!(records.own_standing(store, id), Standing::Ended(_)))
            .count() as u64,
        packs: unlisted().count() as u64,
        pack_bytes: unlisted().filter_map(|pack| pack.stored_len).sum(),
        snapshots: records.unnamed_snapshots,
    }
}

#[cfg(test)]
mod healing_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trust_tests;
