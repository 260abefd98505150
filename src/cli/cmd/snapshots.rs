//! `larder snapshots`.

use crate::base::id::hex;
use crate::base::time::Time;
use crate::cli::context::Context;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::{Failure, chain};
use crate::cli::output::Output;
use crate::cli::select::SelectArgs;
use crate::cli::table::Table;
use crate::cli::{escape, human, json, time};
use crate::format::problems::{KeptProblem, ProblemKind, ProblemList};
use crate::store::newest::{self, NONE_SELECTED};
use crate::store::snapshots::{DamagedSnapshot, Snapshot};
use crate::store::trust::Authenticity;
use serde::Serialize;

const EXAMPLES: &str = "\
Examples:
  larder snapshots
  larder snapshots --host web1 --tag daily --last 5
  larder snapshots --last 1 -v            also what it could not read, and what changed meanwhile
  larder snapshots --json | jq -r .id";

/// List snapshots, oldest first
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    select: SelectArgs,
    /// Only the newest N
    #[arg(long, value_name = "N")]
    last: Option<usize>,
}

/// A snapshot's line of `--json`.
#[derive(Debug, Serialize)]
struct SnapshotObject<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    time: String,
    host: &'a str,
    #[serde(flatten)]
    paths: json::Paths,
    tags: &'a [String],
    user: &'a str,
    started: String,
    ended: String,
    parent: Option<String>,
    entries: u64,
    files: u64,
    directories: u64,
    bytes: u64,
    novel_bytes: u64,
    stored_bytes: u64,
    errors: u64,
    changed_while_read: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<ProblemObject>,
    signer: String,
    signature: &'static str,
    program: &'a str,
    options: &'a [String],
}

/// A path that a snapshot itself names as flawed.
#[derive(Debug, Serialize)]
struct ProblemObject {
    kind: &'static str,
    #[serde(flatten)]
    path: json::Path,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
}

fn problem_objects(list: &ProblemList) -> Vec<ProblemObject> {
    let object = |kept: &KeptProblem| ProblemObject {
        kind: match kept.kind {
            ProblemKind::Unread => "unread",
            ProblemKind::Changed => "changed",
        },
        path: json::Path::new(&kept.path),
        message: kept.message.clone(),
    };
    list.kept.iter().map(object).collect()
}

pub fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let store = context.open()?.store;
    let (mut snapshots, damaged) = store.snapshots_confirmed()?;
    let select = args.select.select();
    snapshots.retain(|snapshot| select.selects(snapshot));
    if let Some(last) = args.last {
        // Which are the newest is not told by their times alone.
        newest::sort(&mut snapshots, Time::now());
        snapshots.drain(..snapshots.len().saturating_sub(last));
        snapshots.sort_by_key(|snapshot| (snapshot.manifest.time, snapshot.id));
    }
    if context.out.json {
        snapshots.iter().try_for_each(|snapshot| context.out.object(&object(snapshot)))?;
    } else {
        print_table(&context.out, &snapshots)?;
    }
    // A list may be empty.
    if snapshots.is_empty() {
        context.out.note(if select.is_all() { "no snapshots" } else { NONE_SELECTED });
    }
    Ok(say_doubts(&context.out, &snapshots, &damaged))
}

fn object(snapshot: &Snapshot) -> SnapshotObject<'_> {
    let manifest = &snapshot.manifest;
    let problems = manifest.problems().unwrap_or_default();
    SnapshotObject {
        kind: "snapshot",
        id: snapshot.id.to_string(),
        time: time::rfc3339(manifest.time),
        host: &manifest.host,
        paths: json::Paths::new(&manifest.paths),
        tags: &manifest.tags,
        user: &manifest.user,
        started: time::rfc3339(manifest.started),
        ended: time::rfc3339(manifest.ended),
        parent: manifest.parent.map(|id| id.to_string()),
        entries: manifest.totals.entries,
        files: manifest.totals.files,
        directories: manifest.totals.directories,
        bytes: manifest.totals.bytes,
        novel_bytes: manifest.novel_bytes,
        stored_bytes: manifest.stored_bytes,
        errors: manifest.errors,
        changed_while_read: problems.changed,
        problems: problem_objects(&problems),
        signer: hex(&snapshot.signer),
        signature: signature(&snapshot.authenticity),
        program: &manifest.program,
        options: &manifest.options,
    }
}

/// What is known of a signature, in a word.
fn signature(authenticity: &Authenticity) -> &'static str {
    match authenticity {
        Authenticity::Authentic => "authentic",
        Authenticity::PinnedNow => "pinned_now",
        Authenticity::UnknownSigner => "unknown_signer",
        Authenticity::Unsigned => "unsigned",
        Authenticity::Tampered => "tampered",
        Authenticity::InDoubt { .. } => "in_doubt",
        Authenticity::Incomplete { .. } => "incomplete",
    }
}

