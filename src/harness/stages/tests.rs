//! The kernels on a small tree.

use super::*;
use crate::harness::report::DataUsed;
use std::fs;

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Short files, text, a duplicate, one file that is cut in pieces.
fn tree(at: &Path) -> u64 {
    let text = "the quick brown fox jumps over the lazy dog, again and again\n".repeat(5000);
    let files = [
        ("inline", b"short".to_vec()),
        ("text", text.clone().into_bytes()),
        ("again", text.into_bytes()),
        ("noise", noise(700_000, 1)),
        ("big", noise(5_000_000, 2)),
        ("small", noise(3000, 3)),
    ];
    files.iter().for_each(|(name, bytes)| fs::write(at.join(name), bytes).unwrap());
    files.iter().map(|(_, bytes)| bytes.len() as u64).sum()
}

fn options() -> StagesOptions {
    StagesOptions { rounds: 2, index_rows: 2000, store_bytes: 1, ..StagesOptions::default() }
}

#[test]
fn every_kernel_runs_on_what_the_pipeline_would_give_it() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = tree(folder.path());
    let compression = Compression::Zstd(1);
    let told = std::cell::RefCell::new(Vec::new());
    let options = StagesOptions { compression, ..options() };
    let stages =
        measure(folder.path(), &options, &|what| told.borrow_mut().push(what.to_string()), &mut |_| Ok(())).unwrap();
    assert!(told.borrow().contains(&"round 2 of 2: seal".to_string()));
    let shape = &stages.shape;
    assert_eq!((shape.bytes, shape.files, shape.big, shape.limited), (bytes, 6, 5_000_000, false));
    assert_eq!(shape.hashed, bytes - 5, "the short file lies in the tree");
    assert_eq!(shape.hashed - shape.new, 61 * 5000, "the second text is a duplicate");
    assert!(stages.blob_bytes < shape.new && stages.blob_bytes > 5_700_000, "{}", stages.blob_bytes);
    let names: Vec<_> = stages.kernels.iter().map(|k| k.name.as_str()).collect();
    assert_eq!(
        names.join("; "),
        "walk; open and close files; read; chunk: cut and scan; chunk: select; hash; look-up, miss; look-up, hit; claim; \
         compress lz4; compress zstd:1; seal; pack; store; fetch; open; decompress lz4; decompress zstd:1"
    );
    for kernel in &stages.kernels {
        assert!(kernel.one.len() == 2 && kernel.one.iter().all(|s| *s > 0.0), "{kernel:?}");
        assert_eq!(kernel.all.len(), if kernel.kernel.is_ordered() { 0 } else { 2 }, "{kernel:?}");
    }
    // Every term of a whole run has its cost.
    let names: Vec<_> = stages.roofline.terms.iter().map(|term| term.name).collect();
    assert_eq!(names[10..], ["pack", "fetch", "open", "locate", "decompress"]);
    assert!(stages.roofline.terms.iter().all(|term| term.name == "read" || term.one > 0.0));
    // What binds is one of the terms, and one core is no faster than all its terms.
    let bound = stages.roofline.one_core(&stages.first_backup());
    assert!(bound.seconds > 0.0 && bound.seconds >= bound.terms.iter().map(|t| t.1).sum());
    let sections = sections(&stages, &DataUsed::default());
    for section in &sections {
        assert!(!section.rows.is_empty() && section.rows.iter().all(|r| r.cells.len() == section.columns.len()));
    }
}

#[test]
fn the_limit_holds_in_the_middle_of_a_big_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("big"), noise(9_000_000, 1)).unwrap();
    let stages =
        measure(folder.path(), &StagesOptions { limit: 3 << 20, ..options() }, &|_| (), &mut |_| Ok(())).unwrap();
    assert_eq!((stages.shape.bytes, stages.shape.limited), (4 << 20, true), "whole batches");
}

#[test]
fn hashing_and_cutting_run_on_the_path_that_was_chosen() {
    let folder = tempfile::tempdir().unwrap();
    tree(folder.path());
    let paths = vec!["blake3=portable".to_string(), "gear=scalar".to_string()];
    let stages =
        measure(folder.path(), &StagesOptions { paths, rounds: 1, ..options() }, &|_| (), &mut |_| Ok(())).unwrap();
    let path = |kernel| stages.kernels.iter().find(|k| k.kernel == kernel).map(|k| k.path.as_str());
    assert_eq!(path(Kernel::Hash), Some("blake3 portable"));
    assert_eq!([Kernel::Cut, Kernel::Select].map(path), [Some("gear scalar"); 2]);
    assert_eq!(stages.cut_on, (ScanPath::here()[0] != ScanPath::Scalar).then_some("scalar"));
    let other = measure(folder.path(), &StagesOptions { rounds: 1, ..options() }, &|_| (), &mut |_| Ok(())).unwrap();
    let cut = other.kernels.iter().find(|k| k.kernel == Kernel::Cut).unwrap();
    assert_eq!((cut.path.as_str(), other.cut_on), (&*format!("gear {}", ScanPath::here()[0].name()), None));
    assert_eq!(stages.hash_on, (path::paths()[0].used != "portable").then_some("portable"));
}

#[test]
fn what_cannot_be_measured_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let error =
        |options: &StagesOptions| measure(folder.path(), options, &|_| (), &mut |_| Ok(())).unwrap_err().to_string();
    assert!(error(&options()).contains("holds no content"));
    let paths = vec!["blake3=avx1024".to_string()];
    assert!(error(&StagesOptions { paths, ..options() }).contains("there is: "));
    assert!(error(&StagesOptions { rounds: 0, ..options() }).contains("at least one"));
    let cancelled = StagesOptions::default();
    cancelled.cancel.store(true, Relaxed);
    assert_eq!(error(&cancelled), "interrupted");
}

#[test]
fn a_run_that_is_stopped_gives_the_kernels_that_had_a_round() {
    let folder = tempfile::tempdir().unwrap();
    tree(folder.path());
    let options = options();
    let tell = |what: &str| options.cancel.store(what == "round 1 of 2: hash", Relaxed);
    let mut kept = Vec::new();
    let ended = measure(folder.path(), &options, &tell, &mut |so_far| {
        kept.push(so_far.clone());
        Ok(())
    });
    assert!(matches!(ended, Err(BenchError::Interrupted)));
    let [stages] = &kept[..] else { panic!("one round: {kept:?}") };
    assert!(!stages.is_whole());
    let sections = sections(stages, &DataUsed::default());
    let ids: Vec<_> = sections.iter().map(|section| section.id.as_str()).collect();
    assert_eq!(ids, ["kernels", "cpu_paths"], "a roofline would lack terms");
    let rows: Vec<_> = sections[0].rows.iter().map(|row| row.label.as_str()).collect();
    assert_eq!(rows, ["walk", "open and close files", "read", "chunk: cut and scan", "chunk: select", "hash"]);
    assert!(
        sections[0].notes.iter().any(|note| note.starts_with("Not measured, so there is no roofline: look-up, miss;"))
    );
}
