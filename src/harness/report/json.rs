//! The whole report as one JSON object. `docs/bench.md` has its fields.

use super::super::error::BenchError;
use super::{Cell, Plot, Report, SCHEMA};
use serde::Serialize;
use std::path::Path;

/// What `type` says, so that one stream of objects can hold other things too.
pub const TYPE: &str = "bench_report";

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    object: &'static str,
    #[serde(flatten)]
    report: &'a Report,
}

/// On one line, without a line end.
pub fn line(report: &Report) -> String {
    let report = finite(report);
    serde_json::to_string(&Document { object: TYPE, report: &report }).expect("a report has string keys only")
}

pub fn pretty(report: &Report) -> String {
    let report = finite(report);
    let document = Document { object: TYPE, report: &report };
    serde_json::to_string_pretty(&document).expect("a report has string keys only") + "\n"
}

/// Reads a report back; `from` is named in errors.
pub fn read(text: &str, from: &Path) -> Result<Report, BenchError> {
    let name = from.display();
    let wrong = |why: String| BenchError::Invalid(format!("{name} {why}"));
    let value: serde_json::Value = serde_json::from_str(text).map_err(|e| wrong(format!("is no JSON: {e}")))?;
    if value["type"] != TYPE {
        return Err(wrong(format!("is no report of larder bench: its \"type\" is not {TYPE:?}")));
    }
    match value["schema"].as_u64() {
        Some(schema) if schema == u64::from(SCHEMA) => {}
        Some(schema) if schema > u64::from(SCHEMA) => {
            let program = value["program"].as_str().unwrap_or("a newer larder");
            return Err(wrong(format!(
                "has schema {schema}, written by {program}; this program reads schema {SCHEMA}: use one that is as new"
            )));
        }
        Some(schema) => {
            return Err(wrong(format!(
                "has schema {schema}, and this program reads schema {SCHEMA}: run the benchmark again, \
                 or render the file with the program that wrote it"
            )));
        }
        None => return Err(wrong("has no schema version".into())),
    }
    serde_json::from_value(value).map_err(|e| wrong(format!("is damaged, or newer than this program: {e}")))
}

/// JSON has no infinities and no NaN: cells that are none stay empty, ends of intervals and samples go.
fn finite(report: &Report) -> Report {
    let mut report = report.clone();
    for section in &mut report.sections {
        for cell in section.rows.iter_mut().flat_map(|row| &mut row.cells) {
            match cell {
                Cell::Exact(value) | Cell::Measured { value, .. } if !value.is_finite() => *cell = Cell::Empty,
                Cell::Measured { value, low, high, .. } if !(low.is_finite() && high.is_finite()) => {
                    *cell = Cell::Exact(*value);
                }
                Cell::Measured { samples, .. } => samples.retain(|sample| sample.is_finite()),
                _ => {}
            }
        }
        for plot in &mut section.plots {
            match plot {
                Plot::Bars { line, .. } => *line = line.filter(|line| line.is_finite()),
                Plot::Histogram { series, .. } => {
                    // A last class without an end.
                    series.iter_mut().flat_map(|(_, classes)| classes).for_each(|(end, _)| *end = end.min(f64::MAX));
                }
            }
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::report::{Better, Column, Row, Section, Unit};

    fn with_cells(cells: Vec<Cell>) -> Report {
        let column = |n| Column::new(&format!("c{n}"), "c", Unit::Seconds, Better::Lower);
        let mut report = Report::new("compare", &["compare".into()]);
        report.sections = vec![Section {
            columns: (0..cells.len()).map(column).collect(),
            rows: vec![Row { label: "r".into(), cells }],
            ..Section::default()
        }];
        report
    }

    #[test]
    fn what_json_cannot_say_is_left_out_and_the_rest_reads_back() {
        let measured = |value, high, sample| Cell::Measured { value, low: 1.0, high, samples: vec![1.0, sample] };
        let report = with_cells(vec![
            Cell::Exact(f64::NAN),
            measured(2.0, f64::INFINITY, 3.0),
            measured(2.0, 3.0, f64::NAN),
            Cell::Exact(0.1),
        ]);
        let back = read(&line(&report), Path::new("x")).unwrap();
        let cells = &back.sections[0].rows[0].cells;
        assert_eq!(cells[..2], [Cell::Empty, Cell::Exact(2.0)]);
        assert_eq!(cells[2], Cell::Measured { value: 2.0, low: 1.0, high: 3.0, samples: vec![1.0] });
        assert_eq!(cells[3], Cell::Exact(0.1));
    }

    #[test]
    fn other_files_and_other_schemas_are_told_apart() {
        let text = line(&with_cells(vec![]));
        let error = |text: &str| read(text, Path::new("run.json")).unwrap_err().to_string();
        assert!(error("nonsense").contains("run.json is no JSON"));
        assert!(error("{}").contains("is no report of larder bench"));
        assert!(error("[1]").contains("is no report of larder bench"));
        let newer = text.replace("\"schema\":1", "\"schema\":2").replace("larder 0", "larder 9");
        assert!(error(&newer).contains("has schema 2, written by larder 9"), "{}", error(&newer));
        assert!(error(&text.replace("\"schema\":1", "\"schema\":0")).contains("run the benchmark again"));
        assert!(error(&text.replace("\"schema\":1,", "")).contains("no schema version"));
        assert!(error(&text.replace("\"sections\"", "\"parts\"")).contains("missing field `sections`"));
        let more = text.replace("\"schema\":1", "\"schema\":1,\"later\":[1,2]");
        assert!(read(&more, Path::new("x")).is_ok(), "fields may be added");
    }
}
