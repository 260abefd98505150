//! What only a store on a disk has: folders, modes, temporary files, open files, and a disk that fails.

use super::super::{Area, Block, Created, Listed, Storage, StorageError, StorageErrorKind, StorageKey};
use super::disk::leaf;
use super::{LocalStorage, Step, Watch, quick_folder};
use crate::base::id::{ObjectId, SessionId};
use crate::base::limits::{BLOCK_ALIGN, BLOCK_BYTES, TEMPORARY_AGE_S};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Resource, Rlimit, Signal, getpid, kill_process, setrlimit};
use std::fs::{self, File, FileTimes};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

fn id(n: u8) -> ObjectId {
    ObjectId([n; 32])
}

const PACK: StorageKey = StorageKey::Pack(ObjectId([9; 32]));
const RECORD: StorageKey = StorageKey::State(ObjectId([1; 32]));
const LEASE: StorageKey = StorageKey::Lease(SessionId([3; 16]));

fn store() -> (tempfile::TempDir, LocalStorage) {
    let folder = quick_folder();
    let storage = LocalStorage::create(&folder.path().join("a/store")).expect("a store");
    (folder, storage)
}

fn write(storage: &dyn Storage, key: &StorageKey, parts: &[&[u8]]) -> Result<Created, StorageError> {
    let mut writer = storage.writer(key.area())?;
    let mut block = Block::new(BLOCK_BYTES);
    for part in parts {
        block.clear();
        assert_eq!(block.fill(part), part.len());
        writer.append(&mut block)?;
    }
    writer.commit(key)
}

fn keys(storage: &dyn Storage, area: Area) -> Vec<StorageKey> {
    let mut keys = Vec::new();
    storage.list(area, &mut |listed| keys.push(listed.key)).unwrap();
    keys.sort();
    keys
}

fn temporary_files(storage: &LocalStorage) -> Vec<PathBuf> {
    let entries = fs::read_dir(storage.folder().join("tmp")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn what_is_stored_is_there_after_opening_again_and_is_its_owners_alone() {
    // On a real disk, so that blocks go past its cache.
    let folder = tempfile::tempdir().unwrap();
    let storage = LocalStorage::create(&folder.path().join("a/store")).unwrap();
    assert_eq!(storage.put_if_absent(&RECORD, b"one").unwrap(), Created::New);
    assert_eq!(storage.put_if_absent(&RECORD, b"two").unwrap(), Created::Exists);
    assert_eq!(storage.put_if_absent(&LEASE, b"").unwrap(), Created::New);
    let full = vec![5; BLOCK_BYTES];
    assert_eq!(write(&storage, &PACK, &[&full, b"tail"]).unwrap(), Created::New);

    let again = LocalStorage::open(storage.folder()).unwrap();
    let stat = fs::metadata(storage.folder()).unwrap();
    assert_eq!((again.identity(), storage.identity()), ((stat.dev(), stat.ino()), (stat.dev(), stat.ino())));
    assert_eq!(again.get(&RECORD, 3).unwrap(), b"one");
    assert_eq!(again.get(&LEASE, 0).unwrap(), b"");
    assert_eq!(again.get(&PACK, BLOCK_BYTES * 2).unwrap(), [&full[..], b"tail"].concat());
    for path in ["a", "a/store", "a/store/packs", "a/store/packs/09", "a/store/sessions", "a/store/tmp"] {
        assert_eq!(fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777, 0o700, "{path}");
    }
    for key in [RECORD, LEASE, PACK] {
        let file = storage.folder().join(key.path());
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o7777, 0o600, "{key}");
    }
    assert_eq!(temporary_files(&storage), [""; 0].map(PathBuf::from));
}

#[test]
fn a_folder_that_is_no_store_is_not_found_and_says_what_to_do() {
    let folder = quick_folder();
    fs::write(folder.path().join("config"), "a file").unwrap();
    for path in [folder.path().to_owned(), folder.path().join("nowhere")] {
        let error = LocalStorage::open(&path).err().expect("no store");
        assert_eq!(error.kind, StorageErrorKind::NotFound);
        assert!(error.to_string().contains("larder init"), "{error}");
    }
    let file = folder.path().join("config");
    assert_eq!(LocalStorage::open(&file).err().expect("a file is no store").kind, StorageErrorKind::Other);
}

#[test]
fn a_store_is_made_in_an_empty_folder_or_over_a_creation_cut_short_and_nowhere_else() {
    let folder = quick_folder();
    let root = folder.path();
    for path in ["packs", "tmp", "lost+found"] {
        fs::create_dir(root.join(path)).unwrap();
    }
    fs::write(root.join("tmp/leftover"), "x").unwrap();
    let storage = LocalStorage::create(root).unwrap();
    storage.put_if_absent(&StorageKey::Config(1), b"x").unwrap();
    let error = LocalStorage::create(root).err().expect("a store was made over a store");
    assert!(error.to_string().contains("`config`"), "{error}");

    let other = root.join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("file"), "").unwrap();
    let error = LocalStorage::create(&other).err().expect("a store was made beside a file");
    assert!(error.to_string().contains("not empty (it holds `file`)"), "{error}");
    assert_eq!(fs::read_dir(&other).unwrap().count(), 1, "something was made all the same");
    LocalStorage::create(&other.join("file/store")).err().expect("a store was made below a file");
}

