//! `larder diff`.

use super::snapshots::short;
use crate::cli::context::Context;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::cli::human;
use crate::cli::output::{Colour, Output};
use crate::cli::remarks::Remarks;
use crate::cli::select::SelectArgs;
use crate::cli::{escape, source};
use crate::format::snapshot::Manifest;
use crate::ops::diff::{self, Change, DiffStats, LocalOptions, Marker, Side};
use crate::ops::list::LIST_CACHE_BYTES;
use crate::report::diff::{ChangeObject, Summary};
use crate::source::Source;
use crate::source::filter::{Excludes, Given};
use crate::source::fs::FsOptions;
use crate::tree::place::SnapshotPath;
use crate::tree::reader::Reader;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::ops::ControlFlow;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const EXAMPLES: &str = "\
Examples:
  larder diff 3fa9 latest
  larder diff 3fa9:/etc latest:/etc
  larder diff latest /etc                 what changed since the last backup
  larder diff latest:/home/me /mnt/copy

  +  only in the second     M  the content differs     U  only the metadata differs
  -  only in the first      T  the kind differs

`latest` and 4 to 64 hexadecimal digits name a snapshot. For a directory with such a name, write ./cafe.";

/// Compare two snapshots, or a snapshot and a directory
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A snapshot, and optionally a path in it: `latest` or the beginning of an id, then :PATH
    #[arg(value_name = "SNAP[:PATH]")]
    first: OsString,
    /// Another snapshot, in which the path is the same unless it is given, or a directory of this machine
    #[arg(value_name = "SNAP[:PATH]|DIR")]
    second: OsString,
    /// Read every file of the directory, even if it looks unchanged
    #[arg(long)]
    read_all: bool,
    /// Take a file as unchanged even if its inode number differs, as on sshfs and mergerfs
    #[arg(long)]
    ignore_inode: bool,
    /// Take a file as unchanged even if its ctime differs; its attributes are then compared anew
    #[arg(long)]
    ignore_ctime: bool,
    /// Leave out what matches this pattern in the directory (repeatable). The syntax is that of .gitignore; /x is a path in
    /// the snapshot, ./x begins at the directory
    #[arg(short, long, value_name = "PATTERN")]
    exclude: Vec<OsString>,
    /// Leave out entries of which only the metadata differs
    #[arg(long)]
    no_metadata: bool,
    #[command(flatten)]
    select: SelectArgs,
}

pub fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let first = SnapshotPath::parse(args.first.as_bytes())?;
    let store = context.open_with_index()?;
    let out = &context.out;
    let (before, mut code) = args.select.snapshot(context, &store, &first.snapshot)?;
    let mut reader = Reader::new(store.clone(), LIST_CACHE_BYTES);
    let mut printer = Printer { out, no_metadata: args.no_metadata, failed: None };
    let remarks = Remarks(out);
    let mut rules = Vec::new();
    let stats = if names_a_snapshot(&args.second) {
        let second = SnapshotPath::parse(args.second.as_bytes())?;
        let (after, doubts) = args.select.snapshot(context, &store, &second.snapshot)?;
        code = code.or(doubts);
        let path = second.path.or_else(|| first.path.clone());
        let side_of_first = first.path.or_else(|| path.clone());
        let before = side(&mut reader, &before, side_of_first.as_deref())?;
        let after = side(&mut reader, &after, path.as_deref())?;
        diff::run(&store, &before, &after, &mut |change| printer.print(change), &remarks)?
    } else {
        let directory = absolute(Path::new(&args.second))?;
        let path = first.path.unwrap_or_else(|| directory.as_os_str().as_bytes().to_vec());
        let of_backup = Walk::of(&before.manifest, &directory, &path);
        let before = side(&mut reader, &before, Some(&path))?;
        let never = source::never(context, &store)?;
        let source = walk(&directory, path, args.exclude, never, of_backup)?;
        let Args { read_all, ignore_inode, ignore_ctime, .. } = args;
        let options = LocalOptions { read_all, ignore_inode, ignore_ctime };
        let each = &mut |change: &Change<'_>| printer.print(change);
        let stats = diff::with_directory(&store, &before, source.as_ref(), options, each, &remarks)?;
        rules = source.remarks();
        stats
    };
    rules.iter().filter(|remark| remark.is_of_a_rule()).for_each(|remark| out.note(&remark.message));
    if let Some(failure) = printer.failed {
        return Err(failure);
    }
    summary(out, &stats)?;
    if stats.unreadable > 0 {
        code = code.or(ExitCode::Unread);
    }
    if stats.store_unreadable > 0 {
        code = code.or(ExitCode::Failed);
    }
    Ok(if stats.damaged > 0 { code.or(ExitCode::Damage) } else { code })
}

fn side<'a>(
    reader: &mut Reader,
    snapshot: &'a crate::store::snapshots::Snapshot,
    path: Option<&[u8]>,
) -> Result<Side<'a>, Failure> {
    match path {
        None => Ok(Side::of_snapshot(snapshot)),
        Some(path) => Side::at(reader, snapshot, path)
            .map_err(|e| Failure::from(e).hint(format!("`larder ls -r {}` shows what is in it", short(&snapshot.id)))),
    }
}

