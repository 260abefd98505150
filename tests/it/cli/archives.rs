//! Directories as tar archives: `cat` and its alias `dump`.

use crate::roundtrip::{describe, make_tree, noise, sh};
use crate::sandbox::{Ran, Sandbox};
use crate::terminal::Terminal;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

fn unpack(archive: &[u8], target: &Path) -> Ran {
    fs::create_dir(target).unwrap();
    let mut command = Command::new("tar");
    let words = ["--xattrs", "--xattrs-include=*", "--numeric-owner", "--warning=no-timestamp", "-xpf", "-", "-C"];
    command.args(words).arg(target);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may end before it has read everything.
    _ = child.stdin.take().unwrap().write_all(archive);
    Ran::new(child.wait_with_output().unwrap())
}

/// Without what an archive cannot say: holes.
fn told(at: &Path) -> Vec<String> {
    let text = describe(at);
    let lines = text.lines().filter(|line| !line.ends_with(" sparse") && !line.ends_with(" dense"));
    lines.map(str::to_string).collect()
}

#[test]
fn a_directory_is_an_archive_that_tar_unpacks_to_the_same() {
    let sandbox = Sandbox::new();
    let tree = sandbox.path("tree");
    make_tree(&tree);
    // Gigabytes of zeros say no more than megabytes.
    fs::remove_file(tree.join("sparse/big")).unwrap();
    // A folder that only its owner enters, and one that nobody writes into.
    fs::create_dir(tree.join("closed")).unwrap();
    fs::write(tree.join("closed/in"), "in").unwrap();
    fs::set_permissions(tree.join("closed"), fs::Permissions::from_mode(0o500)).unwrap();
    sh("touch -d '2002-02-02 02:02:02.000000002' closed .", &tree);
    sandbox.ok(["backup", "tree"]);
    let place = format!("latest:{}", tree.display());
    let ran = sandbox.ok(["cat", &place]);
    let socket = tree.join("socket");
    assert!(ran.stderr.contains("socket") && ran.stderr.contains("left out"), "{}", ran.stderr);
    let times = fs::metadata(&tree).unwrap();
    fs::remove_file(&socket).unwrap();
    sh(&format!("touch -d @{}.{:09} .", times.mtime(), times.mtime_nsec()), &tree);
    let target = sandbox.path("unpacked");
    let unpacked = unpack(&ran.bytes, &target);
    assert_eq!((unpacked.code, unpacked.stderr.as_str()), (0, ""));
    let (before, after) = (told(&tree), told(&target));
    let differing: Vec<_> = before.iter().zip(&after).filter(|(a, b)| a != b).take(10).collect();
    assert!(before == after, "{} and {} lines; first differences: {differing:#?}", before.len(), after.len());
    let times = |path: &Path| fs::metadata(path).map(|meta| (meta.mtime(), meta.mtime_nsec(), meta.mode())).unwrap();
    assert_eq!(times(&tree), times(&target), "the directory itself");

    // The alias, a part, and the whole.
    assert!(sandbox.ok(["dump", &place]).bytes == ran.bytes);
    let part = sandbox.path("part");
    assert_eq!(unpack(&sandbox.ok(["cat", &format!("{place}/links")]).bytes, &part).code, 0);
    assert_eq!(fs::metadata(part.join("one")).unwrap().ino(), fs::metadata(part.join("two")).unwrap().ino());
    let whole = sandbox.path("whole");
    assert_eq!(unpack(&sandbox.ok(["dump", "latest:/"]).bytes, &whole).code, 0);
    assert_eq!(fs::read(whole.join(tree.strip_prefix("/").unwrap()).join("links/one")).unwrap(), b"linked");
}

