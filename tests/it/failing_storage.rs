//! A storage that fails is not called damage: what could not be read is named as that, and nothing is said of its content.

use crate::memory::{Engine, small_tree};
#[cfg(feature = "cli")]
use crate::sandbox::Sandbox;
use larder::monitor::Silent;
use larder::ops::backup::BackupOptions;
use larder::ops::check::{CheckOptions, ReadData};
use larder::ops::find::{FindOptions, Matcher};
use larder::ops::list::ListOptions;
use larder::ops::restore::RestoreOptions;
use larder::storage::layer::{Fault, FaultStorage, OperationKind, Plan};
use larder::storage::{Storage, StorageKey};
use larder::store::Store;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The reads of a storage that may fail.
const READS: [OperationKind; 4] =
    [OperationKind::Get, OperationKind::GetRange, OperationKind::Head, OperationKind::List];

fn fails_for_ever(from: u64, only: OperationKind, error: ErrorKind) -> Plan {
    Plan { only: Some(only), error, ..Plan::from(from, Fault::NotApplied) }
}

fn sample() -> (Engine, tempfile::TempDir) {
    let engine = Engine::new();
    let tree = tempfile::tempdir().unwrap();
    small_tree(tree.path());
    engine.backup(tree.path());
    (engine, tree)
}

fn restore(
    store: &Arc<Store>,
    tree: &Path,
    target: &Path,
) -> Result<larder::ops::restore::RestoreStats, larder::ops::restore::RestoreError> {
    let options = RestoreOptions {
        snapshot: "latest".into(),
        path: tree.as_os_str().as_bytes().to_vec(),
        target: target.to_path_buf(),
        threads: 1,
        ..RestoreOptions::default()
    };
    larder::ops::restore::run(store, &options, &Silent)
}

/// Runs `work` on an opened store again and again, the storage failing from a later read on each time, until none fails.
fn at_each_read(engine: &Engine, work: &mut dyn FnMut(&Arc<Store>, &str)) {
    for (only, error) in READS.into_iter().flat_map(|only| {
        [ErrorKind::Other, ErrorKind::PermissionDenied, ErrorKind::TimedOut, ErrorKind::StaleNetworkFileHandle]
            .map(|error| (only, error))
    }) {
        for at in 0.. {
            let storage = Arc::new(FaultStorage::new(engine.storage.clone(), None));
            let store = engine.open(storage.clone()).unwrap();
            storage.arm(fails_for_ever(at, only, error));
            work(&store, &format!("{only:?} {at} {error:?}"));
            if storage.hits() == 0 {
                assert!(at > 0, "{only:?} was never used");
                break;
            }
        }
    }
    let records = engine.storage.keys().iter().filter(|key| matches!(key, StorageKey::State(_))).count();
    assert_eq!(records, 0, "nothing of it is put on record as damage");
}

#[test]
fn a_restore_from_a_storage_that_fails_at_any_read_finds_no_damage() {
    let (engine, tree) = sample();
    at_each_read(&engine, &mut |store, what| {
        let target = tempfile::tempdir().unwrap();
        match restore(store, tree.path(), target.path()) {
            Err(error) => assert!(!error.is_damage(), "{what}: {error}"),
            Ok(stats) => {
                assert!(!stats.is_damaged(), "{what}: {:?}", stats.problems);
                assert_eq!(stats.problem_count > 0, stats.store_unreadable > 0, "{what}: {:?}", stats.problems);
                let said = |p: &larder::monitor::Problem| p.message.contains("could not be read from the store");
                assert!(stats.problems.iter().all(said), "{what}: {:?}", stats.problems);
            }
        }
    });
}

#[test]
fn a_check_of_a_storage_that_fails_at_any_read_finds_no_damage() {
    let (engine, _tree) = sample();
    for read_data in [ReadData::No, ReadData::All] {
        at_each_read(&engine, &mut |store, what| {
            let options = CheckOptions { read_data, threads: 1, ..CheckOptions::default() };
            match larder::ops::check::run(store, &options, &Silent) {
                Err(error) => assert!(!error.is_damage(), "{what}: {error}"),
                Ok(report) => {
                    assert!(!report.is_damaged() && report.affected_count == 0, "{what}: {report:?}");
                    let unread = report.findings.iter().filter(|f| f.message.contains("could not be read")).count();
                    assert!(unread as u64 >= report.unreadable(), "{what}: {report:?}");
                }
            }
        });
    }
}

