//! The engine without the command line: one test that does it all, on a disk.

use crate::roundtrip::noise;
use larder::base::path::key_of;
use larder::crypto::slot::{Credential, KdfCost};
use larder::format::tree::EntryKind;
use larder::monitor::{Counter, Counters, Silent};
use larder::ops::backup::{self, BackupOptions};
use larder::ops::check::{self, CheckOptions, ReadData};
use larder::ops::restore::{self, RestoreOptions};
use larder::source::fs::{FsOptions, FsSource};
use larder::storage::local::LocalStorage;
use larder::store::open::CreateOptions;
use larder::store::{MachineFolders, Store, StoreError};
use larder::tree::reader::Reader;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

#[test]
fn a_store_is_created_filled_listed_checked_and_restored_by_the_library_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("data/sub")).unwrap();
    fs::write(at("data/text"), "words ".repeat(1000)).unwrap();
    fs::write(at("data/sub/noise"), noise(3_000_000, 1)).unwrap();

    let passphrase = Credential::Passphrase("correct horse".to_string().into());
    let kdf = KdfCost { memory_kib: 1024, passes: 1 };
    let places = || MachineFolders { config: at("config"), cache: at("cache") };
    let storage = || Arc::new(LocalStorage::open(&at("store")).unwrap());
    LocalStorage::create(&at("store")).unwrap();
    let options = CreateOptions { kdf, ..CreateOptions::default() };
    let store = Store::create(storage(), &passphrase, places(), options).unwrap();
    let key_file = Credential::KeyFile([9; 32].into());
    store.add_key_slot(&key_file, kdf, "server").unwrap();
    assert_eq!(store.key_slots().unwrap().len(), 2);
    drop(store);
    let wrong = Store::open(storage(), &Credential::KeyFile([8; 32].into()), places());
    assert!(matches!(wrong.err(), Some(StoreError::WrongSecret)));
    let store = Arc::new(Store::open(storage(), &key_file, places()).unwrap());

    let back_up = |counters: &Arc<Counters>| {
        let source = FsSource::new(FsOptions { roots: vec![at("data")], ..FsOptions::default() }).unwrap();
        let options = BackupOptions { host: "here".into(), tags: vec!["daily".into()], ..BackupOptions::default() };
        backup::run(&store, &source, &options, counters.clone()).unwrap()
    };
    let counters = Arc::new(Counters::default());
    let first = back_up(&counters);
    assert_eq!((first.files, first.bytes, first.problem_count), (2, 3_006_000, 0));
    assert_eq!(counters.get(Counter::BytesRead), 3_006_000);
    fs::write(at("data/text"), "other words").unwrap();
    let second = back_up(&Arc::new(Counters::default()));
    assert_eq!(second.parent, first.snapshot);

    let (snapshots, damaged) = store.snapshots().unwrap();
    assert!(damaged.is_empty());
    let ids: Vec<_> = snapshots.iter().map(|s| Some(s.id)).collect();
    assert_eq!(ids, [first.snapshot, second.snapshot]);
    assert_eq!(snapshots[0].manifest.tags, ["daily"]);

    let mut reader = Reader::new(store.clone(), 1 << 20);
    let (mut files, mut broken) = (Vec::new(), 0);
    let mut each = |entry: larder::format::tree::Entry| {
        if entry.meta.kind == EntryKind::File {
            files.push((entry.key, entry.meta.size));
        }
        ControlFlow::Continue(())
    };
    let mut damaged = |_: std::ops::Range<&[u8]>, _: StoreError| {
        broken += 1;
        ControlFlow::Continue(())
    };
    reader.entries(&snapshots[1].manifest.root, &[], &[], &mut each, &mut damaged).unwrap();
    let key = |name: &str| key_of(at(name).as_os_str().as_bytes()).unwrap();
    assert_eq!(files, [(key("data/text"), 11), (key("data/sub/noise"), 3_000_000)]);
    assert_eq!(broken, 0);

    let options = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
    assert_eq!(check::run(&store, &options, &Silent).unwrap().counts, [0, 0, 0, 0]);

    let restore = |snapshot: String, target: &str| {
        let options = RestoreOptions {
            snapshot,
            path: at("data").as_os_str().as_bytes().to_vec(),
            target: at(target),
            verify: true,
            ..RestoreOptions::default()
        };
        restore::run(&store, &options, &Silent).unwrap()
    };
    restore(first.snapshot.unwrap().to_string(), "old");
    restore("latest".into(), "new");
    assert_eq!(fs::read_to_string(at("old/text")).unwrap(), "words ".repeat(1000));
    assert_eq!(fs::read_to_string(at("new/text")).unwrap(), "other words");
    assert_eq!(fs::read(at("new/sub/noise")).unwrap(), noise(3_000_000, 1));
}
