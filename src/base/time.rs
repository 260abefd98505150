//! Points in time, as file systems and stores give them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds and nanoseconds since 1970-01-01 UTC; seconds may be negative, nanoseconds are below 10^9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time {
    /// Whole seconds, rounded down.
    pub s: i64,
    /// Nanoseconds after `s`.
    pub ns: u32,
}

impl Time {
    /// The clock of this machine.
    pub fn now() -> Time {
        SystemTime::now().into()
    }

    /// This time moved by whole seconds.
    pub fn plus_seconds(self, seconds: i64) -> Time {
        Time { s: self.s.saturating_add(seconds), ns: self.ns }
    }
}

impl From<SystemTime> for Time {
    fn from(t: SystemTime) -> Time {
        match t.duration_since(UNIX_EPOCH) {
            Ok(d) => Time { s: d.as_secs() as i64, ns: d.subsec_nanos() },
            Err(e) => {
                let d = e.duration();
                match d.subsec_nanos() {
                    0 => Time { s: -(d.as_secs() as i64), ns: 0 },
                    ns => Time { s: -(d.as_secs() as i64) - 1, ns: 1_000_000_000 - ns },
                }
            }
        }
    }
}
