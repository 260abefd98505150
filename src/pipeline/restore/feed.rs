//! Hands out steps to workers: windows in order, and within a window in the order of packs.

use super::item::{Phase, Window};
use crate::destination::Destination;
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::Ordering::AcqRel;

/// Windows that are planned and not finished, besides the one being planned.
pub const WINDOWS_IN_FLIGHT: usize = 2;

/// A window, and which of its phases is due.
type Due<D> = (Arc<Window<D>>, Phase);

/// A step: its window, phase and number.
type Step<D> = (Arc<Window<D>>, Phase, usize);

/// Where steps come from.
pub struct Feed<D: Destination> {
    windows: Receiver<Due<D>>,
    current: Mutex<Option<Step<D>>>,
    done: Sender<()>,
}

impl<D: Destination> Feed<D> {
    /// A feed; where windows are put in; where it is heard that some window's steps are all done.
    pub fn new() -> (Feed<D>, Sender<Due<D>>, Receiver<()>) {
        let (sender, windows) = bounded(1);
        // A signal: whoever hears it looks at all windows, so one unheard is as good as many.
        let (done, finished) = bounded(1);
        (Feed { windows, current: Mutex::new(None), done }, sender, finished)
    }

    /// The next step, by its window, phase and number; `None` when there are no more.
    pub fn next(&self) -> Option<Step<D>> {
        // Who waits here for the next window holds the lock: the others wait for the same.
        let mut current = self.current.lock();
        loop {
            if let Some((window, phase, next)) = &mut *current
                && *next < window.steps_of(*phase)
            {
                *next += 1;
                return Some((window.clone(), *phase, *next - 1));
            }
            *current = None;
            let (window, phase) = self.windows.recv().ok()?;
            *current = Some((window, phase, 0));
        }
    }

    /// A step is done.
    pub fn done(&self, window: &Window<D>) {
        if window.left.fetch_sub(1, AcqRel) == 1 {
            _ = self.done.try_send(());
        }
    }
}
