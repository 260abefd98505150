//! Chunkers side by side: sizes of chunks, deduplication, resync after edits, throughput.
//!
//! | file | what |
//! |---|---|
//! | [`chunker`] | what a chunker has to be |
//! | [`chunkers`] | the chunkers, a file each |
//! | [`profile`] | sizes that are asked for |
//! | [`corpus`], [`cores`] | the data in memory; going over it on one core or all |
//! | [`sizes`], [`dedup`], [`resync`], [`throughput`] | what is measured |
//! | [`matching`], [`rank`] | mean sizes that are made equal; who may be ranked |
//! | [`rows`], [`sections`] | the tables |

pub mod chunker;
pub mod profile;
pub mod chunkers;
pub mod corpus;
pub mod cores;
pub mod sizes;
pub mod dedup;
pub mod resync;
pub mod throughput;
pub mod rank;
pub mod matching;
pub mod rows;
pub mod sections;
#[cfg(test)]
mod testing;

use super::BenchError;
use super::data::DataSet;
use super::report::{Report, Section};
use chunker::{Algorithm, Chunker};
use cores::Cores;
use corpus::Corpus;
use profile::Profile;
use rows::Rows;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// What is measured, and how.
#[derive(Clone)]
pub struct Options {
    /// Which chunkers; the first is what the others are matched to.
    pub algorithms: Vec<&'static dyn Algorithm>,
    /// At which sizes.
    pub profiles: Vec<Profile>,
    /// Tune the others to the mean of the first.
    pub match_mean: bool,
    /// Cut all files as one.
    pub join: bool,
    /// Bytes of each version that are taken into memory.
    pub limit: u64,
    /// Samples of each time.
    pub rounds: usize,
    /// Threads of "all cores".
    pub threads: usize,
    /// For the places of edits.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            algorithms: chunkers::ALL.into(),
            profiles: Profile::usual(),
            match_mean: false,
            join: false,
            limit: 1 << 30,
            rounds: 7,
            threads: std::thread::available_parallelism().map_or(1, |n| n.get()),
            seed: 1,
        }
    }
}

/// Measures on the data, and against its second version if it has one; adds a section at a time to the report, and calls
/// `keep` after each. `say` hears how far it is. Ends with [`BenchError::Interrupted`] once `stop` is set.
pub fn run<E: From<BenchError>>(
    data: &DataSet,
    options: &Options,
    stop: &AtomicBool,
    say: &dyn Fn(&str),
    report: &mut Report,
    mut keep: impl FnMut(&Report) -> Result<(), E>,
) -> Result<(), E> {
    if options.rounds == 0 || options.threads == 0 || options.limit == 0 {
        return Err(BenchError::Invalid("rounds, threads and the limit must be above 0".into()).into());
    }
    let mut add = |section: Section| {
        report.sections.push(section);
        keep(report)
    };
    let cores = Cores::new(options.threads, stop)?;
    say(&format!("reading {}", data.name));
    let first = read(&data.name, &data.path, options, stop)?;
    let second =
        data.second.as_deref().map(|path| read(&path.display().to_string(), path, options, stop)).transpose()?;

    let mut rows = Rows::cut(&first, options, &cores, say)?;
    add(sections::chunkers(&first, &rows, options.match_mean))?;
    add(sections::sizes(&first, &rows))?;
    count(&first, second.as_ref(), &mut rows, &cores, say)?;
    add(sections::dedup(&first, second.as_ref(), &rows))?;
    edit(&first, &mut rows, options.seed, &cores, say)?;
    add(sections::resync(&first, &rows))?;
    let chunkers: Vec<&dyn Chunker> = rows.rows.iter().map(|row| &*row.chunker).collect();
    let speeds = throughput::measure(&first, &chunkers, options.rounds, &cores, say)?;
    add(sections::throughput(&first, &rows, &speeds, cores.count()))
}

fn read(name: &str, path: &Path, options: &Options, stop: &AtomicBool) -> Result<Corpus, BenchError> {
    let corpus = Corpus::read(name, path, options.limit, stop)?;
    Ok(if options.join { corpus.joined() } else { corpus })
}

fn count(
    first: &Corpus,
    second: Option<&Corpus>,
    rows: &mut Rows,
    cores: &Cores,
    say: &dyn Fn(&str),
) -> Result<(), BenchError> {
    for row in &mut rows.rows {
        say(&format!("deduplication: {}", row.label()));
        let ids = dedup::ids(first.bytes(), &row.lengths, cores)?;
        let other = match second {
            Some(second) => {
                let lengths = cores.lengths(second, &*row.chunker)?;
                Some((dedup::ids(second.bytes(), &lengths, cores)?, lengths))
            }
            None => None,
        };
        let other = other.as_ref().map(|(ids, lengths)| (&ids[..], &lengths[..]));
        row.dedup = Some(dedup::count((&ids, &row.lengths), other));
    }
    Ok(())
}

