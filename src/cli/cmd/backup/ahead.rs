//! Counts how much there is to back up while the backup runs, so that progress can show a share when no earlier
//! snapshot tells.

use crate::cli::progress::Progress;
use crate::format::tree::EntryKind;
use crate::monitor::{Counter, Monitor};
use crate::source::{Source, Walked};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A run shorter than this needs no total.
const PATIENCE: Duration = Duration::from_secs(1);

/// Counts until it is dropped.
pub struct Ahead {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ahead {
    /// Begins to count after a moment, unless a total is known by then.
    pub fn start(source: Box<dyn Source>, progress: Arc<Progress>) -> Ahead {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let work = move || {
            thread::park_timeout(PATIENCE);
            if !told.load(Relaxed) && !progress.knows_total() {
                count(source.as_ref(), &progress, &told);
            }
        };
        // Without the thread there is no total, and nothing else is amiss.
        let thread = thread::Builder::new().name("count-ahead".into()).spawn(work).ok();
        Ahead { stop, thread }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            _ = thread.join();
        }
    }
}

fn count(source: &dyn Source, progress: &Progress, stop: &AtomicBool) {
    let (mut files, mut bytes) = (0, 0);
    let walked = source.walk(&mut |walked| {
        if let Walked::Entry(found) = walked
            && found.meta.kind == EntryKind::File
        {
            (files, bytes) = (files + 1, bytes + found.meta.size);
        }
        !stop.load(Relaxed)
    });
    if walked.is_ok() && !stop.load(Relaxed) {
        progress.expect(Counter::Files, files);
        progress.expect(Counter::Bytes, bytes);
    }
}
