//! finish: what comes when all steps of a window are done.
//!
//! Takes windows from plan and hands them to the workers, at most two at a time; when one is done, and all before it,
//! makes the other names of its files and then completes the directories that get no more entries. Runs on the calling
//! thread, between planning one window and the next. Errors cost one entry.

use super::feed::WINDOWS_IN_FLIGHT;
use super::item::{Phase, Window};
use super::tally::count;
use super::{Meters, RestoreContext, sweep, verify, write};
use crate::destination::{Destination, Expected, lost_parts};
use crate::format::tree::EntryKind;
use crossbeam_channel::{Receiver, Sender};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

/// While it waits, the lease is looked at this often.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

const DIRECTORY: Expected<'static> = Expected { kind: EntryKind::Directory, size: 0, target: &[], rdev: (0, 0) };

/// Windows between plan and finish.
pub(super) struct InFlight<'a, D: Destination> {
    context: &'a RestoreContext<'a, D>,
    meters: &'a Meters,
    /// `None` when there are no more.
    windows: Option<Sender<(Arc<Window<D>>, Phase)>>,
    done: Receiver<()>,
    queue: VecDeque<(Arc<Window<D>>, Phase)>,
    /// Time that was not spent planning.
    pub aside: Duration,
}

impl<'a, D: Destination> InFlight<'a, D> {
    pub fn new(
        context: &'a RestoreContext<'a, D>,
        meters: &'a Meters,
        windows: Sender<(Arc<Window<D>>, Phase)>,
        done: Receiver<()>,
    ) -> InFlight<'a, D> {
        InFlight { context, meters, windows: Some(windows), done, queue: VecDeque::new(), aside: Duration::ZERO }
    }

    /// A planned window to the workers. Waits while too many are in flight.
    pub fn send(&mut self, window: Window<D>) {
        (self.context.keep_alive)();
        while self.queue.len() >= WINDOWS_IN_FLIGHT && !self.context.failure.is_set() {
            self.wait();
        }
        let window = Arc::new(window);
        self.queue.push_back((window.clone(), Phase::Restore));
        self.hand_out(window, Phase::Restore);
        self.finish_done();
    }

    fn hand_out(&mut self, window: Arc<Window<D>>, phase: Phase) {
        // In a dry run, and in a window of directories only, there is nothing for workers to do.
        if let Some(windows) = self.windows.as_ref().filter(|_| window.steps_of(phase) > 0) {
            let start = Instant::now();
            _ = windows.send((window, phase));
            self.meters.plan.waited_out(start);
            self.aside += start.elapsed();
        }
    }

    /// No more windows: waits for those in flight.
    pub fn end(&mut self) {
        while !self.queue.is_empty() && !self.context.failure.is_set() {
            self.finish_done();
            if !self.queue.is_empty() {
                self.wait();
            }
        }
        self.windows = None;
    }

    fn wait(&mut self) {
        let start = Instant::now();
        _ = self.done.recv_timeout(KEEP_ALIVE);
        (self.context.keep_alive)();
        self.meters.plan.waited_out(start);
        self.aside += start.elapsed();
        self.finish_done();
    }

    /// Finishes the windows that are done, in order; those that are to be read back go out once more first.
    fn finish_done(&mut self) {
        while let Some((window, phase)) = self.queue.front_mut()
            && window.left.load(Acquire) == 0
            && !self.context.is_over()
        {
            if *phase == Phase::Restore && !window.check_steps.is_empty() {
                *phase = Phase::Check;
                window.left.store(window.check_steps.len(), Release);
                let window = window.clone();
                self.hand_out(window, Phase::Check);
            } else if let Some((window, _)) = self.queue.pop_front() {
                let start = Instant::now();
                self.meters.finish.work(|| finish(&window, self.context));
                self.aside += start.elapsed();
            }
        }
    }

    /// Removes what a run that failed leaves half written, except what a later one can continue. The workers are gone by
    /// now.
    pub fn abandon(&mut self) {
        let Some(destination) = self.context.destination.filter(|_| self.context.failure.is_set()) else { return };
        for (window, _) in self.queue.drain(..) {
            for file in &window.files {
                write::leave(file, destination);
            }
        }
    }
}

/// Other names first, then what is to go, then directories, children before parents.
pub fn finish<D: Destination>(window: &Window<D>, context: &RestoreContext<'_, D>) {
    for other in &window.other_names {
        write::other_name(other, context);
    }
    window.sweeps.iter().for_each(|swept| sweep::sweep(swept, context));
    for closing in &window.closing {
        let (Some(destination), Some(handle)) = (context.destination, &closing.folder.handle) else { continue };
        let path = || crate::base::path::path_of(&closing.folder.key);
        let failed = |error| context.tally.problem(path(), format!("the directory's owner, mode or time: {error}"));
        let Some(finish) = &closing.finish else {
            destination.finish_as_new(handle).unwrap_or_else(failed);
            continue;
        };
        match destination.finish_directory(handle, &finish.attributes(), closing.new) {
            Ok(losses) => {
                count(&context.tally.counts.directories);
                let lost = lost_parts(&losses);
                context.tally.lost(path, losses);
                verify::examine((handle, b"."), &DIRECTORY, finish, lost, context, path);
            }
            Err(error) => failed(error),
        }
    }
}
