//! What the samples of a report say against its numbers.

use super::{Better, Cell, Report, Section, Unit, point};
use crate::base::escape;
use crate::harness::stats;

/// Half the distance of the quartiles that a number may have, as a share of it.
const SPREAD: f64 = 0.05;
/// With fewer rounds an interval is a guess.
const ROUNDS: usize = 5;
/// How much slower than the others a first round may be.
const FIRST: f64 = 1.25;

/// Warnings, at most one of a kind a section, each with what helps.
pub fn of_samples(report: &Report) -> Vec<String> {
    report.sections.iter().flat_map(of_section).collect()
}

fn of_section(section: &Section) -> Vec<String> {
    let points = point::of_section(section);
    let measured: Vec<_> = points
        .iter()
        .filter_map(|point| match point.cell {
            Cell::Measured { samples, .. } if !samples.is_empty() => Some((point, samples.as_slice())),
            _ => None,
        })
        .collect();
    let said = |what: String| format!("{}: {what}", escape::text(&section.title));
    let mut doubts = vec![];

    let wide: Vec<_> = measured.iter().filter(|(_, samples)| stats::spread(samples) > SPREAD).collect();
    let worst = wide.iter().max_by(|a, b| stats::spread(a.1).total_cmp(&stats::spread(b.1)));
    if let Some((point, samples)) = worst {
        doubts.push(said(format!(
            "{} of {} spread by more than 5 %, most {} ({}): {:.0} %; more rounds on a quiet machine narrow it",
            wide.len(),
            values(measured.len()),
            escape::text(&point.row),
            escape::text(&point.column.title),
            stats::spread(samples) * 100.0
        )));
    }
    let fewest = measured.iter().map(|(_, samples)| samples.len()).min();
    if let Some(rounds) = fewest.filter(|rounds| *rounds < ROUNDS) {
        let word = if rounds == 1 { "round" } else { "rounds" };
        doubts.push(said(format!("{rounds} {word} say little of the spread: take at least {ROUNDS}")));
    }
    let cold = measured
        .iter()
        .filter(|(point, samples)| point.column.unit != Unit::Ratio && first_is_slower(samples, point.column.better));
    if let Some((point, _)) = cold.clone().next() {
        doubts.push(said(format!(
            "the first round was slower by more than a quarter in {} of {}, such as {}: the cache was cold; \
             a round that does not count warms it, `bench compare --drop-caches` makes every round cold",
            cold.count(),
            values(measured.len()),
            escape::text(&point.row)
        )));
    }
    let outside: usize = measured.iter().map(|(_, samples)| stats::far_out(samples)).sum();
    if outside > 0 {
        let all: usize = measured.iter().map(|(_, samples)| samples.len()).sum();
        doubts.push(said(format!(
            "{outside} of {all} samples lie far outside of the others: something disturbed them; medians pass over it"
        )));
    }
    doubts
}

fn values(n: usize) -> String {
    format!("{n} {}", if n == 1 { "value" } else { "values" })
}

fn first_is_slower(samples: &[f64], better: Better) -> bool {
    let [first, rest @ ..] = samples else { return false };
    if rest.len() < 2 {
        return false;
    }
    let usual = stats::median(rest);
    match better {
        Better::Lower => *first > usual * FIRST,
        Better::Higher => *first * FIRST < usual,
        Better::Neither => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::report::{Column, Row};

    fn section(better: Better, samples: &[f64]) -> Section {
        Section {
            id: "s".into(),
            title: "Backup".into(),
            columns: vec![Column::new("t", "time", Unit::Seconds, better)],
            rows: vec![Row { label: "first".into(), cells: vec![stats::measured(samples)] }],
            ..Section::default()
        }
    }

    #[test]
    fn steady_samples_raise_no_doubt() {
        assert_eq!(of_section(&section(Better::Lower, &[1.0, 1.01, 0.99, 1.0, 1.02])), Vec::<String>::new());
    }

    #[test]
    fn spread_few_rounds_and_a_cold_start_are_said() {
        let wide = of_section(&section(Better::Lower, &[1.0, 1.3, 0.8, 1.1, 0.9]));
        assert_eq!(wide.len(), 1, "{wide:?}");
        assert!(
            wide[0].starts_with("Backup: 1 of 1 value spread by more than 5 %, most first (time): 10 %"),
            "{wide:?}"
        );
        let few = of_section(&section(Better::Lower, &[1.0, 1.0]));
        assert!(few.len() == 1 && few[0].contains("2 rounds say little"), "{few:?}");
        let cold = of_section(&section(Better::Lower, &[1.4, 1.0, 1.01, 1.0, 1.0, 0.99]));
        assert!(cold.iter().any(|d| d.contains("the cache was cold")), "{cold:?}");
        let cold = of_section(&section(Better::Higher, &[60.0, 100.0, 101.0, 99.0, 100.0]));
        assert!(cold.iter().any(|d| d.contains("the cache was cold")), "{cold:?}");
        let fast = of_section(&section(Better::Lower, &[0.7, 1.0, 1.0, 1.0, 1.0]));
        assert!(!fast.iter().any(|d| d.contains("cold")), "{fast:?}");
    }

    #[test]
    fn samples_far_outside_are_counted() {
        let doubts = of_section(&section(Better::Neither, &[1.0, 1.01, 0.99, 1.0, 1.02, 9.0, 1.0, 0.98]));
        assert!(doubts[0].contains("1 of 8 samples lie far outside"), "{doubts:?}");
    }
}
