//! The standard error of a command whose output is backed up. Each line is passed on at once, and the last lines are
//! kept.

use super::sources::Roots;
use crate::cli::progress::Progress;
use crate::source::command::Said;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// Lines that are kept for the summary.
const LINES_KEPT: usize = 20;

/// Hears the command.
pub struct Words {
    /// Its name; `None` when no command is run.
    command: Option<String>,
    progress: Arc<Progress>,
    last: Mutex<VecDeque<String>>,
}

impl Words {
    /// Of the command that is run for these sources, if any.
    pub fn new(roots: &Roots, progress: Arc<Progress>) -> Words {
        let command = roots.stream.as_ref().and_then(|stream| stream.command.as_ref());
        Words { command: command.map(|command| command.name()), progress, last: Mutex::default() }
    }

    /// What is to be told each line.
    pub fn said(self: Arc<Self>) -> Said {
        Arc::new(move |line| {
            self.progress.said(self.command.as_deref().unwrap_or_default(), line);
            let mut last = self.last.lock();
            if last.len() == LINES_KEPT {
                last.pop_front();
            }
            last.push_back(line.to_string());
        })
    }

    /// The command and its last lines; `None` when no command was run.
    pub fn heard(&self) -> Option<(&str, Vec<String>)> {
        let lines = self.last.lock().iter().cloned().collect();
        self.command.as_deref().map(|command| (command, lines))
    }
}
