//! `larder backup`: its words. What it tells is in `backup/report.rs`.

mod ahead;
mod first;
mod leave_out;
pub mod report;
pub mod sources;
mod words;

use crate::base::time::Time;
use crate::cli::context::{Context, host_name};
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::cli::progress::{Progress, Shown};
use crate::cli::select::snapshot;
use crate::cli::{size, time};
use crate::codec::Compression;
use crate::connect::open::Opened;
use crate::monitor::Counter;
use crate::ops::backup::{self, BackupOptions};
use crate::source::fs::ReadMode;
use crate::store::newest::Wanted;
use ahead::Ahead;
use first::open_or_create;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use words::Words;

const EXAMPLES: &str = "\
Examples:
  larder backup /home /etc
  larder backup ~ --exclude '*.o' --exclude-caches --tag daily
  larder backup /mnt/snap --as /srv/data             a mounted file system snapshot
  larder backup --stdin-from-command dump.sql -- pg_dumpall
  larder backup --stdin-from-command db.sql -- bash -c 'set -o pipefail; ssh db pg_dump shop | pv'
  larder backup --read-special /dev/vg/snap --as /srv/disk.img
  find /srv -newer stamp -print0 > list && larder backup --files-from0 list

The first backup without -s and LARDER_STORE makes a store at ~/.larder.

A pipe does not tell whether the command before it failed: `pg_dumpall | larder backup --stdin dump.sql` makes a snapshot
of what came until the pipe ended, also when that was cut off, and `set -o pipefail` comes too late: the snapshot is there.
--stdin-from-command waits for the command's exit status, and a command that fails makes no snapshot, whatever it left
running; what a command that ended well left running is read until it closes the output, as in a shell. Of --files-from -
nobody tells either: a list that was cut off backs up less.

Files whose size, times and inode are as in the newest snapshot of the same host and paths are not read.";

const SOURCE: &str = "What to back up";
const LEAVE_OUT: &str = "What to leave out";
const SNAPSHOT: &str = "The snapshot";
const ENGINE: &str = "How";

/// Back up files and directories into a new snapshot
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Files and directories
    #[arg(value_name = "PATH", required_unless_present_any = ["stdin", "stdin_from_command", "files_from", "files_from0"])]
    paths: Vec<PathBuf>,

    /// Store standard input as one file of this name (an absolute path, or a name below /). Nobody tells whether what wrote
    /// it ended well: --stdin-from-command does
    #[arg(long, value_name = "NAME", help_heading = SOURCE, conflicts_with_all = ["paths", "files_from", "files_from0", "as_path"])]
    stdin: Option<OsString>,
    /// Run a command without a shell and store what it prints as one file of this name: NAME -- COMMAND ARGS...; unless it
    /// ends with exit status 0 there is no snapshot
    #[arg(long, value_name = "NAME", help_heading = SOURCE, conflicts_with_all = ["stdin", "files_from", "files_from0", "as_path"])]
    stdin_from_command: Option<OsString>,
    /// Standard input, or what the command prints, may be empty (otherwise that is an error)
    #[arg(long, help_heading = SOURCE)]
    allow_empty: bool,
    /// Store the content of a PATH that is a block device, or a link to one, as a regular file (not of devices found in
    /// directories; read in full each time; unmount it or take a snapshot of it first)
    #[arg(long, help_heading = SOURCE)]
    read_special: bool,
    /// Back up the paths listed in this file, one a line; - is standard input
    #[arg(long, value_name = "FILE", help_heading = SOURCE)]
    files_from: Vec<PathBuf>,
    /// The same with a zero byte behind each path, as find -print0 writes them
    #[arg(long, value_name = "FILE", help_heading = SOURCE)]
    files_from0: Vec<PathBuf>,
    /// The one PATH appears in the snapshot as this absolute path
    #[arg(long = "as", value_name = "PATH", help_heading = SOURCE)]
    as_path: Option<PathBuf>,
    /// Do not enter other file systems, but as far as they lead to another PATH
    #[arg(short = 'x', long, help_heading = SOURCE)]
    one_file_system: bool,
    /// Do not read extended attributes (ACLs and capabilities are such)
    #[arg(long, help_heading = SOURCE)]
    no_xattrs: bool,

    #[command(flatten)]
    rules: leave_out::Rules,
    /// Honour files of this name in every directory, e.g. .gitignore
    #[arg(long, value_name = "NAME", help_heading = LEAVE_OUT)]
    ignore_file: Vec<OsString>,
    /// Leave out what lies in directories that hold a CACHEDIR.TAG (never a PATH itself)
    #[arg(long, help_heading = LEAVE_OUT)]
    exclude_caches: bool,
    /// Leave out what lies in directories that hold this name, e.g. .nobackup (never a PATH itself; repeatable)
    #[arg(long, value_name = "NAME", help_heading = LEAVE_OUT)]
    exclude_if_present: Vec<OsString>,
    /// Leave out files larger than this (10M, 4GiB)
    #[arg(long, value_name = "SIZE", value_parser = size::parse, help_heading = LEAVE_OUT)]
    exclude_larger_than: Option<u64>,
    /// Leave out what has the no-dump flag (chattr +d)
    #[arg(long, help_heading = LEAVE_OUT)]
    exclude_nodump: bool,

    /// Host label [default: this machine's name]
    #[arg(long, value_name = "HOST", value_parser = host_label, help_heading = SNAPSHOT)]
    host: Option<String>,
    /// Tags (repeatable, or with commas)
    #[arg(long = "tag", value_name = "TAG", value_delimiter = ',', help_heading = SNAPSHOT)]
    tags: Vec<String>,
    /// The time it stands for [default: now]
    #[arg(long, value_name = "TIME", value_parser = time::parse, help_heading = SNAPSHOT)]
    time: Option<Time>,
    /// Compare with this snapshot [default: the newest of the same host and paths]
    #[arg(long, value_name = "SNAP", help_heading = SNAPSHOT)]
    parent: Option<String>,
    /// Make no snapshot when nothing below each PATH has changed since the one it is compared with: names, content,
    /// metadata and unreadable files alike (tags, options and the directories above do not count)
    #[arg(long, help_heading = SNAPSHOT)]
    skip_if_unchanged: bool,

    /// Look and count, store nothing
    #[arg(short = 'n', long, help_heading = ENGINE)]
    dry_run: bool,
    /// Read every file, also those that look unchanged
    #[arg(short, long, help_heading = ENGINE)]
    force: bool,
    /// A file may have another inode number and be unchanged (for sshfs, mergerfs and others that make them up)
    #[arg(long, help_heading = ENGINE)]
    ignore_inode: bool,
    /// A file may have another ctime and be unchanged: size and mtime alone decide; attributes are read of every file
    #[arg(long, help_heading = ENGINE)]
    ignore_ctime: bool,
    /// lz4, zstd[:LEVEL] or none [default: lz4]
    #[arg(long, value_name = "CODEC", value_parser = compression, help_heading = ENGINE)]
    compression: Option<Compression>,
    /// How big files are read
    #[arg(long, value_name = "MODE", default_value = "auto", help_heading = ENGINE)]
    read: Read,
    /// Threads of each stage [default: one a core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, help_heading = ENGINE)]
    threads: usize,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Read {
    /// What is fastest in most places: pread
    Auto,
    /// Memory maps
    Mmap,
    /// pread
    Pread,
}

