//! What a restore takes away: nothing before what replaces it is complete, and nothing that a link on the way leads to.

use super::restoring::{Tree, text};
use crate::faulty::{Behaviour, Call, Fault, Faulty};
use crate::roundtrip::noise;
use crate::sandbox::{Ran, Sandbox, is_root, names};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, symlink};
use std::os::unix::process::CommandExt;
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
    assert!(!ran.stdout.contains("deleted"), "{ran:?}");
    assert!(ALL.iter().all(|name| ran.stderr.contains(&format!("/{name}"))), "{ran:?}");
}

#[test]
fn what_a_link_on_the_way_leads_to_stays_wherever_it_lies() {
    // Where the link leads, what else lies on that way, and what goes all the same.
    let shapes: [(&str, &str, &[&str], &[&str]); 7] = [
        ("e", "e", &[], &[]),
        ("e/", "e", &[], &[]),
        // Swept long before the link is met, and after it.
        ("a/gone/deep", "a/gone/deep", &[], &["a/gone/other"]),
        ("z/gone/deep", "z/gone/deep", &[], &["z/gone/other"]),
        ("hop", "far/e", &["hop>far/e"], &["far/other"]),
        ("p/../q/e", "q/e", &["p/"], &["q/other"]),
        ("ABSOLUTE/q/e", "q/e", &[], &["q/other"]),
    ];
    for overwrite in ["if-changed", "refuse"] {
        for (link, directory, way, goes) in shapes {
            let tree = Tree::new(|source| {
                for name in ["a/1", "b/sub/deep", "b/x", "z/2"] {
                    fs::create_dir_all(source.join(name).parent().unwrap()).unwrap();
                    fs::write(source.join(name), name).unwrap();
                }
            });
            let at = |name: &str| tree.target.join(name);
            fs::create_dir_all(at(directory)).unwrap();
            assert!(
                Command::new("cp")
                    .arg("-pr")
                    .arg(tree.source.join("b/."))
                    .arg(at(directory))
                    .status()
                    .unwrap()
                    .success()
            );
            fs::write(at(directory).join("newer"), "own").unwrap();
            symlink(link.replace("ABSOLUTE", &text(&tree.target)), at("b")).unwrap();
            for needed in way {
                match needed.split_once('>') {
                    Some((name, to)) => symlink(to, at(name)).unwrap(),
                    None => fs::create_dir_all(at(needed)).unwrap(),
                }
            }
            for name in goes {
                fs::create_dir_all(at(name).parent().unwrap()).unwrap();
                fs::write(at(name), "own").unwrap();
            }
            let dry = restore(&tree, &tree.target, &[overwrite, "--dry-run"]);
            assert!(dry.code == 0 && at(directory).join("newer").exists(), "{link}: {dry:?}");
            let ran = restore(&tree, &tree.target, &[overwrite, "--verify", "-v"]);
            assert!(ran.code == 0 && ran.stderr.contains("a link is followed"), "{link}: {ran:?}");
            assert!(fs::symlink_metadata(at("b")).unwrap().is_symlink());
            // As the live system sees it.
            assert_eq!(names(&at("b")), ["sub", "x"], "{link}: {ran:?}");
            assert_eq!(fs::read_to_string(at("b/sub/deep")).unwrap(), "b/sub/deep");
            assert_eq!(fs::read_to_string(at("b/x")).unwrap(), "b/x");
            assert!(goes.iter().all(|name| !at(name).exists()), "{link}: {ran:?}");
            let told = |ran: &Ran, word| {
                ran.stdout.lines().filter_map(|l| l.strip_prefix(word)).map(str::to_string).collect::<Vec<_>>()
            };
            assert_eq!(told(&dry, "would delete "), told(&ran, "deleted   "), "{ran:?}");
        }
    }
}

