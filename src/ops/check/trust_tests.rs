//! `check` judges records as every other command does, and names what was taken out of a store or slipped into it.

use super::tests::{check, check_storage, messages};
use super::*;
use crate::base::id::SessionId;
use crate::crypto::sign::SigningKey;
use crate::format::config::Member;
use crate::format::session::{SessionPurpose, Verdict};
use crate::format::state::Record;
use crate::monitor::Silent;
use crate::ops::testing::{Bench, Entries, noise};
use crate::storage::Storage;
use crate::store::newest::Wanted;
use crate::store::session::Session;
use crate::store::tests::put_record;

fn stranger() -> SigningKey {
    SigningKey::from_seed(&[66; 32])
}

fn entries(seed: u8) -> Entries {
    let mut entries = Entries::default();
    entries.file("/file", noise(20_000, seed));
    entries
}

/// Snapshots of one host, one after the other.
fn snapshots(bench: &Bench, count: u8) -> Vec<ObjectId> {
    (0..count).map(|seed| bench.backup(&entries(seed)).snapshot.unwrap()).collect()
}

/// The snapshots that a listing gives; `check` looks at the same.
fn listed(bench: &Bench) -> Vec<ObjectId> {
    let store = bench.open(bench.storage.clone()).unwrap();
    let listed: Vec<ObjectId> = store.snapshots().unwrap().0.iter().map(|snapshot| snapshot.id).collect();
    let report = check(bench, ReadData::All);
    assert_eq!(report.snapshots, listed.len() as u64, "{:?}", messages(&report));
    listed
}

fn session_of(bench: &Bench, snapshot: ObjectId) -> SessionId {
    bench.store.find_snapshot(&snapshot.to_string()).unwrap().manifest.session
}

fn outcome_of(bench: &Bench, snapshot: ObjectId) -> StorageKey {
    StorageKey::Outcome(session_of(bench, snapshot))
}

fn says(report: &CheckReport, severity: Severity, about: ObjectId, what: &str) -> bool {
    let about = Subject::Snapshot(about);
    report.findings.iter().any(|f| f.severity == severity && f.subject == about && f.message.contains(what))
}

#[test]
fn a_removal_by_a_stranger_hides_no_snapshot_from_a_check() {
    let bench = Bench::new();
    let made = snapshots(&bench, 2);
    put_record(&bench.store, &stranger(), Record::Removal { snapshots: vec![made[0]] });
    assert_eq!(listed(&bench).len(), 2);
    assert!(says(&check(&bench, ReadData::No), Severity::Notice, made[0], "is ignored"));
    // What it lost is found.
    let pack = bench.keys(|key| matches!(key, StorageKey::Pack(_)))[0];
    bench.storage.delete(&pack).unwrap();
    assert!(check(&bench, ReadData::All).is_damaged());
    // Its own host and a maintainer may remove it.
    put_record(&bench.store, &bench.store.host_key, Record::Removal { snapshots: vec![made[0]] });
    assert_eq!(listed(&bench), [made[1]]);
    put_record(&bench.store, bench.store.maintainer.as_ref().unwrap(), Record::Removal { snapshots: vec![made[1]] });
    assert!(listed(&bench).is_empty());
}

#[test]
fn a_settled_list_of_a_stranger_is_said_and_not_applied() {
    let bench = Bench::new();
    let made = snapshots(&bench, 2);
    let sessions = vec![(session_of(&bench, made[0]), Verdict::None)];
    let list = Record::SettledList { sessions, removed: vec![made[1]], replaces: vec![] };
    let name = put_record(&bench.store, &stranger(), list.clone());
    assert_eq!(listed(&bench).len(), 2);
    let report = check(&bench, ReadData::No);
    let is_it = |f: &Finding| f.subject == Subject::Object(StorageKey::State(name)) && f.message.contains("maintainer");
    assert!(report.findings.iter().any(is_it), "{:?}", messages(&report));
    put_record(&bench.store, bench.store.maintainer.as_ref().unwrap(), list);
    assert!(listed(&bench).is_empty());
}

