//! Every form of a report against a golden file, from one fixed report; and `larder bench report`, which renders saved ones.
//!
//! `LARDER_REWRITE_GOLDEN=1 cargo test --test it -- reports` writes the files anew; what changed is then read in the diff.

use super::sandbox::Sandbox;
use larder::harness::machine::Machine;
use larder::harness::report::{
    Better, Cell, Column, DataUsed, Form, Plot, Report, Row, SCHEMA, Section, Unit, github_action, json, render,
};
use larder::harness::stats;
use std::fs;
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reports").join(name)
}

fn golden(name: &str, text: &str) {
    let path = fixture(name);
    if std::env::var_os("LARDER_REWRITE_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    let differs = known.lines().zip(text.lines()).find(|(known, text)| known != text);
    assert!(known == text, "{name} has changed (LARDER_REWRITE_GOLDEN=1 writes it anew), first at {differs:#?}");
}

fn row(label: &str, cells: impl Into<Vec<Cell>>) -> Row {
    Row { label: label.into(), cells: cells.into() }
}

fn kernel_tree() -> Option<DataUsed> {
    Some(DataUsed { name: "kernel-tree".into(), bytes: 1_253_000_000, files: 78_579, ..DataUsed::default() })
}

/// Samples around a value, as a quiet machine gives them.
fn around(value: f64) -> Cell {
    let noise = [0.004, -0.011, 0.0, 0.017, -0.006, 0.009, -0.002];
    stats::measured(&noise.map(|n| value * (1.0 + n)))
}

fn stages(faster: f64) -> Section {
    let stage = |label: &str, one: f64, limit: f64, path: &str| {
        row(label, [around(one), Cell::Exact(limit), Cell::Exact(1e9 / one), Cell::Text(path.into())])
    };
    Section {
        id: "stages".into(),
        title: "Stages, one core".into(),
        data: kernel_tree(),
        columns: vec![
            Column::new("bytes_per_second", "speed", Unit::BytesPerSecond, Better::Higher),
            Column::new("roofline", "roofline", Unit::BytesPerSecond, Better::Neither),
            Column::new("ns_per_byte", "cost", Unit::NsPerByte, Better::Lower),
            Column::new("path", "CPU path", Unit::Text, Better::Neither),
        ],
        rows: vec![
            stage("read", 6.9e9 * (2.0 - faster), 7.4e9, "pread"),
            stage("chunk", 1.55e9 * faster, 2.0e9, "gear, pinned"),
            stage("hash", 3.82e9 / (1.0 + (faster - 1.0) / 3.0), 4.46e9, "avx512"),
            stage("compress", 0.61e9, 0.66e9, "lz4"),
            stage("seal", 1.02e9, 1.69e9, "avx2"),
        ],
        plots: vec![Plot::Bars {
            title: "Speed of each stage against its roofline".into(),
            column: "bytes_per_second".into(),
            limit: Some("roofline".into()),
            line: None,
        }],
        notes: vec!["The terms add up to 412 MB/s a core; compress binds.".into()],
    }
}

fn chunking() -> Section {
    // Classes that double, from 4 KiB on.
    let classes = |counts: [u64; 9]| (12..21).map(|power| f64::from(1u32 << power)).zip(counts).collect();
    Section {
        id: "chunking".into(),
        title: "Chunkers".into(),
        data: kernel_tree(),
        columns: vec![
            Column::new("mean", "mean", Unit::Bytes, Better::Neither),
            Column::new("dedup", "dedup", Unit::Ratio, Better::Higher),
            Column::new("shared", "shared after edits", Unit::Share, Better::Higher),
        ],
        rows: vec![
            row("larder 64 KiB", [Cell::Exact(65_412.0), Cell::Exact(7.31), Cell::Exact(0.987)]),
            row("fastcdc 5 v2020", [Cell::Exact(66_020.0), Cell::Exact(7.29), Cell::Exact(0.986)]),
            row("fixed 64 KiB", [Cell::Exact(65_536.0), Cell::Exact(4.02), Cell::Empty]),
        ],
        plots: vec![Plot::Histogram {
            title: "Chunk sizes".into(),
            unit: Unit::Bytes,
            series: vec![
                ("larder 64 KiB".into(), classes([0, 12, 340, 2210, 6105, 4080, 911, 60, 2])),
                ("fastcdc 5 v2020".into(), classes([3, 25, 410, 2350, 5800, 3900, 1010, 99, 14])),
                ("fixed 64 KiB".into(), classes([0, 0, 0, 0, 19_120, 0, 0, 0, 0])),
            ],
        }],
        notes: vec![],
    }
}

fn compare(slower: f64) -> Section {
    let against = |label: &str, seconds: f64, noise: f64| {
        let pairs: Vec<(f64, f64)> = (0..9)
            .map(|round| {
                let disturbed = 1.0 + 0.02 * f64::from(round % 3);
                let own = 1.0 + noise * (f64::from((round * 7) % 9) - 4.0) / 4.0;
                (seconds * disturbed * own, 1.9 * disturbed)
            })
            .collect();
        let times: Vec<f64> = pairs.iter().map(|pair| pair.0).collect();
        row(label, [stats::measured(&times), stats::ratio_of_medians(&pairs), Cell::Text("restored equal".into())])
    };
    Section {
        id: "first_backup".into(),
        title: "First backup".into(),
        data: kernel_tree(),
        columns: vec![
            Column::new("seconds", "time", Unit::Seconds, Better::Lower),
            Column::new("ratio", "to larder", Unit::Ratio, Better::Higher),
            Column::new("restore", "restore", Unit::Text, Better::Neither),
        ],
        rows: vec![
            against("larder 0.1.0", 1.9 * slower, 0.0),
            against("bupstash 0.12.0", 4.9, 0.03),
            against("restic 0.19.0", 11.2, 0.11),
            row("kopia", [Cell::Empty, Cell::Empty, Cell::Text("not installed".into())]),
            // Labels come from outside and may hold anything.
            row("<b>a|b</b> & \"c\", d\u{1b}[2J\n'e'", [Cell::Exact(7.0), Cell::Exact(3.68), Cell::Empty]),
        ],
        plots: vec![Plot::Bars {
            title: "Time as a multiple of larder's".into(),
            column: "ratio".into(),
            limit: None,
            line: Some(1.0),
        }],
        notes: vec!["9 rounds in rotated order, warm cache.".into()],
    }
}

/// As wide as tables become: what its columns do on a narrow page is looked at by tests/page.sh.
fn scenarios() -> Section {
    let column = |id: &str, unit| Column::new(id, id, unit, Better::Neither);
    let scenario = |label: &str, seconds: f64, binds: &str| {
        let numbers = [seconds, 1.25e9 / seconds, 9.13e8, 0.421].map(around);
        let more = [78_579.0 / seconds, 3.29, 38.4e6, 66.0, 10.4e6, 576e3].map(around);
        let words = [binds, "of all that was tried, this is what came of it in the end"].map(|w| Cell::Text(w.into()));
        row(label, [&numbers[..], &words, &more].concat())
    };
    Section {
        id: "scenarios".into(),
        title: "Scenarios".into(),
        data: kernel_tree(),
        columns: vec![
            column("wall", Unit::Seconds),
            column("content", Unit::BytesPerSecond),
            column("roofline", Unit::BytesPerSecond),
            column("of the roofline", Unit::Share),
            column("what binds", Unit::Text),
            column("what came of it", Unit::Text),
            column("files", Unit::PerSecond),
            column("CPU", Unit::SecondsPerGb),
            column("peak memory", Unit::Bytes),
            column("requests", Unit::Count),
            column("to storage", Unit::Bytes),
            column("from storage", Unit::Bytes),
        ],
        rows: vec![
            scenario("first backup", 1.9, "CPU, open and close files 44 % of it"),
            scenario("check --read-data", 0.21, "one thread: select"),
        ],
        ..Section::default()
    }
}

fn report_of(started: &str, slower: f64) -> Report {
    Report {
        schema: SCHEMA,
        kind: "golden".into(),
        program: "larder 0.1.0".into(),
        command: ["golden", "--data", "kernel-tree"].map(String::from).into(),
        started: started.into(),
        machine: Machine {
            cpu: "Example CPU 9000 @ 2.50GHz".into(),
            cores: 2,
            features: ["avx2", "avx512f", "avx512bw", "avx512vl", "sha_ni"].map(String::from).into(),
            memory: 8 << 30,
            os: "Debian GNU/Linux 12 (bookworm), Linux 6.18.0".into(),
        },
        sections: vec![stages(2.0 - slower), chunking(), compare(slower)],
        warnings: vec!["other programs took 7 % of the CPU time of this run: end them".into()],
        watch: Default::default(),
    }
}

fn report() -> Report {
    let mut report = report_of("2026-05-04T08:00:00Z", 1.0);
    report.sections.push(scenarios());
    report
}

fn history() -> Vec<Report> {
    [("2026-05-01T08:00:00Z", 1.12), ("2026-05-02T08:00:00Z", 1.06), ("2026-05-03T08:00:00Z", 1.07)]
        .map(|(started, slower)| report_of(started, slower))
        .into()
}

#[test]
fn every_form_is_as_its_golden_file() {
    let (report, history) = (report(), history());
    let names = [
        (Form::Table, "report.txt"),
        (Form::Json, "report.json"),
        (Form::Markdown, "report.md"),
        (Form::Csv, "report.csv"),
        (Form::GithubAction, "github-action.json"),
        (Form::Bencher, "bencher.json"),
        (Form::Html, "report.html"),
    ];
    assert_eq!(names.map(|(form, _)| form), Form::ALL, "a form has no golden file");
    for (form, name) in names {
        golden(name, &render(form, &report, &history));
    }
}

#[test]
fn json_keeps_everything() {
    let report = report();
    let back = json::read(&json::pretty(&report), Path::new("x")).unwrap();
    assert_eq!(json::line(&back), json::line(&report));
    assert_eq!(back.sections[2].rows[4].label, report.sections[2].rows[4].label);
    let saved = fs::read_to_string(fixture("report.json")).unwrap();
    assert_eq!(json::read(&saved, Path::new("report.json")).unwrap().schema, SCHEMA);
}

#[test]
fn trackers_get_what_their_formats_allow() {
    let report = report();
    for better in [Better::Lower, Better::Higher] {
        let array: serde_json::Value = serde_json::from_str(&github_action::render(&report, better)).unwrap();
        let entries = array.as_array().unwrap();
        assert!(!entries.is_empty());
        let mut names = std::collections::HashSet::new();
        for entry in entries {
            assert!(entry["name"].is_string() && entry["unit"].is_string() && entry["value"].is_number(), "{entry}");
            assert!(entry.get("range").is_none_or(|range| range.is_string()), "{entry}");
            assert!(names.insert(entry["name"].to_string()), "{entry} twice");
        }
    }
    // https://bencher.dev/bmf.json: objects of objects with a number `value` and optional number bounds.
    let bmf: serde_json::Value = serde_json::from_str(&render(Form::Bencher, &report, &[])).unwrap();
    for (benchmark, measures) in bmf.as_object().unwrap() {
        assert!(benchmark.chars().count() <= 1024);
        for (measure, metric) in measures.as_object().unwrap() {
            assert!(!measure.is_empty() && measure.len() <= 64 && metric["value"].is_number(), "{metric}");
            for bound in ["lower_value", "upper_value"] {
                assert!(metric.get(bound).is_none_or(|bound| bound.is_number()), "{metric}");
            }
        }
    }
}

#[test]
fn the_page_needs_nothing_from_elsewhere_and_runs_nothing() {
    let page = render(Form::Html, &report(), &history()).to_lowercase();
    for never in [
        "http:",
        "https:",
        "//",
        "src=",
        "url(",
        "@import",
        "<link",
        "<script",
        "<iframe",
        "<object",
        "<img",
        "onload",
        "javascript:",
    ] {
        assert!(!page.contains(never), "the page has {never}");
    }
    // Links lead within the page only.
    assert_eq!(page.matches("href=\"").count(), page.matches("href=\"#").count());
    assert!(page.contains("default-src 'none'"));
    assert!(page.contains("&lt;b&gt;a|b&lt;/b&gt;") && !page.contains("<b>"), "labels are escaped");
    assert!(!page.contains('\u{1b}'));
    assert_eq!(page.matches("<figure").count(), 6, "three plots and three charts of history");
}

#[test]
fn an_empty_report_has_every_form() {
    let mut report = report();
    report.sections = vec![Section { title: "Nothing".into(), plots: stages(1.0).plots, ..Section::default() }];
    for form in Form::ALL {
        assert!(render(form, &report, &[]).ends_with('\n'), "{form}");
    }
}

#[test]
fn saved_reports_are_rendered_in_any_form() {
    let sandbox = Sandbox::new();
    let saved = sandbox.write("runs/new.json", json::pretty(&report()));
    for (at, old) in history().iter().enumerate() {
        sandbox.write(&format!("runs/old-{at}.json"), json::pretty(old));
    }
    let saved = saved.to_str().unwrap();
    let ran = sandbox.ok(["bench", "report", saved]);
    assert_eq!(ran.stdout, fs::read_to_string(fixture("report.txt")).unwrap());
    let line = sandbox.ok(["bench", "report", saved, "--json"]).stdout;
    assert_eq!(line.lines().count(), 1);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap()["type"], "bench_report");
    let words =
        ["bench", "report", "runs", "--output", "page.html", "--output", "github-action=b.json", "--output", "csv=c"];
    sandbox.ok(words.into_iter().chain(["--format", "markdown"]));
    for (made, known) in [("page.html", "report.html"), ("c", "report.csv")] {
        assert_eq!(
            fs::read_to_string(sandbox.path(made)).unwrap(),
            fs::read_to_string(fixture(known)).unwrap(),
            "{made}"
        );
    }
    for better in ["smaller", "bigger"] {
        let array = fs::read(sandbox.path(&format!("b.{better}.json"))).unwrap();
        assert!(!serde_json::from_slice::<Vec<serde_json::Value>>(&array).unwrap().is_empty());
    }
}