#[test]
fn listing_searching_and_backing_up_from_a_storage_that_fails_find_no_damage() {
    let (engine, tree) = sample();
    at_each_read(&engine, &mut |store, what| {
        let work = || -> Result<u64, larder::tree::place::PlaceError> {
            store.load_index()?;
            let (snapshots, doubtful) = store.snapshots()?;
            assert!(doubtful.iter().all(|doubtful| !doubtful.error.is_damage()), "{what}");
            let matcher = Matcher::new(FindOptions::default()).unwrap();
            let go = ControlFlow::Continue(());
            let found = larder::ops::find::run(store, &snapshots, &matcher, &mut |_, _| go, &Silent)?;
            let Some(snapshot) = snapshots.first() else { return Ok(0) };
            let options = ListOptions { path: None, recursive: true };
            let listed = larder::ops::list::run(store, snapshot, &options, &mut |_| go, &Silent)?;
            Ok(found.damaged + listed.damaged)
        };
        match work() {
            Ok(damaged) => assert_eq!(damaged, 0, "{what}"),
            Err(error) => assert!(!error.is_damage(), "{what}: {error}"),
        }
        let options = BackupOptions { host: "here".into(), dry_run: true, ..BackupOptions::default() };
        let source = Engine::source(tree.path());
        if let Err(error) = larder::ops::backup::run(store, &source, &options, Arc::new(Silent)) {
            assert!(!error.is_damage(), "{what}: {error}");
        }
    });
}

#[test]
fn a_storage_that_is_gone_ends_a_restore_with_one_error() {
    let (engine, tree) = sample();
    let storage = Arc::new(FaultStorage::new(engine.storage.clone(), None));
    let store = engine.open(storage.clone()).unwrap();
    store.load_index().unwrap();
    // As a count of the reads says: of packs, after the snapshot was found.
    let mut ended = 0;
    for at in 0.. {
        storage.arm(Plan { error: ErrorKind::TimedOut, ..Plan::from(at, Fault::NotApplied) });
        let target = tempfile::tempdir().unwrap();
        match restore(&store, tree.path(), target.path()) {
            Ok(_) if storage.hits() == 0 => break,
            // What failed were the last words of the restore's own session.
            Ok(stats) => assert_eq!(stats.problem_count, 0, "{at}: {:?}", stats.problems),
            Err(error) => {
                assert!(!error.is_damage() && error.to_string().contains("on purpose"), "{at}: {error}");
                ended += 1;
            }
        }
    }
    assert!(ended > 3, "{ended}");
}

#[test]
fn repair_removes_no_index_segment_that_could_not_be_read() {
    let (engine, _tree) = sample();
    let segments = |engine: &Engine| {
        engine.storage.keys().into_iter().filter(|key| matches!(key, StorageKey::Segment(..))).collect::<Vec<_>>()
    };
    let before = segments(&engine);
    for at in 0..200 {
        let storage = Arc::new(FaultStorage::new(engine.storage.clone(), None));
        let store = engine.open(storage.clone()).unwrap();
        storage.arm(fails_for_ever(at, OperationKind::GetRange, ErrorKind::Other));
        let options = larder::ops::repair::RepairOptions { host: "here".into(), ..Default::default() };
        let stats = larder::ops::repair::index(&store, &options, &Silent);
        assert!(before.iter().all(|segment| segments(&engine).contains(segment)), "{at}: {stats:?}");
        if let Ok(stats) = &stats {
            assert_eq!(stats.segments_damaged, [], "{at}");
            assert_eq!(stats.unreadable, stats.problems.len() as u64, "{at}: {stats:?}");
        }
        if storage.hits() == 0 {
            return assert!(at > 2, "{at}");
        }
    }
    panic!("there is no end to the reads");
}

