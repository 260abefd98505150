//! Trees that mean harm, or only look so.

use super::{Seen, source, source_of};
use crate::base::path::path_of;
use crate::format::tree::EntryKind;
use crate::source::fs::FsOptions;
use crate::source::{Source, Walked};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, mkdirat, mknodat, openat, unlinkat};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A folder without links in its path.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    (folder, root)
}

#[test]
fn names_of_any_bytes_are_kept_as_they_are() {
    let (_folder, root) = folder();
    let long = [b'x'; 255];
    let names: [&[u8]; 8] =
        [b"\xff\xfe", b"new\nline", b"tab\t\x1b[31m", &long, b"-rf", b"dot.", b"..x", "\u{202e}bidi".as_bytes()];
    for name in names {
        fs::write(root.join(OsStr::from_bytes(name)), name).unwrap();
    }
    let source = source_of(&root);
    let seen = Seen::well(&source);
    let mut expected: Vec<_> = names.iter().map(|n| root.join(OsStr::from_bytes(n)).into_os_string()).collect();
    expected.sort();
    let found: Vec<_> = seen.paths().into_iter().filter(|p| p.len() > root.as_os_str().len()).collect();
    assert_eq!(found, expected.iter().map(|p| p.as_bytes().to_vec()).collect::<Vec<_>>());
    for name in names {
        let mut buf = [0; 300];
        let file = source.open(seen.get(root.join(OsStr::from_bytes(name)))).unwrap();
        let len = file.read_at(0, &mut buf).unwrap();
        assert_eq!(&buf[..len], name);
    }
}

/// Directories of 200-byte names, each in the one before: the path is far longer than the system takes.
fn deep(root: &std::path::Path, depth: usize) -> Vec<u8> {
    let name = "d".repeat(200);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = openat(rustix::fs::CWD, root, flags, Mode::empty()).unwrap();
    let mut path = root.as_os_str().as_bytes().to_vec();
    for _ in 0..depth {
        mkdirat(&at, &name, Mode::RWXU).unwrap();
        at = openat(&at, &name, flags, Mode::empty()).unwrap();
        path.extend_from_slice(b"/");
        path.extend_from_slice(name.as_bytes());
    }
    let file = openat(&at, "file", OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::RUSR).unwrap();
    rustix::io::write(&file, b"deep").unwrap();
    path.extend_from_slice(b"/file");
    path
}

#[test]
fn a_path_longer_than_the_system_takes_is_walked_and_read() {
    let (_folder, root) = folder();
    let path = deep(&root, 60);
    assert!(path.len() > 8192);
    for open_max in [0, 3] {
        let mut source = source_of(&root);
        source.open_max = open_max;
        let seen = Seen::well(&source);
        let found = seen.entries.iter().find(|found| path_of(&found.key) == path).unwrap();
        let mut buf = [0; 10];
        let file = source.open(found).unwrap();
        assert_eq!((file.read_at(0, &mut buf).unwrap(), &buf[..4]), (4, &b"deep"[..]));
        assert_eq!(source.xattrs(found).unwrap(), []);
    }
}

#[test]
fn a_path_longer_than_a_snapshot_takes_is_an_error_of_that_path_alone() {
    let (_folder, root) = folder();
    deep(&root, 90);
    fs::write(root.join("other"), b"").unwrap();
    let seen = Seen::of(&source_of(&root));
    assert_eq!(seen.errors.len(), 1);
    assert!(seen.errors[0].1.contains("16 KiB"), "{:?}", seen.errors[0].1);
    assert!(seen.paths().iter().all(|path| path.len() <= crate::base::limits::PATH_BYTES_MAX));
    assert!(seen.entries.len() > 80);
    seen.get(root.join("other"));
}

