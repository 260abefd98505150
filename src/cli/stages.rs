//! Prints how long each stage of a run took.

use super::human;
use super::table::Table;
use crate::monitor::StageTimes;

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
