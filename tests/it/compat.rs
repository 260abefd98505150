//! Stores that earlier versions made are opened, checked and restored.

use larder::crypto::slot::Credential;
use larder::monitor::Silent;
use larder::ops::check::{self, CheckOptions, ReadData};
use larder::ops::restore::{self, RestoreOptions};
use larder::storage::Area;
use larder::storage::local::LocalStorage;
use larder::store::{MachineFolders, Store};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// A copy: opening a store may write (sessions of readers), and version control keeps no empty folders.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn every_fixture_has_its_test() {
    let entries = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path());
    let is_store = |path: &PathBuf| path.is_dir() && path.file_name().is_some_and(|name| name != "reports");
    let mut folders: Vec<_> = entries.filter(is_store).collect();
    folders.sort();
    assert_eq!(folders, [fixtures().join("format-1")]);
}

#[test]
fn a_store_of_format_1_opens_checks_and_restores() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = fixtures().join("format-1");
    copy(&fixture.join("store"), &folder.path().join("store"));
    for area in Area::ALL {
        fs::create_dir_all(folder.path().join("store").join(area.folder())).unwrap();
    }
    let key: [u8; 32] = fs::read(fixture.join("key")).unwrap().try_into().unwrap();
    let storage = Arc::new(LocalStorage::open(&folder.path().join("store")).unwrap());
    let places = MachineFolders { config: folder.path().join("config"), cache: folder.path().join("cache") };
    let store = Arc::new(Store::open(storage, &Credential::KeyFile(key.into()), places).unwrap());
    let options = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
    let report = check::run(&store, &options, &Silent).unwrap();
    assert_eq!((report.counts, report.snapshots), ([0, 0, 0, 0], 2), "{:?}", report.findings);

    let (snapshots, _) = store.snapshots().unwrap();
    assert_eq!(snapshots[1].manifest.tags, ["second"]);
    for (snapshot, has_noise) in snapshots.iter().zip([true, false]) {
        let target = folder.path().join(snapshot.id.to_string());
        let options = RestoreOptions {
            snapshot: snapshot.id.to_string(),
            path: b"/golden".to_vec(),
            target: target.clone(),
            ..RestoreOptions::default()
        };
        let stats = restore::run(&store, &options, &Silent).unwrap();
        assert!(stats.problems.is_empty(), "{:?}", stats.problems);
        let text: String = (1..=300).map(|i| format!("line {i} of a text\n")).collect();
        assert_eq!(fs::read_to_string(target.join("text")).unwrap(), text);
        assert_eq!(fs::read_to_string(target.join("inline")).unwrap(), "short");
        assert_eq!(
            fs::metadata(target.join("inline")).unwrap().ino(),
            fs::metadata(target.join("hard")).unwrap().ino()
        );
        assert_eq!(fs::read_link(target.join("link")).unwrap(), Path::new("text"));
        assert_eq!(fs::metadata(target.join("sub/empty")).unwrap().len(), 0);
        let hole = fs::read(target.join("hole")).unwrap();
        assert!(hole.len() == 200_003 && hole.ends_with(b"end") && hole[..200_000].iter().all(|&b| b == 0));
        let meta = fs::metadata(target.join("text")).unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.mtime(), meta.mtime_nsec()), (0o640, 1_580_608_922, 250_000_000));
        let noise = target.join("sub/noise");
        assert_eq!(noise.exists(), has_noise);
        if has_noise {
            assert_eq!(fs::read(noise).unwrap(), fs::read(fixture.join("noise")).unwrap());
        }
    }
}