#[test]
fn thousands_of_directories_in_each_other_are_no_matter() {
    let (_folder, root) = folder();
    let mut at = openat(rustix::fs::CWD, &root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    for _ in 0..4000 {
        mkdirat(&at, "d", Mode::RWXU).unwrap();
        at = openat(&at, "d", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    }
    drop(at);
    let seen = Seen::well(&source_of(&root));
    assert!(seen.entries.len() > 4000);
    // Given up from the shallow end: then the last one holds the whole chain.
    let mut entries = seen.entries;
    let last = entries.pop();
    drop(entries);
    drop(last);
    // The standard way to remove a tree would hold every level open.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut top = openat(rustix::fs::CWD, &root, flags, Mode::empty()).unwrap();
    while let Ok(inner) = openat(&top, "d/d", flags, Mode::empty()) {
        rustix::fs::renameat(&top, "d/d", &top, "e").unwrap();
        unlinkat(&top, "d", AtFlags::REMOVEDIR).unwrap();
        rustix::fs::renameat(&top, "e", &top, "d").unwrap();
        drop(inner);
    }
    top = openat(rustix::fs::CWD, &root, flags, Mode::empty()).unwrap();
    unlinkat(&top, "d", AtFlags::REMOVEDIR).unwrap();
}

#[test]
fn special_files_are_entries_and_are_never_opened() {
    let (_folder, root) = folder();
    let dir = openat(rustix::fs::CWD, &root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    mknodat(dir.as_fd(), "fifo", FileType::Fifo, Mode::RUSR, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    let has_devices = crate::lacks::has_devices();
    if has_devices {
        let device = rustix::fs::makedev(1, 7);
        mknodat(dir.as_fd(), "char", FileType::CharacterDevice, Mode::RUSR, device).unwrap();
        mknodat(dir.as_fd(), "block", FileType::BlockDevice, Mode::RUSR, rustix::fs::makedev(7, 300)).unwrap();
    }
    let source = source_of(&root);
    let seen = Seen::well(&source);
    let kind = |name: &str| seen.get(root.join(name)).meta.kind;
    assert_eq!(kind("fifo"), EntryKind::Fifo);
    assert_eq!(kind("socket"), EntryKind::Socket);
    assert_eq!(kind("empty"), EntryKind::Directory);
    if has_devices {
        let char = &seen.get(root.join("char")).meta;
        assert_eq!((char.kind, char.rdev), (EntryKind::CharDevice, (1, 7)));
        let block = &seen.get(root.join("block")).meta;
        assert_eq!((block.kind, block.rdev), (EntryKind::BlockDevice, (7, 300)));
    }
    // Whoever opens one all the same (it was a file when it was looked at) waits for nobody and reads nothing.
    for name in ["fifo", "socket", "empty"] {
        let opened = source.open(seen.get(root.join(name))).and_then(|file| file.fingerprint());
        assert!(opened.is_err(), "{name}");
        let read = source.open(seen.get(root.join(name))).and_then(|file| file.read_at(0, &mut [0; 10]));
        assert!(read.is_err(), "{name}");
        assert_eq!(source.xattrs(seen.get(root.join(name))).unwrap(), [], "{name}");
    }
}

#[test]
fn links_are_kept_and_never_followed() {
    let (_folder, root) = folder();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), b"secret").unwrap();
    symlink(outside.path(), root.join("out")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    symlink(".", root.join("self")).unwrap();
    let long = "x/".repeat(1500);
    symlink(&long, root.join("long")).unwrap();
    let source = source_of(&root);
    let seen = Seen::well(&source);
    assert_eq!(seen.below(&root), ["dangling", "long", "loop", "out", "self"]);
    for (name, target) in [("dangling", b"nowhere".to_vec()), ("self", b".".to_vec()), ("long", long.into_bytes())] {
        let found = seen.get(root.join(name));
        assert_eq!((found.meta.kind, &found.meta.target), (EntryKind::Symlink, &target));
        assert_eq!(found.meta.size, 0);
        assert!(source.open(found).is_err());
        assert_eq!(source.xattrs(found).unwrap(), []);
    }
}

#[test]
fn a_directory_replaced_by_a_link_during_the_walk_is_not_followed() {
    let (_folder, root) = folder();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), b"secret").unwrap();
    for name in ["a", "b"] {
        fs::create_dir(root.join(name)).unwrap();
        fs::write(root.join(name).join("file"), b"").unwrap();
    }
    let mut source = source_of(&root);
    // One thread that looks at nothing ahead: the exchange comes between looking and listing.
    (source.helpers, source.ahead_max) = (0, 1);
    let (mut paths, mut errors) = (Vec::new(), Vec::new());
    source
        .walk(&mut |walked| {
            match walked {
                Walked::Entry(found) => {
                    let path = path_of(&found.key);
                    if path.ends_with(b"/b") {
                        fs::rename(root.join("b"), root.join("moved")).unwrap();
                        symlink(outside.path(), root.join("b")).unwrap();
                    }
                    paths.push(path);
                }
                Walked::Error { path, .. } => errors.push(path),
                Walked::Incomplete { key } => assert!(path_of(&key).ends_with(b"/b")),
                other => panic!("{other:?}"),
            }
            true
        })
        .unwrap();
    assert!(paths.iter().all(|path| !path.ends_with(b"secret")), "{paths:?}");
    assert_eq!(errors, [root.join("b").as_os_str().as_bytes()]);
    assert!(paths.iter().any(|path| path.ends_with(b"/a/file")));
}

#[test]
fn what_vanishes_during_the_walk_is_an_error_of_its_path_and_the_walk_goes_on() {
    let (_folder, root) = folder();
    for name in ["a", "b", "c"] {
        fs::create_dir(root.join(name)).unwrap();
        fs::write(root.join(name).join("file"), b"").unwrap();
    }
    let mut source = source_of(&root);
    (source.helpers, source.ahead_max) = (0, 1);
    let (mut paths, mut errors) = (Vec::new(), Vec::new());
    source
        .walk(&mut |walked| {
            match walked {
                Walked::Entry(found) => {
                    if path_of(&found.key).ends_with(b"/c") {
                        fs::remove_dir_all(root.join("b")).unwrap();
                    }
                    paths.push(path_of(&found.key));
                }
                Walked::Error { path, error } => errors.push((path, error.kind())),
                other => panic!("{other:?}"),
            }
            true
        })
        .unwrap();
    assert_eq!(errors, [(root.join("b").as_os_str().as_bytes().to_vec(), std::io::ErrorKind::NotFound)]);
    assert!(paths.last().unwrap().ends_with(b"/c/file"));
}

#[test]
fn a_file_that_became_something_else_is_refused() {
    let (_folder, root) = folder();
    for name in ["link", "directory", "fifo", "gone"] {
        fs::write(root.join(name), b"content").unwrap();
    }
    let source = source_of(&root);
    let seen = Seen::well(&source);
    for name in ["link", "directory", "fifo", "gone"] {
        fs::remove_file(root.join(name)).unwrap();
    }
    symlink("/etc/hostname", root.join("link")).unwrap();
    fs::create_dir(root.join("directory")).unwrap();
    let dir = openat(rustix::fs::CWD, &root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    mknodat(dir.as_fd(), "fifo", FileType::Fifo, Mode::RUSR, 0).unwrap();
    for name in ["link", "directory", "fifo", "gone"] {
        let read = source.open(seen.get(root.join(name))).and_then(|f| f.read_at(0, &mut [0; 7]));
        assert!(read.is_err(), "{name}: {read:?}");
    }
}

#[test]
fn what_may_not_be_read_is_an_error_of_its_path() {
    if is_root() {
        return crate::lacks::not_applicable("nothing is forbidden to root");
    }
    let (_folder, root) = folder();
    fs::create_dir_all(root.join("closed/inside")).unwrap();
    fs::write(root.join("open"), b"").unwrap();
    fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o0)).unwrap();
    let seen = Seen::of(&source_of(&root));
    fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(seen.below(&root), ["closed", "open"]);
    assert_eq!(seen.errors.len(), 1);
    assert!(seen.errors[0].0.ends_with(b"/closed"));
}

