//! `larder bench compare` and `bench gate` as a person runs them: a mock tool, a gate that passes and one that fails.

use crate::sandbox::Sandbox;
use std::fs;

/// A tool that copies; `broken` makes its restore lose something.
fn mock(s: &Sandbox, name: &str, restore: &str) -> String {
    let script = s.write(
        &format!("{name}.sh"),
        format!(
            "#!/bin/sh\nset -e\ncase $1 in\n--version) echo {name} 1.2.3;;\nsave) mkdir -p \"$3\"; cp -a -T \"$2\" \"$3\";;\n\
             load) {restore};;\nesac\n"
        ),
    );
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let program = script.display();
    let text = format!(
        "name = '{name}'\nprograms = ['{program}']\nversion = ['{{program}}', '--version']\ninstall = 'write it'\n\
         parameters = 'a copy'\nfirst = ['{{program}}', 'save', '{{data}}', '{{store}}']\n\
         unchanged = ['{{program}}', 'save', '{{data}}', '{{store}}']\n\
         restore = ['{{program}}', 'load', '{{store}}', '{{target}}']\n"
    );
    s.write(&format!("{name}.toml"), text).display().to_string()
}

#[test]
fn tools_are_compared_and_what_is_wrong_with_one_is_named() {
    let s = Sandbox::new();
    s.write("data/a", "one");
    s.write("data/sub/b", vec![7; 300_000]);
    let good = mock(&s, "good", "sleep 0.7; cp -a -T \"$2\" \"$3\"");
    let lossy = mock(&s, "lossy", "cp -a -T \"$2\" \"$3\"; rm \"$3/a\"");
    let broken = mock(&s, "broken", "echo it does not work >&2; exit 9");
    let words = ["--json", "bench", "compare", "--data", "data", "--rounds", "2", "--work", "work"];
    let tools = ["--tool", &good, "--tool", &lossy, "--tool", &broken];
    let before = jiff::Timestamp::now();
    let ran = s.run(words.iter().copied().chain(tools));
    let after = jiff::Timestamp::now();
    let report = serde_json::from_str::<serde_json::Value>(ran.stdout.trim()).unwrap();
    let started: jiff::Timestamp = report["started"].as_str().unwrap().parse().unwrap();
    assert!(started >= before && after.duration_since(started).as_secs_f64() > 1.4, "two rounds slept since it began");
    let rows = |id: &str| {
        let sections = report["sections"].as_array().unwrap();
        let section = sections.iter().find(|section| section["id"] == id).unwrap();
        section["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["label"].as_str().unwrap().to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(rows("first"), ["larder", "good", "lossy", "broken"]);
    assert_eq!(rows("restore"), ["larder", "good", "lossy"]);
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("lossy: THE RESTORE DIFFERS") && warnings.contains("1 missing (a)"), "{warnings}");
    assert!(warnings.contains("broken: restore failed") && warnings.contains("it does not work"), "{warnings}");
    assert!(!warnings.contains("good:") && !warnings.contains("larder:"), "{warnings}");
    assert!(ran.stdout.contains("good 1.2.3"), "{}", ran.stdout);
    assert!(ran.code == 1 && ran.stderr.contains("restore differs from the source: lossy"), "{ran:?}");
    assert!(ran.stderr.contains("could not be measured to the end: broken"), "{ran:?}");
    let first_only = ["--rounds", "1", "--work", "work", "--with", "good", "--tool", &good];
    let ran = s.run(["bench", "compare", "--data", "data"].into_iter().chain(first_only));
    assert_eq!(ran.code, 0, "named by its file and by its name: {ran:?}");
    let ran = s.run(["bench", "compare", "--data", "data", "--rounds", "1", "--work", "work", "--tool", &broken]);
    assert!(ran.code == 1 && ran.stderr.contains("could not be measured to the end: broken"), "{ran:?}");
    let restore = report["sections"].as_array().unwrap().iter().find(|section| section["id"] == "restore").unwrap();
    let cells = restore["rows"][2]["cells"].as_array().unwrap();
    let (says, figures) = cells.split_last().unwrap();
    assert_eq!(says["text"], "restore differs");
    assert!(figures.iter().all(|cell| cell == "empty"), "{cells:?}");
    assert_eq!(fs::read_dir(s.path("work")).unwrap().count(), 0, "all is cleaned up");
}

#[test]
fn content_counts_once_whatever_its_names_and_a_report_is_shown_where_it_cannot_be_written() {
    let s = Sandbox::new();
    let first = s.write("data/a", vec![7; 300_000]);
    for name in ["b", "c"] {
        fs::hard_link(&first, s.path("data").join(name)).unwrap();
    }
    let words = ["bench", "compare", "--data", "data", "--with", "cp", "--rounds", "1", "--steps", "first", "--json"];
    let ran = s.run(words.into_iter().chain(["--output", "no/such/x.csv", "--output", "there.json"]));
    assert!(ran.code == 1 && ran.stderr.contains("cannot write") && ran.stderr.contains("no/such/x.csv"), "{ran:?}");
    let report = serde_json::from_str::<serde_json::Value>(ran.stdout.trim()).unwrap();
    assert!(s.path("there.json").is_file(), "what can be written is");
    let first = &report["sections"][0];
    assert_eq!((&first["data"]["bytes"], &first["data"]["files"]), (&300_000.into(), &3.into()), "{first}");
    // What `cp -a` stored, which keeps the links.
    let columns = first["columns"].as_array().unwrap();
    let stored = columns.iter().position(|column| column["id"] == "stored").unwrap();
    let rows = first["rows"].as_array().unwrap();
    let cp = rows.iter().find(|row| row["label"] == "cp").unwrap();
    assert_eq!(cp["cells"][stored]["measured"]["value"], 300_000.0, "{cp}");
}

#[test]
fn a_missing_tool_is_named_and_nothing_left_is_an_error() {
    let s = Sandbox::new();
    s.write("data/a", "one");
    let text =
        "name = 'x'\nprograms = ['no-such-tool']\ninstall = 'ask for it'\nparameters = ''\nfirst = ['{program}']\n";
    let tool = s.write("x.toml", text).display().to_string();
    let ran = s.run(["bench", "compare", "--data", "data", "--tool", &tool]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("no-such-tool") && ran.stderr.contains("ask for it"), "{}", ran.stderr);
    let with_cp =
        ["bench", "compare", "--data", "data", "--tool", &tool, "--with", "cp", "--rounds", "1", "--steps", "first"];
    let ran = s.run(with_cp);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("left out: x: there is no program no-such-tool here"), "{}", ran.stderr);
    s.write("empty/a", "");
    let ran = s.run(["bench", "compare", "--data", "empty", "--with", "cp"]);
    assert!(ran.code == 1 && ran.stderr.contains("holds no content"), "{ran:?}");
    let ran = s.run(["bench", "compare", "--data", "data", "--with", "cp", "--base", "gone", "--rounds", "1"]);
    assert!(ran.code == 1 && ran.stderr.contains("--base") && !ran.stderr.contains("--binary"), "{ran:?}");
    for words in [["--data", "data/a"].as_slice(), &["--data", "data", "--second", "data/a"]] {
        let ran = s.run(["bench", "compare", "--with", "cp"].iter().chain(words).copied());
        assert!(ran.code == 2 && ran.stderr.contains("data/a is no folder") && ran.stderr.contains("mkdir"), "{ran:?}");
    }
    let ran = s.run(["bench", "compare", "--data", "none", "--with", "cp"]);
    assert!(ran.code != 0 && ran.stderr.contains("none: "), "{}", ran.stderr);
}

