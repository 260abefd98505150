//! What a restore takes away: nothing before what replaces it is complete, and nothing that a link on the way leads to.

use super::restoring::{Tree, text};
use crate::faulty::{Behaviour, Call, Fault, Faulty};
use crate::roundtrip::noise;
use crate::sandbox::{Ran, is_root, names};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, symlink};
use std::path::Path;
use std::process::Command;

/// One of every kind that can take a directory's place.
const ALL: [&str; 9] = ["big", "first", "fifo", "holes", "inline", "link", "null", "second", "small"];

fn every_kind() -> Tree {
    Tree::new(|source| {
        let at = |name: &str| source.join(name);
        fs::write(at("big"), noise(5_000_000, 1)).unwrap();
        fs::write(at("small"), noise(5_000, 2)).unwrap();
        fs::write(at("inline"), "1").unwrap();
        fs::write(at("first"), noise(6_000, 3)).unwrap();
        fs::hard_link(at("first"), at("second")).unwrap();
        let holes = File::create(at("holes")).unwrap();
        holes.write_all_at(&noise(300_000, 4), 500_000).unwrap();
        holes.set_len(1 << 20).unwrap();
        symlink("inline", at("link")).unwrap();
        use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
        mknodat(CWD, at("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        mknodat(CWD, at("null"), FileType::CharacterDevice, Mode::from_raw_mode(0o600), makedev(1, 3)).unwrap();
        fs::create_dir(at("directory")).unwrap();
        fs::write(at("directory/inner"), "2").unwrap();
    })
}

/// A target in which a full directory lies in the place of everything, and a file in that of a directory.
fn fill(target: &Path) {
    for name in ALL {
        _ = fs::remove_file(target.join(name));
        fs::create_dir_all(target.join(name).join("d")).unwrap();
        fs::write(target.join(name).join("d/x"), "own").unwrap();
        fs::write(target.join(name).join("y"), "own").unwrap();
    }
    _ = fs::remove_dir_all(target.join("directory"));
    fs::write(target.join("directory"), "own").unwrap();
}

/// Names whose own content is still there; the others are as in the source.
fn kept(tree: &Tree, target: &Path) -> Vec<&'static str> {
    let mut kept = vec![];
    for name in ALL {
        let (was, is) = (tree.source.join(name), target.join(name));
        let (meta, there) = (fs::symlink_metadata(&was).unwrap(), fs::symlink_metadata(&is).expect(name));
        if there.is_dir() {
            assert_eq!(fs::read_to_string(is.join("d/x")).expect(name), "own");
            assert_eq!(fs::read_to_string(is.join("y")).expect(name), "own");
            kept.push(name);
        } else if meta.is_file() {
            assert!(fs::read(was).unwrap() == fs::read(is).unwrap(), "{name}");
        } else if meta.is_symlink() {
            assert_eq!(fs::read_link(was).unwrap(), fs::read_link(is).unwrap());
        } else {
            assert!(meta.file_type().is_fifo() == there.file_type().is_fifo() && meta.rdev() == there.rdev(), "{name}");
        }
    }
    let directory = target.join("directory");
    if !directory.is_dir() {
        assert_eq!(fs::read_to_string(directory).unwrap(), "own");
        kept.push("directory");
    }
    let odd: Vec<_> = names(target).into_iter().filter(|name| name.starts_with('.')).collect();
    assert!(odd.iter().all(|name| name.ends_with(".partial") || name.ends_with(".journal")), "{odd:?}");
    kept
}

fn restore(tree: &Tree, target: &Path, more: &[&str]) -> Ran {
    let (place, target) = (format!("latest:{}", text(&tree.source)), text(target));
    let words = ["restore", &place, "--to", &target, "--delete", "--overwrite"];
    tree.sandbox.run(words.iter().chain(more))
}

#[test]
fn a_directory_stays_until_what_replaces_it_is_complete() {
    if !is_root() {
        return;
    }
    let tree = every_kind();
    for how in ["if-changed", "always"] {
        fill(&tree.target);
        let ran = restore(&tree, &tree.target, &[how, "--verify"]);
        assert!(ran.code == 0 && kept(&tree, &tree.target).is_empty(), "{ran:?}");
        tree.is_equal();
    }
    // Content that is not in the store any more.
    fill(&tree.target);
    let store = tree.sandbox.home().join(".larder");
    let packs = Command::new("find").arg(store.join("packs")).args(["-type", "f"]).output().unwrap();
    let packs: Vec<_> = String::from_utf8(packs.stdout).unwrap().lines().map(std::path::PathBuf::from).collect();
    let whole: Vec<_> = packs.iter().map(|pack| fs::read(pack).unwrap()).collect();
    // Trees lie in packs as well: those are small.
    for (pack, bytes) in packs.iter().zip(&whole).filter(|(_, bytes)| bytes.len() > 100_000) {
        let mut bytes = bytes.clone();
        bytes[2_000..50_000].fill(7);
        fs::write(pack, bytes).unwrap();
    }
    let ran = restore(&tree, &tree.target, &["if-changed"]);
    let stay = kept(&tree, &tree.target);
    assert!(ran.code != 0 && !stay.is_empty(), "{ran:?}");
    assert!(stay.iter().all(|name| ran.stderr.contains(&format!("/{name}"))), "{stay:?}: {ran:?}");
}

#[test]
fn a_directory_stays_when_the_target_does_not_take_what_replaces_it() {
    let behaviour = Behaviour::default();
    let Some(faulty) = is_root().then(|| Faulty::mount(behaviour.clone())).flatten() else { return };
    let (tree, target) = (every_kind(), faulty.path());
    fill(target);
    let ran = restore(&tree, target, &["if-changed"]);
    assert!(ran.code == 0 && kept(&tree, target).is_empty(), "{ran:?}");
    use rustix::io::Errno;
    let faults = [
        (Call::Symlink, Errno::PERM, &["link"][..]),
        (Call::Mknod, Errno::PERM, &["null"]),
        (Call::Write, Errno::IO, &["big", "small", "inline", "first", "second", "holes"]),
        (Call::Write, Errno::NOSPC, &["big"]),
        (Call::Close, Errno::IO, &["small"]),
        (Call::Rename, Errno::PERM, &["big", "small", "inline", "first", "second", "holes", "link", "fifo"]),
        (Call::Mkdir, Errno::NOSPC, &["directory"]),
    ];
    for (call, error, stay) in faults {
        faulty.behave(behaviour.clone());
        fill(target);
        faulty.behave(Behaviour { fault: Some((call, Fault::Error(error.raw_os_error()))), ..behaviour.clone() });
        let ran = restore(&tree, target, &["if-changed"]);
        faulty.behave(behaviour.clone());
        let kept = kept(&tree, target);
        assert!(ran.code != 0 && stay.iter().all(|name| kept.contains(name)), "{call:?} {error}: {kept:?} {ran:?}");
    }
}

#[test]
fn a_directory_of_which_something_is_kept_stays_whole() {
    if !is_root() {
        return;
    }
    let tree = every_kind();
    fill(&tree.target);
    let words = ["if-changed", "--exclude", "/*/y"];
    let dry = restore(&tree, &tree.target, &[&words[..], &["--dry-run"]].concat());
    assert!(dry.code == 1 && !dry.stdout.contains("would delete"), "{dry:?}");
    let ran = restore(&tree, &tree.target, &words);
    assert!(ran.code == 1 && kept(&tree, &tree.target) == ALL, "{ran:?}");
    assert!(!ran.stdout.contains("deleted "), "{ran:?}");
    assert!(ALL.iter().all(|name| ran.stderr.contains(&format!("/{name}"))), "{ran:?}");
}
