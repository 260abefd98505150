//! Making stores and opening them.

use super::*;
use crate::base::id::StoreId;
use crate::crypto::hash::object_id;
use crate::crypto::sign::{Domain, SigningKey};
use crate::format::config::{Member, SignedConfig};
use crate::storage::layer::{Fault, FaultStorage, Plan};
use crate::storage::{Area, LocalStorage, StorageKey};

#[test]
fn a_store_opens_with_each_of_its_secrets_and_no_other() {
    let (machine, memory, store) = new_store();
    let storage: Arc<dyn Storage> = memory.clone();
    let second = store.add_key_slot(&passphrase("correct horse"), CHEAP, "me").unwrap();
    assert_eq!(store.key_slots().unwrap().len(), 2);
    let open = |credential: &Credential| Store::open(storage.clone(), credential, machine.places.clone());
    for right in [key_file(7), passphrase("correct horse")] {
        let opened = open(&right).unwrap();
        assert_eq!(opened.id(), store.id());
        assert_eq!(*opened.ring.keys.chunk_id, *store.ring.keys.chunk_id);
    }
    for wrong in [key_file(8), passphrase("wrong horse"), passphrase("")] {
        assert!(matches!(open(&wrong), Err(StoreError::WrongSecret)));
    }
    store.remove_key_slot(second).unwrap();
    assert!(matches!(open(&passphrase("correct horse")), Err(StoreError::WrongSecret)));
    let (last, _) = store.key_slots().unwrap()[0];
    assert!(matches!(store.remove_key_slot(last), Err(StoreError::Refused(_))));
    assert!(matches!(store.remove_key_slot(second), Err(StoreError::Refused(_))));
    open(&key_file(7)).unwrap();
}

#[test]
fn a_place_without_a_store_is_said_to_have_none_and_one_with_a_store_keeps_it() {
    let (machine, storage) = (Machine::new(), Arc::new(MemoryStorage::default()));
    let storage: Arc<dyn Storage> = storage;
    assert!(matches!(machine.open(&storage), Err(StoreError::NoStore(_))));
    let store = machine.create(&storage).unwrap();
    assert!(matches!(machine.create(&storage), Err(StoreError::StoreExists(_))));
    assert_eq!(machine.open(&storage).unwrap().id(), store.id());
}

#[test]
fn of_two_that_create_at_once_one_has_made_the_store_and_the_other_leaves_nothing() {
    for _ in 0..20 {
        let memory = Arc::new(MemoryStorage::default());
        let storage: Arc<dyn Storage> = memory.clone();
        let machines = [Machine::new(), Machine::new()];
        let results: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = machines.iter().map(|m| scope.spawn(|| m.create(&storage).map(|s| s.id()))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let made: Vec<StoreId> = results.iter().filter_map(|result| result.as_ref().ok().copied()).collect();
        assert_eq!(made.len(), 1, "{results:?}");
        assert!(results.iter().any(|result| matches!(result, Err(StoreError::StoreExists(_)))));
        assert_eq!(machines[0].open(&storage).unwrap().id(), made[0]);
        assert_eq!(memory.keys().iter().filter(|key| key.area() == Area::Keys).count(), 1);
    }
}

#[test]
fn a_store_made_like_another_gives_the_same_ids_and_other_keys_of_contents() {
    let (machine, _, store) = new_store();
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::default());
    let like = CreateOptions { store_secret: Some(Zeroizing::new(store.bundle.store_secret)), ..options() };
    let other = Store::create(storage, &key_file(7), machine.places.clone(), like).unwrap();
    assert_ne!(other.id(), store.id());
    assert_eq!(*other.ring.keys.chunk_id, *store.ring.keys.chunk_id);
    assert_ne!(*other.ring.newest().data_pack, *store.ring.newest().data_pack);
}

#[test]
fn settings_that_no_reader_would_take_make_no_store() {
    let machine = Machine::new();
    let mut chunker = crate::chunking::default_params();
    chunker.min += 1;
    for bad in [
        CreateOptions { pack_bytes: Some(5000), ..options() },
        CreateOptions { pack_bytes: Some(0), ..options() },
        CreateOptions { chunker: Some(chunker), ..options() },
    ] {
        let memory = Arc::new(MemoryStorage::default());
        let made = Store::create(memory.clone(), &key_file(7), machine.places.clone(), bad);
        assert!(matches!(made, Err(StoreError::Refused(_))));
        assert!(memory.keys().is_empty());
    }
}

