//! Looking into snapshots: snapshots, ls, cat, find, diff, stats.

use crate::sandbox::{Ran, Sandbox, names};
use serde_json::{Value, json};
use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

/// A sandbox with a store that opens by itself and a source folder.
struct Store {
    sandbox: Sandbox,
    source: PathBuf,
}

impl Store {
    fn new() -> Store {
        let sandbox = Sandbox::new();
        let source = sandbox.path("source");
        sandbox.write("source/readme.txt", "hello\n");
        sandbox.write("source/etc/app.conf", "key = value\n");
        sandbox.write("source/etc/deep/er/x.conf", vec![7; 300_000]);
        symlink("readme.txt", source.join("link")).unwrap();
        Store { sandbox, source }
    }

    fn backup(&self, more: &[&str]) -> Value {
        let ran = self.sandbox.ok(["backup", "--json", "source"].iter().chain(more));
        ran.objects().pop().expect("a summary")
    }

    fn ok(&self, words: &[&str]) -> Ran {
        self.sandbox.ok(words)
    }

    fn at(&self, name: &str) -> String {
        self.source.join(name).to_str().unwrap().into()
    }

    fn in_latest(&self, name: &str) -> String {
        format!("latest:{}", self.at(name))
    }
}

fn paths(objects: &[Value]) -> Vec<&str> {
    objects.iter().map(|object| object["path"].as_str().unwrap()).collect()
}

