//! What the target can keep: the granularity of its times, the owner of new files, and hard links. This is found out
//! by trying, once for each file system, and only where it matters.

use crate::base::time::Time;
use parking_lot::Mutex;
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps};
use std::collections::HashMap;

/// No file system cuts times off to more (FAT: two seconds).
const COARSEST_NS: u64 = 2_000_000_000;
/// What file systems cut times off to.
const GRAINS_NS: [u64; 6] = [100, 1_000, 1_000_000, 10_000_000, 1_000_000_000, COARSEST_NS];
/// A time that is a multiple of none of them, and whose nearest multiples are all later.
const ODD: Time = Time { s: 1_000_000_001, ns: 987_654_987 };

/// How finely times are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grain {
    /// In multiples of this.
    pub ns: u64,
    /// What is beyond is cut off; else it may be rounded up.
    pub cuts: bool,
}

/// Every time is kept, as far as is known.
const ALL: (i64, i64) = (i64::MIN, i64::MAX);

/// Times are kept as they are, as far as is known.
const FINEST: Grain = Grain { ns: 1, cuts: true };

/// Whether a time that is `kept` so is this one.
pub(super) fn same_time(kept: Time, time: Time, grain: Grain) -> bool {
    let (kept, time) = (nanoseconds(kept), nanoseconds(time));
    if grain.cuts { kept == time - time.rem_euclid(i128::from(grain.ns)) } else { is_near(kept, time, grain.ns) }
}

fn is_near(a: i128, b: i128, grain_ns: u64) -> bool {
    a.abs_diff(b) < u128::from(grain_ns)
}

/// Whether two times can be the same in some file system.
pub(super) fn may_be_same(a: Time, b: Time) -> bool {
    is_near(nanoseconds(a), nanoseconds(b), COARSEST_NS)
}

fn nanoseconds(time: Time) -> i128 {
    i128::from(time.s) * 1_000_000_000 + i128::from(time.ns)
}

/// Whether `kept` may be `time`, cut off: for a run that may not try.
pub(super) fn is_cut(kept: Time, time: Time) -> bool {
    GRAINS_NS.iter().any(|&ns| same_time(kept, time, Grain { ns, cuts: true }))
}

/// The grain of a file system that keeps `ODD` as this. One that keeps something else altogether has none to go by.
fn grain_of(kept: Time) -> Grain {
    let (at, odd) = (nanoseconds(kept), nanoseconds(ODD));
    let fits = |ns: &u64| at.rem_euclid(i128::from(*ns)) == 0 && is_near(at, odd, *ns);
    let grain = GRAINS_NS.into_iter().find(fits).map(|ns| Grain { ns, cuts: at < odd });
    grain.filter(|_| kept != ODD).unwrap_or(FINEST)
}

/// How a file system keeps what it is given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    /// How finely it keeps times.
    pub grain: Grain,
    /// Who owns a new file.
    pub uid: u32,
    /// A file can have two names, and both show the same inode number.
    pub links: bool,
    /// The earliest and the latest time that it keeps, in seconds.
    pub range: (i64, i64),
}

/// Times that every file system keeps: from 1980 to January 2038, a day less at each end for time zones.
const KEPT_BY_ALL: std::ops::Range<i64> = 315_532_800 + 86_400..0x7fff_ffff - 86_400;

/// What may be beyond what some file system keeps.
pub(super) fn may_be_beyond(time: Time) -> bool {
    !KEPT_BY_ALL.contains(&time.s)
}

/// The nearest time within a range.
pub(super) fn nearest(time: Time, (first, last): (i64, i64)) -> Time {
    match time.s {
        s if s < first => Time { s: first, ns: 0 },
        s if s > last => Time { s: last, ns: 0 },
        // The last second is kept without its fraction.
        s if s == last && last != i64::MAX => Time { s, ns: 0 },
        _ => time,
    }
}

/// Whether `kept` may be the nearest to `time` that some file system keeps: for a run that may not try.
pub(super) fn is_nearest_somewhere(kept: Time, time: Time) -> bool {
    // 32 bits with and without a sign, FAT, ext4.
    const FIRST: [i64; 3] = [-0x8000_0000, 0, 315_532_800];
    const LAST: [i64; 4] = [0x7fff_ffff, 0xffff_ffff, 4_354_819_199, 0x3_7fff_ffff];
    FIRST.iter().any(|&s| kept.s == s && time.s < s) || LAST.iter().any(|&s| kept.s == s && time.s >= s)
}

/// The file systems that were asked.
#[derive(Default)]
pub(super) struct Grains(Mutex<HashMap<u64, Kept>>);

impl Grains {
    /// How the file system of this directory keeps things. `name` gives names that nothing has.
    pub fn of(&self, directory: impl AsFd, name: impl Fn() -> Vec<u8>) -> Kept {
        let directory = directory.as_fd();
        let unknown = Kept { grain: FINEST, uid: rustix::process::geteuid().as_raw(), links: true, range: ALL };
        let Ok(stat) = rustix::fs::fstat(directory) else { return unknown };
        // Held while it is found out, so that only one thread tries.
        let mut known = self.0.lock();
        *known.entry(stat.st_dev).or_insert_with(|| {
            let kept = ask(directory, &name(), &name()).unwrap_or(unknown);
            // The directory looks as it did.
            let time = |s, ns: u64| Timespec { tv_sec: s, tv_nsec: ns as i64 };
            let before = Timestamps {
                last_access: time(stat.st_atime, stat.st_atime_nsec),
                last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
            };
            _ = rustix::fs::futimens(directory, &before);
            kept
        })
    }
}

