//! `larder stats`.

use super::snapshots::{say_doubts, short};
use crate::cli::context::Context;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::select::SelectArgs;
use crate::cli::table::Table;
use crate::cli::{escape, human, time};
use crate::ops::stats::{self, SnapshotCost, StoreStats};
use crate::report::stats::{SnapshotObject, StoreObject};
use crate::storage::Area;
use crate::store::snapshots::Snapshot;

const EXAMPLES: &str = "\
Examples:
  larder stats
  larder stats --host web1              the whole store, and the snapshots of one host
  larder stats --json | jq 'select(.type==\"store_stats\") | .bytes'";

/// Show how much data a store holds, and how much room that takes
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    select: SelectArgs,
}

pub fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let store = context.open()?.store;
    let stats = stats::run(&store)?;
    let listed = args.select.among(stats.snapshots.clone(), &stats.damaged)?;
    let listed: Vec<&Snapshot> = listed.iter().collect();
    if context.out.json {
        let (id, location) = (store.id().to_string(), store.storage.location());
        context.out.object(&StoreObject::new(&id, &location, &stats))?;
        listed.iter().try_for_each(|&snapshot| context.out.object(&SnapshotObject::from(snapshot)))?;
    } else {
        print(&context.out, &store.id().to_string(), &store.storage.location(), &stats, &listed)?;
    }
    Ok(say_doubts(&context.out, &[], &stats.damaged))
}

fn print(out: &Output, id: &str, location: &str, stats: &StoreStats, listed: &[&Snapshot]) -> Result<(), Failure> {
    out.line(&format!("store      {id}"))?;
    out.line(&format!("at         {}", escape::name(location.as_bytes())))?;
    let packs = stats.area(Area::Packs).objects + stats.area(Area::Trees).objects;
    let size = human::bytes(stats.store_bytes());
    out.line(&format!("size       {size} in {}", human::counted(packs, "pack", "packs")))?;
    out.line(&format!(
        "snapshots  {}, {} of files",
        human::count(stats.snapshots.len() as u64),
        human::bytes(stats.snapshot_bytes)
    ))?;
    out.line(&format!(
        "dedup      {} kept of them in {}: {}",
        human::bytes(stats.chunk_bytes),
        human::counted(stats.chunks, "chunk", "chunks"),
        human::ratio(stats.snapshot_bytes, stats.chunk_bytes)
    ))?;
    out.line(&format!(
        "packed     {} of data, compressed: {}",
        human::bytes(stats.data_pack_bytes),
        human::ratio(stats.chunk_bytes, stats.data_pack_bytes)
    ))?;
    out.line(&format!(
        "metadata   {} of trees from {}, {} of index for {}",
        human::bytes(stats.tree_pack_bytes),
        human::bytes(stats.node_bytes),
        human::bytes(stats.area(Area::Index).bytes),
        human::counted(stats.rows, "row", "rows")
    ))?;
    out.line(&format!(
        "together   {} of files in {} of store: {}",
        human::bytes(stats.snapshot_bytes),
        size,
        human::ratio(stats.snapshot_bytes, stats.store_bytes())
    ))?;
    if listed.is_empty() {
        return Ok(());
    }
    out.line("")?;
    let mut table = Table::new(&["id", "time", "host", ">files", ">bytes", ">new", ">stored"]);
    for snapshot in listed {
        let cost = SnapshotCost::of(snapshot);
        table.row([
            short(&cost.id),
            time::local(snapshot.manifest.time),
            escape::name(snapshot.manifest.host.as_bytes()),
            human::count(cost.files),
            human::bytes(cost.bytes),
            human::bytes(cost.novel_bytes),
            human::bytes(cost.stored_bytes),
        ]);
    }
    table.print(out)
}
