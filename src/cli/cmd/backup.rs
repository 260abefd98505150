//! `larder backup`: its options. `backup/report.rs` prints the result.

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

A file is not read again when its size, times and inode number are the same as in the newest snapshot of the same host and \
paths.

A pipe cannot tell larder that the command before it failed. `pg_dumpall | larder backup --stdin dump.sql` makes a snapshot \
of whatever arrives before the pipe ends, even when pg_dumpall failed half-way. `set -o pipefail` does not help, since the \
snapshot is made by then. With --stdin-from-command, larder runs the command itself, waits for its exit status, and makes no \
snapshot when the command fails. Processes that a successful command leaves running are read until they close the output.

A list that comes through a pipe (--files-from -) may be cut off in the same way, and then fewer files are backed up.";

const SOURCE: &str = "What to back up";
const LEAVE_OUT: &str = "What to leave out";
const SNAPSHOT: &str = "The snapshot";
const ENGINE: &str = "How";

/// Back up files and directories into a new snapshot
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Files and directories to back up
    #[arg(value_name = "PATH", required_unless_present_any = ["stdin", "stdin_from_command", "files_from", "files_from0"])]
    paths: Vec<PathBuf>,

    /// Store standard input as one file with this name: an absolute path, or a path below /. A pipe does not tell whether
    /// the command before it failed; --stdin-from-command does
    #[arg(long, value_name = "NAME", help_heading = SOURCE, conflicts_with_all = ["paths", "files_from", "files_from0", "as_path"])]
    stdin: Option<OsString>,
    /// Run a command (without a shell) and store its output as one file with this name. The command follows after --. There
    /// is a snapshot only if the command ends with exit status 0
    #[arg(long, value_name = "NAME", help_heading = SOURCE, conflicts_with_all = ["stdin", "files_from", "files_from0", "as_path"])]
    stdin_from_command: Option<OsString>,
    /// Accept empty standard input, or a command that prints nothing, which are errors otherwise
    #[arg(long, help_heading = SOURCE)]
    allow_empty: bool,
    /// Store the content of each PATH that is a block device (or a link to one) as a regular file. Devices found inside
    /// directories are not read. A device is read in full in every backup. Unmount it first, or take a snapshot of it
    #[arg(long, help_heading = SOURCE)]
    read_special: bool,
    /// Back up the paths listed in this file, one path a line; - is standard input
    #[arg(long, value_name = "FILE", help_heading = SOURCE)]
    files_from: Vec<PathBuf>,
    /// Like --files-from, with a zero byte after each path, as find -print0 writes them
    #[arg(long, value_name = "FILE", help_heading = SOURCE)]
    files_from0: Vec<PathBuf>,
    /// Store the single PATH under this absolute path in the snapshot
    #[arg(long = "as", value_name = "PATH", help_heading = SOURCE)]
    as_path: Option<PathBuf>,
    /// Do not enter other file systems, except on the way to another PATH
    #[arg(short = 'x', long, help_heading = SOURCE)]
    one_file_system: bool,
    /// Do not read extended attributes, which include ACLs and capabilities
    #[arg(long, help_heading = SOURCE)]
    no_xattrs: bool,

    #[command(flatten)]
    rules: leave_out::Rules,
    /// Apply the exclude patterns in files with this name, e.g. .gitignore, in every directory
    #[arg(long, value_name = "NAME", help_heading = LEAVE_OUT)]
    ignore_file: Vec<OsString>,
    /// Leave out the content of directories that contain a valid CACHEDIR.TAG, except each PATH itself
    #[arg(long, help_heading = LEAVE_OUT)]
    exclude_caches: bool,
    /// Leave out the content of directories that contain this name, e.g. .nobackup, except each PATH itself (repeatable)
    #[arg(long, value_name = "NAME", help_heading = LEAVE_OUT)]
    exclude_if_present: Vec<OsString>,
    /// Leave out files larger than this, e.g. 10M or 4GiB
    #[arg(long, value_name = "SIZE", value_parser = size::parse, help_heading = LEAVE_OUT)]
    exclude_larger_than: Option<u64>,
    /// Leave out files and directories with the no-dump flag (chattr +d)
    #[arg(long, help_heading = LEAVE_OUT)]
    exclude_nodump: bool,

    /// The host that the snapshot is listed under [default: this machine's name]
    #[arg(long, value_name = "HOST", value_parser = host_label, help_heading = SNAPSHOT)]
    host: Option<String>,
    /// A tag for the snapshot; repeat the option or use commas for several tags
    #[arg(long = "tag", value_name = "TAG", value_delimiter = ',', help_heading = SNAPSHOT)]
    tags: Vec<String>,
    /// The time that the snapshot is listed under [default: now]
    #[arg(long, value_name = "TIME", value_parser = time::parse, help_heading = SNAPSHOT)]
    time: Option<Time>,
    /// Compare files with this snapshot to find those that changed [default: the newest one of the same host and paths]
    #[arg(long, value_name = "SNAP", help_heading = SNAPSHOT)]
    parent: Option<String>,
    /// Make no snapshot when nothing in any PATH has changed: names, content, metadata, and which files are unreadable. Tags,
    /// options and the directories above each PATH do not count
    #[arg(long, help_heading = SNAPSHOT)]
    skip_if_unchanged: bool,

    /// Count what would be stored, but store nothing
    #[arg(short = 'n', long, help_heading = ENGINE)]
    dry_run: bool,
    /// Read every file, even if it looks unchanged
    #[arg(short, long, help_heading = ENGINE)]
    force: bool,
    /// Take a file as unchanged even if its inode number differs, for sshfs, mergerfs and others that make numbers up
    #[arg(long, help_heading = ENGINE)]
    ignore_inode: bool,
    /// Take a file as unchanged even if its ctime differs: only its size and mtime count, and its attributes are read anew
    #[arg(long, help_heading = ENGINE)]
    ignore_ctime: bool,
    /// How data is compressed: lz4, zstd[:LEVEL] or none [default: lz4]
    #[arg(long, value_name = "CODEC", value_parser = compression, help_heading = ENGINE)]
    compression: Option<Compression>,
    /// How big files are read
    #[arg(long, value_name = "MODE", default_value = "auto", help_heading = ENGINE)]
    read: Read,
    /// How many threads each stage of the pipeline has [default: one for each core]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, help_heading = ENGINE)]
    threads: usize,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Read {
    /// The fastest way on most machines, which is pread
    Auto,
    /// Map files into memory
    Mmap,
    /// Read with the system call pread
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
        return Err(Failure::failed("no snapshot was made: nothing could be read, or everything was left out"));
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
