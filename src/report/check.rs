//! The findings of a check.

use super::path::Path;
use crate::base::id::ObjectId;
use crate::ops::check::{Affected, CheckReport, Finding, Severity, Subject};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct FindingObject<'a> {
    pub message: &'a str,
    pub severity: &'static str,
    pub subject: String,
    #[serde(rename = "type")]
    pub object: &'static str,
}

impl<'a> From<&'a Finding> for FindingObject<'a> {
    fn from(finding: &'a Finding) -> FindingObject<'a> {
        let severity = match finding.severity {
            Severity::Notice => "notice",
            Severity::ReadErrorOnce => "read_error_once",
            Severity::Unreadable => "unreadable",
            Severity::Damage => "damage",
        };
        FindingObject { message: &finding.message, severity, subject: subject(&finding.subject), object: "finding" }
    }
}

/// What a finding is about, in one line.
pub fn subject(subject: &Subject) -> String {
    match subject {
        Subject::Store => "store".into(),
        other => other.name(),
    }
}

/// A path, or a range of them, that does not restore.
#[derive(Debug, Serialize)]
pub struct AffectedObject {
    #[serde(rename = "type")]
    pub object: &'static str,
    pub snapshot: String,
    #[serde(flatten)]
    pub path: Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Path>,
}

impl From<&Affected> for AffectedObject {
    fn from(Affected { snapshot, path, until }: &Affected) -> AffectedObject {
        AffectedObject {
            object: "affected",
            snapshot: snapshot.to_string(),
            path: Path::new(path),
            until: until.as_ref().map(|until| Path::new(until)),
        }
    }
}

#[derive(Debug, Serialize)]
pub struct Summary {
    pub affected: u64,
    pub affected_snapshots: Vec<String>,
    pub bytes_read: u64,
    pub damages: u64,
    pub duration_s: f64,
    pub entries: u64,
    pub leftover_pack_bytes: u64,
    pub leftover_packs: u64,
    pub leftover_sessions: u64,
    pub leftover_snapshots: u64,
    pub nodes: u64,
    pub notices: u64,
    pub packs: u64,
    pub packs_read: u64,
    pub packs_recorded: u64,
    pub read_errors_once: u64,
    pub rows: u64,
    pub segments: u64,
    pub snapshots: u64,
    #[serde(rename = "type")]
    pub object: &'static str,
    pub unreadable: u64,
    pub whole_again: Vec<String>,
}

impl From<&CheckReport> for Summary {
    fn from(report: &CheckReport) -> Summary {
        let [notices, read_errors_once, unreadable, damages] = report.counts;
        let ids = |ids: &[ObjectId]| ids.iter().map(ObjectId::to_string).collect();
        Summary {
            affected: report.affected_count,
            affected_snapshots: ids(&report.affected_snapshots),
            bytes_read: report.bytes_read,
            damages,
            duration_s: report.duration.as_secs_f64(),
            entries: report.entries,
            leftover_pack_bytes: report.leftovers.pack_bytes,
            leftover_packs: report.leftovers.packs,
            leftover_sessions: report.leftovers.sessions,
            leftover_snapshots: report.leftovers.snapshots,
            nodes: report.nodes,
            notices,
            packs: report.packs,
            packs_read: report.packs_read,
            packs_recorded: report.packs_recorded,
            read_errors_once,
            rows: report.rows,
            segments: report.segments,
            snapshots: report.snapshots,
            object: "summary",
            unreadable,
            whole_again: ids(&report.whole_again),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;
    use crate::ops::check::Leftovers;

    #[test]
    fn what_a_check_found_in_json() {
        let (snapshot, id) = (ObjectId([0xab; 32]), "ab".repeat(32));
        let finding = Finding { severity: Severity::ReadErrorOnce, subject: Subject::Store, message: "m".into() };
        let expected = r#"{"message":"m","severity":"read_error_once","subject":"store","type":"finding"}"#;
        assert_eq!(json(&FindingObject::from(&finding)), expected);
        let affected = Affected { snapshot, path: b"/a".to_vec(), until: Some(b"/b".to_vec()) };
        let expected = format!(r#"{{"type":"affected","snapshot":"{id}","path":"/a","until":{{"path":"/b"}}}}"#);
        assert_eq!(json(&AffectedObject::from(&affected)), expected);
        let report = CheckReport {
            counts: [1, 2, 3, 4],
            affected_snapshots: vec![snapshot],
            leftovers: Leftovers { pack_bytes: 5, ..Leftovers::default() },
            packs: 6,
            ..CheckReport::default()
        };
        let expected = format!(
            r#"{{"affected":0,"affected_snapshots":["{id}"],"bytes_read":0,"damages":4,"duration_s":0.0,"entries":0,"leftover_pack_bytes":5,"leftover_packs":0,"leftover_sessions":0,"leftover_snapshots":0,"nodes":0,"notices":1,"packs":6,"packs_read":0,"packs_recorded":0,"read_errors_once":2,"rows":0,"segments":0,"snapshots":0,"type":"summary","unreadable":3,"whole_again":[]}}"#
        );
        assert_eq!(json(&Summary::from(&report)), expected);
    }
}