/// The store's config, changed, signed by `signer` and numbered.
fn next_config(store: &Store, signer: &SigningKey, number: u32, change: impl FnOnce(&mut SignedConfig)) -> Vec<u8> {
    let mut config = store.config.clone();
    config.number = number;
    let mut signed = SignedConfig { config, signer: signer.public(), signature: [0; 64] };
    change(&mut signed);
    let message = SignedConfig::signed_bytes(&signed.config, &signed.signer);
    signed.signature = signer.sign(Domain::Config, &store.id(), &message);
    signed.encode()
}

#[test]
fn the_highest_config_wins_and_is_not_forgotten() {
    let (machine, memory, store) = new_store();
    let storage: Arc<dyn Storage> = memory.clone();
    let maintainer = store.maintainer.as_ref().unwrap();
    let next = next_config(&store, maintainer, 1, |signed| signed.config.group_bytes = 4096);
    memory.put_if_absent(&StorageKey::Config(1), &next).unwrap();
    assert_eq!(machine.open(&storage).unwrap().config.group_bytes, 4096);
    memory.delete(&StorageKey::Config(1)).unwrap();
    assert!(matches!(machine.open(&storage), Err(StoreError::Config(text)) if text.contains("number 1")));
    Machine::new().open(&storage).unwrap();
}

#[test]
fn a_config_that_nobody_entitled_signed_is_refused() {
    let (machine, memory, store) = new_store();
    let storage: Arc<dyn Storage> = memory.clone();
    let maintainer = store.maintainer.as_ref().unwrap();
    let stranger = SigningKey::from_seed(&[66; 32]);
    let enlist = |signed: &mut SignedConfig| {
        let member = Member { key: stranger.public(), roles: 1, name: "stranger".into() };
        signed.config.roster.push(member);
        signed.config.roster.sort_by_key(|member| member.key);
    };
    let mut bent = next_config(&store, maintainer, 1, |_| ());
    *bent.last_mut().unwrap() ^= 1;
    let shut_out = next_config(&store, maintainer, 1, |signed| signed.config.roster[0].roles |= 8);
    for bad in [
        next_config(&store, &stranger, 1, |_| ()),
        next_config(&store, &stranger, 1, enlist),
        next_config(&store, maintainer, 2, |_| ()),
        bent,
        shut_out,
    ] {
        memory.replace(&StorageKey::Config(1), bad);
        assert!(matches!(machine.open(&storage), Err(StoreError::Config(_))));
    }
}

#[test]
fn features_that_this_version_does_not_know_keep_it_out() {
    let (machine, memory, store) = new_store();
    let storage: Arc<dyn Storage> = memory.clone();
    let maintainer = store.maintainer.as_ref().unwrap();
    let next = next_config(&store, maintainer, 1, |signed| signed.config.features_read_only = 2);
    memory.replace(&StorageKey::Config(1), next);
    let opened = machine.open(&storage).unwrap();
    assert!(matches!(begin(&opened, "host"), Err(StoreError::NeedsNewer(2))));
    let next = next_config(&store, maintainer, 2, |signed| signed.config.features_incompatible = 4);
    memory.replace(&StorageKey::Config(2), next);
    assert!(matches!(machine.open(&storage), Err(StoreError::NeedsNewer(4))));
}

#[test]
fn a_layout_of_a_later_version_is_believed_when_the_maintainer_signed_it_and_from_nobody_else() {
    let (machine, memory, store) = new_store();
    let storage: Arc<dyn Storage> = memory.clone();
    let maintainer = store.maintainer.as_ref().unwrap();
    let stranger = SigningKey::from_seed(&[66; 32]);
    let later = |signer: &SigningKey, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = next_config(&store, signer, 1, |_| ());
        bytes.truncate(bytes.len() - 64);
        change(&mut bytes);
        let signature = signer.sign(Domain::Config, &store.id(), &bytes);
        [bytes, signature.to_vec()].concat()
    };
    type Change<'a> = &'a dyn Fn(&mut Vec<u8>);
    let changes: [Change<'_>; 3] = [
        &|bytes| bytes[8] = 2,
        &|bytes| bytes[14] = 4,
        // Nothing of the layout is as it was.
        &|bytes| {
            bytes[14] = 4;
            let signer = bytes.split_off(bytes.len() - 32);
            bytes.truncate(46);
            bytes.extend([0xee; 700]);
            bytes.extend(signer);
        },
    ];
    for change in changes {
        memory.replace(&StorageKey::Config(1), later(maintainer, change));
        assert!(matches!(machine.open(&storage), Err(StoreError::NeedsNewer(_))));
        memory.replace(&StorageKey::Config(1), later(&stranger, change));
        assert!(matches!(machine.open(&storage), Err(StoreError::Config(_))));
    }
}

