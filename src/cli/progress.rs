//! The monitor of long commands: it counts, collects problems, and shows the progress on a terminal.

use super::output::Output;
use super::{escape, human};
use crate::base::path::path_of;
use crate::monitor::{COUNTERS, Counter, Monitor, StageTimes};
use crate::report::problem::PathObject;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use parking_lot::Mutex;
use std::fmt::Write;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How often the display is drawn.
const TICK: Duration = Duration::from_millis(100);

/// Which counters a display is about.
#[derive(Debug, Clone, Copy)]
pub struct Shown {
    /// What is being done, e.g. `backing up`.
    pub verb: &'static str,
    /// Things done, and what one calls them.
    pub things: (Counter, &'static str),
    /// Bytes done.
    pub bytes: Counter,
}

/// Counters, notes and stage times of one run. Problems come with the operation's result and are told at its end.
pub struct Progress {
    state: Arc<State>,
    bar: Option<ProgressBar>,
    /// The next [`Monitor::at`] may change the display.
    path_due: Arc<AtomicBool>,
    /// What is removed from a target is named; in a dry run, what would be.
    names_removed: AtomicBool,
    dry_run: AtomicBool,
    out: Arc<Output>,
}

struct State {
    shown: Shown,
    started: Instant,
    counts: [AtomicU64; COUNTERS],
    /// 0: not known.
    totals: [AtomicU64; COUNTERS],
    stages: Mutex<Vec<(&'static str, StageTimes)>>,
}

impl Progress {
    /// A monitor that shows itself when standard error is a terminal and nobody wants quiet or JSON.
    pub fn new(out: &Arc<Output>, shown: Shown) -> Arc<Progress> {
        let state = Arc::new(State {
            shown,
            started: Instant::now(),
            counts: Default::default(),
            totals: Default::default(),
            stages: Mutex::default(),
        });
        let path_due = Arc::new(AtomicBool::new(true));
        let visible = !out.quiet && !out.json && std::io::stderr().is_terminal();
        let bar = visible.then(|| bar(&state, &path_due));
        let names_removed = AtomicBool::new(out.verbose > 0 || out.json);
        Arc::new(Progress { state, bar, path_due, names_removed, dry_run: AtomicBool::new(false), out: out.clone() })
    }

    /// Whether someone watches it.
    pub fn is_visible(&self) -> bool {
        self.bar.is_some()
    }

    /// Whether it is known how much there is to do.
    pub fn knows_total(&self) -> bool {
        self.state.totals[self.state.shown.bytes as usize].load(Relaxed) > 0
    }

    /// From now on, what would be removed from a target is named.
    pub fn dry_run(&self) {
        self.names_removed.store(true, Relaxed);
        self.dry_run.store(true, Relaxed);
    }

    /// Takes the display away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Passes on what a command wrote to its standard error.
    pub fn said(&self, command: &str, line: &str) {
        self.aside(|| self.out.said(command, line));
    }

    /// The times of the stages, in the order in which they ended.
    pub fn stages(&self) -> Vec<(&'static str, StageTimes)> {
        self.state.stages.lock().clone()
    }

