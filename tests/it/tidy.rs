//! The shape of the code, held by a test: layers, sizes, rooms for unsafe, printing, threads, and what must stand beside what.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Files above 600 lines of code, and why splitting them would read worse.
const LONG_FILES: [(&str, &str); 0] = [];
/// Functions above 70 lines, by `file:function`, and why.
const LONG_FUNCTIONS: [(&str, &str); 0] = [];
/// The only rooms for unsafe.
const UNSAFE: [&str; 7] = [
    "src/base/memory.rs",
    "src/chunking/vector.rs",
    "src/codec/lz4.rs",
    "src/source/mmap.rs",
    "src/index/run.rs",
    "src/harness/compare/process.rs",
    "src/harness/gate/allocations.rs",
];
/// The only rooms that start threads outside rayon's pools.
const THREADS: [&str; 4] = ["work", "pipeline", "source", "cli"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str) -> Vec<(String, String)> {
    let mut found = vec![];
    let mut open = vec![root().join(folder)];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_string();
                found.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "nothing found below {folder}");
    found
}

/// The lines before the tests, without comments.
fn code(text: &str) -> Vec<&str> {
    let body = text.split("#[cfg(test)]\nmod ").next().unwrap();
    body.lines().map(|l| l.split("//").next().unwrap().trim_end()).collect()
}

/// The rooms and their ranks, as the table in `docs/architecture.md` has them.
fn ranks() -> BTreeMap<String, u32> {
    let text = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let row = |line: &str| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let rank = cells.next()?.parse().ok()?;
        Some((cells.next()?.trim_matches('`').to_string(), rank))
    };
    let ranks: BTreeMap<String, u32> = text.lines().filter_map(row).collect();
    assert!(ranks.len() > 10, "the table of rooms is not in docs/architecture.md");
    ranks
}

/// What only a test imports makes no layer.
fn is_test_code(file: &str) -> bool {
    file.contains("/tests/") || file.ends_with("tests.rs") || file.ends_with("testing.rs")
}

fn module_of(file: &str) -> &str {
    file.strip_prefix("src/").unwrap().split(['/', '.']).next().unwrap()
}

/// What a file of `module` imports against the ranks.
fn bad_imports(ranks: &BTreeMap<String, u32>, module: &str, lines: &[&str]) -> Vec<String> {
    let Some(own) = ranks.get(module) else { return vec![] };
    let text = lines.join("\n");
    let mut bad = vec![];
    for after in text.split("crate::").skip(1) {
        let names: Vec<&str> = match after.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap().split(',').collect(),
            None => vec![after],
        };
        for name in names {
            let name = name.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
            match ranks.get(name) {
                Some(other) if name != module && other >= own => {
                    bad.push(format!("`{module}` ({own}) may not import `{name}` ({other})"));
                }
                _ => {}
            }
        }
    }
    bad
}

#[test]
fn modules_import_only_lower_ranks() {
    let ranks = ranks();
    let bad: Vec<String> = files("src")
        .iter()
        .filter(|(name, _)| !["src/lib.rs", "src/main.rs"].contains(&name.as_str()) && !is_test_code(name))
        .flat_map(|(name, text)| {
            bad_imports(&ranks, module_of(name), &code(text)).into_iter().map(move |b| format!("{name}: {b}"))
        })
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
    let modules: BTreeSet<_> = files("src").iter().map(|(name, _)| module_of(name).to_string()).collect();
    for module in modules.iter().filter(|m| !["lib", "main"].contains(&m.as_str())) {
        assert!(ranks.contains_key(module), "`{module}` has no row in the table of docs/architecture.md");
    }
    for room in ranks.keys() {
        assert!(modules.contains(room), "docs/architecture.md has a row for `{room}`, which is not in src");
    }
}

#[test]
fn an_upward_import_would_be_found() {
    let planted = ["use crate::{base::id::ObjectId, store::Store};", "fn f() -> crate::pipeline::X {}"];
    assert_eq!(bad_imports(&ranks(), "index", &planted).len(), 2);
    assert_eq!(bad_imports(&ranks(), "index", &["use crate::object::Keyring;"]), Vec::<String>::new());
}

#[test]
fn every_file_says_what_it_is() {
    for folder in ["src", "benches", "tests"] {
        for (name, text) in files(folder) {
            assert!(text.starts_with("//!"), "{name} must begin with //!");
        }
    }
}

