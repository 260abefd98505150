//! What is no file of its own: standard input, what a command prints, a device's content; and backups that change nothing.

use super::backing_up::feed;
use super::restoring::can_mount;
use crate::roundtrip::{noise, sh};
use crate::sandbox::{Ran, Sandbox, names};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn from_command(sandbox: &Sandbox, more: &[&str], script: &str) -> Ran {
    let words = [&["backup", "--stdin-from-command", "dumps/db.sql"], more, &["--", "sh", "-c", script]].concat();
    sandbox.run(words)
}

fn snapshots(sandbox: &Sandbox) -> usize {
    sandbox.ok(["snapshots", "--json"]).objects().len()
}

fn summary(ran: &Ran) -> Value {
    ran.objects().pop().expect("a summary")
}

#[test]
fn what_a_command_prints_becomes_a_file() {
    let sandbox = Sandbox::new();
    let content = noise(9_000_000, 3);
    let dump = sandbox.write("dump", &content);
    let ran = from_command(&sandbox, &[], &format!("cat {}; echo 'careful \x1b[31m' >&2", dump.display()));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(sandbox.ok(["cat", "latest:/dumps/db.sql"]).bytes, content);
    assert!(ran.stderr.contains("careful \\x1b[31m\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("note: sh ended well, but wrote a line"), "{}", ran.stderr);
    let ran = from_command(&sandbox, &["--json"], "echo x; echo one >&2; echo two >&2");
    assert_eq!((ran.code, &summary(&ran)["command_stderr"]), (0, &json!(["one", "two"])));
    assert!(ran.stderr.contains(r#"{"note":"sh: one"}"#), "{}", ran.stderr);
    let options = sandbox.ok(["snapshots", "--json"]).objects().pop().unwrap()["options"].clone();
    assert_eq!(options, json!(["--stdin-from-command=sh"]), "arguments may be secret");
    // It gets larder's standard input.
    let ran = feed(&sandbox, &["backup", "--stdin-from-command", "upper", "--", "tr", "a-z", "A-Z"], b"words");
    assert_eq!((ran.code, sandbox.ok(["cat", "latest:/upper"]).stdout.as_str()), (0, "WORDS"));
    // A dry run runs it too.
    let ran = from_command(&sandbox, &["--dry-run", "--json"], "echo x; exit 0");
    assert_eq!((ran.code, &summary(&ran)["bytes"]), (0, &json!(2)));
    // What it left running is read to its end, as in a shell.
    assert_eq!(from_command(&sandbox, &[], "(sleep 0.5; echo last) & echo first").code, 0);
    assert_eq!(sandbox.ok(["cat", "latest:/dumps/db.sql"]).stdout, "first\nlast\n");
    assert_eq!(snapshots(&sandbox), 4);
}

#[test]
fn a_command_that_fails_commits_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "a");
    sandbox.ok(["backup", "source"]);
    let big = sandbox.write("big", noise(5_000_000, 4));
    let cases = [
        ("echo x; exit 1".into(), "exit status 1"),
        ("echo x; echo 'the server has gone' >&2; exit 3".into(), "the server has gone"),
        ("echo x; kill -9 $$".into(), "SIGKILL"),
        (format!("cat {}; kill $$", big.display()), "SIGTERM"),
        ("echo x; exec >&-; sleep 0.3; exit 2".into(), "exit status 2"),
        ("exit 7".into(), "exit status 7"),
        ("true".into(), "--allow-empty"),
        ("sleep 60 & echo x; exit 5".into(), "exit status 5"),
        ("cat /dev/zero & exit 6".into(), "exit status 6"),
    ];
    let began = Instant::now();
    for (script, said) in &cases {
        for more in [&[][..], &["--json"], &["--dry-run"], &["-q"]] {
            let ran = from_command(&sandbox, more, script);
            assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{script}: {ran:?}");
            assert!(ran.stderr.contains(said) && ran.stderr.contains("dumps/db.sql"), "{script}: {}", ran.stderr);
        }
    }
    assert!(began.elapsed() < Duration::from_secs(50), "what a failed command left running is not waited for");
    assert_eq!(from_command(&sandbox, &["--allow-empty"], "exit 7").code, 1, "empty is fine, failing is not");
    assert_eq!(snapshots(&sandbox), 1);
    assert_eq!(from_command(&sandbox, &["--allow-empty"], "true").code, 0);
    assert_eq!(snapshots(&sandbox), 2);
    sandbox.ok(["check", "--read-data"]);
}

#[test]
fn a_command_that_cannot_be_run_changes_nothing() {
    let sandbox = Sandbox::new();
    let plain = sandbox.write("plain", "no program");
    let plain = plain.to_str().unwrap();
    for (program, code) in [("no-such-command", 1), ("/no/such", 1), (plain, 1), ("/", 1)] {
        let ran = sandbox.run(["backup", "--stdin-from-command", "x", "--", program]);
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.stderr.contains(&format!("cannot run the command {program}")), "{}", ran.stderr);
    }
    assert_eq!(sandbox.run(["backup", "--stdin-from-command", "x"]).code, 2, "no command");
    assert_eq!(sandbox.run(["backup", "--stdin-from-command", "/", "--", "true"]).code, 2, "no name");
    assert_eq!(sandbox.run(["backup", "--stdin", "/"]).code, 2);
    assert_eq!(names(&sandbox.home()), Vec::<String>::new(), "no store was made");
}

fn ends_soon(pid: &str) -> bool {
    let gone = || !Path::new("/proc").join(pid).exists();
    let deadline = Instant::now() + Duration::from_secs(5);
    while !gone() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    gone()
}

fn read_soon(path: &Path) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.ends_with('\n') || Instant::now() > deadline {
            return text.trim().to_string();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_interrupted_backup_ends_the_command_and_what_it_started() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "a");
    sandbox.ok(["backup", "source"]);
    // Silent; never ending; deaf to the first signal.
    for script in ["sleep 1000", "cat /dev/zero", "trap '' TERM; while :; do sleep 1; done"] {
        let pid = sandbox.path("pid");
        let script = format!(
            "sh -c 'echo $$ > {0}.new; mv {0}.new {0}; {1}'; echo",
            pid.display(),
            script.replace('\'', "'\\''")
        );
        let words = ["backup", "--stdin-from-command", "x", "--", "sh", "-c", &script];
        let mut command = sandbox.command(words);
        // Without a terminal, as in a service: the command has a process group of its own then.
        let mut setsid = Command::new("setsid");
        setsid.arg(command.get_program()).args(command.get_args());
        setsid.env_clear().envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
        command = setsid;
        command.current_dir(sandbox.path(".")).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let grandchild = read_soon(&pid);
        let began = Instant::now();
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(130), "{script}");
        assert!(began.elapsed() < Duration::from_secs(15), "{script}: {:?}", began.elapsed());
        assert!(ends_soon(&grandchild), "{script}: {grandchild} is left behind");
        fs::remove_file(&pid).unwrap();
    }
    assert_eq!(snapshots(&sandbox), 1);
    sandbox.ok(["check", "--read-data"]);
}

