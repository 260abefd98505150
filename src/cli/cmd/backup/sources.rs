//! What is backed up: paths, lists of paths, standard input.

use super::Args;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::remarks::problem_line;
use crate::cli::source;
use crate::monitor::Problem;
use crate::ops::list::normal_path;
use crate::source::Source;
use crate::source::filter::Excludes;
use crate::source::fs::FsOptions;
use crate::store::Store;
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Paths to back up, and listed ones that are not there.
#[derive(Debug, Default)]
pub struct Roots {
    /// In the order given.
    pub paths: Vec<PathBuf>,
    /// Paths of lists that cannot be looked at: the run goes on without them.
    pub problems: Vec<Problem>,
}

/// Reads the lists and looks at every path. A path of the command line that is not there is an error before anything
/// is written; one of a list is a problem of the run.
pub fn roots(args: &Args, out: &Output) -> Result<Roots, Failure> {
    let mut roots = Roots::default();
    if args.stdin.is_some() {
        return Ok(roots);
    }
    for path in &args.paths {
        fs::symlink_metadata(path).map_err(|e| Failure::io("cannot back up", path, &e))?;
        roots.paths.push(path.clone());
    }
    let lists = args.files_from.iter().map(|list| (list, b'\n')).chain(args.files_from0.iter().map(|list| (list, 0)));
    for (list, end) in lists {
        let listed = read_list(list, end).map_err(|e| Failure::io("cannot read the list", list, &e))?;
        for path in listed {
            match fs::symlink_metadata(&path) {
                Ok(_) => roots.paths.push(path),
                Err(e) => {
                    let problem = Problem { path: path.into_os_string().into_vec(), message: e.to_string() };
                    if out.verbose > 0 {
                        out.warn(&problem_line(&problem));
                    }
                    roots.problems.push(problem);
                }
            }
        }
    }
    if roots.paths.is_empty() {
        return Err(Failure::failed("nothing to back up: no path that is listed is there"));
    }
    if args.as_path.is_some() && roots.paths.len() != 1 {
        return Err(Failure::usage("--as gives one path its place: name exactly one PATH"));
    }
    Ok(roots)
}

fn read_list(list: &Path, end: u8) -> io::Result<Vec<PathBuf>> {
    let reader: Box<dyn BufRead> = if list == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(fs::File::open(list)?))
    };
    let mut paths = Vec::new();
    for path in reader.split(end) {
        let path = path?;
        if !path.is_empty() {
            paths.push(OsString::from_vec(path).into());
        }
    }
    Ok(paths)
}

/// The source; the store and the cache in it are passed over.
pub fn source(args: &Args, roots: Vec<PathBuf>, context: &Context, store: &Store) -> Result<Box<dyn Source>, Failure> {
    if let Some(name) = &args.stdin {
        let path = normal_path(name.as_bytes()).filter(|path| path.as_slice() != b"/");
        let wrong = || Failure::usage(format!("--stdin {}: not the name of a file", name.to_string_lossy()));
        return source::stdin(path.ok_or_else(wrong)?);
    }
    let cache = &store.places.cache;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(cache)
        .map_err(|e| Failure::io("cannot make the cache folder", cache, &e))?;
    let folder = context.store_folder()?;
    let never: HashSet<_> = [&folder, cache]
        .into_iter()
        .filter_map(|path| fs::metadata(path).ok())
        .map(|meta| (meta.dev(), meta.ino()))
        .collect();
    source::files(FsOptions {
        roots,
        listed: Vec::new(),
        as_path: args.as_path.clone(),
        one_file_system: args.one_file_system,
        excludes: Excludes {
            patterns: args.exclude.clone(),
            files: args.exclude_file.clone(),
            per_directory: args.ignore_file.clone(),
            cache_dirs: args.exclude_caches,
        },
        never,
        read: args.read.into(),
        threads: args.threads,
        no_xattrs: args.no_xattrs,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_end_their_paths_with_a_line_end_or_a_zero_byte() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list");
        fs::write(&list, b"/a\n\n/b c\n/d").unwrap();
        assert_eq!(read_list(&list, b'\n').unwrap(), [Path::new("/a"), Path::new("/b c"), Path::new("/d")]);
        fs::write(&list, b"/a\n1\0/\xff\0").unwrap();
        let odd = PathBuf::from(OsString::from_vec(b"/\xff".to_vec()));
        assert_eq!(read_list(&list, 0).unwrap(), [PathBuf::from("/a\n1"), odd]);
        assert!(read_list(&folder.path().join("none"), 0).is_err());
    }
}