/// Packs that this user may not read cost the files that need them, and no damage is claimed.
#[cfg(feature = "cli")]
#[test]
fn a_pack_that_may_not_be_read_is_unreadable_and_not_damaged() {
    use std::os::unix::fs::PermissionsExt;
    if crate::sandbox::is_root() {
        return crate::sandbox::again_as_nobody(
            "failing_storage::a_pack_that_may_not_be_read_is_unreadable_and_not_damaged",
        );
    }
    let sandbox = Sandbox::new();
    sandbox.write("source/first", crate::roundtrip::noise(300_000, 1));
    sandbox.ok(["backup", "source/first"]);
    sandbox.write("source/second", crate::roundtrip::noise(300_000, 2));
    sandbox.ok(["backup", "source"]);
    let packs = sandbox.home().join(".larder/packs");
    let mut files = vec![];
    for folder in fs::read_dir(&packs).unwrap().map(Result::unwrap).filter(|e| e.path().is_dir()) {
        files.extend(fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path()));
    }
    assert_eq!(files.len(), 2);
    let lock = |file: &Path, mode| fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    let mut lost = vec![];
    for file in &files {
        lock(file, 0);
        let ran = sandbox.run(["restore", "latest", "--to", "out"]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains("could not be read from the store") && !ran.stderr.contains("damaged"), "{ran:?}");
        let out = sandbox.path("out").join(sandbox.path("source").strip_prefix("/").unwrap());
        lost.extend(["first", "second"].into_iter().filter(|name| !out.join(name).exists()));
        fs::remove_dir_all(sandbox.path("out")).unwrap();
        let ran = sandbox.run(["--json", "restore", "latest", "--to", "out"]);
        let summary = ran.objects().pop().unwrap();
        assert_eq!((ran.code, &summary["damaged"], &summary["store_unreadable"]), (1, &0.into(), &1.into()), "{ran:?}");
        fs::remove_dir_all(sandbox.path("out")).unwrap();
        let ran = sandbox.run(["check", "--read-data"]);
        assert!(ran.code == 1 && ran.stdout.contains("could not be read"), "{ran:?}");
        assert!(!ran.stdout.contains("DAMAGE") && !ran.stdout.contains("does not restore"), "{ran:?}");
        let summary = sandbox.run(["--json", "check", "--read-data"]).objects().pop().unwrap();
        assert_eq!(
            (&summary["damages"], &summary["unreadable"], &summary["packs_recorded"]),
            (&0.into(), &1.into(), &0.into())
        );
        let name = format!("latest:{}", sandbox.path("source").join(lost.last().unwrap()).display());
        let ran = sandbox.run(["cat", name.as_str()]);
        assert!(ran.code == 1 && ran.stderr.contains("ermission denied"), "{ran:?}");
        // Damage beside it is the graver one.
        let other = files.iter().find(|other| *other != file).unwrap();
        let mut bytes = fs::read(other).unwrap();
        bytes[150_000] ^= 1;
        lock(other, 0o600);
        fs::write(other, &bytes).unwrap();
        assert_eq!(sandbox.run(["restore", "latest", "--to", "out"]).code, 20);
        fs::remove_dir_all(sandbox.path("out")).unwrap();
        assert_eq!(sandbox.run(["check", "--read-data"]).code, 20);
        bytes[150_000] ^= 1;
        fs::write(other, &bytes).unwrap();
        lock(file, 0o400);
    }
    lost.sort_unstable();
    assert_eq!(lost, ["first", "second"], "each pack cost the one file it holds");
    sandbox.ok(["restore", "latest", "--to", "out"]);
    sandbox.ok(["check", "--read-data"]);
    // Trees, manifests, index segments and session records likewise.
    for area in ["trees", "snapshots", "index", "sessions"] {
        let mut stack = vec![sandbox.home().join(".larder").join(area)];
        while let Some(folder) = stack.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if entry.path().is_dir() {
                    stack.push(entry.path());
                    continue;
                }
                lock(&entry.path(), 0);
                for words in
                    [&["check"][..], &["check", "--read-data"], &["check", "--keyless"], &["ls", "-r"], &["find", "x"]]
                {
                    let ran = sandbox.run(words.iter().copied());
                    assert!(ran.code == 0 || ran.code == 1, "{words:?} without {:?}: {ran:?}", entry.path());
                    assert!(!ran.stdout.contains("DAMAGE"), "{ran:?}");
                }
                lock(&entry.path(), 0o400);
            }
        }
    }
    sandbox.ok(["check", "--read-data"]);
}