#[test]
fn a_maintainer_who_is_shut_out_settles_and_removes_nothing() {
    let bench = Bench::new();
    let made = snapshots(&bench, 2);
    let removal = Record::Removal { snapshots: vec![made[0]] };
    let list = Record::SettledList { sessions: vec![], removed: vec![made[1]], replaces: vec![] };
    put_record(&bench.store, &stranger(), removal);
    put_record(&bench.store, &stranger(), list);
    let with_role = |roles: u8| {
        let mut store = bench.open(bench.storage.clone()).unwrap();
        let roster = &mut Arc::get_mut(&mut store).unwrap().config.roster;
        roster.push(Member { key: stranger().public(), roles, name: "other".into() });
        roster.sort_by_key(|member| member.key);
        let checked = run(&store, &CheckOptions { threads: 1, ..CheckOptions::default() }, &Silent).unwrap().snapshots;
        assert_eq!(store.snapshots().unwrap().0.len() as u64, checked);
        checked
    };
    assert_eq!((with_role(1), with_role(1 | 8), with_role(2)), (0, 2, 2));
}

#[test]
fn an_undelete_counts_whatever_the_order_of_names() {
    for _ in 0..6 {
        let bench = Bench::new();
        let made = snapshots(&bench, 1);
        let maintainer = bench.store.maintainer.as_ref().unwrap();
        let removal = put_record(&bench.store, maintainer, Record::Removal { snapshots: made.clone() });
        let session = Session::begin(bench.store.clone(), SessionPurpose::Maintenance, "here", vec![]).unwrap();
        let id = session.id();
        session.end().unwrap();
        put_record(&bench.store, maintainer, Record::Undelete { removal, session: id });
        assert_eq!(listed(&bench), made);
        // A settled list wins over the outcome.
        let list = Record::SettledList { sessions: vec![(id, Verdict::None)], removed: vec![], replaces: vec![] };
        put_record(&bench.store, maintainer, list);
        assert!(listed(&bench).is_empty());
    }
}

#[test]
fn settled_lists_that_contradict_each_other_leave_a_session_in_doubt() {
    for _ in 0..4 {
        let bench = Bench::new();
        let made = snapshots(&bench, 2);
        let session = session_of(&bench, made[0]);
        for verdict in [Verdict::None, Verdict::Committed(made[0])] {
            let list = Record::SettledList { sessions: vec![(session, verdict)], removed: vec![], replaces: vec![] };
            put_record(&bench.store, bench.store.maintainer.as_ref().unwrap(), list);
        }
        assert_eq!(listed(&bench), [made[1]]);
        assert!(says(&check(&bench, ReadData::No), Severity::Damage, made[0], "in doubt"));
    }
}

#[test]
fn a_deleted_outcome_is_named_by_a_machine_that_never_saw_it() {
    let bench = Bench::new();
    let made = snapshots(&bench, 3);
    // An older one is named by the manifest behind it; of the newest nobody can tell.
    for (at, what) in [(0, "it was committed"), (1, "it was committed"), (2, "in doubt")] {
        let key = outcome_of(&bench, made[at]);
        let bytes = bench.storage.get(&key, usize::MAX).unwrap();
        bench.storage.delete(&key).unwrap();
        let report = check(&bench, ReadData::No);
        assert!(says(&report, Severity::Damage, made[at], what), "{:?}", messages(&report));
        assert_eq!(report.affected_snapshots, [made[at]]);
        let store = bench.open(bench.storage.clone()).unwrap();
        let damaged = store.snapshots().unwrap().1;
        assert_eq!(damaged.iter().any(|damaged| damaged.id == made[at]), at < 2, "a listing names what it can tell");
        // What the machine that made it has cached makes no difference.
        let (listed, damaged) = bench.reopen().snapshots_confirmed().unwrap();
        assert!(listed.iter().all(|listed| listed.id != made[at]) && damaged.iter().any(|lost| lost.id == made[at]));
        // The machine that made it knows.
        let store = Arc::new(bench.reopen());
        let report = run(&store, &CheckOptions::default(), &Silent).unwrap();
        assert!(says(&report, Severity::Damage, made[at], "it was committed"), "{:?}", messages(&report));
        bench.storage.put_if_absent(&key, &bytes).unwrap();
        assert_eq!(check(&bench, ReadData::No).counts[Severity::Damage as usize], 0);
    }
}

