//! Restoring over what is there: what a killed run left, times of directories, the target directory itself, names of one
//! file, directories in the way, flags that a snapshot does not know.

use super::restoring::{Tree, in_namespace, text, tool};
use crate::roundtrip::noise;
use crate::sandbox::{Sandbox, names};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn set_mtime(path: &Path, seconds: i64) {
    let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn mtime(path: &Path) -> i64 {
    fs::symlink_metadata(path).unwrap().mtime()
}

#[test]
fn what_a_killed_restore_left_is_removed_or_completed_by_the_next_one() {
    const BIG: usize = 24 << 20;
    let tree = Tree::new(|source| {
        fs::create_dir(source.join("sub")).unwrap();
        fs::write(source.join("big"), noise(BIG, 7)).unwrap();
        for at in 0..40 {
            fs::write(source.join(format!("sub/small-{at}")), format!("content {at}")).unwrap();
        }
    });
    fs::create_dir_all(tree.target.join("sub")).unwrap();
    fs::write(tree.target.join("big"), "what was there").unwrap();
    fs::write(tree.target.join("mine"), "mine").unwrap();
    for name in ["sub", "."] {
        set_mtime(&tree.target.join(name), 1_111_111_111);
    }
    let place = format!("latest:{}", text(&tree.source));
    let words = ["restore", &place, "--to", "target", "--overwrite", "if-changed", "--threads", "1"];
    let mut child = tree.sandbox.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let journal = || names(&tree.target).into_iter().find(|name| name.ends_with(".restore"));
    let start = Instant::now();
    let is_written = |name: String| fs::read(tree.target.join(name)).is_ok_and(|text| text.ends_with(&[0]));
    while !journal().is_some_and(is_written) {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        assert!(start.elapsed() < Duration::from_secs(120), "it writes nothing");
        std::thread::sleep(Duration::from_micros(200));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // Wherever it was killed: what it may leave at its worst moment.
    let journal = journal().expect("the journal of a killed run stays");
    let head = String::from_utf8_lossy(&fs::read(tree.target.join(&journal)).unwrap()).into_owned();
    let seed = head.lines().nth(1).and_then(|line| line.split("names ").nth(1)).unwrap().to_owned();
    let seed = u64::from_str_radix(&seed, 16).unwrap();
    let half = |path: &Path| {
        _ = fs::remove_file(path);
        fs::write(path, "con").unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o1600)).unwrap();
    };
    half(&tree.target.join("half"));
    half(&tree.target.join(format!(".larder-{:016x}", seed.wrapping_add(900))));
    let others = [".larder-0123456789abcdef", ".larder-nothing"];
    others.iter().for_each(|name| fs::write(tree.target.join(name), "somebody's").unwrap());
    fs::write(tree.source.join("half"), "content").unwrap();
    tree.backup();
    let ran = tree.restored(&["--overwrite", "if-changed", "--verify"]);
    assert!(ran.stderr.contains("temporary files that an interrupted restore left behind"), "{ran:?}");
    assert_eq!(names(&tree.target), [others[0], others[1], "big", "half", "mine", "sub"]);
    assert_eq!(fs::read_to_string(tree.target.join("half")).unwrap(), "content");
    assert!(fs::read(tree.target.join("big")).unwrap() == noise(BIG, 7));
    assert_eq!(names(&tree.target.join("sub")), names(&tree.source.join("sub")));
    others.iter().for_each(|name| fs::remove_file(tree.target.join(name)).unwrap());
    fs::remove_file(tree.target.join("mine")).unwrap();
    set_mtime(&tree.target, mtime(&tree.source));
    tree.is_equal();
}