/// No reading again makes a file of it.
#[cfg(feature = "cli")]
#[test]
fn an_object_in_whose_place_lies_no_file_is_damage_for_every_command() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", crate::roundtrip::noise(9000, 3));
    sandbox.ok(["backup", "source"]);
    let store = sandbox.home().join(".larder");
    let path = sandbox.path("source/a").display().to_string();
    let aside = sandbox.path("aside");
    let first_in = |folder: &Path| fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    type Make<'a> = &'a dyn Fn(&Path);
    let made: [(&str, Make<'_>); 6] = [
        ("folder", &|at| fs::create_dir(at).unwrap()),
        ("folder", &|at| {
            fs::create_dir(at).unwrap();
            fs::write(at.join("file"), "x").unwrap();
        }),
        ("pipe", &|at| assert!(std::process::Command::new("mkfifo").arg(at).status().unwrap().success())),
        ("socket", &|at| {
            // The path of an object is longer than that of a socket may be.
            drop(std::os::unix::net::UnixListener::bind(sandbox.path("s")).unwrap());
            fs::rename(sandbox.path("s"), at).unwrap();
        }),
        ("link", &|at| std::os::unix::fs::symlink(&aside, at).unwrap()),
        ("link", &|at| std::os::unix::fs::symlink("nowhere", at).unwrap()),
    ];
    for area in ["packs", "trees"] {
        let object = first_in(&first_in(&store.join(area)));
        fs::rename(&object, &aside).unwrap();
        for (what, make) in made {
            make(&object);
            let found = format!("latest:{path}");
            for words in [
                &["check"][..],
                &["check", "--read-data"],
                &["cat", &found],
                &["restore", &found, "--to", "out", "--overwrite", "always"],
            ] {
                let ran = sandbox.run(words.iter().copied());
                assert_eq!(ran.code, 20, "{area}: {what}: {words:?}: {ran:?}");
                assert!((ran.stdout.clone() + &ran.stderr).contains(what), "{area}: {what}: {words:?}: {ran:?}");
            }
            _ = fs::remove_file(&object);
            _ = fs::remove_dir_all(&object);
        }
        // Nor is it found where its folder is none.
        let folder = object.parent().unwrap();
        fs::remove_dir(folder).unwrap();
        fs::write(folder, "").unwrap();
        for words in [&["check"][..], &["cat", &format!("latest:{path}")]] {
            let ran = sandbox.run(words.iter().copied());
            assert_eq!(ran.code, 20, "{area}: {words:?}: {ran:?}");
        }
        fs::remove_file(folder).unwrap();
        fs::create_dir(folder).unwrap();
        fs::rename(&aside, &object).unwrap();
        sandbox.ok(["check", "--read-data"]);
    }
}

/// Every object of a store, by its kind.
fn one_of_each_kind(store: &Path) -> Vec<(String, PathBuf)> {
    let mut kinds = BTreeMap::new();
    let mut left = vec![store.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                left.push(path);
                continue;
            }
            let inside = path.strip_prefix(store).unwrap().display().to_string();
            let area = inside.split('/').next().unwrap();
            let record = inside.rsplit('/').next().filter(|_| area == "sessions").unwrap_or_default();
            kinds.insert(format!("{area} {record}"), path);
        }
    }
    kinds.remove("tmp ");
    kinds.into_iter().collect()
}