fn edit(first: &Corpus, rows: &mut Rows, seed: u64, cores: &Cores, say: &dyn Fn(&str)) -> Result<(), BenchError> {
    for row in &mut rows.rows {
        say(&format!("resync: {}", row.label()));
        if let Some(sample) = resync::sample(first.bytes(), &row.profile) {
            row.resync = Some(resync::measure(&*row.chunker, sample, &row.profile, seed, cores)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::testing::{noise, text};
    use super::*;
    use crate::harness::report::{Cell, Form, render};
    use std::cell::RefCell;
    use std::fs;
    use std::sync::atomic::Ordering::Relaxed;

    fn data(dir: &Path) -> DataSet {
        let first = [noise(3 << 20), text(3 << 20)].concat();
        let second = [&first[..1 << 20], b"new", &first[1 << 20..]].concat();
        for (name, content) in [("first", &first), ("second", &second)] {
            fs::write(dir.join(name), content).unwrap();
        }
        DataSet { name: "d".into(), path: dir.join("first"), second: Some(dir.join("second")) }
    }

    fn small() -> Options {
        let profiles = vec![Profile::of_avg(8 << 10).unwrap()];
        Options { profiles, rounds: 2, threads: 2, match_mean: true, ..Options::default() }
    }

    fn cell<'a>(section: &'a Section, row: &str, column: &str) -> &'a Cell {
        let at = section.columns.iter().position(|c| c.id == column).unwrap();
        let row = section.rows.iter().find(|r| r.label == format!("{row} 2K/8K/32K")).unwrap();
        assert_eq!(row.cells.len(), section.columns.len());
        &row.cells[at]
    }

    #[test]
    fn a_run_gives_all_tables_and_keeps_each() {
        let dir = tempfile::tempdir().unwrap();
        let (mut report, kept, stop) = (Report::new("chunking", &[]), RefCell::new(vec![]), AtomicBool::new(false));
        let keep = |report: &Report| {
            kept.borrow_mut().push(report.sections.len());
            Ok::<(), BenchError>(())
        };
        run(&data(dir.path()), &small(), &stop, &|_| {}, &mut report, keep).unwrap();
        assert_eq!(*kept.borrow(), [1, 2, 3, 4, 5]);
        let [chunkers, sizes, dedup, resync, throughput] = &report.sections[..] else { panic!() };
        let number = |section, row, column| cell(section, row, column).number().unwrap();
        let mean = number(sizes, "larder", "mean");
        for algorithm in super::chunkers::ALL {
            let name = algorithm.name();
            assert!((number(sizes, name, "mean") / mean - 1.0).abs() < 0.05, "{name}");
            assert!(number(chunkers, name, "mean_untuned") > 0.0 && *cell(chunkers, name, "parameters") != Cell::Empty);
            let shared = number(dedup, name, "second_shared");
            // An insert after a megabyte of six: chunks of one size are lost from there on.
            assert!(if name == "fixed" { shared < 0.2 } else { shared > 0.95 }, "{name} {shared}");
            assert!(number(dedup, name, "rank") >= 1.0 && number(resync, name, "rank") >= 1.0, "{name}");
            match cell(throughput, name, "one_core") {
                Cell::Measured { samples, .. } => assert!(samples.len() == 2 && samples[0] > 1e6, "{name} {samples:?}"),
                other => assert!(name == "fixed" && *other == Cell::Empty, "{name} {other:?}"),
            }
        }
        assert_eq!((sizes.plots.len(), throughput.plots.len()), (1, 2));
        for form in Form::ALL {
            assert!(!render(form, &report, &[]).is_empty());
        }
    }

    #[test]
    fn a_run_that_is_stopped_keeps_what_it_had() {
        let dir = tempfile::tempdir().unwrap();
        let (mut report, stop) = (Report::new("chunking", &[]), AtomicBool::new(false));
        let keep = |report: &Report| {
            stop.store(report.sections.len() == 3, Relaxed);
            Ok::<(), BenchError>(())
        };
        let ended = run(&data(dir.path()), &small(), &stop, &|_| {}, &mut report, keep);
        assert!(matches!(ended, Err(BenchError::Interrupted)));
        assert_eq!(report.sections.len(), 3);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let (mut report, stop) = (Report::new("chunking", &[]), AtomicBool::new(false));
        let mut refused = |options: Options, data: &DataSet| {
            run(data, &options, &stop, &|_| {}, &mut report, |_| Ok::<(), BenchError>(())).unwrap_err()
        };
        let gone = DataSet { name: "gone".into(), path: "/nowhere/at/all".into(), second: None };
        assert!(matches!(refused(Options { rounds: 0, ..small() }, &gone), BenchError::Invalid(_)));
        assert!(matches!(refused(small(), &gone), BenchError::Io { .. }));
    }
}