#[test]
fn a_store_that_fails_does_not_wait_for_a_silent_command() {
    if !can_mount() {
        return; // A full disk needs a mount.
    }
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("small")).unwrap();
    let larder = env!("CARGO_BIN_EXE_larder");
    let script = format!(
        "set -e; mount -t tmpfs -o size=24m tmpfs small; export HOME={}; {larder} -s small/store init -q; \
         exec {larder} -s small/store backup --stdin-from-command x -- sh -c 'head -c 200M /dev/urandom; sleep 1000'",
        sandbox.home().display()
    );
    let began = Instant::now();
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script]).current_dir(sandbox.path(".")).stdin(Stdio::null());
    let ran = Ran::new(command.output().unwrap());
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("may be full"), "{}", ran.stderr);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

/// A loop device over a file, taken away at the end.
struct Loop(String);

impl Loop {
    fn over(file: &Path) -> Option<Loop> {
        let output = Command::new("losetup").args(["--find", "--show"]).arg(file).output().ok()?;
        let device = String::from_utf8(output.stdout).unwrap().trim().to_string();
        output.status.success().then_some(Loop(device))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        Command::new("losetup").args(["-d", &self.0]).status().unwrap();
    }
}

#[test]
fn the_content_of_a_device_that_is_named_is_stored_on_demand() {
    let sandbox = Sandbox::new();
    let mut content = noise(5_000_192, 11);
    content[1_000_000..3_000_000].fill(0);
    let image = sandbox.write("image", &content);
    let Some(device) = Loop::over(&image) else {
        return crate::lacks::lacks("loop", "losetup failed");
    };
    fs::create_dir(sandbox.path("dev")).unwrap();
    let link = sandbox.path("dev/snap");
    symlink(&device.0, &link).unwrap();
    let stored = |path: &str| sandbox.ok(["cat", &format!("latest:{path}")]).bytes;
    let kind = |path: &str| sandbox.ok(["ls", "--json", &format!("latest:{path}")]).objects()[0]["kind"].clone();

    // Without the option the node is stored, and that is said.
    let ran = sandbox.ok(["backup", &device.0]);
    assert!(ran.stderr.contains("--read-special"), "{}", ran.stderr);
    assert_eq!(kind(&device.0), json!("block_device"));

    let first = summary(&sandbox.ok(["backup", "--json", "--read-special", &device.0]));
    assert_eq!((&first["files"], &first["bytes"]), (&json!(1), &json!(content.len())));
    assert_eq!((kind(&device.0), stored(&device.0) == content), (json!("file"), true));
    let target = sandbox.path("restored");
    sandbox.ok(["restore", &format!("latest:{}", device.0), "--to", target.to_str().unwrap()]);
    let restored = if target.is_dir() { target.join(device.0.strip_prefix("/dev/").unwrap()) } else { target };
    assert!(fs::symlink_metadata(&restored).unwrap().file_type().is_file());
    assert!(fs::read(&restored).unwrap() == content);

    // No time of the node tells of a change: it is read each time.
    content[4_000_000] ^= 1;
    assert!(sh(
        &format!(
            "printf '\\{:03o}' | dd of={} bs=1 seek=4000000 conv=notrunc,fsync status=none",
            content[4_000_000], device.0
        ),
        Path::new("/")
    ));
    let second = summary(&sandbox.ok(["backup", "--json", "--read-special", &device.0]));
    assert_eq!((&second["parent"], &second["files_unchanged"]), (&first["snapshot"], &json!(0)));
    assert!(stored(&device.0) == content);

    // Links to it, lists, and another place.
    let link = link.to_str().unwrap();
    sandbox.ok(["backup", "--read-special", link]);
    assert!(kind(link) == json!("file") && stored(link) == content);
    let list = sandbox.write("list", format!("{link}\n"));
    sandbox.ok(["backup", "--read-special", "--files-from", list.to_str().unwrap()]);
    assert!(stored(link) == content);
    for named in [link, &device.0] {
        sandbox.ok(["backup", "--read-special", named, "--as", "/srv/disk.img"]);
        assert!(stored("/srv/disk.img") == content);
    }
    sandbox.ok(["backup", "--read-special", "--read", "mmap", &device.0]);
    assert!(stored(&device.0) == content);

    // What is found in a directory stays what it is.
    assert!(sh(&format!("cp -a {} dev/node && mkfifo dev/fifo", device.0), &sandbox.path(".")));
    assert!(fs::metadata(sandbox.path("dev/node")).unwrap().file_type().is_block_device());
    let fifo = sandbox.ok(["backup", "--read-special", "dev/fifo"]);
    assert!(fifo.stderr.contains("is a FIFO"), "{}", fifo.stderr);
    sandbox.ok(["backup", "--read-special", "dev"]);
    let at = |name: &str| sandbox.path("dev").join(name).to_str().unwrap().to_string();
    assert_eq!((kind(&at("node")), kind(&at("snap"))), (json!("block_device"), json!("symlink")));
    sandbox.ok(["check", "--read-data"]);
}

