//! What a run would leave behind if it were killed, written down beforehand.
//!
//! Before a run changes anything in a directory that was there, it notes that directory in a journal of its own, which
//! it holds locked and removes at its end. So a later run that finds a journal and gets the lock knows which temporary
//! names and half-written files are those of a run that is gone, and what time each directory had before it: it removes
//! the ones, writes the others anew, and puts the times back. A journal says which file it is itself, so that one that
//! was restored from a snapshot is an entry like any other.

use super::file::{create_new, identity};
use super::partial::{PREFIX, open};
use super::sweep::names;
use super::{FsDestination, FsDirectory, HALF_WRITTEN, UNFINISHED, compare, read_all_at, write_all_at};
use crate::base::time::Time;
use crate::destination::{Existing, Identity};
use crate::format::tree::EntryKind;
use parking_lot::Mutex;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FlockOperation, OFlags, Stat, Timespec, Timestamps, flock};
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// What a journal begins with.
const HEAD: &str = "larder restore 1\n";
/// What its name ends with.
const SUFFIX: &[u8] = b".restore";
/// No journal is longer.
const JOURNAL_BYTES_MAX: u64 = 1 << 30;
/// So many temporary names a run gives at most.
pub(super) const NAMES_MAX: u64 = 1 << 32;

/// The traces of this run, and those that it met.
#[derive(Default)]
pub(super) struct Traces {
    /// Directories that hold a journal, or were looked through for some.
    places: Mutex<HashMap<Identity, Arc<Mutex<Place>>>>,
    /// Directories that are changed, with their times from before.
    changed: Mutex<HashMap<Identity, Changed>>,
    /// Where a run that was killed may have left half-written files, and since when.
    left: Mutex<HashMap<Identity, Left>>,
    /// Whether journals can lie in the target itself.
    at_target: OnceLock<bool>,
    removed: AtomicU64,
    /// Something of a run that is gone stays.
    stays: AtomicBool,
    times_kept_not: AtomicU64,
}

/// A directory with a journal.
struct Place {
    directory: Arc<FsDirectory>,
    own: Option<Own>,
    /// What the journals of runs that are gone say.
    carried: Vec<Record>,
    since: Option<Time>,
    /// It cannot be written.
    failed: bool,
}

/// The journal of this run.
struct Own {
    fd: OwnedFd,
    name: Vec<u8>,
    len: u64,
}

/// A directory in a journal: its time before, and its path below the journal.
struct Record {
    mtime: Time,
    path: Vec<u8>,
}

struct Changed {
    directory: Arc<FsDirectory>,
    before: Timestamps,
}

struct Left {
    directory: Arc<FsDirectory>,
    since: Time,
}

/// A journal that was read.
struct Journal {
    since: Time,
    seed: u64,
    records: Vec<Record>,
}

fn time_of(text: &str) -> Option<Time> {
    let (s, ns) = text.split_once('.')?;
    Some(Time { s: s.parse().ok()?, ns: ns.parse().ok().filter(|ns| *ns < 1_000_000_000)? })
}

fn parse(text: &[u8], inode: u64) -> Option<Journal> {
    let mut lines = text.strip_prefix(HEAD.as_bytes())?.splitn(2, |&b| b == b'\n');
    let head = std::str::from_utf8(lines.next()?).ok()?;
    let (itself, head) = head.strip_prefix("file ")?.split_once(" since ")?;
    let (since, seed) = head.split_once(" names ")?;
    if itself.parse() != Ok(inode) {
        return None;
    }
    // The last one may not be written to its end.
    let rest = lines.next()?;
    let whole = &rest[..rest.iter().rposition(|&b| b == 0).map_or(0, |at| at + 1)];
    let records = whole.split_terminator_zero().filter_map(|record| {
        let at = record.iter().position(|&b| b == b' ')?;
        let mtime = time_of(std::str::from_utf8(&record[..at]).ok()?)?;
        Some(Record { mtime, path: record[at + 1..].to_vec() })
    });
    Some(Journal { since: time_of(since)?, seed: u64::from_str_radix(seed, 16).ok()?, records: records.collect() })
}

