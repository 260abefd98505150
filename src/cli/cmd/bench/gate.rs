//! `larder bench gate`.

use super::compare::{absolute, own_binary};
use super::data_options::DataOptions;
use super::finish::{ReportOptions, conclude, finish, save_progress};
use super::words;
use crate::cli::context::Context;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::harness::BenchError;
use crate::harness::gate::child::{self, Child};
use crate::harness::gate::instructions::PATH;
use crate::harness::gate::pipeline::Pair;
use crate::harness::gate::{Outcome, Plan, Tier, Verdict, run as run_gate};
use crate::harness::report::Report;
use std::collections::BTreeSet;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  larder bench gate --baseline benches/baseline.toml --tiers a,b
  larder bench gate --baseline benches/baseline.toml --tiers c --criterion target/criterion
  larder bench gate --baseline benches/baseline.toml --tiers c --base ./larder-of-main
  larder bench gate --baseline benches/baseline.toml --update 'a backup lists one area less'

Tier a compares counters, which must be equal (allocations within 1 %, peak memory within 2 %). Counting file system calls \
needs strace.

Tier b compares the instructions of the kernels, which must be within 1 %. It needs valgrind, which counts the code path \
without AVX-512.

Tier c compares wall time. It fails only if the lower end of the confidence interval is above 5 %.

Exit codes: 0 within the limits, 4 slower, 5 a counter changed, 1 not measured. docs/ci.md has a recipe for CI.";

/// Compare with a baseline, and pass or fail (for CI)
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The file with the expected values
    #[arg(long, value_name = "FILE", default_value = "benches/baseline.toml")]
    baseline: PathBuf,
    /// The tiers to run: a, b, c [default: a and b, and c with --criterion or --base]
    #[arg(long, value_name = "TIERS", value_delimiter = ',')]
    tiers: Vec<Tier>,
    /// Write the measured values into the baseline, with this reason for the change
    #[arg(long, value_name = "REASON")]
    update: Option<String>,
    /// Leave out something that cannot be measured on this machine
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    without: Vec<Without>,
    /// What to do with values for which the baseline has only entries of other machines
    #[arg(long, value_name = "WHAT", default_value = "fail")]
    elsewhere: Elsewhere,

    /// For tier c: the folder of criterion, after `cargo bench --bench gate`
    #[arg(long, value_name = "DIR")]
    criterion: Option<PathBuf>,
    /// For tier c: the larder program that this one must not be slower than
    #[arg(long, value_name = "FILE")]
    base: Option<PathBuf>,
    /// For tier c: the data that both programs back up [default: seeded files]
    #[arg(long, value_name = "PATH|DATASET", requires = "base")]
    data: Option<String>,
    /// For tier c: how many rounds to run, at least 5; one more round comes first and does not count
    #[arg(long, value_name = "N", default_value_t = 10, requires = "base")]
    rounds: usize,
    /// The folder for temporary files [default: that of the system]
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,

    /// What a child does under strace or valgrind
    #[arg(long, hide = true)]
    task: Option<String>,

    #[command(flatten)]
    report: ReportOptions,
    #[command(flatten)]
    data_sets: DataOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Without {
    /// File system calls
    Syscalls,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Elsewhere {
    /// Fail, since they could not be measured
    Fail,
    /// Skip them, and name them
    Skip,
}

pub fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    if let Some(task) = &args.task {
        context.out.line(&format!("{PATH}{}", child::run(task)?))?;
        return Ok(ExitCode::Ok);
    }
    let plan = plan(context, &args)?;
    let mut so_far = Report::new("gate", &words());
    let outcome = run_gate(&plan, &words(), &mut |line| context.out.note(line), &mut |report| {
        so_far = report.clone();
        save_progress(&args.report, report).map_err(|failure| BenchError::NotMeasured(failure.message))
    });
    context.interrupt.immediate();
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            return conclude(context, &args.report, &so_far, Err(error.into())).map(|()| ExitCode::Failed);
        }
    };
    finish(context, &args.report, &outcome.report)?;
    judged(context, &args, &outcome)
}

/// The verdict, for people and as the exit code.
fn judged(context: &Context, args: &Args, outcome: &Outcome) -> Result<ExitCode, Failure> {
    outcome.report.warnings.iter().for_each(|warning| context.out.warn(warning));
    let (code, says) = match outcome.verdict {
        Verdict::Within if args.update.is_some() => (ExitCode::Ok, "the baseline is written"),
        Verdict::Within if outcome.in_part => (ExitCode::Ok, "within the baseline, as far as it was compared"),
        Verdict::Within => (ExitCode::Ok, "all is within the baseline"),
        Verdict::NotMeasured => (ExitCode::Failed, "not all could be measured"),
        Verdict::Slower => (ExitCode::Slower, "slower than the baseline allows"),
        Verdict::Changed => (ExitCode::CountersChanged, "counters differ from the baseline"),
    };
    if args.update.is_none() {
        outcome.tiers.iter().for_each(|tier| context.out.note(tier));
    }
    match code {
        ExitCode::Ok => context.out.note(says),
        _ => context.out.warn(&format!("gate: {says}")),
    }
    Ok(code)
}

/// What is asked for is measured: nobody takes a gate for passed that passed something over.
fn tiers(args: &Args) -> Result<BTreeSet<Tier>, Failure> {
    let timed = args.criterion.is_some() || args.base.is_some();
    match args.tiers.as_slice() {
        [] => Ok([Tier::A, Tier::B].into_iter().chain(timed.then_some(Tier::C)).collect()),
        tiers if timed && !tiers.contains(&Tier::C) => {
            Err(Failure::usage("--criterion and --base belong to tier c, which --tiers leaves out: add c to it"))
        }
        tiers => Ok(tiers.iter().copied().collect()),
    }
}

fn plan(context: &Context, args: &Args) -> Result<Plan, Failure> {
    let own = own_binary(None)?;
    let work = args.work.clone().unwrap_or_else(std::env::temp_dir);
    std::fs::create_dir_all(&work).map_err(|error| Failure::io("cannot make the folder", &work, &error))?;
    let work = absolute(&work)?;
    let mut data = args.data.as_ref().map(|word| args.data_sets.resolve(context, word)).transpose()?;
    if let Some(data) = &mut data {
        data.path = absolute(&data.path)?;
    }
    let memory = Some(PathBuf::from("/dev/shm")).filter(|folder| folder.is_dir());
    let target = memory.unwrap_or_else(|| work.clone());
    let (ours, rounds) = (own.clone(), args.rounds);
    Ok(Plan {
        baseline: args.baseline.clone(),
        tiers: tiers(args)?,
        without_syscalls: args.without.contains(&Without::Syscalls),
        skip_elsewhere: args.elsewhere == Elsewhere::Skip,
        update: args.update.clone(),
        criterion: args.criterion.clone(),
        pipeline: args.base.clone().map(|base| Pair { ours, base, data, rounds, target }),
        child: Child::of(&own),
        work,
        cancel: context.interrupt.deferred(),
    })
}