#[test]
fn names_that_are_no_keys_are_passed_over_and_what_is_no_file_or_missing_is_not() {
    let (_folder, storage) = store();
    write(&storage, &PACK, &[b"x"]).unwrap();
    storage.put_if_absent(&RECORD, b"x").unwrap();
    storage.put_if_absent(&LEASE, b"x").unwrap();
    let at = |path: &str| storage.folder().join(path);
    for path in ["packs/README", "packs/09/x.tmp", "packs/0a", "state/.nfs123", "sessions/lease"] {
        fs::write(at(path), "x").unwrap();
    }
    for path in ["packs/lost+found", "sessions/.snapshot", "trees/zz", "state/folder"] {
        fs::create_dir(at(path)).unwrap();
    }
    fs::write(at("trees/zz").join(id(1).to_string()), "x").unwrap();
    // Named like objects, yet none: given, with no length, so that they are missed.
    fs::create_dir(at(&StorageKey::Snapshot(id(1)).path())).unwrap();
    symlink(at(&RECORD.path()), at(&StorageKey::Snapshot(id(2)).path())).unwrap();
    for (area, expected) in [(Area::Packs, &[PACK][..]), (Area::State, &[RECORD]), (Area::Sessions, &[LEASE])] {
        assert_eq!(keys(&storage, area), expected);
    }
    assert_eq!(keys(&storage, Area::Trees), []);
    let mut lens = Vec::new();
    storage.list(Area::Snapshots, &mut |found| lens.push((found.key, found.len))).unwrap();
    lens.sort_unstable();
    assert_eq!(lens, [1, 2].map(|n| (StorageKey::Snapshot(id(n)), 0)));
    for n in [1, 2] {
        storage.get(&StorageKey::Snapshot(id(n)), 100).expect_err("a link or folder was read as an object");
    }
    fs::remove_dir_all(at("trees")).unwrap();
    let error = storage.list(Area::Trees, &mut |_| ()).unwrap_err();
    assert!(error.kind == StorageErrorKind::NotFound && error.to_string().contains("trees"), "{error}");
    storage.put_if_absent(&StorageKey::Tree(id(1)), b"x").expect_err("an object was put into a missing area");
}

