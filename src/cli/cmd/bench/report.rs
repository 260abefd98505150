//! `larder bench report`.

use super::finish::{self, ReportOptions};
use crate::cli::context::Context;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::harness::report::{merge, save};
use std::collections::HashSet;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  larder bench report runs/2026-05-01T08-00-00Z-compare.json
  larder bench report runs --output page.html
  larder bench report stages.json compare.json --format markdown
  larder bench report run.json --output github-action=bench.json --output bencher=bmf.json";

/// Show saved results in any format
///
/// Of several runs of the same kind, the newest is shown, and the older ones are its history. Different kinds are combined
/// into one report.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Saved reports, or folders that contain them
    #[arg(value_name = "FILE|DIR", required = true)]
    files: Vec<PathBuf>,

    #[command(flatten)]
    report: ReportOptions,
}

pub fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let mut reports = vec![];
    for path in &args.files {
        if path.is_dir() {
            reports.extend(finish::read_history(context, path)?);
        } else {
            reports.push(save::read(path)?);
        }
    }
    let known: HashSet<_> = reports.iter().map(|run| (run.started.clone(), run.kind.clone())).collect();
    let Some((report, mut history)) = merge::newest(reports) else {
        return Err(
            Failure::failed("there is no saved report in these folders").hint("`larder bench … --save DIR` keeps one")
        );
    };
    if let Some(more) = finish::named_history(context, &args.report)? {
        history.extend(more.into_iter().filter(|run| !known.contains(&(run.started.clone(), run.kind.clone()))));
    }
    finish::keep(&args.report, &report)?;
    finish::put(context, &args.report, &report, &history)?;
    Ok(ExitCode::Ok)
}