#[test]
fn the_gate_passes_the_same_program_and_fails_on_a_changed_counter() {
    let s = Sandbox::new();
    let gate = |more: &[&str]| {
        let words = ["bench", "gate", "--baseline", "b.toml", "--tiers", "a", "--without", "syscalls"];
        s.run(words.iter().chain(more).copied())
    };
    let ran = gate(&[]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("no baseline at b.toml"), "{}", ran.stderr);
    let ran = gate(&["--base", "gone"]);
    assert!(ran.code == 2 && ran.stderr.contains("belong to tier c"), "{ran:?}");
    let words = ["bench", "gate", "--baseline", "b.toml", "--update", "the first", "--base", "gone", "--rounds", "4"];
    let ran = s.run(words);
    assert!(ran.code == 2 && ran.stderr.contains("at least 5"), "tier c is asked for by --base: {ran:?}");
    let ran = gate(&["--update", "the first"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    // Ten times in a row are a unit test of the gate; here it is the whole program with its allocator.
    for _ in 0..3 {
        let ran = gate(&[]);
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    }
    let right = fs::read_to_string(s.path("b.toml")).unwrap();
    let line = right.lines().find(|line| line.starts_with("\"layout/bytes sealed\"")).unwrap();
    let bytes: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    s.write("b.toml", right.replace(line, &format!("\"layout/bytes sealed\" = {}", bytes + 1)));
    assert_eq!(gate(&[]).code, 5);
    s.write("b.toml", right.replace("schema = 1", "schema = 7"));
    let ran = gate(&[]);
    assert!(ran.code == 1 && ran.stderr.contains("schema 7"), "{}", ran.stderr);
    let elsewhere = right.replace("rustc", "another rustc");
    s.write("b.toml", &elsewhere);
    let ran = gate(&[]);
    assert!(ran.code == 1 && ran.stderr.contains("taken elsewhere"), "{}", ran.stderr);
    let ran = gate(&["--elsewhere", "skip"]);
    assert!(ran.code == 0 && ran.stderr.contains("within the baseline, as far as it was compared"), "{ran:?}");
    let tier = "tier a: compared: Counters (";
    let passed_over = "passed over: Allocations and peak memory, File system calls";
    assert!(ran.stderr.contains(tier) && ran.stderr.contains(passed_over), "{}", ran.stderr);
}

#[test]
fn the_gate_fails_with_its_own_code_where_a_kernel_takes_more_instructions() {
    if !crate::lacks::has_tools(&["valgrind"]) {
        return;
    }
    let s = Sandbox::new();
    let gate =
        |more: &[&str]| s.run(["bench", "gate", "--baseline", "b.toml", "--tiers", "b"].iter().chain(more).copied());
    let ran = gate(&["--update", "the first"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let right = fs::read_to_string(s.path("b.toml")).unwrap();
    let line = right.lines().find(|line| line.starts_with("seal = ")).unwrap();
    let count: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    // As if this program took a tenth more than the one of the baseline.
    s.write("b.toml", right.replace(line, &format!("seal = {}", count * 10 / 11)));
    let ran = gate(&[]);
    assert!(ran.code == 4 && ran.stderr.contains("slower than the baseline allows"), "{ran:?}");
    assert!(ran.stdout.contains("+10.0"), "{}", ran.stdout);
}