#[test]
fn a_snapshot_of_which_nothing_is_left_is_named_by_those_who_saw_it() {
    let bench = Bench::new();
    let made = snapshots(&bench, 3);
    let machine = || run(&Arc::new(bench.reopen()), &CheckOptions::default(), &Silent).unwrap();
    assert!(!machine().is_damaged());
    // The newest is known to the machine that made it; one before it also to the snapshot behind it.
    for at in [2, 1] {
        let session = session_of(&bench, made[at]);
        let mut lost: Vec<_> =
            [StorageKey::Snapshot(made[at]), StorageKey::Outcome(session), StorageKey::Lease(session)]
                .map(|key| (key, bench.storage.get(&key, usize::MAX).unwrap()))
                .into();
        lost.iter().for_each(|(key, _)| bench.storage.delete(key).unwrap());
        let report = machine();
        assert!(says(&report, Severity::Damage, made[at], "nobody removed it"), "{:?}", messages(&report));
        assert_eq!(report.affected_snapshots, [made[at]]);
        // Listings say it too, and who asks for the newest is told when it may have been that one.
        let (_, damaged) = bench.reopen().snapshots_confirmed().unwrap();
        let gone: Vec<ObjectId> = damaged.iter().map(|damaged| damaged.id).collect();
        assert!(gone == [made[at]] && damaged[0].error.to_string().contains("nobody removed it"), "{damaged:?}");
        let (latest, doubts) = bench.reopen().find_snapshot_among("latest", &Wanted::default()).unwrap();
        assert_eq!((latest.id, doubts.len()), (made[if at == 2 { 1 } else { 2 }], usize::from(at == 2)));
        let by_its_id = bench.reopen().find_snapshot(&made[at].to_string());
        assert!(by_its_id.is_err_and(|error| error.is_damage()));
        assert_eq!(says(&check(&bench, ReadData::No), Severity::Damage, made[at], "nobody removed it"), at == 1);
        // One that was removed before is missed by nobody.
        let removal = put_record(&bench.store, &bench.store.host_key, Record::Removal { snapshots: vec![made[at]] });
        assert!(!machine().is_damaged(), "{:?}", messages(&machine()));
        assert!(bench.reopen().snapshots_confirmed().unwrap().1.is_empty());
        bench.storage.delete(&StorageKey::State(removal)).unwrap();
        lost.drain(..).for_each(|(key, bytes)| bench.storage.replace(&key, bytes));
        assert!(!machine().is_damaged(), "{:?}", messages(&machine()));
    }
}

#[test]
fn another_hosts_manifest_vouches_for_the_newest_of_a_host() {
    let bench = Bench::new();
    let made = snapshots(&bench, 1);
    let other = Bench { store: bench.open(bench.storage.clone()).unwrap(), ..Bench::new() };
    other.backup(&entries(9));
    bench.storage.delete(&outcome_of(&bench, made[0])).unwrap();
    assert!(says(&check(&bench, ReadData::No), Severity::Damage, made[0], "it was committed"));
}

#[test]
fn a_run_that_was_killed_before_its_outcome_is_in_doubt_until_its_hosts_next_backup() {
    let bench = Bench::new();
    snapshots(&bench, 1);
    let trust = bench.store.places.trust_file(bench.store.id());
    let before = std::fs::read(&trust).unwrap();
    let killed = bench.backup(&entries(7)).snapshot.unwrap();
    bench.storage.delete(&outcome_of(&bench, killed)).unwrap();
    // As it was when the process died: nothing noted but the number that it had been given.
    std::fs::write(&trust, before).unwrap();
    std::fs::remove_dir_all(&bench.store.places.cache).unwrap();
    assert!(says(&check(&bench, ReadData::No), Severity::Damage, killed, "in doubt"));
    let again = Bench { store: Arc::new(bench.reopen()), ..bench };
    again.backup(&entries(8));
    let report = check(&again, ReadData::All);
    assert_eq!(report.counts[Severity::Damage as usize], 0, "{:?}", messages(&report));
    assert_eq!((report.snapshots, report.leftovers.snapshots), (2, 1));
}

