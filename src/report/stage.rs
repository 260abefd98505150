//! How long each stage of a run took.

use crate::monitor::StageTimes;
use serde::Serialize;

/// A stage: seconds summed over its threads.
#[derive(Debug, Serialize)]
pub struct StageObject {
    pub stage: &'static str,
    pub wait_in_s: f64,
    pub busy_s: f64,
    pub wait_out_s: f64,
    pub items: u64,
}

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

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_stage_in_json() {
        let times = StageTimes { busy: Duration::from_millis(1500), items: 3, ..StageTimes::default() };
        let expected = r#"[{"stage":"read","wait_in_s":0.0,"busy_s":1.5,"wait_out_s":0.0,"items":3}]"#;
        assert_eq!(json(&objects(&[("read", times)])), expected);
    }
}
