//! Damage in a small store, in process: every flipped bit is found, named and mapped to its snapshot; nothing panics.

use crate::memory::{Engine, small_tree};
use larder::base::limits::KIB;
use larder::ops::check::{CheckOptions, CheckReport, ReadData, Severity};
use larder::storage::memory::MemoryStorage;
use larder::storage::{Area, Storage, StorageKey};
use std::sync::Arc;

fn check(engine: &Engine, storage: MemoryStorage) -> Result<CheckReport, larder::ops::check::CheckError> {
    let store = engine.open(Arc::new(storage))?;
    let options = CheckOptions { read_data: ReadData::All, threads: 1, ..CheckOptions::default() };
    larder::ops::check::run(&store, &options, &larder::monitor::Silent)
}

/// A store of one snapshot whose objects together are small enough to flip every byte.
fn small_store() -> (Engine, MemoryStorage) {
    let engine = Engine::new();
    let tree = tempfile::tempdir().unwrap();
    small_tree(tree.path());
    engine.backup(tree.path());
    let copy = engine.storage.copy();
    let bytes: usize = copy.keys().iter().map(|k| copy.get(k, usize::MAX).unwrap().len()).sum();
    assert!(bytes <= 20 * KIB, "the store has {bytes} bytes");
    (engine, copy)
}

#[test]
fn an_intact_store_has_no_findings() {
    let (engine, storage) = small_store();
    let report = check(&engine, storage).unwrap();
    assert_eq!(report.counts, [0, 0, 0, 0], "{:?}", report.findings);
    assert!(report.packs_read >= 2 && report.snapshots == 1);
}

#[test]
fn one_flipped_bit_at_every_byte_is_found_and_named() {
    let (engine, storage) = small_store();
    let mut tried = 0;
    for key in storage.keys() {
        let bytes = storage.get(&key, usize::MAX).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            let copy = storage.copy();
            copy.replace(&key, damaged);
            tried += 1;
            let report = match check(&engine, copy) {
                // The config or the only key slot: the store does not open at all, and the error says why.
                Err(error) => {
                    assert!(matches!(key.area(), Area::Config | Area::Keys), "{}: byte {at}: {error}", key.path());
                    continue;
                }
                Ok(report) => report,
            };
            assert!(report.is_damaged(), "{}: a flipped bit in byte {at} was not found", key.path());
            let path = key.path();
            let name = path.rsplit('/').next().unwrap();
            let name = name[..name.len().min(8)].to_string();
            let session = key.path().split('/').nth(1).unwrap_or("").to_string();
            let named = report.findings.iter().filter(|f| f.severity == Severity::Damage).any(|f| {
                let text = format!("{:?} {}", f.subject, f.message);
                text.contains(&name) || text.contains(&session)
            });
            assert!(named, "{}: byte {at}: nothing names it: {:?}", key.path(), report.findings);
        }
    }
    assert!(tried > 3000, "only {tried} bytes tried");
}

#[test]
fn every_object_deleted_truncated_or_swapped_is_found() {
    let (engine, storage) = small_store();
    let keys = storage.keys();
    let is_leaseless = |key: &StorageKey| !matches!(key, StorageKey::Lease(_));
    for key in keys.iter().filter(|k| is_leaseless(k) && !matches!(k.area(), Area::Config | Area::Keys)) {
        let bytes = storage.get(key, usize::MAX).unwrap();
        let deleted = storage.copy();
        deleted.delete(key).unwrap();
        let outcome = matches!(key, StorageKey::Outcome(_));
        match check(&engine, deleted) {
            // Without its outcome a session never committed: its snapshot does not exist, and that is no damage.
            Ok(report) if outcome => assert_eq!(report.snapshots, 0),
            Ok(report) => assert!(report.is_damaged(), "{} deleted", key.path()),
            Err(error) => panic!("{} deleted: {error}", key.path()),
        }
        for len in (0..bytes.len()).step_by(97) {
            let cut = storage.copy();
            cut.replace(key, bytes[..len].to_vec());
            assert!(check(&engine, cut).unwrap().is_damaged(), "{} cut to {len}", key.path());
        }
        let longer = storage.copy();
        longer.replace(key, [&bytes[..], &[0]].concat());
        assert!(check(&engine, longer).unwrap().is_damaged(), "{} made longer", key.path());
        for other in keys.iter().filter(|o| *o != key && o.area() == key.area() && is_leaseless(o)) {
            let swapped = storage.copy();
            swapped.replace(key, storage.get(other, usize::MAX).unwrap());
            assert!(check(&engine, swapped).unwrap().is_damaged(), "{} replaced by {}", key.path(), other.path());
        }
    }
}

