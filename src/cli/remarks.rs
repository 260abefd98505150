//! The monitor of short commands, which show no progress: it prints each problem at once as a warning.

use super::output::Output;
use crate::monitor::{Counter, Monitor, Problem};

/// Prints problems and notes.
pub struct Remarks<'a>(pub &'a Output);

impl Monitor for Remarks<'_> {
    fn add(&self, _counter: Counter, _n: u64) {}

    fn problem(&self, problem: &Problem) {
        self.0.warn(&problem_line(problem));
    }

    fn note(&self, message: &str) {
        self.0.note(message);
    }
}

/// A problem on one line.
pub fn problem_line(problem: &Problem) -> String {
    let path = String::from_utf8_lossy(&problem.path);
    if path.is_empty() { problem.message.clone() } else { format!("{path}: {}", problem.message) }
}
