//! dedup: who stores a chunk. The only stage that claims; in stream order, so that the winner of a duplicate, the groups
//! and the bytes stored are equal in every run.
//!
//! Takes: hashed batches (any order). Gives: to the tree builder the entries with their content ids, in order; to
//! compress the batches with what is novel. Owns: the claims. Bound: the permits. Errors: the session's.

use super::aside::Aside;
use super::context::BackupContext;
use super::item::{Batch, BatchEntry, Buffer, Chunk, ChunkState, EntryContent, Plan, Stretch, TreeBatch};
use crate::base::id::ContentId;
use crate::base::path::path_of;
use crate::format::list::Item;
use crate::format::tree::{Content, EntryKind};
use crate::index::Location;
use crate::monitor::Counter;
use crate::store::session::Session;
use crate::work::reorder::Reorder;
use crossbeam_channel::{Receiver, Sender};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

/// The ordered thread.
pub fn run(
    context: &Arc<BackupContext>,
    session: Option<&Session>,
    input: Receiver<Batch>,
    tree: Sender<TreeBatch>,
    next: &dyn Fn(Batch),
) {
    let meter = &context.meters.dedup;
    let (mut ring, mut aside) = (Reorder::default(), Aside::default());
    while let Some(batch) = meter.recv(&input) {
        ring.push(batch.seq, batch);
        while let Some(mut batch) = ring.pop() {
            let done = meter.work(|| {
                context.failure.guard(|| {
                    let mut adopted = Vec::new();
                    claim(context, &mut batch, &mut adopted);
                    let novel = batch.buffer.chunks.iter().any(|chunk| chunk.state == ChunkState::Novel);
                    if let (Some(comparison), true) = (&context.comparison, novel || !adopted.is_empty()) {
                        comparison.found_difference();
                    }
                    match session {
                        Some(_) if adopted.is_empty() => {}
                        Some(session) => context.claims.release(session.adopted(&adopted)?),
                        None => aside.recall(context, &mut batch),
                    }
                    Ok(describe(context, &mut batch))
                })
            });
            if let Some(entries) = done {
                count(context, &batch, &entries);
                if !context.dry_run {
                    meter.send(&tree, entries);
                }
            }
            next(batch);
        }
    }
}

/// Decides for each chunk whether this batch stores it.
pub fn claim(context: &BackupContext, batch: &mut Batch, adopted: &mut Vec<(ContentId, Location)>) {
    let generation = batch.generation;
    for chunk in batch.buffer.chunks.iter_mut().filter(|c| c.state == ChunkState::Unseen) {
        chunk.state = ChunkState::Known;
        if !context.claim(chunk.id, generation) {
            continue;
        }
        match context.adoptable.get(&chunk.id) {
            Some(location) => adopted.push((chunk.id, location)),
            None => chunk.state = ChunkState::Novel,
        }
    }
}

fn items(chunks: &[Chunk]) -> impl Iterator<Item = Item> + '_ {
    chunks.iter().map(|c| Item::Chunk { id: c.id, len: c.len })
}

fn pieces(segment: &Stretch, chunks: &[Chunk]) -> Vec<Item> {
    let hole = (segment.hole_before > 0).then_some(Item::Hole { len: segment.hole_before });
    // A carried tail lies after the hole that came before its range, and that hole went with an earlier segment.
    hole.into_iter().chain(items(chunks)).collect()
}

/// The batch's entries with their contents, for the tree.
fn describe(context: &BackupContext, batch: &mut Batch) -> TreeBatch {
    let Buffer { plain, chunks, .. } = &batch.buffer;
    let pieces = batch.segment.as_ref().map_or_else(Vec::new, |s| pieces(s, chunks));
    // Its room beforehand: that none of them is left out is the rule.
    let mut entries = Vec::with_capacity(batch.entries.len());
    entries.extend(batch.entries.drain(..).filter_map(|mut entry| {
        say_flaws(context, &entry);
        let content = match std::mem::replace(&mut entry.plan, Plan::Nothing) {
            Plan::Nothing => EntryContent::Ready(Content::Empty),
            Plan::Parent(content) => EntryContent::Ready(content),
            Plan::Linked => EntryContent::Linked,
            Plan::Unreadable => EntryContent::Ready(Content::Unreadable),
            Plan::Vanished => return None,
            Plan::Big(file) => {
                entry.plan = Plan::Big(file);
                EntryContent::Pieces
            }
            Plan::Read => {
                let bytes = &plain[entry.bytes.start as usize..entry.bytes.end as usize];
                let chunks = &chunks[entry.chunks.start as usize..entry.chunks.end as usize];
                match (bytes.is_empty(), chunks.is_empty()) {
                    (true, _) => EntryContent::Ready(Content::Empty),
                    (false, true) => EntryContent::Ready(Content::Inline(bytes.to_vec())),
                    (false, false) => EntryContent::Items(items(chunks).collect()),
                }
            }
        };
        Some((entry, content))
    }));
    TreeBatch { entries, pieces }
}

/// Tells of a file that changed while it was read, and counts those that could not be read.
fn say_flaws(context: &BackupContext, entry: &BatchEntry) {
    let (changed, failed) = match &entry.plan {
        Plan::Big(big) => (big.changed.load(Acquire), big.failed.load(Acquire)),
        plan => (entry.changed, matches!(plan, Plan::Unreadable | Plan::Vanished)),
    };
    if failed && entry.found.meta.kind == EntryKind::File {
        context.counts.files_unreadable.fetch_add(1, Relaxed);
    } else if changed && !failed {
        context.changed(path_of(&entry.found.key));
    }
}

fn count(context: &BackupContext, batch: &Batch, tree: &TreeBatch) {
    let monitor = &context.monitor;
    let chunks = &batch.buffer.chunks;
    let novel = chunks.iter().filter(|c| c.state == ChunkState::Novel);
    let (count, bytes) = novel.fold((0, 0), |(n, bytes), c| (n + 1, bytes + u64::from(c.len)));
    monitor.add(Counter::Chunks, chunks.len() as u64);
    monitor.add(Counter::ChunksNovel, count);
    monitor.add(Counter::BytesNovel, bytes);
    monitor.add(Counter::Entries, tree.entries.len() as u64);
    let is_file = |e: &&(BatchEntry, EntryContent)| e.0.found.meta.kind == EntryKind::File;
    monitor.add(Counter::Files, tree.entries.iter().filter(is_file).count() as u64);
    let is_directory = |e: &&(BatchEntry, EntryContent)| e.0.found.meta.kind == EntryKind::Directory;
    let directories = tree.entries.iter().filter(is_directory).count() as u64;
    context.counts.directories.fetch_add(directories, Relaxed);
    // A big file's bytes count as its segments pass, so that progress moves.
    let small = tree.entries.iter().filter(|e| !matches!(e.0.plan, Plan::Big(_)));
    let small: u64 = small.map(|e| e.0.found.meta.size).sum();
    let piece = batch.segment.as_ref().map_or(0, |s| s.len as u64 + s.hole_before);
    monitor.add(Counter::Bytes, small + piece);
    if let Some(last) = tree.entries.last() {
        monitor.at(&last.0.found.key);
    }
}
