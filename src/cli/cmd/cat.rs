//! `larder cat`: prints the content of files, or a directory as a tar archive.

use crate::cli::context::Context;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::cli::remarks::Remarks;
use crate::cli::select::SelectArgs;
use crate::format::tree::EntryKind;
use crate::ops::cat::Cat;
use crate::ops::tar::{self, TarError};
use crate::report::cat::ContentObject;
use crate::report::path::Path;
use crate::store::Store;
use crate::store::snapshots::Snapshot;
use crate::tree::place::SnapshotPath;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

const EXAMPLES: &str = "\
Examples:
  larder cat latest:/etc/fstab
  larder cat 3fa9:/var/lib/dump.sql | psql
  larder cat latest:/a latest:/b > both
  larder cat latest:/etc | tar xpf - -C /tmp/etc      a directory, as a tar archive
  larder dump latest:/ | zstd > all.tar.zst

A directory is printed as a tar archive (POSIX pax) of everything below it, with names relative to it. Extended \
attributes and ACLs are stored as GNU tar and bsdtar store them. To extract them, use `tar --acls --xattrs \
--xattrs-include='*' -xpf` or `bsdtar -xpf`. Sockets are left out, and holes become zeros. When something is damaged, the \
archive is cut off there and the exit code is 20, so that tar fails too.

With --json the content of files is printed as objects with `offset` and `data_b64`.";

/// Print files of a snapshot, or a directory as a tar archive
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Files of snapshots, or one directory: `latest` or the beginning of an id, then :PATH
    #[arg(value_name = "SNAP:PATH", required = true)]
    files: Vec<OsString>,
    #[command(flatten)]
    select: SelectArgs,
}

pub fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let mut files = Vec::new();
    for file in &args.files {
        match SnapshotPath::parse(file.as_bytes())? {
            SnapshotPath { snapshot, path: Some(path) } => files.push((snapshot, path)),
            SnapshotPath { snapshot, path: None } => {
                return Err(Failure::usage(format!("{snapshot}: name a file in the snapshot: {snapshot}:/path")));
            }
        }
    }
    let store = context.open_with_index()?;
    let mut cat = Cat::new(&store);
    let mut code = ExitCode::Ok;
    let alone = files.len() == 1;
    for (name, path) in files {
        let (snapshot, doubts) = args.select.snapshot(context, &store, &name)?;
        code = code.or(doubts);
        if cat.kind(&snapshot, &path)? == EntryKind::Directory {
            may_be_printed(context, &path, alone)?;
            return archive(context, &store, &snapshot, &path).map(|archived| code.or(archived));
        }
        let entry = cat.file(&snapshot, &path)?;
        let (shown, snapshot) = (Path::new(&path), snapshot.id.to_string());
        let (mut offset, mut failed) = (0, None);
        cat.content(&entry.content, &mut |bytes| {
            let printed = if context.out.json {
                context.out.object(&ContentObject::new(&snapshot, &shown, offset, bytes))
            } else {
                context.out.raw(bytes)
            };
            offset += bytes.len() as u64;
            printed.map_or_else(|e| (failed = Some(e), ControlFlow::Break(())).1, ControlFlow::Continue)
        })?;
        if let Some(failure) = failed {
            return Err(failure);
        }
        if entry.changed_while_read {
            context.out.warn(&format!("{} changed while it was backed up", String::from_utf8_lossy(&path)));
        }
    }
    Ok(code)
}

/// Whether a directory can be printed; how to get it otherwise.
fn may_be_printed(context: &Context, path: &[u8], alone: bool) -> Result<(), Failure> {
    let path = String::from_utf8_lossy(path);
    if context.out.json {
        let message = format!("{path} is a directory, which cat prints as a tar archive; that cannot be JSON");
        return Err(Failure::failed(message).hint("`larder ls -r --json` lists it"));
    }
    if !alone {
        return Err(Failure::failed(format!("{path} is a directory: name it alone to get it as a tar archive")));
    }
    if io::stdout().is_terminal() {
        let message =
            format!("{path} is a directory: it is printed as a tar archive, and standard output is a terminal");
        return Err(
            Failure::failed(message).hint("redirect it: > FILE.tar, or | tar xf - -C FOLDER; `larder ls` lists it")
        );
    }
    Ok(())
}

fn archive(context: &Context, store: &Arc<Store>, snapshot: &Snapshot, path: &[u8]) -> Result<ExitCode, Failure> {
    let mut out = Raw { context, failed: None };
    let incomplete = |failure: Failure| Failure {
        message: format!("the archive is cut off and incomplete: {}", failure.message),
        ..failure
    };
    match tar::run(store, snapshot, path, &mut out, &Remarks(&context.out)) {
        Ok(stats) if stats.unread > 0 => Ok(ExitCode::Unread),
        Ok(_) => Ok(ExitCode::Ok),
        Err(TarError::Output(error)) => Err(out.failed.unwrap_or_else(|| Failure::stdout(&error))),
        Err(TarError::Place(error)) => Err(error.into()),
        Err(TarError::Store(error)) => Err(incomplete(error.into())),
        Err(TarError::Content { path, source }) => {
            let failure = Failure::from(source);
            Err(incomplete(Failure { message: format!("{path}: {}", failure.message), ..failure }))
        }
    }
}

/// Standard output for an engine that writes.
struct Raw<'a> {
    context: &'a Context,
    /// What is told of the write that failed.
    failed: Option<Failure>,
}

impl Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.context.out.raw(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(failure) => {
                self.failed = Some(failure);
                Err(io::Error::other("standard output failed"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
