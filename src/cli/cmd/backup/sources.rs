//! What is backed up: paths, lists of paths, standard input, or the output of a command.

use super::Args;
use crate::base::escape;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::source;
use crate::source::Source;
use crate::source::command::{CommandLine, Said};
use crate::source::filter::{Excludes, Filter};
use crate::source::fs::{FsOptions, parse_list};
use crate::store::Store;
use crate::tree::place::normal_path;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Paths to back up.
#[derive(Debug, Clone, Default)]
pub struct Roots {
    /// Named on the command line.
    named: Vec<PathBuf>,
    /// From lists: one that is not there is a problem of the run.
    listed: Vec<PathBuf>,
    /// Standard input gave a list whose last line has no end.
    open_end: bool,
    /// A stream, and the path of the file that it becomes.
    pub stream: Option<Stream>,
}

/// One file that is read once, from its beginning to its end.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Its absolute path in the snapshot.
    path: Vec<u8>,
    /// What prints it; standard input without.
    pub command: Option<CommandLine>,
}

/// Reads the lists. A path of the command line that is not there is an error before anything is written.
pub fn roots(args: &Args) -> Result<Roots, Failure> {
    let mut roots = Roots { stream: stream(args)?, ..Roots::default() };
    if roots.stream.is_some() {
        return Ok(roots);
    }
    Filter::new(&excludes(args)).map_err(|e| Failure::usage(format!("what to leave out: {e}")))?;
    let is_place = |path: &PathBuf| path.is_absolute() && normal_path(path.as_os_str().as_bytes()).is_some();
    if args.as_path.as_ref().is_some_and(|path| !is_place(path)) {
        return Err(Failure::usage("--as takes an absolute path without `..`"));
    }
    let mut missing = None;
    for path in &args.paths {
        match fs::symlink_metadata(path) {
            Ok(_) => roots.named.push(path.clone()),
            Err(error) => {
                // One of several: the others are backed up, and this one is named as a problem of the run.
                roots.listed.push(path.clone());
                missing.get_or_insert_with(|| Failure::io("cannot back up", path, &error));
            }
        }
    }
    if let (Some(missing), true) = (missing, roots.named.is_empty()) {
        return Err(missing);
    }
    let zeros = args.files_from0.iter().map(|list| (list, true));
    for (list, zero) in args.files_from.iter().map(|list| (list, false)).chain(zeros) {
        let text = read_list(list).map_err(|e| Failure::io("cannot read the list", list, &e))?;
        if zero && text.last().is_some_and(|last| *last != 0) {
            let message = format!("the list {} ends without a zero byte: it was cut off", list.display());
            return Err(Failure::failed(message).hint("use --files-from for a list with one path a line"));
        }
        roots.open_end |= list == Path::new("-") && !text.ends_with(b"\n") && !zero;
        roots.listed.extend(parse_list(&text, zero));
    }
    if roots.named.is_empty() && roots.listed.is_empty() {
        return Err(Failure::failed("nothing to back up: no path is listed"));
    }
    if args.as_path.is_some() && (roots.named.len() != 1 || !roots.listed.is_empty()) {
        return Err(Failure::usage("--as works only with exactly one PATH"));
    }
    Ok(roots)
}

/// The text of a list; `-` is standard input.
pub fn read_list(list: &Path) -> io::Result<Vec<u8>> {
    if list != Path::new("-") {
        return fs::read(list);
    }
    let mut text = Vec::new();
    io::stdin().lock().read_to_end(&mut text)?;
    Ok(text)
}

/// What a person may have meant otherwise: a device or FIFO that is stored as a node, a list that may be cut off.
pub fn note_doubts(roots: &Roots, args: &Args, context: &Context) {
    if roots.open_end {
        context
            .out
            .note("the list from standard input ends in the middle of a line: if it was cut off, paths are missing");
    }
    for path in &roots.named {
        let Ok(kind) = fs::metadata(path).map(|meta| meta.file_type()) else { continue };
        let path = path.display();
        if kind.is_block_device() && !args.read_special {
            let note = "is a block device: only its device node is stored. Add --read-special to store its content";
            context.out.note(&format!("{path} {note}"));
        }
        if kind.is_fifo() {
            context.out.note(&format!(
                "{path} is a FIFO: only the FIFO itself is stored. Use --stdin to store what is written to it"
            ));
        }
    }
}