#[test]
fn folders_of_sessions_and_generations_go_with_their_last_object() {
    let (_folder, storage) = store();
    let segment = StorageKey::Segment(4, id(1));
    let outcome = StorageKey::Outcome(SessionId([3; 16]));
    for key in [LEASE, outcome, segment, PACK] {
        storage.put_if_absent(&key, b"x").unwrap();
    }
    let there = |key: &StorageKey| storage.folder().join(key.path()).parent().unwrap().exists();
    storage.delete(&LEASE).unwrap();
    assert!(there(&outcome));
    for key in [outcome, segment, PACK] {
        storage.delete(&key).unwrap();
        assert_eq!(there(&key), key == PACK, "the folder of {key}");
        assert_eq!(storage.put_if_absent(&key, b"again").unwrap(), Created::New);
        assert_eq!(storage.get(&key, 5).unwrap(), b"again");
    }
}

#[test]
fn temporary_files_of_killed_runs_go_after_a_day_unless_somebody_holds_them() {
    let (_folder, storage) = store();
    storage.put_if_absent(&RECORD, b"x").unwrap();
    let name = |n: u8| storage.folder().join(format!("tmp/{}-{n}", "0a".repeat(16)));
    let old = SystemTime::now() - Duration::from_secs(TEMPORARY_AGE_S as u64 + 60);
    let made = |path: &Path, time: SystemTime| {
        let file = File::create(path).unwrap();
        file.set_times(FileTimes::new().set_modified(time)).unwrap();
        file
    };
    let foreign = storage.folder().join("tmp/somebody's");
    made(&name(1), old);
    made(&name(2), SystemTime::now() - Duration::from_secs(3600));
    let held = made(&name(3), old);
    flock(&held, FlockOperation::LockExclusive).unwrap();
    made(&foreign, old);

    // An opening that only reads changes nothing.
    let again = LocalStorage::open(storage.folder()).unwrap();
    again.get(&RECORD, 1).unwrap();
    assert!(name(1).exists());
    again.put_if_absent(&LEASE, b"x").unwrap();
    let left = [name(1), name(2), name(3), foreign].map(|path| path.exists());
    assert_eq!(left, [false, true, true, true]);
}

#[test]
fn an_open_file_of_a_long_run_is_held() {
    let (_folder, storage) = store();
    let mut writer = storage.writer(Area::Packs).unwrap();
    let mut block = Block::new(BLOCK_ALIGN);
    block.fill(b"x");
    writer.append(&mut block).unwrap();
    let path = &temporary_files(&storage)[0];
    let old = SystemTime::now() - Duration::from_secs(10 * TEMPORARY_AGE_S as u64);
    File::options().write(true).open(path).unwrap().set_times(FileTimes::new().set_modified(old)).unwrap();
    LocalStorage::open(storage.folder()).unwrap().put_if_absent(&RECORD, b"x").unwrap();
    assert_eq!(writer.commit(&PACK).unwrap(), Created::New);
}

#[test]
fn the_length_and_the_time_listed_are_those_of_the_file() {
    let (_folder, storage) = store();
    storage.put_if_absent(&RECORD, b"12345").unwrap();
    let path = storage.folder().join(RECORD.path());
    let before_the_epoch = SystemTime::UNIX_EPOCH - Duration::from_millis(1500);
    File::options().write(true).open(&path).unwrap().set_modified(before_the_epoch).unwrap();
    let listed = Listed { key: RECORD, len: 5, stored: before_the_epoch.into() };
    assert_eq!(storage.head(&RECORD).unwrap(), listed);
    storage.list(Area::State, &mut |found| assert_eq!(found, listed)).unwrap();
}

/// Fails the step `at` (counted from 0), if `which` concerns it; counts.
struct Failing {
    at: AtomicUsize,
    errno: i32,
    which: fn(&Step) -> bool,
}

impl Failing {
    fn new(at: usize, errno: rustix::io::Errno, which: fn(&Step) -> bool) -> Arc<Failing> {
        Arc::new(Failing { at: AtomicUsize::new(at), errno: errno.raw_os_error(), which })
    }
}

impl Watch for Failing {
    fn step(&self, step: &Step) -> io::Result<()> {
        // Wraps behind 0, so that it comes true once.
        let fails = (self.which)(step) && self.at.fetch_sub(1, Ordering::SeqCst) == 0;
        if fails { Err(io::Error::from_raw_os_error(self.errno)) } else { Ok(()) }
    }
}