/// `latest` or 4 to 64 hexadecimal digits, with a path or without.
fn names_a_snapshot(text: &OsStr) -> bool {
    let name = text.as_bytes().split(|&b| b == b':').next().unwrap_or_default();
    name == b"latest" || ((4..=64).contains(&name.len()) && name.iter().all(u8::is_ascii_hexdigit))
}

/// The directory's absolute path without `.` and `..`; links in it stay, as a backup would name it.
fn absolute(directory: &Path) -> Result<PathBuf, Failure> {
    let failed = |e: &std::io::Error| {
        let hint = "a snapshot is named `latest` or by 4 or more hexadecimal digits";
        Failure::io("cannot compare with", directory, e).hint(hint)
    };
    let absolute = std::path::absolute(directory).map_err(|e| failed(&e))?;
    std::fs::symlink_metadata(&absolute).map_err(|e| failed(&e))?;
    if absolute.components().any(|c| c == std::path::Component::ParentDir) {
        return absolute.canonicalize().map_err(|e| failed(&e));
    }
    Ok(absolute)
}

/// How the backup that made the snapshot walked: what it kept out of counts for neither side.
#[derive(Default)]
struct Walk {
    one_file_system: bool,
    /// Sources that it entered on other file systems all the same.
    inner: Vec<PathBuf>,
}

impl Walk {
    fn of(manifest: &Manifest, directory: &Path, path: &[u8]) -> Walk {
        if !manifest.options.iter().any(|option| option == "--one-file-system") {
            return Walk::default();
        }
        let path = Path::new(OsStr::from_bytes(path));
        let mut inner = Vec::new();
        for source in manifest.paths.iter().map(|source| Path::new(OsStr::from_bytes(source))) {
            let Ok(below) = source.strip_prefix(path) else { continue };
            // One that is gone is removed, as everything else that is gone.
            if below != Path::new("") && std::fs::symlink_metadata(directory.join(below)).is_ok() {
                inner.push(source.to_path_buf());
            }
        }
        Walk { one_file_system: true, inner }
    }
}

fn walk(
    directory: &Path,
    path: Vec<u8>,
    patterns: Vec<OsString>,
    never: HashSet<(u64, u64)>,
    of_backup: Walk,
) -> Result<Box<dyn Source>, Failure> {
    let options = FsOptions {
        roots: vec![directory.to_path_buf()],
        as_path: Some(OsString::from_vec(path).into()),
        inner: of_backup.inner,
        one_file_system: of_backup.one_file_system,
        excludes: Excludes { rules: patterns.into_iter().map(Given::pattern).collect(), ..Excludes::default() },
        never,
        ..FsOptions::default()
    };
    source::files(options)
}

struct Printer<'a> {
    out: &'a Arc<Output>,
    no_metadata: bool,
    failed: Option<Failure>,
}

impl Printer<'_> {
    fn print(&mut self, change: &Change<'_>) -> ControlFlow<()> {
        if self.no_metadata && change.marker == Marker::Metadata {
            return ControlFlow::Continue(());
        }
        let printed = if self.out.json { self.out.object(&ChangeObject::from(change)) } else { self.line(change) };
        match printed {
            Ok(()) => ControlFlow::Continue(()),
            Err(failure) => {
                self.failed = Some(failure);
                ControlFlow::Break(())
            }
        }
    }

    fn line(&self, change: &Change<'_>) -> Result<(), Failure> {
        let colour = match change.marker {
            Marker::Added => Colour::Green,
            Marker::Removed => Colour::Red,
            Marker::Modified | Marker::Type => Colour::Yellow,
            Marker::Metadata => Colour::Cyan,
        };
        let fields = match change.marker {
            Marker::Metadata => format!("  ({})", change.fields.join(", ")),
            _ => String::new(),
        };
        let letter = self.out.paint(&change.marker.letter().to_string(), colour);
        self.out.line(&format!("{letter} {}{fields}", escape::name(&change.path)))
    }
}

fn summary(out: &Output, stats: &DiffStats) -> Result<(), Failure> {
    if out.json {
        return out.object(&Summary::from(stats));
    }
    if out.quiet {
        return Ok(());
    }
    if stats.changes() == 0 {
        let apart = stats.damaged + stats.store_unreadable + stats.unreadable > 0;
        out.note(if apart { "no differences in what could be read" } else { "no differences" });
        return Ok(());
    }
    out.line(&format!(
        "{} added, {} removed, {} modified, {} of another kind, {} with other metadata; {} before, {} after",
        human::count(stats.added),
        human::count(stats.removed),
        human::count(stats.modified),
        human::count(stats.type_changed),
        human::count(stats.metadata_changed),
        human::bytes(stats.bytes_before),
        human::bytes(stats.bytes_after),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_and_directories_are_told_apart_by_their_looks() {
        for name in ["latest", "latest:/etc", "3fa9", "3fa9:x", &"a".repeat(64)] {
            assert!(names_a_snapshot(OsStr::new(name)), "{name}");
        }
        for name in ["/etc", ".", "./cafe", "abc", "etc", "latest2", &"a".repeat(65), ""] {
            assert!(!names_a_snapshot(OsStr::new(name)), "{name}");
        }
    }
}