#[test]
fn nothing_goes_from_where_a_link_leads_that_is_not_followed() {
    let tree = Tree::new(|source| {
        for name in ["b/x", "b/e/1", "c/e/2", "c/f", "d"] {
            fs::create_dir_all(source.join(name).parent().unwrap()).unwrap();
            fs::write(source.join(name), name).unwrap();
        }
    });
    let at = |name: &str| tree.target.join(name);
    // The snapshot has the directory too, and a file in the place of another one.
    for (link, to) in [("b", "c"), ("b", "d")] {
        _ = fs::remove_dir_all(&tree.target);
        for name in ["x", "e/1", "e/own", "own"] {
            fs::create_dir_all(at(to).join(name).parent().unwrap()).unwrap();
            fs::write(at(to).join(name), "own").unwrap();
        }
        symlink(to, at(link)).unwrap();
        let ran = restore(&tree, &tree.target, &["if-changed"]);
        assert!(ran.code == 1 && !ran.stdout.contains("deleted"), "{ran:?}");
        for name in ["x", "e/1", "e/own", "own"] {
            assert!(at(to).join(name).exists(), "{to}/{name}: {ran:?}");
        }
    }
}

#[test]
fn a_device_that_a_user_may_not_make_takes_nothing_away() {
    if !is_root() {
        return;
    }
    let tree = every_kind();
    fill(&tree.target);
    let (sandbox, program) = (tree.sandbox.path(""), tree.sandbox.path("program"));
    fs::copy(env!("CARGO_BIN_EXE_larder"), &program).unwrap();
    assert!(Command::new("chown").args(["-R", "65534:65534"]).arg(&sandbox).status().unwrap().success());
    let place = format!("latest:{}", text(&tree.source));
    let words = ["restore", &place, "--to", "target", "--delete", "--overwrite", "if-changed"];
    let template = tree.sandbox.command(words);
    let mut command = Command::new(program);
    command.args(template.get_args()).current_dir(&sandbox).uid(65534).gid(65534);
    command.envs(template.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let ran = Ran::new(command.output().unwrap());
    // As with rsync, what no user may make is no failure.
    assert!(ran.code == 0 && ran.stderr.contains("device node") && ran.stderr.contains("/null"), "{ran:?}");
    assert_eq!(kept(&tree, &tree.target), ["null"]);
}

#[test]
fn what_opens_the_store_is_not_replaced() {
    let sandbox = Sandbox::new();
    let store = ["-s", "store", "--passphrase-file", "target/secret"];
    sandbox.write("target/secret", "the first one");
    sandbox.write("target/other", "1");
    sandbox.ok(["-s", "store", "init", "--passphrase-file", "target/secret", "--kdf-memory", "8"]);
    sandbox.ok(store.iter().chain(&["backup", "target", "--as", "/s"]));
    // As if the snapshot were older than the passphrase: it has other bytes under this name.
    for kind in ["file", "link", "directory"] {
        _ = fs::remove_file(sandbox.path("old/secret"));
        match kind {
            "file" => _ = sandbox.write("old/secret", "an older one"),
            "link" => symlink("other", sandbox.path("old/secret")).unwrap(),
            _ => _ = sandbox.write("old/secret/x", "x"),
        }
        sandbox.write("old/other", format!("of {kind}"));
        sandbox.ok(store.iter().chain(&["backup", "old", "--as", "/s"]));
        for overwrite in ["if-changed", "always"] {
            let words = ["restore", "latest:/s", "--to", "target", "--overwrite", overwrite];
            let ran = sandbox.run(store.iter().chain(&words));
            assert!(ran.code == 1 && ran.stderr.contains("this command reads it"), "{kind}: {ran:?}");
            assert_eq!(fs::read_to_string(sandbox.path("target/secret")).unwrap(), "the first one");
            assert_eq!(fs::read_to_string(sandbox.path("target/other")).unwrap(), format!("of {kind}"));
            // It is so every time.
            sandbox.ok(store.iter().chain(&["snapshots"]));
        }
    }
}