fn print_table(out: &Output, snapshots: &[Snapshot]) -> Result<(), Failure> {
    if snapshots.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["id", "time", "host", ">files", ">bytes", ">stored", "tags", "paths"]);
    for Snapshot { id, manifest, .. } in snapshots {
        let paths: Vec<_> = manifest.paths.iter().take(4).map(|path| escape::name(path)).collect();
        let more = manifest.paths.len().saturating_sub(paths.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let changed = manifest.problems().map_or(0, |list| list.changed);
        let flaws = match (manifest.errors, changed) {
            (0, 0) => String::new(),
            (unread, 0) => format!("  ({unread} unread)"),
            (0, changed) => format!("  ({changed} changed while read)"),
            (unread, changed) => format!("  ({unread} unread, {changed} changed while read)"),
        };
        table.row([
            short(id),
            time::local(manifest.time),
            escape::name(manifest.host.as_bytes()),
            human::count(manifest.totals.files),
            human::bytes(manifest.totals.bytes),
            human::bytes(manifest.stored_bytes),
            escape::name(manifest.tags.join(",").as_bytes()),
            format!("{}{more}{flaws}", paths.join(" ")),
        ]);
    }
    table.print(out)?;
    if out.verbose > 0 { print_problems(out, snapshots) } else { Ok(()) }
}

/// What the snapshots say could not be read and changed meanwhile.
fn print_problems(out: &Output, snapshots: &[Snapshot]) -> Result<(), Failure> {
    for Snapshot { id, manifest, .. } in snapshots {
        let Some(list) = manifest.problems() else { continue };
        out.line("")?;
        for KeptProblem { kind, path, message } in &list.kept {
            let what = match kind {
                ProblemKind::Unread => message.as_str(),
                ProblemKind::Changed => "changed while it was read",
            };
            out.line(&format!("{}  {}: {}", short(id), escape::name(path), escape::name(what.as_bytes())))?;
        }
        let more = (list.unread + list.changed).saturating_sub(list.kept.len() as u64);
        if more > 0 {
            out.line(&format!("{}  and {} more, which the snapshot only counts", short(id), human::count(more)))?;
        }
    }
    Ok(())
}

/// The beginning of an id, long enough for people.
pub fn short(id: &crate::base::id::ObjectId) -> String {
    id.to_string()[..12].to_string()
}

/// Says what is doubtful about snapshots; gives the exit code.
pub fn say_doubts(out: &Output, snapshots: &[Snapshot], damaged: &[DamagedSnapshot]) -> ExitCode {
    let mut code = ExitCode::Ok;
    for DamagedSnapshot { id, error, .. } in damaged {
        let (what, this) = match error.is_unreadable() {
            true => ("could not be read", ExitCode::Failed),
            false => ("cannot be read", ExitCode::Damage),
        };
        out.warn(&format!("snapshot {id} {what}: {}", chain(error)));
        code = code.or(this);
    }
    let now = Time::now();
    for snapshot in snapshots {
        if newest::is_ahead(snapshot, now) {
            out.note(&format!(
                "snapshot {} is from the future: its time is {}, and this machine's clock says {}. Either clock is wrong, or \
                 --time said so",
                short(&snapshot.id),
                time::local(snapshot.manifest.time),
                time::local(now)
            ));
        }
        let (id, host) = (short(&snapshot.id), &snapshot.manifest.host);
        let signer = hex(&snapshot.signer);
        match &snapshot.authenticity {
            // That a signer was pinned is a notice of the store, whatever command met it first.
            Authenticity::Authentic | Authenticity::PinnedNow => {}
            Authenticity::UnknownSigner => {
                out.warn(&format!("snapshot {id} says it is of host {host}, but is signed by an unknown key {signer}"));
            }
            Authenticity::Unsigned => out.warn(&format!("snapshot {id} is not signed")),
            Authenticity::Tampered => {
                out.warn(&format!("snapshot {id} was tampered with: its signature does not fit"));
                code = ExitCode::Damage;
            }
            Authenticity::InDoubt { reason } => {
                out.warn(&format!(
                    "whether snapshot {id} was committed is in doubt: {reason}. What it holds may be in no index: \
                     `larder repair index` lists it"
                ));
                code = ExitCode::Damage;
            }
            Authenticity::Incomplete { missing } => {
                out.warn(&format!("snapshot {id} is incomplete: {missing} is missing"));
                code = ExitCode::Damage;
            }
        }
    }
    code
}