const BIG: [u8; BLOCK_ALIGN] = [4; BLOCK_ALIGN];

/// Stores three objects; ends at the first error. Gives how many were acknowledged.
fn three(storage: &dyn Storage) -> (usize, Result<(), StorageError>) {
    let steps: [&dyn Fn() -> Result<Created, StorageError>; 3] =
        [&|| storage.put_if_absent(&LEASE, b"lease"), &|| write(storage, &PACK, &[&BIG, b"odd"]), &|| {
            storage.put_if_absent(&RECORD, b"record")
        }];
    let mut done = 0;
    for step in steps {
        if let Err(e) = step() {
            return (done, Err(e));
        }
        done += 1;
    }
    (done, Ok(()))
}

#[test]
fn whatever_step_fails_nothing_is_acknowledged_by_mistake_or_left_in_part() {
    let all: fn(&Step) -> bool = |_| true;
    for errno in [rustix::io::Errno::IO, rustix::io::Errno::NOSPC] {
        let mut at = 0;
        loop {
            let (_folder, storage) = store();
            let watch = Failing::new(at, errno, all);
            let storage = LocalStorage::open_watched(storage.folder(), Some(watch.clone())).unwrap();
            let (done, result) = three(&storage);
            let came_true = watch.at.load(Ordering::SeqCst) > at;
            assert_eq!(result.is_err(), came_true, "step {at}: {result:?}");
            let again = LocalStorage::open(storage.folder()).unwrap();
            let expected: [(_, &[u8]); 3] =
                [(LEASE, b"lease"), (PACK, &[&BIG[..], b"odd"].concat()), (RECORD, b"record")];
            for (n, (key, bytes)) in expected.into_iter().enumerate() {
                match again.get(&key, 1 << 20) {
                    Ok(read) => assert_eq!(read, bytes, "step {at}: {key}"),
                    Err(e) => assert!(e.kind == StorageErrorKind::NotFound && n >= done, "step {at}: {e}"),
                }
            }
            assert_eq!(temporary_files(&again), [""; 0].map(PathBuf::from), "step {at} left something");
            if !came_true {
                break;
            }
            at += 1;
        }
        assert!(at >= 18, "only {at} steps");
    }
}

#[test]
fn after_a_folder_could_not_be_synced_nothing_more_is_created() {
    let (_folder, storage) = store();
    let watch = Failing::new(0, rustix::io::Errno::IO, |step| matches!(step, Step::SyncFolder(_)));
    let storage = LocalStorage::open_watched(storage.folder(), Some(watch)).unwrap();
    storage.put_if_absent(&RECORD, b"x").unwrap_err();
    for _ in 0..2 {
        let error = storage.put_if_absent(&LEASE, b"x").unwrap_err();
        assert!(error.to_string().contains("earlier sync"), "{error}");
        assert!(storage.writer(Area::Packs).is_err());
        storage.delete(&RECORD).unwrap_err();
    }
    assert_eq!(storage.get(&RECORD, 1).unwrap(), b"x", "reading goes on");
}

#[test]
fn where_direct_writes_are_refused_blocks_are_written_plainly() {
    let first_open = |step: &Step| matches!(step, Step::CreateFile(_));
    let first_write = |step: &Step| matches!(step, Step::Write(..));
    for which in [first_open, first_write] {
        let (_folder, storage) = store();
        let watch = Failing::new(0, rustix::io::Errno::INVAL, which);
        let storage = LocalStorage::open_watched(storage.folder(), Some(watch)).unwrap();
        assert_eq!(write(&storage, &PACK, &[&BIG, b"odd"]).unwrap(), Created::New);
        assert_eq!(storage.get(&PACK, 1 << 20).unwrap(), [&BIG[..], b"odd"].concat());
        assert!(storage.disk.direct_refused(), "it will be tried again");
    }
}

