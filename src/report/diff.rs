//! Differences between two snapshots, or a snapshot and a directory.

use super::entry::kind;
use super::path::Path;
use crate::format::tree::Entry;
use crate::ops::diff::{Change, DiffStats};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct ChangeObject<'a> {
    #[serde(rename = "type")]
    pub object: &'static str,
    #[serde(flatten)]
    pub path: Path,
    /// `+`, `-`, `M`, `T`, `U`.
    pub change: char,
    /// Fields that differ.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub fields: &'a [&'static str],
    pub before: Option<SideObject>,
    pub after: Option<SideObject>,
}

#[derive(Debug, Serialize)]
pub struct SideObject {
    pub kind: &'static str,
    pub size: u64,
}

impl<'a> From<&'a Change<'_>> for ChangeObject<'a> {
    fn from(change: &'a Change<'_>) -> ChangeObject<'a> {
        let side = |entry: &Entry| SideObject { kind: kind(entry.meta.kind), size: entry.meta.size };
        ChangeObject {
            object: "change",
            path: Path::new(&change.path),
            change: change.marker.letter(),
            fields: &change.fields,
            before: change.before.map(side),
            after: change.after.map(side),
        }
    }
}

#[derive(Debug, Serialize)]
pub struct Summary {
    pub added: u64,
    pub bytes_after: u64,
    pub bytes_before: u64,
    pub damaged: u64,
    pub metadata_changed: u64,
    pub modified: u64,
    pub nodes_opened: u64,
    pub removed: u64,
    pub store_unreadable: u64,
    #[serde(rename = "type")]
    pub object: &'static str,
    pub type_changed: u64,
    pub unreadable: u64,
}

impl From<&DiffStats> for Summary {
    fn from(stats: &DiffStats) -> Summary {
        Summary {
            added: stats.added,
            bytes_after: stats.bytes_after,
            bytes_before: stats.bytes_before,
            damaged: stats.damaged,
            metadata_changed: stats.metadata_changed,
            modified: stats.modified,
            nodes_opened: stats.nodes_opened,
            removed: stats.removed,
            store_unreadable: stats.store_unreadable,
            object: "summary",
            type_changed: stats.type_changed,
            unreadable: stats.unreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;
    use crate::ops::diff::Marker;

    #[test]
    fn differences_in_json() {
        let change =
            Change { marker: Marker::Metadata, path: b"/a".to_vec(), before: None, after: None, fields: vec!["mode"] };
        let expected = r#"{"type":"change","path":"/a","change":"U","fields":["mode"],"before":null,"after":null}"#;
        assert_eq!(json(&ChangeObject::from(&change)), expected);
        let side = SideObject { kind: "file", size: 3 };
        assert_eq!(json(&side), r#"{"kind":"file","size":3}"#);
        let stats = DiffStats { added: 1, unreadable: 2, ..DiffStats::default() };
        let expected = r#"{"added":1,"bytes_after":0,"bytes_before":0,"damaged":0,"metadata_changed":0,"modified":0,"nodes_opened":0,"removed":0,"store_unreadable":0,"type":"summary","type_changed":0,"unreadable":2}"#;
        assert_eq!(json(&Summary::from(&stats)), expected);
    }
}
