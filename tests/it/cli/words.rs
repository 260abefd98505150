//! Help, usage errors, and what needs no store.

use crate::sandbox::{Sandbox, names};
use serde_json::json;
use std::fs;

const COMMANDS: [&str; 15] = [
    "init",
    "backup",
    "snapshots",
    "ls",
    "cat",
    "find",
    "diff",
    "restore",
    "check",
    "repair",
    "key",
    "stats",
    "bench",
    "completions",
    "man",
];

/// Commands in the order in which `--help` lists them.
fn listed(help: &str) -> Vec<&str> {
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    commands.take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next()).collect()
}

#[test]
fn help_lists_what_works_and_nothing_else() {
    let help = Sandbox::new().ok(["--help"]).stdout;
    let mut expected = COMMANDS.to_vec();
    expected.push("help");
    assert_eq!(listed(&help), expected);
    for later in ["undelete", "prune", "maintenance", "recover", "rotate"] {
        assert!(!help.contains(later), "{later} is not built");
    }
}

#[test]
fn help_documents_the_exit_codes() {
    let help = Sandbox::new().ok(["--help"]).stdout;
    let codes = help.split("Exit codes:").nth(1).expect("exit codes are documented");
    for code in ["0", "1", "2", "3", "4", "5", "10", "11", "12", "20", "130"] {
        assert!(codes.lines().any(|line| line.split_whitespace().next() == Some(code)), "{code}");
    }
}

#[test]
fn every_command_has_help_with_examples() {
    let sandbox = Sandbox::new();
    for command in COMMANDS {
        for help in ["--help", "-h"] {
            let ran = sandbox.ok([command, help]);
            assert!(ran.stdout.contains("Examples:\n  larder"), "{command}: {}", ran.stdout);
            assert_eq!(ran.stderr, "");
        }
    }
}

#[test]
fn words_without_sense_are_exit_2() {
    let sandbox = Sandbox::new();
    let cases: [&[&str]; 9] = [
        &[],
        &["bake"],
        &["backup"],
        &["backup", "--compression", "rar", "x"],
        &["restore", "latest"],
        &["check", "--subset", "0%"],
        &["snapshots", "--key-file", "a", "--passphrase-file", "b"],
        &["-s", "s3://bucket/x", "snapshots"],
        &["cat", "latest"],
    ];
    for words in cases {
        let ran = sandbox.run(words);
        assert_eq!(ran.code, 2, "{words:?}: {ran:?}");
        assert_eq!(ran.stdout, "", "{words:?}");
    }
}

#[test]
fn errors_come_as_an_object_on_standard_error_with_json() {
    let sandbox = Sandbox::new();
    let usage = sandbox.run(["snapshots", "--json", "--bogus"]);
    assert_eq!((usage.code, usage.stdout.as_str()), (2, ""));
    let error: serde_json::Value = serde_json::from_str(&usage.stderr).unwrap();
    assert_eq!(error["code"], json!(2));
    assert!(error["error"].as_str().unwrap().contains("--bogus"), "{error}");
    let none = sandbox.run(["-s", "none", "snapshots", "--json"]);
    assert_eq!((none.code, none.stdout.as_str()), (10, ""));
    let error: serde_json::Value = serde_json::from_str(&none.stderr).unwrap();
    assert_eq!(error["code"], json!(10));
}

#[test]
fn a_store_that_is_named_and_not_there_is_exit_10_and_is_not_made() {
    let sandbox = Sandbox::new();
    let source = sandbox.write("source/a", "a");
    let source = source.to_str().unwrap();
    let commands: [&[&str]; 7] = [
        &["backup", source],
        &["snapshots"],
        &["ls"],
        &["check"],
        &["check", "--keyless"],
        &["stats"],
        &["restore", "latest", "--to", "t"],
    ];
    for words in commands {
        let flag = sandbox.run(["-s", "none"].iter().chain(words));
        assert_eq!(flag.code, 10, "{words:?}: {flag:?}");
        let variable = sandbox.command(words).env("LARDER_STORE", sandbox.path("none")).output().unwrap();
        assert_eq!(variable.status.code(), Some(10), "{words:?}");
    }
    assert!(!sandbox.path("none").exists() && !sandbox.path("t").exists());
    assert_eq!(names(&sandbox.home()), [""; 0]);
    let default = sandbox.run(["snapshots"]);
    assert_eq!(default.code, 10, "only a backup makes the default store: {default:?}");
}

#[test]
fn completions_and_manual_pages_cover_every_command() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = sandbox.ok(["completions", shell]).stdout;
        assert!(COMMANDS.iter().all(|command| script.contains(command)), "{shell}");
    }
    let object = &sandbox.ok(["completions", "bash", "--json"]).objects()[0];
    assert_eq!(object["shell"], json!("bash"));
    let pages = sandbox.ok(["man", "pages", "--json"]).objects();
    let written = names(&sandbox.path("pages"));
    assert_eq!(pages.len(), written.len());
    for command in COMMANDS {
        assert!(written.contains(&format!("larder-{command}.1")), "{command}: {written:?}");
    }
    let page = fs::read_to_string(sandbox.path("pages/larder.1")).unwrap();
    assert!(page.contains("Exit codes"), "the exit codes are in the manual");
}

#[test]
fn a_reader_that_goes_early_ends_it_quietly() {
    let sandbox = Sandbox::new();
    for words in [["completions", "bash"], ["--help", "-q"]] {
        let mut child = sandbox
            .command(words)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // The reading end is closed before anything is read.
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}
