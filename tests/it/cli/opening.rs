//! What makes a store and what opens it.

use crate::sandbox::{Ran, Sandbox, names};
use crate::terminal::Terminal;
use serde_json::json;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn key(sandbox: &Sandbox, name: &str, byte: u8) -> String {
    let path = sandbox.write(name, [byte; 32]);
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().into()
}

#[test]
fn the_first_backup_makes_the_default_store_and_a_key_file_and_says_so() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "content");
    let ran = sandbox.ok(["backup", "source"]);
    assert!(ran.stderr.contains("NOTHING CAN BE RESTORED WITHOUT THIS FILE"), "{}", ran.stderr);
    assert!(sandbox.home().join(".larder/config").is_dir());
    let config = sandbox.home().join(".config/larder");
    let keys: Vec<_> = names(&config).into_iter().filter(|name| name.contains("key-")).collect();
    let [key] = keys.as_slice() else { panic!("one key file, not {keys:?}") };
    assert!(ran.stderr.contains(key.as_str()), "its name is said: {}", ran.stderr);
    assert_eq!((mode(&config.join(key)), fs::read(config.join(key)).unwrap().len()), (0o600, 32));
    // It is found again without a word.
    let again = sandbox.ok(["backup", "source"]);
    assert!(!again.stderr.contains("WITHOUT THIS FILE"), "{}", again.stderr);
    assert_eq!(sandbox.ok(["snapshots", "--json"]).objects().len(), 2);
    // Without it nothing opens, and nothing asks.
    fs::rename(config.join(key), sandbox.path("elsewhere")).unwrap();
    assert_eq!(sandbox.run(["snapshots"]).code, 12);
    sandbox.ok(["snapshots", "--key-file", "elsewhere"]);
}

#[test]
fn several_first_backups_at_once_share_the_store_that_one_of_them_makes() {
    for _ in 0..4 {
        let sandbox = Sandbox::new();
        sandbox.write("source/a", "content");
        let run =
            || sandbox.command(["backup", "source"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let running = [run(), run(), run(), run()];
        for run in running {
            let ran = Ran::new(run.wait_with_output().unwrap());
            assert_eq!(ran.code, 0, "{ran:?}");
        }
        let keys = names(&sandbox.home().join(".config/larder"));
        let keys: Vec<_> = keys.iter().filter(|name| name.contains("key-")).collect();
        assert!(keys.len() == 1 && keys[0].starts_with("key-"), "one key file, with its store's name: {keys:?}");
        assert_eq!(names(&sandbox.home().join(".larder/keys")).len(), 1);
        assert_eq!(sandbox.ok(["snapshots", "--json"]).objects().len(), 4);
    }
}

#[test]
fn a_backup_that_cannot_begin_makes_no_store() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "content");
    assert_eq!(sandbox.run(["backup", "not-there"]).code, 1);
    // A dry run says what the first backup would do.
    let dry = sandbox.ok(["backup", "source", "--dry-run", "--json"]).objects();
    assert_eq!((&dry[0]["files_new"], &dry[0]["snapshot"]), (&json!(1), &json!(null)));
    assert_eq!(sandbox.run(["-s", "none", "backup", "source", "--dry-run"]).code, 10);
    assert_eq!(sandbox.run(["-s", "source/a", "snapshots"]).code, 10);
    for host in ["", "web\u{7}1"] {
        assert_eq!(sandbox.run(["backup", "source", "--host", host]).code, 2);
    }
    assert_eq!(sandbox.run(["backup", "source", "--as", "/srv/../etc"]).code, 2);
    assert_eq!(names(&sandbox.home()), [""; 0]);
}

#[test]
fn init_makes_one_store_in_an_empty_folder() {
    let sandbox = Sandbox::new();
    let file = key(&sandbox, "key", 1);
    let made = sandbox.ok(["-s", "store", "init", "--key-file", &file, "--json"]).objects();
    assert_eq!(made.len(), 1);
    assert_eq!(made[0]["store"].as_str().unwrap().len(), 32);
    assert_eq!(made[0]["key_file"], json!(null));
    let again = sandbox.run(["-s", "store", "init", "--key-file", &file]);
    assert_eq!((again.code, again.stdout.as_str()), (1, ""));
    sandbox.write("full/x", "");
    let full = sandbox.run(["-s", "full", "init", "--key-file", &file]);
    assert_eq!(full.code, 1, "{full:?}");
    assert_eq!(names(&sandbox.path("full")), ["x"]);
    let url = format!("file://{}", sandbox.path("store").display());
    sandbox.ok(["-s", &url, "snapshots", "--key-file", &file]);
}

