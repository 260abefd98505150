//! What a killed run left is used again.

use super::*;
use crate::storage::{Area, StorageKey};

fn count(memory: &MemoryStorage, area: Area) -> usize {
    memory.keys().iter().filter(|key| key.area() == area).count()
}

#[test]
fn the_next_run_uses_the_packs_of_a_killed_one_and_lists_them_again() {
    let (_machine, memory, store) = new_store();
    let storage: Arc<dyn Storage> = memory.clone();
    let killed = begin(&store, "host").unwrap();
    store_tree(&killed, "host", b"half of it").unwrap();
    let killed_id = killed.id();
    drop(killed);
    assert_eq!((count(&memory, Area::Packs), count(&memory, Area::Index)), (1, 0));
    for machine in [Machine::new(), Machine::new()] {
        let store = machine.open(&storage).unwrap();
        let session = begin(&store, "other").unwrap();
        assert_eq!(session.adoptable().unwrap().packs(), if ids(&store).is_empty() { 2 } else { 0 });
        let manifest = store_tree(&session, "other", b"half of it").unwrap();
        let snapshot = session.commit(manifest).unwrap().snapshot;
        assert_eq!((count(&memory, Area::Packs), count(&memory, Area::Trees)), (1, 1), "nothing was stored again");
        let fresh = Machine::new();
        let fresh = fresh.open(&storage).unwrap();
        assert_eq!(restore(&fresh, snapshot).unwrap(), b"half of it");
    }
    assert!(memory.keys().contains(&StorageKey::Lease(killed_id)));
}

#[test]
fn a_run_that_was_killed_after_its_segment_is_adopted_too() {
    let (machine, memory, store) = new_store();
    let storage: Arc<dyn Storage> = memory.clone();
    let killed = begin(&store, "host").unwrap();
    store_tree(&killed, "host", b"most of it").unwrap();
    _ = killed.write_gathered(&mut killed.progress.lock()).unwrap();
    drop(killed);
    let store = machine.open(&storage).unwrap();
    let snapshot = backup(&store, "host", b"most of it").unwrap().snapshot;
    assert_eq!((count(&memory, Area::Packs), count(&memory, Area::Index)), (1, 2));
    assert_eq!(restore(&Machine::new().open(&storage).unwrap(), snapshot).unwrap(), b"most of it");
}

#[test]
fn packs_of_a_run_that_ended_well_are_not_up_for_adoption_nor_are_damaged_ones() {
    let (_machine, memory, store) = new_store();
    backup(&store, "host", b"committed").unwrap();
    let ended = begin(&store, "host").unwrap();
    store_tree(&ended, "host", b"ended").unwrap();
    ended.end().unwrap();
    let session = begin(&store, "host").unwrap();
    assert!(session.adoptable().unwrap().is_empty());
    drop(session);
    let killed = begin(&store, "host").unwrap();
    store_tree(&killed, "host", b"killed").unwrap();
    drop(killed);
    for key in memory.keys().into_iter().filter(|key| matches!(key.area(), Area::Packs)) {
        let mut bytes = memory.get(&key, usize::MAX).unwrap();
        let last = bytes.len() - 12;
        bytes[last] ^= 1;
        memory.replace(&key, bytes);
    }
    let session = begin(&store, "host").unwrap();
    assert_eq!(session.adoptable().unwrap().packs(), 1, "the tree pack is whole, the data pack is not");
    assert!(store.take_notices().iter().any(|notice| notice.contains("cannot be used again")));
}

#[test]
fn nothing_stays_in_the_cache_of_what_was_adoptable() {
    let (machine, _, store) = new_store();
    let killed = begin(&store, "host").unwrap();
    store_tree(&killed, "host", b"killed").unwrap();
    drop(killed);
    let session = begin(&store, "host").unwrap();
    let folders = || {
        let entries = std::fs::read_dir(machine.places.store_cache(store.id())).unwrap();
        entries.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("adopt-")).count()
    };
    assert_eq!(session.adoptable().unwrap().packs(), 2);
    assert_eq!(folders(), 1);
    drop(session);
    assert_eq!(folders(), 0);
}
