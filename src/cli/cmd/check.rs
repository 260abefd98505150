//! `larder check`.

use super::snapshots::short;
use crate::cli::context::Context;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::progress::{Progress, Shown};
use crate::cli::{escape, human, percent};
use crate::monitor::Counter;
use crate::ops::check::{self, Affected, CheckOptions, CheckReport, Finding, ReadData, Severity};
use crate::report::check::{AffectedObject, FindingObject, Summary, subject};

const EXAMPLES: &str = "\
Examples:
  larder check                          is everything there, and does it fit together?
  larder check --read-data              the same, and is every byte right?
  larder check --subset 5%              reads 5 % of the packs, others each time
  larder check --keyless                on a machine without a key, e.g. the one with the disks

When damage is found, the exit code is 20, and every damaged object, snapshot and path is named. Damage is also recorded \
in the store: no backup relies on a damaged chunk any more, the next backup stores it anew if it still finds it, and later \
checks read it again.

When something could not be read, but everything else is whole, the exit code is 1: the storage failed.";

/// Findings and paths shown to people; --json lists all.
const SHOWN: usize = 50;

/// Verify a store and everything in it, and record the damage that is found
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Read every pack and verify every byte
    #[arg(long)]
    read_data: bool,
    /// Read and verify this share of the packs, chosen at random
    #[arg(long, value_name = "PERCENT", value_parser = percent::parse, conflicts_with = "read_data")]
    subset: Option<f64>,
    /// Verify without any key that each object contains the bytes whose hash is its name
    #[arg(long, conflicts_with_all = ["read_data", "subset"])]
    keyless: bool,
    /// How many threads read [default: one for each core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
}

pub fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let read_data = match (args.read_data, args.subset) {
        (true, _) => ReadData::All,
        (false, Some(percent)) => ReadData::Percent(percent),
        (false, None) => ReadData::No,
    };
    let shown = Shown { verb: "checked", things: (Counter::ObjectsChecked, "objects"), bytes: Counter::BytesChecked };
    let mut options = CheckOptions { read_data, threads: args.threads, ..CheckOptions::default() };
    let storage = context.storage()?;
    let outcome = if args.keyless {
        options.cancel = context.interrupt.deferred();
        check::keyless(&storage, &options, Progress::new(&context.out, shown).as_ref())
    } else if let Some(report) = check::nobody_can_open(storage.as_ref())? {
        Ok(report)
    } else {
        let store = context.open_storage(storage)?.store;
        options.cancel = context.interrupt.deferred();
        check::run(&store, &options, Progress::new(&context.out, shown).as_ref())
    };
    context.interrupt.immediate();
    let report = outcome?;
    if context.out.json {
        objects(&context.out, &report)?
    } else {
        lines(&context.out, &report)?
    }
    Ok(match report.is_damaged() {
        true => ExitCode::Damage,
        false if report.unreadable() > 0 => ExitCode::Failed,
        false => ExitCode::Ok,
    })
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Notice => "notice",
        Severity::ReadErrorOnce => "read error once",
        Severity::Unreadable => "unreadable",
        Severity::Damage => "damaged",
    }
}

fn lines(out: &Output, report: &CheckReport) -> Result<(), Failure> {
    let least = if out.quiet { Severity::ReadErrorOnce } else { Severity::Notice };
    let findings: Vec<&Finding> = report.findings.iter().filter(|f| f.severity >= least).collect();
    for finding in findings.iter().take(SHOWN) {
        let (severity, subject) = (severity(finding.severity), subject(&finding.subject));
        // An error of the engine names its object too.
        let message = finding.message.strip_prefix(&format!("{subject}: ")).unwrap_or(&finding.message);
        out.line(&format!("{severity}: {subject}: {}", escape::text(message)))?;
    }
    let all: u64 = report.counts.iter().sum();
    let more = all.saturating_sub(findings.len().min(SHOWN) as u64);
    if more > 0 && !out.quiet {
        out.line(&format!("and {} more findings; --json lists them", human::count(more)))?;
    }
    affected_lines(out, report)?;
    if out.quiet {
        return Ok(());
    }
    let leftovers = &report.leftovers;
    if leftovers.sessions + leftovers.packs + leftovers.snapshots > 0 {
        out.line(&format!(
            "left behind by unfinished runs, which is no damage: {}, {} ({}), {}",
            human::counted(leftovers.sessions, "session", "sessions"),
            human::counted(leftovers.packs, "pack", "packs"),
            human::bytes(leftovers.pack_bytes),
            human::counted(leftovers.snapshots, "manifest", "manifests"),
        ))?;
    }
    out.line(&format!(
        "checked {}, {} in {}, {} of {} in {}, {} read in {}",
        human::counted(report.snapshots, "snapshot", "snapshots"),
        human::counted(report.entries, "entry", "entries"),
        human::counted(report.nodes, "node", "nodes"),
        human::counted(report.packs_read, "pack", "packs"),
        human::count(report.packs),
        human::counted(report.segments, "index segment", "index segments"),
        human::bytes(report.bytes_read),
        human::duration(report.duration),
    ))?;
    let [_, once, unreadable, damaged] = report.counts;
    if unreadable > 0 {
        out.line(&format!(
            "could not be read: {}. larder does not know whether data is lost. Mend the storage (disk, connection, \
             permissions), then check again",
            human::counted(unreadable, "thing", "things")
        ))?;
    }
    out.line(&match (damaged, once) {
        (0, _) if unreadable > 0 => "no damage found in what could be read".into(),
        (0, 0) => "no damage found".into(),
        (0, once) => format!(
            "no damage found, but {} could only be read right at a second try: suspect the disk, the memory or the \
             connection",
            human::counted(once, "object", "objects")
        ),
        (damaged, _) => format!("DAMAGE: {}", human::counted(damaged, "finding", "findings")),
    })
}

fn affected_lines(out: &Output, report: &CheckReport) -> Result<(), Failure> {
    for Affected { snapshot, path, until } in report.affected.iter().take(SHOWN) {
        let range = match until {
            None => String::new(),
            Some(until) if until.is_empty() => " and everything after it".into(),
            Some(until) => format!(" up to {}", escape::name(until)),
        };
        out.line(&format!("does not restore: {}:{}{range}", short(snapshot), escape::name(path)))?;
    }
    let more = report.affected_count.saturating_sub(report.affected.len().min(SHOWN) as u64);
    if more > 0 {
        out.line(&format!("and {} more paths; --json lists them", human::count(more)))?;
    }
    if !report.affected_snapshots.is_empty() {
        let ids: Vec<String> = report.affected_snapshots.iter().map(short).collect();
        out.line(&format!("damaged snapshots: {}", ids.join(" ")))?;
    }
    if !report.whole_again.is_empty() {
        let ids: Vec<String> = report.whole_again.iter().map(short).collect();
        out.line(&format!("whole again, since the damaged parts have been stored anew: {}", ids.join(" ")))?;
    }
    Ok(())
}

fn objects(out: &Output, report: &CheckReport) -> Result<(), Failure> {
    report.findings.iter().try_for_each(|finding| out.object(&FindingObject::from(finding)))?;
    report.affected.iter().try_for_each(|affected| out.object(&AffectedObject::from(affected)))?;
    out.object(&Summary::from(report))
}