#[test]
fn a_segment_signed_by_another_host_than_its_sessions_counts_for_nobody() {
    let bench = Bench::new();
    let made = snapshots(&bench, 1);
    let session = session_of(&bench, made[0]);
    let segment = bench.keys(|key| matches!(key, StorageKey::Segment(..)))[0];
    let StorageKey::Segment(_, id) = segment else { unreachable!() };
    let (packs, mut rows) = {
        let mut reader =
            crate::object::segment::SegmentReader::open(&*bench.storage, &bench.store.ring, 0, id).unwrap();
        let mut rows = vec![];
        reader.rows(&mut |some| rows.extend_from_slice(some)).unwrap();
        (reader.footer.packs.clone(), rows)
    };
    bench.storage.delete(&segment).unwrap();
    let ring = &bench.store.ring;
    crate::object::segment::write_segment(&*bench.storage, ring, session, &stranger(), &packs, &mut rows).unwrap();
    let report = check_storage(&bench, bench.storage.clone(), ReadData::No);
    assert_eq!(report.affected_snapshots, made, "{:?}", messages(&report));
    let store = bench.open(bench.storage.clone()).unwrap();
    store.load_index().unwrap();
    assert_eq!(store.index.read().rows(), 0);
}

fn segment_of(bench: &Bench) -> ObjectId {
    match bench.keys(|key| matches!(key, StorageKey::Segment(..)))[0] {
        StorageKey::Segment(_, id) => id,
        other => panic!("{other}"),
    }
}

/// How many rows the index of a new machine has.
fn indexed_rows(bench: &Bench) -> u64 {
    let store = bench.open(bench.storage.clone()).unwrap();
    store.load_index().unwrap();
    store.index.read().rows()
}

#[test]
fn a_segment_moved_or_copied_to_another_generation_is_named_and_put_right() {
    let bench = Bench::new();
    snapshots(&bench, 1);
    let rows = indexed_rows(&bench);
    let id = segment_of(&bench);
    let (own, there) = (StorageKey::Segment(0, id), StorageKey::Segment(3, id));
    let bytes = bench.storage.get(&own, usize::MAX).unwrap();
    let mut bent = bytes.clone();
    bent[200] ^= 1;
    // Moved; copied; copied and changed; changed where it belongs, with a good copy elsewhere.
    let cases = [(None, &bytes), (Some(&bytes), &bytes), (Some(&bytes), &bent), (Some(&bent), &bytes)];
    for (at_home, elsewhere) in cases {
        bench.storage.delete(&own).unwrap();
        if let Some(bytes) = at_home {
            bench.storage.replace(&own, bytes.clone());
        }
        bench.storage.replace(&there, elsewhere.clone());
        let report = check(&bench, ReadData::All);
        let named = |f: &Finding| f.severity == Severity::Damage && f.subject == Subject::Object(there);
        assert!(report.findings.iter().any(named) || at_home == Some(&bent), "{:?}", messages(&report));
        assert!(report.is_damaged() && report.affected_count == 0, "{:?}", messages(&report));
        assert!(
            damaged_objects(&keyless_report(&bench)).contains(&there) || at_home == Some(&bent),
            "without a key too"
        );
        assert_eq!(indexed_rows(&bench), rows, "its bytes are good: nothing is lost to a reader");
        let options = crate::ops::repair::RepairOptions { host: "here".into(), ..Default::default() };
        crate::ops::repair::index(&bench.open(bench.storage.clone()).unwrap(), &options, &Silent).unwrap();
        let report = check(&bench, ReadData::All);
        assert_eq!(report.counts[Severity::Damage as usize], 0, "{:?}", messages(&report));
        assert_eq!(bench.keys(|key| matches!(key, StorageKey::Segment(..))), [own]);
        assert!(!keyless_report(&bench).is_damaged());
    }
}