#[test]
fn snapshots_come_as_a_line_each_oldest_first() {
    let store = Store::new();
    let first = store.backup(&["--host", "web1", "--tag", "daily,b", "--tag", "a", "--time", "2026-05-01T12:00:00Z"]);
    let second = store.backup(&["--host", "web2"]);
    let ran = store.ok(&["snapshots", "--json"]);
    let objects = ran.objects();
    assert_eq!(objects.len(), 2);
    let ids: Vec<_> = objects.iter().map(|s| s["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [first["snapshot"].as_str().unwrap(), second["snapshot"].as_str().unwrap()]);
    for id in &ids {
        assert!(id.len() == 64 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{id}");
    }
    let first = &objects[0];
    assert_eq!(first["time"], json!("2026-05-01T12:00:00Z"));
    assert_eq!(first["host"], json!("web1"));
    assert_eq!(first["paths"], json!([store.source.to_str().unwrap()]));
    assert_eq!(first["tags"], json!(["a", "b", "daily"]));
    assert_eq!(objects[1]["tags"], json!([]));
    assert_eq!(first["files"], json!(3));
    let web2 = store.ok(&["snapshots", "--json", "--host", "web2"]).objects();
    assert_eq!(web2.len(), 1);
    assert_eq!(web2[0]["id"], objects[1]["id"]);
    assert_eq!(store.ok(&["snapshots", "--json", "--tag", "a,b"]).objects().len(), 1);
    assert_eq!(store.ok(&["snapshots", "--json", "--tag", "a,c"]).objects().len(), 0);
    let table = store.ok(&["snapshots"]).stdout;
    assert!(
        table.contains(&ids[0][..12]) && table.contains("web1") && table.contains("2026-05-01 12:00:00"),
        "{table}"
    );
}

#[test]
fn snapshots_are_named_by_latest_or_the_beginning_of_their_id() {
    let store = Store::new();
    let first = store.backup(&[])["snapshot"].as_str().unwrap().to_string();
    store.sandbox.write("source/new", "new");
    store.backup(&[]);
    let ls = |name: &str| store.sandbox.run(["ls", "-r", "--json", name]);
    assert!(paths(&ls("latest").objects()).contains(&store.at("new").as_str()));
    assert!(!paths(&ls(&first[..8]).objects()).contains(&store.at("new").as_str()));
    assert_eq!(ls(&first).code, 0);
    for wrong in ["0123456789", "zzzz", "abc", &first[..63].replace(|c: char| c.is_ascii_digit(), "f")] {
        let ran = ls(wrong);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{wrong}: {ran:?}");
    }
}

#[test]
fn ls_lists_sources_a_directory_or_everything() {
    let store = Store::new();
    store.backup(&[]);
    let source = store.source.to_str().unwrap();
    let lines = |words: &[&str]| store.ok(words).stdout.lines().map(String::from).collect::<Vec<_>>();
    let top = [source.to_string(), store.at("etc"), store.at("link"), store.at("readme.txt")];
    assert_eq!(lines(&["ls"]), top);
    assert_eq!(lines(&["ls", &store.in_latest("etc")]), [store.at("etc/app.conf"), store.at("etc/deep")]);
    assert_eq!(lines(&["ls", &store.in_latest("readme.txt")]), [store.at("readme.txt")]);
    let below =
        [store.at("etc/app.conf"), store.at("etc/deep"), store.at("etc/deep/er"), store.at("etc/deep/er/x.conf")];
    assert_eq!(lines(&["ls", "-r", &store.in_latest("etc/")]), below);
    let all = lines(&["ls", "-r", "latest"]);
    assert!(all.contains(&"/".to_string()) && all.contains(&store.at("etc/deep/er/x.conf")), "{all:?}");
    let long = store.ok(&["ls", "-l"]).stdout;
    assert!(long.lines().any(|l| l.starts_with("lrwxrwxrwx") && l.ends_with("link -> readme.txt")), "{long}");
    let objects = store.ok(&["ls", "--json", &store.in_latest("readme.txt")]).objects();
    assert_eq!((&objects[0]["kind"], &objects[0]["size"]), (&json!("file"), &json!(6)));
    assert_eq!(store.sandbox.run(["ls", "latest:/not/there"]).code, 1);
    assert_eq!(store.sandbox.run(["ls", "latest:/a/../b"]).code, 1);
}

#[test]
fn cat_gives_the_exact_bytes() {
    let store = Store::new();
    let big: Vec<u8> = (0..3_000_000u32).flat_map(|i| (i.wrapping_mul(2_654_435_761) >> 7).to_le_bytes()).collect();
    store.sandbox.write("source/big", &big);
    let holes = fs::File::create(store.source.join("holes")).unwrap();
    holes.set_len(200_000).unwrap();
    store.backup(&[]);
    assert_eq!(store.ok(&["cat", &store.in_latest("readme.txt")]).bytes, b"hello\n");
    assert_eq!(store.ok(&["cat", &store.in_latest("big")]).bytes, big);
    assert_eq!(store.ok(&["cat", &store.in_latest("holes")]).bytes, vec![0; 200_000]);
    let two = store.ok(&["cat", &store.in_latest("readme.txt"), &store.in_latest("etc/app.conf")]);
    assert_eq!(two.bytes, b"hello\nkey = value\n");
    let object = &store.ok(&["cat", "--json", &store.in_latest("readme.txt")]).objects()[0];
    assert_eq!((&object["data_b64"], &object["offset"]), (&json!("aGVsbG8K"), &json!(0)));
    for wrong in ["link", "none"] {
        let ran = store.sandbox.run(["cat", &store.in_latest(wrong)]);
        assert_eq!((ran.code, ran.bytes.len()), (1, 0), "{wrong}: {ran:?}");
    }
    let mut child = store.sandbox.command(["cat", &store.in_latest("big")]);
    let mut child = child.stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0), "a reader that goes early is no failure");
}

#[test]
fn find_searches_every_snapshot_or_the_named_ones() {
    let store = Store::new();
    store.backup(&[]);
    store.sandbox.write("source/etc/new.conf", "n");
    let second = store.backup(&[])["snapshot"].as_str().unwrap().to_string();
    let found = store.ok(&["find", "*.conf", "--json"]).objects();
    assert_eq!(found.len(), 5, "{found:?}");
    let in_second = store.ok(&["find", "*.conf", "--json", "--in", "latest"]).objects();
    assert_eq!(in_second.len(), 3);
    assert!(in_second.iter().all(|entry| entry["snapshot"].as_str() == Some(&second)));
    let exact = [store.at("etc/app.conf"), store.at("etc/new.conf")];
    assert_eq!(paths(&store.ok(&["find", "etc/*.conf", "--json", "--in", "latest"]).objects()), exact);
    assert_eq!(store.ok(&["find", "*", "--type", "symlink", "--json", "--in", "latest"]).objects().len(), 1);
    assert_eq!(store.ok(&["find", "*", "--min-size", "200K", "--json", "--in", "latest"]).objects().len(), 1);
    assert_eq!(store.ok(&["find", "README*", "--json"]).objects().len(), 0);
    assert_eq!(store.ok(&["find", "-i", "README*", "--json"]).objects().len(), 2);
    assert_eq!(store.sandbox.run(["find", "a["]).code, 2);
    let text = store.ok(&["find", "new.conf"]).stdout;
    assert_eq!(text.lines().count(), 2, "the snapshot and the path: {text}");
}

#[test]
fn diff_marks_what_was_added_removed_and_changed() {
    let store = Store::new();
    let first = store.backup(&[])["snapshot"].as_str().unwrap().to_string();
    store.sandbox.write("source/etc/added", "a");
    store.sandbox.write("source/readme.txt", "other\n");
    fs::remove_file(store.source.join("etc/deep/er/x.conf")).unwrap();
    fs::remove_file(store.source.join("link")).unwrap();
    fs::create_dir(store.source.join("link")).unwrap();
    fs::set_permissions(store.source.join("etc/app.conf"), Permissions::from_mode(0o600)).unwrap();
    let expected: Vec<(String, String)> =
        [("+", "etc/added"), ("-", "etc/deep/er/x.conf"), ("M", "readme.txt"), ("T", "link"), ("U", "etc/app.conf")]
            .map(|(change, name)| (change.into(), store.at(name)))
            .into();
    // First against the directory as it is, then against a snapshot of it.
    let changes = |words: &[&str]| {
        let ran = store.ok(&[&["diff", "--json"], words].concat());
        let mut objects = ran.objects();
        assert_eq!(objects.pop().unwrap()["type"], json!("summary"));
        let mut changes: Vec<(String, String)> = objects
            .iter()
            .filter(|o| o["before"]["kind"] != json!("directory") || o["after"]["kind"] != json!("directory"))
            .map(|o| (o["change"].as_str().unwrap().into(), o["path"].as_str().unwrap().into()))
            .collect();
        changes.sort();
        changes
    };
    let source = store.source.to_str().unwrap().to_string();
    assert_eq!(changes(&["latest", &source]), expected);
    store.backup(&[]);
    assert_eq!(changes(&[&first, "latest"]), expected);
    assert_eq!(changes(&[&format!("{first}:{source}"), "latest"]), expected);
    assert_eq!(changes(&["latest", &source]), []);
    assert_eq!(changes(&["latest", &source, "--read-all"]), []);
    let etc = changes(&[&format!("{first}:{}", store.at("etc")), "latest"]);
    assert_eq!(etc, [expected[0].clone(), expected[1].clone(), expected[4].clone()]);
    let one = changes(&[&format!("{first}:{}", store.at("readme.txt")), "latest"]);
    assert_eq!(one, [expected[2].clone()]);
    let text = store.ok(&["diff", &first, "latest", "--no-metadata"]).stdout;
    assert!(text.contains(&format!("M {}\n", store.at("readme.txt"))) && !text.contains("U "), "{text}");
}

#[test]
fn diff_passes_over_the_store_and_the_cache_as_backup_does() {
    let sandbox = Sandbox::new();
    sandbox.write("home/docs/a", "content");
    let home = sandbox.home().to_str().unwrap().to_string();
    sandbox.ok(["backup", &home]);
    let changed = sandbox.ok(["diff", "latest", &home, "--json", "--no-metadata"]);
    let objects = changed.objects();
    assert!(!objects.iter().any(|o| o["path"].as_str().is_some_and(|p| p.contains(".larder"))), "{}", changed.stdout);
    assert!(
        !objects.iter().any(|o| o["path"].as_str().is_some_and(|p| p.contains("cache/larder"))),
        "{}",
        changed.stdout
    );
}

#[test]
fn a_copy_with_other_times_is_compared_by_content() {
    let store = Store::new();
    store.backup(&[]);
    let copy = store.sandbox.path("copy");
    let copied = std::process::Command::new("cp").arg("-rP").arg(&store.source).arg(&copy).status().unwrap();
    assert!(copied.success());
    let copy = copy.to_str().unwrap().to_string();
    let modified = |store: &Store| {
        let ran = store.ok(&["diff", "--json", "--no-metadata", &store.in_latest(""), &copy]);
        paths(&ran.objects()[..ran.objects().len() - 1]).into_iter().map(String::from).collect::<Vec<_>>()
    };
    assert_eq!(modified(&store), [""; 0], "equal bytes are equal, whatever their times");
    let mut big = vec![7; 300_000];
    big[299_999] = 8;
    store.sandbox.write("copy/etc/deep/er/x.conf", big);
    assert_eq!(modified(&store), [store.at("etc/deep/er/x.conf")]);
}

#[test]
fn names_that_are_no_text_are_exact_in_json_and_harmless_on_a_terminal() {
    let store = Store::new();
    let name = OsString::from_vec(b"bad\xff\x1b[31m\nname".to_vec());
    fs::write(store.source.join(&name), "odd").unwrap();
    store.backup(&["--tag", "t\u{202e}ag", "--host", "h\u{202e}ost"]);
    let objects = store.ok(&["ls", "--json"]).objects();
    let odd: Vec<_> = objects.iter().filter(|o| o["path_b64"].is_string()).collect();
    let [odd] = odd.as_slice() else { panic!("one name is no UTF-8: {objects:?}") };
    let exact = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.decode(odd["path_b64"].as_str().unwrap()).unwrap()
    };
    assert_eq!(OsStr::from_bytes(&exact), store.source.join(&name).as_os_str());
    assert!(odd["path"].as_str().unwrap().contains('\u{fffd}'));
    for words in [&["ls"][..], &["ls", "-l"], &["find", "bad*"], &["snapshots"], &["stats"]] {
        let text = store.ok(words).stdout;
        let bad = text.chars().find(|c| (c.is_control() && *c != '\n') || ('\u{202a}'..='\u{202e}').contains(c));
        assert_eq!(bad, None, "{words:?}: {text:?}");
    }
    let listed = store.ok(&["ls"]).stdout;
    assert!(listed.contains("bad\\xff\\x1b[31m\\nname"), "{listed}");
    let mut place = OsString::from("latest:");
    place.push(store.source.join(&name));
    let ran = store.sandbox.ok([OsStr::new("cat"), &place]);
    assert_eq!(ran.stdout, "odd");
    place.push("x");
    let ran = store.sandbox.run([OsStr::new("cat"), &place]);
    assert_eq!(ran.code, 1);
    assert!(!ran.stderr.contains('\u{1b}'), "{:?}", ran.stderr);
}