#[test]
fn every_kind_of_object_in_whose_place_lies_no_file_is_named_with_and_without_keys() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", crate::roundtrip::noise(9000, 3));
    sandbox.ok(["backup", "source"]);
    let store = sandbox.home().join(".larder");
    let aside = sandbox.path("aside");
    // A state record: of damage.
    let (_, pack) = one_of_each_kind(&store).into_iter().find(|(kind, _)| kind == "packs ").unwrap();
    let sound = fs::read(&pack).unwrap();
    let mut damaged = sound.clone();
    damaged[200] ^= 1;
    fs::write(&pack, damaged).unwrap();
    assert_eq!(sandbox.run(["check", "--read-data"]).code, 20);
    fs::write(&pack, sound).unwrap();
    sandbox.ok(["check"]);
    let kinds = one_of_each_kind(&store);
    let names: Vec<&str> = kinds.iter().map(|(kind, _)| kind.trim()).collect();
    let all = ["config", "index", "keys", "packs", "sessions lease", "sessions outcome", "snapshots", "state", "trees"];
    assert_eq!(names, all);
    for (kind, object) in &kinds {
        fs::rename(object, &aside).unwrap();
        for (what, make) in [("folder", true), ("link", false)] {
            match make {
                true => fs::create_dir(object).unwrap(),
                false => std::os::unix::fs::symlink(&aside, object).unwrap(),
            }
            let mut tries = vec![&["check"][..], &["check", "--keyless"]];
            // What says that there is a snapshot.
            if matches!(kind.trim(), "snapshots" | "sessions outcome") {
                tries.extend([&["snapshots"][..], &["restore", "latest", "--to", "out"], &["ls", "latest"]]);
            }
            for words in tries {
                let ran = sandbox.run(words.iter().copied());
                assert_eq!(ran.code, 20, "{kind}: {what}: {words:?}: {ran:?}");
                let is_named = (ran.stdout.clone() + &ran.stderr).contains(&format!("a {what} lies in its place"));
                assert!(is_named, "{kind}: {what}: {words:?}: {ran:?}");
            }
            _ = fs::remove_file(object);
            _ = fs::remove_dir(object);
        }
        fs::rename(&aside, object).unwrap();
        sandbox.ok(["check", "--read-data"]);
    }
    // And in the place of a folder: what is to be written there cannot be, which is no failure of the storage.
    let folder = store.join("index/0");
    fs::rename(&folder, &aside).unwrap();
    fs::write(&folder, "").unwrap();
    sandbox.write("source/b", crate::roundtrip::noise(9000, 4));
    for words in [&["backup", "source"][..], &["check"]] {
        let ran = sandbox.run(words.iter().copied());
        assert_eq!(ran.code, 20, "{words:?}: {ran:?}");
    }
    let ran = sandbox.run(["backup", "source"]);
    assert!(ran.stderr.contains("the folder index/0") && ran.stderr.contains("Move it away"), "{ran:?}");
}

/// The kinds of reading: who reads gets an error that says what it is.
#[test]
fn of_two_copies_one_damaged_and_one_unreadable_the_content_is_unreadable() {
    let (engine, tree) = sample();
    let pack = |engine: &Engine| {
        engine.storage.keys().into_iter().filter(|k| matches!(k, StorageKey::Pack(_))).collect::<Vec<_>>()
    };
    let first = pack(&engine)[0];
    let mut bytes = engine.storage.get(&first, usize::MAX).unwrap();
    bytes[200] ^= 1;
    engine.storage.replace(&first, bytes);
    let store = engine.open(engine.storage.clone()).unwrap();
    let options = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
    assert!(larder::ops::check::run(&store, &options, &Silent).unwrap().is_damaged());
    engine.backup_with(tree.path(), BackupOptions { force: true, ..BackupOptions::default() });
    let second = pack(&engine).into_iter().find(|pack| *pack != first).unwrap();
    let storage = Arc::new(Refusing { inner: engine.storage.clone(), key: second });
    let store = engine.open(storage).unwrap();
    let report = larder::ops::check::run(&store, &options, &Silent).unwrap();
    assert!(!report.is_damaged() && report.unreadable() == 1, "{report:?}");
    let target = tempfile::tempdir().unwrap();
    let stats = restore(&store, tree.path(), target.path()).unwrap();
    assert!(!stats.is_damaged() && stats.store_unreadable > 0, "{:?}", stats.problems);
}

fn flip(engine: &Engine, key: &StorageKey) {
    let mut bytes = engine.storage.get(key, usize::MAX).unwrap();
    bytes[200] ^= 1;
    engine.storage.replace(key, bytes);
}

fn keys(engine: &Engine, is: fn(&StorageKey) -> bool) -> Vec<StorageKey> {
    engine.storage.keys().into_iter().filter(is).collect()
}

