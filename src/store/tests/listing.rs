//! Listing, naming and trusting snapshots.

use super::*;
use crate::crypto::sign::{Domain, SigningKey};
use crate::format::state::{Record, SignedRecord};
use crate::object::envelope;
use crate::storage::layer::{OperationKind, RecordStorage};
use crate::storage::{Area, StorageKey};
use crate::store::trust::Authenticity;

/// Puts a state record into the store, signed by `signer`.
pub(crate) fn put_record(store: &Store, signer: &SigningKey, record: Record) -> ObjectId {
    let mut signed = SignedRecord {
        record,
        created: Time::now(),
        unique: crate::crypto::keys::random_bytes(),
        extensions: Vec::new(),
        signer: signer.public(),
        signature: [0; 64],
    };
    signed.signature = signer.sign(Domain::State, &store.id(), &signed.unsigned_bytes());
    let sealed = envelope::seal(&store.ring, signed.record.kind(), &signed.encode());
    let id = crate::crypto::hash::object_id(&sealed);
    let key = match signed.record {
        Record::Decision { condemnation, .. } => StorageKey::Decision(condemnation),
        _ => StorageKey::State(id),
    };
    store.storage.put_if_absent(&key, &sealed).unwrap();
    id
}

#[test]
fn snapshots_are_listed_by_time_and_named_by_prefix() {
    let (_machine, _, store) = new_store();
    assert!(matches!(store.find_snapshot("latest"), Err(StoreError::NoSnapshot(_))));
    let made: Vec<ObjectId> = (0..3u8).map(|n| backup(&store, "host", &[n; 100]).unwrap().snapshot).collect();
    assert_eq!(ids(&store), made);
    assert_eq!(store.find_snapshot("latest").unwrap().id, made[2]);
    for id in &made {
        assert_eq!(store.find_snapshot(&id.to_string()).unwrap().id, *id);
        assert_eq!(store.find_snapshot(&id.to_string()[..16]).unwrap().id, *id);
    }
    for wrong in ["", "abc", "ABCDEF", &"0".repeat(64), &"0".repeat(65), "latest "] {
        assert!(matches!(store.find_snapshot(wrong), Err(StoreError::NoSnapshot(_))), "{wrong:?}");
    }
}

#[test]
fn manifests_count_up_and_point_back() {
    let (_machine, memory, store) = new_store();
    let storage: Arc<dyn Storage> = memory;
    let first = backup(&store, "host", b"one").unwrap().snapshot;
    let other_machine = Machine::new();
    let other = other_machine.open(&storage).unwrap();
    let foreign = backup(&other, "other", b"two").unwrap().snapshot;
    let second = backup(&store, "host", b"three").unwrap().snapshot;
    let read = |id: ObjectId| store.find_snapshot(&id.to_string()).unwrap().manifest;
    assert_eq!((read(first).sequence, read(first).previous), (1, None));
    assert_eq!((read(second).sequence, read(second).previous), (2, Some(first)));
    assert_eq!((read(foreign).sequence, read(foreign).previous), (1, None));
    assert_eq!(read(foreign).heads.iter().map(|head| head.manifest).collect::<Vec<_>>(), [first]);
}

#[test]
fn a_machine_that_lost_its_notes_still_never_reuses_a_number() {
    let (machine, memory, store) = new_store();
    let storage: Arc<dyn Storage> = memory;
    backup(&store, "host", b"one").unwrap();
    backup(&store, "host", b"two").unwrap();
    std::fs::remove_dir_all(machine.places.config.join("trust")).unwrap();
    std::fs::remove_dir_all(&machine.places.cache).unwrap();
    let again = machine.open(&storage).unwrap();
    let third = backup(&again, "host", b"three").unwrap().snapshot;
    assert_eq!(again.find_snapshot(&third.to_string()).unwrap().manifest.sequence, 3);
}

#[test]
fn the_parent_is_the_newest_of_this_machine_label_and_paths() {
    let (_machine, memory, store) = new_store();
    let storage: Arc<dyn Storage> = memory;
    let paths = [b"/".to_vec()];
    assert!(store.find_parent("host", &paths).unwrap().is_none());
    let mine = backup(&store, "host", b"one").unwrap().snapshot;
    let other_machine = Machine::new();
    backup(&other_machine.open(&storage).unwrap(), "host", b"two").unwrap();
    backup(&store, "label", b"three").unwrap();
    assert_eq!(store.find_parent("host", &paths).unwrap().unwrap().id, mine);
    assert!(store.find_parent("host", &[b"/etc".to_vec()]).unwrap().is_none());
}