#[test]
fn a_store_can_lie_where_renaming_without_replacing_is_refused() {
    let (_folder, storage) = store();
    storage.disk.refuse_rename();
    for key in [RECORD, LEASE] {
        assert_eq!(storage.put_if_absent(&key, b"one").unwrap(), Created::New);
        assert_eq!(storage.put_if_absent(&key, b"two").unwrap(), Created::Exists);
        assert_eq!(storage.get(&key, 9).unwrap(), b"one");
    }
    assert_eq!(temporary_files(&storage), [""; 0].map(PathBuf::from));
}

/// In a process of its own: dies at its `LARDER_TEST_DIE_AT`-th step, or meets a file size limit.
#[test]
#[ignore = "the other half of the two tests below"]
fn child() {
    struct Die(AtomicUsize);
    impl Watch for Die {
        fn step(&self, _: &Step) -> io::Result<()> {
            if self.0.fetch_sub(1, Ordering::SeqCst) == 0 {
                let _ = kill_process(getpid(), Signal::KILL);
            }
            Ok(())
        }
    }
    let variable = |name| std::env::var(name).ok();
    let Some(folder) = variable("LARDER_TEST_STORE").map(PathBuf::from) else { return };
    if let Some(at) = variable("LARDER_TEST_DIE_AT") {
        let watch = Die(AtomicUsize::new(at.parse().unwrap()));
        three(&LocalStorage::open_watched(&folder, Some(Arc::new(watch))).unwrap()).1.unwrap();
    } else {
        let limit = (BLOCK_BYTES + BLOCK_BYTES / 2) as u64;
        setrlimit(Resource::Fsize, Rlimit { current: Some(limit), maximum: Some(limit) }).unwrap();
        let full = vec![1; BLOCK_BYTES];
        let error = write(&LocalStorage::open(&folder).unwrap(), &PACK, &[&full, &full]).unwrap_err();
        assert!(error.kind == StorageErrorKind::Full && error.to_string().contains("only 2097152 of"), "{error}");
    }
}

fn run_child(folder: &Path, die_at: Option<usize>) -> std::process::ExitStatus {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "storage::local::tests::child", "--ignored", "-q"]).env("LARDER_TEST_STORE", folder);
    if let Some(at) = die_at {
        command.env("LARDER_TEST_DIE_AT", at.to_string());
    }
    command.output().unwrap().status
}

#[test]
fn a_kill_at_any_step_leaves_whole_objects_and_temporary_files_only() {
    let mut at = 0;
    let mut with_leftovers = 0;
    loop {
        let (_folder, storage) = store();
        let ended = run_child(storage.folder(), Some(at)).success();
        let again = LocalStorage::open(storage.folder()).unwrap();
        let expected: [(_, &[u8]); 3] = [(LEASE, b"lease"), (PACK, &[&BIG[..], b"odd"].concat()), (RECORD, b"record")];
        let seen = Area::ALL.iter().flat_map(|&area| keys(&again, area)).collect::<Vec<_>>();
        for (key, bytes) in expected {
            if seen.contains(&key) {
                assert_eq!(again.get(&key, 1 << 20).unwrap(), bytes, "killed at step {at}: {key}");
            }
        }
        let left = temporary_files(&again);
        assert!(left.len() <= 1 && left.iter().all(|path| leaf(path.to_str().unwrap()).len() > 32), "{left:?}");
        with_leftovers += left.len();
        // The next run needs no repair.
        three(&again).1.unwrap();
        if ended {
            assert!(left.is_empty() && seen.len() == 3);
            break;
        }
        at += 1;
    }
    assert!(at >= 18 && with_leftovers >= 8, "{at} steps, {with_leftovers} leftovers");
}

#[test]
fn a_short_write_is_an_error_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let storage = LocalStorage::create(&folder.path().join("store")).unwrap();
    assert!(run_child(storage.folder(), None).success());
    assert_eq!(keys(&storage, Area::Packs), []);
    assert_eq!(temporary_files(&storage), [""; 0].map(PathBuf::from));
}