impl From<Read> for ReadMode {
    fn from(read: Read) -> ReadMode {
        match read {
            Read::Auto | Read::Pread => ReadMode::Pread,
            Read::Mmap => ReadMode::Mmap,
        }
    }
}

fn compression(text: &str) -> Result<Compression, String> {
    text.parse()
}

pub fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let roots = sources::roots(&args)?;
    let (Opened { store, .. }, _pretended) = open_or_create(context, args.dry_run)?;
    sources::note_doubts(&roots, &args, context);
    let parent = match &args.parent {
        None => None,
        Some(name) => {
            let here = Some(args.host.clone().unwrap_or_else(host_name));
            Some(snapshot(context, &store, name, Wanted { here, ..Wanted::default() })?.0.id)
        }
    };
    let options = BackupOptions {
        host: args.host.clone().unwrap_or_else(host_name),
        user: user(),
        tags: tags(&args.tags),
        time: args.time,
        dry_run: args.dry_run,
        force: args.force,
        ignore_inode: args.ignore_inode,
        ignore_ctime: args.ignore_ctime,
        parent,
        skip_if_unchanged: args.skip_if_unchanged,
        compression: args.compression.unwrap_or_default(),
        options: sources::for_the_manifest(&args),
        threads: args.threads,
        cancel: context.interrupt.deferred(),
        ..BackupOptions::default()
    };
    let shown = Shown { verb: "backing up", things: (Counter::Files, "files"), bytes: Counter::Bytes };
    let progress = Progress::new(&context.out, shown);
    let words = Arc::new(Words::new(&roots, progress.clone()));
    let source = |roots| sources::source(&args, roots, context, &store, words.clone().said());
    let ahead = match progress.is_visible() && roots.stream.is_none() {
        true => Some(Ahead::start(source(roots.clone())?, progress.clone())),
        false => None,
    };
    let source = source(roots)?;
    let outcome = backup::run(&store, source.as_ref(), &options, progress.clone());
    drop(ahead);
    progress.finish();
    context.interrupt.immediate();
    let remarks = source.remarks();
    // A command that still runs is ended by now.
    drop(source);
    let stats = outcome.map_err(|e| match e {
        backup::BackupError::Interrupted => {
            Failure::new(ExitCode::Interrupted, "interrupted; the next backup reuses what was stored")
        }
        e => e.into(),
    })?;
    report::tell(&context.out, &options, &stats, &progress.stages(), &words, &remarks)?;
    if stats.nothing_read {
        return Err(Failure::failed(
            "none of what was to be backed up could be read, or all of it was left out: no snapshot was made",
        ));
    }
    Ok(if stats.problem_count > 0 { ExitCode::Unread } else { ExitCode::Ok })
}

/// A label that reads the same wherever it is shown.
fn host_label(text: &str) -> Result<String, String> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err("a host label has at least one character, and no control characters".into());
    }
    Ok(text.into())
}

fn tags(given: &[String]) -> Vec<String> {
    let mut tags: Vec<_> = given.iter().map(|tag| tag.trim().to_string()).filter(|tag| !tag.is_empty()).collect();
    tags.sort();
    tags.dedup();
    tags
}

/// Who runs this, for people.
fn user() -> String {
    let named = ["USER", "LOGNAME"].iter().filter_map(|name| std::env::var(name).ok()).find(|name| !name.is_empty());
    named.unwrap_or_else(|| rustix::process::getuid().as_raw().to_string())
}
