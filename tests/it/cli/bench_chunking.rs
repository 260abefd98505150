//! `larder bench chunking` as a program.

use crate::sandbox::Sandbox;
use serde_json::Value;

/// A megabyte without any pattern.
fn noise() -> Vec<u8> {
    let mut bytes = vec![0; 1 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

#[test]
fn a_report_comes_as_one_object_and_is_kept() {
    let sandbox = Sandbox::new();
    let file = sandbox.write("data/file", noise());
    let folder = file.parent().unwrap().to_str().unwrap();
    let words = ["bench", "chunking", folder, "--profile", "4K", "--rounds", "1", "--threads", "1", "--json"];
    let save = sandbox.path("runs");
    let ran = sandbox.ok(words.into_iter().chain(["--save", save.to_str().unwrap()]));
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(ran.stdout.lines().count(), 1);
    let ids: Vec<_> = report["sections"].as_array().unwrap().iter().map(|section| section["id"].clone()).collect();
    assert_eq!(ids, ["chunkers", "chunk_sizes", "dedup", "resync", "throughput"]);
    assert_eq!(report["kind"], "chunking");
    assert_eq!(std::fs::read_dir(save).unwrap().count(), 1);
}

#[test]
fn words_that_make_no_sense_say_what_would() {
    let sandbox = Sandbox::new();
    let file = sandbox.write("file", noise());
    let file = file.to_str().unwrap();
    let refused = |words: &[&str], code: i32, says: &str| {
        let ran = sandbox.run(["bench", "chunking"].iter().chain(words));
        assert_eq!(ran.code, code, "{words:?}: {ran:?}");
        assert!(ran.stderr.contains(says), "{words:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "");
    };
    refused(&[file, "--chunker", "rabin"], 2, "there are larder, larder-across, fastcdc-v2020");
    refused(&[file, "--profile", "1K/2K"], 2, "smallest/average/largest");
    refused(&[file, "--profile", "64M"], 2, "smallest chunk must have");
    refused(&[file, "--profile", "4M", "--chunker", "larder"], 1, "largest chunk above 2 MiB");
    refused(&["nowhere"], 1, "neither a path nor a data set; there are kernel");
    refused(&[file, "--second", "nowhere"], 1, "neither a path nor a data set; there are kernel");
    let empty = sandbox.write("empty", "");
    refused(&[empty.to_str().unwrap()], 1, "has no bytes");
}
