//! `bench stages` and `bench pipeline`, each as a process.

use crate::sandbox::{Ran, Sandbox, names};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

fn tree(sandbox: &Sandbox) {
    for n in 0..30 {
        sandbox.write(&format!("data/f{n}"), format!("line {n} of a small file\n").repeat(100 + n));
    }
    sandbox.write("data/noise", crate::roundtrip::noise(2_500_000, 9));
    fs::create_dir(sandbox.path("work")).unwrap();
}

fn section<'a>(report: &'a Value, id: &str) -> &'a Value {
    let sections = report["sections"].as_array().unwrap();
    sections.iter().find(|section| section["id"] == id).unwrap_or_else(|| panic!("no section {id}: {report}"))
}

#[test]
fn stages_gives_one_report_of_every_kernel() {
    let sandbox = Sandbox::new();
    tree(&sandbox);
    let words = ["bench", "stages", "data", "--json", "--rounds", "1", "--index-rows", "1000", "--store-bytes", "1M"];
    let before = jiff::Timestamp::now();
    let ran = sandbox.ok(words);
    let took = jiff::Timestamp::now().duration_since(before);
    let [report] = &ran.objects()[..] else { panic!("one object: {ran:?}") };
    let started: jiff::Timestamp = report["started"].as_str().unwrap().parse().unwrap();
    let since = started.duration_since(before);
    assert!(since.is_positive() && since < took / 2, "begun {since:?} into a run of {took:?}");
    assert_eq!((&report["kind"], &report["command"][0]), (&"stages".into(), &"stages".into()));
    let rows = section(report, "kernels")["rows"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["label"] == "compress lz4"), "{report}");
    section(report, "roofline");
    section(report, "cpu_paths");
}

#[test]
fn a_path_that_is_not_in_use_is_an_error_that_names_those_that_are() {
    let sandbox = Sandbox::new();
    tree(&sandbox);
    let ran = sandbox.run(["bench", "stages", "data", "--path", "blake3=avx1024"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("there is: ") && ran.stdout.is_empty(), "{ran:?}");
    assert_eq!(sandbox.run(["bench", "stages", "data", "--path", "blake3"]).code, 2);
    assert_eq!(sandbox.run(["bench", "pipeline", "data", "--scenario", "later"]).code, 2);
}

#[test]
fn nothing_to_measure_is_refused() {
    let sandbox = Sandbox::new();
    tree(&sandbox);
    for (verb, option) in [
        ("stages", "--store-bytes"),
        ("stages", "--index-rows"),
        ("stages", "--limit"),
        ("stages", "--rounds"),
        ("pipeline", "--threads"),
        ("pipeline", "--rounds"),
        ("pipeline", "--kernel-rounds"),
        ("compare", "--rounds"),
    ] {
        let data = if verb == "compare" { vec!["--with", "cp", "--data", "data"] } else { vec!["data"] };
        let ran = sandbox.run(["bench", verb, option, "0"].into_iter().chain(data));
        assert_eq!(ran.code, 2, "{verb} {option}: {ran:?}");
    }
    sandbox.write("empty/a", "");
    let ran = sandbox.run(["bench", "pipeline", "empty", "--no-roofline", "--work", "work"]);
    assert!(ran.code == 1 && ran.stderr.contains("holds no content"), "{ran:?}");
}

#[test]
fn pipeline_runs_scenarios_as_processes_and_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    tree(&sandbox);
    let words = ["bench", "pipeline", "data", "--json", "--rounds", "1", "--no-roofline", "--work", "work"];
    let ran = sandbox.ok(words.into_iter().chain(["--restore-to", "work", "--scenario", "first,unchanged,restore"]));
    let [report] = &ran.objects()[..] else { panic!("one object: {ran:?}") };
    let scenarios = section(report, "scenarios");
    let labels: Vec<_> = scenarios["rows"].as_array().unwrap().iter().map(|row| &row["label"]).collect();
    assert_eq!(labels, ["first backup", "unchanged", "restore"]);
    section(report, "requests");
    section(report, "stages_first");
    assert_eq!(names(&sandbox.path("work")), Vec::<String>::new());
}

