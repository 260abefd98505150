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
        // The machine that made it knows.
        let store = Arc::new(bench.reopen());
        let report = run(&store, &CheckOptions::default(), &Silent).unwrap();
        assert!(says(&report, Severity::Damage, made[at], "it was committed"), "{:?}", messages(&report));
        bench.storage.put_if_absent(&key, &bytes).unwrap();
        assert_eq!(check(&bench, ReadData::No).counts[Severity::Damage as usize], 0);
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
    assert_eq!(store.index.read().unwrap().rows(), 0);
}
