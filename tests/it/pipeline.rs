//! The pipeline under narrow bounds, on moving files, interrupted and resumed.

use crate::memory::{Engine, small_tree};
use crate::roundtrip::noise;
use larder::monitor::Silent;
use larder::ops::backup::BackupError;
use larder::ops::backup::BackupOptions;
use larder::storage::{Storage, StorageKey};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

fn contents(at: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![at.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.is_file() {
                let name = path.strip_prefix(at).unwrap().to_string_lossy().into_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn assert_restores(engine: &Engine, tree: &Path) {
    let target = tempfile::tempdir().unwrap();
    engine.restore(engine.storage.clone(), tree, target.path());
    assert!(contents(target.path()) == contents(tree), "the restored tree differs");
}

fn mixed_tree(at: &Path) {
    small_tree(at);
    for i in 0..3000 {
        fs::write(at.join(format!("sub/f{i}")), noise(i % 700, i as u64)).unwrap();
    }
    fs::write(at.join("big"), noise(9_000_001, 4)).unwrap();
    fs::write(at.join("again"), noise(9_000_001, 4)).unwrap();
    fs::write(at.join("medium"), noise(1_500_000, 5)).unwrap();
}

#[test]
fn one_thread_and_one_batch_are_enough() {
    let tree = tempfile::tempdir().unwrap();
    mixed_tree(tree.path());
    let engine = Engine::new();
    let options = BackupOptions { threads: 1, readers: 1, batches: 1, ..BackupOptions::default() };
    engine.backup_with(tree.path(), options);
    assert_restores(&engine, tree.path());
}

#[test]
fn the_same_tree_gives_the_same_chunks_whatever_the_threads() {
    let tree = tempfile::tempdir().unwrap();
    mixed_tree(tree.path());
    let engine = Engine::new();
    let first = engine.backup_with(tree.path(), BackupOptions { threads: 4, readers: 4, ..BackupOptions::default() });
    assert!(first.bytes_novel < first.bytes_read, "the second copy of the big file is known");
    let narrow = BackupOptions { threads: 1, readers: 1, batches: 2, force: true, ..BackupOptions::default() };
    let second = engine.backup_with(tree.path(), narrow);
    assert_eq!((second.chunks, second.chunks_novel, second.bytes_novel), (first.chunks, 0, 0));
    assert_restores(&engine, tree.path());
}

#[test]
fn an_unchanged_tree_is_not_read_again() {
    let tree = tempfile::tempdir().unwrap();
    mixed_tree(tree.path());
    let engine = Engine::new();
    // Times this young are not trusted: make them older than the parent's start by more than the clock's grain.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    engine.backup(tree.path());
    let second = engine.backup(tree.path());
    assert_eq!((second.bytes_read, second.files_unchanged), (0, second.files));
    assert_eq!(second.bytes_data_stored, 0);
    fs::write(tree.path().join("medium"), noise(1_500_000, 6)).unwrap();
    fs::remove_file(tree.path().join("text")).unwrap();
    let third = engine.backup(tree.path());
    assert_eq!((third.files_changed, third.bytes_read), (1, 1_500_000));
    assert_restores(&engine, tree.path());
}

#[test]
fn files_that_change_while_they_are_read_never_poison_the_store() {
    let tree = tempfile::tempdir().unwrap();
    for i in 0..20 {
        fs::write(tree.path().join(format!("f{i}")), noise(400_000 + i * 300_000, i as u64)).unwrap();
    }
    let engine = Engine::new();
    let stop = AtomicBool::new(false);
    let rounds = std::sync::atomic::AtomicU64::new(0);
    let mut changed = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                let round = rounds.fetch_add(1, Relaxed) + 1;
                let path = tree.path().join(format!("f{}", round % 20));
                match round % 5 {
                    0 => _ = fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(round % 3_000_000),
                    1 => _ = fs::remove_file(&path).and_then(|()| fs::write(&path, noise(500_000, round))),
                    _ => fs::write(&path, noise(400_000 + (round % 7) as usize * 900_000, round)).unwrap(),
                }
            }
        });
        for _ in 0..10 {
            let options = BackupOptions { host: "here".into(), force: true, ..BackupOptions::default() };
            let stats =
                larder::ops::backup::run(&engine.store, &Engine::source(tree.path()), &options, Arc::new(Silent))
                    .unwrap();
            assert!(stats.snapshot.is_some());
            changed += stats.files_changed + stats.files_new;
        }
        stop.store(true, Relaxed);
    });
    let rounds = rounds.into_inner();
    assert!(rounds > 20 && changed > 20, "{rounds} changes were made, {changed} files differed from run to run");
    let options = larder::ops::check::CheckOptions {
        read_data: larder::ops::check::ReadData::All,
        ..larder::ops::check::CheckOptions::default()
    };
    let report = larder::ops::check::run(&engine.store, &options, &Silent).unwrap();
    assert!(!report.is_damaged(), "{:?}", report.findings);
}

