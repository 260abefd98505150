//! What is backed up: paths, lists of paths, standard input.

use super::Args;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::source;
use crate::ops::list::normal_path;
use crate::source::Source;
use crate::source::filter::{Excludes, Filter};
use crate::source::fs::{FsOptions, parse_list};
use crate::store::Store;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Paths to back up.
#[derive(Debug, Clone, Default)]
pub struct Roots {
    /// Named on the command line.
    named: Vec<PathBuf>,
    /// From lists: one that is not there is a problem of the run.
    listed: Vec<PathBuf>,
}

/// Reads the lists. A path of the command line that is not there is an error before anything is written.
pub fn roots(args: &Args) -> Result<Roots, Failure> {
    let mut roots = Roots::default();
    if args.stdin.is_some() {
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
        roots.listed.extend(parse_list(&text, zero));
    }
    if roots.named.is_empty() && roots.listed.is_empty() {
        return Err(Failure::failed("nothing to back up: no path is listed"));
    }
    if args.as_path.is_some() && (roots.named.len() != 1 || !roots.listed.is_empty()) {
        return Err(Failure::usage("--as gives one path its place: name exactly one PATH"));
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

/// The source; the store and the cache in it are passed over.
pub fn source(args: &Args, roots: Roots, context: &Context, store: &Store) -> Result<Box<dyn Source>, Failure> {
    if let Some(name) = &args.stdin {
        let path = normal_path(name.as_bytes()).filter(|path| path.as_slice() != b"/");
        let wrong = || Failure::usage(format!("--stdin {}: not the name of a file", name.to_string_lossy()));
        return source::stdin(path.ok_or_else(wrong)?, context.interrupt.deferred());
    }
    source::files(FsOptions {
        roots: roots.named,
        listed: roots.listed,
        as_path: args.as_path.clone(),
        one_file_system: args.one_file_system,
        excludes: excludes(args),
        never: source::never(context, store)?,
        read: args.read.into(),
        threads: args.threads,
        no_xattrs: args.no_xattrs,
    })
}

fn excludes(args: &Args) -> Excludes {
    Excludes {
        patterns: args.exclude.clone(),
        files: args.exclude_file.clone(),
        per_directory: args.ignore_file.clone(),
        cache_dirs: args.exclude_caches,
    }
}

/// Options that shaped the snapshot, for people who look at it later.
pub fn for_the_manifest(args: &Args) -> Vec<String> {
    let mut options = Vec::new();
    options.extend(args.exclude.iter().map(|p| format!("--exclude={p}")));
    options.extend(args.exclude_file.iter().map(|p| format!("--exclude-file={}", p.display())));
    options.extend(args.ignore_file.iter().map(|n| format!("--ignore-file={n}")));
    let flags = [
        (args.exclude_caches, "--exclude-caches"),
        (args.one_file_system, "--one-file-system"),
        (args.no_xattrs, "--no-xattrs"),
        (args.force, "--force"),
    ];
    options.extend(flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag.to_string()));
    options
}
