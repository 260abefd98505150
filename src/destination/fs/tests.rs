//! Nothing gets outside the target, whatever lies in it or is put there meanwhile.

use super::*;
use crate::base::time::Time;
use crate::destination::{Attributes, Destination, Special};
use crate::format::tree::Xattr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::atomic::AtomicBool;

const PLAIN: Attributes<'static> = Attributes {
    mode: 0o640,
    uid: 0,
    gid: 0,
    mtime: Time { s: 1_000_000_007, ns: 123_456_789 },
    xattrs: &[],
    flags: 0,
    flags_known: 0,
};

/// Attributes with the owner that runs the test.
fn plain() -> Attributes<'static> {
    Attributes { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw(), ..PLAIN }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

struct Setup {
    folder: tempfile::TempDir,
    destination: FsDestination,
}

impl Setup {
    fn new() -> Setup {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("outside")).unwrap();
        fs::write(folder.path().join("outside/canary"), "alive").unwrap();
        let destination = FsDestination::open(&folder.path().join("in"), FsOptions::default()).unwrap();
        Setup { folder, destination }
    }

    fn path(&self, below: &str) -> std::path::PathBuf {
        self.folder.path().join("in").join(below)
    }

    fn canary_is_alive(&self) {
        let outside = self.folder.path().join("outside");
        assert_eq!(fs::read_to_string(outside.join("canary")).unwrap(), "alive");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "something was written outside");
    }
}

#[test]
fn a_file_gets_its_content_mode_and_time() {
    let s = Setup::new();
    let (root, made) = s.destination.root();
    assert_eq!(made, FoundDirectory::New);
    s.destination.write_file(&root, b"f", b"hello", 5, &plain(), Replace::Nothing).unwrap();
    let meta = fs::metadata(s.path("f")).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.mtime(), meta.mtime_nsec()), (0o640, 1_000_000_007, 123_456_789));
    assert_eq!(fs::read(s.path("f")).unwrap(), b"hello");
    let again = s.destination.write_file(&root, b"f", b"other", 5, &plain(), Replace::Nothing).unwrap_err();
    assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(s.path("f")).unwrap(), b"hello");
}

#[test]
fn replacing_a_file_leaves_its_other_names_alone() {
    let s = Setup::new();
    let (root, _) = s.destination.root();
    fs::hard_link(s.folder.path().join("outside/canary"), s.path("f")).unwrap();
    s.destination.write_file(&root, b"f", b"new", 3, &plain(), Replace::Entry).unwrap();
    assert_eq!(fs::read(s.path("f")).unwrap(), b"new");
    s.canary_is_alive();
    fs::remove_file(s.path("f")).unwrap();
    symlink(s.folder.path().join("outside/canary"), s.path("f")).unwrap();
    let file = s.destination.create(&root, b"f", 3, 0, true).unwrap();
    s.destination.write_at(&file, 0, b"new").unwrap();
    s.destination.finish(&file, &plain(), false, None).unwrap();
    assert!(fs::symlink_metadata(s.path("f")).unwrap().is_file());
    s.canary_is_alive();
    s.destination.settle();
    assert_eq!(fs::read_dir(s.path("")).unwrap().count(), 1, "a temporary name was left");
}

#[test]
fn a_half_written_file_is_told_apart_and_can_be_abandoned() {
    let s = Setup::new();
    let (root, _) = s.destination.root();
    let file = s.destination.create(&root, b"f", 1 << 20, 0, false).unwrap();
    s.destination.write_at(&file, 1 << 19, b"middle").unwrap();
    let there = s.destination.look(&root, b"f").unwrap().unwrap();
    assert!(there.half_written && there.size == 1 << 20, "{there:?}");
    s.destination.abandon(&file);
    assert_eq!(s.destination.look(&root, b"f").unwrap(), None);
}

