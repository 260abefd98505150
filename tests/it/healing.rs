//! What reads wrong is put on record and stored anew by the next backup that meets it; then nothing needs it any more.

use crate::memory::{Engine, credential, small_tree};
use crate::roundtrip::noise;
use larder::monitor::Silent;
use larder::ops::backup::{BackupOptions, BackupStats};
use larder::ops::cat::Cat;
use larder::ops::check::{CheckOptions, CheckReport, ReadData, Severity};
use larder::ops::restore::{RestoreOptions, RestoreStats};
use larder::source::fs::FsSource;
use larder::storage::layer::{Fault, FaultStorage, OperationKind, Plan};
use larder::storage::memory::MemoryStorage;
use larder::storage::{Storage, StorageKey};
use larder::store::{MachineFolders, Store};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

/// A machine that may back up into copies of one store, each time with the same keys.
struct Machine {
    places: MachineFolders,
    _folder: tempfile::TempDir,
}

impl Machine {
    /// One that knows what `engine`'s machine does, with an empty cache.
    fn like(engine: &Engine) -> Machine {
        let folder = tempfile::tempdir().unwrap();
        let places = MachineFolders { config: folder.path().join("config"), cache: folder.path().join("cache") };
        copy_folder(&engine.store.places.config, &places.config);
        Machine { places, _folder: folder }
    }

    fn open(&self, storage: Arc<dyn Storage>) -> Arc<Store> {
        Arc::new(Store::open(storage, &credential(), self.places.clone()).unwrap())
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &to),
            false => _ = fs::copy(entry.path(), to).unwrap(),
        }
    }
}

fn backup(store: &Arc<Store>, folder: &Path, force: bool) -> BackupStats {
    let source: FsSource = Engine::source(folder);
    let options = BackupOptions { host: "here".into(), force, threads: 1, ..BackupOptions::default() };
    larder::ops::backup::run(store, &source, &options, Arc::new(Silent)).unwrap()
}

fn check(store: &Arc<Store>, read_data: ReadData) -> CheckReport {
    let options = CheckOptions { read_data, threads: 1, ..CheckOptions::default() };
    larder::ops::check::run(store, &options, &Silent).unwrap()
}

fn restore(store: &Arc<Store>, snapshot: impl ToString, path: &Path, target: &Path) -> RestoreStats {
    let options = RestoreOptions {
        snapshot: snapshot.to_string(),
        path: path.as_os_str().as_bytes().to_vec(),
        target: target.to_path_buf(),
        threads: 1,
        ..RestoreOptions::default()
    };
    larder::ops::restore::run(store, &options, &Silent).unwrap()
}

/// Every file of a tree with its content, and links with their targets.
fn contents(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            let below = contents(&path).into_iter().map(|(name, content)| (path.join(name), content));
            found.extend(below);
        } else if kind.is_symlink() {
            found.push((path.clone(), fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()));
        } else {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found.iter_mut().for_each(|(path, _)| *path = path.strip_prefix(folder).unwrap().to_path_buf());
    found
}

fn is_pack(key: &StorageKey) -> bool {
    matches!(key, StorageKey::Pack(_) | StorageKey::Tree(_))
}

fn records(storage: &MemoryStorage) -> usize {
    storage.keys().iter().filter(|key| matches!(key, StorageKey::State(_))).count()
}

fn flip(storage: &MemoryStorage, key: &StorageKey, at: usize) {
    let mut bytes = storage.get(key, usize::MAX).unwrap();
    bytes[at] ^= 1 << (at % 8);
    storage.replace(key, bytes);
}

fn is_whole(store: &Arc<Store>, snapshot: impl ToString, tree: &Path, what: &str) {
    let target = tempfile::tempdir().unwrap();
    let stats = restore(store, snapshot, tree, target.path());
    assert_eq!(stats.problem_count, 0, "{what}: {:?}", stats.problems);
    assert_eq!(contents(target.path()), contents(tree), "{what}");
}

