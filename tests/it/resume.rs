//! Big files that an interrupted restore began are continued: what is there is read from the target, not the store.

use crate::memory::Engine;
use crate::roundtrip::noise;
use crate::sandbox::{Sandbox, names};
use larder::monitor::{Counter, Monitor};
use larder::ops::restore::RestoreError;
use larder::ops::restore::{Overwrite, RestoreOptions, RestoreStats};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const BIG: usize = 68 << 20;
/// Where the first run is stopped.
const STOP: u64 = 40 << 20;
/// What a second run may read: what was not written, and what was on its way.
const REST: u64 = BIG as u64 - STOP + (16 << 20);

struct StopAt(Arc<AtomicBool>, AtomicU64, u64);

impl Monitor for StopAt {
    fn add(&self, counter: Counter, n: u64) {
        if counter == Counter::Bytes && self.1.fetch_add(n, Relaxed) + n > self.2 {
            self.0.store(true, Relaxed);
        }
    }
}

struct Setup {
    engine: Engine,
    tree: tempfile::TempDir,
    target: tempfile::TempDir,
}

impl Setup {
    fn new() -> Setup {
        let tree = tempfile::tempdir().unwrap();
        fs::write(tree.path().join("big"), noise(BIG, 1)).unwrap();
        Setup::of(tree)
    }

    fn of(tree: tempfile::TempDir) -> Setup {
        let engine = Engine::new();
        engine.backup(tree.path());
        Setup { engine, tree, target: tempfile::tempdir().unwrap() }
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.target.path().join(name)
    }

    /// Stops after so many bytes.
    fn run(&self, stop: u64, overwrite: Overwrite) -> Result<RestoreStats, RestoreError> {
        let cancel = Arc::new(AtomicBool::new(false));
        let options = RestoreOptions {
            snapshot: "latest".into(),
            path: self.tree.path().as_os_str().as_bytes().to_vec(),
            target: self.target.path().into(),
            overwrite,
            verify: true,
            threads: 2,
            cancel: cancel.clone(),
            ..RestoreOptions::default()
        };
        larder::ops::restore::run(&self.engine.store, &options, &StopAt(cancel, AtomicU64::new(0), stop))
    }

    fn interrupt(&self, overwrite: Overwrite) {
        let ended = self.run(STOP, overwrite);
        assert!(matches!(ended, Err(RestoreError::Interrupted)), "{ended:?}");
    }

    fn is_whole(&self, stats: &RestoreStats) {
        assert_eq!((stats.problem_count, stats.files, stats.verified), (0, 1, 1), "{:?}", stats.problems);
        assert!(fs::read(self.at("big")).unwrap() == fs::read(self.tree.path().join("big")).unwrap());
        assert_eq!(names(self.target.path()), ["big"], "something was left behind");
    }
}

#[test]
fn a_big_file_is_continued_and_what_is_wrong_in_it_is_read_again() {
    let setup = Setup::new();
    setup.interrupt(Overwrite::Refuse);
    assert_eq!(names(setup.target.path()).len(), 2, "the file and its journal");
    let stats = setup.run(u64::MAX, Overwrite::Refuse).unwrap();
    setup.is_whole(&stats);
    assert!(stats.bytes_read < REST, "{} bytes were read again", stats.bytes_read);

    // What a crash left of it is believed only as far as it is right.
    fs::remove_file(setup.at("big")).unwrap();
    setup.interrupt(Overwrite::Refuse);
    let half = fs::File::options().write(true).open(setup.at("big")).unwrap();
    for at in (0..BIG as u64).step_by(1 << 20) {
        half.write_all_at(b"wrong", at).unwrap();
    }
    drop(half);
    let stats = setup.run(u64::MAX, Overwrite::Refuse).unwrap();
    setup.is_whole(&stats);
    assert!(stats.bytes_read > REST, "only {} bytes were read", stats.bytes_read);
}

#[test]
fn what_is_replaced_stays_until_the_new_one_is_whole() {
    let setup = Setup::new();
    fs::write(setup.at("big"), "what was there").unwrap();
    setup.interrupt(Overwrite::IfChanged);
    assert_eq!(fs::read_to_string(setup.at("big")).unwrap(), "what was there");
    let stats = setup.run(u64::MAX, Overwrite::IfChanged).unwrap();
    setup.is_whole(&stats);
    assert!(stats.bytes_read < REST, "{} bytes were read again", stats.bytes_read);
}

#[test]
fn what_was_begun_for_another_content_is_not_taken() {
    let setup = Setup::new();
    setup.interrupt(Overwrite::Refuse);
    fs::write(setup.tree.path().join("big"), noise(BIG, 2)).unwrap();
    setup.engine.backup(setup.tree.path());
    let stats = setup.run(u64::MAX, Overwrite::Refuse).unwrap();
    setup.is_whole(&stats);
}

#[test]
fn somebody_elses_file_in_its_place_is_left_alone() {
    let setup = Setup::new();
    setup.interrupt(Overwrite::Refuse);
    fs::remove_file(setup.at("big")).unwrap();
    fs::write(setup.at("big"), "mine").unwrap();
    let stats = setup.run(u64::MAX, Overwrite::Refuse).unwrap();
    assert_eq!((stats.problem_count, stats.left), (1, 1));
    assert_eq!(fs::read_to_string(setup.at("big")).unwrap(), "mine");
}