#[test]
fn an_interrupted_run_leaves_nothing_half_visible_and_is_used_again() {
    let tree = tempfile::tempdir().unwrap();
    for i in 0..40 {
        fs::write(tree.path().join(format!("f{i:02}")), noise(2_000_000, i)).unwrap();
    }
    let engine = Engine::new();
    struct StopAt(Arc<AtomicBool>, std::sync::atomic::AtomicU64);
    impl larder::monitor::Monitor for StopAt {
        fn add(&self, counter: larder::monitor::Counter, n: u64) {
            if counter == larder::monitor::Counter::BytesRead && self.1.fetch_add(n, Relaxed) > 40_000_000 {
                self.0.store(true, Relaxed);
            }
        }
    }
    let cancel = Arc::new(AtomicBool::new(false));
    let options = BackupOptions { host: "here".into(), cancel: cancel.clone(), ..BackupOptions::default() };
    let monitor = Arc::new(StopAt(cancel, Default::default()));
    let ended = larder::ops::backup::run(&engine.store, &Engine::source(tree.path()), &options, monitor);
    assert!(matches!(ended, Err(BackupError::Interrupted)), "{ended:?}");
    assert_eq!(engine.store.snapshots().unwrap().0.len(), 0);
    let packs = |engine: &Engine| engine.storage.keys().iter().filter(|k| matches!(k, StorageKey::Pack(_))).count();
    assert!(packs(&engine) >= 1, "the open pack is closed");
    let next = engine.backup(tree.path());
    assert!(next.bytes_novel < 60_000_000, "{} bytes stored again", next.bytes_novel);
    assert_restores(&engine, tree.path());
}

#[test]
fn a_killed_run_is_used_again_by_its_packs_tables() {
    let tree = tempfile::tempdir().unwrap();
    for i in 0..40 {
        fs::write(tree.path().join(format!("f{i:02}")), noise(2_000_000, i)).unwrap();
    }
    let options = || larder::store::open::CreateOptions { pack_bytes: Some(8 << 20), ..Default::default() };
    let engine = Engine::with(options());
    engine.backup(tree.path());
    // What a kill leaves: packs and the lease, no segment, manifest or outcome.
    for key in engine.storage.keys() {
        if matches!(key, StorageKey::Segment(..) | StorageKey::Snapshot(_) | StorageKey::Outcome(_)) {
            engine.storage.delete(&key).unwrap();
        }
    }
    let store = engine.open(engine.storage.clone()).unwrap();
    let options = BackupOptions { host: "here".into(), ..BackupOptions::default() };
    let next = larder::ops::backup::run(&store, &Engine::source(tree.path()), &options, Arc::new(Silent)).unwrap();
    assert_eq!(next.chunks_novel, 0, "all of it was there");
    assert_restores(&engine, tree.path());
}
