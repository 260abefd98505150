//! What github-action-benchmark reads: an array of `{name, unit, value, range, extra}`. A file has one direction, so there
//! are two: `customSmallerIsBetter` and `customBiggerIsBetter`.

use super::{Better, Cell, Report, number, point};
use serde::Serialize;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

#[derive(Serialize)]
struct Entry {
    name: String,
    unit: &'static str,
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    extra: String,
}

/// The array of one direction; `[]` when nothing has it.
pub fn render(report: &Report, better: Better) -> String {
    serde_json::to_string_pretty(&entries(report, better)).expect("text and numbers") + "\n"
}

/// Both in one object, by the action's words for them.
pub fn both(report: &Report) -> String {
    let both = serde_json::json!({
        "customSmallerIsBetter": entries(report, Better::Lower),
        "customBiggerIsBetter": entries(report, Better::Higher),
    });
    serde_json::to_string_pretty(&both).expect("text and numbers") + "\n"
}

/// The names of the two files that `path` stands for: `bench.json` for `bench.smaller.json` and `bench.bigger.json`.
pub fn files(path: &Path) -> [(PathBuf, Better); 2] {
    [("smaller", Better::Lower), ("bigger", Better::Higher)].map(|(word, better)| {
        let mut name = OsString::from(path.file_stem().unwrap_or_default());
        name.push(format!(".{word}."));
        name.push(path.extension().unwrap_or("json".as_ref()));
        (path.with_file_name(name), better)
    })
}

fn entries(report: &Report, better: Better) -> Vec<Entry> {
    let tracked = point::tracked(report).into_iter().filter(|(point, _)| point.column.better == better);
    let entry = |(point, value): (point::Point<'_>, f64)| {
        let range = point.interval().map(|(low, high)| format!("± {}", (high - value).max(value - low)));
        let mut extra = vec![];
        if let (Some((low, high)), Cell::Measured { samples, .. }) = (point.interval(), point.cell) {
            extra.push(format!("95 % interval {low} to {high}, {} samples", samples.len()));
        }
        extra.extend(point.section.data.as_ref().map(number::data));
        Entry { name: point.name(), unit: number::base_unit(point.column.unit), value, range, extra: extra.join("\n") }
    };
    tracked.map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_stands_for_two_files() {
        let names = |path: &str| files(Path::new(path)).map(|(file, _)| file.to_str().unwrap().to_string());
        assert_eq!(names("out/bench.json"), ["out/bench.smaller.json", "out/bench.bigger.json"]);
        assert_eq!(names("bench"), ["bench.smaller.json", "bench.bigger.json"]);
    }
}
