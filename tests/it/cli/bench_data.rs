//! `larder bench data`.

use crate::sandbox::{Sandbox, names};

#[test]
fn data_sets_are_listed_made_and_verified() {
    let sandbox = Sandbox::new();
    let list = sandbox.ok(["bench", "data", "list", "--json"]).objects();
    let of = |name: &str| list.iter().find(|object| object["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    for name in [
        "kernel",
        "tiny",
        "binaries",
        "image",
        "database",
        "incompressible",
        "logs",
        "sparse",
        "chunker-worst",
        "tiny-small",
    ] {
        assert_eq!((&of(name)["type"], &of(name)["state"]), (&"data_set".into(), &"not made".into()));
        assert!(of(name)["second"]["bytes"].as_u64().unwrap() > 0);
    }

    let made = sandbox.ok(["bench", "data", "make", "logs-small", "--json"]).objects();
    assert_eq!(made.len(), 1);
    assert_eq!(made[0]["first"]["digest"], of("logs-small")["first"]["digest"]);
    let folder = sandbox.home().join(".cache/larder/bench-data/logs-small");
    assert_eq!(names(&folder), ["first", "made.json", "second"]);
    let digest = made[0]["first"]["digest"].as_str().unwrap();
    let again = sandbox.ok(["bench", "data", "make", "logs-small"]).stdout;
    assert!(again.starts_with("logs-small: there already\n") && !again.contains(digest), "{again}");
    let table = sandbox.ok(["bench", "data", "list"]).stdout;
    let line = table.lines().find(|line| line.starts_with("logs-small ")).unwrap();
    assert!(line.contains(" made ") && line.contains("logs of servers"), "{line}");

    let verified = sandbox.ok(["bench", "data", "verify", "--json"]).objects();
    assert_eq!(verified.len(), 2);
    assert!(verified.iter().all(|object| object["ok"] == true && object["name"] == "logs-small"));
    std::fs::write(folder.join("second/service-00.log"), "short").unwrap();
    let ran = sandbox.run(["bench", "data", "verify", "logs-small"]);
    assert_eq!(ran.code, 20, "{ran:?}");
    assert!(ran.stdout.contains("first: ok") && ran.stdout.contains("second: differs: its digest is"), "{ran:?}");
    let ran = sandbox.run(["bench", "data", "make", "logs-small"]);
    assert!(ran.code == 1 && ran.stderr.contains("second version of logs-small has "), "{ran:?}");
    assert!(ran.stderr.contains("`larder bench data verify logs-small`"), "{ran:?}");

    std::fs::remove_dir_all(folder.join("second")).unwrap();
    let ran = sandbox.run(["bench", "data", "verify"]);
    assert_eq!(ran.code, 20, "{ran:?}");
    assert!(ran.stdout.contains("first: ok") && ran.stdout.contains("second: missing: "), "{ran:?}");
    let ran = sandbox.run(["bench", "data", "verify", "--json"]);
    let second = &ran.objects()[1];
    assert!(second["ok"] == false && second["digest"].is_null() && second["missing"].is_string(), "{second}");
    let list = sandbox.ok(["bench", "data", "list", "--json"]).objects();
    assert_eq!(list.iter().find(|object| object["name"] == "logs-small").unwrap()["state"], "incomplete");
}

#[test]
fn a_path_without_a_digest_is_not_said_to_be_ok() {
    let sandbox = Sandbox::new();
    let there = sandbox.write("there/a", "abc");
    let path = there.parent().unwrap().display().to_string();
    let recipe =
        format!("name = \"p\"\nstands_for = \"x\"\nlicence = \"x\"\n[full]\npath = {{ first = \"{path}\" }}\n");
    sandbox.write("recipes/p.toml", recipe);
    let ran = sandbox.ok(["bench", "data", "verify", "p", "--datasets", "recipes"]);
    assert_eq!(ran.stdout, "p first: nothing to hold it against: 1 file, 3 B\n");
    let object = &sandbox.ok(["bench", "data", "verify", "p", "--datasets", "recipes", "--json"]).objects()[0];
    assert!(object["ok"].is_null() && object["bytes"] == 3, "{object}");
    std::fs::remove_dir_all(&path).unwrap();
    let ran = sandbox.run(["bench", "data", "verify", "p", "--datasets", "recipes"]);
    assert!(ran.code == 20 && ran.stdout.contains("p first: missing: "), "{ran:?}");
}

#[test]
fn mistakes_with_data_sets_say_what_helps() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(["bench", "data", "make", "kernal"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("no data set kernal; there are kernel, "), "{ran:?}");

    let ran = sandbox.run(["bench", "data", "verify"]);
    assert!(ran.code == 1 && ran.stderr.contains("bench data make NAME"), "{ran:?}");
    let ran = sandbox.run(["bench", "data", "verify", "tiny"]);
    assert!(ran.code == 1 && ran.stderr.contains("`larder bench data make tiny`"), "{ran:?}");

    sandbox.write("recipes/mine.toml", "name = \"mine\"\nstands_for = \"x\"\nlicence = \"x\"\n[full]\npath = 3\n");
    let ran = sandbox.run(["bench", "data", "list", "--datasets", "recipes"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("recipes/mine.toml is wrong in line 5 (`path = 3`)"), "{ran:?}");

    // A folder that holds something else under the name of a data set is left alone.
    sandbox.write("data/logs-small/thesis", "mine");
    let mut command = sandbox.command(["bench", "data", "make", "logs-small"]);
    let ran = crate::sandbox::Ran::new(command.env("LARDER_DATA_DIR", "data").output().unwrap());
    assert!(ran.code == 2 && ran.stderr.contains("was not made by `larder bench data make`"), "{ran:?}");
    assert_eq!(std::fs::read_to_string(sandbox.path("data/logs-small/thesis")).unwrap(), "mine");
}