trait SplitZero {
    fn split_terminator_zero(&self) -> impl Iterator<Item = &[u8]>;
}

impl SplitZero for [u8] {
    fn split_terminator_zero(&self) -> impl Iterator<Item = &[u8]> {
        self.split(|&b| b == 0).filter(|piece| !piece.is_empty())
    }
}

fn text_of(record: &Record) -> Vec<u8> {
    [format!("{}.{} ", record.mtime.s, record.mtime.ns).as_bytes(), &record.path, &[0]].concat()
}

/// Whether a name is one that runs give their journals.
fn is_journal_name(name: &[u8]) -> bool {
    let hex = name.strip_prefix(PREFIX).and_then(|name| name.strip_suffix(SUFFIX));
    hex.is_some_and(|hex| hex.len() == 16 && hex.iter().all(u8::is_ascii_hexdigit))
}

/// Whether a temporary name is one that a run with this seed gave.
pub(super) fn is_of(name: &[u8], seed: u64, below: u64) -> bool {
    let hex = name.strip_prefix(PREFIX).filter(|hex| hex.len() == 16).and_then(|hex| std::str::from_utf8(hex).ok());
    hex.and_then(|hex| u64::from_str_radix(hex, 16).ok()).is_some_and(|number| number.wrapping_sub(seed) < below)
}

fn before(stat: &Stat) -> Timestamps {
    let time = |s, ns| Timespec { tv_sec: s, tv_nsec: ns };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec as _),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec as _),
    }
}

/// The path of a directory below another one that is on its way.
fn path_below(above: &Arc<FsDirectory>, directory: &Arc<FsDirectory>) -> Vec<u8> {
    let chain = FsDirectory::chain(directory);
    let from = chain.iter().position(|at| Arc::ptr_eq(at, above)).map_or(1, |at| at + 1);
    chain[from..].iter().map(|at| at.name()).collect::<Vec<_>>().join(&b'/')
}

impl FsDestination {
    /// Something is about to be made in, or removed from, a directory. `temporary`: under a name of the moment.
    pub(super) fn changes(&self, directory: &Arc<FsDirectory>, fd: &OwnedFd, temporary: bool) {
        if !directory.made() || temporary {
            directory.changed.get_or_init(|| self.note_change(directory, fd));
        }
    }

    fn note_change(&self, directory: &Arc<FsDirectory>, fd: &OwnedFd) {
        let Ok(stat) = rustix::fs::fstat(fd) else { return };
        if !directory.made() {
            let changed = || Changed { directory: directory.clone(), before: before(&stat) };
            self.traces.changed.lock().entry(identity(&stat)).or_insert_with(changed);
        }
        let above = self.place_of(directory);
        let Ok(place) = self.meet(&above) else { return };
        let mtime = Time { s: stat.st_mtime, ns: stat.st_mtime_nsec as u32 };
        let place = &mut *place.lock();
        let record = Record { mtime, path: path_below(&above, directory) };
        if !self.write_down(place, &record) {
            place.failed = true;
        }
    }

    /// The directory whose journal is about this one: the outermost on the way there that can be written to.
    fn place_of(&self, directory: &Arc<FsDirectory>) -> Arc<FsDirectory> {
        let writable = |directory: &Arc<FsDirectory>| {
            let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
            let fd = self.directories.fd(directory);
            fd.is_ok_and(|fd| rustix::fs::accessat(&*fd, c".", access, AtFlags::EACCESS).is_ok())
        };
        if *self.traces.at_target.get_or_init(|| writable(&self.target)) {
            return self.target.clone();
        }
        FsDirectory::chain(directory).into_iter().find(writable).unwrap_or_else(|| directory.clone())
    }

