//! `larder bench stages`.

use crate::cli::context::Context;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  larder bench stages";

/// Measure each kernel of the pipeline, and the roofline they add up to
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {}

/// Runs it.
pub fn run(_context: &Context, _args: Args) -> Result<ExitCode, Failure> {
    Err(Failure::failed("not built yet"))
}