#[test]
fn a_directory_that_gets_no_time_keeps_its_own() {
    let tree = Tree::new(|source| {
        fs::create_dir_all(source.join("a/b")).unwrap();
        fs::write(source.join("a/b/one"), "1").unwrap();
        fs::write(source.join("a/b/two"), "2").unwrap();
        symlink("one", source.join("a/b/link")).unwrap();
    });
    tree.restored(&[]);
    let at = |name: &str| tree.target.join(name);
    let change = || {
        _ = fs::remove_file(at("a/b/one"));
        fs::write(at("a/b/two"), "changed").unwrap();
        ["a/b", "a", "."].iter().for_each(|name| set_mtime(&at(name), 1_234_567_890));
    };
    let before = |name: &str| (mtime(&at(name)), fs::metadata(at(name)).unwrap().mtime_nsec());
    for more in [
        &["--include", "/a/b/one"][..],
        &["--include", "/a/b/one", "--verify", "--overwrite", "if-changed"],
        &["--include", "two", "--include", "link", "--overwrite", "always"],
    ] {
        change();
        tree.restored(more);
        for name in ["a/b", "a", "."] {
            assert_eq!(before(name), (1_234_567_890, 0), "{name} {more:?}");
        }
    }
    // One entry by its own path, straight into a directory.
    change();
    let place = format!("latest:{}/a/b/one", text(&tree.source));
    tree.sandbox.ok(["restore", &place, "--to", "target/a/b"]);
    assert_eq!((fs::read_to_string(at("a/b/one")).unwrap(), mtime(&at("a/b"))), ("1".into(), 1_234_567_890));
    // One that is restored itself gets the snapshot's.
    change();
    tree.restored(&["--overwrite", "if-changed"]);
    assert_eq!(mtime(&at("a/b")), mtime(&tree.source.join("a/b")));
    assert_eq!(names(&at("a/b")), ["link", "one", "two"]);
}

#[test]
fn a_time_that_the_target_does_not_have_is_said_and_right_the_second_time() {
    if !in_namespace("in_place::a_time_that_the_target_does_not_have_is_said_and_right_the_second_time") {
        return;
    }
    let tree = Tree::new(|source| {
        for (name, time) in [("2040", 2_208_988_800), ("1890", -2_524_521_600), ("1970", 1), ("now", 1_700_000_000)] {
            fs::write(source.join(name), name).unwrap();
            set_mtime(&source.join(name), time);
        }
    });
    if mtime(&tree.source.join("2040")) != 2_208_988_800 {
        return crate::lacks::lacks("times", "a file does not keep a time in 2040");
    }
    let image = tree.sandbox.path("image");
    fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    fs::create_dir(&tree.target).unwrap();
    let made = tool(&["mkfs.ext4", "-q", "-I", "128", "-F", &text(&image)]);
    if !made || !tool(&["mount", "-o", "loop", &text(&image), &text(&tree.target)]) {
        return;
    }
    let outcome = std::panic::catch_unwind(|| {
        let at = |name: &str| mtime(&tree.target.join(name));
        let before = at(".");
        let first = tree.restored(&["--verify"]);
        assert!(first.stderr.contains("they got the nearest time that it can: "), "{first:?}");
        assert_eq!((at("2040"), at("1970"), at("now")), (0x7fff_ffff, 1, 1_700_000_000));
        assert_eq!(at("."), before);
        for more in [&["--json", "--dry-run"][..], &["--json"], &["--json", "--overwrite", "if-changed"]] {
            let ran = tree.restored(more);
            let summary = ran.objects().pop().unwrap();
            let of = |name: &str| summary[name].as_u64().unwrap();
            assert_eq!((of("unchanged"), of("files"), of("left")), (4, 0, 0), "{more:?} {ran:?}");
        }
        // A time that is really another is.
        set_mtime(&tree.target.join("2040"), 0x7fff_fff0);
        assert!(tree.restore(&[]).code == 1);
    });
    _ = Command::new("umount").arg(&tree.target).output();
    outcome.unwrap();
}

#[test]
fn the_target_directory_itself_is_compared_like_any_other() {
    let tree = Tree::new(|source| {
        fs::write(source.join("one"), "1").unwrap();
        fs::set_permissions(source, Permissions::from_mode(0o750)).unwrap();
        set_mtime(source, 1_000_000_000);
    });
    fs::create_dir(&tree.target).unwrap();
    fs::set_permissions(&tree.target, Permissions::from_mode(0o711)).unwrap();
    let value = b"x";
    rustix::fs::setxattr(&tree.target, "user.extra", value, rustix::fs::XattrFlags::empty()).unwrap();
    let has = || rustix::fs::getxattr(&tree.target, "user.extra", &mut [0; 8]).is_ok();
    let said = |ran: &crate::sandbox::Ran| {
        ran.stderr.contains("the target directory differs") && ran.stderr.contains("mode, xattrs")
    };
    let refused = tree.restored(&[]);
    assert!(said(&refused) && has(), "{refused:?}");
    // A part of it says nothing of the whole.
    assert!(!said(&tree.restored(&["--include", "one"])));
    let changed = tree.restored(&["--overwrite", "if-changed", "--verify"]);
    assert!(!said(&changed) && !has(), "{changed:?}");
    let there = fs::metadata(&tree.target).unwrap();
    assert_eq!((there.mode() & 0o7777, there.mtime()), (0o750, 1_000_000_000));
    assert!(!said(&tree.restored(&[])));
    // A whole snapshot says nothing of the directory above its sources.
    fs::create_dir(tree.sandbox.path("all")).unwrap();
    fs::set_permissions(tree.sandbox.path("all"), Permissions::from_mode(0o711)).unwrap();
    tree.sandbox.ok(["restore", "latest", "--to", "all", "--overwrite", "if-changed"]);
    assert_eq!(fs::metadata(tree.sandbox.path("all")).unwrap().mode() & 0o7777, 0o711);
}