#[test]
fn stats_add_up() {
    let store = Store::new();
    store.backup(&[]);
    store.backup(&[]);
    let objects = store.ok(&["stats", "--json"]).objects();
    assert_eq!(objects.len(), 3);
    let totals = &objects[0];
    assert_eq!(totals["snapshots"], json!(2));
    assert_eq!(totals["snapshot_bytes"], json!(2 * (300_000 + 6 + 12)));
    assert!(totals["chunks"].as_u64().unwrap() >= 1, "{totals}");
    let on_disk: u64 = {
        let mut bytes = 0;
        let mut open = vec![store.sandbox.home().join(".larder")];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let meta = entry.metadata().unwrap();
                if meta.is_dir() { open.push(entry.path()) } else { bytes += meta.len() }
            }
        }
        bytes
    };
    assert_eq!(totals["bytes"], json!(on_disk), "every byte of the store is counted");
    let text = store.ok(&["stats"]).stdout;
    assert!(text.contains("snapshots  2, "), "{text}");
}

#[test]
fn a_lost_outcome_is_said_and_what_it_had_committed_can_be_had_again() {
    let store = Store::new();
    let first = store.backup(&[])["snapshot"].as_str().unwrap().to_string();
    let sessions = store.sandbox.path("home/.larder/sessions");
    let [first_session] = &names(&sessions)[..] else { panic!("one session") };
    let first_outcome = sessions.join(first_session).join("outcome");
    store.sandbox.write("source/new", vec![9; 100_000]);
    let second = store.backup(&[])["snapshot"].as_str().unwrap().to_string();
    let outcome = names(&sessions).into_iter().find(|name| name != first_session).unwrap();
    let outcome = sessions.join(outcome).join("outcome");
    let bytes = fs::read(&outcome).unwrap();
    let target = |name: &str| store.sandbox.path(name);
    let restore = |snapshot: &str, to: &str| {
        _ = fs::remove_dir_all(store.sandbox.path("home/.cache"));
        _ = fs::remove_dir_all(target(to));
        store.sandbox.run(["restore", &format!("{snapshot}:{}", store.source.display()), "--to", to])
    };
    // The newest one's cannot be read: `latest` is the one before, and that is said.
    fs::write(&outcome, "").unwrap();
    let ran = restore("latest", "one");
    assert_eq!((ran.code, target("one").join("new").exists()), (20, false), "{ran:?}");
    assert!(ran.stderr.contains(&second[..12]), "{ran:?}");
    assert_eq!(store.sandbox.run(["ls", "latest"]).code, 20);
    // By its id it can be had, once its packs are listed again.
    fs::remove_file(&outcome).unwrap();
    assert_eq!(store.sandbox.run(["check"]).code, 20, "this machine has seen it committed");
    _ = fs::remove_dir_all(store.sandbox.path("home/.cache"));
    assert_eq!(store.sandbox.run(["check"]).code, 20, "and remembers, without its cache too");
    store.sandbox.ok(["repair", "index"]);
    let ran = restore(&second, "two");
    assert_eq!((ran.code, fs::read(target("two").join("new")).unwrap().len()), (20, 100_000), "{ran:?}");
    // What another session stored is not lost with its outcome.
    fs::write(&outcome, bytes).unwrap();
    fs::remove_file(&first_outcome).unwrap();
    store.sandbox.ok(["repair", "index"]);
    assert_eq!(restore("latest", "three").code, 0);
    assert_eq!(fs::read(target("three").join("etc/deep/er/x.conf")).unwrap(), vec![7; 300_000]);
    assert_eq!(restore(&first, "four").code, 20);
    assert!(target("four").join("etc/app.conf").is_file());
}
