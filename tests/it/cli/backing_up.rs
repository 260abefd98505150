//! Options of a backup, its summary, its exit codes, and being interrupted.

use crate::sandbox::{Ran, Sandbox};
use crate::terminal::Terminal;
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn listed(sandbox: &Sandbox) -> Vec<String> {
    let objects = sandbox.ok(["ls", "-r", "--json", "latest"]).objects();
    objects.iter().map(|o| o["path"].as_str().unwrap().to_string()).collect()
}

fn summary(ran: &Ran) -> Value {
    ran.objects().pop().expect("a summary")
}

pub fn feed(sandbox: &Sandbox, words: &[&str], input: &[u8]) -> Ran {
    let mut command = sandbox.command(words);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    Ran::new(child.wait_with_output().unwrap())
}

#[test]
fn the_summary_counts_what_is_new_changed_and_unchanged() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "a");
    sandbox.write("source/b", vec![1; 100_000]);
    let first = summary(&sandbox.ok(["backup", "--json", "source"]));
    assert_eq!((&first["files_new"], &first["files"], &first["parent"]), (&json!(2), &json!(2), &json!(null)));
    assert_eq!(first["bytes"], json!(100_001));
    assert!(first["stages"].as_array().is_some_and(|stages| !stages.is_empty()), "the stages measure themselves");
    // Times younger than two seconds before the parent's start are never trusted.
    let old = fs::File::open(sandbox.path("source/b")).unwrap();
    old.set_modified(std::time::SystemTime::now() - Duration::from_secs(100)).unwrap();
    sandbox.write("source/a", "aa");
    let second = summary(&sandbox.ok(["backup", "--json", "source"]));
    assert_eq!(second["parent"], first["snapshot"]);
    assert_eq!(second["files_new"], json!(0));
    let text = sandbox.ok(["backup", "source", "-v"]).stdout;
    assert!(text.contains("unchanged; 97.7 KiB in 2 files"), "{text}");
    assert!(text.contains("snapshot  ") && text.contains("wait out"), "{text}");
    assert_eq!(sandbox.ok(["backup", "source", "-q"]).stdout, "");
}

