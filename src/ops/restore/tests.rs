//! Restoring: equal trees, hostile snapshots, damage, resuming, overwriting, verifying.

use super::*;
use crate::format::tree::{EntryKind, Xattr};
use crate::monitor::Silent;
use crate::ops::testing::{Bench, Entries, noise};
use crate::storage::{Storage, StorageKey};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

pub fn options(target: &Path) -> RestoreOptions {
    RestoreOptions {
        snapshot: "latest".into(),
        target: target.into(),
        host: "here".into(),
        ..RestoreOptions::default()
    }
}

fn restore(bench: &Bench, options: &RestoreOptions) -> RestoreStats {
    run(&bench.store, options, &Silent).unwrap()
}

fn assert_no_problems(stats: &RestoreStats) {
    assert!(stats.problems.is_empty(), "{:?}", messages(stats));
}

fn messages(stats: &RestoreStats) -> Vec<String> {
    stats.problems.iter().map(|p| format!("{}: {}", display(&p.path), p.message)).collect()
}

fn names(stats: &RestoreStats) -> Vec<String> {
    let mut names: Vec<_> = stats.problems.iter().map(|p| display(&p.path)).collect();
    names.sort();
    names
}

/// Everything below a folder: path, and kind, mode, time, content.
fn picture(folder: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let content = match meta.file_type() {
                t if t.is_file() => blake3::hash(&fs::read(&path).unwrap()).to_string(),
                t if t.is_symlink() => fs::read_link(&path).unwrap().display().to_string(),
                _ => String::new(),
            };
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            let (mode, time) = (meta.mode(), (meta.mtime(), meta.mtime_nsec()));
            all.insert(name, format!("{mode:o} {time:?} {content}"));
            if meta.is_dir() {
                open.push(path);
            }
        }
    }
    all
}

/// Files of every size class, in several packs, directories inside directories.
fn sample() -> Entries {
    let mut entries = Entries::default();
    entries.directory("/a").meta.mode = 0o1711;
    entries.file("/a/empty", vec![]);
    entries.file("/a/inline", b"short".to_vec()).meta.mode = 0o4400;
    entries.file("/a/small", noise(5000, 1));
    entries.file("/a/big", noise(3_000_000, 2));
    entries.symlink("/a/link", "../b");
    entries.directory("/b").meta.mode = 0o500;
    entries.directory("/b/empty").meta.mode = 0o555;
    entries.directory("/b/deep");
    for i in 0..40 {
        entries.file(&format!("/b/deep/f{i}"), noise(2000 + i * 100, 3));
    }
    entries.add("/b/fifo", EntryKind::Fifo).meta.mode = 0o620;
    entries.add("/b/socket", EntryKind::Socket);
    entries
}

/// A tree large enough for lists of chunks and a hole in the middle.
fn with_hole(entries: &mut Entries) {
    let mut content = noise(12 << 20, 9);
    content[1 << 20..4 << 20].fill(0);
    content[10 << 20..].fill(0);
    let one = entries.file("/sparse", content);
    one.holes = vec![(1 << 20, 4 << 20), (10 << 20, 12 << 20)];
}

