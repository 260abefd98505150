//! `larder bench compare`.

use super::data_options::DataOptions;
use super::finish::{self, ReportOptions, save_progress};
use super::words;
use crate::cli::context::Context;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::harness::BenchError;
use crate::harness::compare::{Plan, Samples, Step, Wanted, Watch, rounds, table, tools, version};
use crate::harness::machine::page_cache::Switch;
use crate::harness::report::Report;
use std::path::{Path, PathBuf};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  larder bench compare --data ~/src                        with every program that is installed
  larder bench compare --data kernel --with restic,borg --rounds 10
  larder bench compare --data old --second new --steps first,second --with cp
  larder bench compare --data ~/src --base ./larder-of-yesterday --with find
  larder bench compare --data ~/src --drop-caches --tool my-tool.toml

Each program does all of its steps in turn; the order of the programs changes from round to round. Every restore is compared \
with its source. When a program is not installed, larder names it and says how to install it.";

const WHAT: &str = "What to compare";
const HOW: &str = "How";

/// Compare larder with other programs
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The data to back up: a folder, or the name of a data set
    #[arg(long, value_name = "PATH|DATASET", help_heading = WHAT)]
    data: String,
    /// Another version of the data, to back up after the first [default: the second version of the data set]
    #[arg(long, value_name = "PATH", help_heading = WHAT)]
    second: Option<PathBuf>,
    /// The programs to compare with: restic, rustic, borg, bupstash, kopia, plakar, cp, tar+lz4, find, limit [default: all
    /// that are installed]
    #[arg(long, value_name = "TOOLS", value_delimiter = ',', help_heading = WHAT)]
    with: Vec<String>,
    /// A file that describes another program (docs/ci.md says how)
    #[arg(long, value_name = "FILE", help_heading = WHAT)]
    tool: Vec<PathBuf>,
    /// The larder program to measure [default: this one]
    #[arg(long, value_name = "FILE", help_heading = WHAT)]
    binary: Option<PathBuf>,
    /// Another larder program to compare with, e.g. the one before a change
    #[arg(long, value_name = "FILE", help_heading = WHAT)]
    base: Option<PathBuf>,
    /// The program built from benches/limit; limit-restore lies in the same folder
    #[arg(long, value_name = "FILE", help_heading = WHAT)]
    limit_binary: Option<PathBuf>,

    /// How many rounds to run
    #[arg(long, value_name = "N", default_value_t = 5, help_heading = HOW)]
    rounds: usize,
    /// The steps to measure: first, unchanged, restore, second [default: all that the data allow]
    #[arg(long, value_name = "STEPS", value_delimiter = ',', help_heading = HOW)]
    steps: Vec<Step>,
    /// Empty the page cache before each step (needs root)
    #[arg(long, help_heading = HOW)]
    drop_caches: bool,
    /// The folder for the programs' stores and caches [default: the folder for temporary files]
    #[arg(long, value_name = "DIR", help_heading = HOW)]
    work: Option<PathBuf>,
    /// The folder to restore into [default: /dev/shm]
    #[arg(long, value_name = "DIR", help_heading = HOW)]
    restore_to: Option<PathBuf>,
    /// How many seconds one step of a program may take
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, help_heading = HOW)]
    timeout: u64,

    #[command(flatten)]
    report: ReportOptions,
    #[command(flatten)]
    data_sets: DataOptions,
}

pub fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let begun = Report::new("compare", &words());
    let wanted = Wanted {
        with: args.with.clone(),
        files: args.tool.clone(),
        larder: own_binary(args.binary.as_deref())?,
        base: args.base.clone(),
        limit: args.limit_binary.clone(),
    };
    let (found, missing) = tools(&wanted)?;
    missing.iter().for_each(|what| context.out.note(&format!("left out: {what}")));
    let plan = plan(context, &args, found)?;
    let versions = plan.tools.iter().map(|tool| version(tool, &plan.work)).collect::<Result<Vec<_>, _>>()?;
    let data = plan.data.used()?;
    let mut samples = Samples { warnings: missing, ..Samples::default() };
    let report = |samples: &Samples| table::report(&begun, &plan, &versions, &data, samples);
    let mut watch = Shown { out: &context.out, options: &args.report, report: &report };
    let outcome = rounds::run(&plan, &mut samples, &mut watch);
    context.interrupt.immediate();
    conclude(context, &args, &plan.tools[0].label, &report, &samples, outcome)
}

