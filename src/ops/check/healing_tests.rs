//! A flipped bit anywhere in any pack: found, put on record, stored anew, and then needed by nothing.

use super::*;
use crate::monitor::Silent;
use crate::ops::backup::{BackupOptions, BackupStats, run as back_up};
use crate::ops::restore::{RestoreOptions, run as restore};
use crate::ops::testing::{Bench, Entries, noise};
use crate::storage::Storage;
use crate::storage::memory::MemoryStorage;
use crate::store::MachineFolders;
use std::path::Path;

/// The bench's machine, with its keys and an empty cache.
struct Machine(tempfile::TempDir);

impl Machine {
    fn of(bench: &Bench) -> Machine {
        let machine = Machine(tempfile::tempdir().unwrap());
        copy_folder(&bench.store.places.config, &machine.places().config);
        machine
    }

    fn places(&self) -> MachineFolders {
        MachineFolders { config: self.0.path().join("config"), cache: self.0.path().join("cache") }
    }

    fn open(&self, storage: &Arc<MemoryStorage>) -> Arc<Store> {
        let credential = crate::crypto::slot::Credential::KeyFile([7; 32].into());
        Arc::new(Store::open(storage.clone(), &credential, self.places()).unwrap())
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn sample() -> Entries {
    let mut entries = Entries::default();
    entries.directory("/d");
    entries.file("/d/text", b"words and words ".repeat(300));
    entries.file("/d/noise", noise(20_000, 3));
    entries.file("/inline", b"short".to_vec());
    entries.symlink("/link", "d/text");
    // Enough items for a list.
    entries.file("/long", noise(1600 << 10, 4));
    entries
}

fn backup(store: &Arc<Store>, entries: &Entries, force: bool) -> BackupStats {
    let options = BackupOptions { host: "here".into(), force, threads: 1, ..BackupOptions::default() };
    back_up(store, entries, &options, Arc::new(Silent)).unwrap()
}

fn check(store: &Arc<Store>, read_data: ReadData) -> CheckReport {
    run(store, &CheckOptions { read_data, threads: 1, ..CheckOptions::default() }, &Silent).unwrap()
}

fn comes_back(store: &Arc<Store>, snapshot: ObjectId, entries: &Entries, what: &str) {
    let target = tempfile::tempdir().unwrap();
    let options = RestoreOptions {
        snapshot: snapshot.to_string(),
        target: target.path().into(),
        threads: 1,
        ..RestoreOptions::default()
    };
    let stats = restore(store, &options, &Silent).unwrap();
    assert_eq!(stats.problem_count, 0, "{what}: {:?}", stats.problems);
    for one in &entries.0 {
        let path = target.path().join(String::from_utf8(one.path[1..].to_vec()).unwrap());
        match one.meta.kind {
            crate::format::tree::EntryKind::File => assert!(std::fs::read(&path).unwrap() == one.content, "{what}"),
            crate::format::tree::EntryKind::Directory => assert!(path.is_dir(), "{what}"),
            _ => assert!(path.is_symlink(), "{what}"),
        }
    }
}

fn records(storage: &MemoryStorage) -> usize {
    storage.keys().iter().filter(|key| matches!(key, StorageKey::State(_))).count()
}

fn packs(storage: &MemoryStorage) -> Vec<(StorageKey, Vec<u8>)> {
    let keys = storage.keys().into_iter().filter(|key| matches!(key, StorageKey::Pack(_) | StorageKey::Tree(_)));
    keys.map(|key| (key, storage.get(&key, usize::MAX).unwrap())).collect()
}

/// Header, some of the blobs, table, padding, trailer.
fn places(bytes: &[u8]) -> Vec<usize> {
    let len = bytes.len();
    let mut places: Vec<usize> = vec![50, 90, len / 3, len / 2];
    places.extend([len - 200, len - 60, len - 1]);
    places
}

#[test]
fn a_flipped_bit_anywhere_in_any_pack_heals_by_check_and_backup() {
    let (bench, entries) = (Bench::new(), sample());
    let old = backup(&bench.store, &entries, true).snapshot.unwrap();
    let mut tried = 0;
    for (key, bytes) in packs(&bench.storage) {
        for at in places(&bytes) {
            let what = format!("{key}: byte {at} of {}", bytes.len());
            let (copy, machine) = (Arc::new(bench.storage.copy()), Machine::of(&bench));
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            copy.replace(&key, changed);
            let damaged = check(&machine.open(&copy), ReadData::All);
            assert!(damaged.is_damaged() && damaged.packs_recorded == 1, "{what}: {damaged:?}");
            // Also without `force`: what looks unchanged is read where it lies in a damaged place.
            let new = backup(&machine.open(&copy), &entries, tried % 2 == 0).snapshot.unwrap();
            let healed = check(&machine.open(&copy), ReadData::All);
            assert_eq!((&healed.counts[1..], healed.affected_count), (&[0, 0, 0][..], 0), "{what}: {healed:?}");
            assert!(healed.findings.iter().any(|f| f.message.contains("nothing needs it")), "{what}: {healed:?}");
            assert_eq!(healed.whole_again, [old], "{what}: {healed:?}");
            assert_eq!((records(&copy), healed.packs_recorded), (1, 0), "{what}: it is on record once");
            for snapshot in [old, new] {
                comes_back(&machine.open(&copy), snapshot, &entries, &what);
            }
            let again = backup(&machine.open(&copy), &entries, true);
            assert_eq!((again.chunks_novel, again.bytes_novel), (0, 0), "{what}: once is enough");
            // Nothing needs the pack any more, or no more than what of it reads right.
            if matches!(key, StorageKey::Pack(_)) && healed.findings.len() == 1 {
                copy.delete(&key).unwrap();
                assert!(!check(&machine.open(&copy), ReadData::All).is_damaged(), "{what}");
                comes_back(&machine.open(&copy), old, &entries, &what);
            }
            tried += 1;
        }
    }
    assert!(tried >= 21, "{tried}");
}

#[test]
fn a_backup_that_meets_damage_in_its_parents_tree_heals_it_at_once() {
    let (bench, entries) = (Bench::new(), sample());
    let old = backup(&bench.store, &entries, true).snapshot.unwrap();
    let (key, bytes) = packs(&bench.storage).into_iter().find(|(key, _)| matches!(key, StorageKey::Tree(_))).unwrap();
    let StorageKey::Tree(id) = key else { panic!("a tree pack") };
    let (_, mut offset, _, table) =
        crate::object::reader::read_table(&*bench.storage, &bench.store.ring, PackKind::Tree, id).unwrap();
    for blob in table.blobs {
        let (copy, machine) = (Arc::new(bench.storage.copy()), Machine::of(&bench));
        let mut changed = bytes.clone();
        changed[offset as usize + 20] ^= 1;
        copy.replace(&key, changed);
        offset += blob.sealed_len;
        let store = machine.open(&copy);
        let new = backup(&store, &entries, false);
        if blob.kind != BlobKind::Node {
            assert_eq!(records(&copy), 0, "a list is not read as long as nothing is known to be damaged");
            continue;
        }
        assert_eq!((new.problem_count, records(&copy)), (0, 1));
        assert!(store.take_notices().iter().any(|notice| notice.contains("recorded in the store")));
        let report = check(&machine.open(&copy), ReadData::All);
        assert!(!report.is_damaged() && report.whole_again == [old], "{report:?}");
        for snapshot in [old, new.snapshot.unwrap()] {
            comes_back(&machine.open(&copy), snapshot, &entries, "after the backup");
        }
    }
}

/// A cache that outlives what it was made of must not lend it: nobody else could read what is built on it.
#[test]
fn a_machine_with_its_cache_builds_on_nothing_that_the_store_lost() {
    let entries = sample();
    let is_outcome = |key: &StorageKey| matches!(key, StorageKey::Outcome(_));
    let is_segment = |key: &StorageKey| matches!(key, StorageKey::Segment(..));
    let is_session = |key: &StorageKey| matches!(key, StorageKey::Outcome(_) | StorageKey::Lease(_));
    let is_session_or_snapshot = move |key: &StorageKey| is_session(key) || matches!(key, StorageKey::Snapshot(_));
    // What goes, whether it is deleted, and whether a check must find it first: a backup reads no segments that it knows.
    type IsLost<'a> = &'a dyn Fn(&StorageKey) -> bool;
    let cases: [(IsLost<'_>, bool, bool); 7] = [
        (&is_outcome, true, false),
        (&is_outcome, true, true),
        // The one of its parent it reads.
        (&is_outcome, false, false),
        (&is_outcome, false, true),
        (&is_segment, false, true),
        (&is_segment, true, false),
        (&is_session_or_snapshot, true, false),
    ];
    for (at, (is_lost, deleted, checked)) in cases.into_iter().enumerate() {
        for force in [false, true] {
            let what = format!("case {at}, force {force}");
            let bench = Bench::new();
            backup(&bench.store, &entries, true);
            let lost: Vec<_> = bench.storage.keys().into_iter().filter(|key| is_lost(key)).collect();
            assert!(!lost.is_empty(), "{what}");
            for key in lost {
                match deleted {
                    true => bench.storage.delete(&key).unwrap(),
                    false => bench.damage(&key, |bytes| *bytes.last_mut().unwrap() ^= 1),
                }
            }
            if checked {
                assert!(check(&Arc::new(bench.reopen()), ReadData::No).is_damaged(), "{what}");
            }
            let new = backup(&Arc::new(bench.reopen()), &entries, force).snapshot.unwrap();
            assert_eq!(records(&bench.storage), usize::from(!deleted), "{what}: what reads wrong is on record");
            let machine = Machine::of(&bench);
            let elsewhere = machine.open(&bench.storage);
            let report = check(&elsewhere, ReadData::All);
            assert!(!report.affected_snapshots.contains(&new), "{what}: {report:?}");
            comes_back(&elsewhere, new, &entries, &what);
        }
    }
}

/// Finds damage of the index, and says whether it did.
type Find<'a> = &'a dyn Fn(&Arc<Store>) -> bool;

/// What is wrong in its place no listing shows: other machines learn of it from the record, whoever found it, and each time.
#[test]
fn what_one_machine_finds_damaged_of_the_index_no_other_one_builds_on() {
    let is_outcome = |key: &StorageKey| matches!(key, StorageKey::Outcome(_));
    let is_segment = |key: &StorageKey| matches!(key, StorageKey::Segment(..));
    let checks = |store: &Arc<Store>| check(store, ReadData::No).is_damaged();
    let lists = |store: &Arc<Store>| !store.snapshots_confirmed().unwrap().1.is_empty();
    let asks = |store: &Arc<Store>| store.find_snapshot("latest").is_err_and(|error| error.is_damage());
    let reads = |store: &Arc<Store>| {
        store.load_index().unwrap();
        store.index.read().segments().is_empty()
    };
    let of_outcomes: [Find<'_>; 4] = [&checks, &lists, &asks, &reads];
    let of_segments: [Find<'_>; 2] = [&checks, &reads];
    for find in of_outcomes {
        for (force, put_back) in [(false, false), (true, false), (true, true)] {
            found_damaged(&is_outcome, find, force, put_back);
        }
    }
    for find in of_segments {
        for (force, put_back) in [(false, false), (true, false), (true, true)] {
            found_damaged(&is_segment, find, force, put_back);
        }
    }
}

fn found_damaged(is_lost: &dyn Fn(&StorageKey) -> bool, find: Find<'_>, force: bool, put_back: bool) {
    let (bench, entries) = (Bench::new(), sample());
    backup(&bench.store, &entries, true);
    let lost = bench.storage.keys().into_iter().find(|key| is_lost(key)).unwrap();
    let what = format!("{lost}, force {force}, put back {put_back}");
    let (finder, other) = (Machine::of(&bench), Machine::of(&bench));
    // It caches the index and the snapshots.
    let cached = other.open(&bench.storage);
    cached.load_index().unwrap();
    assert_eq!(cached.snapshots().unwrap().0.len(), 1);
    drop(cached);
    let bytes = bench.storage.get(&lost, usize::MAX).unwrap();
    let damage = || bench.damage(&lost, |bytes| *bytes.last_mut().unwrap() ^= 1);
    damage();
    for _ in 0..2 {
        let store = finder.open(&bench.storage);
        assert!(find(&store), "{what}");
        store.record_damage();
        assert_eq!(records(&bench.storage), 1, "{what}: on record once");
    }
    if put_back {
        bench.storage.replace(&lost, bytes);
    } else if matches!(lost, StorageKey::Outcome(_)) {
        let (listed, damaged) = other.open(&bench.storage).snapshots_confirmed().unwrap();
        assert!(listed.is_empty() && damaged.len() == 1, "{what}: what is cached is not said to be there");
    }
    let made = backup(&other.open(&bench.storage), &entries, force);
    assert!(!put_back || made.chunks_novel == 0, "{what}: what reads right again is relied on");
    let elsewhere = |new: ObjectId| {
        let third = Machine::of(&bench);
        let store = third.open(&bench.storage);
        let report = check(&store, ReadData::All);
        assert!(!report.affected_snapshots.contains(&new), "{what}: {report:?}");
        comes_back(&store, new, &entries, &what);
    };
    elsewhere(made.snapshot.unwrap());
    // It looked again once: a later backup relies on what it read then.
    let again = backup(&other.open(&bench.storage), &entries, true);
    assert_eq!((again.chunks_novel, again.bytes_novel), (0, 0), "{what}");
    if put_back {
        // Until it is found damaged a second time.
        damage();
        for _ in 0..2 {
            assert!(check(&finder.open(&bench.storage), ReadData::No).is_damaged(), "{what}");
            assert_eq!(records(&bench.storage), 2, "{what}: on record a second time, and not a third time");
        }
        let made = backup(&other.open(&bench.storage), &entries, force);
        elsewhere(made.snapshot.unwrap());
    }
}

#[test]
fn a_pack_that_holds_the_bytes_of_another_heals_like_any_other() {
    let bench = Bench::new();
    let (mut one, mut two) = (Entries::default(), Entries::default());
    one.file("/one", noise(30_000, 1));
    two.file("/two", noise(30_000, 2));
    backup(&bench.store, &one, true);
    backup(&bench.store, &two, true);
    let packs = bench.keys(|key| matches!(key, StorageKey::Pack(_)));
    let bytes = |at: usize| bench.storage.get(&packs[at], usize::MAX).unwrap();
    let (first, second) = (bytes(0), bytes(1));
    bench.storage.replace(&packs[0], second);
    bench.storage.replace(&packs[1], first);
    let store = Arc::new(bench.reopen());
    assert!(check(&store, ReadData::All).is_damaged());
    let made =
        [&one, &two].map(|entries| (backup(&Arc::new(bench.reopen()), entries, true).snapshot.unwrap(), entries));
    let store = Arc::new(bench.reopen());
    let report = check(&store, ReadData::All);
    assert!(!report.is_damaged(), "{report:?}");
    for (snapshot, entries) in made {
        comes_back(&store, snapshot, entries, "after the swap");
    }
}