#[test]
fn everything_comes_back_with_any_number_of_threads_and_is_verified() {
    let bench = Bench::new();
    let mut entries = sample();
    with_hole(&mut entries);
    bench.backup(&entries);
    let mut pictures = vec![];
    for (threads, readers) in [(1, 0), (1, 1), (3, 0), (2, 2)] {
        let folder = tempfile::tempdir().unwrap();
        let options = RestoreOptions { threads, readers, verify: true, ..options(&folder.path().join("t")) };
        let stats = restore(&bench, &options);
        assert_no_problems(&stats);
        let files = entries.0.iter().filter(|one| one.meta.kind == EntryKind::File).count() as u64;
        assert_eq!((stats.files, stats.verified, stats.differing), (files, files, 0));
        assert_eq!((stats.directories, stats.symlinks, stats.specials), (5, 1, 2));
        assert_eq!(stats.bytes, entries.0.iter().map(|one| one.content.len() as u64).sum::<u64>());
        for one in &entries.0 {
            let path = folder.path().join("t").join(display(&one.path[1..]));
            let meta = fs::symlink_metadata(&path).unwrap();
            if one.meta.kind != EntryKind::Symlink {
                assert_eq!(meta.mode() & 0o7777, one.meta.mode, "{}", path.display());
            }
            assert_eq!((meta.mtime(), meta.mtime_nsec()), (1_500_000_000, 250_000_000), "{}", path.display());
            if one.meta.kind == EntryKind::File {
                assert!(fs::read(&path).unwrap() == one.content, "{}", path.display());
            }
        }
        let sparse = fs::metadata(folder.path().join("t/sparse")).unwrap();
        assert!(sparse.blocks() * 512 < 8 << 20, "{} blocks: holes were filled", sparse.blocks());
        pictures.push(picture(&folder.path().join("t")));
    }
    assert!(pictures.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_part_comes_straight_into_the_target() {
    let bench = Bench::new();
    bench.backup(&sample());
    let folder = tempfile::tempdir().unwrap();
    let stats = restore(&bench, &RestoreOptions { path: b"/b/deep".to_vec(), ..options(&folder.path().join("d")) });
    assert_no_problems(&stats);
    assert_eq!(picture(&folder.path().join("d")).len(), 40);
    let stats = restore(&bench, &RestoreOptions { path: b"/a/small".to_vec(), ..options(&folder.path().join("f")) });
    assert_no_problems(&stats);
    assert_eq!(fs::read(folder.path().join("f/small")).unwrap(), noise(5000, 1));
    assert_eq!(picture(&folder.path().join("f")).len(), 1);
    // The folder stands for no entry: it is like any new one, whoever may enter the target of an unfinished restore.
    fs::create_dir(folder.path().join("any")).unwrap();
    let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().mode();
    assert_eq!(format!("{:o}", mode("f")), format!("{:o}", mode("any")));
    let missing = RestoreOptions { path: b"/a/none".to_vec(), ..options(&folder.path().join("n")) };
    let error = run(&bench.store, &missing, &Silent).unwrap_err();
    assert!(error.to_string().contains("/a/none") && !matches!(error, RestoreError::Refused(_)), "{error:?}");
    assert!(!folder.path().join("n").exists(), "nothing is made for a path that is not there");
}

#[test]
fn rules_choose_and_directories_above_are_made_with_their_attributes() {
    let bench = Bench::new();
    bench.backup(&sample());
    let folder = tempfile::tempdir().unwrap();
    let include = vec!["/b/deep/f1*".into(), "big".into()];
    let exclude = vec!["f11".into()];
    let stats = restore(&bench, &RestoreOptions { include, exclude, ..options(&folder.path().join("t")) });
    assert_no_problems(&stats);
    let picture = picture(&folder.path().join("t"));
    let names: Vec<_> = picture.keys().map(String::as_str).collect();
    let f = ["f1", "f10", "f12", "f13", "f14", "f15", "f16", "f17", "f18", "f19"].map(|f| format!("b/deep/{f}"));
    let expected = ["a", "a/big", "b", "b/deep"].map(String::from).into_iter().chain(f).collect::<Vec<_>>();
    assert_eq!(names, expected);
    assert!(picture["b"].starts_with("40500 (1500000000, 250000000)"), "{}", picture["b"]);
}

#[test]
fn a_dry_run_counts_the_same_and_writes_nothing() {
    let bench = Bench::new();
    bench.backup(&sample());
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("t");
    let dry = restore(&bench, &RestoreOptions { dry_run: true, ..options(&target) });
    assert!(!target.exists());
    let wet = restore(&bench, &options(&target));
    let counts = |s: &RestoreStats| (s.entries, s.files, s.bytes, s.directories, s.symlinks, s.specials);
    assert_eq!(counts(&dry), counts(&wet));
    fs::remove_file(target.join("a/small")).unwrap();
    let before = picture(&target);
    let dry = restore(&bench, &RestoreOptions { dry_run: true, ..options(&target) });
    assert_eq!((dry.files, dry.left, dry.problem_count), (1, 0, 0));
    assert_eq!(picture(&target), before);
}

#[test]
fn a_snapshot_cannot_write_through_its_own_links() {
    let bench = Bench::new();
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("canary"), "alive").unwrap();
    let mut entries = Entries::default();
    entries.symlink("/a", outside.to_str().unwrap());
    entries.file("/a/canary", b"dead".to_vec());
    entries.file("/a/new", noise(5000, 1));
    entries.directory("/b");
    entries.symlink("/b/c", "../../outside");
    entries.directory("/b/c/d");
    entries.file("/b/c/canary", b"dead".to_vec());
    // Another name of a file whose first name is a link out of the target.
    let first = entries.symlink("/l1", outside.join("canary").to_str().unwrap());
    (first.meta.nlink, first.meta.inode) = (2, 77);
    let second = entries.file("/l2", b"dead".to_vec());
    (second.meta.nlink, second.meta.inode) = (2, 77);
    bench.backup(&entries);
    for overwrite in [Overwrite::Refuse, Overwrite::IfChanged, Overwrite::Always, Overwrite::Never] {
        let target = folder.path().join("t");
        _ = fs::remove_dir_all(&target);
        for _ in 0..2 {
            run(&bench.store, &RestoreOptions { overwrite, ..options(&target) }, &Silent).unwrap();
            assert_eq!(fs::read_to_string(outside.join("canary")).unwrap(), "alive", "{overwrite:?}");
            assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "{overwrite:?}");
            assert_eq!(fs::metadata(outside.join("canary")).unwrap().nlink(), 1);
            assert_ne!(fs::metadata(&outside).unwrap().mtime(), 1_500_000_000);
        }
    }
}

