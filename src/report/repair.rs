//! The result of a repair.

use crate::base::id::ObjectId;
use crate::ops::repair::RepairStats;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct Summary<'a> {
    pub damage_records: Vec<String>,
    pub dry_run: bool,
    pub duration_s: f64,
    pub folders_made: &'a [&'static str],
    pub packs: u64,
    pub packs_listed: Vec<String>,
    pub problems: usize,
    pub rows: u64,
    pub segments_damaged: Vec<String>,
    pub segments_missing: Vec<String>,
    #[serde(rename = "type")]
    pub object: &'static str,
}

impl<'a> Summary<'a> {
    pub fn new(dry_run: bool, folders: &'a [&'static str], stats: &RepairStats) -> Summary<'a> {
        let ids = |ids: &[ObjectId]| ids.iter().map(ObjectId::to_string).collect::<Vec<_>>();
        Summary {
            damage_records: ids(&stats.damage_records),
            dry_run,
            duration_s: stats.duration.as_secs_f64(),
            folders_made: folders,
            packs: stats.packs,
            packs_listed: ids(&stats.packs_listed),
            problems: stats.problems.len(),
            rows: stats.rows,
            segments_damaged: ids(&stats.segments_damaged),
            segments_missing: ids(&stats.segments_missing),
            object: "summary",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    #[test]
    fn a_summary_in_json() {
        let stats =
            RepairStats { packs: 2, packs_listed: vec![ObjectId([0xab; 32])], rows: 9, ..RepairStats::default() };
        let expected = format!(
            r#"{{"damage_records":[],"dry_run":true,"duration_s":0.0,"folders_made":["trees"],"packs":2,"packs_listed":["{}"],"problems":0,"rows":9,"segments_damaged":[],"segments_missing":[],"type":"summary"}}"#,
            "ab".repeat(32)
        );
        assert_eq!(json(&Summary::new(true, &["trees"], &stats)), expected);
    }
}
