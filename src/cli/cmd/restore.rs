//! `larder restore`.

mod never;

use super::backup::report::shown_problems;
use super::backup::sources::read_list;
use super::snapshots::short;
use crate::cli::context::{Context, host_name};
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::progress::{Progress, Shown};
use crate::cli::select::SelectArgs;
use crate::cli::{human, stages};
use crate::monitor::{Counter, StageTimes};
use crate::ops::restore::{self, Overwrite, Owners, RestoreOptions, RestoreStats};
use crate::report::problem::ProblemObject;
use crate::report::restore::Summary;
use crate::source::fs::parse_list;
use crate::store::StoreError;
use crate::tree::place::SnapshotPath;
use never::Never;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  larder restore latest --to /mnt/new               every path below /mnt/new
  larder restore latest:/etc --to /tmp/etc          what lies in /etc, straight into /tmp/etc
  larder restore 3fa9 --to /tmp/x --include '*.conf' --verify
  larder restore latest:/srv --to /srv --overwrite if-changed --delete --dry-run

Damage in the store costs only the files that hold it: they are named, the rest is restored, and the exit code is 20.
What could not be read since the storage failed is named likewise (exit code 1); when it gives nothing any more, the run ends.
An interrupted restore is continued by running it again, also in the middle of a big file: what is there of it is read
back, and only the rest comes from the store. Until then a file .larder-….journal lies beside it, and .larder-….restore in
DIR says which directories the restore changed: the next one into DIR removes or completes what a killed one left.

A link to a directory of the target is followed where the snapshot has a directory, an absolute one only if it leads into
the target as this system sees it now. Directories above what is restored keep their attributes and times. DIR stands for
PATH: it is compared like any other directory, but without --overwrite a difference is only noted. With --delete a link is
followed only where the snapshot has nothing at the place to which it leads. What the snapshot lacks is then deleted there,
and that directory itself is kept. From a directory to which a link leads that is not followed nothing is deleted.

--delete and --overwrite leave the store, the cache, the configuration folder, every file that the command line names, and the programs and
files that words of --passphrase-command name; what a script of it reads by itself is not known: keep it elsewhere. Where the snapshot has something else in the place of
such a file, that is named and not restored.

An owner, mode, time or attribute that the target refuses costs nothing else: the entry is restored without it and named,
and the exit code is 1. What the target takes of no entry at all (owners on FAT, attributes on NFS) is only noted. A file
whose names cannot be hard links there becomes several files, which is said in the same way. A device node, which only
root may make, is left out with a note when another user restores it.";

/// Restore a snapshot, or a part of one, into a directory
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// `latest` or the beginning of an id, with a path or without: ID:path
    #[arg(value_name = "SNAP[:PATH]")]
    place: OsString,
    /// The directory to restore into; made if it is not there
    #[arg(long = "to", value_name = "DIR")]
    target: PathBuf,
    /// Only what matches (.gitignore syntax; /x begins at PATH or is a whole path; the last that matches decides;
    /// repeatable), and what lies below
    #[arg(short, long, value_name = "PATTERN")]
    include: Vec<OsString>,
    /// Only what the patterns in this file match, one a line (repeatable)
    #[arg(long, value_name = "FILE")]
    include_file: Vec<PathBuf>,
    /// Leave out what matches, and what lies below
    #[arg(short, long, value_name = "PATTERN")]
    exclude: Vec<OsString>,
    /// Leave out what the patterns in this file match
    #[arg(long, value_name = "FILE")]
    exclude_file: Vec<PathBuf>,
    /// Only the paths of the snapshot that this file lists, one a line, and what lies below them; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["include", "include_file"])]
    files_from: Vec<PathBuf>,
    /// The same with a zero byte behind each path
    #[arg(long, value_name = "FILE", conflicts_with_all = ["include", "include_file"])]
    files_from0: Vec<PathBuf>,
    /// Remove from the target what the snapshot lacks there, also what the backup left out: --exclude keeps it. With
    /// --overwrite if-changed or always also directories where the snapshot has something else, once that is complete.
    /// A link in the target that lies where the snapshot has a directory is kept, and so is the directory it leads to
    #[arg(long)]
    delete: bool,
    /// What becomes of files that are there already
    #[arg(long, value_name = "MODE", default_value = "refuse")]
    overwrite: OverwriteMode,
    /// Whether owners are restored
    #[arg(long, value_name = "MODE", default_value = "try")]
    owners: OwnersMode,
    /// Do not restore extended attributes (ACLs and capabilities are such)
    #[arg(long)]
    no_xattrs: bool,
    /// Read everything back afterwards and compare content with its ids, and modes, owners, times and attributes
    #[arg(long)]
    verify: bool,
    /// Tell what would be done, write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Flush each file system that was written to before reporting success
    #[arg(long)]
    sync: bool,
    /// Threads that decode [default: one a core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    #[command(flatten)]
    select: SelectArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum OverwriteMode {
    /// Leave them and name each one that is not right already
    Refuse,
    /// Replace those whose size or time differs, correct the others where anything else does
    IfChanged,
    /// Replace all, and links to directories by directories
    Always,
    /// Leave them
    Never,
}