#[test]
fn names_of_one_file_are_linked_and_those_that_differ_are_not() {
    let bench = Bench::new();
    let mut entries = Entries::default();
    entries.directory("/d");
    // The third has the number of the first two, and was changed meanwhile or is another file.
    for (path, content, inode, ctime) in [("/a", 1, 5, 0), ("/d/b", 1, 5, 0), ("/d/c", 2, 5, 1), ("/d/other", 1, 6, 0)]
    {
        let one = entries.file(path, noise(5000, content));
        (one.meta.nlink, one.meta.inode) = (3, inode);
        one.meta.ctime.s += ctime;
    }
    bench.backup(&entries);
    let folder = tempfile::tempdir().unwrap();
    let inode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().ino();
    for _ in 0..2 {
        let stats = restore(&bench, &options(folder.path()));
        assert_no_problems(&stats);
        assert_eq!(inode("a"), inode("d/b"));
        assert_ne!(inode("a"), inode("d/c"));
        assert_ne!(inode("a"), inode("d/other"));
        assert_eq!(fs::read(folder.path().join("d/c")).unwrap(), noise(5000, 2));
    }
    // A name that became a file of its own is a link again when that is asked for.
    fs::remove_file(folder.path().join("d/b")).unwrap();
    fs::write(folder.path().join("d/b"), "mine").unwrap();
    assert_eq!(names(&restore(&bench, &options(folder.path()))), ["/d/b"]);
    restore(&bench, &RestoreOptions { overwrite: Overwrite::IfChanged, ..options(folder.path()) });
    assert_eq!(inode("a"), inode("d/b"));
}