#[test]
fn what_an_interrupted_restore_left_is_restored_as_what_it_is() {
    let setup = Setup::new();
    fs::write(setup.at("big"), "what was there").unwrap();
    setup.interrupt(Overwrite::IfChanged);
    // The half-written file, its journal and the old one are a tree like any other.
    let Setup { engine, target: tree, .. } = setup;
    let left = names(tree.path());
    assert_eq!(left.len(), 3, "{left:?}");
    // One that is long enough to be continued itself.
    fs::write(tree.path().join("big"), noise(BIG, 4)).unwrap();
    engine.backup(tree.path());
    let setup = Setup { engine, tree, target: tempfile::tempdir().unwrap() };
    let is_equal = |stats: &RestoreStats| {
        assert_eq!(stats.problem_count, 0, "{:?}", stats.problems);
        assert_eq!(names(setup.target.path()), left);
        for name in &left {
            assert!(fs::read(setup.at(name)).unwrap() == fs::read(setup.tree.path().join(name)).unwrap(), "{name}");
        }
    };
    is_equal(&setup.run(u64::MAX, Overwrite::Refuse).unwrap());
    // And where they lie already.
    fs::write(setup.at("big"), "another").unwrap();
    is_equal(&setup.run(u64::MAX, Overwrite::IfChanged).unwrap());
}

#[test]
fn a_hole_of_a_continued_file_is_a_hole() {
    const HOLE: std::ops::Range<u64> = 45 << 20..65 << 20;
    let tree = tempfile::tempdir().unwrap();
    let big = fs::File::create(tree.path().join("big")).unwrap();
    big.write_all_at(&noise(HOLE.start as usize, 5), 0).unwrap();
    big.write_all_at(&noise(15 << 20, 6), HOLE.end).unwrap();
    let setup = Setup::of(tree);
    setup.interrupt(Overwrite::Refuse);
    let half = fs::File::options().write(true).open(setup.at("big")).unwrap();
    half.write_all_at(&[7; 1 << 20], HOLE.start + (3 << 20)).unwrap();
    half.write_all_at(b"junk", HOLE.end - 4).unwrap();
    drop(half);
    let stats = setup.run(u64::MAX, Overwrite::Refuse).unwrap();
    setup.is_whole(&stats);
    assert!(stats.bytes_read < REST, "{} bytes were read again", stats.bytes_read);
}

#[test]
fn somebodys_file_that_looks_half_written_is_left_alone() {
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("small"), "of the snapshot").unwrap();
    let setup = Setup::of(tree);
    fs::write(setup.at("small"), "mine").unwrap();
    fs::set_permissions(setup.at("small"), fs::Permissions::from_mode(0o1600)).unwrap();
    for (overwrite, problems) in [(Overwrite::Refuse, 1), (Overwrite::Never, 0)] {
        let stats = setup.run(u64::MAX, overwrite).unwrap();
        assert_eq!((stats.problem_count, stats.left), (problems, 1), "{:?}", stats.problems);
        assert_eq!(fs::read_to_string(setup.at("small")).unwrap(), "mine");
    }
    // In a directory that no restore completed it is one of its own.
    fs::set_permissions(setup.target.path(), fs::Permissions::from_mode(0o1700)).unwrap();
    let stats = setup.run(u64::MAX, Overwrite::Refuse).unwrap();
    assert_eq!((stats.problem_count, stats.files), (0, 1), "{:?}", stats.problems);
    assert_eq!(fs::read_to_string(setup.at("small")).unwrap(), "of the snapshot");
}

#[test]
fn a_file_that_shares_an_inode_by_chance_gets_its_own_mode() {
    let tree = tempfile::tempdir().unwrap();
    for (name, mode) in [("a", 0o600), ("b", 0o644)] {
        let path = tree.path().join(name);
        fs::write(&path, "equal").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        fs::File::open(&path).unwrap().set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_000_000)).unwrap();
    }
    let setup = Setup::of(tree);
    setup.run(u64::MAX, Overwrite::Refuse).unwrap();
    fs::remove_file(setup.at("b")).unwrap();
    fs::hard_link(setup.at("a"), setup.at("b")).unwrap();
    let stats = setup.run(u64::MAX, Overwrite::IfChanged).unwrap();
    assert_eq!(stats.problem_count, 0, "{:?}", stats.problems);
    for name in ["a", "b"] {
        let mode = |path: &Path| fs::metadata(path).unwrap().mode();
        assert_eq!(mode(&setup.at(name)), mode(&setup.tree.path().join(name)), "{name}");
    }
}

#[test]
fn a_killed_program_is_continued() {
    let larder = Sandbox::new();
    let tree = larder.write("tree/big", noise(BIG, 3));
    larder.ok(["init"]);
    larder.ok(["backup", "tree"]);
    let place = format!("latest:{}", tree.parent().unwrap().display());
    let words = ["restore", &place, "--to", "out", "--json", "--verify"];
    let mut child = larder.command(words).stdout(std::process::Stdio::null()).spawn().unwrap();
    let written = |path: &Path| fs::metadata(path).map_or(0, |meta| meta.blocks() * 512);
    let start = Instant::now();
    while written(&larder.path("out/big")) < STOP {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        assert!(start.elapsed() < Duration::from_secs(120), "it writes nothing");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let summary = larder.ok(words).objects().pop().unwrap();
    let read = summary["bytes_read"].as_u64().unwrap();
    assert!(read < REST, "{read} bytes were read again");
    assert!(fs::read(larder.path("out/big")).unwrap() == fs::read(tree).unwrap());
    assert_eq!(names(&larder.path("out")), ["big"], "something was left behind");
}