/// The stream that is to be backed up, if that was asked for. A command that cannot be run is an error before anything
/// is done.
fn stream(args: &Args) -> Result<Option<Stream>, Failure> {
    let (option, name) = match (&args.stdin, &args.stdin_from_command) {
        (Some(name), _) => ("--stdin", name),
        (None, Some(name)) => ("--stdin-from-command", name),
        (None, None) if args.allow_empty => {
            return Err(Failure::usage("--allow-empty works only with --stdin or --stdin-from-command"));
        }
        (None, None) => return Ok(None),
    };
    let path = normal_path(name.as_bytes()).filter(|path| path.as_slice() != b"/");
    let wrong = || Failure::usage(format!("{option} {}: not the name of a file", name.to_string_lossy()));
    let path = path.ok_or_else(wrong)?;
    if args.stdin.is_some() {
        return Ok(Some(Stream { path, command: None }));
    }
    let mut words = args.paths.iter().map(|word| word.clone().into_os_string());
    let no_command = || Failure::usage("--stdin-from-command NAME -- COMMAND [ARGS…]: the command is missing");
    let command = CommandLine { program: words.next().ok_or_else(no_command)?, args: words.collect() };
    let failed = |e: io::Error| Failure::failed(format!("cannot run the command {}: {e}", command.name()));
    command.find().map_err(failed)?;
    Ok(Some(Stream { path, command: Some(command) }))
}

/// The source; the store and the cache in it are passed over. A command's standard error is told to `said`.
pub fn source(
    args: &Args,
    roots: Roots,
    context: &Context,
    store: &Store,
    said: Said,
) -> Result<Box<dyn Source>, Failure> {
    if let Some(Stream { path, command }) = roots.stream {
        let cancel = context.interrupt.deferred();
        return match command {
            None => source::stdin(&path, cancel, args.allow_empty),
            Some(command) => source::command(&path, command, said, cancel, args.allow_empty),
        };
    }
    source::files(FsOptions {
        roots: roots.named,
        listed: roots.listed,
        as_path: args.as_path.clone(),
        inner: Vec::new(),
        one_file_system: args.one_file_system,
        excludes: excludes(args),
        never: source::never(context, store)?,
        never_at: source::never_at(context, store)?,
        read: args.read.into(),
        threads: args.threads,
        no_xattrs: args.no_xattrs,
        read_special: args.read_special,
    })
}

fn excludes(args: &Args) -> Excludes {
    Excludes {
        rules: args.rules.0.clone(),
        per_directory: args.ignore_file.clone(),
        cache_dirs: args.exclude_caches,
        if_present: args.exclude_if_present.clone(),
        larger_than: args.exclude_larger_than,
        no_dump: args.exclude_nodump,
    }
}

/// Options that shaped the snapshot, for people who look at it later.
pub fn for_the_manifest(args: &Args) -> Vec<String> {
    let mut options = args.rules.words();
    // Its arguments may hold secrets.
    let command = args.paths.first().filter(|_| args.stdin_from_command.is_some());
    options.extend(command.map(|program| format!("--stdin-from-command={}", program.display())));
    let named = |option: &str, name: &OsString| format!("--{option}={}", escape::name(name.as_bytes()));
    options.extend(args.ignore_file.iter().map(|name| named("ignore-file", name)));
    options.extend(args.exclude_if_present.iter().map(|name| named("exclude-if-present", name)));
    options.extend(args.exclude_larger_than.map(|bytes| format!("--exclude-larger-than={bytes}")));
    let flags = [
        (args.exclude_caches, "--exclude-caches"),
        (args.exclude_nodump, "--exclude-nodump"),
        (args.one_file_system, "--one-file-system"),
        (args.no_xattrs, "--no-xattrs"),
        (args.read_special, "--read-special"),
        (args.force, "--force"),
        (args.ignore_inode, "--ignore-inode"),
        (args.ignore_ctime, "--ignore-ctime"),
    ];
    options.extend(flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag.to_string()));
    options
}