/// What else is lost or cannot be read says nothing of what has been stored anew; of what has not, it does.
#[test]
fn what_was_stored_anew_is_not_called_damaged_again_beside_something_lost_or_unreadable() {
    let engine = Engine::new();
    let (other, tree) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(other.path().join("only here"), crate::roundtrip::noise(9000, 8)).unwrap();
    small_tree(tree.path());
    let first = StorageKey::Snapshot(engine.backup(other.path()).snapshot.unwrap());
    let is_pack = |key: &StorageKey| matches!(key, StorageKey::Pack(_));
    let lone = keys(&engine, is_pack)[0];
    engine.backup(tree.path());
    let healed = keys(&engine, is_pack).into_iter().find(|pack| *pack != lone).unwrap();
    flip(&engine, &healed);
    let check = |storage: Arc<dyn Storage>| {
        let options = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
        larder::ops::check::run(&engine.open(storage).unwrap(), &options, &Silent).unwrap()
    };
    assert!(check(engine.storage.clone()).is_damaged());
    engine.backup_with(tree.path(), BackupOptions { force: true, ..BackupOptions::default() });
    let report = check(engine.storage.clone());
    assert!(!report.is_damaged() && !report.whole_again.is_empty(), "{report:?}");
    // One that cannot be read, and one that is lost: that is all that is said.
    let refusing = || Arc::new(Refusing { inner: engine.storage.clone(), key: first });
    let report = check(refusing());
    assert_eq!((report.is_damaged(), report.unreadable()), (false, 1), "{report:?}");
    let bytes = engine.storage.get(&first, usize::MAX).unwrap();
    flip(&engine, &first);
    let report = check(engine.storage.clone());
    assert_eq!(report.counts[1..], [0, 0, 1], "{report:?}");
    assert!(!report.findings.iter().any(|finding| finding.message.contains("run the backup")), "{report:?}");
    // What lies nowhere else may have been needed by the one that is lost, or that cannot be read now.
    flip(&engine, &lone);
    let report = check(engine.storage.clone());
    assert!(report.counts[3] > 1 && report.unreadable() == 0, "{report:?}");
    engine.storage.replace(&first, bytes);
    let report = check(refusing());
    assert!(!report.is_damaged() && report.unreadable() > 1, "{report:?}");
    assert!(
        report.findings.iter().any(|finding| finding.message.contains("only when everything else can be read")),
        "{report:?}"
    );
    assert!(check(engine.storage.clone()).is_damaged(), "with all read it is known");
}

/// Gives everything but one object.
struct Refusing {
    inner: Arc<larder::storage::memory::MemoryStorage>,
    key: StorageKey,
}

impl Refusing {
    fn refuse(&self, key: &StorageKey) -> Result<(), larder::storage::StorageError> {
        match *key == self.key {
            true => Err(larder::storage::StorageError::new("read", key, ErrorKind::PermissionDenied.into())),
            false => Ok(()),
        }
    }
}

impl Storage for Refusing {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn capabilities(&self) -> larder::storage::Capabilities {
        self.inner.capabilities()
    }
    fn put_if_absent(
        &self,
        key: &StorageKey,
        bytes: &[u8],
    ) -> Result<larder::storage::Created, larder::storage::StorageError> {
        self.inner.put_if_absent(key, bytes)
    }
    fn writer(
        &self,
        area: larder::storage::Area,
    ) -> Result<Box<dyn larder::storage::StorageWriter>, larder::storage::StorageError> {
        self.inner.writer(area)
    }
    fn get(&self, key: &StorageKey, max: usize) -> Result<Vec<u8>, larder::storage::StorageError> {
        self.refuse(key)?;
        self.inner.get(key, max)
    }
    fn get_range(&self, key: &StorageKey, offset: u64, buf: &mut [u8]) -> Result<(), larder::storage::StorageError> {
        self.refuse(key)?;
        self.inner.get_range(key, offset, buf)
    }
    fn head(&self, key: &StorageKey) -> Result<larder::storage::Listed, larder::storage::StorageError> {
        self.inner.head(key)
    }
    fn list(
        &self,
        area: larder::storage::Area,
        found: &mut dyn FnMut(larder::storage::Listed),
    ) -> Result<(), larder::storage::StorageError> {
        self.inner.list(area, found)
    }
    fn delete(&self, key: &StorageKey) -> Result<(), larder::storage::StorageError> {
        self.inner.delete(key)
    }
}