#[test]
fn special_bits_odd_owners_and_odd_times_are_told() {
    let (_folder, root) = folder();
    let path = root.join("file");
    fs::write(&path, b"12345").unwrap();
    let owned = std::os::unix::fs::chown(&path, Some(3_000_000_000), Some(3_000_000_001)).is_ok();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o6751)).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o1777)).unwrap();
    let time = |tv_sec, tv_nsec| rustix::fs::Timespec { tv_sec, tv_nsec };
    let times = rustix::fs::Timestamps { last_access: time(0, 0), last_modification: time(-1_000_000, 7) };
    rustix::fs::utimensat(rustix::fs::CWD, &path, &times, AtFlags::empty()).unwrap();
    let seen = Seen::well(&source_of(&root));
    let (meta, real) = (&seen.get(&path).meta, fs::metadata(&path).unwrap());
    assert_eq!((meta.mode, seen.get(&root).meta.mode), (0o6751, 0o1777));
    assert_eq!((meta.size, meta.nlink, meta.inode, meta.device), (5, 1, real.ino(), real.dev()));
    assert_eq!((meta.mtime.s, meta.mtime.ns), (-1_000_000, 7));
    assert_eq!((meta.ctime.s, i64::from(meta.ctime.ns)), (real.ctime(), real.ctime_nsec()));
    assert_eq!(meta.btime, real.created().ok().map(Into::into));
    if owned {
        assert_eq!((meta.uid, meta.gid), (3_000_000_000, 3_000_000_001));
        assert_eq!((&meta.user[..], &meta.group[..]), (&b""[..], &b""[..]));
    }
}

