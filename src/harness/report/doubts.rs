//! What the samples of a report say against its numbers: a sentence of a kind over all tables.

use super::point::{self, Point};
use super::{Better, Cell, Report, Section, Unit};
use crate::base::escape;
use crate::harness::stats;
use std::collections::BTreeMap;

/// Half the distance of the quartiles that a number may have, as a share of it.
const SPREAD: f64 = 0.05;
/// With fewer rounds an interval is a guess.
const ROUNDS: usize = 5;
/// How much slower than the others a first round may be.
const FIRST: f64 = 1.25;
/// Tables named in one sentence.
const NAMED: usize = 3;

/// A value with what it came from.
struct Value<'a> {
    point: Point<'a>,
    samples: &'a [f64],
}

/// Warnings, at most one of a kind, each with what helps.
pub fn of_samples(report: &Report) -> Vec<String> {
    let all: Vec<Value<'_>> = report.sections.iter().flat_map(values).collect();
    // Where the time of a run went, waits above all, differs from round to round; what it took is what is judged.
    let judged: Vec<&Value<'_>> = all.iter().filter(|value| value.point.column.better != Better::Neither).collect();
    let (counts, times): (Vec<&Value<'_>>, _) = judged.iter().partition(|value| is_count(value.point.column.unit));
    let mut doubts = vec![];
    doubts.extend(cold(report, &times));
    doubts.extend(wide(&times, "times and rates", "more rounds on a quiet machine narrow it"));
    doubts.extend(wide(
        &counts,
        "counts and sizes",
        "rounds did or held unequal things, and more rounds change nothing",
    ));
    doubts.extend(few_rounds(report, &all));
    doubts.extend(far_out(&judged));
    doubts
}

fn values(section: &Section) -> Vec<Value<'_>> {
    let points = point::of_section(section).into_iter();
    let sampled = points.filter_map(|point| match point.cell {
        Cell::Measured { samples, .. } if !samples.is_empty() => Some(Value { samples, point }),
        _ => None,
    });
    sampled.collect()
}

fn is_count(unit: Unit) -> bool {
    matches!(unit, Unit::Count | Unit::Bytes | Unit::Instructions)
}

