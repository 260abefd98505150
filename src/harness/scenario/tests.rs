//! A small tree through all scenarios.

use super::job::perform_watched;
use super::*;
use crate::harness::data::content;
use crate::harness::report::Cell;
use crate::harness::stages::{self, StagesOptions};
use crate::storage::layer::OperationKind;

fn tree(at: &Path) -> u64 {
    fs::create_dir(at.join("sub")).unwrap();
    let mut bytes = 0;
    for n in 0..60u32 {
        let content = format!("line {n} of a file that compresses well\n").repeat(20 + n as usize * 3);
        bytes += content.len() as u64;
        fs::write(at.join(format!("sub/f{n}")), content).unwrap();
    }
    let mut noise = vec![0; 3_000_000];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    fs::write(at.join("noise"), &noise).unwrap();
    bytes + noise.len() as u64
}

fn options(work: &Path) -> ScenarioOptions {
    ScenarioOptions {
        rounds: 1,
        scenarios: Vec::new(),
        work: work.into(),
        target: Some(work.into()),
        compression: Compression::Lz4,
        read: "auto".into(),
        threads: 0,
        drop_caches: None,
        seed: 1,
        runner: Runner::Here,
        cancel: Arc::default(),
    }
}

fn data(path: &Path) -> DataSet {
    DataSet { name: "small".into(), path: path.into(), second: None }
}

