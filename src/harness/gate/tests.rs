//! The gate against itself: the same code passes, planted changes fail, and what cannot be measured is no pass.

use super::*;
use crate::harness::gate::baseline::SCHEMA;
use crate::harness::gate::work::Work;

fn counted(work: &Work) -> counters::Counted {
    let folder = tempfile::tempdir().unwrap();
    counters::take(work, folder.path(), &Arc::default()).unwrap()
}

fn changed(was: &Values, is: &Values) -> Vec<String> {
    let findings = compare(was, is, |_| Limit::Exact);
    findings.into_iter().filter(|f| f.verdict != Verdict::Within).map(|f| f.name).collect()
}

#[test]
fn the_same_code_counts_the_same_ten_times_in_a_row() {
    let work = Work::new();
    let first = counted(&work);
    assert!(first.exact.len() > 60, "{}", first.exact.len());
    for _ in 0..10 {
        let again = counted(&work);
        assert_eq!(changed(&first.exact, &again.exact), Vec::<String>::new());
    }
}

#[test]
fn one_more_byte_is_found() {
    let mut work = Work::new();
    let first = counted(&work);
    work.add("middle/01", work::noise(1001, 60 * 1024 + 52_711 + 1));
    let again = counted(&work);
    let names = changed(&first.exact, &again.exact);
    assert!(names.contains(&"layout/bytes sealed".to_string()), "{names:?}");
    let sealed = |counted: &counters::Counted| counted.exact["layout/bytes sealed"].number().unwrap();
    assert_eq!(sealed(&again), sealed(&first) + 1.0);
}

#[test]
fn a_cut_that_moves_by_one_byte_is_found() {
    let cutter = counters::cutter().unwrap();
    let (mut right, mut moved) = (Values::new(), Values::new());
    counters::cuts(&mut right, |data, lengths| cutter.cuts(data, lengths));
    counters::cuts(&mut moved, |data, lengths| {
        cutter.cuts(data, lengths);
        if let [.., a, b] = lengths.as_mut_slice() {
            (*a, *b) = (*a - 1, *b + 1);
        }
    });
    assert!(changed(&right, &moved).contains(&"cuts/noise/hash".to_string()));
    // The definition gives the same hashes.
    let mut defined = Values::new();
    counters::cuts(&mut defined, |mut rest, lengths| {
        while !rest.is_empty() {
            let length = cutter.cut(rest);
            lengths.push(length as u32);
            rest = &rest[length..];
        }
    });
    assert_eq!(changed(&right, &defined), Vec::<String>::new());
}

fn plan(folder: &Path) -> Plan {
    Plan {
        baseline: folder.join("baseline.toml"),
        tiers: [Tier::A].into(),
        without_syscalls: true,
        skip_elsewhere: true,
        update: None,
        criterion: None,
        pipeline: None,
        child: Child::of(Path::new("/no/such/larder")),
        work: folder.into(),
        cancel: Arc::default(),
    }
}

fn go(plan: &Plan) -> Result<Outcome, BenchError> {
    run(plan, &[], &mut |_| {}, &mut |_| Ok(()))
}

fn tested() -> Baseline {
    let work = Work::new();
    Baseline { counters: counted(&work).exact, ..Baseline::default() }
}

#[test]
fn a_missing_baseline_and_one_of_another_schema_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path());
    let error = go(&plan).unwrap_err().to_string();
    assert!(error.contains("no baseline at") && error.contains("--update"), "{error}");
    std::fs::write(&plan.baseline, format!("schema = {}", SCHEMA + 1)).unwrap();
    let error = go(&plan).unwrap_err().to_string();
    assert!(error.contains("schema 2") && error.contains("--update"), "{error}");
    let error = go(&Plan { update: Some(" ".into()), ..plan.clone() }).unwrap_err().to_string();
    assert!(error.contains("needs a reason"), "{error}");
    let pair = |rounds| pipeline::Pair {
        ours: "/no/such/larder".into(),
        base: "/bin/sh".into(),
        data: None,
        rounds,
        target: folder.path().into(),
    };
    pair(5).check().unwrap();
    let gone = pipeline::Pair { base: "/no/such/base".into(), ..pair(5) };
    let error = go(&Plan { pipeline: Some(gone), ..plan.clone() }).unwrap_err().to_string();
    assert!(error.contains("/no/such/base: --base names"), "{error}");
    let error = go(&Plan { pipeline: Some(pair(4)), ..plan.clone() }).unwrap_err();
    assert!(matches!(error, BenchError::Invalid(_)) && error.to_string().contains("--rounds 4: "), "{error}");
    let error = go(&Plan { tiers: [Tier::C].into(), ..plan }).unwrap_err().to_string();
    assert!(error.contains("--criterion"), "{error}");
}