#[test]
fn wrong_keys_are_exit_12_and_say_what_is_wrong() {
    let sandbox = Sandbox::new();
    let (right, wrong) = (key(&sandbox, "right", 1), key(&sandbox, "wrong", 2));
    sandbox.ok(["-s", "store", "init", "--key-file", &right]);
    let snapshots = |more: &[&str]| sandbox.run(["-s", "store", "snapshots"].iter().chain(more));
    assert_eq!(snapshots(&["--key-file", &right]).code, 0);
    assert_eq!(snapshots(&["--key-file", &wrong]).code, 12);
    let none = snapshots(&[]);
    assert_eq!(none.code, 12);
    assert!(none.stderr.contains("--key-file"), "{}", none.stderr);
    for bytes in [0, 31, 33] {
        sandbox.write("short", vec![1; bytes]);
        let ran = snapshots(&["--key-file", "short"]);
        assert_eq!(ran.code, 12, "{ran:?}");
        assert!(ran.stderr.contains("exactly 32"), "{}", ran.stderr);
    }
    assert_eq!(snapshots(&["--key-file", "none"]).code, 12);
    let in_environment = sandbox.command(["-s", "store", "snapshots"]).env("LARDER_KEY_FILE", &right).output().unwrap();
    assert_eq!(in_environment.status.code(), Some(0));
}

#[test]
fn a_key_file_that_others_may_read_is_warned_of() {
    let sandbox = Sandbox::new();
    let file = key(&sandbox, "key", 1);
    let quiet = sandbox.ok(["-s", "store", "init", "--key-file", &file]);
    assert!(!quiet.stderr.contains("read by others"), "{}", quiet.stderr);
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let ran = sandbox.ok(["-s", "store", "snapshots", "--key-file", &file]);
    assert!(ran.stderr.contains("read by others") && ran.stderr.contains("0644"), "{}", ran.stderr);
}

