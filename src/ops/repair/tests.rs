//! What a repair lists, and what it removes.

use super::*;
use crate::format::state::Record;
use crate::ops::check::{self, CheckOptions, CheckReport, ReadData};
use crate::ops::testing::{Bench, Entries, noise};
use crate::store::tests::put_record;

fn entries(seed: u8) -> Entries {
    let mut entries = Entries::default();
    entries.file("/file", noise(30_000, seed));
    entries
}

fn repair(bench: &Bench, dry_run: bool) -> RepairStats {
    let options = RepairOptions { dry_run, host: "here".into(), ..RepairOptions::default() };
    index(&Arc::new(bench.reopen()), &options, &Silent).unwrap()
}

fn checked(bench: &Bench) -> CheckReport {
    let options = CheckOptions { read_data: ReadData::All, threads: 1, ..CheckOptions::default() };
    check::run(&Arc::new(bench.reopen()), &options, &Silent).unwrap()
}

fn state_records(bench: &Bench) -> Vec<StorageKey> {
    bench.keys(|key| matches!(key, StorageKey::State(_)))
}

#[test]
fn a_pack_that_holds_the_bytes_of_another_is_not_listed_under_its_own_name() {
    for index_is_lost in [true, false] {
        let bench = Bench::new();
        bench.backup(&entries(1));
        bench.backup(&entries(2));
        let packs = bench.keys(|key| matches!(key, StorageKey::Pack(_)));
        let sound: Vec<Vec<u8>> = packs.iter().map(|key| bench.storage.get(key, usize::MAX).unwrap()).collect();
        bench.storage.replace(&packs[0], sound[1].clone());
        if index_is_lost {
            for key in bench.keys(|key| matches!(key, StorageKey::Segment(..))) {
                bench.storage.delete(&key).unwrap();
            }
        }
        let stats = repair(&bench, false);
        let StorageKey::Pack(foreign) = packs[0] else { panic!("a pack") };
        assert!(!stats.packs_listed.contains(&foreign), "{stats:?}");
        assert!(stats.problems.iter().any(|problem| problem.message.contains("does not match its name")), "{stats:?}");
        assert_eq!(state_records(&bench).len(), 1, "it is on record as damaged");
        // Put back, it is what the index says of it, as soon as that lists it.
        bench.storage.replace(&packs[0], sound[0].clone());
        let stats = repair(&bench, false);
        assert_eq!((stats.packs_listed.contains(&foreign), stats.problems.len()), (index_is_lost, 0), "{stats:?}");
        let report = checked(&bench);
        assert!(!report.is_damaged(), "{report:?}");
    }
}

#[test]
fn a_record_of_damage_that_reads_wrong_is_removed_and_made_again() {
    for at in [0, 8, 10, 11, 27, 31, 60, usize::MAX] {
        let bench = Bench::new();
        bench.backup(&entries(1));
        let pack = bench.keys(|key| matches!(key, StorageKey::Pack(_)))[0];
        bench.damage(&pack, |bytes| bytes[200] ^= 1);
        assert_eq!(checked(&bench).packs_recorded, 1);
        Bench {
            store: Arc::new(bench.reopen()),
            storage: bench.storage.clone(),
            folders: tempfile::tempdir().unwrap(),
        }
        .backup(&entries(1));
        assert!(!checked(&bench).is_damaged(), "it is healed");
        // A record of another kind stays, whatever becomes of it.
        let removal = put_record(&bench.store, &bench.store.host_key, Record::Removal { snapshots: vec![] });
        let removal = StorageKey::State(removal);
        let record = state_records(&bench).into_iter().find(|key| *key != removal).unwrap();
        let wrong = |bytes: &mut Vec<u8>| {
            let at = at.min(bytes.len() - 1);
            bytes[at] ^= 1;
        };
        bench.damage(&record, wrong);
        let report = checked(&bench);
        let says = report.findings.iter().any(|finding| finding.message.contains("`larder repair index` removes it"));
        assert!(report.is_damaged() && says, "byte {at}: {report:?}");
        // What lies there is damaged all the same, and was put on record again.
        assert_eq!((repair(&bench, true).damage_records.len(), state_records(&bench).len()), (1, 3), "byte {at}");
        bench.damage(&removal, wrong);
        let removed = repair(&bench, false).damage_records;
        assert_eq!((removed.len(), state_records(&bench).len()), (1, 2), "byte {at}");
        assert_eq!(StorageKey::State(removed[0]), record);
        bench.storage.delete(&removal).unwrap();
        let report = checked(&bench);
        assert!(!report.is_damaged() && report.packs_recorded == 0, "byte {at}: {report:?}");
    }
}
