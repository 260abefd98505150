//! How each stage spends its time: waiting for input, working, or waiting for room.

use crate::monitor::{Monitor, StageTimes};
use crossbeam_channel::{Receiver, Sender};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Times of one stage, added up over its threads.
#[derive(Debug)]
pub struct Meter {
    name: &'static str,
    wait_in: AtomicU64,
    busy: AtomicU64,
    wait_out: AtomicU64,
    items: AtomicU64,
}

fn add(cell: &AtomicU64, since: Instant) {
    cell.fetch_add(since.elapsed().as_nanos() as u64, Relaxed);
}

impl Meter {
    /// A meter at zero.
    pub const fn new(name: &'static str) -> Meter {
        Meter {
            name,
            wait_in: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            wait_out: AtomicU64::new(0),
            items: AtomicU64::new(0),
        }
    }

    /// Receives, counting the wait.
    pub fn recv<T>(&self, input: &Receiver<T>) -> Option<T> {
        let start = Instant::now();
        let item = input.recv().ok();
        add(&self.wait_in, start);
        item
    }

    /// Sends, counting the wait. A closed channel means that the run is failing: the item is dropped.
    pub fn send<T>(&self, output: &Sender<T>, item: T) {
        let start = Instant::now();
        _ = output.send(item);
        add(&self.wait_out, start);
    }

    /// Runs one piece of work, counting it.
    pub fn work<R>(&self, work: impl FnOnce() -> R) -> R {
        let start = Instant::now();
        let result = work();
        add(&self.busy, start);
        self.items.fetch_add(1, Relaxed);
        result
    }

    /// Counts one piece of work that took this long.
    pub fn worked(&self, busy: Duration) {
        self.worked_on(1, busy);
    }

    /// Counts so many pieces of work that took this long together.
    pub fn worked_on(&self, items: u64, busy: Duration) {
        self.busy.fetch_add(busy.as_nanos() as u64, Relaxed);
        self.items.fetch_add(items, Relaxed);
    }

    /// Counts a wait for input that began at `start`.
    pub fn waited_in(&self, start: Instant) {
        add(&self.wait_in, start);
    }

    /// Counts a wait for room that began at `start`.
    pub fn waited_out(&self, start: Instant) {
        add(&self.wait_out, start);
    }

    /// Takes time that was spent waiting inside `work` out of the busy time again.
    pub fn was_waiting_out(&self, start: Instant) {
        let ns = start.elapsed().as_nanos() as u64;
        // Below zero until `work` adds the whole, which it does at its end.
        self.busy.fetch_sub(ns, Relaxed);
        self.wait_out.fetch_add(ns, Relaxed);
    }

    /// The times so far.
    pub fn times(&self) -> StageTimes {
        let get = |cell: &AtomicU64| Duration::from_nanos((cell.load(Relaxed) as i64).max(0) as u64);
        StageTimes {
            wait_in: get(&self.wait_in),
            busy: get(&self.busy),
            wait_out: get(&self.wait_out),
            items: self.items.load(Relaxed),
        }
    }

    /// The stage's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Tells the monitor.
    pub fn report(&self, monitor: &dyn Monitor) {
        monitor.stage(self.name, self.times());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_inside_of_work_is_not_busy() {
        let meter = Meter::new("stage");
        meter.work(|| {
            let start = Instant::now();
            std::thread::sleep(Duration::from_millis(40));
            meter.was_waiting_out(start);
            assert_eq!(meter.times().busy, Duration::ZERO, "the work is not added yet");
        });
        let times = meter.times();
        assert!(times.wait_out >= Duration::from_millis(40), "{times:?}");
        assert!(times.busy < times.wait_out / 2 && times.items == 1, "{times:?}");
    }
}