#[test]
fn a_changed_counter_fails_and_what_is_not_measured_is_no_pass() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path());
    let mut baseline = tested();
    baseline.write(&plan.baseline).unwrap();
    let outcome = go(&plan).unwrap();
    // Allocations are not counted in this build, and the gate says so.
    assert_eq!(outcome.verdict, Verdict::NotMeasured);
    assert!(outcome.report.warnings.iter().any(|w| w.contains("Allocations")), "{:?}", outcome.report.warnings);
    let chunks = baseline.counters["first/chunks"].number().unwrap() as u64;
    baseline.counters.insert("first/chunks".into(), Value::Number(chunks + 1));
    baseline.write(&plan.baseline).unwrap();
    let outcome = go(&plan).unwrap();
    assert_eq!(outcome.verdict, Verdict::Changed);
    assert_eq!(outcome.report.sections[0].rows[0].label, "first/chunks", "what changed comes first");
}

#[test]
fn a_stopped_gate_has_what_it_compared_and_writes_no_baseline() {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = Plan { tiers: [Tier::A, Tier::B].into(), ..plan(folder.path()) };
    tested().write(&plan.baseline).unwrap();
    let before = std::fs::read(&plan.baseline).unwrap();
    for update in [None, Some("the first".to_string())] {
        (plan.update, plan.cancel) = (update, Arc::default());
        let mut told = Vec::new();
        let outcome = run(&plan, &[], &mut |_| {}, &mut |report| {
            told.push(report.clone());
            plan.cancel.store(true, Relaxed);
            Ok(())
        });
        assert!(matches!(outcome, Err(BenchError::Interrupted)), "{outcome:?}");
        let [report] = told.as_slice() else { panic!("told once, after the counters: {told:?}") };
        assert_eq!(report.sections[0].id, "counters");
        let warnings = report.warnings.join("\n");
        let reach = "no verdict: tier a: compared: Counters (";
        assert!(warnings.contains(reach) && warnings.contains("; tier b: not begun"), "{warnings}");
        assert_eq!(warnings.contains("the baseline was NOT written"), plan.update.is_some(), "{warnings}");
        assert_eq!(std::fs::read(&plan.baseline).unwrap(), before);
    }
    // Stopped while it counts: that is no part that could not be measured.
    let outcome = run(&plan, &[], &mut |_| plan.cancel.store(true, Relaxed), &mut |_| panic!("nothing was compared"));
    assert!(matches!(outcome, Err(BenchError::Interrupted)), "{outcome:?}");
}

#[test]
fn a_baseline_of_another_machine_is_an_error_or_passed_over_and_never_a_pass() {
    let folder = tempfile::tempdir().unwrap();
    let values = Values::from([("seal".to_string(), Value::Ratio(2.0))]);
    let elsewhere =
        Baseline { ratios: vec![Taken { on: "another".into(), values: values.clone() }], ..Baseline::default() };
    let judge = |skip_elsewhere| {
        let plan = Plan { skip_elsewhere, ..plan(folder.path()) };
        let (report, baseline) = (Report::new("gate", &[]), elsewhere.clone());
        let mut so_far = |_: &Report| Ok(());
        let mut gate = Gate::new(&plan, baseline, report, &mut so_far);
        gate.tried.push(Tried { tier: Tier::C, compared: vec![], passed_over: vec![] });
        let done = gate.part(("ratios", "Ratios"), |b| &mut b.ratios, "this".into(), values.clone(), |_| Limit::Exact);
        let outcome = gate.outcome();
        (done, outcome.verdict, outcome.report.warnings.join("\n"), (outcome.tiers.join("\n"), outcome.in_part))
    };
    let (done, verdict, warnings, _) = judge(false);
    assert_eq!((done, verdict), (0, Verdict::NotMeasured));
    assert!(warnings.contains("taken elsewhere (another) and this is this"), "{warnings}");
    let (done, verdict, warnings, tiers) = judge(true);
    // Nothing compared: the run as a whole fails on that.
    assert_eq!((done, verdict), (0, Verdict::Within));
    assert!(warnings.contains("PASSED OVER"), "{warnings}");
    assert_eq!(tiers, ("tier c: nothing was compared; passed over: Ratios".into(), true));
}

#[test]
fn an_interval_fails_by_its_lower_end() {
    let ratio = |value, low, high| Cell::Measured { value, low, high, samples: vec![] };
    let judge = |cell: Cell| {
        let values = Values::from([("seal".to_string(), Value::Ratio(2.0))]);
        let findings = compare(&values, &values, |_| Limit::Exact);
        let mut section = section("ratios", "", &findings, vec![]);
        judge_intervals(&mut section, &[("seal".to_string(), cell)].into())
    };
    assert_eq!(judge(ratio(2.2, 2.0, 2.4)), Verdict::Within);
    assert_eq!(judge(ratio(2.2, 2.15, 2.4)), Verdict::Slower);
    assert_eq!(judge(ratio(1.5, 1.4, 1.6)), Verdict::Within);
    assert_eq!(judge(ratio(f64::NAN, f64::NAN, f64::NAN)), Verdict::Slower);
    assert_eq!(judge(Cell::Empty), Verdict::Changed);
}

#[test]
fn the_compiler_is_found_in_the_program() {
    assert_eq!(compiler(b"\0rustc version 1.95.0 (5980)\0"), Some("rustc 1.95.0".into()));
    assert_eq!(compiler(b"nothing"), None);
    assert!(toolchain().contains("rustc 1."), "{}", toolchain());
}