/// Longer than any run takes on a machine with much else to do: only what hangs is ended by it.
const HANGS: Duration = Duration::from_secs(900);

/// Runs it until `begun` says so, then sends a signal and waits for the end.
fn stopped(sandbox: &Sandbox, words: &[&str], begun: &dyn Fn() -> bool) -> Ran {
    let mut child = sandbox.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while !begun() {
        if child.try_wait().unwrap().is_some() {
            panic!("{words:?} ended before it was stopped: {:?}", Ran::new(child.wait_with_output().unwrap()));
        }
        if start.elapsed() > HANGS {
            _ = child.kill();
            panic!("{words:?} does not begin: {:?}", Ran::new(child.wait_with_output().unwrap()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let (ended, signalled) = (std::thread::spawn(move || child.wait_with_output().unwrap()), Instant::now());
    while !ended.is_finished() {
        assert!(signalled.elapsed() < HANGS, "{words:?} does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ran::new(ended.join().unwrap())
}

#[test]
fn a_signal_ends_pipeline_and_the_work_folder_is_empty() {
    let sandbox = Sandbox::new();
    tree(&sandbox);
    let words =
        ["bench", "pipeline", "data", "--rounds", "1000", "--no-roofline", "--work", "work", "--scenario", "first"];
    let ran = stopped(&sandbox, &words, &|| !names(&sandbox.path("work")).is_empty());
    assert_eq!(ran.code, 130, "{ran:?}");
    assert_eq!(names(&sandbox.path("work")), Vec::<String>::new());
}

#[test]
fn a_stopped_run_shows_and_keeps_what_it_had_and_says_so() {
    let sandbox = Sandbox::new();
    tree(&sandbox);
    let small = ["--index-rows", "1000", "--store-bytes", "1M", "--work", "work"];
    let stages = [&["stages", "data", "--rounds", "40"], &small[..]].concat();
    let pipeline = [&["pipeline", "data", "--kernel-rounds", "40"], &small[..]].concat();
    let chunking = ["chunking", "data", "--profile", "4K", "--rounds", "10000"];
    let compare = ["compare", "--data", "data", "--with", "cp", "--rounds", "1000", "--work", "work"];
    for (words, section_id) in
        [(&stages[..], "kernels"), (&pipeline, "kernels"), (&chunking, "resync"), (&compare, "first")]
    {
        let (verb, runs) = (words[0], sandbox.path(words[0]));
        let words = [&["bench"], words, &["--json", "--save", verb]].concat();
        // What is kept before the end says that it is not all: nobody is there to say it after a kill.
        let is_incomplete = |report: &Value| report["warnings"][0].as_str().unwrap().contains("not complete");
        let has = |report: &Value| ids(report).contains(&section_id);
        let ran =
            stopped(&sandbox, &words, &|| kept(&runs).is_some_and(|report| has(&report) && is_incomplete(&report)));
        assert_eq!(ran.code, 130, "{verb}: {ran:?}");
        let [shown] = &ran.objects()[..] else { panic!("{verb}: one object: {ran:?}") };
        assert!(is_incomplete(shown) && has(shown), "{verb}: {shown}");
        assert_eq!(kept(&runs).as_ref(), Some(shown), "{verb}");
        assert_eq!(names(&runs).len(), 1, "{verb}: {:?}", names(&runs));
    }
    assert_eq!(names(&sandbox.path("work")), Vec::<String>::new());
}

/// The one report that is kept in a folder.
fn kept(runs: &Path) -> Option<Value> {
    let name = names(runs).into_iter().find(|name| !name.starts_with('.'))?;
    serde_json::from_slice(&fs::read(runs.join(name)).ok()?).ok()
}

fn ids(report: &Value) -> Vec<&str> {
    report["sections"].as_array().unwrap().iter().map(|section| section["id"].as_str().unwrap()).collect()
}

#[test]
fn a_gate_stopped_among_its_kernels_has_those_that_were_counted() {
    if !crate::lacks::has_tools(&["valgrind"]) {
        return;
    }
    let sandbox = Sandbox::new();
    let gate = ["bench", "gate", "--json", "--baseline", "b.toml", "--without", "syscalls", "--save", "runs"];
    let words = [&gate[..], &["--tiers", "a,b", "--update", "the first"]].concat();
    let begun = |report: Value| ids(&report).contains(&"instructions");
    let ran = stopped(&sandbox, &words, &|| kept(&sandbox.path("runs")).is_some_and(begun));
    assert_eq!(ran.code, 130, "{ran:?}");
    let [shown] = &ran.objects()[..] else { panic!("one object: {ran:?}") };
    assert_eq!(ids(shown), ["counters", "memory", "instructions"]);
    let counted = section(shown, "instructions");
    let rows = counted["rows"].as_array().unwrap().len();
    assert!(counted["notes"][1].as_str().unwrap().starts_with(&format!("{rows} of ")), "{counted}");
    assert!(shown["warnings"].to_string().contains("tier b: nothing was compared; not done: Instructions"), "{shown}");
    assert!(!sandbox.path("b.toml").exists());
}

#[test]
fn a_stopped_gate_shows_and_keeps_what_it_compared_and_leaves_the_baseline() {
    let sandbox = Sandbox::new();
    tree(&sandbox);
    let gate = ["bench", "gate", "--json", "--baseline", "b.toml", "--without", "syscalls", "--work", "work"];
    sandbox.ok(gate.into_iter().chain(["--tiers", "a", "--update", "the first"]));
    let baseline = fs::read(sandbox.path("b.toml")).unwrap();
    fs::copy(sandbox.command(["version"]).get_program(), sandbox.path("base")).unwrap();
    let whole = ["--tiers", "a,c", "--base", "./base", "--data", "data", "--rounds", "1000"];
    let forms = ["--save", "runs", "--output", "out.md", "--output", "out.csv", "--output", "page.html"];
    let begun = |report: Value| ids(&report).contains(&"pipeline");
    for update in [&[][..], &["--update", "another"]] {
        _ = fs::remove_dir_all(sandbox.path("runs"));
        let words = [&gate[..], &whole, &forms, update].concat();
        let ran = stopped(&sandbox, &words, &|| kept(&sandbox.path("runs")).is_some_and(begun));
        assert_eq!(ran.code, 130, "{ran:?}");
        let [shown] = &ran.objects()[..] else { panic!("one object: {ran:?}") };
        assert_eq!(ids(shown), ["counters", "memory", "pipeline"]);
        assert_eq!(kept(&sandbox.path("runs")).as_ref(), Some(shown));
        assert!(shown["warnings"][0].as_str().unwrap().contains("not complete"), "{shown}");
        let warnings = shown["warnings"].to_string();
        assert!(warnings.contains("no verdict: tier a: compared: Counters ("), "{warnings}");
        assert_eq!(warnings.contains("the baseline was NOT written"), !update.is_empty(), "{warnings}");
        let verdicts = section(shown, "pipeline")["rows"].as_array().unwrap();
        assert!(verdicts.iter().all(|row| row["cells"][3]["text"] == "not judged"), "{verdicts:?}");
        for (file, holds) in [("out.md", "is not complete"), ("page.html", "is not complete"), ("out.csv", "pipeline,")]
        {
            let text = fs::read_to_string(sandbox.path(file)).unwrap();
            assert!(text.contains(holds), "{file}: {text}");
        }
        assert_eq!(fs::read(sandbox.path("b.toml")).unwrap(), baseline);
    }
    assert_eq!(names(&sandbox.path("work")), Vec::<String>::new());
}
