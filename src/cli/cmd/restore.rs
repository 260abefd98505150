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
use crate::tree::place::SnapshotPath;
use never::Never;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  larder restore latest --to /mnt/new               /etc/fstab becomes /mnt/new/etc/fstab
  larder restore latest:/etc --to /tmp/etc          /etc/fstab becomes /tmp/etc/fstab
  larder restore 3fa9 --to /tmp/x --include '*.conf' --verify
  larder restore latest:/srv --to /srv --overwrite if-changed --delete --dry-run

Damage: when something in the store is damaged, only the files that need it are lost. They are named, everything else is \
restored, and the exit code is 20. Files that need something that could not be read are named too, and the exit code is 1. \
When the storage gives nothing any more, the restore ends.

Interruption: run the same command again to continue, even in the middle of a big file. larder reads back what is there and \
fetches only the rest. Until then a file .larder-….journal lies beside each unfinished big file. A file .larder-….restore in \
DIR records which directories were changed, so that the next restore into DIR can remove or complete what a killed one left.

Links: where the snapshot has a directory and DIR has a symbolic link to a directory, larder follows the link, as long as it \
leads to a place inside DIR. With --delete, it follows the link only if the snapshot has nothing at the place that the link \
leads to: what the snapshot lacks is then deleted there, and that directory itself is kept. Nothing is deleted where a link \
leads that is not followed. Directories above PATH keep their attributes and times. DIR itself stands for PATH and is \
compared like any other directory; without --overwrite, larder only notes that it differs.

In use: --delete never removes, and --overwrite never replaces, the store, the cache, the configuration folder, files named on \
the command line, and programs and files named in --passphrase-command. When the snapshot has something else in such a place, \
it is named and not restored. larder does not know what a passphrase script reads: keep that outside DIR.

Attributes: when DIR refuses an owner, a mode, a time or an attribute, the file is restored without it and named, and the \
exit code is 1. When DIR can store such a thing for no file at all (owners on FAT, attributes on NFS), larder notes that once. \
Where hard links are impossible, each name becomes a file of its own, and larder says so. Only root may make device nodes; \
when another user restores, they are left out with a note.";

/// Restore a snapshot, or a part of one, into a directory
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The snapshot, and optionally a path in it: `latest` or the beginning of an id, then :PATH
    #[arg(value_name = "SNAP[:PATH]")]
    place: OsString,
    /// The directory to restore into; larder makes it if it does not exist
    #[arg(long = "to", value_name = "DIR")]
    target: PathBuf,
    /// Restore only what matches this pattern, and everything below it (repeatable). The syntax is that of .gitignore; /x
    /// begins at PATH, or is a whole path of the snapshot. The last pattern that matches decides
    #[arg(short, long, value_name = "PATTERN")]
    include: Vec<OsString>,
    /// Restore only what the patterns in this file match, one pattern a line (repeatable)
    #[arg(long, value_name = "FILE")]
    include_file: Vec<PathBuf>,
    /// Leave out what matches this pattern, and everything below it (repeatable)
    #[arg(short, long, value_name = "PATTERN")]
    exclude: Vec<OsString>,
    /// Leave out what the patterns in this file match (repeatable)
    #[arg(long, value_name = "FILE")]
    exclude_file: Vec<PathBuf>,
    /// Restore only the paths listed in this file, one path a line, and everything below them; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["include", "include_file"])]
    files_from: Vec<PathBuf>,
    /// Like --files-from, with a zero byte after each path
    #[arg(long, value_name = "FILE", conflicts_with_all = ["include", "include_file"])]
    files_from0: Vec<PathBuf>,
    /// Remove everything from DIR that the snapshot does not have there, including what the backup had left out. --exclude
    /// protects what matches. With --overwrite if-changed or always, a directory also gives way to a file of the snapshot,
    /// once that file is complete
    #[arg(long)]
    delete: bool,
    /// What to do with files that exist in DIR already
    #[arg(long, value_name = "MODE", default_value = "refuse")]
    overwrite: OverwriteMode,
    /// How owners are restored
    #[arg(long, value_name = "MODE", default_value = "try")]
    owners: OwnersMode,
    /// Do not restore extended attributes, which include ACLs and capabilities
    #[arg(long)]
    no_xattrs: bool,
    /// Read everything back afterwards, and compare content, modes, owners, times and attributes with the snapshot
    #[arg(long)]
    verify: bool,
    /// Print what would be restored, but write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Flush every file system that was written to before reporting success
    #[arg(long)]
    sync: bool,
    /// How many threads open and write data [default: one for each core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
    #[command(flatten)]
    select: SelectArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum OverwriteMode {
    /// Leave them, and name each one that differs from the snapshot
    Refuse,
    /// Replace those whose size or time differs; correct the attributes of the others
    IfChanged,
    /// Replace all of them, and replace links to directories by directories
    Always,
    /// Leave them, and say nothing
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
    /// By number, where the system permits it
    Try,
    /// By name, or by number where this machine does not know the name
    ByName,
    /// By number, and each owner that the system does not permit is a problem
    Require,
    /// Not at all: everything belongs to the user who runs the restore
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
        return Err(Failure::usage("--include-file: the file contains no pattern, so nothing would be restored"));
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
        restore::RestoreError::Interrupted => {
            Failure::new(ExitCode::Interrupted, "interrupted; run it again to continue")
        }
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
        out.warn(
            "the store is damaged: `larder check --read-data` names what is lost, and the next backup stores \
                  anew what it still finds",
        );
    }
    if stats.store_unreadable > 0 {
        out.warn(&format!(
            "{} could not be read from the store, since the storage failed. This is no damage: restore again when the \
             storage works",
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
    also(stats.unreadable, "have no content, since the backup could not read them");
    also(stats.changed_while_read, "changed while they were backed up");
    also(stats.verified, "read back and found equal");
    lines
}
