//! Which snapshot is meant: `latest` of one host among several, and clocks that were wrong.

use crate::sandbox::{Ran, Sandbox, names};
use serde_json::Value;

/// A store that several machines share: each has a configuration folder of its own.
struct Shared {
    sandbox: Sandbox,
    key: String,
}

impl Shared {
    fn new() -> Shared {
        let sandbox = Sandbox::new();
        sandbox.ok(["init"]);
        let config = sandbox.home().join(".config/larder");
        let key = names(&config).into_iter().find(|name| name.starts_with("key-")).unwrap();
        Shared { key: config.join(key).to_str().unwrap().into(), sandbox }
    }

    fn run(&self, machine: &str, words: &[&str]) -> Ran {
        let (config, cache) = (format!("config-{machine}"), format!("cache-{machine}"));
        let on = ["--key-file", &self.key, "--config-dir", &config, "--cache-dir", &cache];
        self.sandbox.run(words.iter().chain(&on))
    }

    fn ok(&self, machine: &str, words: &[&str]) -> Ran {
        let ran = self.run(machine, words);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran
    }

    /// A backup of one file with this content, on a machine, with its name as host label unless another is given.
    fn backup(&self, machine: &str, content: &str, more: &[&str]) -> String {
        self.sandbox.write("etc/conf", content);
        let host: &[&str] = if more.contains(&"--host") { &[] } else { &["--host", machine] };
        let ran = self.ok(machine, &[&["backup", "etc", "--json", "-f"], host, more].concat());
        ran.objects().pop().unwrap()["snapshot"].as_str().unwrap().into()
    }

    fn conf(&self) -> String {
        self.sandbox.path("etc/conf").to_str().unwrap().into()
    }

    fn cat(&self, machine: &str, more: &[&str]) -> String {
        let place = format!("latest:{}", self.conf());
        self.ok(machine, &[&["cat", &place], more].concat()).stdout
    }
}

#[test]
fn a_clock_that_ran_ahead_once_does_not_make_latest_stale() {
    let store = Shared::new();
    store.backup("a", "a1", &[]);
    let future = store.backup("a", "from 2040", &["--time", "2040-01-01T00:00:00Z"]);
    assert_eq!(store.cat("a", &[]), "from 2040", "it is the newest that the host has made");
    store.backup("a", "a3", &[]);
    store.backup("b", "b1", &[]);
    assert_eq!(store.cat("a", &[]), "a3");
    assert_eq!(store.cat("b", &[]), "b1");
    assert_eq!(store.cat("c", &[]), "b1", "a machine that made none gets the newest of all");
    assert_eq!(store.cat("c", &["--host", "a"]), "a3");
    assert_eq!(store.ok("c", &["snapshots", "--json", "--last", "1"]).objects()[0]["host"], "b");
    // It is said, and it is all there is to find by its id.
    for words in [&["snapshots"][..], &["ls", &future]] {
        let ran = store.ok("c", words);
        assert!(ran.stderr.contains("from the future") && ran.stderr.contains(&future[..12]), "{}", ran.stderr);
    }
    let checked = store.ok("c", &["check", "--json"]);
    let is_it = |object: &Value| object["message"].as_str().is_some_and(|message| message.contains("from the future"));
    assert!(checked.objects().iter().any(|object| object["severity"] == "notice" && is_it(object)), "{checked:?}");
}

#[test]
fn the_only_snapshot_of_a_clock_that_runs_ahead_does_not_win_over_another_hosts() {
    let store = Shared::new();
    store.backup("a", "a", &["--time", "2040-01-01T00:00:00Z"]);
    store.backup("b", "b", &[]);
    assert_eq!(store.cat("c", &[]), "b");
    assert_eq!(store.cat("a", &[]), "a");
}

