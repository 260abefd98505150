//! How much data a store holds, and how much room that takes.

use super::time::rfc3339;
use crate::ops::stats::{AreaStats, SnapshotCost, StoreStats};
use crate::storage::Area;
use crate::store::snapshots::Snapshot;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Debug, Serialize)]
pub struct StoreObject<'a> {
    /// By folder.
    pub areas: BTreeMap<&'static str, AreaObject>,
    pub bytes: u64,
    pub chunk_bytes: u64,
    pub chunks: u64,
    pub data_pack_bytes: u64,
    pub index_rows: u64,
    pub location: &'a str,
    pub node_bytes: u64,
    pub nodes: u64,
    pub packs: u64,
    pub snapshot_bytes: u64,
    pub snapshots: usize,
    pub store: &'a str,
    pub tree_pack_bytes: u64,
    #[serde(rename = "type")]
    pub object: &'static str,
}

#[derive(Debug, Serialize)]
pub struct AreaObject {
    pub bytes: u64,
    pub objects: u64,
}

impl<'a> StoreObject<'a> {
    pub fn new(store: &'a str, location: &'a str, stats: &StoreStats) -> StoreObject<'a> {
        let area =
            |(area, AreaStats { objects, bytes }): (Area, AreaStats)| (area.folder(), AreaObject { bytes, objects });
        StoreObject {
            areas: stats.areas.iter().copied().map(area).collect(),
            bytes: stats.store_bytes(),
            chunk_bytes: stats.chunk_bytes,
            chunks: stats.chunks,
            data_pack_bytes: stats.data_pack_bytes,
            index_rows: stats.rows,
            location,
            node_bytes: stats.node_bytes,
            nodes: stats.nodes,
            packs: stats.area(Area::Packs).objects + stats.area(Area::Trees).objects,
            snapshot_bytes: stats.snapshot_bytes,
            snapshots: stats.snapshots.len(),
            store,
            tree_pack_bytes: stats.tree_pack_bytes,
            object: "store_stats",
        }
    }
}

#[derive(Debug, Serialize)]
pub struct SnapshotObject<'a> {
    pub bytes: u64,
    pub files: u64,
    pub host: &'a str,
    pub id: String,
    pub novel_bytes: u64,
    pub stored_bytes: u64,
    pub time: String,
    #[serde(rename = "type")]
    pub object: &'static str,
}

impl<'a> From<&'a Snapshot> for SnapshotObject<'a> {
    fn from(snapshot: &'a Snapshot) -> SnapshotObject<'a> {
        let cost = SnapshotCost::of(snapshot);
        SnapshotObject {
            bytes: cost.bytes,
            files: cost.files,
            host: &snapshot.manifest.host,
            id: cost.id.to_string(),
            novel_bytes: cost.novel_bytes,
            stored_bytes: cost.stored_bytes,
            time: rfc3339(snapshot.manifest.time),
            object: "snapshot_stats",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    #[test]
    fn a_store_in_json() {
        let mut areas = Area::ALL.map(|area| (area, AreaStats::default()));
        areas[0].1 = AreaStats { objects: 1, bytes: 9 };
        let stats = StoreStats {
            areas,
            rows: 1,
            chunks: 2,
            chunk_bytes: 3,
            nodes: 4,
            node_bytes: 5,
            data_pack_bytes: 6,
            tree_pack_bytes: 7,
            snapshot_bytes: 8,
            snapshots: Vec::new(),
            damaged: Vec::new(),
        };
        let text = json(&StoreObject::new("ab", "/s", &stats));
        // Alphabetical, in the areas too.
        assert_eq!(text, serde_json::from_str::<serde_json::Value>(&text).unwrap().to_string());
        assert!(text.contains(&format!(r#""{}":{{"bytes":9,"objects":1}}"#, Area::ALL[0].folder())), "{text}");
        let packs = stats.area(Area::Packs).objects + stats.area(Area::Trees).objects;
        let rest = format!(
            r#""bytes":9,"chunk_bytes":3,"chunks":2,"data_pack_bytes":6,"index_rows":1,"location":"/s","node_bytes":5,"nodes":4,"packs":{packs},"snapshot_bytes":8,"snapshots":0,"store":"ab","tree_pack_bytes":7,"type":"store_stats"}}"#
        );
        assert!(text.ends_with(&rest), "{text}");
    }

    #[test]
    fn a_snapshot_in_json() {
        let expected = format!(
            r#"{{"bytes":3,"files":2,"host":"web1","id":"{}","novel_bytes":4,"stored_bytes":5,"time":"1970-01-01T00:00:00Z","type":"snapshot_stats"}}"#,
            "ab".repeat(32)
        );
        assert_eq!(json(&SnapshotObject::from(&super::super::snapshots::tests::snapshot())), expected);
    }
}
