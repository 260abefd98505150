//! The result of a backup.

use super::path::Path;
use super::stage::{self, StageObject};
use crate::base::escape;
use crate::codec::Compression;
use crate::monitor::StageTimes;
use crate::ops::backup::{BackupOptions, BackupStats};
use crate::source::Remark;
use serde::Serialize;

/// A source is judged by at least so many new bytes.
const JUDGED_BYTES_MIN: u64 = 16 << 20;

/// Something that a person should know, and that is no problem.
#[derive(Debug, Serialize)]
pub struct RemarkObject<'a> {
    #[serde(rename = "type")]
    pub object: &'static str,
    pub remark: &'static str,
    #[serde(flatten)]
    pub path: Option<Path>,
    /// The text of the rule that it is about.
    pub rule: Option<String>,
    pub message: &'a str,
}

impl<'a> From<&'a Remark> for RemarkObject<'a> {
    fn from(remark: &'a Remark) -> RemarkObject<'a> {
        let is_path = !remark.is_of_a_rule() && !remark.subject.is_empty();
        RemarkObject {
            object: "remark",
            remark: remark.kind.word(),
            path: is_path.then(|| Path::new(&remark.subject)),
            rule: remark.is_of_a_rule().then(|| escape::name(&remark.subject)),
            message: &remark.message,
        }
    }
}

#[derive(Debug, Serialize)]
pub struct Summary {
    #[serde(rename = "type")]
    pub object: &'static str,
    pub snapshot: Option<String>,
    pub parent: Option<String>,
    pub dry_run: bool,
    pub entries: u64,
    pub files: u64,
    pub directories: u64,
    pub bytes: u64,
    pub files_new: u64,
    pub files_changed: u64,
    pub files_equal: u64,
    pub files_unchanged: u64,
    pub bytes_read: u64,
    pub chunks: u64,
    pub chunks_novel: u64,
    pub bytes_novel: u64,
    pub bytes_data_stored: u64,
    pub bytes_metadata_stored: u64,
    pub packs: u64,
    pub changed_while_read: u64,
    pub problems: u64,
    pub problem_list: Option<Path>,
    pub skipped: usize,
    pub looks_encrypted: bool,
    pub snapshot_skipped: bool,
    pub command_stderr: Option<Vec<String>>,
    pub duration_s: f64,
    pub stages: Vec<StageObject>,
}

impl Summary {
    /// `command_stderr`: the last lines that a command wrote, when one was run.
    pub fn new(
        options: &BackupOptions,
        stats: &BackupStats,
        stages: &[(&'static str, StageTimes)],
        command_stderr: Option<Vec<String>>,
    ) -> Summary {
        Summary {
            object: "summary",
            snapshot: stats.snapshot.map(|id| id.to_string()),
            parent: stats.parent.map(|id| id.to_string()),
            dry_run: options.dry_run,
            entries: stats.entries,
            files: stats.files,
            directories: stats.directories,
            bytes: stats.bytes,
            files_new: stats.files_new,
            files_changed: stats.files_changed,
            files_equal: stats.files_equal,
            files_unchanged: stats.files_unchanged,
            bytes_read: stats.bytes_read,
            chunks: stats.chunks,
            chunks_novel: stats.chunks_novel,
            bytes_novel: stats.bytes_novel,
            bytes_data_stored: stats.bytes_data_stored,
            bytes_metadata_stored: stats.bytes_metadata_stored,
            packs: stats.packs,
            changed_while_read: stats.changed_while_read,
            problems: stats.problem_count,
            problem_list: stats.problem_list.as_ref().map(|list| Path::new(list.as_os_str().as_encoded_bytes())),
            skipped: stats.skipped.len(),
            looks_encrypted: looks_encrypted(options.compression, stats),
            snapshot_skipped: stats.snapshot_skipped,
            command_stderr,
            duration_s: stats.duration.as_secs_f64(),
            stages: stage::objects(stages),
        }
    }
}

/// Whether neither deduplication nor compression gained: less than 1 % each.
pub fn looks_encrypted(compression: Compression, stats: &BackupStats) -> bool {
    compression != Compression::None
        && stats.bytes_novel >= JUDGED_BYTES_MIN
        && stats.bytes_novel as f64 > 0.99 * stats.bytes_read as f64
        && stats.bytes_data_stored as f64 > 0.99 * stats.bytes_novel as f64
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;
    use crate::base::id::ObjectId;
    use crate::source::RemarkKind;
    use std::time::Duration;

    fn stats() -> BackupStats {
        BackupStats { bytes_read: 2 << 30, bytes_novel: 1 << 30, bytes_data_stored: 1 << 28, ..BackupStats::default() }
    }

    #[test]
    fn remarks_in_json() {
        let remark = Remark { kind: RemarkKind::RuleWithoutMatch, subject: b"*.o\xff".to_vec(), message: "m".into() };
        let expected = r#"{"type":"remark","remark":"rule_without_match","rule":"*.o\\xff","message":"m"}"#;
        assert_eq!(json(&RemarkObject::from(&remark)), expected);
        let remark = Remark { kind: RemarkKind::SourceEmpty, subject: b"/a".to_vec(), message: "m".into() };
        let expected = r#"{"type":"remark","remark":"source_empty","path":"/a","rule":null,"message":"m"}"#;
        assert_eq!(json(&RemarkObject::from(&remark)), expected);
    }

    #[test]
    fn a_summary_in_json() {
        let stats = BackupStats {
            snapshot: Some(ObjectId([0xab; 32])),
            files: 2,
            problem_list: Some("/l".into()),
            duration: Duration::from_millis(500),
            ..BackupStats::default()
        };
        let summary = Summary::new(&BackupOptions::default(), &stats, &[], Some(vec!["hi".into()]));
        let expected = format!(
            r#"{{"type":"summary","snapshot":"{}","parent":null,"dry_run":false,"entries":0,"files":2,"directories":0,"bytes":0,"files_new":0,"files_changed":0,"files_equal":0,"files_unchanged":0,"bytes_read":0,"chunks":0,"chunks_novel":0,"bytes_novel":0,"bytes_data_stored":0,"bytes_metadata_stored":0,"packs":0,"changed_while_read":0,"problems":0,"problem_list":{{"path":"/l"}},"skipped":0,"looks_encrypted":false,"snapshot_skipped":false,"command_stderr":["hi"],"duration_s":0.5,"stages":[]}}"#,
            "ab".repeat(32)
        );
        assert_eq!(json(&summary), expected);
    }

    #[test]
    fn a_source_looks_encrypted_only_when_nothing_gained() {
        let encrypted =
            BackupStats { bytes_read: 1 << 30, bytes_novel: 1 << 30, bytes_data_stored: (1 << 30) + 5000, ..stats() };
        assert!(looks_encrypted(Compression::Lz4, &encrypted));
        assert!(!looks_encrypted(Compression::None, &encrypted));
        assert!(!looks_encrypted(Compression::Lz4, &stats()));
        let deduplicated = BackupStats { bytes_read: 2 << 30, ..encrypted.clone() };
        assert!(!looks_encrypted(Compression::Lz4, &deduplicated));
        let small = BackupStats { bytes_read: 1 << 20, bytes_novel: 1 << 20, bytes_data_stored: 1 << 20, ..encrypted };
        assert!(!looks_encrypted(Compression::Lz4, &small));
    }
}
