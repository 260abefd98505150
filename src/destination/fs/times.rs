//! Times as the target keeps them: as finely as it can, and within the range that it has.

use super::grain::{is_cut, is_nearest_somewhere, may_be_beyond, may_be_same, nearest, same_time};
use super::{FsDestination, FsDirectory};
use crate::base::time::Time;
use rustix::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl FsDestination {
    /// See [`crate::destination::Destination::same_time`].
    pub(super) fn is_same_time(&self, directory: &Arc<FsDirectory>, kept: Time, time: Time, dry_run: bool) -> bool {
        if kept == time {
            return true;
        }
        // One that differs by more than any file system cuts off is another, unless the file system has no such time; else
        // the target is asked how it keeps times.
        let beyond = may_be_beyond(time);
        if !beyond && !may_be_same(kept, time) {
            return false;
        }
        if dry_run {
            return is_cut(kept, time) || is_nearest_somewhere(kept, time);
        }
        let Ok(fd) = self.directories.fd(directory) else { return false };
        let how = self.kept(directory, &fd);
        let time = if beyond { nearest(time, how.range) } else { time };
        same_time(kept, time, how.grain)
    }

    /// Counts an entry whose time is beyond those that the file system of this directory keeps.
    pub(super) fn count_time(&self, directory: &Arc<FsDirectory>, fd: &OwnedFd, time: Time) {
        if may_be_beyond(time) {
            let (first, last) = self.kept(directory, fd).range;
            if time.s < first || time.s > last {
                self.times_beyond.fetch_add(1, Relaxed);
            }
        }
    }

    pub(super) fn note_times(&self, notes: &mut Vec<String>) {
        let beyond = self.times_beyond.load(Relaxed);
        if beyond > 0 {
            let what = "entries whose modification time the target's file system cannot store; they got the nearest \
                        time that it can";
            notes.push(format!("{what}: {beyond}"));
        }
    }
}