    /// Prints on standard error without breaking the display.
    fn aside(&self, print: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

impl Monitor for Progress {
    fn add(&self, counter: Counter, n: u64) {
        self.state.counts[counter as usize].fetch_add(n, Relaxed);
    }

    fn expect(&self, counter: Counter, total: u64) {
        self.state.totals[counter as usize].store(total, Relaxed);
    }

    fn at(&self, key: &[u8]) {
        if let Some(bar) = &self.bar
            && self.path_due.load(Relaxed)
            && self.path_due.swap(false, Relaxed)
        {
            bar.set_message(escape::name(&path_of(key)));
        }
    }

    fn removed(&self, path: &[u8]) {
        if !self.names_removed.load(Relaxed) || self.out.quiet {
            return;
        }
        // Whoever does not read any more is found out when the summary is written.
        self.aside(|| {
            _ = if self.out.json {
                self.out.object(&PathObject::deleted(path))
            } else {
                let word = if self.dry_run.load(Relaxed) { "would delete" } else { "deleted" };
                self.out.line(&format!("{word:<9} {}", escape::name(path)))
            };
        });
    }

    fn note(&self, message: &str) {
        self.aside(|| self.out.note(message));
    }

    fn stage(&self, name: &'static str, times: StageTimes) {
        self.state.stages.lock().push((name, times));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

fn bar(state: &Arc<State>, path_due: &Arc<AtomicBool>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
    let (state, path_due) = (state.clone(), path_due.clone());
    let line = move |_: &ProgressState, out: &mut dyn Write| {
        path_due.store(true, Relaxed);
        // A display that cannot be written to is no reason to stop.
        _ = out.write_str(&state.line(state.started.elapsed()));
    };
    let style = ProgressStyle::with_template("{spinner} {line}  {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .with_key("line", line);
    bar.set_style(style);
    bar.enable_steady_tick(TICK);
    bar
}

impl State {
    fn get(&self, counter: Counter) -> u64 {
        self.counts[counter as usize].load(Relaxed)
    }

    fn total(&self, counter: Counter) -> Option<u64> {
        // A total is a guess (the last snapshot's) until it is passed.
        Some(self.totals[counter as usize].load(Relaxed)).filter(|total| *total > 0 && self.get(counter) <= *total)
    }

    /// One line: `backing up 12,034/79,012 files  310 MiB/1.3 GiB  620 MiB/s  2 s left`.
    fn line(&self, elapsed: Duration) -> String {
        let Shown { verb, things: (things, noun), bytes } = self.shown;
        let mut line = format!("{verb} {}", human::count(self.get(things)));
        if let Some(total) = self.total(things) {
            _ = write!(line, "/{}", human::count(total));
        }
        let done = self.get(bytes);
        _ = write!(line, " {noun}  {}", human::bytes(done));
        if let Some(total) = self.total(bytes) {
            _ = write!(line, "/{}", human::bytes(total));
        }
        _ = write!(line, "  {}", human::rate(done, elapsed));
        if let Some(left) = self.left(elapsed) {
            _ = write!(line, "  {} left", human::duration(left));
        }
        let problems = self.get(Counter::Problems);
        if problems > 0 {
            _ = write!(line, "  {}", human::counted(problems, "problem", "problems"));
        }
        line
    }

    /// What the rest takes at the pace so far; nothing in the first second.
    fn left(&self, elapsed: Duration) -> Option<Duration> {
        let (done, total) = (self.get(self.shown.bytes), self.total(self.shown.bytes)?);
        if elapsed < Duration::from_secs(1) || done == 0 || done >= total {
            return None;
        }
        let seconds = elapsed.as_secs_f64() * (total - done) as f64 / done as f64;
        Some(Duration::from_secs(seconds.min(1e9).ceil() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State {
            shown: Shown { verb: "backing up", things: (Counter::Files, "files"), bytes: Counter::Bytes },
            started: Instant::now(),
            counts: Default::default(),
            totals: Default::default(),
            stages: Mutex::default(),
        }
    }

    #[test]
    fn the_line_says_how_far_how_fast_and_how_long() {
        let state = state();
        state.counts[Counter::Files as usize].store(1500, Relaxed);
        state.counts[Counter::Bytes as usize].store(1 << 30, Relaxed);
        assert_eq!(state.line(Duration::from_secs(2)), "backing up 1,500 files  1 GiB  512 MiB/s");
        state.totals[Counter::Bytes as usize].store(3 << 30, Relaxed);
        state.counts[Counter::Problems as usize].store(1, Relaxed);
        let line = state.line(Duration::from_secs(2));
        assert_eq!(line, "backing up 1,500 files  1 GiB/3 GiB  512 MiB/s  4.00 s left  1 problem");
    }

    #[test]
    fn nothing_is_promised_before_there_is_a_pace() {
        let state = state();
        state.totals[Counter::Bytes as usize].store(100, Relaxed);
        assert_eq!(state.left(Duration::from_secs(5)), None, "nothing is done yet");
        state.counts[Counter::Bytes as usize].store(50, Relaxed);
        assert_eq!(state.left(Duration::from_millis(900)), None);
        assert_eq!(state.left(Duration::from_secs(5)), Some(Duration::from_secs(5)));
        state.counts[Counter::Bytes as usize].store(100, Relaxed);
        assert_eq!(state.left(Duration::from_secs(5)), None, "all is done");
    }
}
