//! `larder bench`: each subcommand has a file.

pub mod chunking;
pub mod stages;
pub mod pipeline;
pub mod compare;
pub mod gate;
pub mod data;
pub mod data_options;
pub mod report;
pub mod finish;

use crate::cli::context::Context;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::harness::BenchError;
use clap::Subcommand;

const EXAMPLES: &str = "\
Examples:
  larder bench stages ~/src                     how fast can this machine process this data?
  larder bench pipeline ~/src                   how fast does larder process it?
  larder bench compare --data ~/src --with restic,borg
  larder bench gate --baseline benches/baseline.toml";

/// Measure the speed of this machine, of larder and of other programs
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare chunking algorithms on your data
    Chunking(chunking::Args),
    /// Measure each kernel of the pipeline, and the fastest backup that they allow
    Stages(stages::Args),
    /// Measure whole backups, restores and checks
    Pipeline(pipeline::Args),
    /// Compare larder with other programs
    Compare(compare::Args),
    /// Compare with a baseline, and pass or fail (for CI)
    Gate(gate::Args),
    /// List, make and verify data sets
    Data(data::Args),
    /// Run the scenario that is described on standard input
    #[command(hide = true)]
    ScenarioJob(pipeline::JobArgs),
    /// Show saved results in any format
    Report(report::Args),
}

pub fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    match args.command {
        Command::Chunking(args) => chunking::run(context, args),
        Command::Stages(args) => stages::run(context, args),
        Command::Pipeline(args) => pipeline::run(context, args),
        Command::Compare(args) => compare::run(context, args),
        Command::Gate(args) => gate::run(context, args),
        Command::Data(args) => data::run(context, args),
        Command::ScenarioJob(args) => pipeline::run_job(context, args),
        Command::Report(args) => report::run(context, args),
    }
}

impl From<BenchError> for Failure {
    fn from(error: BenchError) -> Failure {
        match error {
            BenchError::Store(error) => error.into(),
            BenchError::Interrupted => Failure::new(ExitCode::Interrupted, "interrupted"),
            BenchError::Invalid(_) => Failure::usage(crate::cli::failure::chain(&error)),
            _ => Failure::failed(crate::cli::failure::chain(&error)),
        }
    }
}

/// The subcommands of `larder bench`.
pub fn words() -> Vec<String> {
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    words.skip_while(|word| word != "bench").skip(1).collect()
}
