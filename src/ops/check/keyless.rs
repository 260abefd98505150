//! What can be checked without a key: names that are hashes, and content that is not sealed.

use super::error::CheckError;
use super::findings::{Findings, Flaw};
use super::index::misplaced;
use super::records::{check_plain, names};
use super::{CheckOptions, CheckReport, Severity, Subject, threads};
use crate::format::segment::SegmentHeader;
use crate::monitor::{Counter, Monitor, Silent};
use crate::object::reader::hash_object;
use crate::storage::{Area, Storage, StorageKey};
use crate::work::parallel;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Checks, without any key, that every object named by its hash has the bytes of that name.
pub fn keyless(
    storage: &Arc<dyn Storage>,
    options: &CheckOptions,
    monitor: &dyn Monitor,
) -> Result<CheckReport, CheckError> {
    let start = Instant::now();
    let findings = Findings::new(monitor);
    let mut report = CheckReport::default();
    check_plain(&**storage, &findings)?;
    let mut objects = vec![];
    for area in [Area::Snapshots, Area::Sessions, Area::State, Area::Index, Area::Trees, Area::Packs] {
        objects.extend(names(&**storage, area)?);
    }
    monitor.expect(Counter::ObjectsChecked, objects.len() as u64);
    let bytes = AtomicU64::new(0);
    parallel::each(threads(options), "check", objects.iter(), Vec::new, |piece: &mut Vec<u8>, key| {
        if options.cancel.load(Relaxed) {
            return Err(CheckError::Interrupted);
        }
        let subject = Subject::Object(*key);
        let own = findings.read(&subject, || hash(&**storage, key, piece, &bytes, monitor)).flatten();
        if let Some(own) = own.filter(|own| own != key) {
            findings.add(Severity::Damage, subject, misplaced(&own));
        }
        monitor.add(Counter::ObjectsChecked, 1);
        Ok(())
    })?;
    let count = |is: fn(&StorageKey) -> bool| objects.iter().filter(|key| is(key)).count() as u64;
    report.packs = count(|key| matches!(key, StorageKey::Pack(_) | StorageKey::Tree(_)));
    report.packs_read = report.packs;
    report.snapshots = count(|key| matches!(key, StorageKey::Snapshot(_)));
    report.segments = count(|key| matches!(key, StorageKey::Segment(..)));
    report.bytes_read = bytes.into_inner();
    findings.finish(&mut report);
    report.duration = start.elapsed();
    Ok(report)
}

/// What is wrong with a store that has no config or no key slot, so that it cannot be opened for a check with keys.
pub fn nobody_can_open(storage: &dyn Storage) -> Result<Option<CheckReport>, CheckError> {
    let findings = Findings::new(&Silent);
    check_plain(storage, &findings)?;
    let mut report = CheckReport::default();
    findings.finish(&mut report);
    Ok(report.findings.iter().any(|finding| finding.subject == Subject::Store).then_some(report))
}

/// Compares an object's bytes with its name, piece by piece. Gives the name that a segment has by its own header.
fn hash(
    storage: &dyn Storage,
    key: &StorageKey,
    piece: &mut Vec<u8>,
    bytes: &AtomicU64,
    monitor: &dyn Monitor,
) -> Result<Option<StorageKey>, Flaw> {
    let len = storage.head(key)?.len;
    let id = match key {
        StorageKey::Pack(id) | StorageKey::Tree(id) | StorageKey::Segment(_, id) => id,
        StorageKey::Snapshot(id) | StorageKey::State(id) => id,
        // Records of sessions and decisions have other names. None is empty.
        _ if len == 0 => return Err("it is empty".into()),
        _ => return Ok(None),
    };
    let mut own = None;
    let name = hash_object(storage, key, len, piece, |at, piece| {
        if let (0, StorageKey::Segment(..)) = (at, key) {
            own = Some(StorageKey::Segment(SegmentHeader::decode(piece)?.0.generation(), *id));
        }
        bytes.fetch_add(piece.len() as u64, Relaxed);
        monitor.add(Counter::BytesChecked, piece.len() as u64);
        Ok(())
    })?;
    if name == *id { Ok(own) } else { Err("its content does not match its name".into()) }
}