#[test]
fn what_cannot_be_replaced_or_owned_is_said_in_words() {
    let s = Setup::new();
    let (root, _) = s.destination.root();
    fs::create_dir_all(s.path("f/full")).unwrap();
    let full = s.destination.write_file(&root, b"f", b"x", 1, &plain(), Replace::Entry).unwrap_err().to_string();
    assert!(full.contains("add --delete to have it replaced"), "{full}");
    s.destination.settle();
    assert_eq!(fs::read_dir(s.path("")).unwrap().count(), 1, "a temporary name was left");
    let options = FsOptions { ownership: Ownership::Require, ..FsOptions::default() };
    let destination = FsDestination::open(&s.path("own"), options).unwrap();
    // Root may give files to anyone.
    if !is_root() {
        let (root, _) = destination.root();
        let other = Attributes { uid: plain().uid + 1, ..plain() };
        let lost = destination.write_file(&root, b"f", b"x", 1, &other, Replace::Nothing).unwrap();
        assert!(lost.len() == 1 && !lost[0].refused && lost[0].to_string().contains("owner"), "{lost:?}");
        assert_eq!(fs::read(s.path("own/f")).unwrap(), b"x");
    }
}

#[test]
fn holes_stay_holes() {
    let s = Setup::new();
    let (root, _) = s.destination.root();
    let file = s.destination.create(&root, b"f", 64 << 20, 0, false).unwrap();
    s.destination.write_at(&file, 32 << 20, &[7; 4096]).unwrap();
    s.destination.finish(&file, &plain(), false, None).unwrap();
    s.destination.write_file(&root, b"g", b"x", 64 << 20, &plain(), Replace::Nothing).unwrap();
    for name in ["f", "g"] {
        let meta = fs::metadata(s.path(name)).unwrap();
        assert_eq!(meta.len(), 64 << 20);
        assert!(meta.blocks() * 512 < 1 << 20, "{name} takes {} blocks", meta.blocks());
    }
}

#[test]
fn a_link_where_a_directory_should_be_is_never_gone_through() {
    let s = Setup::new();
    let (root, _) = s.destination.root();
    let outside = s.folder.path().join("outside");
    let target = outside.as_os_str().as_encoded_bytes();
    s.destination.special(&root, b"a", &Special::Symlink(target), &plain(), Replace::Nothing).unwrap();
    assert_eq!(fs::read_link(s.path("a")).unwrap(), outside);
    let refused = s.destination.directory(&root, b"a", false).map(|_| ()).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    let (a, found) = s.destination.directory(&root, b"a", true).unwrap();
    assert_eq!(found, FoundDirectory::New);
    assert_eq!(s.destination.directory(&root, b"a", true).unwrap().1, FoundDirectory::Unfinished);
    s.destination.write_file(&a, b"canary", b"dead", 4, &plain(), Replace::Entry).unwrap();
    s.canary_is_alive();
    assert!(fs::symlink_metadata(s.path("a")).unwrap().is_dir());
}

#[test]
fn a_directory_opened_again_is_found_beneath_the_target_only() {
    let s = Setup::new();
    let (root, _) = s.destination.root();
    let (a, _) = s.destination.directory(&root, b"a", false).unwrap();
    let (b, _) = s.destination.directory(&a, b"b", false).unwrap();
    // More directories than stay open push both out.
    for i in 0..1100 {
        s.destination.directory(&root, format!("d{i}").as_bytes(), false).unwrap();
    }
    fs::rename(s.path("a"), s.path("moved")).unwrap();
    symlink(s.folder.path().join("outside"), s.path("a")).unwrap();
    fs::create_dir(s.folder.path().join("outside/b")).unwrap();
    s.destination.write_file(&b, b"canary", b"dead", 4, &plain(), Replace::Entry).unwrap_err();
    fs::remove_dir(s.folder.path().join("outside/b")).unwrap();
    s.canary_is_alive();
}

