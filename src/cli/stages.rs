//! Where a run's time went, stage by stage.

use super::human;
use super::table::Table;
use crate::monitor::StageTimes;
use serde::Serialize;

/// A stage in `--json`: seconds summed over its threads.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "as in monitor::StageTimes")]
pub struct StageObject {
    pub stage: &'static str,
    pub wait_in_s: f64,
    pub busy_s: f64,
    pub wait_out_s: f64,
    pub items: u64,
}

/// For programs.
pub fn objects(stages: &[(&'static str, StageTimes)]) -> Vec<StageObject> {
    stages
        .iter()
        .map(|(stage, times)| StageObject {
            stage,
            wait_in_s: times.wait_in.as_secs_f64(),
            busy_s: times.busy.as_secs_f64(),
            wait_out_s: times.wait_out.as_secs_f64(),
            items: times.items,
        })
        .collect()
}

/// For people.
pub fn table(stages: &[(&'static str, StageTimes)]) -> Table {
    let mut table = Table::new(&["stage", ">items", ">wait in", ">busy", ">wait out"]);
    for (stage, times) in stages {
        table.row([
            (*stage).to_string(),
            human::count(times.items),
            human::duration(times.wait_in),
            human::duration(times.busy),
            human::duration(times.wait_out),
        ]);
    }
    table
}
