//! Measured against baseline: within, slower, changed.

use super::baseline::{Value, Values};
use crate::harness::report::{Better, Cell, Column, Row, Section, Unit};

/// What the gate says, worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verdict {
    /// All is as the baseline says.
    #[default]
    Within,
    /// Something could not be measured.
    NotMeasured,
    /// More time or instructions.
    Slower,
    /// A counter is another one, or fewer instructions than the baseline knows.
    Changed,
}

/// How much may differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    Exact,
    /// This share up or down, and it is a counter.
    Counter(f64),
    /// This share up or down; more means slower.
    Cost(f64),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What was measured.
    pub name: String,
    /// The baseline's value.
    pub was: Option<Value>,
    pub is: Option<Value>,
    /// What it means.
    pub verdict: Verdict,
    pub says: String,
}

/// Compares every value, also those that only one side has.
pub fn compare(was: &Values, is: &Values, limit: impl Fn(&str) -> Limit) -> Vec<Finding> {
    let mut names: Vec<&String> = was.keys().chain(is.keys()).collect();
    names.sort();
    names.dedup();
    names.into_iter().map(|name| one(name, was.get(name), is.get(name), limit(name))).collect()
}

fn one(name: &str, was: Option<&Value>, is: Option<&Value>, limit: Limit) -> Finding {
    let (verdict, says) = match (was, is) {
        (None, _) => (Verdict::Changed, "not in the baseline".to_string()),
        (_, None) => (Verdict::Changed, "in the baseline, and not measured any more".to_string()),
        (Some(was), Some(is)) => judge(was, is, limit),
    };
    Finding { name: name.into(), was: was.cloned(), is: is.cloned(), verdict, says }
}

fn judge(was: &Value, is: &Value, limit: Limit) -> (Verdict, String) {
    let (Some(a), Some(b)) = (was.number(), is.number()) else {
        return if was == is { (Verdict::Within, String::new()) } else { (Verdict::Changed, "CHANGED".into()) };
    };
    let change = if a == b { 0.0 } else { b / a - 1.0 };
    let percent = format!("{:+.2} %", change * 100.0);
    match limit {
        Limit::Exact if a != b => (Verdict::Changed, format!("CHANGED by {}", b - a)),
        Limit::Counter(most) if change.abs() > most || change.is_nan() => {
            (Verdict::Changed, format!("CHANGED {percent}"))
        }
        Limit::Cost(most) if change > most || change.is_nan() => (Verdict::Slower, format!("MORE {percent}")),
        Limit::Cost(most) if change < -most => {
            (Verdict::Changed, format!("LESS {percent}: keep it with --update REASON"))
        }
        Limit::Exact => (Verdict::Within, String::new()),
        _ => (Verdict::Within, percent),
    }
}

/// A section of a report: what is not within first.
pub fn section(id: &str, title: &str, findings: &[Finding], notes: Vec<String>) -> Section {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| std::cmp::Reverse(finding.verdict));
    let cell = |value: &Option<Value>| match value {
        None => Cell::Empty,
        Some(Value::Text(text)) => Cell::Text(text.chars().take(16).collect()),
        Some(value) => Cell::Exact(value.number().unwrap_or(f64::NAN)),
    };
    let row = |finding: &Finding| Row {
        label: finding.name.clone(),
        cells: vec![cell(&finding.was), cell(&finding.is), Cell::Text(finding.says.clone())],
    };
    let unit = match id {
        "instructions" => Unit::Instructions,
        "ratios" | "pipeline" => Unit::Ratio,
        _ => Unit::Count,
    };
    Section {
        id: id.into(),
        title: title.into(),
        columns: vec![
            Column::new("baseline", "baseline", unit, Better::Neither),
            Column::new("now", "now", unit, Better::Neither),
            Column::new("verdict", "verdict", Unit::Text, Better::Neither),
        ],
        rows: sorted.into_iter().map(row).collect(),
        notes,
        ..Section::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(was: f64, is: f64, limit: Limit) -> Verdict {
        let values = |n| Values::from([("x".to_string(), Value::Ratio(n))]);
        compare(&values(was), &values(is), |_| limit)[0].verdict
    }

    #[test]
    fn each_limit_holds_on_both_sides() {
        for (was, is, limit, expected) in [
            (100.0, 100.0, Limit::Exact, Verdict::Within),
            (1e9, 1e9 + 1.0, Limit::Exact, Verdict::Changed),
            (1e9, 1e9 - 1.0, Limit::Exact, Verdict::Changed),
            (1000.0, 1009.0, Limit::Counter(0.01), Verdict::Within),
            (1000.0, 1011.0, Limit::Counter(0.01), Verdict::Changed),
            (1000.0, 989.0, Limit::Counter(0.01), Verdict::Changed),
            (1000.0, 1009.0, Limit::Cost(0.01), Verdict::Within),
            (1000.0, 1100.0, Limit::Cost(0.01), Verdict::Slower),
            (1000.0, 900.0, Limit::Cost(0.01), Verdict::Changed),
            (0.0, 0.0, Limit::Counter(0.01), Verdict::Within),
            (0.0, 5.0, Limit::Counter(0.01), Verdict::Changed),
        ] {
            assert_eq!(verdict(was, is, limit), expected, "{was} {is} {limit:?}");
        }
    }

    #[test]
    fn what_only_one_side_has_is_a_change() {
        let one = Values::from([("x".to_string(), Value::Text("ab".into()))]);
        let none = Values::new();
        for (was, is) in [(&one, &none), (&none, &one)] {
            assert_eq!(compare(was, is, |_| Limit::Exact)[0].verdict, Verdict::Changed);
        }
        assert_eq!(compare(&one, &one, |_| Limit::Exact)[0].verdict, Verdict::Within);
        let other = Values::from([("x".to_string(), Value::Text("ac".into()))]);
        assert_eq!(compare(&one, &other, |_| Limit::Exact)[0].verdict, Verdict::Changed);
    }
}
