//! Who watches a long making: hears how far it is, and may end it.

use crate::harness::error::BenchError;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Hears what is being done, and may end it.
#[derive(Clone, Copy, Default)]
pub struct Watch<'a> {
    /// Gets a line for a person at each step.
    pub say: Option<&'a dyn Fn(&str)>,
    /// Set when the work shall end.
    pub cancel: Option<&'a AtomicBool>,
}

impl Watch<'_> {
    pub fn say(&self, line: &str) {
        if let Some(say) = self.say {
            say(line);
        }
    }

    /// An error when the work shall end.
    pub fn poll(&self) -> Result<(), BenchError> {
        match self.cancel {
            Some(cancel) if cancel.load(Relaxed) => Err(BenchError::Interrupted),
            _ => Ok(()),
        }
    }
}
