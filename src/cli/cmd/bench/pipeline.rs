//! `larder bench pipeline`, and the hidden command that runs one of its scenarios in a process of its own.

use super::data_options::DataOptions;
use super::finish::{ReportOptions, conclude, save_progress};
use super::stages::{KernelArgs, say};
use super::words;
use crate::cli::context::Context;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::codec::Compression;
use crate::harness::BenchError;
use crate::harness::data::DataSet;
use crate::harness::machine::page_cache::Switch;
use crate::harness::report::{DataUsed, Report};
use crate::harness::scenario::{self, Runner, Scenario, ScenarioOptions, job};
use crate::harness::stages::{self, StagesOptions};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  larder bench pipeline ~/src
  larder bench pipeline ~/src --rounds 3 --scenario first,unchanged,restore
  larder bench pipeline /var/lib/images --work /mnt/backup --restore-to /mnt/fast
  larder bench pipeline ~/src --no-roofline --save results
  sudo larder bench pipeline ~/src --drop-caches

Each round makes a fresh store in the work folder, then backs up, restores and checks. Each scenario is a process of its \
own. Scenarios that change files work on a private copy of the data. At the end the work folder is empty again.";

const WHAT: &str = "What to measure";
const HOW: &str = "How";

/// Measure whole backups, restores and checks
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The data to measure with: a path, or the name of a data set
    #[arg(value_name = "PATH|DATASET")]
    data: String,
    /// The scenarios to measure: first, unchanged, changed-0.01, changed-1, restore, check, check-read-data [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', help_heading = WHAT)]
    scenario: Vec<Scenario>,
    /// How many rounds to run, each with a fresh store
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..), help_heading = HOW)]
    rounds: u32,
    /// How data is compressed: lz4, zstd[:LEVEL] or none
    #[arg(long, value_name = "CODEC", default_value = "lz4", help_heading = HOW)]
    compression: Compression,
    /// How big files are read: auto, mmap or pread
    #[arg(long, value_name = "MODE", default_value = "auto", help_heading = HOW)]
    read: String,
    /// How many threads each stage of the pipeline has [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024), help_heading = HOW)]
    threads: Option<u16>,
    /// Empty the page cache before each scenario (needs root)
    #[arg(long, help_heading = HOW)]
    drop_caches: bool,
    /// The seed from which the changes are drawn
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = HOW)]
    seed: u64,
    /// The folder for stores and for a copy of the data [default: the folder for temporary files]
    #[arg(long, value_name = "DIR", help_heading = HOW)]
    work: Option<PathBuf>,
    /// The folder to restore into [default: in memory if there is enough, else the work folder]
    #[arg(long, value_name = "DIR", help_heading = HOW)]
    restore_to: Option<PathBuf>,
    /// Do not measure the kernels and the limit that they set
    #[arg(long, help_heading = HOW)]
    no_roofline: bool,
    /// How many rounds to run of the kernels
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..), help_heading = HOW)]
    kernel_rounds: u32,
    #[command(flatten, next_help_heading = HOW)]
    kernels: KernelArgs,
    #[command(flatten)]
    report: ReportOptions,
    #[command(flatten)]
    data_sets: DataOptions,
}

pub fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let data = args.data_sets.resolve(context, &args.data)?;
    let options = options(context, &args)?;
    // Before the kernels, which take a while.
    options.drop_caches.as_ref().map_or(Ok(()), Switch::check)?;
    let (mut report, used) = (Report::new("pipeline", &words()), data.used()?);
    let outcome = measure(context, &args, &options, (&data, &used), &mut report);
    context.interrupt.immediate();
    conclude(context, &args.report, &report, outcome)?;
    Ok(ExitCode::Ok)
}

fn options(context: &Context, args: &Args) -> Result<ScenarioOptions, Failure> {
    let this = std::env::current_exe().map_err(|e| Failure::failed(format!("cannot find this program: {e}")))?;
    Ok(ScenarioOptions {
        rounds: args.rounds as usize,
        scenarios: args.scenario.clone(),
        work: args.work.clone().unwrap_or_else(std::env::temp_dir),
        target: args.restore_to.clone(),
        compression: args.compression,
        read: args.read.clone(),
        threads: args.threads.map_or(0, usize::from),
        drop_caches: args.drop_caches.then(Switch::default),
        seed: args.seed,
        runner: Runner::Process(this, vec!["bench".into(), "scenario-job".into()]),
        cancel: context.interrupt.deferred(),
    })
}

/// The kernels, on the same data and storage, then the scenarios. What there is so far is in the report, and kept.
fn measure(
    context: &Context,
    args: &Args,
    options: &ScenarioOptions,
    (data, used): (&DataSet, &DataUsed),
    report: &mut Report,
) -> Result<(), Failure> {
    let tell = |what: &str| say(context, what);
    let keep = |report: &Report| {
        save_progress(&args.report, report).map_err(|failure| BenchError::NotMeasured(failure.message))
    };
    let kernels = match args.no_roofline {
        true => None,
        false => Some(stages::measure(&data.path, &kernel_options(args, options)?, &tell, &mut |so_far| {
            report.sections = stages::sections(so_far, used);
            keep(report)
        })?),
    };
    let of_kernels = report.sections.clone();
    scenario::run(data, options, kernels.as_ref(), &tell, &mut |results| {
        report.sections = scenario::sections(results);
        report.sections.extend(of_kernels.iter().cloned());
        keep(report)
    })?;
    Ok(())
}

fn kernel_options(args: &Args, options: &ScenarioOptions) -> Result<StagesOptions, Failure> {
    Ok(StagesOptions {
        rounds: args.kernel_rounds as usize,
        limit: args.kernels.limit,
        index_rows: args.kernels.index_rows,
        store_bytes: args.kernels.store_bytes,
        compression: options.compression,
        read: job::read_mode(&options.read)?,
        work: options.work.clone(),
        paths: Vec::new(),
        cancel: options.cancel.clone(),
    })
}

/// Run the scenario that is described on standard input
#[derive(Debug, clap::Args)]
pub struct JobArgs {}

/// Reads a job and prints its outcome: what `larder bench pipeline` starts.
pub fn run_job(context: &Context, _args: JobArgs) -> Result<ExitCode, Failure> {
    let job = std::io::read_to_string(std::io::stdin()).map_err(|e| Failure::failed(format!("cannot read: {e}")))?;
    let job: job::Job = serde_json::from_str(&job).map_err(|e| Failure::usage(format!("no job: {e}")))?;
    let outcome = job::perform(&job, &context.interrupt.deferred());
    context.interrupt.immediate();
    context.out.object(&outcome?)?;
    Ok(ExitCode::Ok)
}
