//! `larder snapshots`.

use crate::base::id::hex;
use crate::base::time::Time;
use crate::cli::context::Context;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::{Failure, chain};
use crate::cli::output::Output;
use crate::cli::select::SelectArgs;
use crate::cli::table::Table;
use crate::cli::{escape, human, time};
use crate::format::problems::{KeptProblem, ProblemKind};
use crate::report::snapshots::SnapshotObject;
use crate::store::newest::{self, NONE_SELECTED};
use crate::store::snapshots::{DamagedSnapshot, Snapshot};
use crate::store::trust::Authenticity;

const EXAMPLES: &str = "\
Examples:
  larder snapshots
  larder snapshots --host web1 --tag daily --last 5
  larder snapshots --last 1 -v            also the files it could not read, and those that changed
  larder snapshots --json | jq -r .id";

/// List snapshots, oldest first
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    select: SelectArgs,
    /// Only the newest N snapshots
    #[arg(long, value_name = "N")]
    last: Option<usize>,
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
        snapshots.iter().try_for_each(|snapshot| context.out.object(&SnapshotObject::from(snapshot)))?;
    } else {
        print_table(&context.out, &snapshots)?;
    }
    // A list may be empty.
    if snapshots.is_empty() {
        context.out.note(if select.is_all() { "no snapshots" } else { NONE_SELECTED });
    }
    Ok(say_doubts(&context.out, &snapshots, &damaged))
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
                "snapshot {} is from the future: its time is {}, and this machine's clock shows {}. One of the clocks \
                 is wrong, or the backup was made with --time",
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
                    "snapshot {id} is in doubt: {reason}. If its data is missing from the index, `larder repair \
                     index` adds it"
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
