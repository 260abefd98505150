//! `larder cat`.

use crate::cli::context::Context;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::select::SelectArgs;
use crate::ops::cat::Cat;
use crate::ops::list::SnapshotPath;
use serde::Serialize;
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;

const EXAMPLES: &str = "\
Examples:
  larder cat latest:/etc/fstab
  larder cat 3fa9:/var/lib/dump.sql | psql
  larder cat latest:/a latest:/b > both

With --json the content comes in objects with `offset` and `data_b64`.";

/// Print files of a snapshot
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Files: ID:path
    #[arg(value_name = "SNAP:PATH", required = true)]
    files: Vec<OsString>,
    #[command(flatten)]
    select: SelectArgs,
}

/// A piece of a file's content.
#[derive(Serialize)]
struct ContentObject<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    path: &'a json::Path,
    offset: u64,
    data_b64: String,
}

/// Runs it.
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
    for (name, path) in files {
        let (snapshot, doubts) = args.select.snapshot(context, &store, &name)?;
        code = code.or(doubts);
        let entry = cat.file(&snapshot, &path)?;
        let shown = json::Path::new(&path);
        let (mut offset, mut failed) = (0, None);
        cat.content(&entry.content, &mut |bytes| {
            let printed = if context.out.json {
                let data_b64 = json::base64(bytes);
                context.out.object(&ContentObject { kind: "content", path: &shown, offset, data_b64 })
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