#[test]
fn a_damaged_chunk_costs_only_the_files_that_hold_it() {
    let engine = Engine::new();
    let tree = tempfile::tempdir().unwrap();
    let noise = |seed| crate::roundtrip::noise(3_000_000, seed);
    for (name, seed) in [("a", 1), ("b", 2), ("copy-of-b", 2), ("c", 3)] {
        std::fs::write(tree.path().join(name), noise(seed)).unwrap();
    }
    engine.backup(tree.path());
    let storage = engine.storage.copy();
    // Files above one batch share no blob; the pack holds them in order, so its middle lies in the second one.
    let pack = storage.keys().into_iter().find(|k| matches!(k, StorageKey::Pack(_))).unwrap();
    let mut bytes = storage.get(&pack, usize::MAX).unwrap();
    bytes[4_500_000] ^= 1;
    storage.replace(&pack, bytes);
    let report = check(&engine, storage.copy()).unwrap();
    let name = |path: &[u8]| String::from_utf8_lossy(path).rsplit('/').next().unwrap().to_string();
    let mut affected: Vec<_> = report.affected.iter().map(|a| name(&a.path)).collect();
    affected.sort();
    assert_eq!(affected, ["b", "copy-of-b"]);

    let target = tempfile::tempdir().unwrap();
    let stats = engine.restore(Arc::new(storage), tree.path(), target.path());
    let mut problems: Vec<_> = stats.problems.iter().map(|p| name(&p.path)).collect();
    problems.sort();
    assert_eq!(problems, ["b", "copy-of-b"]);
    let mut restored: Vec<_> = std::fs::read_dir(target.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    restored.sort();
    assert_eq!(restored, ["a", "c"], "damaged files must not be left half written");
    assert_eq!(std::fs::read(target.path().join("a")).unwrap(), noise(1));
}

#[test]
fn what_a_lost_pack_or_segment_held_is_stored_anew_by_the_next_backup() {
    let lose: [fn(&StorageKey) -> bool; 3] = [
        |k| matches!(k, StorageKey::Pack(_)),
        |k| matches!(k, StorageKey::Tree(_)),
        |k| matches!(k, StorageKey::Segment(..)),
    ];
    for is_lost in lose {
        let engine = Engine::new();
        let tree = tempfile::tempdir().unwrap();
        small_tree(tree.path());
        std::thread::sleep(std::time::Duration::from_millis(2100));
        engine.backup(tree.path());
        engine.storage.keys().iter().filter(|k| is_lost(k)).for_each(|k| engine.storage.delete(k).unwrap());
        let store = engine.open(engine.storage.clone()).unwrap();
        let options = larder::ops::backup::BackupOptions { host: "here".into(), ..Default::default() };
        let silent = Arc::new(larder::monitor::Silent);
        let stats = larder::ops::backup::run(&store, &Engine::source(tree.path()), &options, silent).unwrap();
        assert_eq!(stats.problem_count, 0);
        let target = tempfile::tempdir().unwrap();
        let restored = engine.restore(engine.storage.clone(), tree.path(), target.path());
        assert!(restored.problems.is_empty(), "{:?}", restored.problems);
        assert_eq!(
            std::fs::read(target.path().join("text")).unwrap(),
            std::fs::read(tree.path().join("text")).unwrap()
        );
    }
}