fn keyless_report(bench: &Bench) -> CheckReport {
    let storage: Arc<dyn Storage> = bench.storage.clone();
    keyless(&storage, &CheckOptions { threads: 1, ..CheckOptions::default() }, &Silent).unwrap()
}

fn damaged_objects(report: &CheckReport) -> Vec<StorageKey> {
    let damages = report.findings.iter().filter(|f| f.severity == Severity::Damage);
    let mut keys: Vec<_> = damages
        .filter_map(|f| match f.subject {
            Subject::Object(key) => Some(key),
            _ => None,
        })
        .collect();
    keys.sort();
    keys
}

fn add_key(bench: &Bench, byte: u8, label: &str) -> StorageKey {
    let credential = crate::crypto::slot::Credential::KeyFile([byte; 32].into());
    StorageKey::KeySlot(bench.store.add_key_slot(&credential, Default::default(), label).unwrap())
}

#[test]
fn any_byte_of_a_key_slot_that_was_changed_is_found_also_under_the_name_that_fits() {
    let bench = Bench::new();
    let other = add_key(&bench, 8, "the other one");
    assert!(!check(&bench, ReadData::No).is_damaged());
    let bytes = bench.storage.get(&other, usize::MAX).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        let renamed = StorageKey::KeySlot(crate::crypto::hash::object_id(&changed));
        bench.storage.delete(&other).unwrap();
        bench.storage.replace(&renamed, changed);
        // What needs no key finds it; now and then it is asked whether the other does too.
        let with_keys = (at % 37 == 0).then(|| check(&bench, ReadData::No));
        for report in with_keys.into_iter().chain([keyless_report(&bench)]) {
            let damaged = damaged_objects(&report);
            assert!(damaged.contains(&other), "byte {at}: the slot that is gone: {:?}", messages(&report));
            let foreign = (10..26).contains(&at);
            assert_eq!(damaged.contains(&renamed), !foreign, "byte {at}: {:?}", messages(&report));
        }
        bench.storage.delete(&renamed).unwrap();
        bench.storage.replace(&other, bytes.clone());
    }
    assert!(!check(&bench, ReadData::No).is_damaged() && !keyless_report(&bench).is_damaged());
}

#[test]
fn a_slot_that_was_removed_and_comes_back_is_damage_and_is_removed_again() {
    let bench = Bench::new();
    let StorageKey::KeySlot(id) = add_key(&bench, 8, "left the team") else { unreachable!() };
    let key = StorageKey::KeySlot(id);
    let bytes = bench.storage.get(&key, usize::MAX).unwrap();
    bench.store.remove_key_slot(id).unwrap();
    assert!(!check(&bench, ReadData::No).is_damaged());
    bench.storage.replace(&key, bytes);
    assert_eq!(damaged_objects(&check(&bench, ReadData::No)), [key]);
    let store = bench.open(bench.storage.clone()).unwrap();
    assert_eq!(store.key_slots().unwrap().len(), 2);
    assert!(store.take_notices().iter().any(|notice| notice.contains("not listed")));
    store.remove_key_slot(id).unwrap();
    assert!(!check(&bench, ReadData::No).is_damaged());
    // One that is lost can be struck off.
    let key = add_key(&bench, 9, "");
    bench.storage.delete(&key).unwrap();
    assert_eq!(damaged_objects(&keyless_report(&bench)), [key]);
    let StorageKey::KeySlot(id) = key else { unreachable!() };
    assert_eq!(crate::ops::keys::remove(&store, &id.to_string()[..8]).unwrap(), id);
    assert!(!keyless_report(&bench).is_damaged());
}