#[test]
fn a_device_without_content_is_named_as_unread() {
    let sandbox = Sandbox::new();
    if !crate::lacks::has_devices() {
        return;
    }
    assert!(sh("mknod nothing b 7 1048575", &sandbox.path(".")));
    let ran = sandbox.run(["backup", "--read-special", "nothing"]);
    assert_ne!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("nothing"), "{}", ran.stderr);
}

fn skipping(sandbox: &Sandbox, words: &[&str]) -> (i32, Value) {
    let ran = sandbox.run(["backup", "--json", "--skip-if-unchanged"].iter().chain(words));
    (ran.code, summary(&ran))
}

#[test]
fn a_backup_that_changes_nothing_makes_no_snapshot_on_demand() {
    let sandbox = Sandbox::new();
    for name in ["a", "b/c", "b/d/e"] {
        sandbox.write(&format!("source/{name}"), name);
    }
    sandbox.write("source/big", noise(300_000, 8));
    fs::hard_link(sandbox.path("source/a"), sandbox.path("source/b/link")).unwrap();
    let back_up = || skipping(&sandbox, &["source"]).1;
    let mut last = back_up()["snapshot"].clone();
    assert!(last.is_string(), "the first one is a snapshot");
    let nothing = |more: &[&str]| {
        let (code, summary) = skipping(&sandbox, &[&["source"], more].concat());
        assert_eq!(
            (code, &summary["snapshot"], &summary["snapshot_skipped"]),
            (0, &json!(null), &json!(true)),
            "{summary}"
        );
        summary["parent"].clone()
    };
    assert_eq!(nothing(&[]), last);
    assert_eq!(nothing(&["--force"]), last, "read again and found equal");
    sandbox.write("beside", "what lies beside the source changes the folder above it");
    assert_eq!(nothing(&[]), last);
    let text = sandbox.ok(["backup", "--skip-if-unchanged", "source"]).stdout;
    assert!(text.contains(&format!("none: nothing has changed since {}", last.as_str().unwrap())), "{text}");
    assert_eq!(snapshots(&sandbox), 1);

    let source = sandbox.path("source");
    for change in [
        "echo more >> a",
        "touch b/new",
        "rm b/new",
        "chmod 600 b/c",
        "touch -d 2001-01-01 b/d/e",
        "rm b/link",
        "mkdir empty",
        "mv empty other",
        "touch -d 2001-01-01 .",
        "ln -s a soft",
        "ln -sfn b soft",
    ] {
        assert!(sh(change, &source));
        let summary = back_up();
        assert_eq!(summary["snapshot_skipped"], json!(false), "{change}");
        assert!(summary["snapshot"].is_string() && summary["parent"] == last, "{change}: {summary}");
        last = summary["snapshot"].clone();
    }
    assert_eq!(back_up()["snapshot"], json!(null));
    assert!(skipping(&sandbox, &["source", "--dry-run"]).1["snapshot"].is_null());
    // Without the option there is a snapshot each time; and other sources are other sources.
    assert!(summary(&sandbox.ok(["backup", "--json", "source"]))["snapshot"].is_string());
    assert!(skipping(&sandbox, &["source/b"]).1["snapshot"].is_string());
    sandbox.ok(["check", "--read-data"]);
}

