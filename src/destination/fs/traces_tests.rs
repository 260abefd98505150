//! A run that is gone without a word (its destination is dropped), and the next one.

use super::*;
use crate::base::time::Time;
use crate::destination::{Attributes, Destination};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

const ATTRIBUTES: Attributes<'static> = Attributes {
    mode: 0o640,
    uid: u32::MAX,
    gid: u32::MAX,
    mtime: Time { s: 1_000_000_007, ns: 0 },
    xattrs: &[],
    flags: 0,
    flags_known: 0,
};

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn open(folder: &Path) -> FsDestination {
    FsDestination::open(folder, FsOptions::default()).unwrap()
}

fn old(folder: &Path) {
    fs::File::open(folder).unwrap().set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(77)).unwrap();
}

/// A folder in which a run was killed that had begun `new`, was replacing `old`, and had completed `done`.
fn killed(folder: &Path) {
    fs::create_dir_all(folder.join("sub")).unwrap();
    fs::write(folder.join("sub/old"), "old").unwrap();
    fs::write(folder.join("sub/mine"), "mine").unwrap();
    fs::set_permissions(folder.join("sub/mine"), fs::Permissions::from_mode(0o1600)).unwrap();
    old(&folder.join("sub"));
    old(folder);
    // Clocks of file systems go by ticks.
    std::thread::sleep(std::time::Duration::from_millis(30));
    let run = open(folder);
    let (root, _) = run.root();
    let (sub, found) = run.directory(&root, b"sub", false).unwrap();
    assert_eq!(found, FoundDirectory::Whole);
    run.write_file(&sub, b"done", b"done", 4, &ATTRIBUTES, Replace::Nothing).unwrap();
    let new = run.create(&sub, b"new", 9, 0, false).unwrap();
    run.write_at(&new, 0, b"half").unwrap();
    let replacing = run.create(&sub, b"old", 9, 0, true).unwrap();
    run.write_at(&replacing, 0, b"half").unwrap();
    assert_eq!(names(&folder.join("sub")).len(), 5);
    assert_eq!(names(folder).len(), 2, "a journal lies there");
}

#[test]
fn the_next_run_removes_and_takes_over_what_a_killed_one_left() {
    let folder = tempfile::tempdir().unwrap();
    killed(folder.path());
    let next = open(folder.path());
    let (root, _) = next.root();
    let (sub, _) = next.directory(&root, b"sub", false).unwrap();
    assert_eq!(names(&folder.path().join("sub")), ["done", "mine", "new", "old"]);
    let half = |name: &[u8]| next.look(&sub, name).unwrap().unwrap().half_written;
    assert!(half(b"new") && !half(b"mine") && !half(b"old") && !half(b"done"));
    next.write_file(&sub, b"new", b"new", 3, &ATTRIBUTES, Replace::Entry).unwrap();
    next.settle();
    assert_eq!(names(folder.path()), ["sub"]);
    for at in [folder.path().to_path_buf(), folder.path().join("sub")] {
        assert_eq!(fs::metadata(&at).unwrap().mtime(), 77, "{at:?}");
    }
    assert!(next.notes().iter().any(|note| note.contains("left behind, removed: 1")), "{:?}", next.notes());
    assert_eq!(fs::read(folder.path().join("sub/old")).unwrap(), b"old");
}

#[test]
fn a_link_without_its_time_is_a_killed_runs_only_where_that_worked() {
    let folder = tempfile::tempdir().unwrap();
    killed(folder.path());
    for place in ["sub", "other", "unfinished"] {
        fs::create_dir_all(folder.path().join(place)).unwrap();
        symlink("x", folder.path().join(place).join("link")).unwrap();
    }
    fs::set_permissions(folder.path().join("unfinished"), fs::Permissions::from_mode(0o1700)).unwrap();
    let next = open(folder.path());
    let is = |place: &[u8]| {
        let directory = next.open_directory(&next.root().0, place).unwrap();
        next.is_half_made(&directory, &next.look(&directory, b"link").unwrap().unwrap())
    };
    assert_eq!((is(b"sub"), is(b"other"), is(b"unfinished")), (true, false, true));
}

