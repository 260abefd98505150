//! Damage of every kind is found, named, and mapped to the snapshots and paths that it costs.

use super::*;
use crate::monitor::{Silent, StageTimes};
use crate::ops::repair::{self, RepairOptions};
use crate::ops::restore::{RestoreOptions, run as restore};
use crate::ops::testing::{Bench, Entries, noise};
use crate::storage::layer::{OperationKind, RecordStorage};
use crate::storage::memory::MemoryStorage;
use crate::storage::{Area, Capabilities, Created, Listed, Storage, StorageError, StorageWriter};
use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;

pub(super) fn check_storage(bench: &Bench, storage: Arc<dyn Storage>, read_data: ReadData) -> CheckReport {
    let store = bench.open(storage).unwrap();
    run(&store, &CheckOptions { read_data, threads: 1, ..CheckOptions::default() }, &Silent).unwrap()
}

pub(super) fn check(bench: &Bench, read_data: ReadData) -> CheckReport {
    check_storage(bench, bench.storage.clone(), read_data)
}

/// Keeps the stages' times.
#[derive(Default)]
struct Told(Mutex<Vec<(&'static str, StageTimes)>>);

impl Monitor for Told {
    fn add(&self, _counter: Counter, _n: u64) {}

    fn stage(&self, name: &'static str, times: StageTimes) {
        self.0.lock().push((name, times));
    }
}

#[test]
fn phases_tell_what_they_did_and_are_no_longer_than_the_whole() {
    let (bench, _) = sample();
    let told = |read_data, threads| {
        let told = Told::default();
        let options = CheckOptions { read_data, threads, ..CheckOptions::default() };
        let report = run(&bench.open(bench.storage.clone()).unwrap(), &options, &told).unwrap();
        (report, told.0.into_inner())
    };
    let (_, phases) = told(ReadData::No, 1);
    let names = |phases: &[(&'static str, StageTimes)]| phases.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    assert_eq!(names(&phases), ["records", "index", "trees"], "packs were not read");
    let (report, phases) = told(ReadData::All, 1);
    let parts = ["tables", "compare", "read", "names", "open", "ids"].map(|part| format!("packs: {part}"));
    assert_eq!(names(&phases)[2..8], parts);
    let items = |name: &str| phases.iter().find(|(known, _)| *known == name).unwrap().1.items;
    assert_eq!((items("records"), items("index"), items("trees")), (4, report.segments, report.nodes));
    assert_eq!((items("packs: tables"), items("packs: compare")), (report.packs_read, report.packs_read));
    assert_eq!(items("packs: read"), items("packs: names"));
    let blobs: usize = bench.keys(is_pack).into_iter().map(|pack| middles(&bench, pack).len()).sum();
    assert!(items("packs: open") > blobs as u64, "data and trees");
    assert_eq!(items("packs: open"), items("packs: ids"));
    let busy: Duration = phases.iter().map(|(_, times)| times.busy).sum();
    assert!(busy <= report.duration && phases.iter().all(|(_, times)| times.busy > Duration::ZERO), "{phases:?}");
    assert!(report.chunks > 100, "chunks are looked up: {}", report.chunks);
    let (_, again) = told(ReadData::All, 3);
    let counts = |phases: &[(_, StageTimes)]| phases.iter().map(|(_, times)| times.items).collect::<Vec<_>>();
    assert_eq!(counts(&again), counts(&phases), "on three threads the same work");
}

pub(super) fn messages(report: &CheckReport) -> Vec<String> {
    report.findings.iter().map(|f| format!("{:?} {}: {}", f.severity, f.subject.name(), f.message)).collect()
}

fn affected(report: &CheckReport) -> Vec<String> {
    let mut paths: Vec<_> = report.affected.iter().map(|a| String::from_utf8_lossy(&a.path).into_owned()).collect();
    paths.sort();
    paths
}

/// Two snapshots that share a file, several packs, a file with a list of chunks.
fn sample() -> (Bench, [ObjectId; 2]) {
    let bench = Bench::new();
    let mut first = Entries::default();
    first.directory("/d");
    first.file("/d/big", noise(4 << 20, 1));
    first.file("/d/shared", noise(300_000, 2));
    first.file("/d/small", noise(3000, 3));
    let mut second = Entries::default();
    second.directory("/e");
    second.file("/e/other", noise(400_000, 4));
    second.file("/e/shared", noise(300_000, 2));
    let ids = [first, second].map(|entries| bench.backup(&entries).snapshot.unwrap());
    (bench, ids)
}

fn is_pack(key: &StorageKey) -> bool {
    matches!(key, StorageKey::Pack(_))
}

/// The middle of each blob of a pack.
fn middles(bench: &Bench, pack: StorageKey) -> Vec<(StorageKey, usize)> {
    let StorageKey::Pack(id) = pack else { return vec![] };
    let read = crate::object::reader::read_table(&*bench.storage, &bench.store.ring, PackKind::Data, id);
    let (_, mut at, _, table) = read.unwrap();
    let mut middles = vec![];
    for blob in table.blobs {
        middles.push((pack, (at + blob.sealed_len / 2) as usize));
        at += blob.sealed_len;
    }
    middles
}

#[test]
fn a_whole_store_has_no_findings() {
    let (bench, _) = sample();
    for read_data in [ReadData::No, ReadData::All, ReadData::Percent(20.0)] {
        let report = check(&bench, read_data);
        assert_eq!(report.counts, [0, 0, 0, 0], "{:?}", messages(&report));
        assert_eq!((report.snapshots, report.leftovers), (2, Leftovers::default()));
        assert!(report.packs > 6 && report.entries == 9 && report.rows > 100, "{report:?}");
    }
    assert_eq!(check(&bench, ReadData::No).packs_read, 0);
    let all = check(&bench, ReadData::All);
    assert_eq!(all.packs_read, all.packs);
    let some = check(&bench, ReadData::Percent(20.0)).packs_read;
    assert!(some >= 2 && some <= all.packs / 4, "{some} of {}", all.packs);
    let storage: Arc<dyn Storage> = bench.storage.clone();
    let report = keyless(&storage, &CheckOptions { threads: 3, ..CheckOptions::default() }, &Silent).unwrap();
    assert_eq!((report.counts, report.packs), ([0, 0, 0, 0], all.packs), "{:?}", messages(&report));
}

#[test]
fn a_flipped_bit_in_a_pack_names_the_blob_and_each_path_in_each_snapshot() {
    let (bench, [first, second]) = sample();
    let mut seen = BTreeSet::new();
    for (pack, middle) in bench.keys(is_pack).into_iter().flat_map(|pack| middles(&bench, pack)) {
        let whole = bench.storage.get(&pack, usize::MAX).unwrap();
        bench.damage(&pack, |bytes| bytes[middle] ^= 4);
        assert!(!check(&bench, ReadData::No).is_damaged(), "structure alone cannot see it");
        let report = check(&bench, ReadData::All);
        assert!(report.is_damaged(), "{pack}");
        assert!(messages(&report).iter().any(|m| m.contains(&pack.path())), "{:?}", messages(&report));
        assert_eq!(report.packs_recorded, 1);
        let paths = affected(&report);
        if paths.iter().any(|path| path.ends_with("shared")) {
            assert!(paths.contains(&"/d/shared".into()) && paths.contains(&"/e/shared".into()), "{paths:?}");
            assert!(report.affected_snapshots.contains(&first) && report.affected_snapshots.contains(&second));
        }
        let target = tempfile::tempdir().unwrap();
        for (snapshot, id) in [first, second].iter().map(|id| (id.to_string(), id)) {
            let options =
                RestoreOptions { snapshot, target: target.path().join(id.to_string()), ..RestoreOptions::default() };
            let lost = restore(&bench.open(bench.storage.clone()).unwrap(), &options, &Silent).unwrap();
            let mut lost: Vec<_> = lost.problems.iter().map(|p| p.path.clone()).collect();
            let mut named: Vec<_> =
                report.affected.iter().filter(|a| a.snapshot == *id).map(|a| a.path.clone()).collect();
            lost.sort();
            named.sort();
            assert_eq!(lost, named, "what check names is what a restore loses");
        }
        assert!(!paths.is_empty(), "nothing is lost by {pack}: {:?}", messages(&report));
        seen.extend(paths);
        bench.storage.replace(&pack, whole);
        bench.keys(|key| matches!(key, StorageKey::State(_))).iter().for_each(|key| bench.storage.delete(key).unwrap());
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
}

#[test]
fn what_is_on_record_is_read_again_until_it_reads_right() {
    let (bench, _) = sample();
    let (pack, middle) = middles(&bench, bench.keys(is_pack)[0])[1];
    let whole = bench.storage.get(&pack, usize::MAX).unwrap();
    bench.damage(&pack, |bytes| bytes[middle] ^= 4);
    let report = check(&bench, ReadData::All);
    let known = check(&bench, ReadData::No);
    assert_eq!((affected(&known), known.counts), (affected(&report), report.counts));
    assert_eq!((report.packs_recorded, known.packs_recorded, known.packs_read), (1, 0, 1));
    bench.storage.replace(&pack, whole);
    let mended = check(&bench, ReadData::No);
    assert!(!mended.is_damaged(), "{:?}", messages(&mended));
    assert!(messages(&mended).iter().any(|m| m.contains("can be read now")), "{:?}", messages(&mended));
}

#[test]
fn header_table_and_padding_of_a_pack_are_covered_and_cost_nothing_that_can_still_be_read() {
    let (bench, _) = sample();
    let pack = bench.keys(is_pack)[0];
    let whole = bench.storage.get(&pack, usize::MAX).unwrap();
    for at in [9, 40, 80, whole.len() - 1, whole.len() - 20, whole.len() - 100] {
        bench.damage(&pack, |bytes| bytes[at] ^= 1);
        let report = check(&bench, ReadData::All);
        assert!(report.is_damaged(), "byte {at}");
        assert_eq!(affected(&report), Vec::<String>::new(), "byte {at}: {:?}", messages(&report));
        bench.storage.replace(&pack, whole.clone());
    }
}

#[test]
fn missing_and_cut_packs_are_found_without_reading_them() {
    let (bench, _) = sample();
    for pack in bench.keys(|key| matches!(key, StorageKey::Pack(_) | StorageKey::Tree(_))) {
        let bytes = bench.storage.get(&pack, usize::MAX).unwrap();
        bench.storage.delete(&pack).unwrap();
        let report = check(&bench, ReadData::No);
        assert!(messages(&report).iter().any(|m| m.contains(&pack.path()) && m.contains("missing")));
        assert!(report.affected_count > 0, "{pack}");
        bench.storage.replace(&pack, bytes[..bytes.len() - 1].to_vec());
        let report = check(&bench, ReadData::No);
        assert!(report.is_damaged() && report.affected_count == 0, "{:?}", messages(&report));
        bench.storage.replace(&pack, bytes);
    }
    assert!(!check(&bench, ReadData::All).is_damaged());
}

#[test]
fn a_lost_tree_node_names_the_range_of_paths() {
    let bench = Bench::new();
    let mut entries = Entries::default();
    for d in 0..30 {
        entries.directory(&format!("/d{d:02}"));
        for f in 0..40 {
            entries.file(&format!("/d{d:02}/{}-{f:02}", "a long name ".repeat(12)), noise(200 + f, d));
        }
    }
    let snapshot = bench.backup(&entries).snapshot.unwrap();
    bench.damage(&bench.largest_tree_pack(), |bytes| bytes[200] ^= 1);
    let report = check(&bench, ReadData::No);
    assert_eq!(
        (report.affected_count, &report.affected_snapshots[..]),
        (1, &[snapshot][..]),
        "{:?}",
        messages(&report)
    );
    let Affected { path, until, .. } = &report.affected[0];
    let until = until.as_ref().unwrap();
    assert!(path == b"/" && until.starts_with(b"/d"), "{path:?} {until:?}");
    let damaged: Vec<_> =
        report.findings.iter().filter(|f| f.severity == Severity::Damage).map(|f| &f.subject).collect();
    assert!(matches!(damaged[..], [Subject::Blob(StorageKey::Tree(_), _), Subject::Content(BlobKind::Node, _)]));
    assert_eq!(report.packs_recorded, 1);
}

#[test]
fn leftovers_of_a_killed_run_are_no_damage() {
    let (bench, _) = sample();
    // A run that died after its packs: no segment, no snapshot, no outcome counts.
    let before: BTreeSet<_> = bench.storage.keys().into_iter().collect();
    let mut entries = Entries::default();
    entries.file("/x", noise(600_000, 9));
    bench.backup(&entries);
    for key in bench.storage.keys().into_iter().filter(|key| !before.contains(key)) {
        if matches!(key.area(), crate::storage::Area::Index | crate::storage::Area::Snapshots)
            || matches!(key, StorageKey::Outcome(_))
        {
            bench.storage.delete(&key).unwrap();
        }
    }
    let report = check(&bench, ReadData::All);
    assert_eq!(report.counts, [0, 0, 0, 0], "{:?}", messages(&report));
    assert_eq!((report.leftovers.sessions, report.leftovers.packs, report.snapshots), (1, 2, 2));
    // Not even when one of them is damaged.
    let left = bench.storage.keys().into_iter().find(|key| is_pack(key) && !before.contains(key)).unwrap();
    bench.damage(&left, |bytes| bytes[5000] ^= 1);
    assert!(!check(&bench, ReadData::All).is_damaged());
    let storage: Arc<dyn Storage> = bench.storage.clone();
    assert!(keyless(&storage, &CheckOptions::default(), &Silent).unwrap().is_damaged(), "without keys nobody can tell");
}

/// Gives one wrong byte the first time that each pack is read.
struct WrongOnce(Arc<MemoryStorage>, AtomicU64);

impl Storage for WrongOnce {
    fn location(&self) -> String {
        self.0.location()
    }
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    fn put_if_absent(&self, key: &StorageKey, bytes: &[u8]) -> Result<Created, StorageError> {
        self.0.put_if_absent(key, bytes)
    }
    fn writer(&self, area: crate::storage::Area) -> Result<Box<dyn StorageWriter>, StorageError> {
        self.0.writer(area)
    }
    fn get(&self, key: &StorageKey, max: usize) -> Result<Vec<u8>, StorageError> {
        self.0.get(key, max)
    }
    fn get_range(&self, key: &StorageKey, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        self.0.get_range(key, offset, buf)?;
        if is_pack(key) && buf.len() > 100_000 && self.1.fetch_add(1, Relaxed) == 0 {
            buf[70_000] ^= 1;
        }
        Ok(())
    }
    fn head(&self, key: &StorageKey) -> Result<Listed, StorageError> {
        self.0.head(key)
    }
    fn list(&self, area: crate::storage::Area, found: &mut dyn FnMut(Listed)) -> Result<(), StorageError> {
        self.0.list(area, found)
    }
    fn delete(&self, key: &StorageKey) -> Result<(), StorageError> {
        self.0.delete(key)
    }
}

#[test]
fn a_read_that_was_wrong_once_is_told_from_damage() {
    let (bench, _) = sample();
    let storage = Arc::new(WrongOnce(bench.storage.clone(), AtomicU64::new(0)));
    let report = check_storage(&bench, storage, ReadData::All);
    assert_eq!(report.counts, [0, 1, 0, 0], "{:?}", messages(&report));
    assert_eq!(report.affected_count, 0);
    let storage: Arc<dyn Storage> = Arc::new(WrongOnce(bench.storage.clone(), AtomicU64::new(0)));
    let report = keyless(&storage, &CheckOptions::default(), &Silent).unwrap();
    assert_eq!(report.counts, [0, 1, 0, 0], "{:?}", messages(&report));
}

#[test]
fn a_store_that_nobody_can_open_is_damaged() {
    for area in [crate::storage::Area::Config, crate::storage::Area::Keys] {
        let (bench, _) = sample();
        for key in records::names(&*bench.storage, area).unwrap() {
            bench.storage.delete(&key).unwrap();
        }
        // A store that was open before tells it too.
        let storage: Arc<dyn Storage> = bench.storage.clone();
        let options = CheckOptions::default();
        for report in [keyless(&storage, &options, &Silent).unwrap(), run(&bench.store, &options, &Silent).unwrap()] {
            assert!(report.is_damaged() && report.findings[0].subject == Subject::Store, "{:?}", messages(&report));
            assert!(report.findings[0].message.contains("nobody can open it"), "{:?}", messages(&report));
        }
    }
}

#[test]
fn a_lost_snapshot_is_named() {
    let (bench, [first, second]) = sample();
    bench.storage.delete(&StorageKey::Snapshot(first)).unwrap();
    bench.damage(&StorageKey::Snapshot(second), |bytes| bytes[60] ^= 1);
    let report = check(&bench, ReadData::No);
    let mut expected = [first, second];
    expected.sort();
    assert_eq!(report.affected_snapshots, expected, "{:?}", messages(&report));
    assert_eq!(report.snapshots, 0);
}

fn repair(bench: &Bench, dry_run: bool) -> repair::RepairStats {
    let store = bench.open(bench.storage.clone()).unwrap();
    let options = RepairOptions { dry_run, host: "here".into(), ..RepairOptions::default() };
    repair::index(&store, &options, &Silent).unwrap()
}

#[test]
fn a_lost_or_damaged_index_is_made_again_from_the_packs() {
    let (bench, [first, second]) = sample();
    let whole = check(&bench, ReadData::All);
    let segments = bench.keys(|key| matches!(key, StorageKey::Segment(..)));
    bench.storage.delete(&segments[0]).unwrap();
    bench.damage(&segments[1], |bytes| bytes[200] ^= 1);
    assert!(check(&bench, ReadData::All).is_damaged());
    let keys = bench.storage.keys();
    let dry = repair(&bench, true);
    assert_eq!(bench.storage.keys(), keys, "a dry run writes nothing");
    let stats = repair(&bench, false);
    assert_eq!((dry.packs_listed.len(), dry.rows), (stats.packs_listed.len(), stats.rows));
    assert_eq!(stats.packs_listed.len() as u64, whole.packs);
    assert_eq!((stats.segments_missing.len(), stats.segments_damaged.len(), stats.problems.len()), (1, 1, 0));
    let report = check(&bench, ReadData::All);
    assert!(!report.is_damaged(), "{:?}", messages(&report));
    assert_eq!((report.snapshots, report.rows), (2, whole.rows));
    assert_eq!(repair(&bench, false).packs_listed, vec![], "nothing is left to do");
    for id in [first, second] {
        let target = tempfile::tempdir().unwrap();
        let options =
            RestoreOptions { snapshot: id.to_string(), target: target.path().into(), ..RestoreOptions::default() };
        let stats = restore(&bench.open(bench.storage.clone()).unwrap(), &options, &Silent).unwrap();
        assert_eq!(stats.problem_count, 0, "{:?}", stats.problems);
    }
}

#[test]
fn repair_lists_again_what_a_lost_segment_had_adopted() {
    // Packs of a killed run, used by a later one whose segment is lost.
    let bench = Bench::new();
    let mut entries = Entries::default();
    entries.file("/x", noise(600_000, 9));
    bench.backup(&entries);
    for key in bench.storage.keys() {
        let drop = matches!(key, StorageKey::Segment(..) | StorageKey::Snapshot(_) | StorageKey::Outcome(_));
        if drop {
            bench.storage.delete(&key).unwrap();
        }
    }
    let packs = bench.keys(is_pack);
    let again = Bench { store: bench.open(bench.storage.clone()).unwrap(), ..bench };
    let snapshot = again.backup(&entries).snapshot.unwrap();
    assert_eq!(again.keys(is_pack), packs, "the killed run's pack was used again");
    assert!(!check(&again, ReadData::All).is_damaged());
    for segment in again.keys(|key| matches!(key, StorageKey::Segment(..))) {
        again.storage.delete(&segment).unwrap();
    }
    assert_eq!(check(&again, ReadData::No).affected_snapshots, [snapshot]);
    repair(&again, false);
    let report = check(&again, ReadData::All);
    assert!(!report.is_damaged(), "{:?}", messages(&report));
}

#[test]
fn a_share_of_the_packs_is_never_none_of_them_and_never_more_than_all() {
    let packs: Vec<_> = (0..40).map(|n| (PackKind::Data, ObjectId([n; 32]), 1)).collect();
    let chosen = |how| choose(packs.clone(), how).len();
    assert_eq!(chosen(ReadData::No), 0);
    assert_eq!(chosen(ReadData::All), 40);
    assert_eq!(chosen(ReadData::Percent(5.0)), 2);
    assert_eq!(chosen(ReadData::Percent(0.1)), 1);
    assert_eq!(chosen(ReadData::Percent(1000.0)), 40);
    assert!(
        (0..20)
            .any(|_| choose(packs.clone(), ReadData::Percent(50.0)) != choose(packs.clone(), ReadData::Percent(50.0)))
    );
}

/// A listing of a big store takes long: a check makes no needless one.
#[test]
fn a_check_lists_each_area_once_and_what_its_listing_of_snapshots_takes() {
    let bench = Bench::new();
    let mut entries = Entries::default();
    entries.file("/file", noise(20_000, 1));
    bench.backup(&entries);
    let recorded = Arc::new(RecordStorage::new(bench.storage.clone()));
    let store = bench.open(recorded.clone()).unwrap();
    recorded.take();
    let report = run(&store, &CheckOptions { threads: 1, ..CheckOptions::default() }, &Silent).unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
    let lists = |area| recorded.operations().iter().filter(|o| o.kind == OperationKind::List && o.area == area).count();
    for area in Area::ALL {
        let expected = if matches!(area, Area::State | Area::Snapshots) { 2 } else { 1 };
        assert_eq!(lists(area), expected, "{area:?}");
    }
}
