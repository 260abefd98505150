//! Sources that are not what they seem: directories that cannot be listed, files that change while they are read,
//! unions of file systems, inode numbers and times that mean nothing.

use super::restoring::{can_mount, tool};
use crate::lacks;
use crate::sandbox::{Ran, Sandbox};
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

fn summary(ran: &Ran) -> Value {
    ran.objects().pop().expect("a summary")
}

fn of_type(ran: &Ran, kind: &str) -> Vec<Value> {
    ran.objects().into_iter().filter(|object| object["type"] == json!(kind)).collect()
}

fn ends_with(object: &Value, end: &str) -> bool {
    object["path"].as_str().is_some_and(|path| path.ends_with(end))
}

/// Somebody who may not read everything, in a sandbox that they may write to.
struct Somebody {
    program: PathBuf,
    sandbox: Sandbox,
}

impl Somebody {
    fn new() -> Somebody {
        let sandbox = Sandbox::new();
        let program = sandbox.path("larder");
        fs::copy(env!("CARGO_BIN_EXE_larder"), &program).unwrap();
        for path in [sandbox.path("."), sandbox.home()] {
            fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
        }
        Somebody { program, sandbox }
    }

    fn run(&self, words: &[&str]) -> Ran {
        let mut command = Command::new(&self.program);
        command.args(words).env_clear().env("HOME", self.sandbox.home()).current_dir(self.sandbox.path("."));
        if fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0) {
            command.uid(65534).gid(65534);
        }
        Ran::new(command.stdin(Stdio::null()).output().unwrap())
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_directory_that_could_not_be_listed_is_marked_named_and_not_called_empty() {
    let somebody = Somebody::new();
    let sandbox = &somebody.sandbox;
    for name in ["a/x", "locked/in/deep", "names-only/x", "z/x"] {
        sandbox.write(&format!("source/{name}"), "content");
    }
    let [locked, names_only] = ["source/locked", "source/names-only"].map(|name| sandbox.path(name));
    let whole = somebody.run(&["backup", "source"]);
    assert_eq!(whole.code, 0, "{whole:?}");
    chmod(&locked, 0o000);
    chmod(&names_only, 0o444);
    for round in 0..2 {
        let ran = somebody.run(&["backup", "source", "--json"]);
        assert_eq!(ran.code, 3, "{round}: {ran:?}");
        let problems = of_type(&ran, "problem");
        assert!(problems.iter().any(|problem| ends_with(problem, "source/locked")), "{problems:?}");
    }
    let long = somebody.run(&["ls", "-r", "-l", "latest"]).stdout;
    let flawed: Vec<_> = long.lines().filter(|line| line.ends_with("(unreadable)")).collect();
    assert!(flawed.len() == 2 && flawed[0].contains("/source/locked") && flawed[1].contains("names-only"), "{long}");
    let entries = somebody.run(&["ls", "-r", "--json", "latest"]).objects();
    let marked: Vec<_> = entries.iter().filter(|entry| entry["unreadable"] == json!(true)).collect();
    assert_eq!(marked.len(), 2, "{marked:?}");

    // Restoring names them, with all else in place.
    let ran = somebody.run(&["restore", "latest", "--to", "target"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stderr.contains("source/locked") && ran.stderr.contains("could not be listed"), "{}", ran.stderr);
    // What the newer snapshot lacks there was not removed.
    let listed = somebody.run(&["snapshots", "--json"]).objects();
    let [old, new] = [0, 2].map(|at| listed[at]["id"].as_str().unwrap().to_string());
    for pair in [[&old, &new], [&new, &old]] {
        let ran = somebody.run(&["diff", pair[0], pair[1], "--no-metadata", "--json"]);
        assert_eq!((ran.code, of_type(&ran, "change").len()), (3, 0), "{ran:?}");
        assert_eq!(summary(&ran)["unreadable"], json!(2), "{ran:?}");
    }
    let source = sandbox.path("source");
    let now = somebody.run(&["diff", &old, source.to_str().unwrap(), "--no-metadata", "--json"]);
    assert_eq!((now.code, of_type(&now, "change").len()), (3, 0), "{now:?}");
    // And once they can be listed they are as all others.
    chmod(&locked, 0o755);
    chmod(&names_only, 0o755);
    assert_eq!(somebody.run(&["backup", "source"]).code, 0);
    let ran = somebody.run(&["diff", &old, "latest", "--no-metadata", "--json"]);
    assert_eq!((ran.code, of_type(&ran, "change").len()), (0, 0), "{ran:?}");
}

#[test]
fn a_list_of_which_nothing_can_be_read_makes_no_snapshot() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "a");
    sandbox.ok(["backup", "source"]);
    sandbox.write("list", "gone\nsource/none\n");
    for dry in [&[][..], &["-n"]] {
        let ran = sandbox.run(["backup", "--files-from", "list"].iter().chain(dry));
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains("source/none") && ran.stderr.contains("no snapshot was made"), "{}", ran.stderr);
    }
    assert_eq!(sandbox.ok(["snapshots", "--json"]).objects().len(), 1);
    assert_eq!(sandbox.ok(["cat", &format!("latest:{}", sandbox.path("source/a").display())]).stdout, "a");
    let somebody = Somebody::new();
    chmod(&somebody.sandbox.write("secret", "x"), 0o000);
    let folder = somebody.sandbox.path("folder");
    fs::create_dir(&folder).unwrap();
    chmod(&folder, 0o000);
    let ran = somebody.run(&["backup", "secret", "folder"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(somebody.run(&["snapshots", "--json"]).objects().is_empty());
}

#[test]
fn files_that_change_while_they_are_read_are_named_everywhere() {
    let sandbox = Sandbox::new();
    let path = sandbox.write("source/moving", vec![7; 30_000_000]);
    sandbox.write("source/still", "x");
    let stop = AtomicBool::new(false);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let [text, verbose, objects] = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut at = 0;
            while !stop.load(Relaxed) {
                at += 1;
                file.write_all_at(&[at as u8], at % 30_000_000).unwrap();
            }
        });
        let rans = [&["backup", "source"][..], &["backup", "source", "-v"], &["backup", "source", "--json"]];
        let rans = rans.map(|words| sandbox.run(words));
        stop.store(true, Relaxed);
        rans
    });
    for ran in [&text, &verbose] {
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stderr.contains("source/moving: changed while it was read"), "{}", ran.stderr);
    }
    let changed = of_type(&objects, "changed");
    assert!(changed.len() == 1 && ends_with(&changed[0], "source/moving"), "{changed:?}");
    assert_eq!(summary(&objects)["changed_while_read"], json!(1));
    let snapshot = sandbox.ok(["snapshots", "--last", "1", "--json"]).objects().remove(0);
    assert_eq!((&snapshot["changed_while_read"], &snapshot["errors"]), (&json!(1), &json!(0)));
    assert_eq!(snapshot["problems"][0]["kind"], json!("changed"));
    assert!(ends_with(&snapshot["problems"][0], "source/moving"), "{snapshot}");
    let listed = sandbox.ok(["snapshots", "-v", "--last", "1"]).stdout;
    assert!(
        listed.contains("1 changed while read") && listed.contains("moving: changed while it was read"),
        "{listed}"
    );
    // It is read again although nothing changes any more.
    let next = summary(&sandbox.ok(["backup", "source", "--json"]));
    assert!(next["bytes_read"].as_u64().unwrap() >= 30_000_000, "{next}");
}