#[test]
fn files_and_functions_stay_readable() {
    let mut bad = vec![];
    for (name, text) in files("src") {
        let lines = code(&text);
        if lines.len() > 600 && !LONG_FILES.iter().any(|(file, _)| *file == name) {
            bad.push(format!("{name} has {} lines", lines.len()));
        }
        let mut open: Option<(usize, usize, String)> = None;
        for (at, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            match &open {
                Some((start, depth, function)) if indent == *depth && line.trim() == "}" => {
                    let key = format!("{name}:{function}");
                    if at - start >= 70 && !LONG_FUNCTIONS.iter().any(|(f, _)| *f == key) {
                        bad.push(format!("{key} has {} lines", at - start + 1));
                    }
                    open = None;
                }
                // The signature of a method without a body.
                Some((_, depth, _)) if indent == *depth && line.trim().starts_with(')') && line.ends_with(';') => {
                    open = None;
                }
                None if line.contains("fn ") && !line.trim_end().ends_with([';', '}']) => {
                    let function = line.split("fn ").nth(1).unwrap();
                    let function = function.split(['(', '<']).next().unwrap();
                    open = Some((at, indent, function.to_string()));
                }
                _ => {}
            }
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn unsafe_stays_in_its_rooms_with_its_argument() {
    for (name, text) in files("src") {
        let uses = code(&text).iter().filter(|l| l.contains("unsafe ") && !l.contains("unsafe_")).count();
        assert!(uses == 0 || UNSAFE.contains(&name.as_str()), "{name} uses unsafe; its rooms are {UNSAFE:?}");
        let argued = text.matches("SAFETY:").count() + text.matches("# Safety").count();
        assert!(argued >= uses, "{name}: {uses} uses of unsafe, {argued} arguments");
    }
}

#[test]
fn only_the_command_line_prints_and_exits() {
    for (name, text) in files("src") {
        let is_test = name.ends_with("tests.rs") || name.contains("/tests/");
        if name.starts_with("src/cli/") || name == "src/main.rs" || is_test {
            continue;
        }
        for line in code(&text) {
            let speaks = ["println!", "print!", "eprint", "process::exit", "dbg!"].iter().any(|w| line.contains(w));
            assert!(!speaks, "{name} prints or exits: {line}");
        }
    }
}

/// So that a run can insist on having everything, every lack goes one way.
#[test]
fn tests_say_what_the_machine_lacks_in_one_place() {
    for (name, text) in files("src").into_iter().chain(files("tests")) {
        let speaks = text.contains(concat!("eprintln!(\"", "passed over"));
        assert!(!speaks || name == "tests/it/lacks.rs", "{name} passes over a test; call `lacks::lacks` instead");
    }
}

#[test]
fn threads_start_in_few_places() {
    for (name, text) in files("src") {
        let starts = code(&text).iter().any(|l| l.contains("thread::spawn") || l.contains("thread::Builder"));
        assert!(
            !starts || THREADS.iter().any(|room| name.starts_with(&format!("src/{room}/"))),
            "{name} starts threads"
        );
    }
}

/// A test's name in `docs/reliability.md` may be cut by `…`, and `*` stands for all of a file.
#[test]
fn the_tests_that_reliability_names_are_there() {
    let text = fs::read_to_string(root().join("docs/reliability.md")).unwrap();
    let code: String = files("src").into_iter().chain(files("tests")).map(|(_, text)| text).collect();
    let mut named = 0;
    for name in text.split('`').skip(1).step_by(2).filter(|name| name.contains("::")) {
        let name =
            name.trim_end_matches("::*").trim_end_matches('…').rsplit("::").next().unwrap().trim_start_matches('…');
        let is_there = code.contains(&format!("fn {name}")) || code.contains(&format!("mod {name};"));
        assert!(is_there, "docs/reliability.md names {name}, and there is no such test");
        named += 1;
    }
    assert!(named > 50, "{named}");
}

#[test]
fn every_decoder_has_a_fuzz_target() {
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    let mut decoders = 0;
    for (name, text) in files("src/format") {
        let code = code(&text).join("\n");
        let module = Path::new(&name).file_stem().unwrap().to_str().unwrap().to_string();
        if code.contains("pub fn decode(") {
            decoders += 1;
            assert!(manifest.contains(&format!("format_{module}")), "no fuzz target for {name}");
        }
    }
    assert!(decoders >= 10, "only {decoders} decoders found");
}

#[test]
fn the_top_level_is_as_its_user_asked() {
    for entry in ["Cargo.toml", "src", "benches", "fuzz", "tests", "datasets", "README.md", "docs", ".ci/run"] {
        assert!(root().join(entry).exists(), "{entry} is missing");
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let reasons = fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let mut in_dependencies = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies]");
        } else if let (true, Some((name, _))) = (in_dependencies, line.split_once(" = ")) {
            assert!(reasons.contains(&format!("`{name}`")), "docs/dependencies.md does not say why {name}");
        }
    }
}
