//! Snapshots.

use super::path::{Path, Paths};
use super::time::rfc3339;
use crate::base::id::hex;
use crate::format::problems::{KeptProblem, ProblemKind, ProblemList};
use crate::store::snapshots::Snapshot;
use crate::store::trust::Authenticity;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct SnapshotObject<'a> {
    #[serde(rename = "type")]
    pub object: &'static str,
    pub id: String,
    pub time: String,
    pub host: &'a str,
    #[serde(flatten)]
    pub paths: Paths,
    pub tags: &'a [String],
    pub user: &'a str,
    pub started: String,
    pub ended: String,
    pub parent: Option<String>,
    pub entries: u64,
    pub files: u64,
    pub directories: u64,
    pub bytes: u64,
    pub novel_bytes: u64,
    pub stored_bytes: u64,
    pub errors: u64,
    pub changed_while_read: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<ProblemObject>,
    pub signer: String,
    pub signature: &'static str,
    pub program: &'a str,
    pub options: &'a [String],
}

/// A path that a snapshot itself names as flawed.
#[derive(Debug, Serialize)]
pub struct ProblemObject {
    pub kind: &'static str,
    #[serde(flatten)]
    pub path: Path,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl<'a> From<&'a Snapshot> for SnapshotObject<'a> {
    fn from(snapshot: &'a Snapshot) -> SnapshotObject<'a> {
        let manifest = &snapshot.manifest;
        let problems = manifest.problems().unwrap_or_default();
        SnapshotObject {
            object: "snapshot",
            id: snapshot.id.to_string(),
            time: rfc3339(manifest.time),
            host: &manifest.host,
            paths: Paths::new(&manifest.paths),
            tags: &manifest.tags,
            user: &manifest.user,
            started: rfc3339(manifest.started),
            ended: rfc3339(manifest.ended),
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
}

fn problem_objects(list: &ProblemList) -> Vec<ProblemObject> {
    let object = |kept: &KeptProblem| ProblemObject {
        kind: match kept.kind {
            ProblemKind::Unread => "unread",
            ProblemKind::Changed => "changed",
        },
        path: Path::new(&kept.path),
        message: kept.message.clone(),
    };
    list.kept.iter().map(object).collect()
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

#[cfg(test)]
pub(super) mod tests {
    use super::super::json;
    use super::*;
    use crate::base::id::{ContentId, ObjectId, SessionId};
    use crate::base::time::Time;
    use crate::format::snapshot::Manifest;
    use crate::format::tree::Totals;

    pub fn snapshot() -> Snapshot {
        let problem = (&b"/a"[..], "gone");
        let problems = ProblemList::new((1, [problem].into_iter()), (2, std::iter::empty()));
        let manifest = Manifest {
            root: ContentId([0; 32]),
            root_level: 0,
            totals: Totals { files: 2, bytes: 3, ..Totals::default() },
            session: SessionId([0; 16]),
            host: "web1".into(),
            user: "me".into(),
            paths: vec![b"/a".to_vec()],
            tags: vec!["daily".into()],
            time: Time::default(),
            started: Time::default(),
            ended: Time { s: 1, ns: 0 },
            errors: 1,
            novel_bytes: 4,
            stored_bytes: 5,
            program: "larder".into(),
            sequence: 1,
            previous: None,
            heads: Vec::new(),
            parent: None,
            options: Vec::new(),
            extensions: problems.extension().into_iter().collect(),
        };
        Snapshot { id: ObjectId([0xab; 32]), manifest, signer: [0xcd; 32], authenticity: Authenticity::PinnedNow }
    }

    #[test]
    fn a_snapshot_in_json() {
        let expected = format!(
            r#"{{"type":"snapshot","id":"{}","time":"1970-01-01T00:00:00Z","host":"web1","paths":["/a"],"tags":["daily"],"user":"me","started":"1970-01-01T00:00:00Z","ended":"1970-01-01T00:00:01Z","parent":null,"entries":0,"files":2,"directories":0,"bytes":3,"novel_bytes":4,"stored_bytes":5,"errors":1,"changed_while_read":2,"problems":[{{"kind":"unread","path":"/a","message":"gone"}}],"signer":"{}","signature":"pinned_now","program":"larder","options":[]}}"#,
            "ab".repeat(32),
            "cd".repeat(32)
        );
        assert_eq!(json(&SnapshotObject::from(&snapshot())), expected);
    }
}