#[test]
fn signers_are_pinned_on_first_sight() {
    let (_machine, memory, store) = new_store();
    let storage: Arc<dyn Storage> = memory;
    backup(&store, "web", b"one").unwrap();
    let second = Machine::new();
    let there = second.open(&storage).unwrap();
    backup(&there, "mail", b"two").unwrap();
    backup(&there, "web", b"three").unwrap();
    let verdicts = |store: &Arc<Store>| -> Vec<Authenticity> {
        store.snapshots().unwrap().0.into_iter().map(|snapshot| snapshot.authenticity).collect()
    };
    use Authenticity::{Authentic, PinnedNow, UnknownSigner};
    assert_eq!(verdicts(&store), [Authentic, PinnedNow, UnknownSigner]);
    assert_eq!(verdicts(&store), [Authentic, Authentic, UnknownSigner]);
    let third = Machine::new();
    assert_eq!(verdicts(&third.open(&storage).unwrap()), [PinnedNow, PinnedNow, UnknownSigner]);
    // Whoever looks from the machine itself knows its own key.
    assert_eq!(verdicts(&there)[2], Authentic);
}

#[test]
fn removed_snapshots_are_gone_and_undelete_brings_them_back() {
    let (_machine, memory, store) = new_store();
    let storage: Arc<dyn Storage> = memory;
    let one = backup(&store, "host", b"one").unwrap().snapshot;
    let two = backup(&store, "host", b"two").unwrap().snapshot;
    let [first, second] = [one, two].map(|id| store.find_snapshot(&id.to_string()).unwrap());
    let maintainer = store.maintainer.as_ref().unwrap();
    let removal = put_record(&store, maintainer, Record::Removal { snapshots: vec![one] });
    assert_eq!(ids(&store), [two]);
    assert!(matches!(store.find_snapshot(&one.to_string()), Err(StoreError::NoSnapshot(_))));
    let session = begin(&store, "host").unwrap();
    assert!(!session.may_use_parent(&first) && session.may_use_parent(&second));
    put_record(&store, maintainer, Record::Undelete { removal, session: session.id() });
    assert_eq!(ids(&store), [two], "an undelete counts through its session's outcome only");
    session.end().unwrap();
    assert_eq!(ids(&store), [one, two]);
    // The host that made a snapshot may remove it; another host may not.
    put_record(&store, &store.host_key, Record::Removal { snapshots: vec![two] });
    assert_eq!(ids(&store), [one]);
    let other = Machine::new().open(&storage).unwrap();
    put_record(&store, &other.host_key, Record::Removal { snapshots: vec![one] });
    assert_eq!(ids(&store), [one]);
}

#[test]
fn records_that_nobody_entitled_signed_are_noticed_and_ignored() {
    let (_machine, memory, store) = new_store();
    let one = backup(&store, "host", b"one").unwrap().snapshot;
    store.take_notices();
    let stranger = SigningKey::from_seed(&[66; 32]);
    let removed = vec![one];
    let list = Record::SettledList { sessions: Vec::new(), removed, replaces: Vec::new() };
    put_record(&store, &stranger, list);
    memory.replace(&StorageKey::State(ObjectId([1; 32])), vec![0; 100]);
    assert_eq!(ids(&store), [one]);
    let notices = store.take_notices();
    assert!(notices.iter().any(|notice| notice.contains("not a maintainer")), "{notices:?}");
    assert!(notices.iter().any(|notice| notice.contains(&ObjectId([1; 32]).to_string())), "{notices:?}");
}

#[test]
fn a_warm_cache_reads_no_manifest_and_no_outcome() {
    let (machine, memory, store) = new_store();
    for n in 0..20u8 {
        backup(&store, "host", &[n; 10]).unwrap();
    }
    drop(store);
    let recorded = Arc::new(RecordStorage::new(memory));
    let storage: Arc<dyn Storage> = recorded.clone();
    let warm = machine.open(&storage).unwrap();
    let read = |area: Area| {
        let operations = recorded.operations();
        operations.iter().filter(|op| op.area == area && op.kind != OperationKind::List).count()
    };
    assert_eq!(ids(&warm).len(), 20);
    warm.load_index().unwrap();
    assert_eq!((read(Area::Snapshots), read(Area::Sessions), read(Area::Index)), (0, 0, 0));
    std::fs::remove_dir_all(&machine.places.cache).unwrap();
    let cold = machine.open(&storage).unwrap();
    assert_eq!(ids(&cold).len(), 20);
    cold.load_index().unwrap();
    assert!(read(Area::Snapshots) == 20 && read(Area::Index) >= 20);
    assert_eq!(cold.index.read().rows(), warm.index.read().rows());
}
