//! `stats`: how much data a store holds, and how much room that takes.

use crate::base::id::ObjectId;
use crate::format::blob::BlobKind;
use crate::format::pack::PackKind;
use crate::storage::Area;
use crate::store::snapshots::{DamagedSnapshot, Snapshot};
use crate::store::{Store, StoreError};

/// Objects of one area and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AreaStats {
    /// How many objects there are.
    pub objects: u64,
    /// Their lengths together.
    pub bytes: u64,
}

/// Totals of a store.
#[derive(Debug)]
pub struct StoreStats {
    /// Objects by area, one each.
    pub areas: [(Area, AreaStats); Area::ALL.len()],
    /// Rows of the index: a chunk with two locations counts twice.
    pub rows: u64,
    /// Different chunks that the index knows.
    pub chunks: u64,
    /// Bytes of those chunks before compression.
    pub chunk_bytes: u64,
    /// Tree nodes and content lists that the index knows.
    pub nodes: u64,
    /// Bytes of those nodes and lists before compression.
    pub node_bytes: u64,
    /// Bytes of the packs that hold data.
    pub data_pack_bytes: u64,
    /// Bytes of the packs that hold trees.
    pub tree_pack_bytes: u64,
    /// Bytes of the files in all snapshots together, as if each were stored by itself.
    pub snapshot_bytes: u64,
    /// The snapshots, oldest first.
    pub snapshots: Vec<Snapshot>,
    /// Snapshots that cannot be read.
    pub damaged: Vec<DamagedSnapshot>,
}

impl StoreStats {
    /// Objects and bytes of one area.
    pub fn area(&self, area: Area) -> AreaStats {
        self.areas.iter().find(|(a, _)| *a == area).map_or_else(AreaStats::default, |(_, stats)| *stats)
    }

    /// All bytes of the store.
    pub fn store_bytes(&self) -> u64 {
        self.areas.iter().map(|(_, stats)| stats.bytes).sum()
    }
}

/// Reads the index, lists the storage and the snapshots.
pub fn run(store: &Store) -> Result<StoreStats, StoreError> {
    store.load_index()?;
    let mut areas = Area::ALL.map(|area| (area, AreaStats::default()));
    for (area, stats) in &mut areas {
        store.storage.list(*area, &mut |listed| {
            stats.objects += 1;
            stats.bytes += listed.len;
        })?;
    }
    let (snapshots, damaged) = store.snapshots_confirmed()?;
    let mut stats = StoreStats {
        areas,
        rows: 0,
        chunks: 0,
        chunk_bytes: 0,
        nodes: 0,
        node_bytes: 0,
        data_pack_bytes: 0,
        tree_pack_bytes: 0,
        snapshot_bytes: snapshots.iter().map(|s| s.manifest.totals.bytes).sum(),
        snapshots,
        damaged,
    };
    let index = store.index.read();
    index.each_row(&mut |_, row| {
        stats.rows += 1;
        let (count, bytes) = match row.kind {
            BlobKind::Chunks => (&mut stats.chunks, &mut stats.chunk_bytes),
            _ => (&mut stats.nodes, &mut stats.node_bytes),
        };
        *count += 1;
        *bytes += u64::from(row.inner_len);
    })?;
    for pack in index.packs() {
        let bytes = match pack.kind {
            PackKind::Data => &mut stats.data_pack_bytes,
            PackKind::Tree => &mut stats.tree_pack_bytes,
        };
        *bytes += u64::from(pack.len);
    }
    drop(index);
    Ok(stats)
}

/// What one snapshot added to the store when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotCost {
    /// The snapshot's id.
    pub id: ObjectId,
    /// Files in the snapshot.
    pub files: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Bytes of chunks that were new to the store.
    pub novel_bytes: u64,
    /// Bytes appended to storage.
    pub stored_bytes: u64,
}

impl SnapshotCost {
    /// Of a snapshot.
    pub fn of(snapshot: &Snapshot) -> SnapshotCost {
        let manifest = &snapshot.manifest;
        SnapshotCost {
            id: snapshot.id,
            files: manifest.totals.files,
            bytes: manifest.totals.bytes,
            novel_bytes: manifest.novel_bytes,
            stored_bytes: manifest.stored_bytes,
        }
    }
}