impl From<OverwriteMode> for Overwrite {
    fn from(mode: OverwriteMode) -> Overwrite {
        match mode {
            OverwriteMode::Refuse => Overwrite::Refuse,
            OverwriteMode::IfChanged => Overwrite::IfChanged,
            OverwriteMode::Always => Overwrite::Always,
            OverwriteMode::Never => Overwrite::Never,
        }
    }
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum OwnersMode {
    /// By number, as far as the system permits
    Try,
    /// The same by name, and by number where a name is not known here
    ByName,
    /// What is not permitted is a problem
    Require,
    /// Whoever runs the restore owns everything
    Skip,
}

impl From<OwnersMode> for Owners {
    fn from(mode: OwnersMode) -> Owners {
        match mode {
            OwnersMode::Try | OwnersMode::ByName => Owners::Try,
            OwnersMode::Require => Owners::Require,
            OwnersMode::Skip => Owners::Skip,
        }
    }
}

pub fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let SnapshotPath { snapshot: name, path } = SnapshotPath::parse(args.place.as_bytes())?;
    let include = patterns(args.include, &args.include_file)?;
    let exclude = patterns(args.exclude, &args.exclude_file)?;
    if include.is_empty() && !args.include_file.is_empty() {
        return Err(Failure::usage("--include-file: no pattern is in it, and so nothing would be restored"));
    }
    let list = list(&args.files_from, &args.files_from0)?;
    let named = [args.include_file, args.exclude_file, args.files_from, args.files_from0].concat();
    let store = context.open()?.store;
    let (snapshot, doubts) = args.select.snapshot(context, &store, &name)?;
    let overwrites = matches!(args.overwrite, OverwriteMode::IfChanged | OverwriteMode::Always);
    let removes = args.delete || overwrites;
    let never = if removes { never::never(context, &store, &named)? } else { Never::default() };
    let options = RestoreOptions {
        snapshot: snapshot.id.to_string(),
        path: path.filter(|path| path.as_slice() != b"/").unwrap_or_default(),
        target: args.target,
        include,
        exclude,
        list,
        delete: args.delete,
        never: never.nodes,
        never_at: never.paths,
        overwrite: args.overwrite.into(),
        owners_by_name: matches!(args.owners, OwnersMode::ByName),
        owners: args.owners.into(),
        no_xattrs: args.no_xattrs,
        verify: args.verify,
        dry_run: args.dry_run,
        sync: args.sync,
        host: host_name(),
        threads: args.threads,
        readers: 0,
        cancel: context.interrupt.deferred(),
    };
    let shown = Shown { verb: "restoring", things: (Counter::Files, "files"), bytes: Counter::Bytes };
    let progress = Progress::new(&context.out, shown);
    if args.dry_run {
        progress.dry_run();
    }
    let outcome = restore::run(&store, &options, progress.as_ref());
    progress.finish();
    context.interrupt.immediate();
    let stats = outcome.map_err(|e| match e {
        StoreError::Interrupted => Failure::new(ExitCode::Interrupted, "interrupted; run it again to continue"),
        e => e.into(),
    })?;
    tell(&context.out, &options, &stats, &progress.stages())?;
    Ok(doubts.or(exit_code(&stats)))
}

