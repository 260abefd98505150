//! The report: a section a step, a row a tool.

use super::rounds::{Plan, Sample, Samples};
use super::tool::{Found, Step};
use super::tree::NOT_COMPARED;
use crate::harness::report::{Better, Cell, Column, DataUsed, Plot, Report, Row, Section, Unit};
use crate::harness::stats::{measured, ratio_of_medians, spread};

/// With a spread above this the order of close rows means little.
const SPREAD_MAX: f64 = 0.10;
const ROUNDS_MIN: usize = 5;

/// What the rounds so far say. `versions` is one a tool of the plan.
pub fn report(command: &[String], plan: &Plan, versions: &[String], data: &DataUsed, samples: &Samples) -> Report {
    let mut report = Report::new("compare", command);
    for &step in &plan.steps {
        report.sections.extend(section(plan, step, data, samples));
    }
    report.sections.push(programs(plan, versions));
    report.warnings = samples.warnings.clone();
    report.warnings.extend(doubts(plan, samples));
    report
}

fn section(plan: &Plan, step: Step, data: &DataUsed, samples: &Samples) -> Option<Section> {
    let ours = plan.tools.first()?.label.as_str();
    let rows: Vec<Row> = plan.tools.iter().filter_map(|found| row(found, ours, step, data, samples)).collect();
    if rows.is_empty() {
        return None;
    }
    let mut notes = Vec::new();
    let cache = if plan.drop_caches { "cold page cache" } else { "warm page cache" };
    notes.push(format!(
        "{} rounds, {cache}; × {ours}: above 1 is slower than {ours}, with its 95 % interval",
        samples.rounds
    ));
    if step == Step::Restore {
        notes.push(format!("each restore was compared with its source; {NOT_COMPARED}"));
    }
    if step == Step::Second && !samples.other_path.is_empty() {
        notes.push(format!(
            "{} saw the second version under another path: only root can mount it where the first one lay",
            samples.other_path.join(", ")
        ));
    }
    let lower = Better::Lower;
    Some(Section {
        id: step.id().into(),
        title: step.title().into(),
        data: Some(data.clone()),
        columns: vec![
            Column::new("wall", "time", Unit::Seconds, lower),
            Column::new("throughput", "throughput", Unit::BytesPerSecond, Better::Higher),
            Column::new("ratio", &format!("× {ours}"), Unit::Ratio, lower),
            Column::new("cpu", "CPU time", Unit::Seconds, lower),
            Column::new("peak", "peak memory", Unit::Bytes, lower),
            Column::new("stored", "stored", Unit::Bytes, lower),
            Column::new("spread", "spread", Unit::Share, lower),
        ],
        rows,
        plots: vec![Plot::Bars {
            title: format!("{}: time, × {ours}", step.title()),
            column: "ratio".into(),
            limit: None,
            line: Some(1.0),
        }],
        notes,
    })
}

fn row(found: &Found, ours: &str, step: Step, data: &DataUsed, samples: &Samples) -> Option<Row> {
    let label = &found.label;
    let taken = samples.taken.get(&(label.clone(), step))?;
    let of = |value: fn(&Sample) -> f64| taken.iter().map(value).collect::<Vec<_>>();
    let wall = of(|sample| sample.usage.wall);
    // Of a second version only the first one's size is known.
    let throughput = match step {
        Step::Second => Cell::Empty,
        _ => measured(&wall.iter().map(|wall| data.bytes as f64 / wall).collect::<Vec<_>>()),
    };
    let ratio = ratio_of_medians(&samples.pairs(label, ours, step, |sample| sample.usage.wall));
    let stored = match found.tool.first.is_empty() {
        true => Cell::Empty,
        false => measured(&of(|sample| sample.stored as f64)),
    };
    let cells = vec![
        measured(&wall),
        throughput,
        ratio,
        measured(&of(|sample| sample.usage.cpu)),
        measured(&of(|sample| sample.usage.peak as f64)),
        stored,
        if wall.len() > 1 { Cell::Exact(spread(&wall)) } else { Cell::Empty },
    ];
    Some(Row { label: label.clone(), cells })
}

fn programs(plan: &Plan, versions: &[String]) -> Section {
    let text = |id: &str, title: &str| Column::new(id, title, Unit::Text, Better::Neither);
    let row = |(found, version): (&Found, &String)| Row {
        label: found.label.clone(),
        cells: vec![Cell::Text(version.clone()), Cell::Text(found.tool.parameters.clone())],
    };
    Section {
        id: "programs".into(),
        title: "Programs".into(),
        columns: vec![text("version", "version"), text("parameters", "parameters")],
        rows: plan.tools.iter().zip(versions).map(row).collect(),
        notes: vec![
            "a child begins with the harness's own memory: peaks below some 10 MiB say nothing".into(),
            "CPU time includes children that were waited for; of several processes peak memory is the largest's".into(),
        ],
        ..Section::default()
    }
}

fn doubts(plan: &Plan, samples: &Samples) -> Vec<String> {
    let mut doubts = Vec::new();
    if samples.rounds < ROUNDS_MIN {
        doubts.push(format!("{} of at least {ROUNDS_MIN} rounds that an interval needs: see --rounds", samples.rounds));
    }
    for ((label, step), taken) in &samples.taken {
        let wall: Vec<f64> = taken.iter().map(|sample| sample.usage.wall).collect();
        if wall.len() > 1 && spread(&wall) > SPREAD_MAX {
            doubts.push(format!(
                "{label}, {}: the times spread by {:.0} %: other work on this machine disturbs; more --rounds help",
                step.id(),
                spread(&wall) * 100.0
            ));
        }
    }
    let restores = plan.steps.contains(&Step::Restore);
    let on_tmpfs = rustix::fs::statfs(&plan.target).is_ok_and(|fs| fs.f_type as u64 == 0x0102_1994);
    if restores && !on_tmpfs {
        doubts.push(format!(
            "restores go to {}, which is no tmpfs: the file system takes part in what is measured (see --restore-to)",
            plan.target.display()
        ));
    }
    doubts
}