#[test]
fn a_changed_byte_in_a_config_or_key_slot_is_found_and_the_object_named() {
    let (machine, memory, _) = new_store();
    let storage: Arc<dyn Storage> = memory.clone();
    for key in memory.keys().into_iter().filter(|key| matches!(key.area(), Area::Config | Area::Keys)) {
        let bytes = memory.get(&key, usize::MAX).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            memory.replace(&key, changed.clone());
            let error = machine.open(&storage).err().unwrap_or_else(|| panic!("{key} byte {at} opens"));
            let named = error.to_string().contains(&key.path());
            assert!(named || matches!(error, StoreError::Config(_)), "{key} byte {at}: {error}");
            assert!(!matches!(error, StoreError::NeedsNewer(_)), "{key} byte {at}: {error}");
            // Under the name that fits its bytes a changed slot is still no way in.
            if key.area() == Area::Keys && at % 16 == 0 {
                let renamed = StorageKey::KeySlot(object_id(&changed));
                memory.delete(&key).unwrap();
                memory.replace(&renamed, changed);
                assert!(machine.open(&storage).is_err(), "renamed, byte {at}");
                memory.delete(&renamed).unwrap();
            }
        }
        memory.replace(&key, bytes);
    }
    machine.open(&storage).unwrap();
}

#[test]
fn a_damaged_slot_does_not_keep_the_others_out() {
    let (machine, memory, store) = new_store();
    let storage: Arc<dyn Storage> = memory.clone();
    let second = store.add_key_slot(&passphrase("other"), CHEAP, "").unwrap();
    memory.replace(&StorageKey::KeySlot(second), vec![1, 2, 3]);
    let opened = machine.open(&storage).unwrap();
    assert_eq!(opened.key_slots().unwrap().len(), 1);
    assert!(opened.take_notices()[0].contains(&second.to_string()));
    let error = Store::open(storage, &passphrase("other"), machine.places.clone()).err().unwrap();
    assert!(error.to_string().contains(&second.to_string()), "{error}");
}

#[test]
fn a_creation_that_was_cut_short_on_a_disk_can_be_begun_again() {
    let (machine, folder) =
        (Machine::new(), tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap());
    let path = folder.path().join("store");
    let mut cut_short = 0;
    // Operations of a creation: seven listings, the slot, the config; then the store is opened.
    for at in 0..10 {
        let local = Arc::new(LocalStorage::create(&path).unwrap());
        let faulty = FaultStorage::new(local.clone(), Some(Plan::at(at, Fault::Gone)));
        let made = Store::create(Arc::new(faulty), &key_file(7), machine.places.clone(), options());
        assert!(made.is_err());
        let storage: Arc<dyn Storage> = local;
        match machine.open(&storage) {
            Err(StoreError::NoStore(_)) => cut_short += 1,
            Err(error) => panic!("{error}"),
            Ok(_) => break,
        }
    }
    assert_eq!(cut_short, 9);
    let storage: Arc<dyn Storage> = Arc::new(LocalStorage::open(&path).unwrap());
    let store = machine.open(&storage).unwrap();
    let snapshot = backup(&store, "host", b"on a disk").unwrap().snapshot;
    assert_eq!(restore(&machine.open(&storage).unwrap(), snapshot).unwrap(), b"on a disk");
    assert!(LocalStorage::create(&path).is_err());
}

#[test]
fn the_secret_of_the_benchmark_is_refused_by_every_store_that_lasts() {
    use crate::store::open::BENCH_SECRET;
    let machine = Machine::new();
    let with = || CreateOptions { store_secret: Some(BENCH_SECRET.into()), ..options() };
    let folder = tempfile::tempdir().unwrap();
    let local = Arc::new(LocalStorage::create(&folder.path().join("store")).unwrap());
    let refused = Store::create(local.clone(), &key_file(7), machine.places.clone(), with());
    assert!(matches!(refused, Err(StoreError::Refused(why)) if why.contains("everyone knows")));
    assert!(matches!(machine.open(&(local.clone() as Arc<dyn Storage>)), Err(StoreError::NoStore(_))));
    // In memory it works, and what was made there does not open once it is copied to a disk.
    let memory = Arc::new(MemoryStorage::default());
    Store::create(memory.clone(), &key_file(7), machine.places.clone(), with()).unwrap();
    for key in memory.keys() {
        local.put_if_absent(&key, &memory.get(&key, usize::MAX).unwrap()).unwrap();
    }
    let refused = Store::open(local, &key_file(7), machine.places.clone());
    assert!(matches!(refused, Err(StoreError::Refused(why)) if why.contains("everyone knows")));
}
