//! Turns the measurements of scenarios into sections of a report.

use super::job::Outcome;
use super::{Measured, Results, Scenario};
use crate::harness::report::{Better, Cell, Column, Plot, Row, Section, Unit, number};
use crate::harness::stats::{measured, median};
use std::collections::BTreeSet;

/// The scenarios, their requests, and where the time of each went.
pub fn sections(results: &Results) -> Vec<Section> {
    let mut sections = vec![scenarios(results), requests(results)];
    sections.extend(results.measured.iter().filter_map(stages));
    sections.iter_mut().for_each(|section| section.data = Some(results.data.clone()));
    sections
}

/// A number of each round.
fn each(measured_: &Measured, number: impl Fn(&Outcome) -> f64) -> Cell {
    measured(&measured_.outcomes.iter().map(number).collect::<Vec<_>>())
}

fn scenarios(results: &Results) -> Section {
    let column = Column::new;
    let columns = vec![
        column("seconds", "wall", Unit::Seconds, Better::Lower),
        column("rate", "content", Unit::BytesPerSecond, Better::Higher),
        column("roofline", "roofline", Unit::BytesPerSecond, Better::Neither),
        column("share", "of the roofline", Unit::Share, Better::Higher),
        column("binds", "what binds", Unit::Text, Better::Neither),
        column("files", "files", Unit::PerSecond, Better::Higher),
        column("cpu", "CPU", Unit::SecondsPerGb, Better::Lower),
        column("peak", "peak memory", Unit::Bytes, Better::Lower),
        column("stored", "packs stored", Unit::Bytes, Better::Lower),
        column("requests", "requests", Unit::Count, Better::Lower),
        column("bytes_out", "to storage", Unit::Bytes, Better::Lower),
        column("bytes_in", "from storage", Unit::Bytes, Better::Lower),
    ];
    let bars = |title: &str, column: &str, limit: Option<&str>| Plot::Bars {
        title: title.into(),
        column: column.into(),
        limit: limit.map(Into::into),
        line: None,
    };
    Section {
        id: "scenarios".into(),
        title: "Scenarios".into(),
        columns,
        rows: results.measured.iter().map(row).collect(),
        plots: vec![bars("Wall time", "seconds", None), bars("Content a second", "rate", Some("roofline"))],
        notes: results.notes.iter().cloned().chain(results.measured.iter().filter_map(beyond_the_roofline)).collect(),
        ..Section::default()
    }
}

/// More than this share of a roofline was not held by it.
const BEYOND: f64 = 1.1;

/// The roofline comes from kernels measured before: when they were disturbed and the scenario was not, it is too low.
fn beyond_the_roofline(one: &Measured) -> Option<String> {
    let share = median(&shares(one));
    (share > BEYOND).then(|| {
        format!(
            "{}: {} of the roofline, which cannot be: the kernels it is made of were disturbed; measure again on a quiet machine",
            one.scenario.title(),
            number::show(share, Unit::Share)
        )
    })
}

fn shares(one: &Measured) -> Vec<f64> {
    one.outcomes.iter().zip(&one.bounds).map(|(outcome, bound)| bound.seconds / outcome.wall).collect()
}

fn row(one: &Measured) -> Row {
    let per_second = |number: fn(&Outcome) -> u64| each(one, |o| number(o) as f64 / o.wall);
    let pairs: Vec<_> = one.outcomes.iter().zip(&one.bounds).collect();
    let of_bounds = |number: &dyn Fn(&Outcome, f64) -> f64| {
        measured(&pairs.iter().map(|(outcome, bound)| number(outcome, bound.seconds)).collect::<Vec<_>>())
    };
    let stored = if one.scenario.is_backup() { each(one, |o| o.data_stored as f64) } else { Cell::Empty };
    let cells = vec![
        each(one, |o| o.wall),
        per_second(|o| o.bytes),
        of_bounds(&|outcome, bound| outcome.bytes as f64 / bound),
        measured(&shares(one)),
        one.bounds.last().map_or(Cell::Empty, |bound| Cell::Text(bound.binds.clone())),
        per_second(|o| o.files),
        each(one, |o| o.cpu / (o.bytes.max(1) as f64 / 1e9)),
        each(one, |o| o.peak as f64),
        stored,
        each(one, |o| o.requests() as f64),
        each(one, |o| o.bytes_out as f64),
        each(one, |o| o.bytes_in as f64),
    ];
    Row { label: one.scenario.title().into(), cells }
}

fn requests(results: &Results) -> Section {
    let kinds: BTreeSet<&String> =
        results.measured.iter().flat_map(|m| &m.outcomes).flat_map(|o| o.requests.keys()).collect();
    let rows = results.measured.iter().map(|one| Row {
        label: one.scenario.title().into(),
        cells: kinds
            .iter()
            .map(|kind| each(one, |o| o.requests.get(kind.as_str()).copied().unwrap_or_default() as f64))
            .collect(),
    });
    Section {
        id: "requests".into(),
        title: "Requests to storage".into(),
        columns: kinds.iter().map(|kind| Column::new(kind, kind, Unit::Count, Better::Lower)).collect(),
        rows: rows.collect(),
        ..Section::default()
    }
}

/// Where the time of a backup's or restore's stages went, and how long each phase of a check was at work.
fn stages(one: &Measured) -> Option<Section> {
    let mut names: Vec<&str> = Vec::new();
    let all = || one.outcomes.iter().flat_map(|outcome| &outcome.stages);
    for (name, times, items) in all() {
        // What had nothing to do in any round is left out: a restore that verifies nothing.
        if !names.contains(&name.as_str()) && (*items > 0 || times.iter().any(|seconds| *seconds > 0.0)) {
            names.push(name);
        }
    }
    let waits = !matches!(one.scenario, Scenario::Check | Scenario::CheckReadData);
    let rows = names.iter().map(|name| {
        let found = || all().filter(|(known, ..)| known == name);
        let seconds = |which: usize| measured(&found().map(|(_, times, _)| times[which]).collect::<Vec<_>>());
        let items = Cell::Exact(median(&found().map(|(_, _, items)| *items as f64).collect::<Vec<_>>()));
        let cells = if waits { vec![seconds(0), seconds(1), seconds(2), items] } else { vec![seconds(1), items] };
        Row { label: (*name).into(), cells }
    });
    let rows: Vec<Row> = rows.collect();
    let column = |id: &str, title: &str| Column::new(id, title, Unit::Seconds, Better::Neither);
    let busy = column("busy", "busy");
    let items = Column::new("items", "items", Unit::Count, Better::Neither);
    let note = match one.scenario {
        Scenario::Restore => {
            "Added up over the threads of each stage. Where nobody reads ahead, workers fetch, open and write."
        }
        Scenario::Check | Scenario::CheckReadData => {
            "One phase after the other, nothing waits for another; parts of `packs` are added up over the threads."
        }
        _ => "Added up over the threads of each stage; tasks of a pool wait in its queue for input.",
    };
    let (id, title) = (one.scenario.name(), one.scenario.title());
    (!rows.is_empty()).then(|| Section {
        id: if waits { format!("stages_{id}") } else { format!("phases_{id}") },
        title: if waits { format!("Stages of: {title}") } else { format!("Phases of: {title}") },
        columns: match waits {
            true => vec![column("wait_in", "waits for input"), busy, column("wait_out", "waits for room"), items],
            false => vec![busy, items],
        },
        rows,
        notes: vec![note.into()],
        ..Section::default()
    })
}