#[test]
fn the_last_slot_that_opens_a_store_is_not_removed_beside_one_that_was_slipped_in() {
    let bench = Bench::new();
    let own = bench.keys(|key| matches!(key, StorageKey::KeySlot(_)))[0];
    let mut forged = bench.storage.get(&own, usize::MAX).unwrap();
    *forged.last_mut().unwrap() ^= 1;
    let name = crate::crypto::hash::object_id(&forged);
    bench.storage.replace(&StorageKey::KeySlot(name), forged);
    let StorageKey::KeySlot(own) = own else { unreachable!() };
    assert!(matches!(bench.store.remove_key_slot(own), Err(crate::store::StoreError::Refused(_))));
    bench.store.remove_key_slot(name).unwrap();
    assert!(!check(&bench, ReadData::No).is_damaged());
}

#[test]
fn slots_of_a_store_that_does_not_list_them_are_listed_by_the_first_change() {
    let bench = Bench::new();
    // As an earlier version left it.
    let maintainer = bench.store.maintainer.as_ref().unwrap();
    let mut config = bench.store.config.clone();
    config.extensions.clear();
    let mut signed = crate::format::config::SignedConfig { config, signer: maintainer.public(), signature: [0; 64] };
    let message = crate::format::config::SignedConfig::signed_bytes(&signed.config, &signed.signer);
    signed.signature = maintainer.sign(crate::crypto::sign::Domain::Config, &bench.store.id(), &message);
    bench.storage.replace(&StorageKey::Config(0), signed.encode());
    assert_eq!(bench.store.listed_slots().unwrap(), None);
    assert_eq!(check(&bench, ReadData::No).counts, [0; 4]);
    let added = add_key(&bench, 8, "");
    assert_eq!(bench.store.listed_slots().unwrap().map(|listed| listed.len()), Some(2));
    assert!(!check(&bench, ReadData::No).is_damaged());
    bench.storage.delete(&added).unwrap();
    assert!(check(&bench, ReadData::No).is_damaged());
}

#[test]
fn keys_added_at_the_same_time_are_all_listed() {
    let bench = Bench::new();
    std::thread::scope(|scope| {
        for byte in 20..24 {
            let bench = &bench;
            scope.spawn(move || add_key(bench, byte, ""));
        }
    });
    assert_eq!(bench.store.listed_slots().unwrap().map(|listed| listed.len()), Some(5));
    assert!(!check(&bench, ReadData::No).is_damaged());
}

#[test]
fn adding_or_removing_a_key_that_is_cut_short_locks_nobody_out_and_is_done_again() {
    use crate::storage::layer::{Fault, FaultStorage, Plan};
    for fault in [Fault::NotApplied, Fault::LostAnswer, Fault::Gone] {
        for at in 0..14 {
            let bench = Bench::new();
            let second = add_key(&bench, 8, "");
            let StorageKey::KeySlot(second) = second else { unreachable!() };
            let faulty = Arc::new(FaultStorage::new(bench.storage.clone(), None));
            let store = bench.open(faulty.clone()).unwrap();
            faulty.arm(Plan::at(at, fault));
            let third = crate::crypto::slot::Credential::KeyFile([9; 32].into());
            let added = store.add_key_slot(&third, Default::default(), "");
            let removed = added.is_ok().then(|| store.remove_key_slot(second));
            let done = matches!(removed, Some(Ok(())));
            let after = bench.open(bench.storage.clone()).unwrap();
            // Whatever is left over is named, and can be taken away.
            for key in damaged_objects(&keyless_report(&bench)) {
                assert!(!done, "{fault:?} at {at}");
                let StorageKey::KeySlot(id) = key else { panic!("{key}") };
                after.remove_key_slot(id).unwrap();
            }
            assert!(!check(&bench, ReadData::No).is_damaged(), "{fault:?} at {at}");
        }
    }
}

#[test]
fn a_snapshot_from_the_future_is_a_notice() {
    let bench = Bench::new();
    let options = crate::ops::backup::BackupOptions {
        host: "here".into(),
        time: Some(crate::base::time::Time { s: 2_208_988_800, ns: 0 }),
        ..Default::default()
    };
    let made = crate::ops::backup::run(&bench.store, &entries(1), &options, Arc::new(Silent)).unwrap();
    let report = check(&bench, ReadData::No);
    assert!(says(&report, Severity::Notice, made.snapshot.unwrap(), "future") && !report.is_damaged());
}