#[test]
fn an_interrupted_restore_is_continued() {
    let bench = Bench::new();
    bench.backup(&sample());
    let folder = tempfile::tempdir().unwrap();
    let whole = restore(&bench, &options(&folder.path().join("whole")));
    let target = folder.path().join("t");
    restore(&bench, &options(&target));
    // As if it had been killed: files that are not there, one half written, directories not completed.
    fs::set_permissions(target.join("b"), fs::Permissions::from_mode(0o1700)).unwrap();
    fs::set_permissions(target.join("b/deep"), fs::Permissions::from_mode(0o1700)).unwrap();
    fs::remove_file(target.join("b/deep/f3")).unwrap();
    fs::write(target.join("b/deep/f4"), "part").unwrap();
    fs::set_permissions(target.join("b/deep/f4"), fs::Permissions::from_mode(0o1600)).unwrap();
    let before = fs::metadata(target.join("b/deep/f5")).unwrap().ino();
    let stats = restore(&bench, &RestoreOptions { verify: true, ..options(&target) });
    assert_no_problems(&stats);
    assert_eq!((stats.files, stats.verified), (2, whole.files));
    assert!(stats.bytes_read < whole.bytes_read / 2, "{} of {} bytes read", stats.bytes_read, whole.bytes_read);
    assert_eq!(fs::metadata(target.join("b/deep/f5")).unwrap().ino(), before);
    assert_eq!(picture(&target), picture(&folder.path().join("whole")));
}

#[test]
fn what_is_there_is_treated_as_asked() {
    let bench = Bench::new();
    bench.backup(&sample());
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path();
    let prepare = || {
        _ = fs::remove_dir_all(target.join("a"));
        fs::create_dir(target.join("a")).unwrap();
        fs::write(target.join("a/small"), "mine").unwrap();
        fs::write(target.join("linked"), "mine, too").unwrap();
        fs::hard_link(target.join("linked"), target.join("a/big")).unwrap();
        symlink("linked", target.join("a/inline")).unwrap();
        fs::create_dir(target.join("a/empty")).unwrap();
    };
    let run = |overwrite| {
        prepare();
        let stats = restore(&bench, &RestoreOptions { overwrite, path: b"/a".to_vec(), ..options(&target.join("a")) });
        let linked = fs::read_to_string(target.join("linked")).unwrap();
        assert_eq!(linked, "mine, too", "an existing file was written into");
        fs::remove_file(target.join("linked")).unwrap();
        stats
    };
    let stats = run(Overwrite::Refuse);
    assert_eq!(names(&stats), ["/a/big", "/a/empty", "/a/inline", "/a/small"]);
    assert_eq!((stats.left, stats.symlinks), (4, 1));
    assert_eq!(fs::read_to_string(target.join("a/small")).unwrap(), "mine");
    let stats = run(Overwrite::Never);
    assert_no_problems(&stats);
    assert_eq!(stats.left, 4);
    for overwrite in [Overwrite::IfChanged, Overwrite::Always] {
        let stats = run(overwrite);
        assert_no_problems(&stats);
        assert_eq!(fs::read(target.join("a/small")).unwrap(), noise(5000, 1));
        assert!(fs::symlink_metadata(target.join("a/inline")).unwrap().is_file());
        assert_eq!(fs::metadata(target.join("a/empty")).unwrap().len(), 0);
        assert_eq!(fs::read_dir(target.join("a")).unwrap().count(), 5, "a temporary name was left");
    }
    // A directory that holds something never gives way to a file.
    prepare();
    fs::write(target.join("a/empty/mine"), "mine").unwrap();
    let always = RestoreOptions { overwrite: Overwrite::Always, path: b"/a".to_vec(), ..options(&target.join("a")) };
    assert_eq!(names(&restore(&bench, &always)), ["/a/empty"]);
    assert_eq!(fs::read_to_string(target.join("a/empty/mine")).unwrap(), "mine");
}

