//! `larder find`.

use super::snapshots::{say_doubts, short};
use crate::base::path::path_of;
use crate::base::time::Time;
use crate::cli::context::Context;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::cli::output::Colour;
use crate::cli::remarks::Remarks;
use crate::cli::select::SelectArgs;
use crate::cli::{escape, size, time};
use crate::format::tree::EntryKind;
use crate::ops::find::{self, FindOptions, Matcher};
use crate::report::entry::EntryObject;
use clap::ValueEnum;
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;

const EXAMPLES: &str = "\
Examples:
  larder find '*.sql'                        by name, in every snapshot
  larder find 'etc/**/*.conf' --in latest    by path
  larder find -i 'read*me' --type file --newer 2026-01-01 --host web1

A pattern that contains a / is compared with whole paths. Any other pattern is compared with names.";

/// Look for files in snapshots
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Glob patterns; an entry is found if it matches one of them
    #[arg(value_name = "PATTERN", required = true)]
    patterns: Vec<OsString>,
    /// Search only this snapshot (repeatable) [default: all snapshots]
    #[arg(long = "in", value_name = "SNAP")]
    within: Vec<String>,
    /// Ignore upper and lower case
    #[arg(short, long)]
    ignore_case: bool,
    /// Only entries of this kind (repeatable)
    #[arg(long = "type", value_name = "KIND")]
    kinds: Vec<Kind>,
    /// Only entries that were modified at or after this time
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    newer: Option<Time>,
    /// Only entries that were modified before this time
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    older: Option<Time>,
    /// Only files of at least this size, e.g. 10M or 4KiB
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    min_size: Option<u64>,
    /// Only files of at most this size
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    max_size: Option<u64>,
    /// Show modes, owners, sizes and times
    #[arg(short, long)]
    long: bool,
    #[command(flatten)]
    select: SelectArgs,
}

/// Kinds of entries as words.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    #[value(alias = "f")]
    File,
    #[value(alias = "d")]
    Directory,
    #[value(alias = "l")]
    Symlink,
    #[value(alias = "p")]
    Fifo,
    #[value(alias = "s")]
    Socket,
    #[value(alias = "c")]
    CharDevice,
    #[value(alias = "b")]
    BlockDevice,
}

impl From<Kind> for EntryKind {
    fn from(kind: Kind) -> EntryKind {
        match kind {
            Kind::File => EntryKind::File,
            Kind::Directory => EntryKind::Directory,
            Kind::Symlink => EntryKind::Symlink,
            Kind::Fifo => EntryKind::Fifo,
            Kind::Socket => EntryKind::Socket,
            Kind::CharDevice => EntryKind::CharDevice,
            Kind::BlockDevice => EntryKind::BlockDevice,
        }
    }
}

pub fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let matcher = Matcher::new(FindOptions {
        patterns: args.patterns,
        ignore_case: args.ignore_case,
        kinds: args.kinds.into_iter().map(EntryKind::from).collect(),
        newer: args.newer,
        older: args.older,
        min_bytes: args.min_size,
        max_bytes: args.max_size,
    })
    .map_err(|e| Failure::usage(e.to_string()))?;
    let store = context.open_with_index()?;
    let out = &context.out;
    let (mut snapshots, mut code) = (Vec::new(), ExitCode::Ok);
    for name in &args.within {
        let (snapshot, doubts) = args.select.snapshot(context, &store, name)?;
        snapshots.push(snapshot);
        code = code.or(doubts);
    }
    if args.within.is_empty() {
        let (all, damaged) = store.snapshots_confirmed()?;
        snapshots = args.select.among(all, &damaged)?;
        code = say_doubts(out, &snapshots, &damaged);
    }
    let mut failed = None;
    let mut heading = None;
    let stats = find::run(
        &store,
        &snapshots,
        &matcher,
        &mut |snapshot, entry| {
            let path = path_of(&entry.key);
            let printed = if out.json {
                out.object(&EntryObject::new(&snapshot.id, entry, &path))
            } else {
                let first = heading.replace(snapshot.id) != Some(snapshot.id);
                let head = format!("snapshot {}  {}", short(&snapshot.id), time::local(snapshot.manifest.time));
                let head = if first { out.line(&out.paint(&head, Colour::Bold)) } else { Ok(()) };
                let line = if args.long { super::ls::long(entry, &path) } else { escape::name(&path) };
                head.and_then(|()| out.line(&line))
            };
            printed.map_or_else(|e| (failed = Some(e), ControlFlow::Break(())).1, ControlFlow::Continue)
        },
        &Remarks(out),
    )?;
    if let Some(failure) = failed {
        return Err(failure);
    }
    if stats.found == 0 {
        out.note("nothing found");
    } else {
        let nothing =
            |pattern: &OsString| out.note(&format!("nothing found for '{}'", escape::name(pattern.as_bytes())));
        matcher.without_match().for_each(nothing);
    }
    if stats.damaged > 0 {
        code = code.or(ExitCode::Damage);
    }
    if stats.unreadable > 0 {
        code = code.or(ExitCode::Failed);
    }
    Ok(code)
}
