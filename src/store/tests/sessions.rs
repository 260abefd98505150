//! Sessions, their order of writes, and what several of them see of each other.

use super::listing::put_record;
use super::*;
use crate::format::envelope::ObjectKind;
use crate::format::session::{Checkpoint, Lease, Verdict};
use crate::format::state::Record;
use crate::object::envelope;
use crate::storage::layer::{OperationKind, RecordStorage};
use crate::storage::{Area, StorageKey};

fn contains(store: &Arc<Store>, content: &[u8]) -> bool {
    let id = store.ring.id_of(BlobKind::Chunks, content);
    store.index.read().contains(&id)
}

#[test]
fn everything_is_written_and_read_in_the_order_of_the_protocol() {
    let (machine, memory, _) = new_store();
    let recorded = Arc::new(RecordStorage::new(memory));
    let storage: Arc<dyn Storage> = recorded.clone();
    let store = machine.open(&storage).unwrap();
    store.refresh_snapshots().unwrap();
    recorded.take();
    let committed = backup(&store, "host", b"content").unwrap();
    let operations = recorded.take();
    let at = |what: &str, is: &dyn Fn(OperationKind, Area, Option<StorageKey>) -> bool| {
        let at = operations.iter().position(|op| is(op.kind, op.area, op.key));
        at.unwrap_or_else(|| panic!("no {what} in {operations:?}"))
    };
    let last =
        |area: Area, kind: OperationKind| operations.iter().rposition(|op| op.area == area && op.kind == kind).unwrap();
    use OperationKind::{Commit, List, Put};
    let lease = at("lease", &|kind, _, key| kind == Put && matches!(key, Some(StorageKey::Lease(_))));
    let state = at("state", &|kind, area, _| kind == List && area == Area::State);
    let index = at("index", &|kind, area, _| kind == List && area == Area::Index);
    let adoption = at("adoption", &|kind, area, _| kind == List && area == Area::Packs);
    let packs = last(Area::Packs, Commit).max(last(Area::Trees, Commit));
    let segment = at("segment", &|kind, area, _| kind == Commit && area == Area::Index);
    let manifest = at("manifest", &|kind, area, _| kind == Put && area == Area::Snapshots);
    let outcome = at("outcome", &|kind, _, key| kind == Put && matches!(key, Some(StorageKey::Outcome(_))));
    let settled = last(Area::State, List);
    let order = [lease, state, index, adoption, packs, segment, manifest, outcome, settled];
    assert!(order.is_sorted(), "{order:?} of {operations:?}");
    assert_eq!(lease, 0, "nothing comes before the lease");
    assert_eq!(operations[manifest].key, Some(StorageKey::Snapshot(committed.snapshot)));
    let small: u64 = [lease, manifest, outcome].iter().map(|&at| operations[at].bytes).sum();
    let segment_bytes: u64 = operations.iter().filter(|op| op.area == Area::Index).map(|op| op.bytes).sum();
    assert!((small..small + 2 * segment_bytes).contains(&committed.overhead_bytes));
}

#[test]
fn a_backup_comes_back_and_an_unchanged_one_stores_nothing() {
    let (machine, memory, store) = new_store();
    let first = backup(&store, "host", b"content").unwrap().snapshot;
    let data = |memory: &MemoryStorage| {
        let areas = [Area::Packs, Area::Trees, Area::Index];
        memory.keys().into_iter().filter(|key| areas.contains(&key.area())).count()
    };
    assert_eq!(data(&memory), 3);
    let storage: Arc<dyn Storage> = memory.clone();
    for store in [store, machine.open(&storage).unwrap(), Machine::new().open(&storage).unwrap()] {
        let second = backup(&store, "host", b"content").unwrap().snapshot;
        assert_eq!(data(&memory), 3, "nothing new was stored");
        assert_ne!(second, first);
        assert_eq!(restore(&store, first).unwrap(), b"content");
        assert_eq!(restore(&store, second).unwrap(), b"content");
    }
}