#[test]
fn what_a_restore_or_a_read_meets_is_put_on_record_once() {
    let engine = Engine::new();
    let tree = tempfile::tempdir().unwrap();
    small_tree(tree.path());
    engine.backup(tree.path());
    let key = engine.storage.keys().into_iter().find(|key| matches!(key, StorageKey::Pack(_))).unwrap();
    flip(&engine.storage, &key, 200);
    let machine = Machine::like(&engine);
    for _ in 0..2 {
        let target = tempfile::tempdir().unwrap();
        let store = machine.open(engine.storage.clone());
        let lost = restore(&store, "latest", tree.path(), target.path());
        assert!(lost.is_damaged() && lost.store_unreadable == 0, "{lost:?}");
        assert_eq!(records(&engine.storage), 1);
        let mut cat = Cat::new(&store);
        let snapshot = store.find_snapshot("latest").unwrap();
        let entry = cat.file(&snapshot, tree.path().join("text").as_os_str().as_bytes()).unwrap();
        let read = cat.content(&entry.content, &mut |_| std::ops::ControlFlow::Continue(()));
        assert!(read.is_err_and(|error| error.is_damage()));
        assert_eq!((store.record_damage(), records(&engine.storage)), (0, 1));
    }
    // An ordinary backup, which looks at times only, sees that the content is not to be relied on.
    let new = backup(&machine.open(engine.storage.clone()), tree.path(), false).snapshot.unwrap();
    is_whole(&machine.open(engine.storage.clone()), new, tree.path(), "after the backup");
    assert!(!check(&machine.open(engine.storage.clone()), ReadData::All).is_damaged());
}

#[test]
fn a_chunk_of_a_long_file_and_a_node_of_its_list_heal_without_force() {
    let engine = Engine::new();
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("long"), noise(30 << 20, 5)).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2100));
    engine.backup(tree.path());
    let whole = engine.storage.copy();
    let unchanged = backup(&Machine::like(&engine).open(Arc::new(whole.copy())), tree.path(), false);
    assert_eq!((unchanged.files_unchanged, unchanged.bytes_read), (1, 0), "without damage it is not read");
    for key in whole.keys().into_iter().filter(is_pack) {
        let (copy, machine) = (Arc::new(whole.copy()), Machine::like(&engine));
        // In a tree pack the list comes first: it ends before the nodes.
        flip(&copy, &key, if matches!(key, StorageKey::Tree(_)) { 150 } else { 15 << 20 });
        assert!(check(&machine.open(copy.clone()), ReadData::All).is_damaged(), "{key}");
        let new = backup(&machine.open(copy.clone()), tree.path(), false);
        let healed = check(&machine.open(copy.clone()), ReadData::All);
        assert!(!healed.is_damaged() && healed.whole_again.len() == 1, "{key}: {healed:?}");
        is_whole(&machine.open(copy.clone()), new.snapshot.unwrap(), tree.path(), &key.path());
        // The record stays, and costs an unchanged file no reading any more.
        std::thread::sleep(std::time::Duration::from_millis(10));
        let after = backup(&machine.open(copy), tree.path(), false);
        assert_eq!((after.files_unchanged, after.bytes_read), (1, 0), "{key}");
    }
}

#[test]
fn what_the_source_has_no_more_stays_lost_and_named() {
    let engine = Engine::new();
    let tree = tempfile::tempdir().unwrap();
    small_tree(tree.path());
    engine.backup(tree.path());
    let key = engine.storage.keys().into_iter().find(|key| matches!(key, StorageKey::Pack(_))).unwrap();
    flip(&engine.storage, &key, 200);
    let machine = Machine::like(&engine);
    let first = check(&machine.open(engine.storage.clone()), ReadData::All);
    assert!(first.findings.iter().any(|f| f.message.contains("run the backup of") && f.message.contains("on here")));
    first.affected.iter().for_each(|lost| fs::remove_file(Path::new(std::ffi::OsStr::from_bytes(&lost.path))).unwrap());
    backup(&machine.open(engine.storage.clone()), tree.path(), true);
    let second = check(&machine.open(engine.storage.clone()), ReadData::No);
    assert!(second.is_damaged() && second.whole_again.is_empty(), "{second:?}");
    let says = |what: &str| second.findings.iter().any(|f| f.message.contains(what));
    assert!(
        !says("run the backup of") && says("only if the files come back"),
        "a backup was run and cannot help: {second:?}"
    );
    assert_eq!(second.affected, first.affected);
}