#[test]
fn what_could_not_be_read_then_and_now_is_no_change_but_said() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "a");
    sandbox.write("source/list", "source/a\nsource/gone\n");
    let words = ["--files-from", "source/list"];
    let first = skipping(&sandbox, &words);
    assert_eq!((first.0, first.1["snapshot"].is_string()), (3, true));
    let second = skipping(&sandbox, &words);
    assert_eq!((second.0, &second.1["snapshot_skipped"]), (3, &json!(true)));
    sandbox.write("source/gone", "back");
    let third = skipping(&sandbox, &words);
    assert_eq!((third.0, third.1["snapshot"].is_string()), (0, true));
}

#[test]
fn a_stream_with_equal_content_is_no_change() {
    let sandbox = Sandbox::new();
    let back_up = |content: &[u8], more: &[&str]| {
        let words = [&["backup", "--json", "--skip-if-unchanged", "--stdin", "dump"], more].concat();
        let ran = feed(&sandbox, &words, content);
        assert_eq!(ran.code, 0, "{ran:?}");
        summary(&ran)
    };
    let first = back_up(b"x", &[])["snapshot"].as_str().unwrap().to_string();
    assert_eq!(back_up(b"x", &[])["snapshot_skipped"], json!(true));
    assert!(back_up(b"y", &[])["snapshot"].is_string());
    // Equal to an older snapshot, but the newest one says something else.
    assert!(back_up(b"x", &["--parent", &first])["snapshot"].is_string());
    assert_eq!(sandbox.ok(["cat", "latest:/dump"]).stdout, "x");
}

/// Packs of a store's folder.
fn packs(store: &Path) -> Vec<PathBuf> {
    let found = Command::new("find").arg(store.join("packs")).args(["-type", "f"]).output().unwrap();
    String::from_utf8(found.stdout).unwrap().lines().map(PathBuf::from).collect()
}

#[test]
fn content_that_the_store_lost_comes_into_a_snapshot_though_nothing_changed() {
    let sandbox = Sandbox::new();
    sandbox.write("source/big", noise(300_000, 9));
    assert!(skipping(&sandbox, &["source"]).1["snapshot"].is_string());
    packs(&sandbox.home().join(".larder")).iter().for_each(|pack| fs::remove_file(pack).unwrap());
    let healed = skipping(&sandbox, &["source"]);
    assert_eq!((healed.0, healed.1["snapshot"].is_string()), (0, true), "{healed:?}");
    assert_eq!(skipping(&sandbox, &["source"]).1["snapshot_skipped"], json!(true));
    let place = format!("latest:{}", sandbox.path("source/big").display());
    assert_eq!(sandbox.ok(["cat", &place]).bytes, noise(300_000, 9));
}