#[test]
fn a_passphrase_comes_from_a_file_a_command_or_the_environment() {
    let sandbox = Sandbox::new();
    let file = sandbox.write("pass", "corn flakes\n");
    let file = file.to_str().unwrap();
    sandbox.ok(["-s", "store", "init", "--passphrase-file", file, "--kdf-memory", "8"]);
    sandbox.ok(["-s", "store", "snapshots", "--passphrase-command", "echo corn flakes"]);
    let with = |passphrase: &str| {
        sandbox
            .command(["-s", "store", "snapshots"])
            .env("LARDER_PASSPHRASE", passphrase)
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(with("corn flakes"), Some(0));
    assert_eq!(with("corn flake"), Some(12));
    assert_eq!(with(""), Some(12), "an empty passphrase is refused");
    assert_eq!(sandbox.run(["-s", "store", "snapshots", "--passphrase-command", "exit 1"]).code, 12);
    assert_eq!(sandbox.run(["-s", "store", "snapshots", "--passphrase-file", "none"]).code, 12);
}

#[test]
fn keys_are_added_listed_replaced_and_removed() {
    let sandbox = Sandbox::new();
    let first = key(&sandbox, "first", 1);
    sandbox.ok(["-s", "store", "init", "--key-file", &first, "--label", "first"]);
    let run = |words: &[&str], key: &str| sandbox.run(["-s", "store", "--key-file", key, "key"].iter().chain(words));
    // Slots are listed by the second they were made in.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let added = run(&["add", "--new-key-file", "second", "--label", "web1", "--json"], &first);
    assert_eq!(added.code, 0, "{added:?}");
    assert_eq!(mode(&sandbox.path("second")), 0o600);
    let id = added.objects()[0]["id"].as_str().unwrap().to_string();
    let listed = run(&["list", "--json"], "second").objects();
    let labels: Vec<_> = listed.iter().map(|key| key["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["first", "web1"]);
    assert_eq!(listed.iter().map(|key| key["current"] == json!(true)).collect::<Vec<_>>(), [false, true]);
    assert_eq!(listed[1]["id"].as_str(), Some(id.as_str()));
    let table = run(&["list"], "second").stdout;
    assert!(table.contains("web1") && table.contains(&id[..12]), "{table:?}");

    let replaced = run(&["passwd", "--new-passphrase-command", "echo p", "--kdf-memory", "8"], "second");
    assert_eq!(replaced.code, 0, "{replaced:?}");
    assert_eq!(run(&["list"], "second").code, 12, "the replaced key opens nothing");
    sandbox.ok(["-s", "store", "--passphrase-command", "echo p", "snapshots"]);

    let of = |label: &str| {
        let keys = run(&["list", "--json"], &first).objects();
        let key = keys.into_iter().find(|key| key["label"] == json!(label)).unwrap();
        key["id"].as_str().unwrap().to_string()
    };
    assert_eq!(run(&["remove", "zzzz"], &first).code, 1);
    assert_eq!(run(&["remove", ""], &first).code, 1);
    let other = of("web1");
    assert_eq!(run(&["remove", &other[..16]], &first).code, 0);
    let last = run(&["remove", &of("first")], &first);
    assert_eq!(last.code, 11, "the last key stays: {last:?}");
    assert_eq!(run(&["list", "--json"], &first).objects().len(), 1);
    assert_eq!(run(&["add"], &first).code, 2, "there is no terminal to ask on");
}

#[test]
fn a_terminal_is_asked_twice_for_a_new_passphrase_and_once_to_open() {
    let sandbox = Sandbox::new();
    let mut init = Terminal::start(sandbox.command(["-s", "store", "init", "--kdf-memory", "8"]), true);
    init.answer("New passphrase: ", "corn flakes");
    init.answer("The same again: ", "corn flakes");
    let (code, shown) = init.end();
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.contains("corn flakes"), "what is typed is not shown");
    assert_eq!(sandbox.run(["-s", "store", "snapshots"]).code, 12);
    let mut open = Terminal::start(sandbox.command(["-s", "store", "snapshots"]), true);
    open.answer("Passphrase: ", "corn flakes");
    assert_eq!(open.end().0, 0);
    let mut wrong = Terminal::start(sandbox.command(["-s", "store", "snapshots"]), true);
    wrong.answer("Passphrase: ", "oat flakes");
    assert_eq!(wrong.end().0, 12);
    let mut differ = Terminal::start(sandbox.command(["-s", "other", "init"]), true);
    differ.answer("New passphrase: ", "a");
    differ.answer("The same again: ", "b");
    let (code, shown) = differ.end();
    assert_eq!(code, 12, "{shown}");
    assert!(!sandbox.path("other").exists());
    let mut interrupted = Terminal::start(sandbox.command(["-s", "store", "snapshots"]), true);
    interrupted.answer("Passphrase: ", "\u{3}");
    assert_eq!(interrupted.end().0, 130);
}

#[test]
fn missing_folders_of_a_store_are_said_and_made_again_by_a_repair_only() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "content");
    sandbox.ok(["backup", "source"]);
    let store = sandbox.home().join(".larder");
    fs::remove_dir_all(store.join("index")).unwrap();
    // As a copy does that takes no empty folders along.
    let dropped = std::process::Command::new("find").arg(&store).args(["-type", "d", "-empty", "-delete"]).status();
    assert!(dropped.unwrap().success());
    for words in [&["check"][..], &["restore", "latest", "--to", "out"], &["backup", "source"]] {
        let ran = sandbox.run(words);
        assert!(![0, 10].contains(&ran.code) && ran.stderr.contains("makes the folder again"), "{ran:?}");
    }
    assert!(!store.join("index").exists());
    let dry = sandbox.run(["repair", "index", "--dry-run"]);
    assert!(dry.code == 20 && dry.stderr.contains("index") && !store.join("index").exists(), "{dry:?}");
    let repaired = sandbox.ok(["repair", "index"]);
    assert!(repaired.stderr.contains("made again") && repaired.stderr.contains("index"), "{repaired:?}");
    sandbox.ok(["check", "--read-data"]);
    sandbox.ok(["restore", "latest", "--to", "out"]);
    assert!(!sandbox.ok(["repair", "index"]).stderr.contains("made again"));
}

#[test]
fn a_check_says_that_a_store_without_config_or_key_slot_opens_to_nobody() {
    for area in ["config", "keys"] {
        let sandbox = Sandbox::new();
        sandbox.write("source/a", "content");
        sandbox.ok(["backup", "source"]);
        let folder = sandbox.home().join(".larder").join(area);
        names(&folder).iter().for_each(|name| fs::remove_file(folder.join(name)).unwrap());
        for words in [&["check"][..], &["check", "--keyless"]] {
            let ran = sandbox.run(words);
            assert!(ran.code == 20 && ran.stdout.contains("nobody can open it"), "{words:?}: {ran:?}");
        }
    }
}

#[test]
fn a_signer_is_pinned_on_sight_and_shown_whatever_command_meets_it_first() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "content");
    sandbox.ok(["backup", "source", "--host", "web1"]);
    let config = sandbox.home().join(".config/larder");
    let key = names(&config).into_iter().find(|name| name.starts_with("key-")).unwrap();
    let key = config.join(key);
    for (n, command) in [["check", "-v"], ["backup", "source"], ["ls", "latest"]].iter().enumerate() {
        // Another machine has another configuration folder.
        let folder = format!("machine-{n}");
        let other = ["--key-file", key.to_str().unwrap(), "--config-dir", &folder];
        let ran = sandbox.ok(command.iter().copied().chain(other));
        assert!(ran.stderr.contains("for host web1"), "{command:?}: {}", ran.stderr);
        let again = sandbox.ok(command.iter().copied().chain(other));
        assert!(!again.stderr.contains("from now on"), "{command:?}: {}", again.stderr);
    }
}
