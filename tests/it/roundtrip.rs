//! A tree that holds every kind of entry comes back equal, as root and as a user, compared by `tests/describe.sh`.

use crate::sandbox::Sandbox;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs::{self, File, Permissions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

pub fn sh(script: &str, folder: &Path) -> bool {
    Command::new("bash").arg("-c").arg(script).current_dir(folder).status().unwrap().success()
}

/// A part of the tree, which is not there where the machine lacks what it needs.
fn can(need: &str, script: &str, folder: &Path) {
    if !sh(script, folder) {
        crate::lacks::lacks(need, script);
    }
}

pub fn is_root() -> bool {
    String::from_utf8(Command::new("id").arg("-u").output().unwrap().stdout).unwrap().trim() == "0"
}

/// Pseudo-random bytes that neither compress nor repeat.
pub fn noise(len: usize, mut seed: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        out.extend_from_slice(&seed.to_le_bytes());
    }
    out.truncate(len);
    out
}

fn names(at: &Path) {
    fs::create_dir(at).unwrap();
    let hostile: [&[u8]; 8] =
        [b"a b", b"new\nline", b"tab\t", b"\x1b[31mred", b"\xff\xfe", b"-rf", b"...", "ünï".as_bytes()];
    for (i, name) in hostile.iter().enumerate() {
        fs::write(at.join(std::ffi::OsStr::from_bytes(name)), format!("{i}")).unwrap();
    }
    fs::write(at.join("x".repeat(255)), "long").unwrap();
}

fn contents(at: &Path) {
    fs::create_dir(at).unwrap();
    const KIB: usize = 1 << 10;
    let sizes =
        [0, 1, 127, 128, 129, 4095, 4096, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 256 * KIB, 1024 * KIB, 1024 * KIB + 1];
    for size in sizes.into_iter().chain([2048 * KIB - 1, 2048 * KIB, 2048 * KIB + 1, 7_000_001]) {
        fs::write(at.join(format!("noise-{size}")), noise(size, 7 + size as u64)).unwrap();
        fs::write(at.join(format!("zeros-{size}")), vec![0; size]).unwrap();
        let text = b"All work and no play makes a backup dull. ".repeat(size / 42 + 1);
        fs::write(at.join(format!("text-{size}")), &text[..size]).unwrap();
    }
    let repeated = noise(3 << 20, 99);
    fs::write(at.join("twice-a"), [&repeated[..], &repeated[..]].concat()).unwrap();
    fs::write(at.join("twice-b"), &repeated).unwrap();
}

fn sparse(at: &Path) {
    fs::create_dir(at).unwrap();
    File::create(at.join("all-hole")).unwrap().set_len(5 << 20).unwrap();
    let mut middle = File::create(at.join("islands")).unwrap();
    for (offset, len) in [(0u64, 5000usize), (3 << 20, 2_500_000), (9 << 20, 1)] {
        middle.seek(SeekFrom::Start(offset)).unwrap();
        middle.write_all(&noise(len, offset + 1)).unwrap();
    }
    middle.set_len(12 << 20).unwrap();
    File::create(at.join("big")).unwrap().set_len(5 << 30).unwrap();
    let mut end = fs::OpenOptions::new().write(true).open(at.join("big")).unwrap();
    end.seek(SeekFrom::Start((4 << 30) + 17)).unwrap();
    end.write_all(b"beyond four GiB").unwrap();
}