#[test]
fn a_wrong_byte_that_was_read_once_is_not_put_on_record() {
    let engine = Engine::new();
    let tree = tempfile::tempdir().unwrap();
    small_tree(tree.path());
    engine.backup(tree.path());
    let mut hits = 0;
    for at in 0.. {
        let plan = Plan { only: Some(OperationKind::GetRange), ..Plan::at(at, Fault::Flip(77)) };
        let storage = Arc::new(FaultStorage::new(engine.storage.clone(), None));
        let machine = Machine::like(&engine);
        let store = machine.open(storage.clone());
        store.load_index().unwrap();
        storage.arm(plan);
        let target = tempfile::tempdir().unwrap();
        let stats = restore(&store, "latest", tree.path(), target.path());
        assert_eq!((stats.problem_count, records(&engine.storage)), (0, 0), "read {at}: {:?}", stats.problems);
        if storage.hits() == 0 {
            break;
        }
        hits += 1;
    }
    assert!(hits > 3, "{hits}");
}

#[test]
fn where_the_store_cannot_be_written_this_machine_remembers() {
    let engine = Engine::new();
    let tree = tempfile::tempdir().unwrap();
    small_tree(tree.path());
    engine.backup(tree.path());
    let key = engine.storage.keys().into_iter().find(|key| matches!(key, StorageKey::Pack(_))).unwrap();
    flip(&engine.storage, &key, 200);
    let machine = Machine::like(&engine);
    let plan = Plan { only: Some(OperationKind::Put), ..Plan::from(0, Fault::NotApplied) };
    let storage = Arc::new(FaultStorage::new(engine.storage.clone(), Some(plan)));
    let store = machine.open(storage);
    let report = check(&store, ReadData::All);
    assert!(report.is_damaged() && report.packs_recorded == 0, "{report:?}");
    assert!(store.take_notices().iter().any(|notice| notice.contains("could not be recorded")));
    assert_eq!(records(&engine.storage), 0);
    // It can be written again: the backup knows, stores anew and puts it on record.
    let new = backup(&machine.open(engine.storage.clone()), tree.path(), true);
    assert!(new.bytes_novel > 0);
    assert_eq!(records(&engine.storage), 1);
    assert!(!check(&machine.open(engine.storage.clone()), ReadData::All).is_damaged());
}

#[test]
fn a_pack_that_is_missing_costs_nothing_once_all_of_it_lies_elsewhere() {
    let engine = Engine::new();
    let tree = tempfile::tempdir().unwrap();
    small_tree(tree.path());
    let old = engine.backup(tree.path()).snapshot.unwrap();
    let key = engine.storage.keys().into_iter().find(|key| matches!(key, StorageKey::Pack(_))).unwrap();
    engine.storage.delete(&key).unwrap();
    let machine = Machine::like(&engine);
    let missing = check(&machine.open(engine.storage.clone()), ReadData::All);
    assert!(missing.is_damaged() && missing.packs_recorded == 0, "every listing shows it: {missing:?}");
    backup(&machine.open(engine.storage.clone()), tree.path(), true);
    let report = check(&machine.open(engine.storage.clone()), ReadData::All);
    assert!(!report.is_damaged() && report.whole_again == [old], "{report:?}");
    let told = |f: &larder::ops::check::Finding| f.severity == Severity::Notice && f.message.contains("missing");
    assert!(report.findings.iter().any(told), "{report:?}");
}
