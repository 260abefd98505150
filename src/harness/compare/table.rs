//! The report: a section a step, a row a tool.

use super::rounds::{Plan, Sample, Samples};
use super::tool::{Found, Step};
use super::tree::NOT_COMPARED;
use crate::harness::report::{Better, Cell, Column, DataUsed, Plot, Report, Row, Section, Unit};
use crate::harness::stats::{measured, ratio_of_medians, spread};

/// What the rounds so far say, in the report that was begun when the run was. `versions` is one a tool of the plan.
pub fn report(begun: &Report, plan: &Plan, versions: &[String], data: &DataUsed, samples: &Samples) -> Report {
    let mut report = begun.clone();
    for &step in &plan.steps {
        report.sections.extend(section(plan, step, data, samples));
    }
    report.sections.push(programs(plan, versions));
    report.warnings.extend_from_slice(&samples.warnings);
    report.warnings.extend(doubts(plan));
    report
}

fn section(plan: &Plan, step: Step, data: &DataUsed, samples: &Samples) -> Option<Section> {
    let ours = plan.tools.first()?.label.as_str();
    let rows: Vec<Row> = plan.tools.iter().filter_map(|found| row(found, ours, step, data, samples)).collect();
    if rows.is_empty() {
        return None;
    }
    Some(Section {
        id: step.id().into(),
        title: step.title().into(),
        data: Some(data.clone()),
        columns: columns(ours, step),
        rows,
        plots: vec![Plot::Bars {
            title: format!("{}: time, × {ours}", step.title()),
            column: "ratio".into(),
            limit: None,
            line: Some(1.0),
        }],
        notes: notes(plan, ours, step, samples),
    })
}

fn columns(ours: &str, step: Step) -> Vec<Column> {
    let lower = Better::Lower;
    let mut columns = vec![
        Column::new("wall", "time", Unit::Seconds, lower),
        Column::new("throughput", "throughput", Unit::BytesPerSecond, Better::Higher),
        Column::new("ratio", &format!("× {ours}"), Unit::Ratio, lower),
        Column::new("cpu", "CPU time", Unit::Seconds, lower),
        Column::new("peak", "peak memory", Unit::Bytes, lower),
        Column::new("stored", "stored", Unit::Bytes, lower),
        Column::new("spread", "spread", Unit::Share, lower),
    ];
    if step == Step::Restore {
        columns.push(Column::new("restored", "against the source", Unit::Text, Better::Neither));
    }
    columns
}

fn notes(plan: &Plan, ours: &str, step: Step, samples: &Samples) -> Vec<String> {
    let cache = if plan.drop_caches.is_some() { "cold page cache" } else { "warm page cache" };
    let rounds = if samples.rounds == 1 { "1 round".into() } else { format!("{} rounds", samples.rounds) };
    let mut notes = vec![format!("{rounds}, {cache}; × {ours}: above 1 is slower than {ours}, with its 95 % interval")];
    if step == Step::Restore {
        notes.push(format!("each restore was compared with its source; {NOT_COMPARED}"));
        if !samples.lost.is_empty() {
            notes
                .push(format!("restore differs from the source, so there are no figures: {}", samples.lost.join(", ")));
        }
    }
    if step == Step::Second && !samples.other_path.is_empty() {
        notes.push(format!(
            "{} saw the second version under another path: only root can mount it where the first one lay",
            samples.other_path.join(", ")
        ));
    }
    notes
}

fn row(found: &Found, ours: &str, step: Step, data: &DataUsed, samples: &Samples) -> Option<Row> {
    let label = &found.label;
    let taken = samples.taken.get(&(label.clone(), step))?;
    let lost = |label: &str| step == Step::Restore && samples.lost.iter().any(|lost| lost == label);
    if lost(label) {
        // How fast something else than the data came back is no figure.
        let mut cells = vec![Cell::Empty; columns(ours, step).len() - 1];
        cells.push(Cell::Text("restore differs".into()));
        return Some(Row { label: label.clone(), cells });
    }
    let of = |value: fn(&Sample) -> f64| taken.iter().map(value).collect::<Vec<_>>();
    let wall = of(|sample| sample.usage.wall);
    let time = measured(&wall);
    // Of a second version only the first one's size is known, and of unchanged data nothing is read.
    let has_rate = matches!(step, Step::First | Step::Restore) && found.tool.reads_contents;
    let throughput = if has_rate { rate(data.content() as f64, &time) } else { Cell::Empty };
    let ratio = match lost(ours) {
        true => Cell::Empty,
        false => ratio_of_medians(&samples.pairs(label, ours, step, |sample| sample.usage.wall)),
    };
    let stored = match found.tool.first.is_empty() {
        true => Cell::Empty,
        false => measured(&of(|sample| sample.stored as f64)),
    };
    let mut cells = vec![
        time,
        throughput,
        ratio,
        measured(&of(|sample| sample.usage.cpu)),
        measured(&of(|sample| sample.usage.peak as f64)),
        stored,
        if wall.len() > 1 { Cell::Exact(spread(&wall)) } else { Cell::Empty },
    ];
    if step == Step::Restore {
        cells.push(Cell::Text("same".into()));
    }
    Some(Row { label: label.clone(), cells })
}