/// A tree of every kind. What only root may make is made by root.
pub fn make_tree(at: &Path) {
    fs::create_dir(at).unwrap();
    names(&at.join("names"));
    contents(&at.join("contents"));
    sparse(&at.join("sparse"));
    fs::create_dir_all(at.join("empty/directory")).unwrap();
    let mut deep = at.join("deep");
    for i in 0..60 {
        deep.push(format!("level-{i:02}-{}", "d".repeat(20)));
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), "here").unwrap();
    fs::create_dir(at.join("links")).unwrap();
    fs::write(at.join("links/one"), "linked").unwrap();
    fs::hard_link(at.join("links/one"), at.join("links/two")).unwrap();
    fs::hard_link(at.join("links/one"), at.join("empty/three")).unwrap();
    fs::write(at.join("links/big-one"), noise(3 << 20, 5)).unwrap();
    fs::hard_link(at.join("links/big-one"), at.join("links/big-two")).unwrap();
    symlink("../contents/noise-1", at.join("links/to-file")).unwrap();
    symlink("nowhere", at.join("links/dangling")).unwrap();
    symlink("loop", at.join("links/loop")).unwrap();
    symlink("x".repeat(4000), at.join("links/long")).unwrap();
    for (name, kind) in [("fifo", FileType::Fifo), ("socket", FileType::Socket)] {
        mknodat(CWD, at.join(name), kind, Mode::from_raw_mode(0o644), 0).unwrap();
    }
    for (name, mode) in [("setuid", 0o4755), ("setgid", 0o2755), ("none", 0o000), ("write-only", 0o200)] {
        fs::write(at.join(name), name).unwrap();
        fs::set_permissions(at.join(name), Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(at.join("sticky")).unwrap();
    fs::set_permissions(at.join("sticky"), Permissions::from_mode(0o1777)).unwrap();
    let attributes = "setfattr -n user.note -v hello contents/noise-1 && setfattr -n user.empty contents/noise-1 \
                      && setfattr -n user.dir -v x empty && getfattr -d empty > /dev/null";
    can("xattrs", attributes, at);
    let acls = "setfacl -m u:12345:rwx contents/text-4096 && setfacl -d -m g:54321:rx empty/directory \
                && getfacl empty > /dev/null";
    can("acls", acls, at);
    if is_root() {
        can("devices", "mknod null c 1 3 && mknod disk b 7 200", at);
        can("capabilities", "setcap cap_net_raw+ep contents/text-4095", at);
        sh("chown 12345:54321 contents/noise-127; chown -h 99:98 links/dangling", at);
        sh("chown 4000000000:4000000001 contents/noise-128", at);
    } else {
        fs::remove_file(at.join("none")).unwrap();
        fs::remove_file(at.join("write-only")).unwrap();
    }
    let times = [
        ("contents/noise-4096", 1, 1),
        ("contents/text-1", 4_000_000_000, 999_999_999),
        ("contents/zeros-1", 86_400, 0),
    ];
    for (name, s, ns) in times {
        let time = UNIX_EPOCH + Duration::new(s, ns);
        fs::OpenOptions::new().write(true).open(at.join(name)).unwrap().set_modified(time).unwrap();
    }
    sh(
        "touch -h -d '1955-11-05 06:15:00.25' links/loop names/-rf 2>/dev/null || touch -h -d '1955-11-05 06:15:00.25' links/loop",
        at,
    );
    sh("touch -d '2001-02-03 04:05:06.789' deep empty/directory links sticky", at);
}

pub fn describe(at: &Path) -> String {
    let root = std::env::var_os("LARDER_TEST_ROOT").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    let script = Path::new(&root).join("tests/describe.sh");
    let output = Command::new("bash").arg(script).arg(at).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn assert_equal_trees(a: &Path, b: &Path) {
    let (a, b) = (describe(a), describe(b));
    let differing: Vec<_> = a.lines().zip(b.lines()).filter(|(a, b)| a != b).take(10).collect();
    assert!(a == b, "{} and {} lines; first differences: {differing:#?}", a.lines().count(), b.lines().count());
}

fn round_trip(larder: &Sandbox) {
    let tree = larder.path("tree");
    make_tree(&tree);
    larder.ok(["init"]);
    larder.ok(["backup", tree.to_str().unwrap()]);
    let target = larder.path("restored");
    larder.ok(["restore", &format!("latest:{}", tree.display()), "--to", target.to_str().unwrap()]);
    assert_equal_trees(&tree, &target);

    // Unchanged: everything is taken over, and the snapshot restores all the same.
    larder.ok(["backup", tree.to_str().unwrap()]);
    let again = larder.path("again");
    larder.ok(["restore", &format!("latest:{}", tree.display()), "--to", again.to_str().unwrap()]);
    assert_equal_trees(&tree, &again);
    larder.ok(["check", "--read-data"]);
}

#[test]
fn a_tree_of_every_kind_comes_back_equal() {
    round_trip(&Sandbox::new());
}

#[test]
fn a_tree_of_every_kind_comes_back_equal_for_a_user() {
    if !is_root() {
        return crate::lacks::not_applicable("the other test ran as a user already");
    }
    // Run this very test as nobody: everything it makes and reads is then a user's.
    let test = std::env::current_exe().unwrap();
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), Permissions::from_mode(0o777)).unwrap();
    let copy = home.path().join("it");
    fs::copy(test, &copy).unwrap();
    let binary = home.path().join("larder");
    fs::copy(env!("CARGO_BIN_EXE_larder"), &binary).unwrap();
    let scripts = home.path().join("tests");
    fs::create_dir(&scripts).unwrap();
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/describe.sh"), scripts.join("describe.sh")).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&copy)
        .args(["--exact", "roundtrip::a_tree_of_every_kind_comes_back_equal", "--nocapture"])
        .env("LARDER_TEST_BINARY", &binary)
        .env("LARDER_TEST_ROOT", home.path())
        .env("TMPDIR", home.path())
        .current_dir(home.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}