#[test]
fn what_cannot_be_rendered_is_said() {
    let sandbox = Sandbox::new();
    let fails = |words: &[&str], code: i32, message: &str| {
        let ran = sandbox.run(["bench", "report"].iter().chain(words));
        assert!(ran.code == code && ran.stderr.contains(message), "{words:?}: {ran:?}");
    };
    fails(&["absent.json"], 1, "cannot read absent.json");
    sandbox.write("newer.json", json::line(&report()).replace("\"schema\":1", "\"schema\":2"));
    fails(&["newer.json"], 2, "has schema 2");
    sandbox.write("package.json", "{}");
    fails(&["package.json"], 2, "is no report of larder bench");
    fs::create_dir(sandbox.path("empty")).unwrap();
    fails(&["empty"], 1, "--save DIR");
    sandbox.write("run.json", json::line(&report()));
    fails(&["run.json", "--output", "report.xls"], 2, "FORM=FILE");
    fails(&["run.json", "--format", "xml"], 2, "table, json, markdown");
    fails(&["run.json", "--output", "absent/page.html"], 1, "absent/page.html");
    let ran = sandbox.ok(["bench", "report", "run.json", "--format", "csv"]);
    assert!(ran.stdout.starts_with("section,row") && ran.stderr.contains("other programs took 7 %"), "{ran:?}");
    fails(&["run.json", "--json", "--format", "csv"], 2, "cannot be used with");
}

#[test]
fn what_history_lacks_is_said() {
    let sandbox = Sandbox::new();
    sandbox.write("run.json", json::line(&report()));
    sandbox.write("runs/half.json", &json::line(&report())[..500]);
    let warns = |words: &[&str], message: &str| {
        let ran = sandbox.ok(["bench", "report", "run.json"].iter().chain(words));
        assert!(ran.stderr.contains(message), "{words:?}: {ran:?}");
    };
    warns(&["--history", "absent", "--output", "page.html"], "--history: absent is no folder");
    warns(&["--history", "runs"], "only a page shows earlier runs");
    warns(&["--history", "runs", "--output", "page.html"], "half.json is no JSON");
}