#[test]
fn a_name_that_the_snapshot_does_not_link_is_not_touched() {
    let tree = Tree::new(|source| {
        fs::write(source.join("a"), "shared").unwrap();
        fs::hard_link(source.join("a"), source.join("b")).unwrap();
    });
    tree.restored(&[]);
    let at = |name: &str| tree.target.join(name);
    // As many names as in the snapshot, and another one of them.
    fs::remove_file(at("b")).unwrap();
    fs::hard_link(at("a"), tree.sandbox.path("mine")).unwrap();
    fs::set_permissions(at("a"), Permissions::from_mode(0o600)).unwrap();
    let ctime = |path: &Path| fs::metadata(path).map(|m| (m.mode() & 0o7777, m.ctime(), m.ctime_nsec())).unwrap();
    tree.restored(&["--overwrite", "if-changed"]);
    assert_eq!(ctime(&tree.sandbox.path("mine")).0, 0o600);
    assert_eq!(fs::metadata(tree.sandbox.path("mine")).unwrap().nlink(), 1);
    assert_eq!(fs::metadata(at("a")).unwrap().ino(), fs::metadata(at("b")).unwrap().ino());
    tree.is_equal();
}

#[test]
fn a_directory_gives_way_to_a_file_where_deleting_and_overwriting_are_both_asked_for() {
    let tree = Tree::new(|source| {
        fs::write(source.join("file"), "1").unwrap();
        symlink("file", source.join("link")).unwrap();
        fs::write(source.join("first"), "2").unwrap();
        fs::hard_link(source.join("first"), source.join("second")).unwrap();
    });
    let at = |name: &str| tree.target.join(name);
    let all = ["file", "link", "first", "second"];
    let make = || {
        for name in all {
            _ = fs::remove_file(at(name));
            fs::create_dir_all(at(name).join("d")).unwrap();
            fs::write(at(name).join("d/x"), "x").unwrap();
        }
    };
    for overwrite in ["if-changed", "always"] {
        make();
        let refused = tree.restore(&["--overwrite", overwrite]);
        assert!(refused.code == 1 && refused.stderr.contains("--delete"), "{refused:?}");
        assert!(all.iter().all(|name| at(name).join("d/x").exists()));
        let dry = tree.restored(&["--overwrite", overwrite, "--delete", "--dry-run"]);
        assert!(dry.stdout.contains("would be deleted") && at("file/d/x").exists(), "{dry:?}");
        // What is kept keeps the directory.
        let kept = tree.restore(&["--overwrite", overwrite, "--delete", "--exclude", "/file/d/x"]);
        assert!(kept.code == 1 && kept.stderr.contains("/file") && at("file/d/x").exists(), "{kept:?}");
        assert!(at("second").is_file());
        tree.restored(&["--overwrite", overwrite, "--delete", "--verify"]);
        assert_eq!(names(&tree.target), ["file", "first", "link", "second"]);
        tree.is_equal();
    }
    make();
    let refused = tree.restore(&["--delete"]);
    assert!(refused.code == 1 && at("file/d/x").exists(), "{refused:?}");
}