#[test]
fn acls_come_back_with_the_option_of_gnu_tar_for_them() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/a", "a");
    let set = "setfacl -m u:1002:rwx,g:1003:--x a . && setfacl -d -m u:1002:r-x,g:1004:rwx .";
    if !sh(set, &sandbox.path("tree")) {
        return crate::lacks::lacks("acls", "setfacl failed");
    }
    sandbox.ok(["backup", "tree"]);
    let tree = sandbox.path("tree");
    let archive = sandbox.write("tar", sandbox.ok(["cat", &format!("latest:{}", tree.display())]).bytes);
    let acls = |at: &Path| {
        let output = Command::new("getfacl").args(["-n", "-R", "."]).current_dir(at).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let expected = acls(&tree);
    assert!(expected.contains("default:user:1002:r-x") && expected.contains("user:1002:rwx"), "{expected}");
    // Without the attributes, with them, and both.
    for options in ["--acls", "--xattrs --xattrs-include='*'", "--acls --xattrs --xattrs-include='*'"] {
        let target = sandbox.path(&options.replace(|c: char| !c.is_ascii_alphabetic(), "-"));
        fs::create_dir(&target).unwrap();
        assert!(sh(&format!("tar {options} -xpf {}", archive.display()), &target), "{options}");
        assert_eq!(acls(&target), expected, "{options}");
    }
}

#[test]
fn an_archive_goes_neither_to_a_terminal_nor_into_json() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "a");
    sandbox.ok(["backup", "source"]);
    let place = format!("latest:{}", sandbox.path("source").display());
    let (code, shown) = Terminal::start(sandbox.command(["cat", &place]), true).end();
    assert_eq!(code, 1, "{shown}");
    assert!(shown.contains("is a directory") && shown.contains("tar xf"), "{shown}");
    for words in [&["cat", "--json", &place][..], &["cat", &place, &place], &["cat", &format!("{place}/a"), &place]] {
        let ran = sandbox.run(words);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains("is a directory"), "{}", ran.stderr);
    }
    let mut child = sandbox.command(["cat", &place]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0), "a reader that goes early is no failure");
}

#[test]
fn a_damaged_store_gives_no_archive_that_looks_whole() {
    let sandbox = Sandbox::new();
    // Content that lies in packs, content that lies in the tree, and an entry behind.
    for (name, content) in [("big", noise(3_000_000, 21)), ("more/big", noise(3_000_000, 22)), ("small", vec![7])] {
        sandbox.write(&format!("source/{name}"), content);
    }
    sandbox.ok(["backup", "source"]);
    let place = format!("latest:{}", sandbox.path("source").display());
    let whole = sandbox.ok(["cat", &place]).bytes;
    assert_eq!(unpack(&whole, &sandbox.path("whole")).code, 0);
    let store = sandbox.home().join(".larder");
    let find = Command::new("find").arg(&store).args(["-path", "*packs/*", "-type", "f"]).output().unwrap();
    for (at, pack) in String::from_utf8(find.stdout).unwrap().lines().enumerate() {
        let good = fs::read(pack).unwrap();
        for part in [3, 6] {
            let mut bad = good.clone();
            bad[good.len() / 8 * part] ^= 1;
            fs::write(pack, &bad).unwrap();
            let ran = sandbox.run(["cat", &place]);
            assert_eq!(ran.code, 20, "{pack}: {}", ran.stderr);
            assert!(ran.stderr.contains("incomplete") && ran.stderr.contains("big"), "{}", ran.stderr);
            assert!(ran.bytes.len() < whole.len());
            assert_ne!(
                unpack(&ran.bytes, &sandbox.path(&format!("bad-{at}-{part}"))).code,
                0,
                "tar takes it for whole"
            );
        }
        // Gone at the beginning of a content: the archive ends between two entries, or with the header.
        fs::remove_file(pack).unwrap();
        let ran = sandbox.run(["cat", &place]);
        assert_eq!(ran.code, 20, "{pack}: {}", ran.stderr);
        assert_ne!(unpack(&ran.bytes, &sandbox.path(&format!("gone-{at}"))).code, 0, "tar takes it for whole");
        fs::write(pack, &good).unwrap();
    }
}