#[test]
fn what_is_not_restored_now_is_named_and_taken_over_later() {
    let folder = tempfile::tempdir().unwrap();
    killed(folder.path());
    for _ in 0..2 {
        let next = open(folder.path());
        next.settle();
        assert!(next.notes().iter().any(|note| note.contains("half written")), "{:?}", next.notes());
        assert_eq!(names(folder.path()).len(), 2, "the journal stays");
    }
    let last = open(folder.path());
    let (root, _) = last.root();
    let (sub, _) = last.directory(&root, b"sub", false).unwrap();
    assert!(last.look(&sub, b"new").unwrap().unwrap().half_written);
    last.write_file(&sub, b"new", b"new", 3, &ATTRIBUTES, Replace::Entry).unwrap();
    last.settle();
    assert_eq!(names(folder.path()), ["sub"]);
    // A journal that was only just begun.
    fs::write(folder.path().join(".larder-0123456789abcdef.restore"), "larder").unwrap();
    open(folder.path()).settle();
    assert_eq!(names(folder.path()), ["sub"]);
}

#[test]
fn a_run_that_lives_and_a_journal_that_was_restored_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("old"), "old").unwrap();
    let lives = open(folder.path());
    let file = lives.create(&lives.root().0, b"old", 9, 0, true).unwrap();
    let before = names(folder.path());
    open(folder.path()).settle();
    assert_eq!(names(folder.path()), before);
    lives.abandon(&file);
    // Another file with the same bytes, as a snapshot brings it, with what it names.
    let journal = before.iter().find(|name| name.ends_with(".restore")).unwrap();
    let text = fs::read(folder.path().join(journal)).unwrap();
    lives.settle();
    assert_eq!(names(folder.path()), ["old"]);
    fs::write(folder.path().join("keeps the number"), "").unwrap();
    for name in &before {
        fs::write(folder.path().join(name), &text).unwrap();
    }
    let wrong = String::from_utf8(text).unwrap().replacen("file ", "file 1", 1);
    fs::write(folder.path().join(journal), wrong).unwrap();
    let there = names(folder.path());
    open(folder.path()).settle();
    assert_eq!(names(folder.path()), there);
}

#[test]
fn a_dry_run_changes_nothing_and_a_journal_leads_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("in");
    fs::create_dir_all(folder.path().join("out")).unwrap();
    killed(&target);
    let before = (names(&target), names(&target.join("sub")));
    let dry = FsDestination::open(&target, FsOptions { dry_run: true, ..FsOptions::default() }).unwrap();
    let (root, _) = dry.root();
    let sub = dry.open_directory(&root, b"sub").unwrap();
    assert!(dry.look(&sub, b"new").unwrap().unwrap().half_written);
    dry.settle();
    assert_eq!((names(&target), names(&target.join("sub"))), before);
    // The directory it names is a link to elsewhere by now.
    fs::rename(target.join("sub"), folder.path().join("out/sub")).unwrap();
    symlink("../out/sub", target.join("sub")).unwrap();
    open(&target).settle();
    assert_eq!(names(&folder.path().join("out/sub")), before.1);
}

#[test]
fn a_name_like_those_of_a_restore_does_not_make_a_file_one_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let names = [".larder-mine", ".larder-", ".larder-0123456789abcdef", ".larder-0123456789abcdef.partial"];
    for name in names {
        fs::write(folder.path().join(name), "precious").unwrap();
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(0o1600)).unwrap();
    }
    let run = open(folder.path());
    let (root, _) = run.root();
    for name in names {
        assert!(!run.look(&root, name.as_bytes()).unwrap().unwrap().half_written, "{name}");
    }
}
