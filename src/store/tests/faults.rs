//! A fault at every operation of creating a store and of a backup, in every variant.

use super::*;
use crate::storage::layer::{Fault, FaultStorage, Plan};

/// What a run came to: the store's name if it was made, the snapshot if it was acknowledged.
fn run(machine: &Machine, storage: &Arc<dyn Storage>) -> (bool, Option<ObjectId>) {
    let Ok(store) = machine.create(storage) else { return (false, None) };
    (true, backup(&store, "host", b"precious").ok().map(|committed| committed.snapshot))
}

fn check_after(machine: &Machine, storage: &Arc<dyn Storage>, made: bool, acknowledged: Option<ObjectId>) {
    let store = match machine.open(storage) {
        Ok(store) => store,
        Err(StoreError::NoStore(_)) if !made => match machine.create(storage) {
            Ok(store) => store,
            Err(error) => panic!("a store cannot be made any more: {error}"),
        },
        Err(error) => panic!("{error}"),
    };
    let listed = ids(&store);
    assert!(acknowledged.is_none_or(|id| listed.contains(&id)), "an acknowledged snapshot is gone");
    for id in listed {
        assert_eq!(restore(&store, id).unwrap(), b"precious");
    }
    // The next run comes through, uses what is there, and leaves all of it readable.
    let next = backup(&store, "host", b"precious").unwrap().snapshot;
    let fresh = Machine::new();
    let fresh = fresh.open(storage).unwrap();
    for id in ids(&fresh) {
        assert_eq!(restore(&fresh, id).unwrap(), b"precious");
    }
    assert!(ids(&fresh).contains(&next));
}

#[test]
fn a_fault_at_any_operation_leaves_no_snapshot_or_a_readable_one() {
    let machine = Machine::new();
    let counting = Arc::new(FaultStorage::new(Arc::new(MemoryStorage::default()), None));
    let storage: Arc<dyn Storage> = counting.clone();
    assert!(run(&machine, &storage).1.is_some());
    let operations = counting.operations();
    assert!(operations > 20);
    for fault in Fault::WRITES.into_iter().chain([Fault::Flip(100), Fault::ShortRead]) {
        for at in 0..operations {
            let memory: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
            let faulty: Arc<dyn Storage> = Arc::new(FaultStorage::new(memory.clone(), Some(Plan::at(at, fault))));
            let (made, acknowledged) = run(&machine, &faulty);
            check_after(&machine, &memory, made, acknowledged);
        }
    }
}

#[test]
fn a_process_that_goes_on_after_an_error_commits_nothing() {
    let machine = Machine::new();
    let memory: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
    let faulty = Arc::new(FaultStorage::new(memory.clone(), None));
    let storage: Arc<dyn Storage> = faulty.clone();
    let store = machine.create(&storage).unwrap();
    let mut hit = 0;
    for at in 0..6 {
        let session = begin(&store, "host").unwrap();
        faulty.arm(Plan::at(at, Fault::NotApplied));
        let manifest = store_tree(&session, "host", b"precious");
        let failed = faulty.hits() > 0;
        faulty.arm(Plan::at(u64::MAX, Fault::NotApplied));
        let committed = manifest.is_ok_and(|manifest| session.commit(manifest).is_ok());
        assert_ne!(failed, committed, "fault at operation {at}");
        hit += u32::from(failed);
    }
    assert!(hit > 0, "no operation failed");
    check_after(&machine, &memory, true, None);
}