#[test]
fn only_changed_attributes_are_corrected_without_reading_content() {
    let bench = Bench::new();
    let mut entries = sample();
    let x = Xattr { name: b"user.x".to_vec(), value: b"precious".to_vec() };
    entries.file("/c", noise(5000, 7)).meta.xattrs = vec![x];
    bench.backup(&entries);
    let folder = tempfile::tempdir().unwrap();
    restore(&bench, &options(folder.path()));
    let whole = picture(folder.path());
    fs::set_permissions(folder.path().join("a/big"), fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(folder.path().join("b/deep"), fs::Permissions::from_mode(0o777)).unwrap();
    let mut value = [0; 20];
    let mut xattr =
        || rustix::fs::getxattr(folder.path().join("c"), "user.x", &mut value).map(|len| value[..len].to_vec());
    let has_xattrs = xattr().is_ok();
    if has_xattrs {
        rustix::fs::setxattr(folder.path().join("c"), "user.x", b"other", rustix::fs::XattrFlags::empty()).unwrap();
    }
    // By default they are named.
    let stats = restore(&bench, &options(folder.path()));
    assert_eq!(names(&stats), if has_xattrs { vec!["/a/big", "/b/deep", "/c"] } else { vec!["/a/big", "/b/deep"] });
    let stats = restore(&bench, &RestoreOptions { overwrite: Overwrite::IfChanged, ..options(folder.path()) });
    assert_no_problems(&stats);
    assert_eq!((stats.files, stats.bytes_read), (0, 0));
    assert_eq!(picture(folder.path()), whole);
    assert!(!has_xattrs || xattr().unwrap() == b"precious");
}

#[test]
fn every_file_is_read_back_wherever_windows_end() {
    let bench = Bench::new();
    let mut entries = Entries::default();
    for i in 0..5000u32 {
        entries.file(&format!("/{i:05}"), noise(if i % 2 == 0 { 50 } else { 200 }, i as u8));
    }
    bench.backup(&entries);
    let folder = tempfile::tempdir().unwrap();
    let stats = restore(&bench, &RestoreOptions { verify: true, ..options(folder.path()) });
    assert_no_problems(&stats);
    assert_eq!((stats.files, stats.verified), (5000, 5000));
}

#[test]
fn a_damaged_blob_costs_only_the_files_that_hold_it() {
    let bench = Bench::with_packs(16 << 20);
    let mut entries = Entries::default();
    for (path, seed) in [("/a", 1), ("/b", 2), ("/copy-of-b", 2), ("/c", 3)] {
        entries.file(path, noise(600_000, seed));
    }
    let name = entries.file("/link-of-b", noise(600_000, 2));
    (name.meta.nlink, name.meta.inode) = (2, 1001);
    entries.0[1].meta.nlink = 2;
    bench.backup(&entries);
    let pack = bench.keys(|key| matches!(key, StorageKey::Pack(_)))[0];
    bench.damage(&pack, |bytes| bytes[900_000] ^= 1);
    let folder = tempfile::tempdir().unwrap();
    let stats = restore(&bench, &RestoreOptions { verify: true, ..options(folder.path()) });
    assert_eq!(names(&stats), ["/b", "/copy-of-b", "/link-of-b"], "{:?}", messages(&stats));
    assert_eq!((stats.damaged, stats.files, stats.verified), (3, 2, 2));
    assert!(stats.is_damaged());
    let left: Vec<_> = picture(folder.path()).into_keys().collect();
    assert_eq!(left, ["a", "c"], "damaged files must not be left half written");
    // Without its only data pack everything is lost, and said file by file.
    bench.storage.delete(&pack).unwrap();
    let stats = restore(&bench, &options(&folder.path().join("again")));
    assert_eq!((stats.damaged, stats.problem_count), (5, 5), "{:?}", messages(&stats));
}

#[test]
fn a_lost_part_of_the_tree_is_said_and_the_rest_is_restored() {
    let bench = Bench::new();
    let mut entries = Entries::default();
    for d in 0..30 {
        entries.directory(&format!("/d{d:02}"));
        for f in 0..40 {
            entries.file(&format!("/d{d:02}/{}-{f}", "a long name ".repeat(12)), noise(200 + f, d));
        }
    }
    bench.backup(&entries);
    let kept = tempfile::tempdir().unwrap();
    restore(&bench, &options(kept.path()));
    let before = picture(kept.path());
    for d in 0..30 {
        fs::write(kept.path().join(format!("d{d:02}/extra")), "x").unwrap();
    }
    fs::write(kept.path().join("extra"), "x").unwrap();
    // The first leaf, which holds the directories' own entries.
    bench.damage(&bench.largest_tree_pack(), |bytes| bytes[200] ^= 1);
    let folder = tempfile::tempdir().unwrap();
    let root = RestoreOptions { path: b"/".to_vec(), ..options(&folder.path().join("root")) };
    assert_eq!(restore(&bench, &root).damaged_ranges, 1);
    let stats = restore(&bench, &options(&folder.path().join("t")));
    assert_eq!(stats.damaged_ranges, 1, "{:?}", messages(&stats));
    assert!(stats.is_damaged());
    assert!(stats.files > 0 && stats.files < 1200, "{} files", stats.files);
    // What is lost is not deleted; where nothing is lost, what the snapshot lacks goes.
    let delete = RestoreOptions { delete: true, overwrite: Overwrite::IfChanged, ..options(kept.path()) };
    let deleted = restore(&bench, &delete).deleted;
    assert!(deleted > 0 && deleted < 31, "{deleted} deleted");
    assert!(kept.path().join("extra").exists(), "the root's own entries are lost");
    let after = picture(kept.path());
    assert!(before.keys().all(|name| after.contains_key(name)));
    assert_eq!(stats.files, picture(&folder.path().join("t")).values().filter(|v| v.starts_with("100")).count() as u64);
}

#[test]
fn a_run_that_is_cancelled_leaves_nothing_half_written() {
    struct CancelAfter(Arc<AtomicBool>, u64, std::sync::atomic::AtomicU64);
    impl Monitor for CancelAfter {
        fn add(&self, counter: Counter, n: u64) {
            let relaxed = std::sync::atomic::Ordering::Relaxed;
            if counter == Counter::Bytes && self.2.fetch_add(n, relaxed) + n > self.1 {
                self.0.store(true, relaxed);
            }
        }
    }
    let bench = Bench::new();
    let mut entries = Entries::default();
    entries.file("/a", noise(2 << 20, 1));
    entries.file("/b", noise(30 << 20, 2));
    bench.backup(&entries);
    let folder = tempfile::tempdir().unwrap();
    let cancel = Arc::new(AtomicBool::new(false));
    let monitor = CancelAfter(cancel.clone(), 12 << 20, Default::default());
    let options = RestoreOptions { cancel, ..options(&folder.path().join("t")) };
    let ended = run(&bench.store, &options, &monitor);
    assert!(matches!(ended, Err(RestoreError::Interrupted)), "{ended:?}");
    let left: Vec<_> = picture(&folder.path().join("t")).into_keys().collect();
    assert_eq!(left, ["a"]);
}

#[test]
fn verification_finds_what_was_changed_behind_the_back_of_a_resumed_restore() {
    let bench = Bench::new();
    bench.backup(&sample());
    let folder = tempfile::tempdir().unwrap();
    restore(&bench, &options(folder.path()));
    let big = folder.path().join("a/big");
    let time = fs::metadata(&big).unwrap().modified().unwrap();
    let mut content = fs::read(&big).unwrap();
    content[2_000_000] ^= 1;
    fs::write(&big, content).unwrap();
    fs::File::options().write(true).open(&big).unwrap().set_modified(time).unwrap();
    assert_no_problems(&restore(&bench, &options(folder.path())));
    let stats = restore(&bench, &RestoreOptions { verify: true, ..options(folder.path()) });
    assert_eq!(names(&stats), ["/a/big"]);
    assert_eq!((stats.differing, stats.damaged), (1, 0));
}

#[test]
fn extended_attributes_come_back_on_files_directories_and_links() {
    let bench = Bench::new();
    let mut entries = Entries::default();
    let note = |value: &str| vec![Xattr { name: b"user.note".to_vec(), value: value.into() }];
    entries.directory("/d").xattrs = note("directory");
    let file = entries.file("/d/f", b"x".to_vec());
    (file.xattrs, file.meta.mode) = (note("file"), 0o400);
    bench.backup(&entries);
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let stats = restore(&bench, &options(folder.path()));
    assert_no_problems(&stats);
    let value = |path: &str| {
        let mut value = [0; 32];
        rustix::fs::getxattr(folder.path().join(path), "user.note", &mut value).map(|n| value[..n].to_vec())
    };
    if let Err(rustix::io::Errno::OPNOTSUPP) = value("d") {
        return crate::lacks::lacks("xattrs", "/var/tmp has none");
    }
    assert_eq!(value("d").unwrap(), b"directory");
    assert_eq!(value("d/f").unwrap(), b"file");
    let none = tempfile::tempdir_in("/var/tmp").unwrap();
    restore(&bench, &RestoreOptions { no_xattrs: true, ..options(none.path()) });
    assert!(rustix::fs::getxattr(none.path().join("d"), "user.note", &mut [0u8; 32]).is_err());
}

#[test]
fn nothing_is_inherited_from_a_default_acl_around_the_target() {
    // Version 2; user::rwx, user:65534:rwx, group::r-x, mask::rwx, other::r-x.
    let mut acl = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in
        [(1u16, 7u16, u32::MAX), (2, 7, 65534), (4, 5, u32::MAX), (16, 7, u32::MAX), (32, 5, u32::MAX)]
    {
        acl.extend([tag.to_le_bytes(), perm.to_le_bytes()].concat());
        acl.extend(id.to_le_bytes());
    }
    let bench = Bench::new();
    bench.backup(&sample());
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let (default, access) = ("system.posix_acl_default", "system.posix_acl_access");
    if rustix::fs::setxattr(folder.path(), default, &acl, rustix::fs::XattrFlags::empty()).is_err() {
        return crate::lacks::lacks("acls", "/var/tmp has none");
    }
    for (path, name) in [("", "whole"), ("/a", "part"), ("/a/small", "one")] {
        let target = folder.path().join(name);
        assert_no_problems(&restore(&bench, &RestoreOptions { path: path.into(), ..options(&target) }));
        let mut paths: Vec<_> = picture(&target).into_keys().map(|name| target.join(name)).collect();
        paths.push(target);
        for path in paths.iter().filter(|path| !path.is_symlink()) {
            for acl in [default, access] {
                assert!(rustix::fs::getxattr(path, acl, &mut [0u8; 256]).is_err(), "{acl} on {}", path.display());
            }
        }
    }
}

#[test]
fn root_restores_owners_and_devices() {
    if !crate::lacks::has_root("only root gives files to others") {
        return;
    }
    let bench = Bench::new();
    let mut entries = Entries::default();
    let owned = entries.directory("/d");
    (owned.meta.uid, owned.meta.gid) = (12345, 54321);
    let owned = entries.file("/d/f", b"x".to_vec());
    (owned.meta.uid, owned.meta.gid, owned.meta.mode) = (12345, 54321, 0o6755);
    let device = entries.add("/d/null", EntryKind::CharDevice);
    (device.meta.rdev, device.meta.uid) = ((1, 3), 99);
    bench.backup(&entries);
    let folder = tempfile::tempdir().unwrap();
    let stats = restore(&bench, &options(folder.path()));
    let meta = |path: &str| fs::symlink_metadata(folder.path().join(path)).unwrap();
    assert_eq!((meta("d").uid(), meta("d").gid()), (12345, 54321));
    assert_eq!((meta("d/f").uid(), meta("d/f").mode() & 0o7777), (12345, 0o6755));
    match &stats.problems[..] {
        [] => assert_eq!((meta("d/null").rdev(), meta("d/null").uid()), (0x103, 99)),
        [problem] => {
            assert!(problem.message.contains("device"), "{}", problem.message);
            crate::lacks::lacks("devices", &problem.message);
        }
        _ => panic!("{:?}", messages(&stats)),
    }
    let skip = tempfile::tempdir().unwrap();
    restore(&bench, &RestoreOptions { owners: Owners::Skip, ..options(skip.path()) });
    let file = fs::metadata(skip.path().join("d/f")).unwrap();
    assert_eq!((file.uid(), file.mode() & 0o7777), (0, 0o755));
}
