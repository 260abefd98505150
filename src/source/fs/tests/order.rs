//! The order of a walk, and its bounds.

use super::{Seen, source, source_of};
use crate::base::path::key_of;
use crate::format::tree::EntryKind;
use crate::source::fs::directory::Directory;
use crate::source::fs::walk::Walk;
use crate::source::fs::{FsOptions, FsSource};
use crate::source::{Fingerprint, FoundEntry, Source, Walked};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// Keys and inodes of everything below a folder and of what leads to it, by plain recursion.
fn oracle(root: &Path) -> BTreeMap<Vec<u8>, u64> {
    fn fill(path: &Path, into: &mut BTreeMap<Vec<u8>, u64>) {
        let meta = fs::symlink_metadata(path).unwrap();
        into.insert(key_of(path.as_os_str().as_bytes()).unwrap(), meta.ino());
        if meta.is_dir() {
            fs::read_dir(path).unwrap().for_each(|entry| fill(&entry.unwrap().path(), into));
        }
    }
    let mut all = BTreeMap::new();
    fill(root, &mut all);
    for above in root.ancestors().skip(1) {
        all.insert(key_of(above.as_os_str().as_bytes()).unwrap(), fs::metadata(above).unwrap().ino());
    }
    all
}

fn assert_equal_to_oracle(source: &FsSource, root: &Path) {
    let seen = Seen::well(source);
    let walked: Vec<_> = seen.entries.iter().map(|found| (found.key.clone(), found.meta.inode)).collect();
    assert_eq!(walked, oracle(root).into_iter().collect::<Vec<_>>());
}

/// Ways to walk: threads, entries ahead, open directories.
const WAYS: [(usize, usize, usize); 4] = [(1, 1 << 15, 0), (2, 1, 1), (3, 7, 2), (8, 1 << 15, 16)];

fn with_way(mut source: FsSource, (threads, ahead, open): (usize, usize, usize)) -> FsSource {
    (source.helpers, source.ahead_max, source.open_max) = (threads - 1, ahead, open);
    source
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Names whose order tells the order of bytes from the order of paths.
    #[test]
    fn any_tree_is_walked_as_a_recursion_with_sorted_keys_would(
        paths in prop::collection::vec(
            prop::collection::vec(prop::sample::select(&["a", "a.", "a b", "a-", "a\u{1}", "b", "\u{7f}", "ä"][..]), 1..6),
            0..40),
        way in prop::sample::select(&WAYS[..]),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for (n, path) in paths.iter().enumerate() {
            let path: std::path::PathBuf = root.join(path.join("/"));
            // A name that is taken stays what it was first.
            _ = fs::create_dir_all(path.parent().unwrap());
            _ = if n % 3 == 0 { fs::create_dir(&path) } else { fs::write(&path, b"") };
        }
        assert_equal_to_oracle(&with_way(source_of(&root), way), &root);
    }
}

#[test]
fn a_directory_of_many_blocks_keeps_its_order_beside_its_subdirectories() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    for n in 0..3000 {
        let path = root.join(format!("{:04}", (n * 7919) % 3000));
        if n % 5 == 0 {
            fs::create_dir(&path).unwrap();
            fs::write(path.join("inside"), b"").unwrap();
        } else {
            fs::write(path, b"").unwrap();
        }
    }
    for way in WAYS {
        assert_equal_to_oracle(&with_way(source_of(&root), way), &root);
    }
}

#[test]
fn a_walk_ends_when_told_to_and_can_be_walked_again() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..300 {
        fs::create_dir_all(folder.path().join(format!("{n}/x/y"))).unwrap();
    }
    let source = with_way(source_of(folder.path()), (4, 100, 0));
    let mut seen = 0;
    source
        .walk(&mut |_| {
            seen += 1;
            seen < 10
        })
        .unwrap();
    assert_eq!(seen, 10);
    assert!(Seen::well(&source).entries.len() > 900);
}

#[test]
fn what_is_found_ahead_and_what_is_open_stay_bounded() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..200 {
        fs::create_dir(folder.path().join(format!("{n:03}"))).unwrap();
        (0..20).for_each(|m| fs::write(folder.path().join(format!("{n:03}/{m}")), b"").unwrap());
    }
    let source = source_of(folder.path());
    let walk = Walk::new(source.lister(), 300, 4);
    let (mut most_ahead, mut files) = (0, Vec::new());
    walk.run(3, &mut |walked| {
        let Walked::Entry(found) = walked else { panic!("{walked:?}") };
        if files.len() % 50 == 0 {
            // Time for the helpers to run as far as they can.
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        most_ahead = most_ahead.max(walk.ahead());
        if found.meta.kind == EntryKind::File {
            files.push(found);
        }
        true
    })
    .unwrap();
    assert_eq!(files.len(), 4000);
    // Each of the four threads may have begun a directory of 20 just before the bound.
    assert!((200..300 + 4 * 20).contains(&most_ahead), "{most_ahead} were found ahead");
    let mut directories: Vec<_> = files.iter().map(directory_of).collect();
    directories.dedup_by(|a, b| Arc::ptr_eq(a, b));
    assert_eq!(directories.len(), 200);
    let open = || directories.iter().filter(|directory| directory.is_open()).count();
    assert!(open() <= 4, "{} are open", open());
    // Every file can be opened again though nearly all directories were closed meanwhile.
    for found in &files {
        assert_eq!(source.open(found).unwrap().fingerprint().unwrap(), Some(Fingerprint::of(&found.meta)));
    }
    assert!((1..=4).contains(&open()), "{} are open", open());
}

fn directory_of(found: &FoundEntry) -> Arc<Directory> {
    found.handle.get().unwrap_or_else(|| panic!("{:?} is not found through its directory", found.handle))
}

#[test]
fn several_roots_are_walked_once_each_in_one_order() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    for path in ["b/c/d", "a/x", "b.x/y", "c/z"] {
        fs::create_dir_all(root.join(path)).unwrap();
        fs::write(root.join(path).join("file"), b"").unwrap();
    }
    let roots = ["c/z/file", "b/c", "b", "a", "b/../b.x/y"].map(|path| root.join(path)).to_vec();
    let seen = Seen::well(&source(FsOptions { roots, ..FsOptions::default() }));
    let expected = [
        "a",
        "b",
        "b.x",
        "c",
        "a/x",
        "a/x/file",
        "b/c",
        "b/c/d",
        "b/c/d/file",
        "b.x/y",
        "b.x/y/file",
        "c/z",
        "c/z/file",
    ];
    assert_eq!(seen.below(&root), expected);
    assert_eq!(seen.paths()[0], b"/");
}