#[test]
fn latest_is_of_this_machine_and_what_was_taken_is_said() {
    let store = Shared::new();
    store.backup("a", "of a", &[]);
    let of_b = store.backup("b", "of b", &["--tag", "nightly"]);
    let etc = store.sandbox.path("etc");
    let place = format!("latest:{}", etc.to_str().unwrap());
    for (machine, content) in [("a", "of a"), ("b", "of b")] {
        let target = format!("out-{machine}");
        let ran = store.ok(machine, &["restore", &place, "--to", &target]);
        assert_eq!(std::fs::read_to_string(store.sandbox.path(&target).join("conf")).unwrap(), content);
        assert!(ran.stderr.contains(&format!("of host {machine},")), "{}", ran.stderr);
    }
    let said = store.ok("a", &["ls", "latest", "--host", "b"]);
    assert!(said.stderr.contains(&format!("latest is {} of host b", &of_b[..12])), "{}", said.stderr);
    assert_eq!(store.ok("a", &["ls", "-q", "latest"]).stderr, "");
    // Also for programs: in the objects, and beside content that is no JSON.
    let ran = store.ok("b", &["ls", "--json", "latest"]);
    assert!(ran.stderr.contains(r#"{"note":"latest is "#), "{}", ran.stderr);
    assert!(ran.objects().iter().all(|entry| entry["snapshot"] == of_b.as_str()), "{ran:?}");
    let file = format!("latest:{}", store.conf());
    let ran = store.ok("b", &["cat", "--json", &file]);
    assert!(ran.objects()[0]["snapshot"] == of_b.as_str() && ran.stderr.contains("latest is"), "{ran:?}");
    assert!(store.ok("b", &["cat", &file]).stderr.contains(&of_b[..12]));
}

#[test]
fn every_command_that_takes_a_snapshot_takes_host_path_and_tag() {
    let store = Shared::new();
    store.backup("a", "of a", &[]);
    let of_b = store.backup("b", "of b", &["--tag", "nightly"]);
    let (conf, etc) = (store.conf(), store.sandbox.path("etc").to_str().unwrap().to_string());
    let place = format!("latest:{conf}");
    for way in [&["--host", "b"][..], &["--tag", "nightly"], &["--host", "x", "--host", "b", "--path", &etc]] {
        let ok = |words: &[&str]| store.ok("a", &[words, way].concat());
        assert_eq!(ok(&["cat", &place]).stdout, "of b", "{way:?}");
        assert!(ok(&["ls", "latest"]).stderr.contains("of host b"));
        assert_eq!(ok(&["snapshots", "--json"]).objects()[0]["id"], of_b.as_str());
        assert_eq!(ok(&["find", "conf", "--json"]).objects()[0]["snapshot"], of_b.as_str());
        assert_eq!(ok(&["find", "conf", "--json", "--in", "latest"]).objects()[0]["snapshot"], of_b.as_str());
        assert_eq!(ok(&["stats", "--json"]).objects()[1]["id"], of_b.as_str());
        store.sandbox.write("etc/conf", "of b");
        assert_eq!(
            ok(&["diff", "latest", &etc, "--no-metadata", "--read-all"]).stdout.lines().count(),
            1,
            "the summary"
        );
        let target = format!("out-{}", way.len() + way[0].len());
        ok(&["restore", "latest", "--to", &target]);
        // A name that says something else is an error, and does not fall back to another snapshot.
        let of_a =
            store.ok("a", &["snapshots", "--json", "--host", "a"]).objects()[0]["id"].as_str().unwrap().to_string();
        let ran = store.run("a", &[&["ls", &of_a], way].concat());
        assert!((ran.code == 1) == (way[0] != "--path") && ran.stderr.contains("--host, --path and --tag"), "{ran:?}");
    }
    for words in [
        &["restore", "latest", "--to", "none"][..],
        &["ls", "latest"],
        &["cat", &place],
        &["stats"],
        &["stats", "--json"],
        &["find", "conf"],
        &["find", "conf", "--in", "latest"],
        &["find", "conf", "--in", &of_b],
    ] {
        let none = store.run("a", &[words, &["--host", "nobody"]].concat());
        assert!(
            none.code == 1 && none.stderr.contains("--host, --path and --tag") && none.stdout.is_empty(),
            "{none:?}"
        );
    }
    assert!(!store.sandbox.path("none").exists());
    let list = store.ok("a", &["snapshots", "--host", "nobody"]);
    assert!(
        list.stdout.is_empty() && list.stderr.contains("--host, --path and --tag"),
        "a list may be empty: {list:?}"
    );
}

#[test]
fn a_newer_snapshot_of_this_machines_name_under_another_key_is_said() {
    let store = Shared::new();
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    store.backup("a", "of a", &["--host", &name]);
    let newer = store.backup("b", "of b", &["--host", &name]);
    // Its own key decides, and the other one is named; the newer one hears nothing of the older one.
    assert_eq!(store.cat("a", &[]), "of a");
    let said = store.ok("a", &["ls", "latest"]).stderr;
    assert!(said.contains(&newer) && said.contains("another key"), "{said}");
    assert!(!store.ok("b", &["ls", "latest"]).stderr.contains("another key"));
    assert_eq!(store.cat("a", &["--host", &name]), "of b");
    assert!(!store.ok("a", &["ls", "latest", "--host", &name]).stderr.contains("another key"));
    store.backup("a", "of a again", &["--host", &name]);
    assert!(!store.ok("a", &["ls", "latest"]).stderr.contains("another key"));
}