#[test]
fn all_scenarios_give_plausible_figures_and_leave_nothing_behind() {
    let (tree_, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bytes = tree(tree_.path());
    let kernels = StagesOptions { rounds: 1, index_rows: 1000, store_bytes: 1, ..StagesOptions::default() };
    let kernels = stages::measure(tree_.path(), &kernels, &|_| (), &mut |_| Ok(())).unwrap();
    let mut saved = Vec::new();
    let mut so_far = |results: &Results| {
        saved.push(results.measured.len());
        Ok(())
    };
    let results = run(&data(tree_.path()), &options(work.path()), Some(&kernels), &|_| (), &mut so_far).unwrap();
    assert_eq!(saved, [1, 2, 3, 4, 5, 6, 7], "told after every scenario");
    assert_eq!((results.data.bytes, results.data.files), (bytes, 61));
    let of = |scenario: Scenario| {
        let found = results.measured.iter().find(|m| m.scenario == scenario).unwrap();
        (&found.outcomes[0], found.bounds.first())
    };
    let (first, bound) = of(Scenario::First);
    assert_eq!((first.files, first.bytes, first.bytes_read), (61, bytes, bytes));
    assert!(first.data_stored > 3_000_000 && first.data_stored < bytes + bytes / 2, "{}", first.data_stored);
    assert!(first.bytes_out >= first.data_stored && first.wall > 0.0 && first.cpu > 0.0 && first.peak > 1 << 20);
    assert!(first.stages.iter().any(|(name, times, items)| name == "compress" && times[1] > 0.0 && *items > 0));
    assert!(bound.is_some_and(|bound| bound.seconds > 0.0 && bound.seconds < first.wall * 10.0), "{bound:?}");
    let unchanged = of(Scenario::Unchanged).0;
    assert_eq!((unchanged.bytes_read, unchanged.files_read, unchanged.data_stored), (0, 0, 0));
    let changed = of(Scenario::Changed).0;
    assert!(changed.bytes_read > 0 && changed.bytes_read < changed.bytes + 1, "{changed:?}");
    assert!(changed.data_stored > 0);
    let restore = of(Scenario::Restore).0;
    assert!(restore.bytes == changed.bytes && restore.files == changed.files && restore.bytes_in > 3_000_000);
    assert!(of(Scenario::CheckReadData).0.bytes_in > of(Scenario::Check).0.bytes_in);
    // A bound for each, of the terms that it has.
    let bound = |scenario: Scenario| of(scenario).1.unwrap();
    let takes_part = |scenario: Scenario, name: &str| bound(scenario).terms.iter().any(|t| t.0 == name && t.1 > 0.0);
    for (name, [restore, check, all]) in [
        ("fetch", [true, true, true]),
        ("open", [true, true, true]),
        ("decompress", [true, false, true]),
        ("hash", [true, false, true]),
        ("locate", [false, true, true]),
        ("compress", [false, false, false]),
    ] {
        let part = [Scenario::Restore, Scenario::Check, Scenario::CheckReadData].map(|s| takes_part(s, name));
        assert_eq!(part, [restore, check, all], "{name}");
    }
    assert!(bound(Scenario::Check).seconds < bound(Scenario::CheckReadData).seconds);
    let stages = |scenario: Scenario| of(scenario).0.stages.iter().map(|s| s.0.as_str()).collect::<Vec<_>>();
    assert_eq!(stages(Scenario::Restore)[..4], ["plan", "fetch", "open", "write"]);
    assert_eq!(stages(Scenario::Check), ["records", "index", "trees"]);
    assert!(stages(Scenario::CheckReadData).contains(&"packs: open"));
    let sections = sections(&results);
    let ids: Vec<_> = sections.iter().map(|section| section.id.as_str()).collect();
    assert_eq!(ids[ids.len() - 3..], ["stages_restore", "phases_check", "phases_check-read-data"]);
    let restored = &sections[ids.len() - 3];
    let rows: Vec<_> = restored.rows.iter().map(|row| row.label.as_str()).collect();
    assert_eq!(rows, ["plan", "fetch", "open", "write", "finish"], "nothing was verified");
    let scenarios = &sections[0].rows;
    assert!(scenarios.iter().all(|row| matches!(&row.cells[4], Cell::Text(binds) if !binds.is_empty())));
    for section in sections {
        assert!(!section.rows.is_empty() && section.rows.iter().all(|r| r.cells.len() == section.columns.len()));
    }
    assert_eq!(fs::read_dir(work.path()).unwrap().count(), 0, "the work folder is empty again");
    assert_eq!(fs::read_dir(tree_.path()).unwrap().count(), 2, "the data itself is not changed");
}

#[test]
fn holes_are_in_no_figure_and_both_sizes_are_said() {
    let (tree_, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let full = tree(tree_.path());
    let mut island = vec![0; 1 << 20];
    blake3::Hasher::new().update(b"island").finalize_xof().fill(&mut island);
    let (len, image) = (64 << 20, tree_.path().join("image"));
    let Some(()) = content::testing::sparse(&image, len, &[(5 << 20, &island), (40 << 20, &island)]) else { return };
    let (content, holes) = (full + (2 << 20), len - (2 << 20));
    let kernels = StagesOptions { rounds: 1, index_rows: 1000, store_bytes: 1, ..StagesOptions::default() };
    let kernels = stages::measure(tree_.path(), &kernels, &|_| (), &mut |_| Ok(())).unwrap();
    assert_eq!(kernels.shape.bytes, content);
    // Two rounds: what one changes and undoes must leave the next as much content.
    let options = ScenarioOptions { rounds: 2, ..options(work.path()) };
    let results = run(&data(tree_.path()), &options, Some(&kernels), &|_| (), &mut |_| Ok(())).unwrap();
    assert_eq!((results.data.bytes, results.data.holes), (full + len, holes));
    for one in &results.measured {
        for (outcome, bound) in one.outcomes.iter().zip(&one.bounds) {
            match one.scenario {
                Scenario::First => assert_eq!((outcome.bytes, outcome.bytes_read), (content, content)),
                Scenario::Unchanged => assert_eq!((outcome.bytes, outcome.bytes_read), (content, 0)),
                // Files come and go: some content more or less, and far from a hole.
                _ => assert!(outcome.bytes.abs_diff(content) < content / 10, "{:?}: {outcome:?}", one.scenario),
            }
            // What a first backup has of the roofline's table.
            let at_most = kernels.first_backup().read / kernels.roofline.all_cores(&kernels.first_backup()).seconds;
            let allowed = outcome.bytes as f64 / bound.seconds;
            assert!(
                one.scenario != Scenario::First || (0.8..1.25).contains(&(allowed / at_most)),
                "{allowed} {at_most}"
            );
        }
    }
    let sections = sections(&results);
    assert!(sections[0].notes.iter().any(|note| note.starts_with("92 % of the data's bytes lie in holes")));
    let first = &sections[0].rows[0].cells;
    let [wall, rate] = [0, 1].map(|at| results.measured[0].outcomes[at].wall);
    assert!(first[1].number().unwrap() <= content as f64 / wall.min(rate) * 1.001, "{first:?}");
    let line = crate::harness::report::number::data(&results.data);
    assert_eq!(line, "small, 5.10 MiB (67.1 MiB with holes) in 62 files");
}

#[test]
fn a_file_of_several_names_is_in_a_rate_once() {
    let (tree_, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let content = tree(tree_.path());
    fs::hard_link(tree_.path().join("noise"), tree_.path().join("again")).unwrap();
    let options = ScenarioOptions { scenarios: vec![Scenario::First, Scenario::Restore], ..options(work.path()) };
    let results = run(&data(tree_.path()), &options, None, &|_| (), &mut |_| Ok(())).unwrap();
    assert_eq!((results.data.content(), results.data.files), (content, 62));
    assert_eq!(results.measured.len(), 2);
    assert!(results.measured.iter().flat_map(|one| &one.outcomes).all(|outcome| outcome.bytes == content));
}

#[test]
fn only_what_is_chosen_is_told_and_errors_clean_up() {
    let (tree_, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    tree(tree_.path());
    let chosen = ScenarioOptions { scenarios: vec![Scenario::Check], ..options(work.path()) };
    let results = run(&data(tree_.path()), &chosen, None, &|_| (), &mut |_| Ok(())).unwrap();
    let told: Vec<_> = results.measured.iter().map(|m| m.scenario).collect();
    assert_eq!(told, [Scenario::Check]);
    let error = run(&data(tree_.path()), &chosen, None, &|_| (), &mut |_| Err(BenchError::Invalid("full".into())));
    assert_eq!(error.unwrap_err().to_string(), "full");
    chosen.cancel.store(true, Relaxed);
    let error = run(&data(tree_.path()), &chosen, None, &|_| (), &mut |_| Ok(()));
    assert!(matches!(error, Err(BenchError::Interrupted)));
    assert_eq!(fs::read_dir(work.path()).unwrap().count(), 0);
}

#[test]
fn the_page_cache_is_emptied_before_each_scenario_when_it_is_to_be_cold() {
    let (tree_, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    tree(tree_.path());
    let (target, switch) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
    let scenarios = vec![Scenario::First, Scenario::Restore, Scenario::Check];
    let drop_caches = Some(Switch::at(switch.path()));
    let cold = ScenarioOptions {
        scenarios,
        rounds: 2,
        target: Some(target.path().into()),
        drop_caches,
        ..options(work.path())
    };
    // Told before the cache is emptied, so what is written so far counts the scenarios before.
    let before = std::cell::RefCell::new(Vec::new());
    let tell = |what: &str| {
        if what.starts_with("round") {
            before.borrow_mut().push(fs::read_to_string(switch.path()).unwrap().len());
        }
        assert!(!what.contains("reading the data"), "that would warm it");
    };
    let results = run(&data(tree_.path()), &cold, None, &tell, &mut |_| Ok(())).unwrap();
    assert_eq!(*before.borrow(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(fs::read_to_string(switch.path()).unwrap(), "333333");
    assert!(results.notes[0].contains("emptied before each scenario"), "{:?}", results.notes);
    let refused = ScenarioOptions { drop_caches: Some(Switch::at(&work.path().join("none"))), ..cold };
    let error = run(&data(tree_.path()), &refused, None, &tell, &mut |_| Ok(())).unwrap_err().to_string();
    assert!(error.contains("as root"), "{error}");
    assert_eq!(before.borrow().len(), 6, "nothing was begun");
}

#[test]
fn requests_are_those_that_the_storage_saw() {
    let (tree_, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    tree(tree_.path());
    let key = work.path().join("key");
    fs::write(&key, [7; 32]).unwrap();
    let job = Job {
        task: Task::Backup,
        data: tree_.path().into(),
        store: work.path().join("store"),
        key,
        home: work.path().join("home"),
        target: work.path().join("target"),
        compression: "lz4".into(),
        read: "pread".into(),
        threads: 1,
    };
    let (outcome, operations) = perform_watched(&job, &Arc::default()).unwrap();
    assert_eq!(outcome.requests(), operations.len() as u64);
    let of = |kind: OperationKind| operations.iter().filter(move |o| o.kind == kind);
    assert_eq!(outcome.requests["commit"], of(OperationKind::Commit).count() as u64);
    let written = of(OperationKind::Put).chain(of(OperationKind::Append));
    assert_eq!(outcome.bytes_out, written.map(|o| o.bytes).sum::<u64>());
    // The packs in the store's folder are what the outcome says.
    let packs = edit::files(&job.store.join("packs")).unwrap();
    assert_eq!(packs.iter().map(|(_, len)| len).sum::<u64>(), outcome.data_stored);
    let back: Outcome = serde_json::from_str(&serde_json::to_string(&outcome).unwrap()).unwrap();
    assert_eq!(back, outcome);
}

#[test]
fn a_scenario_that_is_not_there_is_an_error_that_names_those_there_are() {
    for scenario in Scenario::ALL {
        assert_eq!(scenario.name().parse(), Ok(scenario));
    }
    assert!("later".parse::<Scenario>().unwrap_err().contains("first, unchanged"));
}