fn set_mtime(path: &Path, time: SystemTime) {
    fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn inode_numbers_and_ctimes_that_mean_nothing_can_be_ignored() {
    let sandbox = Sandbox::new();
    let path = sandbox.write("source/file", vec![5; 300_000]);
    let time = SystemTime::now() - Duration::from_secs(500);
    set_mtime(&path, time);
    std::thread::sleep(Duration::from_millis(2100));
    sandbox.ok(["backup", "source"]);
    let unchanged = |words: &[&str]| {
        let ran = sandbox.ok(["backup", "source", "--json", "-n"].iter().chain(words));
        (summary(&ran)["files_unchanged"].as_u64().unwrap(), summary(&ran)["bytes_read"].as_u64().unwrap())
    };
    assert_eq!(unchanged(&[]), (1, 0));
    // Another mount of a file system that makes up both.
    let other = sandbox.write("other", vec![5; 300_000]);
    set_mtime(&other, time);
    fs::rename(&other, &path).unwrap();
    for words in [&[][..], &["--ignore-inode"], &["--ignore-ctime"]] {
        assert_eq!(unchanged(words), (0, 300_000), "{words:?}");
    }
    assert_eq!(unchanged(&["--ignore-inode", "--ignore-ctime"]), (1, 0));
    assert_eq!(unchanged(&["--ignore-inode", "--ignore-ctime", "--force"]), (0, 300_000));
    // Size and mtime still count.
    fs::File::options().append(true).open(&path).unwrap().set_len(300_001).unwrap();
    set_mtime(&path, time);
    assert_eq!(unchanged(&["--ignore-inode", "--ignore-ctime"]), (0, 300_001));
    sandbox.ok(["backup", "source", "--ignore-inode", "--ignore-ctime"]);
    let snapshot = sandbox.ok(["snapshots", "--last", "1", "--json"]).objects().remove(0);
    assert_eq!(snapshot["options"], json!(["--ignore-inode", "--ignore-ctime"]));
    // Attributes are looked at all the same: the ctime would have told of them.
    if tool(&["setfacl", "-m", "u:12345:r", path.to_str().unwrap()]) {
        sandbox.ok(["backup", "source", "--ignore-ctime"]);
        let entry = sandbox.ok(["ls", "-r", "--json", "latest"]).objects().pop().unwrap();
        assert_eq!(entry["xattrs"][0]["name"], json!("system.posix_acl_access"), "{entry}");
        let directory = sandbox.path("source");
        let words = ["diff", "latest", directory.to_str().unwrap(), "--ignore-inode", "--ignore-ctime"];
        let ran = sandbox.ok(words);
        assert!(ran.stderr.contains("no differences"), "{ran:?}");
    }
}

#[test]
fn a_time_in_the_future_is_no_reason_to_read_a_file_again() {
    let sandbox = Sandbox::new();
    let path = sandbox.write("source/file", vec![5; 300_000]);
    set_mtime(&path, SystemTime::now() + Duration::from_secs(400 * 86_400));
    std::thread::sleep(Duration::from_millis(2100));
    sandbox.ok(["backup", "source"]);
    // An option that trusts more reads no more.
    let all = [&[][..], &["--ignore-inode"], &["--ignore-ctime"], &["--ignore-inode", "--ignore-ctime"]];
    let again = |words: &[&str]| summary(&sandbox.ok(["backup", "source", "--json"].iter().chain(words)));
    for words in all {
        let next = again(words);
        assert_eq!((&next["files_unchanged"], &next["bytes_read"]), (&json!(1), &json!(0)), "{words:?}: {next}");
    }
    // With an old ctime only: what was written a moment ago may be written again in the same grain of the clock.
    for words in all {
        fs::write(&path, vec![6; 300_000]).unwrap();
        set_mtime(&path, SystemTime::now() + Duration::from_secs(400 * 86_400));
        sandbox.ok(["backup", "source"]);
        let next = again(words);
        assert_eq!(next["files_unchanged"], json!(0), "{words:?}: {next}");
    }
}

#[test]
fn attributes_of_sockets_are_stored_as_those_of_other_kinds() {
    let sandbox = Sandbox::new();
    sandbox.write("source/file", "x");
    let _socket = UnixListener::bind(sandbox.path("source/socket")).unwrap();
    assert!(Command::new("mkfifo").arg(sandbox.path("source/fifo")).status().unwrap().success());
    for name in ["file", "socket", "fifo"] {
        let path = sandbox.path("source").join(name);
        if !tool(&["setfacl", "-m", "u:12345:rw", path.to_str().unwrap()]) {
            return;
        }
    }
    sandbox.ok(["backup", "source"]);
    let entries = sandbox.ok(["ls", "-r", "--json", "latest"]).objects();
    for name in ["file", "socket", "fifo"] {
        let entry = entries.iter().find(|entry| ends_with(entry, &format!("source/{name}"))).unwrap();
        assert_eq!(entry["xattrs"][0]["name"], json!("system.posix_acl_access"), "{entry}");
    }
}

/// Runs a shell script with mounts of its own; `None` where this machine does not let it.
fn with_mounts(sandbox: &Sandbox, script: &str) -> Option<Ran> {
    if !can_mount() || !lacks::has_tools(&["bindfs", "python3"]) {
        return None;
    }
    // What opens is served: where the module lacks, the device is there and does not open.
    if let Err(error) = fs::File::options().read(true).write(true).open("/dev/fuse") {
        lacks::lacks("fuse", format!("/dev/fuse: {error}"));
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-euc", script]);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", sandbox.home());
    command.env("LARDER", env!("CARGO_BIN_EXE_larder")).current_dir(sandbox.path("."));
    Some(Ran::new(command.stdin(Stdio::null()).output().unwrap()))
}

#[test]
fn files_of_two_disks_behind_one_mount_are_not_taken_for_one() {
    // Two file systems made alike number their files alike; behind one mount they have one device number.
    let sandbox = Sandbox::new();
    let script = "
        mkdir disks union
        for disk in one two; do
            mkdir disks/$disk
            mount -t tmpfs none disks/$disk
            for name in a b c; do echo \"$name of $disk\" > disks/$disk/$name; ln disks/$disk/$name disks/$disk/$name-2; done
        done
        bindfs disks union
        stat -c '%d %i' union/*/* | sort | uniq -c | sort -n | tail -n 1 >&2
        $LARDER backup union
        $LARDER check --read-data
        $LARDER restore latest:$PWD/union --to restored
        for disk in one two; do
            for name in a b c; do
                test \"$(cat restored/$disk/$name)\" = \"$name of $disk\"
                test \"$(cat restored/$disk/$name-2)\" = \"$name of $disk\"
                test restored/$disk/$name -ef restored/$disk/$name-2
            done
        done
        umount union";
    let Some(ran) = with_mounts(&sandbox, script) else { return };
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.trim_start().starts_with('4'), "the numbers of the two do meet: {}", ran.stderr);
}

#[test]
fn attributes_are_asked_of_each_file_of_a_union() {
    // The first disk has no attributes at all; behind one mount with it lies one that has.
    let sandbox = Sandbox::new();
    let script = "
        mkdir disks union disks/one disks/two
        mount -t ramfs none disks/one
        mount -t tmpfs none disks/two
        echo x > disks/one/file; echo x > disks/two/file; echo x > disks/two/other
        python3 -c 'import os; os.setxattr(\"disks/two/file\", \"trusted.note\", b\"kept\")'
        ! python3 -c 'import os; os.setxattr(\"disks/one/file\", \"trusted.note\", b\"kept\")' 2> /dev/null
        bindfs disks union
        $LARDER backup union --threads 1
        $LARDER ls -r --json latest
        umount union";
    let Some(ran) = with_mounts(&sandbox, script) else { return };
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("trusted.note"), "{ran:?}");
}

#[test]
fn a_store_as_the_source_and_sources_that_rules_leave_out_make_no_snapshot() {
    let sandbox = Sandbox::new();
    sandbox.write("s/keep.log", "1");
    sandbox.ok(["backup", "s"]);
    let before = sandbox.ok(["snapshots", "--json"]).stdout;
    let listed = sandbox.path("s/keep.log");
    std::fs::write(sandbox.path("list"), format!("{}\n", listed.display())).unwrap();
    let store = sandbox.path("home/.larder").display().to_string();
    for words in [vec!["backup", "-e", "*.log", "--files-from", "list"], vec!["backup", &store]] {
        let ran = sandbox.run(&words);
        assert!(ran.code == 1 && ran.stderr.contains("no snapshot was made"), "{words:?}: {ran:?}");
    }
    assert_eq!(sandbox.ok(["snapshots", "--json"]).stdout, before);
    // A source that is empty was read all the same.
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    let ran = sandbox.run(["backup", "empty", "nope"]);
    assert_eq!(ran.code, 3, "{ran:?}");
}