    /// A directory that was there is gone into: journals may lie in it.
    pub(super) fn meet_existing(&self, directory: &Arc<FsDirectory>) {
        if self.traces.at_target.get() != Some(&true) && Arc::ptr_eq(&self.place_of(directory), directory) {
            _ = self.meet(directory);
        }
    }

    /// Looks a directory through for journals of runs that are gone, once.
    fn meet(&self, directory: &Arc<FsDirectory>) -> io::Result<Arc<Mutex<Place>>> {
        let fd = self.directories.fd(directory)?;
        let at = identity(&rustix::fs::fstat(&fd)?);
        let place = {
            let mut places = self.traces.places.lock();
            if let Some(place) = places.get(&at) {
                return Ok(place.clone());
            }
            let place = Place { directory: directory.clone(), own: None, carried: vec![], since: None, failed: false };
            places.entry(at).or_insert(Arc::new(Mutex::new(place))).clone()
        };
        let mut own = place.lock();
        let mut gone = vec![];
        if !directory.made() {
            for name in names(&fd)?.into_iter().filter(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX)) {
                if let Some((lock, journal)) = Self::read_journal(&fd, &name) {
                    self.take_over(&mut own, journal);
                    gone.push((lock, name));
                }
            }
        }
        // What they say must not be lost.
        if !gone.is_empty() && !self.dry_run && (own.carried.is_empty() || self.begin_journal(&mut own)) {
            gone.iter().for_each(|(_, name)| _ = rustix::fs::unlinkat(&*fd, name.as_slice(), AtFlags::empty()));
        }
        drop(own);
        Ok(place)
    }

    /// A journal whose run is gone, with its lock.
    fn read_journal(fd: &OwnedFd, name: &[u8]) -> Option<(OwnedFd, Journal)> {
        let (file, stat) = open(fd, name, OFlags::RDONLY, &|| rustix::process::geteuid().as_raw())?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
        // Another run may have taken it over just now.
        let now = rustix::fs::fstat(&file).ok().filter(|now| now.st_nlink == 1)?;
        let mut text = vec![0; usize::try_from((now.st_size as u64).min(JOURNAL_BYTES_MAX)).ok()?];
        read_all_at(&file, 0, &mut text).ok()?;
        // One that is not written to its first line's end: nothing was changed by then.
        let is_begun = is_journal_name(name) && text.len() < HEAD.len() && HEAD.as_bytes().starts_with(&text);
        let begun = || Journal { since: Time { s: i64::MAX, ns: 0 }, seed: 0, records: vec![] };
        let journal = parse(&text, stat.st_ino).or_else(|| is_begun.then(begun));
        journal.map(|journal| (file, journal))
    }

    /// What a run that is gone left goes, as far as it is known to be of no use.
    fn take_over(&self, place: &mut Place, journal: Journal) {
        place.since = Some(place.since.map_or(journal.since, |since| since.min(journal.since)));
        for record in journal.records {
            let mut at = Ok(place.directory.clone());
            for name in record.path.split(|&b| b == b'/').filter(|name| !name.is_empty()) {
                at = at.and_then(|above| self.directories.open(&above, name, false));
            }
            if let Ok(directory) = at
                && let Ok(fd) = self.directories.fd(&directory)
                && let Ok(stat) = rustix::fs::fstat(&fd)
            {
                let id = identity(&stat);
                self.traces
                    .left
                    .lock()
                    .entry(id)
                    .or_insert_with(|| Left { directory: directory.clone(), since: journal.since });
                if !self.dry_run {
                    let mut times = before(&stat);
                    times.last_modification = Timespec { tv_sec: record.mtime.s, tv_nsec: record.mtime.ns.into() };
                    self.traces.changed.lock().insert(id, Changed { directory: directory.clone(), before: times });
                    self.remove_temporary(&fd, journal.seed);
                }
            }
            place.carried.push(record);
        }
    }

    fn remove_temporary(&self, fd: &OwnedFd, seed: u64) {
        for name in names(fd).unwrap_or_default().iter().filter(|name| is_of(name, seed, NAMES_MAX)) {
            let remove = |how| rustix::fs::unlinkat(fd, name.as_slice(), how).is_ok();
            if remove(AtFlags::empty()) || remove(AtFlags::REMOVEDIR) {
                self.traces.removed.fetch_add(1, Relaxed);
            }
        }
    }

    /// This run's journal, with what those before it say.
    fn begin_journal(&self, place: &mut Place) -> bool {
        let begin = || {
            let fd = self.directories.fd(&place.directory)?;
            let stat = rustix::fs::fstat(&fd)?;
            if !place.directory.made() {
                let changed = || Changed { directory: place.directory.clone(), before: before(&stat) };
                self.traces.changed.lock().entry(identity(&stat)).or_insert_with(changed);
            }
            let name = [PREFIX, format!("{:016x}", self.temporary.0).as_bytes(), SUFFIX].concat();
            let file = create_new(&fd, &name)?;
            self.write_journal(place, identity(&stat), &file)
                .map(|len| Own { fd: file, name: name.clone(), len })
                .inspect_err(|_| {
                    _ = rustix::fs::unlinkat(&*fd, name.as_slice(), AtFlags::empty());
                })
        };
        place.own = begin().or_else(|_| begin()).ok();
        place.own.is_some()
    }

    /// Its first line, and what those before it say; gives its length.
    fn write_journal(&self, place: &Place, at: Identity, file: &OwnedFd) -> io::Result<u64> {
        // Another run may look at it at this moment.
        flock(file, FlockOperation::LockExclusive)?;
        let itself = rustix::fs::fstat(file)?;
        let since = Time { s: itself.st_ctime, ns: itself.st_ctime_nsec as u32 };
        let since = place.since.map_or(since, |before| before.min(since));
        let head =
            format!("{HEAD}file {} since {}.{} names {:016x}\n", itself.st_ino, since.s, since.ns, self.temporary.0);
        let mut text = head.into_bytes();
        place.carried.iter().for_each(|record| text.extend(text_of(record)));
        // The journal changes the directory in which it lies.
        if let Some(changed) = self.traces.changed.lock().get(&at) {
            let was = changed.before.last_modification;
            let mtime = Time { s: was.tv_sec, ns: was.tv_nsec as u32 };
            text.extend(text_of(&Record { mtime, path: vec![] }));
        }
        write_all_at(file, 0, &text)?;
        // Who looked before it was locked and written takes it for one that is left over.
        if rustix::fs::fstat(file)?.st_nlink == 0 {
            return Err(io::Error::other("its journal was taken away"));
        }
        Ok(text.len() as u64)
    }

    fn write_down(&self, place: &mut Place, record: &Record) -> bool {
        if place.failed || place.own.is_none() && !self.begin_journal(place) {
            return false;
        }
        let Some(own) = &mut place.own else { return false };
        let text = text_of(record);
        let written = write_all_at(&own.fd, own.len, &text).is_ok();
        own.len += text.len() as u64;
        written
    }

    /// Whether this run gave the name: by [`FsDestination::temporary_name`], or to its journal.
    pub(super) fn is_temporary(&self, name: &[u8]) -> bool {
        let (seed, next) = &self.temporary;
        let journal = name.strip_suffix(SUFFIX).is_some_and(|name| is_of(name, *seed, 1));
        journal || is_of(name, *seed, next.load(Relaxed))
    }

    /// Whether a file that looks half written lies where a run that is gone worked, and is as new as that.
    pub(super) fn was_left(&self, fd: &OwnedFd, name: &[u8]) -> bool {
        let left = self.traces.left.lock();
        if left.is_empty() {
            return false;
        }
        let since = rustix::fs::fstat(fd).ok().and_then(|stat| left.get(&identity(&stat)).map(|left| left.since));
        since.is_some_and(|since| is_half_written_since(fd, name, since))
    }

    /// Whether what is neither file nor directory lies where a restore was interrupted, and has the time of that.
    pub(super) fn was_half_made(&self, directory: &Arc<FsDirectory>, existing: &Existing) -> bool {
        let stat = self.directories.fd(directory).and_then(|fd| Ok(rustix::fs::fstat(fd)?));
        stat.is_ok_and(|stat| {
            let since = || self.traces.left.lock().get(&identity(&stat)).map(|left| left.since);
            stat.st_mode & 0o7777 == UNFINISHED || since().is_some_and(|since| existing.mtime >= since)
        })
    }

    /// The time of a directory is given by the snapshot.
    pub(super) fn time_is_given(&self, directory: Identity) {
        self.traces.changed.lock().remove(&directory);
    }

    /// Puts the times of directories back that got no other, and removes the journals.
    pub(super) fn end_traces(&self) {
        let places: Vec<_> = self.traces.places.lock().drain().map(|(_, place)| place).collect();
        let keeps = self.is_left_over();
        self.traces.stays.store(keeps, Relaxed);
        for place in places {
            let place = place.lock();
            let (Some(own), Ok(fd)) = (&place.own, self.directories.fd(&place.directory)) else { continue };
            if keeps && !place.carried.is_empty() {
                continue;
            }
            let stat = rustix::fs::fstat(&fd);
            _ = rustix::fs::unlinkat(&*fd, own.name.as_slice(), AtFlags::empty());
            if let Ok(stat) = stat {
                _ = rustix::fs::futimens(&*fd, &before(&stat));
            }
        }
        for (id, changed) in std::mem::take(&mut *self.traces.changed.lock()) {
            // One that is gone, or that another took the place of, has no time to be put back.
            let Ok(fd) = self.directories.fd(&changed.directory) else { continue };
            let Ok(stat) = rustix::fs::fstat(&fd) else { continue };
            let (is, was) = (before(&stat).last_modification, changed.before.last_modification);
            let same = (is.tv_sec, is.tv_nsec) == (was.tv_sec, was.tv_nsec);
            if identity(&stat) == id && !same && rustix::fs::futimens(&fd, &changed.before).is_err() {
                self.traces.times_kept_not.fetch_add(1, Relaxed);
            }
        }
    }

    /// Whether something that a run that is gone began still lies there.
    fn is_left_over(&self) -> bool {
        let left = self.traces.left.lock();
        left.values().any(|left| {
            let fd = self.directories.fd(&left.directory);
            fd.is_ok_and(|fd| {
                let names = names(&fd).unwrap_or_default();
                names.iter().any(|name| !name.starts_with(PREFIX) && is_half_written_since(&fd, name, left.since))
            })
        })
    }

    /// What was found and what could not be done.
    pub(super) fn note_traces(&self, notes: &mut Vec<String>) {
        let removed = self.traces.removed.load(Relaxed);
        if removed > 0 {
            notes.push(format!("temporary files that an interrupted restore left behind, removed: {removed}"));
        }
        if self.traces.stays.load(Relaxed) {
            let what = "files that an interrupted restore left half written still lie in the target, since they were not \
                        among what was restored now; restoring them completes them";
            notes.push(what.into());
        }
        let lost = self.traces.times_kept_not.load(Relaxed);
        if lost > 0 {
            notes.push(format!("directories whose modification time could not be put back: {lost}"));
        }
    }
}

fn is_half_written_since(fd: &OwnedFd, name: &[u8], since: Time) -> bool {
    let Ok(stat) = compare::look(fd.as_fd(), name) else { return false };
    let there = compare::existing(&stat, HALF_WRITTEN);
    let ctime = Time { s: stat.stx_ctime.tv_sec, ns: stat.stx_ctime.tv_nsec };
    let ours = stat.stx_uid == rustix::process::geteuid().as_raw();
    there.half_written && there.kind == EntryKind::File && ours && ctime >= since
}
