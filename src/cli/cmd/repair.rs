//! `larder repair index`.

use crate::cli::context::{Context, host_name};
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::cli::human;
use crate::cli::output::Output;
use crate::cli::progress::{Progress, Shown};
use crate::monitor::Counter;
use crate::ops::repair::{self, RepairOptions, RepairStats};
use crate::report::problem::ProblemObject;
use crate::report::repair::Summary;

const EXAMPLES: &str = "\
Examples:
  larder repair index --dry-run
  larder repair index";

/// Rebuild a lost or damaged index
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Rebuild lost or damaged index segments from the tables in the packs, make missing folders of the store again, and
    /// remove records of damage that cannot be read
    #[command(after_help = EXAMPLES)]
    Index(IndexArgs),
}

#[derive(Debug, clap::Args)]
struct IndexArgs {
    /// Print what would be repaired, but write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let Command::Index(IndexArgs { dry_run }) = args.command;
    let storage = context.storage()?;
    let folders = repair::folders(storage.as_ref(), dry_run)?;
    if !folders.is_empty() {
        let names = folders.join(", ");
        if dry_run {
            let message =
                format!("folders of the store are missing: {names}; what else is missing shows once they exist");
            return Err(Failure::new(ExitCode::Damage, message).hint("run it without --dry-run to make them again"));
        }
        context.out.warn(&format!("folders of the store were missing and were made again, empty: {names}"));
    }
    let store = context.open_storage(storage)?.store;
    let options = RepairOptions { dry_run, host: host_name(), cancel: context.interrupt.deferred() };
    let shown = Shown { verb: "read", things: (Counter::ObjectsChecked, "packs"), bytes: Counter::BytesChecked };
    let progress = Progress::new(&context.out, shown);
    let outcome = repair::index(&store, &options, progress.as_ref());
    progress.finish();
    context.interrupt.immediate();
    let stats = outcome?;
    tell(&context.out, dry_run, &folders, &stats)?;
    Ok(match stats.problems.len() as u64 {
        0 => ExitCode::Ok,
        // Nothing is known of what the storage failed to give.
        problems if problems == stats.unreadable => ExitCode::Failed,
        _ => ExitCode::Damage,
    })
}

fn tell(out: &Output, dry_run: bool, folders: &[&'static str], stats: &RepairStats) -> Result<(), Failure> {
    if out.json {
        stats.problems.iter().try_for_each(|problem| out.object(&ProblemObject::problem(problem)))?;
        return out.object(&Summary::new(dry_run, folders, stats));
    }
    let would = if dry_run { "would be " } else { "" };
    if !out.quiet {
        out.line(&format!(
            "{} damaged and {} missing",
            human::counted(stats.segments_damaged.len() as u64, "index segment", "index segments"),
            human::count(stats.segments_missing.len() as u64),
        ))?;
        out.line(&format!(
            "{} of {} {would}listed again with {}",
            human::counted(stats.packs_listed.len() as u64, "pack", "packs"),
            human::count(stats.packs),
            human::counted(stats.rows, "row", "rows"),
        ))?;
        if !stats.damage_records.is_empty() {
            out.line(&format!(
                "{} that read wrong {would}removed: `larder check --read-data` puts on record again what they named",
                human::counted(stats.damage_records.len() as u64, "record of damage", "records of damage"),
            ))?;
        }
    }
    super::backup::report::shown_problems(out, &stats.problems, stats.problems.len() as u64, "could not be used");
    Ok(())
}
