//! The result of a restore.

use super::stage::{self, StageObject};
use crate::monitor::StageTimes;
use crate::ops::restore::RestoreStats;
use serde::ser::Error as _;
use serde::{Serialize, Serializer};

#[derive(Debug, Serialize)]
pub struct Summary {
    pub bytes: u64,
    pub bytes_read: u64,
    pub bytes_unchanged: u64,
    pub changed_while_read: u64,
    pub damaged: u64,
    pub damaged_ranges: u64,
    pub deleted: u64,
    pub differing: u64,
    pub directories: u64,
    pub dry_run: bool,
    pub duration_s: f64,
    pub entries: u64,
    pub files: u64,
    pub hard_links: u64,
    pub left: u64,
    pub problems: u64,
    pub snapshot: Option<String>,
    pub specials: u64,
    #[serde(serialize_with = "sorted")]
    pub stages: Vec<StageObject>,
    pub store_unreadable: u64,
    pub symlinks: u64,
    #[serde(rename = "type")]
    pub object: &'static str,
    pub unchanged: u64,
    pub unreadable: u64,
    pub verified: u64,
}

/// The keys of stages come in alphabetical order here, as those of the summary do.
fn sorted<S: Serializer>(stages: &[StageObject], serializer: S) -> Result<S::Ok, S::Error> {
    serde_json::to_value(stages).map_err(S::Error::custom)?.serialize(serializer)
}

impl Summary {
    pub fn new(dry_run: bool, stats: &RestoreStats, stages: &[(&'static str, StageTimes)]) -> Summary {
        Summary {
            bytes: stats.bytes,
            bytes_read: stats.bytes_read,
            bytes_unchanged: stats.bytes_unchanged,
            changed_while_read: stats.changed_while_read,
            damaged: stats.damaged,
            damaged_ranges: stats.damaged_ranges,
            deleted: stats.deleted,
            differing: stats.differing,
            directories: stats.directories,
            dry_run,
            duration_s: stats.duration.as_secs_f64(),
            entries: stats.entries,
            files: stats.files,
            hard_links: stats.hard_links,
            left: stats.left,
            problems: stats.problem_count,
            snapshot: stats.snapshot.map(|id| id.to_string()),
            specials: stats.specials,
            stages: stage::objects(stages),
            store_unreadable: stats.store_unreadable,
            symlinks: stats.symlinks,
            object: "summary",
            unchanged: stats.unchanged,
            unreadable: stats.unreadable,
            verified: stats.verified,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_summary_in_json() {
        let stats = RestoreStats {
            files: 2,
            problem_count: 4,
            duration: Duration::from_millis(500),
            ..RestoreStats::default()
        };
        let stages = [("read", StageTimes { items: 3, ..StageTimes::default() })];
        let expected = r#"{"bytes":0,"bytes_read":0,"bytes_unchanged":0,"changed_while_read":0,"damaged":0,"damaged_ranges":0,"deleted":0,"differing":0,"directories":0,"dry_run":true,"duration_s":0.5,"entries":0,"files":2,"hard_links":0,"left":0,"problems":4,"snapshot":null,"specials":0,"stages":[{"busy_s":0.0,"items":3,"stage":"read","wait_in_s":0.0,"wait_out_s":0.0}],"store_unreadable":0,"symlinks":0,"type":"summary","unchanged":0,"unreadable":0,"verified":0}"#;
        assert_eq!(json(&Summary::new(true, &stats, &stages)), expected);
    }
}