#[test]
fn exclusions_leave_out_what_they_name() {
    let sandbox = Sandbox::new();
    for name in
        ["keep", "a.o", "sub/b.o", "sub/keep", "cache/CACHEDIR.TAG", "cache/x", "git/.gitignore", "git/skip", "git/in"]
    {
        sandbox.write(&format!("source/{name}"), "x");
    }
    sandbox.write("source/cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
    sandbox.write("source/git/.gitignore", "skip\n");
    let rules = sandbox.write("rules", "# comment\n./sub/keep\n");
    let words =
        ["backup", "source", "--exclude", "*.o", "--exclude-caches", "--ignore-file", ".gitignore", "--exclude-file"];
    sandbox.ok(words.iter().map(AsRef::as_ref).chain([rules.as_os_str()]));
    let listed = listed(&sandbox);
    let has = |name: &str| listed.iter().any(|path| path.ends_with(&format!("/source/{name}")));
    assert!(has("keep") && has("sub") && has("git/in") && has("git/.gitignore"), "{listed:?}");
    for gone in ["a.o", "sub/b.o", "sub/keep", "cache/x", "git/skip"] {
        assert!(!has(gone), "{gone}: {listed:?}");
    }
}

#[test]
fn standard_input_becomes_a_file() {
    let sandbox = Sandbox::new();
    let content: Vec<u8> = (0..2_000_000u32).flat_map(|i| i.to_le_bytes()).collect();
    let ran = feed(&sandbox, &["backup", "--stdin", "dumps/db.sql", "--json"], &content);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(sandbox.ok(["cat", "latest:/dumps/db.sql"]).bytes, content);
    let empty = feed(&sandbox, &["backup", "--stdin", "empty"], b"");
    assert_eq!(empty.code, 1, "a producer that failed before its first byte looks like this: {empty:?}");
    assert!(empty.stderr.contains("--allow-empty"), "{}", empty.stderr);
    assert_eq!(sandbox.ok(["snapshots", "--json"]).objects().len(), 1);
    let empty = feed(&sandbox, &["backup", "--stdin", "empty", "--allow-empty"], b"");
    assert_eq!(empty.code, 0, "{empty:?}");
    assert_eq!(sandbox.ok(["cat", "latest:/empty"]).bytes, b"");
    assert_eq!(sandbox.run(["backup", "--stdin", "/"]).code, 2);
    assert_eq!(sandbox.run(["backup", "--stdin", "a/../b"]).code, 2);
}

#[test]
fn lists_of_paths_come_from_files_or_standard_input() {
    let sandbox = Sandbox::new();
    for name in ["one", "two\nlines", "three", "not listed"] {
        sandbox.write(&format!("source/{name}"), "x");
    }
    let zeros = b"source/one\0source/two\nlines\0source/gone\0";
    let ran = feed(&sandbox, &["backup", "--files-from0", "-", "--json"], zeros);
    assert_eq!(ran.code, 3, "a listed path that is gone could not be read: {ran:?}");
    assert_eq!(summary(&ran)["problems"], json!(1));
    let ends = |path: &str| listed(&sandbox).iter().any(|p| p.ends_with(path));
    assert!(ends("source/one") && ends("source/two\nlines") && !ends("three") && !ends("not listed"));
    sandbox.write("list", "source/three\n\n");
    sandbox.ok(["backup", "source/one", "--files-from", "list"]);
    assert!(ends("source/three") && ends("source/one") && !ends("lines"));
    sandbox.write("list", "\n");
    assert_eq!(sandbox.run(["backup", "--files-from", "list"]).code, 1, "an empty list");
    assert_eq!(sandbox.run(["backup", "--files-from", "none"]).code, 1);
    let cut = feed(&sandbox, &["backup", "--files-from0", "-"], b"source/one\0source/thr");
    assert_eq!(cut.code, 1, "a list that was cut off: {cut:?}");
    assert!(cut.stderr.contains("cut off"), "{}", cut.stderr);
    let open = feed(&sandbox, &["backup", "--files-from", "-"], b"source/one\nsource/three");
    assert_eq!(open.code, 0, "many programs write lists like this");
    assert!(open.stderr.contains("in the middle of a line"), "{}", open.stderr);
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_exit_3() {
    let sandbox = Sandbox::new();
    sandbox.write("source/fine", "x");
    let secret = sandbox.write("source/secret", "x");
    fs::set_permissions(&secret, Permissions::from_mode(0o000)).unwrap();
    let root = fs::read(&secret).is_ok();
    let program = sandbox.path("larder");
    fs::copy(env!("CARGO_BIN_EXE_larder"), &program).unwrap();
    for path in [sandbox.path("."), sandbox.home()] {
        fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    }
    let run = |words: &[&str]| {
        // Root reads everything, so it becomes somebody else.
        let mut command = Command::new(&program);
        command.args(words).env_clear().env("HOME", sandbox.home()).current_dir(sandbox.path("."));
        if root {
            command.uid(65534).gid(65534);
        }
        Ran::new(command.stdin(Stdio::null()).output().unwrap())
    };
    let ran = run(&["backup", "source"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stderr.contains("secret") && ran.stderr.contains("1 path could not be read"), "{}", ran.stderr);
    let ran = run(&["backup", "source", "--json"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    let problems: Vec<_> = ran.objects().into_iter().filter(|o| o["type"] == json!("problem")).collect();
    assert_eq!(problems.len(), 1);
    assert!(problems[0]["path"].as_str().unwrap().ends_with("source/secret"));
    let unread = run(&["snapshots", "--json"]).objects();
    assert_eq!(unread[0]["errors"], json!(1), "the snapshot says so too");
}

#[test]
fn as_gives_a_path_its_usual_place() {
    let sandbox = Sandbox::new();
    sandbox.write("mounted/sub/x", "x");
    sandbox.ok(["backup", "mounted", "--as", "/srv/data"]);
    let listed = listed(&sandbox);
    assert_eq!(listed, ["/", "/srv", "/srv/data", "/srv/data/sub", "/srv/data/sub/x"]);
    assert_eq!(sandbox.ok(["snapshots", "--json"]).objects()[0]["paths"], json!(["/srv/data"]));
    sandbox.write("other", "x");
    assert_eq!(sandbox.run(["backup", "mounted", "other", "--as", "/x"]).code, 2);
}

#[test]
fn a_source_that_gains_nothing_is_said_to_look_encrypted() {
    let sandbox = Sandbox::new();
    let mut state = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .take(5 << 19)
    .flatten()
    .collect();
    sandbox.write("source/noise", &noise);
    let first = summary(&sandbox.ok(["backup", "--json", "source"]));
    assert_eq!(first["looks_encrypted"], json!(true));
    sandbox.write("source/copy", &noise);
    let ran = sandbox.ok(["backup", "source"]);
    assert!(!ran.stderr.contains("encrypted"), "{}", ran.stderr);
}

#[test]
fn a_dry_run_stores_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "a");
    sandbox.ok(["backup", "source"]);
    let before = sandbox.ok(["stats", "--json"]).objects()[0]["areas"]["packs"].clone();
    sandbox.write("source/b", vec![3; 500_000]);
    let dry = summary(&sandbox.ok(["backup", "source", "--dry-run", "--json"]));
    assert_eq!((&dry["snapshot"], &dry["dry_run"], &dry["files"]), (&json!(null), &json!(true), &json!(2)));
    assert_eq!(sandbox.ok(["stats", "--json"]).objects()[0]["areas"]["packs"], before);
    assert_eq!(sandbox.ok(["snapshots", "--json"]).objects().len(), 1);
}

#[test]
fn an_interrupted_backup_ends_soon_with_130_and_leaves_no_snapshot() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "a");
    sandbox.ok(["backup", "source"]);
    for signal in ["-INT", "-TERM"] {
        // A source that never ends.
        let mut child = sandbox
            .command(["backup", "--stdin", "endless"])
            .stdin(fs::File::open("/dev/zero").unwrap())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(700));
        let began = Instant::now();
        let kill = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(130), "{signal}");
        assert!(began.elapsed() < Duration::from_secs(4), "{signal}: {:?}", began.elapsed());
    }
    assert_eq!(sandbox.ok(["snapshots", "--json"]).objects().len(), 1);
    sandbox.ok(["check", "--read-data"]);
}

#[test]
fn progress_shows_on_a_terminal_only() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "a");
    let piped = sandbox.ok(["backup", "source"]);
    assert!(!piped.stderr.contains("backing up"), "{}", piped.stderr);
    let on_terminal = |words: &[&str]| Terminal::start(sandbox.command(words), false).end();
    let (code, shown) = on_terminal(&["backup", "source", "--force"]);
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("backing up"), "{shown:?}");
    for silent in ["--json", "-q"] {
        let (code, shown) = on_terminal(&["backup", "source", "--force", silent]);
        assert_eq!((code, shown.contains("backing up")), (0, false), "{silent}: {shown:?}");
    }
}
