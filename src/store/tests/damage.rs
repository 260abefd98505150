//! Records of damage: whose are believed, and what is not relied on because of them.

use super::*;
use crate::crypto::sign::SigningKey;
use crate::format::state::{DamagedPack, Record};
use crate::index::Location;
use crate::storage::StorageKey;

fn locations(store: &Store, plain: &[u8]) -> Vec<Location> {
    let id = store.ring.id_of(BlobKind::Chunks, plain);
    let mut found = Vec::new();
    store.index.read().locate(&id, &mut found);
    found
}

fn contains(store: &Store, plain: &[u8]) -> bool {
    let id = store.ring.id_of(BlobKind::Chunks, plain);
    store.index.read().contains(&id)
}

fn damage(location: &Location, whole: bool) -> Record {
    let blobs = if whole { vec![] } else { vec![location.blob_offset] };
    Record::Damage { packs: vec![DamagedPack { id: location.pack, blobs }] }
}

#[test]
fn what_is_on_record_is_stored_anew_and_still_tried_by_readers() {
    for whole in [false, true] {
        let (machine, memory, store) = new_store();
        let storage: Arc<dyn Storage> = memory;
        backup(&store, "host", b"content").unwrap();
        let place = locations(&store, b"content")[0];
        put_record(&store, &store.host_key, damage(&place, whole));
        drop(store);
        let store = machine.open(&storage).unwrap();
        let session = begin(&store, "host").unwrap();
        assert!(!contains(&store, b"content"));
        assert_eq!(locations(&store, b"content"), [place], "reading still finds it");
        session.end().unwrap();
        let mut reader = Reader::new(store.clone(), 0);
        let id = store.ring.id_of(BlobKind::Chunks, b"content");
        assert_eq!(reader.read(BlobKind::Chunks, &id).unwrap(), b"content");
        backup(&store, "host", b"content").unwrap();
        let both = locations(&store, b"content");
        assert!(both.len() == 2 && both[0].pack != place.pack && both[1] == place, "the damaged place comes last");
        assert!(contains(&store, b"content"), "the other copy is relied on");
    }
}

#[test]
fn records_of_strangers_are_ignored_and_those_of_known_hosts_count() {
    let (_machine, memory, store) = new_store();
    let storage: Arc<dyn Storage> = memory.clone();
    backup(&store, "host", b"content").unwrap();
    let place = locations(&store, b"content")[0];
    store.take_notices();
    let stranger = SigningKey::from_seed(&[66; 32]);
    put_record(&store, &stranger, damage(&place, false));
    assert!(store.read_state().unwrap().damaged.is_empty());
    assert!(store.take_notices().iter().any(|notice| notice.contains("not known here")));
    // A host of which no snapshot was seen is a stranger, too; then it is pinned.
    let other_machine = Machine::new();
    let other_store = other_machine.open(&storage).unwrap();
    let record = put_record(&store, &other_store.host_key, damage(&place, false));
    assert!(store.read_state().unwrap().damaged.is_empty());
    memory.delete(&StorageKey::State(record)).unwrap();
    backup(&other_store, "other", b"more").unwrap();
    store.snapshots().unwrap();
    put_record(&store, &other_store.host_key, damage(&place, false));
    let damaged = store.read_state().unwrap().damaged;
    assert!(damaged.has(&place.pack, place.blob_offset) && !damaged.has_whole(&place.pack));
    put_record(&store, store.maintainer.as_ref().unwrap(), damage(&place, true));
    assert!(store.read_state().unwrap().damaged.has_whole(&place.pack));
}

#[test]
fn damage_is_recorded_once_and_only_when_it_was_read_wrong_twice() {
    let (machine, memory, store) = new_store();
    let storage: Arc<dyn Storage> = memory.clone();
    backup(&store, "host", b"content").unwrap();
    let place = locations(&store, b"content")[0];
    let key = StorageKey::Pack(place.pack);
    let mut bytes = memory.get(&key, usize::MAX).unwrap();
    bytes[place.blob_offset as usize + 12] ^= 1;
    memory.replace(&key, bytes);
    let id = store.ring.id_of(BlobKind::Chunks, b"content");
    let read = |store: &Arc<Store>| Reader::new(store.clone(), 0).read(BlobKind::Chunks, &id);
    let records = || memory.keys().into_iter().filter(|key| matches!(key, StorageKey::State(_))).count();
    assert!(read(&store).is_err_and(|error| error.is_damage()));
    assert!(!contains(&store, b"content"), "at once in this process");
    assert_eq!((store.record_damage(), store.record_damage(), records()), (1, 0, 1));
    let again = machine.open(&storage).unwrap();
    again.load_index().unwrap();
    assert!(read(&again).is_err());
    assert_eq!((again.record_damage(), records()), (0, 1));
    // What is gone is shown by every listing.
    memory.delete(&key).unwrap();
    let again = machine.open(&storage).unwrap();
    again.load_index().unwrap();
    assert!(read(&again).is_err());
    assert_eq!((again.record_damage(), records()), (0, 1));
}

#[test]
fn a_damaged_pack_of_a_killed_run_is_not_adopted() {
    for whole in [false, true] {
        let (machine, memory, store) = new_store();
        let storage: Arc<dyn Storage> = memory.clone();
        // Durable, and then the process is gone.
        let session = begin(&store, "host").unwrap();
        put(&session, BlobKind::Chunks, b"left behind").unwrap();
        let mut packs =
            memory.keys().into_iter().filter_map(|key| if let StorageKey::Pack(id) = key { Some(id) } else { None });
        let pack = packs.next_back().unwrap();
        drop(session);
        let id = store.ring.id_of(BlobKind::Chunks, b"left behind");
        let session = begin(&store, "host").unwrap();
        assert!(session.adoptable().unwrap().get(&id).is_some());
        drop(session);
        put_record(
            &store,
            &store.host_key,
            Record::Damage { packs: vec![DamagedPack { id: pack, blobs: if whole { vec![] } else { vec![81] } }] },
        );
        drop(store);
        let store = machine.open(&storage).unwrap();
        let session = begin(&store, "host").unwrap();
        assert_eq!(session.adoptable().unwrap().get(&id), None, "whole: {whole}");
    }
}