#[test]
fn someone_who_swaps_a_directory_for_a_link_gains_nothing() {
    let s = Setup::new();
    let (root, _) = s.destination.root();
    let outside = s.folder.path().join("outside");
    let stop = AtomicBool::new(false);
    let swaps = AtomicU64::new(0);
    let mut written = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (a, aside) = (s.path("a"), s.path("aside"));
            while !stop.load(Relaxed) {
                _ = fs::rename(&a, &aside);
                _ = symlink(&outside, &a);
                _ = fs::remove_file(&a);
                _ = fs::rename(&aside, &a);
                swaps.fetch_add(1, Relaxed);
            }
        });
        // Most attempts meet the link or nothing at all, and fail. So many must not, while directories are swapped.
        let start = std::time::Instant::now();
        for i in 0u32.. {
            let enough = i >= 2000 && written >= 100 && swaps.load(Relaxed) >= 100;
            if enough || start.elapsed().as_secs() > 60 {
                break;
            }
            let Ok((a, _)) = s.destination.directory(&root, b"a", true) else { continue };
            let name = format!("f{i}");
            written +=
                u32::from(s.destination.write_file(&a, name.as_bytes(), b"x", 1, &plain(), Replace::Entry).is_ok());
            _ = s.destination.finish_directory(&a, &Attributes { mode: 0o700, ..plain() }, true);
        }
        stop.store(true, Relaxed);
    });
    s.canary_is_alive();
    let swaps = swaps.into_inner();
    assert!(
        written >= 100 && swaps >= 100,
        "{written} files were written while directories were swapped {swaps} times"
    );
}

#[test]
fn hard_links_are_made_of_the_very_file_or_not_at_all() {
    let s = Setup::new();
    let (root, _) = s.destination.root();
    let file = s.destination.create(&root, b"f", 1, 0, false).unwrap();
    let (identity, losses) = s.destination.finish(&file, &plain(), true, None).unwrap();
    let identity = identity.unwrap();
    assert!(losses.is_empty(), "{losses:?}");
    let expected = Expected { kind: EntryKind::File, size: 1, target: &[], rdev: (0, 0) };
    let like = (&expected, &plain());
    s.destination.link((&root, b"f"), identity, (&root, b"g"), like, Replace::Nothing).unwrap();
    assert_eq!(fs::metadata(s.path("g")).unwrap().nlink(), 2);
    s.destination.link((&root, b"f"), identity, (&root, b"g"), like, Replace::Entry).unwrap();
    fs::remove_file(s.path("f")).unwrap();
    symlink(s.folder.path().join("outside/canary"), s.path("f")).unwrap();
    s.destination.link((&root, b"f"), identity, (&root, b"h"), like, Replace::Nothing).unwrap_err();
    s.destination.copy((&root, b"f"), (&root, b"h"), like, Replace::Nothing).unwrap_err();
    assert!(fs::symlink_metadata(s.path("h")).is_err());
    s.destination.settle();
    assert_eq!(fs::read_dir(s.path("")).unwrap().count(), 2, "a temporary name was left");
}

#[test]
fn a_path_longer_than_the_kernel_takes_can_be_opened_again() {
    let s = Setup::new();
    let (mut at, _) = s.destination.root();
    let name = [b'n'; 200];
    for _ in 0..60 {
        at = s.destination.directory(&at, &name, false).unwrap().0;
    }
    let (root, _) = s.destination.root();
    for i in 0..1100 {
        s.destination.directory(&root, format!("d{i}").as_bytes(), false).unwrap();
    }
    s.destination.write_file(&at, b"f", b"deep", 4, &plain(), Replace::Nothing).unwrap();
    assert_eq!(s.destination.look(&at, b"f").unwrap().unwrap().size, 4);
}

#[test]
fn fifos_and_sockets_are_made_and_directories_keep_their_time() {
    let s = Setup::new();
    let (root, _) = s.destination.root();
    let (d, _) = s.destination.directory(&root, b"d", false).unwrap();
    s.destination.special(&d, b"fifo", &Special::Fifo, &plain(), Replace::Nothing).unwrap();
    s.destination.special(&d, b"socket", &Special::Socket, &plain(), Replace::Nothing).unwrap();
    let attributes = Attributes { mode: 0o1751, ..plain() };
    s.destination.finish_directory(&d, &attributes, true).unwrap();
    assert_eq!(s.destination.directory(&root, b"d", false).unwrap().1, FoundDirectory::Whole);
    let meta = fs::metadata(s.path("d")).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.mtime()), (0o1751, 1_000_000_007));
    assert_eq!(fs::metadata(s.path("d/fifo")).unwrap().mode(), 0o010640);
    assert_eq!(fs::metadata(s.path("d/socket")).unwrap().mode(), 0o140640);
    assert_eq!(s.destination.notes(), Vec::<String>::new());
}