/// Bytes over the median time, the interval's ends from the time's: of an even number of rounds the median of the rates
/// would be another number.
fn rate(bytes: f64, time: &Cell) -> Cell {
    match time {
        Cell::Measured { value, low, high, samples } => Cell::Measured {
            value: bytes / value,
            low: bytes / high,
            high: bytes / low,
            samples: samples.iter().map(|wall| bytes / wall).collect(),
        },
        _ => Cell::Empty,
    }
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

/// What the samples say is told of every report alike.
fn doubts(plan: &Plan) -> Vec<String> {
    let mut doubts = Vec::new();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::compare::process::Usage;
    use crate::harness::compare::tool::Tool;
    use crate::harness::data::DataSet;
    use crate::harness::report::point::tracked;
    use std::sync::Arc;
    use std::time::Duration;

    fn found(name: &str) -> Found {
        Found { tool: Tool::built_in(name).unwrap(), program: "/bin/true".into(), label: name.into() }
    }

    fn plan() -> Plan {
        Plan {
            tools: vec![found("larder"), found("cp"), found("find")],
            data: DataSet::default(),
            steps: vec![Step::Unchanged, Step::Restore],
            rounds: 2,
            work: "/tmp".into(),
            target: "/tmp".into(),
            drop_caches: None,
            timeout: Duration::ZERO,
            cancel: Arc::default(),
        }
    }

    fn samples() -> Samples {
        let mut samples = Samples { rounds: 2, lost: vec!["cp".into()], ..Samples::default() };
        for (label, step) in
            [("larder", Step::Unchanged), ("find", Step::Unchanged), ("larder", Step::Restore), ("cp", Step::Restore)]
        {
            let one = |(round, wall)| Sample { round, usage: Usage { wall, cpu: 1.0, peak: 1 }, stored: 1 };
            samples.taken.insert((label.into(), step), [(0, 1.0), (1, 3.0)].map(one).into());
        }
        samples
    }

    #[test]
    fn a_restore_that_differs_has_no_figures_and_is_in_no_tracker() {
        let data = DataUsed { name: "d".into(), bytes: 12, files: 1, ..DataUsed::default() };
        let versions = ["1"; 3].map(String::from);
        let begun = Report { started: "2026-01-02T03:04:05Z".into(), ..Report::new("compare", &[]) };
        let report = report(&begun, &plan(), &versions, &data, &samples());
        assert_eq!(report.started, begun.started, "not when it was put together");
        assert_eq!(report.warnings[..begun.warnings.len()], begun.warnings);
        let restore = report.sections.iter().find(|section| section.id == "restore").unwrap();
        let cp = restore.rows.iter().find(|row| row.label == "cp").unwrap();
        assert_eq!(cp.cells.len(), restore.columns.len());
        assert_eq!(cp.cells.last(), Some(&Cell::Text("restore differs".into())));
        assert!(cp.cells.iter().all(|cell| cell.number().is_none()), "{cp:?}");
        let names: Vec<_> = tracked(&report).iter().map(|(point, _)| point.benchmark()).collect();
        assert!(names.contains(&"restore/d/larder".into()) && !names.contains(&"restore/d/cp".into()), "{names:?}");
        // Nothing can be held against a restore of ours that differs.
        let lost = Samples { lost: vec!["larder".into()], ..samples() };
        let section = section(&plan(), Step::Restore, &data, &lost).unwrap();
        assert_eq!((&section.rows[0].cells[0], &section.rows[1].cells[2]), (&Cell::Empty, &Cell::Empty));
        assert!(section.rows[1].cells[0].number().is_some());
    }

    #[test]
    fn throughput_is_bytes_over_the_median_time_of_what_reads_them() {
        let data = DataUsed { name: "d".into(), bytes: 12, files: 1, ..DataUsed::default() };
        let restore = section(&plan(), Step::Restore, &data, &samples()).unwrap();
        // The median of the rates would be 8.
        let Cell::Measured { value, low, high, .. } = restore.rows[0].cells[1] else { panic!() };
        assert_eq!((value, low, high), (6.0, 4.0, 12.0));
        let unchanged = section(&plan(), Step::Unchanged, &data, &samples()).unwrap();
        assert!(unchanged.rows.len() == 2 && unchanged.rows.iter().all(|row| row.cells[1] == Cell::Empty));
    }
}