#[test]
fn what_is_never_entered_is_skipped_and_said() {
    let (_folder, root) = folder();
    for path in ["store/packs", "data", "data/cache"] {
        fs::create_dir_all(root.join(path)).unwrap();
        fs::write(root.join(path).join("file"), b"").unwrap();
    }
    let identity = |path: &str| fs::metadata(root.join(path)).map(|meta| (meta.dev(), meta.ino())).unwrap();
    let never = HashSet::from([identity("store"), identity("data/cache")]);
    let seen = Seen::well(&source(FsOptions { roots: vec![root.clone()], never, ..FsOptions::default() }));
    assert_eq!(seen.below(&root), ["data", "data/file"]);
    assert_eq!(seen.skipped, ["store", "data/cache"].map(|p| root.join(p).as_os_str().as_bytes().to_vec()));
}

#[test]
fn other_file_systems_are_kept_as_empty_directories_when_asked() {
    // A file system that is there on every machine, below one that is another.
    let proc = fs::metadata("/proc").map(|meta| meta.dev());
    let sys = fs::metadata("/proc/sys").map(|meta| meta.dev());
    let options = |roots: &[&str]| FsOptions {
        roots: roots.iter().map(PathBuf::from).collect(),
        one_file_system: true,
        ..FsOptions::default()
    };
    if proc.is_err() || sys.is_err() || fs::metadata("/").unwrap().dev() == proc.unwrap() {
        return crate::lacks::lacks("proc", "/proc/sys is not below another file system");
    }
    let mut below_proc = 0;
    let mut skipped = Vec::new();
    let mut listed = 0;
    source(options(&["/"]))
        .walk(&mut |walked| {
            match walked {
                Walked::Entry(found) => {
                    let path = path_of(&found.key);
                    below_proc += usize::from(path.starts_with(b"/proc/"));
                    listed += 1;
                    // The whole disk need not be walked: what lies in the root comes first, then what lies deeper.
                    return listed < 2000 && !path.starts_with(b"/q");
                }
                Walked::Skipped { path, .. } => skipped.push(path),
                Walked::Error { .. } | Walked::Incomplete { .. } => {}
            }
            true
        })
        .unwrap();
    assert_eq!(below_proc, 0);
    assert!(skipped.contains(&b"/proc".to_vec()), "{skipped:?}");
}