#[test]
fn extended_attributes_are_set_before_a_mode_that_forbids_them() {
    let s = Setup::new();
    let (root, _) = s.destination.root();
    let xattrs = [Xattr { name: b"user.note".to_vec(), value: b"v".to_vec() }];
    let attributes = Attributes { mode: 0o400, xattrs: &xattrs, ..plain() };
    let lost = s.destination.write_file(&root, b"f", b"", 0, &attributes, Replace::Nothing).unwrap();
    let mut value = [0; 8];
    match rustix::fs::getxattr(s.path("f"), "user.note", &mut value) {
        Ok(n) => assert_eq!((&value[..n], lost.len()), (&b"v"[..], 0)),
        Err(e) => assert!(lost.len() == 1 && lost[0].refused, "neither set nor said: {e}, {lost:?}"),
    }
    assert_eq!(fs::metadata(s.path("f")).unwrap().mode() & 0o7777, 0o400);
}

#[test]
fn setuid_goes_with_the_owner_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let options = FsOptions { ownership: Ownership::Skip, ..FsOptions::default() };
    let destination = FsDestination::open(folder.path(), options).unwrap();
    let (root, made) = destination.root();
    assert_eq!(made, FoundDirectory::Whole);
    let attributes = Attributes { mode: 0o4755, uid: 12345, ..plain() };
    destination.write_file(&root, b"f", b"", 0, &attributes, Replace::Nothing).unwrap();
    assert_eq!(fs::metadata(folder.path().join("f")).unwrap().mode() & 0o7777, 0o755);
    destination.write_file(&root, b"g", b"", 0, &Attributes { mode: 0o4755, ..plain() }, Replace::Nothing).unwrap();
    assert_eq!(fs::metadata(folder.path().join("g")).unwrap().mode() & 0o7777, 0o4755);
}

#[test]
fn root_restores_owners_and_devices() {
    if !crate::lacks::has_root("only root gives files to others") {
        return;
    }
    let s = Setup::new();
    let (root, _) = s.destination.root();
    let attributes = Attributes { mode: 0o4640, uid: 12345, gid: 54321, ..PLAIN };
    s.destination.write_file(&root, b"f", b"x", 1, &attributes, Replace::Nothing).unwrap();
    let meta = fs::metadata(s.path("f")).unwrap();
    assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (12345, 54321, 0o4640));
    s.destination.special(&root, b"l", &Special::Symlink(b"nowhere"), &attributes, Replace::Nothing).unwrap();
    let meta = fs::symlink_metadata(s.path("l")).unwrap();
    assert_eq!((meta.uid(), meta.mtime()), (12345, 1_000_000_007));
    match s.destination.special(&root, b"null", &Special::CharDevice(1, 3), &attributes, Replace::Nothing) {
        Ok(lost) => {
            assert!(lost.is_empty(), "{lost:?}");
            let meta = fs::metadata(s.path("null")).unwrap();
            assert_eq!((meta.rdev(), meta.uid(), meta.permissions().mode()), (0x103, 12345, 0o024640));
        }
        // A container may not make devices.
        Err(e) => {
            assert_eq!(e.kind(), io::ErrorKind::PermissionDenied);
            crate::lacks::lacks("devices", e);
        }
    }
}

#[test]
fn data_in_a_hole_is_seen_and_cleared() {
    use std::os::unix::fs::FileExt;
    let s = Setup::new();
    let (root, _) = s.destination.root();
    let file = s.destination.create(&root, b"f", 1 << 20, 0, false).unwrap();
    s.destination.write_at(&file, 0, b"data").unwrap();
    let is_clear = || s.destination.read_back(&root, b"f").unwrap().is_clear(4, (1 << 20) - 4).unwrap();
    assert!(is_clear());
    fs::File::options().write(true).open(s.path("f")).unwrap().write_all_at(b"junk", 700_001).unwrap();
    assert!(!is_clear());
    s.destination.clear(&file, 4, (1 << 20) - 4).unwrap();
    assert!(is_clear());
    assert_eq!(&fs::read(s.path("f")).unwrap()[..5], b"data\0");
}