/// Patterns of the command line, then those of files, one a line: the last that matches decides.
fn patterns(mut given: Vec<OsString>, files: &[PathBuf]) -> Result<Vec<OsString>, Failure> {
    for file in files {
        let text = std::fs::read(file).map_err(|e| Failure::io("cannot read the patterns", file, &e))?;
        // As a `.gitignore` has them: without comments and empty lines.
        let lines = text.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let lines = lines.filter(|line| !line.trim_ascii().is_empty() && !line.starts_with(b"#"));
        given.extend(lines.map(|line| OsString::from_vec(line.to_vec())));
    }
    Ok(given)
}

/// Paths that files list; `None` without such a file.
fn list(lines: &[PathBuf], zeros: &[PathBuf]) -> Result<Option<Vec<Vec<u8>>>, Failure> {
    let mut paths = vec![];
    let lists = lines.iter().map(|list| (list, false)).chain(zeros.iter().map(|list| (list, true)));
    for (list, zero) in lists {
        let text = read_list(list).map_err(|e| Failure::io("cannot read the list", list, &e))?;
        paths.extend(parse_list(&text, zero).into_iter().map(|path| path.into_os_string().into_vec()));
    }
    let any = !lines.is_empty() || !zeros.is_empty();
    if any && paths.is_empty() {
        return Err(Failure::failed("nothing to restore: no path is listed"));
    }
    Ok(any.then_some(paths))
}

fn exit_code(stats: &RestoreStats) -> ExitCode {
    if stats.is_damaged() {
        ExitCode::Damage
    } else if stats.problem_count > stats.unreadable {
        ExitCode::Failed
    } else if stats.unreadable > 0 {
        ExitCode::Unread
    } else {
        ExitCode::Ok
    }
}

fn tell(
    out: &Output,
    options: &RestoreOptions,
    stats: &RestoreStats,
    stages: &[(&'static str, StageTimes)],
) -> Result<(), Failure> {
    if out.json {
        stats.problems.iter().try_for_each(|problem| out.object(&ProblemObject::problem(problem)))?;
        return out.object(&Summary::new(options.dry_run, stats, stages));
    }
    if !out.quiet {
        lines(options, stats).iter().try_for_each(|line| out.line(line))?;
        if out.verbose > 0 && !stages.is_empty() {
            stages::table(stages).print(out)?;
        }
    }
    shown_problems(out, &stats.problems, stats.problem_count, "not restored as they were");
    if stats.is_damaged() {
        out.warn("the store is damaged: `larder check --read-data` names what is lost, and the next backup stores anew what it still finds");
    }
    if stats.store_unreadable > 0 {
        out.warn(&format!(
            "{} could not be read from the store: the storage failed, which is no damage; restore again when it works",
            human::counted(stats.store_unreadable, "thing", "things")
        ));
    }
    Ok(())
}

fn lines(options: &RestoreOptions, stats: &RestoreStats) -> Vec<String> {
    let of = stats.snapshot.map_or_else(String::new, |id| format!(" of snapshot {}", short(&id)));
    let would = if options.dry_run { "would be " } else { "" };
    let mut lines = vec![
        format!(
            "restored  {}{} in {}, {}, {}{of}",
            would,
            human::bytes(stats.bytes),
            human::counted(stats.files, "file", "files"),
            human::counted(stats.directories, "directory", "directories"),
            human::counted(stats.symlinks + stats.hard_links + stats.specials, "other", "others"),
        ),
        format!(
            "in        {}, {}; {} read from the store",
            human::duration(stats.duration),
            human::rate(stats.bytes, stats.duration),
            human::bytes(stats.bytes_read),
        ),
    ];
    let mut also = |n: u64, what: &str| {
        if n > 0 {
            lines.push(format!("{:<9} {what}", human::count(n)));
        }
    };
    also(stats.unchanged, "were right already");
    also(stats.deleted, if options.dry_run { "would be deleted" } else { "deleted: the snapshot lacks them" });
    also(stats.left, "were there and left as they are");
    also(stats.unreadable, "come without content: the backup could not read them");
    also(stats.changed_while_read, "changed while they were backed up");
    also(stats.verified, "read back and found equal");
    lines
}