/// Prints what there is, also of a run that ended early.
fn conclude(
    context: &Context,
    args: &Args,
    ours: &str,
    report: &dyn Fn(&Samples) -> Report,
    samples: &Samples,
    outcome: Result<(), BenchError>,
) -> Result<ExitCode, Failure> {
    if !samples.taken.keys().any(|(label, _)| label == ours) {
        outcome?;
        return Err(BenchError::NotMeasured(samples.warnings.join("; ")).into());
    }
    finish::conclude(context, &args.report, &report(samples), outcome.map_err(Failure::from))?;
    if !samples.lost.is_empty() {
        context.out.warn(&format!("restore differs from the source: {}", samples.lost.join(", ")));
    }
    if !samples.failed.is_empty() {
        let failed: Vec<&str> = samples.failed.iter().map(String::as_str).collect();
        context.out.warn(&format!("could not be measured to the end: {}", failed.join(", ")));
    }
    if !samples.failed.is_empty() || !samples.lost.is_empty() {
        return Ok(ExitCode::Failed);
    }
    Ok(ExitCode::Ok)
}

fn plan(context: &Context, args: &Args, tools: Vec<crate::harness::compare::Found>) -> Result<Plan, Failure> {
    let mut data = args.data_sets.resolve(context, &args.data)?;
    data.path = absolute(&data.path)?;
    if let Some(second) = args.second.as_ref().or(data.second.as_ref()) {
        data.second = Some(absolute(second)?);
    }
    let steps = match args.steps.as_slice() {
        [] => Step::ALL.into_iter().filter(|step| *step != Step::Second || data.second.is_some()).collect(),
        steps => Step::ALL.into_iter().filter(|step| steps.contains(step)).collect(),
    };
    let work = args.work.clone().unwrap_or_else(std::env::temp_dir);
    std::fs::create_dir_all(&work).map_err(|error| Failure::io("cannot make the folder", &work, &error))?;
    let memory = Some(PathBuf::from("/dev/shm")).filter(|folder| folder.is_dir());
    let target = args.restore_to.clone().or(memory).unwrap_or_else(|| work.clone());
    Ok(Plan {
        tools,
        data,
        steps,
        rounds: args.rounds,
        work: absolute(&work)?,
        target: absolute(&target)?,
        drop_caches: args.drop_caches.then(Switch::default),
        timeout: Duration::from_secs(args.timeout),
        cancel: context.interrupt.deferred(),
    })
}

/// As the processes that are measured see it, which run elsewhere.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    path.canonicalize().map_err(|error| Failure::io("cannot find", path, &error))
}

/// The program that is measured.
pub(super) fn own_binary(given: Option<&Path>) -> Result<PathBuf, Failure> {
    match given {
        Some(path) => absolute(path),
        None => std::env::current_exe().map_err(|error| {
            Failure::failed(format!("cannot find this program's own file: {error}; name it with --binary"))
        }),
    }
}

/// Progress on standard error, and the results so far in a file after every round.
struct Shown<'a> {
    out: &'a Output,
    options: &'a ReportOptions,
    report: &'a dyn Fn(&Samples) -> Report,
}

impl Watch for Shown<'_> {
    fn progress(&mut self, line: &str) {
        self.out.note(line);
    }

    fn round(&mut self, samples: &Samples) {
        if self.options.save.is_none() {
            return;
        }
        if let Err(failure) = save_progress(self.options, &(self.report)(samples)) {
            self.out.warn(&format!("the results so far cannot be kept: {}", failure.message));
        }
    }
}
