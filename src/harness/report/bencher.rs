//! Bencher Metric Format: `{"benchmark": {"measure": {"value", "lower_value", "upper_value"}}}`, for its `json` adapter.

use super::{Report, point};
use serde_json::{Map, Value, json};

/// Bencher's limits, in characters.
const BENCHMARK: usize = 1024;
const MEASURE: usize = 64;

/// Every number that has a good direction.
pub fn render(report: &Report) -> String {
    let mut benchmarks: Map<String, Value> = Map::new();
    for (point, value) in point::tracked(report) {
        let mut metric = json!({ "value": value });
        if let Some((low, high)) = point.interval() {
            metric["lower_value"] = low.into();
            metric["upper_value"] = high.into();
        }
        let measures = benchmarks.entry(clipped(&point.benchmark(), BENCHMARK)).or_insert_with(|| json!({}));
        measures[slug(&point.column.id)] = metric;
    }
    serde_json::to_string_pretty(&benchmarks).expect("text and numbers") + "\n"
}

/// The end tells names apart: what is too long loses its beginning.
fn clipped(name: &str, most: usize) -> String {
    let length = name.chars().count();
    if length <= most {
        return name.into();
    }
    std::iter::once('…').chain(name.chars().skip(length - most + 1)).collect()
}

fn slug(id: &str) -> String {
    let kebab = id.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
    kebab.take(MEASURE).collect::<String>().trim_matches('-').into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_the_limits() {
        assert_eq!(clipped("short", 5), "short");
        assert_eq!(clipped("pipeline/x/first", 8), "…x/first");
        assert_eq!(slug("bytes_per_second"), "bytes-per-second");
        assert_eq!(slug(&"a".repeat(99)).len(), 64);
    }
}