#[test]
fn two_machines_commit_at_once_and_both_snapshots_stand() {
    let (machine, memory, store) = new_store();
    let storage: Arc<dyn Storage> = memory;
    let other_machine = Machine::new();
    let other = other_machine.open(&storage).unwrap();
    let made: Vec<(ObjectId, Vec<u8>)> = std::thread::scope(|scope| {
        let run = |store: Arc<Store>, host: &'static str| {
            move || {
                let each = |n: u8| {
                    // Half of it is the same on both machines.
                    let content = if n.is_multiple_of(2) { vec![n; 50] } else { [host.as_bytes(), &[n]].concat() };
                    (backup(&store, host, &content).unwrap().snapshot, content)
                };
                (0..10).map(each).collect::<Vec<_>>()
            }
        };
        let threads = [scope.spawn(run(store.clone(), "a")), scope.spawn(run(other, "b"))];
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let fresh = machine.open(&storage).unwrap();
    assert_eq!(ids(&fresh).len(), 20);
    for (snapshot, content) in made {
        assert_eq!(restore(&fresh, snapshot).unwrap(), content);
    }
}

#[test]
fn what_a_session_stores_does_not_count_before_it_ended_well() {
    let (machine, memory, store) = new_store();
    let storage: Arc<dyn Storage> = memory;
    let session = begin(&store, "host").unwrap();
    let manifest = store_tree(&session, "host", b"mine").unwrap();
    // As if many rows had gathered: its own look-ups find them, and nobody else's.
    let released = session.write_gathered(&mut session.progress.lock()).unwrap();
    assert_eq!(released.into_iter().count(), 2);
    assert!(contains(&store, b"mine"));
    let neighbour = machine.open(&storage).unwrap();
    neighbour.load_index().unwrap();
    assert!(!contains(&neighbour, b"mine"));
    assert!(ids(&neighbour).is_empty());
    let snapshot = session.commit(manifest).unwrap().snapshot;
    assert!(contains(&store, b"mine"));
    neighbour.load_index().unwrap();
    assert!(contains(&neighbour, b"mine"));
    assert_eq!(restore(&machine.open(&storage).unwrap(), snapshot).unwrap(), b"mine");
}

#[test]
fn a_dropped_session_takes_its_rows_with_it_and_an_ended_one_leaves_them() {
    let (machine, memory, store) = new_store();
    let storage: Arc<dyn Storage> = memory;
    let session = begin(&store, "host").unwrap();
    store_tree(&session, "host", b"mine").unwrap();
    _ = session.write_gathered(&mut session.progress.lock()).unwrap();
    drop(session);
    store.load_index().unwrap();
    assert!(!contains(&store, b"mine"), "a session without an outcome lends nothing");
    let session = begin(&store, "host").unwrap();
    store_tree(&session, "host", b"yours").unwrap();
    session.end().unwrap();
    let other = machine.open(&storage).unwrap();
    other.load_index().unwrap();
    assert!(contains(&store, b"yours") && contains(&other, b"yours") && !contains(&other, b"mine"));
    assert!(ids(&other).is_empty());
}

#[test]
fn one_session_of_an_opened_store_writes_at_a_time() {
    let (_machine, _, store) = new_store();
    let session = begin(&store, "host").unwrap();
    assert!(matches!(begin(&store, "host"), Err(StoreError::Refused(_))));
    Session::begin(store.clone(), SessionPurpose::Read, "host", Vec::new()).unwrap().end().unwrap();
    drop(session);
    begin(&store, "host").unwrap().end().unwrap();
    begin(&store, "host").unwrap();
}

#[test]
fn a_session_that_was_settled_by_another_commits_nothing() {
    let (_machine, memory, store) = new_store();
    let maintainer = store.maintainer.as_ref().unwrap();
    let session = begin(&store, "host").unwrap();
    let manifest = store_tree(&session, "host", b"late").unwrap();
    let none = store.seal_outcome(session.id(), Verdict::None, Vec::new(), [0; 5]);
    memory.put_if_absent(&StorageKey::Outcome(session.id()), &none).unwrap();
    assert!(matches!(session.commit(manifest), Err(StoreError::Settled)));
    assert!(ids(&store).is_empty());
    // Also when the outcome was folded into the settled list and only that is left.
    let session = begin(&store, "host").unwrap();
    let manifest = store_tree(&session, "host", b"late").unwrap();
    let sessions = vec![(session.id(), Verdict::None)];
    put_record(&store, maintainer, Record::SettledList { sessions, removed: Vec::new(), replaces: Vec::new() });
    assert!(matches!(session.commit(manifest), Err(StoreError::Settled)));
    assert!(ids(&store).is_empty(), "an entry of the list wins over an outcome that turns up later");
    store.load_index().unwrap();
    assert!(!contains(&store, b"late"));
}

#[test]
fn a_settled_list_stands_for_outcomes_that_are_gone() {
    let (_machine, memory, store) = new_store();
    let storage: Arc<dyn Storage> = memory.clone();
    let snapshot = backup(&store, "host", b"kept").unwrap().snapshot;
    let session = store.find_snapshot("latest").unwrap().manifest.session;
    let sessions = vec![(session, Verdict::Committed(snapshot))];
    let maintainer = store.maintainer.as_ref().unwrap();
    put_record(&store, maintainer, Record::SettledList { sessions, removed: Vec::new(), replaces: Vec::new() });
    memory.delete(&StorageKey::Outcome(session)).unwrap();
    memory.delete(&StorageKey::Lease(session)).unwrap();
    let fresh = Machine::new();
    let fresh = fresh.open(&storage).unwrap();
    assert_eq!(ids(&fresh), [snapshot]);
    assert_eq!(restore(&fresh, snapshot).unwrap(), b"kept");
}

#[test]
fn condemned_packs_are_not_built_upon() {
    let (_machine, memory, store) = new_store();
    let storage: Arc<dyn Storage> = memory.clone();
    let snapshot = backup(&store, "host", b"shared").unwrap().snapshot;
    let parent = store.find_snapshot("latest").unwrap();
    let packs: Vec<ObjectId> = store.index.read().packs().iter().map(|pack| pack.id).collect();
    let mut sorted = packs.clone();
    sorted.sort();
    let condemn = Record::Condemnation { packs: sorted, snapshots: vec![snapshot], mark: ObjectId([0; 32]) };
    let maintainer = store.maintainer.as_ref().unwrap();
    let condemnation = put_record(&store, maintainer, condemn);
    let machine = Machine::new();
    let other = machine.open(&storage).unwrap();
    let session = begin(&other, "other").unwrap();
    assert!(!contains(&other, b"shared") && !session.may_use_parent(&parent));
    assert!(session.adoptable().unwrap().is_empty());
    let manifest = store_tree(&session, "other", b"shared").unwrap();
    let again = session.commit(manifest).unwrap().snapshot;
    // Whatever becomes of the condemned packs now.
    for key in packs.iter().flat_map(|id| [StorageKey::Pack(*id), StorageKey::Tree(*id)]) {
        memory.delete(&key).unwrap();
    }
    let machine = Machine::new();
    assert_eq!(restore(&machine.open(&storage).unwrap(), again).unwrap(), b"shared");
    // A decision that spares them brings them back into view.
    let decision = Record::Decision { condemnation, deleted: Vec::new(), spared: vec![snapshot] };
    put_record(&store, maintainer, decision);
    let fresh = Machine::new();
    let fresh = fresh.open(&storage).unwrap();
    assert!(begin(&fresh, "x").unwrap().may_use_parent(&parent));
}

#[test]
fn a_checkpoint_says_what_is_durable_seen_and_in_use() {
    let (_machine, memory, store) = new_store();
    backup(&store, "host", b"old").unwrap();
    let old: Vec<ObjectId> = store.index.read().packs().iter().map(|pack| pack.id).collect();
    let maintainer = store.maintainer.as_ref().unwrap();
    let condemn = |packs: &[ObjectId]| {
        let mut packs = packs.to_vec();
        packs.sort();
        put_record(&store, maintainer, Record::Condemnation { packs, snapshots: vec![], mark: ObjectId([0; 32]) })
    };
    let before = condemn(&old[..1]);
    let session = begin(&store, "host").unwrap();
    store_tree(&session, "host", b"new").unwrap();
    session.checkpoint(false).unwrap();
    assert!(!memory.keys().iter().any(|key| matches!(key, StorageKey::Checkpoint(..))), "an hour has not passed");
    let after = condemn(&old[1..]);
    session.checkpoint(true).unwrap();
    session.checkpoint(true).unwrap();
    let read = |number| {
        let key = StorageKey::Checkpoint(session.id(), number);
        Checkpoint::decode(&envelope::get(&*memory, &store.ring, ObjectKind::Checkpoint, &key).unwrap()).unwrap()
    };
    let checkpoint = read(2);
    let mut seen = [before, after];
    seen.sort();
    assert_eq!((read(1).number, checkpoint.number), (1, 2));
    assert_eq!(checkpoint.condemnations_seen, seen);
    assert_eq!(checkpoint.packs_in_use, old[1..], "what was condemned before it began was never in view");
    assert_eq!(checkpoint.packs.len(), 2);
}

#[test]
fn the_lease_says_who_runs_and_what_must_stay() {
    let (_machine, memory, store) = new_store();
    let ids = vec![ObjectId([3; 32]), ObjectId([1; 32]), ObjectId([3; 32])];
    let session = Session::begin(store.clone(), SessionPurpose::Read, "host", ids).unwrap();
    let key = StorageKey::Lease(session.id());
    let lease = Lease::decode(&envelope::get(&*memory, &store.ring, ObjectKind::Lease, &key).unwrap()).unwrap();
    assert_eq!(lease.snapshots, [ObjectId([1; 32]), ObjectId([3; 32])]);
    assert_eq!((lease.host_key, lease.host.as_str()), (store.host_key.public(), "host"));
    assert_eq!(lease.purpose, SessionPurpose::Read);
    // A label that no decoder would take is mended.
    let session = begin(&store, "a\nb").unwrap();
    let manifest = store_tree(&session, "a\nb", b"content").unwrap();
    let snapshot = session.commit(manifest).unwrap().snapshot;
    assert_eq!(store.find_snapshot(&snapshot.to_string()).unwrap().manifest.host, "a\u{fffd}b");
}

#[test]
fn an_error_poisons_the_session() {
    let (_machine, _, store) = new_store();
    let session = begin(&store, "host").unwrap();
    let manifest = store_tree(&session, "host", b"content").unwrap();
    let location = crate::index::Location {
        pack: ObjectId([9; 32]),
        pack_kind: PackKind::Data,
        pack_header_len: 81,
        blob_kind: BlobKind::Chunks,
        blob_offset: 81,
        blob_len: 100,
        inner_offset: 0,
        inner_len: 1,
    };
    assert!(session.adopted(&[(ContentId([1; 32]), location)]).is_err());
    assert!(session.checkpoint(true).is_err());
    assert!(matches!(session.commit(manifest), Err(StoreError::Refused(_))));
    assert!(ids(&store).is_empty());
}