fn wide(values: &[&Value<'_>], what: &str, helps: &str) -> Option<String> {
    let wide: Vec<_> = values.iter().filter(|value| stats::spread(value.samples) > SPREAD).collect();
    let spread = |value: &Value<'_>| stats::spread(value.samples);
    let worst = wide.iter().max_by(|a, b| spread(a).total_cmp(&spread(b)))?;
    Some(format!(
        "{} of {} {what} spread by more than 5 %, most {} by {:.0} %: {helps}",
        wide.len(),
        values.len(),
        name(&worst.point),
        spread(worst) * 100.0
    ))
}

fn name(point: &Point<'_>) -> String {
    escape::text(&format!("{}: {} ({})", point.section.title, point.row, point.column.title))
}

/// Tables with too few rounds, those with equally many together.
fn few_rounds(report: &Report, values: &[Value<'_>]) -> Vec<String> {
    let mut fewest: BTreeMap<(usize, &str), Vec<&str>> = BTreeMap::new();
    for section in &report.sections {
        let of_section = values.iter().filter(|value| std::ptr::eq(value.point.section, section));
        let Some(rounds) = of_section.map(|value| value.samples.len()).min().filter(|rounds| *rounds < ROUNDS) else {
            continue;
        };
        let of_kernels = report.kind == "pipeline" && section.id == "kernels";
        let option = if of_kernels { "--kernel-rounds" } else { "--rounds" };
        fewest.entry((rounds, option)).or_default().push(&section.title);
    }
    let said = fewest.into_iter().map(|((rounds, option), tables)| {
        let word = if rounds == 1 { "round says" } else { "rounds say" };
        let more = if tables.len() > NAMED { format!(" and {} more", tables.len() - NAMED) } else { String::new() };
        let named = escape::text(&tables[..tables.len().min(NAMED)].join("; "));
        format!("{rounds} {word} little of the spread ({named}{more}): take at least {ROUNDS} ({option})")
    });
    said.collect()
}

/// Only what reads files can find them not in memory. The kernels and chunkers run on data they have read before.
fn cold(report: &Report, values: &[&Value<'_>]) -> Option<String> {
    if report.command.iter().any(|word| word == "--drop-caches") {
        return None;
    }
    let reads_files = |section: &Section| match report.kind.as_str() {
        "compare" => true,
        "pipeline" => section.id == "scenarios",
        _ => false,
    };
    let timed = |unit| matches!(unit, Unit::Seconds | Unit::BytesPerSecond | Unit::PerSecond);
    let values = values.iter().filter(|value| reads_files(value.point.section) && timed(value.point.column.unit));
    let values: Vec<_> = values.collect();
    let slower: Vec<_> =
        values.iter().filter(|value| first_is_slower(value.samples, value.point.column.better)).collect();
    let first = slower.first()?;
    Some(format!(
        "the first round was slower by more than a quarter in {} of {} times and rates, such as {}: the page cache was cold; \
         `bench {} --drop-caches` makes every round cold",
        slower.len(),
        values.len(),
        name(&first.point),
        report.kind
    ))
}

fn far_out(values: &[&Value<'_>]) -> Option<String> {
    let outside: usize = values.iter().map(|value| stats::far_out(value.samples)).sum();
    let all: usize = values.iter().map(|value| value.samples.len()).sum();
    (outside > 0).then(|| {
        format!(
            "{outside} of {all} samples lie far outside of the others: something disturbed them; medians pass over it"
        )
    })
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

    fn section(id: &str, unit: Unit, better: Better, samples: &[f64]) -> Section {
        Section {
            id: id.into(),
            title: "Backup".into(),
            columns: vec![Column::new("t", "value", unit, better)],
            rows: vec![Row { label: "first".into(), cells: vec![stats::measured(samples)] }],
            ..Section::default()
        }
    }

    fn report(kind: &str, sections: Vec<Section>) -> Report {
        Report { sections, ..Report::new(kind, &[kind.into()]) }
    }

    fn of(kind: &str, unit: Unit, better: Better, samples: &[f64]) -> Vec<String> {
        of_samples(&report(kind, vec![section("scenarios", unit, better, samples)]))
    }

    fn times(samples: &[f64]) -> Vec<String> {
        of("compare", Unit::Seconds, Better::Lower, samples)
    }

    const WIDE: [f64; 5] = [1.0, 1.3, 0.8, 1.1, 0.9];
    const COLD: [f64; 6] = [1.4, 1.0, 1.01, 1.0, 1.0, 0.99];

    #[test]
    fn steady_samples_raise_no_doubt() {
        assert_eq!(times(&[1.0, 1.01, 0.99, 1.0, 1.02]), Vec::<String>::new());
    }

    #[test]
    fn each_kind_of_doubt_is_said_once_over_all_tables() {
        let mut sections = vec![section("scenarios", Unit::Seconds, Better::Lower, &WIDE); 6];
        sections.push(section("kernels", Unit::BytesPerSecond, Better::Higher, &[1.0, 2.0, 4.0]));
        sections.push(section("requests", Unit::Count, Better::Lower, &[10.0, 20.0, 30.0, 40.0, 50.0]));
        // Waits inside of a run are no result.
        sections.push(section("stages_first", Unit::Seconds, Better::Neither, &[1.0, 2.0, 3.0, 4.0, 50.0]));
        let doubts = of_samples(&report("pipeline", sections));
        assert_eq!(
            doubts,
            [
                "7 of 7 times and rates spread by more than 5 %, most Backup: first (value) by 38 %: more rounds on a quiet \
                 machine narrow it",
                "1 of 1 counts and sizes spread by more than 5 %, most Backup: first (value) by 33 %: rounds did or held \
                 unequal things, and more rounds change nothing",
                "3 rounds say little of the spread (Backup): take at least 5 (--kernel-rounds)",
            ]
        );
    }

    #[test]
    fn few_rounds_name_their_tables() {
        let sections = vec![section("first", Unit::Seconds, Better::Lower, &[1.0, 1.0]); 5];
        let doubts = of_samples(&report("compare", sections));
        let says = "2 rounds say little of the spread (Backup; Backup; Backup and 2 more): take at least 5 (--rounds)";
        assert_eq!(doubts, [says]);
    }

    #[test]
    fn a_cold_start_is_said_of_what_reads_files_and_names_an_option_that_is_there() {
        for kind in ["compare", "pipeline"] {
            let cold = of(kind, Unit::Seconds, Better::Lower, &COLD).join("\n");
            assert!(
                cold.contains("the page cache was cold; `bench ") && cold.contains(&format!("`bench {kind} --drop"))
            );
        }
        let slower = [60.0, 100.0, 101.0, 99.0, 100.0];
        assert!(of("compare", Unit::BytesPerSecond, Better::Higher, &slower).join("").contains("cold"));
        let fast = times(&[0.7, 1.0, 1.0, 1.0, 1.0]);
        for none in [
            fast,
            // Requests are not slower with a cold cache, and these kinds measure in memory.
            of("pipeline", Unit::Count, Better::Lower, &COLD),
            of("pipeline", Unit::Bytes, Better::Lower, &COLD),
            of("stages", Unit::BytesPerSecond, Better::Higher, &slower),
            of("chunking", Unit::BytesPerSecond, Better::Higher, &slower),
        ] {
            assert!(!none.iter().any(|doubt| doubt.contains("cold")), "{none:?}");
        }
        let mut dropped = report("compare", vec![section("first", Unit::Seconds, Better::Lower, &COLD)]);
        dropped.command.push("--drop-caches".into());
        assert!(!of_samples(&dropped).join("").contains("cold"), "it is so in every round");
    }

    #[test]
    fn samples_far_outside_are_counted() {
        let doubts = times(&[1.0, 1.01, 0.99, 1.0, 1.02, 9.0, 1.0, 0.98]);
        assert!(doubts[0].starts_with("1 of 8 samples lie far outside"), "{doubts:?}");
    }
}