fn ask(directory: impl AsFd, name: &[u8], other: &[u8]) -> rustix::io::Result<Kept> {
    let directory = directory.as_fd();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o600))?;
    let odd = Timespec { tv_sec: ODD.s, tv_nsec: ODD.ns.into() };
    let set = rustix::fs::futimens(&file, &Timestamps { last_access: odd, last_modification: odd });
    let range = (end_of(&file, -(1 << 40)).unwrap_or(ALL.0), end_of(&file, 1 << 40).unwrap_or(ALL.1));
    let set = set.and_then(|()| rustix::fs::futimens(&file, &Timestamps { last_access: odd, last_modification: odd }));
    drop(file);
    let look = |name: &[u8]| rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
    let stat = set.and_then(|()| look(name));
    let linked = rustix::fs::linkat(directory, name, directory, other, AtFlags::empty());
    let links = linked.and_then(|()| Ok(look(name)?.st_ino == look(other)?.st_ino)).unwrap_or(false);
    if linked.is_ok() {
        _ = rustix::fs::unlinkat(directory, other, AtFlags::empty());
    }
    _ = rustix::fs::unlinkat(directory, name, AtFlags::empty());
    let stat = stat?;
    let kept = Time { s: stat.st_mtime, ns: stat.st_mtime_nsec as u32 };
    Ok(Kept { grain: grain_of(kept), uid: stat.st_uid, links, range })
}

/// Where the times that are kept end towards a far one; `None` when they do not end before it, or that cannot be told.
fn end_of(file: impl AsFd, far: i64) -> Option<i64> {
    let file = file.as_fd();
    let give = |s| {
        let time = Timespec { tv_sec: s, tv_nsec: 0 };
        rustix::fs::futimens(file, &Timestamps { last_access: time, last_modification: time }).ok()?;
        rustix::fs::fstat(file).ok().map(|stat| stat.st_mtime)
    };
    let end = give(far)?;
    // It is one if what lies before it is kept, and what lies beyond it is not: two seconds are the coarsest grain.
    let (within, beyond) = (end - 4 * far.signum(), end + 4 * far.signum());
    (end != far && give(within)? == within && give(beyond)? == end).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grain_is_what_a_time_was_cut_off_or_rounded_to() {
        let grain = |s, ns| {
            let Grain { ns, cuts } = grain_of(Time { s, ns });
            (ns, cuts)
        };
        assert_eq!(grain_of(ODD), FINEST);
        assert_eq!(grain(1_000_000_001, 987_654_900), (100, true));
        assert_eq!(grain(1_000_000_001, 987_655_000), (100, false));
        assert_eq!(grain(1_000_000_001, 987_654_000), (1_000, true));
        assert_eq!(grain(1_000_000_001, 987_000_000), (1_000_000, true));
        assert_eq!(grain(1_000_000_001, 980_000_000), (10_000_000, true));
        assert_eq!(grain(1_000_000_001, 0), (1_000_000_000, true));
        assert_eq!(grain(1_000_000_002, 0), (1_000_000_000, false));
        assert_eq!(grain(1_000_000_000, 0), (2_000_000_000, true));
        // Not cut off, but another time.
        assert_eq!(grain_of(Time { s: 1_700_000_000, ns: 0 }), FINEST);
    }

    #[test]
    fn a_time_beyond_the_range_is_the_nearest_within() {
        let at = |s, ns| Time { s, ns };
        let range = (-0x8000_0000, 0x7fff_ffff);
        assert_eq!(nearest(at(2_208_988_800, 5), range), at(0x7fff_ffff, 0));
        assert_eq!(nearest(at(-3_000_000_000, 5), range), at(-0x8000_0000, 0));
        assert_eq!(nearest(at(0x7fff_ffff, 5), range), at(0x7fff_ffff, 0));
        assert_eq!((nearest(at(7, 5), range), nearest(at(1 << 40, 5), ALL)), (at(7, 5), at(1 << 40, 5)));
        assert!(may_be_beyond(at(0x7fff_ffff, 0)) && may_be_beyond(at(1, 0)) && !may_be_beyond(at(1_700_000_000, 0)));
        assert!(is_nearest_somewhere(at(0x7fff_ffff, 0), at(2_208_988_800, 0)));
        assert!(!is_nearest_somewhere(at(0x7fff_ffff, 0), at(1, 0)));
        assert!(!is_nearest_somewhere(at(1_700_000_000, 0), at(2_208_988_800, 0)));
    }

    #[test]
    fn times_are_the_same_within_the_grain_only() {
        let at = |s, ns| Time { s, ns };
        let cut = |ns| Grain { ns, cuts: true };
        assert!(same_time(at(5, 7), at(5, 7), FINEST) && !same_time(at(5, 7), at(5, 8), FINEST));
        assert!(same_time(at(5, 0), at(5, 999_999_999), cut(1_000_000_000)));
        assert!(!same_time(at(6, 0), at(5, 999_999_999), cut(1_000_000_000)));
        assert!(same_time(at(6, 0), at(5, 999_999_999), Grain { ns: 1_000_000_000, cuts: false }));
        assert!(!same_time(at(5, 0), at(6, 0), Grain { ns: 1_000_000_000, cuts: false }));
        assert!(same_time(at(-4, 0), at(-3, 250_000_000), cut(2_000_000_000)));
        assert!(is_cut(at(-4, 0), at(-3, 250_000_000)) && is_cut(at(9, 0), at(9, 5)) && !is_cut(at(9, 7), at(9, 8)));
        assert!(may_be_same(at(5, 0), at(6, 999_999_999)) && !may_be_same(at(5, 0), at(7, 0)));
    }
}
