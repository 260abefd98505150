//! What was measured on, and what makes its numbers doubtful.

use serde::{Deserialize, Serialize};

/// The machine, as far as it decides speed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// As the kernel names it.
    pub cpu: String,
    /// Logical cores that this process may use.
    pub cores: u32,
    /// CPU features that some kernel here can use and this CPU has.
    pub features: Vec<String>,
    /// Bytes.
    pub memory: u64,
    /// `Linux 6.18.0`.
    pub os: String,
}

impl Machine {
    /// This machine.
    pub fn here() -> Machine {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        Machine { cores, ..Machine::default() }
    }

    /// What must be equal for times of two runs to be compared: a baseline of another machine says nothing of this one.
    pub fn fingerprint(&self) -> String {
        format!("{}, {} cores, {}", self.cpu, self.cores, self.features.join(" "))
    }
}