#[test]
fn an_absolute_link_is_followed_as_the_live_system_sees_it() {
    let sandbox = Sandbox::new();
    sandbox.write("home/me/file", "1");
    let source = sandbox.path("home/me");
    sandbox.ok(["init"]);
    sandbox.ok(["backup", &text(&source), "--as", "/home/me"]);
    let root = sandbox.path("root");
    let link = |to: &Path| {
        _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("data/home/me")).unwrap();
        symlink(to, root.join("home")).unwrap();
    };
    // As a copy of a system has it: here it leads elsewhere, whatever it would mean once that is started.
    link(Path::new("/data/home"));
    let ran = sandbox.run(["restore", "latest", "--to", "root", "--overwrite", "if-changed"]);
    assert!(ran.code == 1 && ran.stderr.contains("leads outside the target"), "{ran:?}");
    assert!(names(&root.join("data/home/me")).is_empty() && !Path::new("/data/home/me").exists());
    // The live system sees this one in the target.
    link(&fs::canonicalize(&root).unwrap().join("data/home"));
    let ran = sandbox.ok(["restore", "latest", "--to", "root", "--overwrite", "if-changed"]);
    assert!(ran.stderr.contains("a link is followed"), "{ran:?}");
    assert_eq!(names(&root.join("data/home/me")), ["file"]);
    // Not one that leaves it on its way.
    link(&fs::canonicalize(&root).unwrap().join("../elsewhere"));
    fs::create_dir_all(sandbox.path("elsewhere/me")).unwrap();
    let ran = sandbox.run(["restore", "latest", "--to", "root", "--overwrite", "if-changed"]);
    assert!(ran.code == 1 && names(&sandbox.path("elsewhere/me")).is_empty(), "{ran:?}");
}

#[test]
fn delete_keeps_what_the_program_writes_anew_meanwhile() {
    let sandbox = Sandbox::new();
    sandbox.write("home/.config/larder/before", "x");
    sandbox.ok(["init"]);
    sandbox.write("home/me/file", "1");
    // The configuration is part of the snapshot, so that its folder is gone through.
    sandbox.ok(["backup", "home"]);
    let config = sandbox.path("home/.config/larder");
    let was = names(&config);
    sandbox.write("home/.config/larder/later", "written after the backup");
    sandbox.write("home/more", "x");
    let place = format!("latest:{}", text(&sandbox.home()));
    sandbox.ok(["restore", &place, "--to", "home", "--delete", "--overwrite", "if-changed"]);
    assert!(!sandbox.path("home/more").exists());
    assert!(names(&config).len() > was.len() && config.join("later").exists(), "{:?}", names(&config));
    sandbox.ok(["snapshots"]);
}

#[test]
fn flags_that_a_snapshot_does_not_know_stay() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format-1");
    let sandbox = Sandbox::new();
    let store = sandbox.path("store");
    assert!(Command::new("cp").arg("-r").args([fixture.join("store"), store.clone()]).status().unwrap().success());
    for area in larder::storage::Area::ALL {
        fs::create_dir_all(store.join(area.folder())).unwrap();
    }
    fs::copy(fixture.join("key"), sandbox.path("key")).unwrap();
    fs::set_permissions(sandbox.path("key"), Permissions::from_mode(0o600)).unwrap();
    let restore = |more: &[&str]| {
        let words =
            ["--store", "store", "--key-file", "key", "restore", "latest:/golden", "--to", "out", "--owners", "skip"];
        sandbox.run(words.iter().chain(more))
    };
    assert_eq!(restore(&[]).code, 0);
    let at = |name: &str| text(&sandbox.path(&format!("out/{name}")));
    if !crate::lacks::has_root("only root sets the flag of immutable files") || !tool(&["chattr", "+i", &at("text")]) {
        return;
    }
    let flags = |name: &str| {
        let output = Command::new("lsattr").args(["-d", &at(name)]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap_or_default().contains('i')
    };
    assert!(tool(&["chattr", "+i", &at("sub")]));
    let ran = restore(&["--overwrite", "if-changed"]);
    let stay = (flags("text"), flags("sub"));
    _ = Command::new("chattr").args(["-i", &at("text"), &at("sub")]).output();
    assert_eq!((ran.code, stay), (0, (true, true)), "{ran:?}");
}

#[test]
fn an_empty_file_of_somebody_that_is_named_like_a_journal_stays() {
    let tree = Tree::new(|source| fs::write(source.join("f"), "f").unwrap());
    fs::create_dir_all(&tree.target).unwrap();
    let mine = tree.target.join(".larder-notes.restore");
    fs::write(&mine, "").unwrap();
    tree.sandbox.ok([
        "restore",
        &format!("latest:{}", text(&tree.source)),
        "--to",
        "target",
        "--overwrite",
        "if-changed",
    ]);
    assert!(mine.exists());
    assert_eq!(fs::read(tree.target.join("f")).unwrap(), b"f");
}
