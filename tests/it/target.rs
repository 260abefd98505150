//! Targets that refuse, lack or fake what a restore asks of them: content comes whole or is named, and nothing is lost
//! without a word.

use crate::faulty::{Behaviour, CALLS, Call, Fault, Faulty, Inode};
use crate::memory::Engine;
use crate::roundtrip::noise;
use larder::monitor::{Counter, Monitor, Problem};
use larder::ops::restore::RestoreError;
use larder::ops::restore::{Overwrite, RestoreOptions, RestoreStats};
use rustix::fs::XattrFlags;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a restore says besides its result.
#[derive(Default)]
pub struct Heard {
    notes: Mutex<Vec<String>>,
}

impl Monitor for Heard {
    fn add(&self, _: Counter, _: u64) {}

    fn problem(&self, _: &Problem) {}

    fn note(&self, text: &str) {
        self.notes.lock().unwrap().push(text.into());
    }
}

fn old(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::new(1_000_000_000 + seconds, 123_456_789)
}

/// Owner, mode and time of what lies there; a link has no mode.
fn set(at: &Path, owner: u32, mode: u32, seconds: u64) {
    use rustix::fs::{AtFlags, CWD, Gid, Timespec, Timestamps, Uid};
    let (uid, gid) = (Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner + 1)));
    rustix::fs::chownat(CWD, at, uid, gid, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    if !fs::symlink_metadata(at).unwrap().is_symlink() {
        fs::set_permissions(at, Permissions::from_mode(mode)).unwrap();
    }
    let since = old(seconds).duration_since(UNIX_EPOCH).unwrap();
    let time = Timespec { tv_sec: since.as_secs() as i64, tv_nsec: since.subsec_nanos().into() };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, at, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn xattr(at: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(at, name, value, XattrFlags::empty()).unwrap();
}

/// An ACL as the kernel takes it: user 1005 may write, the owning group may do nothing.
fn acl() -> Vec<u8> {
    let mut acl = vec![2, 0, 0, 0];
    for (tag, bits, id) in
        [(1u16, 6u16, u32::MAX), (2, 6, 1005), (4, 0, u32::MAX), (16, 6, u32::MAX), (32, 0, u32::MAX)]
    {
        acl.extend(tag.to_le_bytes());
        acl.extend(bits.to_le_bytes());
        acl.extend(id.to_le_bytes());
    }
    acl
}

/// One of every kind; what only root may make too. Lies in a file system that takes all of it.
fn every_kind(at: &Path) {
    fs::create_dir(at.join("d")).unwrap();
    fs::create_dir(at.join("d/e")).unwrap();
    let files = [("inline", 10), ("d/small", 5_000), ("d/other", 5_001), ("d/acl", 700), ("d/e/big", 2_200_000)];
    for (i, (name, len)) in files.into_iter().chain([("replaced", 900), ("empty", 0)]).enumerate() {
        fs::write(at.join(name), noise(len, 11 + i as u64)).unwrap();
        set(&at.join(name), 1001 + i as u32, 0o640, i as u64);
    }
    xattr(&at.join("d/small"), "user.note", b"hello");
    xattr(&at.join("d/e/big"), "user.large", &[7; 20_000]);
    xattr(&at.join("d/acl"), "system.posix_acl_access", &acl());
    set(&at.join("d/acl"), 1001, 0o660, 3);
    for (first, second, len) in [("d/link-a", "d/link-b", 5_000), ("d/big-a", "d/e/big-b", 1_300_000)] {
        fs::write(at.join(first), noise(len, 90 + len as u64)).unwrap();
        fs::hard_link(at.join(first), at.join(second)).unwrap();
        set(&at.join(first), 1020, 0o604, 20);
    }
    let holes = File::create(at.join("d/holes")).unwrap();
    holes.write_all_at(&noise(300_000, 50), 500_000).unwrap();
    holes.set_len(1 << 20).unwrap();
    set(&at.join("d/holes"), 1030, 0o600, 30);
    symlink("d/small", at.join("sym")).unwrap();
    set(&at.join("sym"), 1040, 0, 40);
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    mknodat(CWD, at.join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    mknodat(CWD, at.join("null"), FileType::CharacterDevice, Mode::from_raw_mode(0o600), makedev(1, 3)).unwrap();
    set(&at.join("fifo"), 1041, 0o620, 41);
    set(&at.join("null"), 1042, 0o666, 42);
    xattr(&at.join("d"), "user.of-directory", b"x");
    set(&at.join("d/e"), 1050, 0o711, 50);
    set(&at.join("d"), 1051, 0o751, 51);
}

/// What differs between an entry as it was and as it is.
fn differences(was: &Inode, is: &Inode) -> BTreeSet<&'static str> {
    let mut differ = BTreeSet::new();
    let mut unless = |same: bool, what| {
        if !same {
            differ.insert(what);
        }
    };
    unless(was.kind == is.kind && was.data == is.data && was.rdev == is.rdev, "content");
    unless(was.kind == fuser::FileType::Symlink || was.mode == is.mode, "mode");
    unless((was.uid, was.gid) == (is.uid, is.gid), "owner");
    unless(was.mtime == is.mtime, "time");
    unless(was.xattrs == is.xattrs, "xattrs");
    differ
}

type Truth = BTreeMap<PathBuf, (u64, Inode)>;

/// A snapshot of one of every kind, and what it holds.
struct Setup {
    engine: Engine,
    source: Faulty,
    truth: Truth,
}

impl Setup {
    /// `None` where there is no FUSE, or no root, which was said.
    fn new() -> Option<Setup> {
        if !crate::lacks::has_root("a restore onto FUSE gives files to others") || !crate::lacks::has_devices() {
            return None;
        }
        let source = Faulty::mount(Behaviour::default())?;
        every_kind(source.path());
        let engine = Engine::new();
        let stats = engine.backup(source.path());
        assert_eq!(stats.problem_count, 0, "{:?}", stats.problems);
        let truth = source.truth();
        Some(Setup { engine, source, truth })
    }

    fn options(&self, target: &Faulty) -> RestoreOptions {
        RestoreOptions {
            snapshot: "latest".into(),
            path: self.source.path().as_os_str().as_bytes().to_vec(),
            target: target.path().join("t"),
            overwrite: Overwrite::IfChanged,
            threads: 2,
            ..RestoreOptions::default()
        }
    }

    fn restore(&self, options: &RestoreOptions) -> Outcome {
        let heard = Heard::default();
        let stats = larder::ops::restore::run(&self.engine.store, options, &heard);
        Outcome { stats, notes: heard.notes.into_inner().unwrap(), source: self.source.path().into() }
    }

    /// What of the snapshot is not in the target, by its truth; names that are no entry of it as `litter`.
    fn missing(&self, target: &Faulty) -> (BTreeMap<PathBuf, BTreeSet<&'static str>>, Vec<PathBuf>) {
        let there: Truth = below(target);
        let litter = there.keys().filter(|path| !self.truth.contains_key(*path)).cloned().collect();
        let compare = |(path, (_, was)): (&PathBuf, &(u64, Inode))| {
            let differ = there.get(path).map_or(BTreeSet::from(["content"]), |(_, is)| differences(was, is));
            (!differ.is_empty()).then(|| (path.clone(), differ))
        };
        (self.truth.iter().filter_map(compare).collect(), litter)
    }
}

fn below(target: &Faulty) -> Truth {
    let of = |(path, inode): (PathBuf, _)| path.strip_prefix("t").ok().map(|path| (path.to_path_buf(), inode));
    target.truth().into_iter().filter_map(of).filter(|(path, _)| path != Path::new("")).collect()
}

struct Outcome {
    stats: Result<RestoreStats, RestoreError>,
    notes: Vec<String>,
    source: PathBuf,
}

impl Outcome {
    /// What it names, by path in the source, with the words.
    fn named(&self) -> BTreeMap<PathBuf, String> {
        match &self.stats {
            Ok(stats) => stats.problems.iter().map(|p| (self.inside(&p.path), p.message.clone())).collect(),
            Err(error) => panic!("the restore ended: {error}"),
        }
    }

    fn inside(&self, path: &[u8]) -> PathBuf {
        let path = Path::new(std::ffi::OsStr::from_bytes(path));
        path.strip_prefix(&self.source).unwrap_or(path).into()
    }
}

const ERRORS: [i32; 7] =
    [libc::EPERM, libc::ENOSYS, libc::EOPNOTSUPP, libc::ENOSPC, libc::ERANGE, libc::EDQUOT, libc::EIO];

/// What a target may say to all of its entries without being broken.
fn is_lack(fault: Fault) -> bool {
    matches!(fault, Fault::Error(libc::EPERM | libc::ENOSYS | libc::EOPNOTSUPP))
}

/// Entries whose content may not come when this call fails: the call makes them.
fn made_by(call: Call, path: &Path) -> bool {
    match call {
        Call::Symlink => path == Path::new("sym"),
        Call::Mknod => path == Path::new("fifo") || path == Path::new("null"),
        // What was there stays.
        Call::Rename => path == Path::new("replaced"),
        Call::Close | Call::Fsync | Call::Write => true,
        _ => false,
    }
}

fn faulty_target(setup: &Setup, behaviour: Behaviour) -> Faulty {
    let target = Faulty::mount(Behaviour::default()).unwrap();
    fs::create_dir(target.path().join("t")).unwrap();
    fs::write(target.path().join("t/replaced"), "what was there").unwrap();
    assert!(!setup.truth.is_empty());
    target.behave(behaviour);
    target
}

/// One restore into a target where one call fails; what is wrong with it.
fn one(setup: &Setup, call: Call, fault: Fault) -> Vec<String> {
    let target = faulty_target(setup, Behaviour { fault: Some((call, fault)), ..Behaviour::default() });
    // Nothing but looking again tells what was faked.
    let verify = fault == Fault::Faked;
    let outcome = setup.restore(&RestoreOptions { verify, sync: call == Call::Fsync, ..setup.options(&target) });
    target.behave(Behaviour::default());
    let (missing, litter) = setup.missing(&target);
    let mut wrong = vec![];
    // A disk that is full, and says so of content, ends the run.
    let full = matches!(fault, Fault::Error(libc::ENOSPC | libc::EDQUOT));
    let named = match &outcome.stats {
        Err(_) if call == Call::Write && full => return wrong,
        Err(error) => return vec![format!("the restore ended: {error}")],
        Ok(_) => outcome.named(),
    };
    for (path, differ) in &missing {
        let content = differ.contains("content");
        if content && !made_by(call, path) {
            wrong.push(format!("{} lost its content", path.display()));
        }
        let noted = is_lack(fault) && !content && !outcome.notes.is_empty();
        if !named.contains_key(path) && !noted {
            wrong.push(format!("{} lacks {differ:?}, and nothing is said", path.display()));
        }
    }
    let fails = matches!(fault, Fault::Error(number) if number != libc::ENOSYS);
    let made_nothing = matches!(call, Call::Fallocate | Call::Truncate) || call == Call::Link;
    let flush = matches!(call, Call::Close | Call::Fsync) && fails;
    if flush && named.is_empty() {
        wrong.push("nothing is said of what did not reach the disk".into());
    }
    // The target itself stands for the source.
    let root =
        |path: &Path| fs::metadata(path).map(|m| (m.mode(), m.uid(), m.gid(), m.mtime(), m.mtime_nsec())).unwrap();
    let root_is_right = root(setup.source.path()) == root(&target.path().join("t"));
    for (path, message) in &named {
        // Its mode is set together with its time, though only that differs.
        if path.as_os_str().is_empty() && (!root_is_right || call == Call::Chmod) {
            continue;
        }
        if !missing.contains_key(path) && !made_nothing && !flush {
            wrong.push(format!("{} is right and yet named: {message}", path.display()));
        }
    }
    if call == Call::Link && fault != Fault::Faked {
        let said = named.contains_key(Path::new("d/link-b")) || outcome.notes.iter().any(|n| n.contains("hard links"));
        if !said {
            wrong.push("copies in place of links, and nothing is said".into());
        }
    }
    // A rename that only says it was done leaves what was to be renamed.
    if !litter.is_empty() && (call, fault) != (Call::Rename, Fault::Faked) {
        wrong.push(format!("left behind: {litter:?}"));
    }
    for (path, (_, inode)) in below(&target) {
        if inode.kind == fuser::FileType::Directory && inode.mode == 0o1700 && call != Call::Chmod {
            wrong.push(format!("{} was left as an unfinished directory", path.display()));
        }
    }
    wrong
}

#[test]
fn no_call_that_a_target_refuses_or_fakes_costs_anything_without_a_word() {
    let Some(setup) = Setup::new() else { return };
    let mut wrong = vec![];
    for call in CALLS {
        for fault in ERRORS.map(Fault::Error).into_iter().chain([Fault::Faked]) {
            wrong.extend(one(&setup, call, fault).into_iter().map(|what| format!("{call:?} {fault:?}: {what}")));
        }
    }
    assert!(wrong.is_empty(), "{} faults:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_target_that_takes_everything_gets_everything() {
    let Some(setup) = Setup::new() else { return };
    let target = faulty_target(&setup, Behaviour::default());
    let outcome = setup.restore(&RestoreOptions { verify: true, sync: true, ..setup.options(&target) });
    assert_eq!(outcome.named(), BTreeMap::new());
    assert_eq!(outcome.notes, Vec::<String>::new());
    assert_eq!(setup.missing(&target), (BTreeMap::new(), vec![]));
    let there = below(&target);
    for (first, second) in [("d/link-a", "d/link-b"), ("d/big-a", "d/e/big-b")] {
        assert_eq!(there[Path::new(first)].0, there[Path::new(second)].0, "{second} is no link");
    }
}

#[test]
fn what_one_entry_is_refused_is_named_though_the_error_is_one_of_lacking() {
    let Some(setup) = Setup::new() else { return };
    for call in [Call::Chmod, Call::Chown, Call::Utimens, Call::Setxattr] {
        let fault = Some((call, Fault::Error(libc::EPERM)));
        // Attributes of users are refused to this one, and taken for the others.
        let only = Some(if call == Call::Setxattr { "big" } else { "small" });
        let target = faulty_target(&setup, Behaviour { fault, only, ..Behaviour::default() });
        let outcome = setup.restore(&setup.options(&target));
        let named: Vec<_> = outcome.named().into_keys().collect();
        let expected = if call == Call::Setxattr { "d/e/big" } else { "d/small" };
        assert_eq!(named, [Path::new(expected)], "{call:?}");
        assert_eq!(setup.missing(&target).0.into_keys().collect::<Vec<_>>(), [Path::new(expected)]);
    }
}

#[test]
fn an_acl_that_is_refused_gives_the_group_no_more_than_it_had() {
    let Some(setup) = Setup::new() else { return };
    let fault = Some((Call::Setxattr, Fault::Error(libc::ENOSPC)));
    let target = faulty_target(&setup, Behaviour { fault, only: Some("acl"), ..Behaviour::default() });
    let outcome = setup.restore(&RestoreOptions { verify: true, ..setup.options(&target) });
    assert_eq!(outcome.named().into_keys().collect::<Vec<_>>(), [Path::new("d/acl")]);
    assert_eq!(below(&target)[Path::new("d/acl")].1.mode, 0o600);
}

#[test]
fn times_arrive_where_both_are_taken_or_none() {
    let Some(setup) = Setup::new() else { return };
    let target = faulty_target(&setup, Behaviour { both_times: true, ..Behaviour::default() });
    let outcome = setup.restore(&setup.options(&target));
    assert_eq!(outcome.named(), BTreeMap::new());
    assert_eq!(setup.missing(&target).0, BTreeMap::new());
}

#[test]
fn a_target_with_a_coarse_clock_is_right_the_second_time() {
    let Some(setup) = Setup::new() else { return };
    for grain in [Duration::from_nanos(100), Duration::from_millis(10), Duration::from_secs(1), Duration::from_secs(2)]
    {
        let target = faulty_target(&setup, Behaviour { grain, ..Behaviour::default() });
        let first = setup.restore(&RestoreOptions { verify: true, ..setup.options(&target) });
        assert_eq!(first.named(), BTreeMap::new());
        let before = below(&target);
        for dry_run in [true, false] {
            let overwrite = Overwrite::Refuse;
            let again = setup.restore(&RestoreOptions { overwrite, dry_run, ..setup.options(&target) });
            assert_eq!(again.named(), BTreeMap::new(), "{grain:?}");
            let stats = again.stats.unwrap();
            assert_eq!((stats.files, stats.bytes_read, stats.left), (0, 0, 0), "{grain:?}");
        }
        let times = |truth: &Truth| truth.iter().map(|(path, of)| (path.clone(), of.1.mtime)).collect::<Vec<_>>();
        assert_eq!(times(&below(&target)), times(&before), "a second run changed times");
        // One grain later is another time.
        let small = target.path().join("t/d/small");
        let later = fs::metadata(&small).unwrap().modified().unwrap() + grain;
        File::options().write(true).open(&small).unwrap().set_modified(later).unwrap();
        let changed = setup.restore(&RestoreOptions { overwrite: Overwrite::Refuse, ..setup.options(&target) });
        assert_eq!(changed.named().into_keys().collect::<Vec<_>>(), [Path::new("d/small")], "{grain:?}");
    }
}

#[test]
fn names_of_one_file_arrive_where_inode_numbers_change_or_links_are_refused() {
    let Some(setup) = Setup::new() else { return };
    let links = [None, Some(libc::EPERM), Some(libc::ENOSYS), Some(libc::EMLINK), Some(libc::EXDEV)];
    for (unstable_inodes, refused) in [true, false].into_iter().flat_map(|u| links.map(|l| (u, l))) {
        let fault = refused.map(|number| (Call::Link, Fault::Error(number)));
        let target = faulty_target(&setup, Behaviour { unstable_inodes, fault, ..Behaviour::default() });
        let outcome = setup.restore(&RestoreOptions { verify: true, ..setup.options(&target) });
        assert_eq!(outcome.named(), BTreeMap::new(), "{unstable_inodes} {refused:?}");
        assert_eq!(setup.missing(&target), (BTreeMap::new(), vec![]), "{unstable_inodes} {refused:?}");
        let there = below(&target);
        let linked = there[Path::new("d/link-a")].0 == there[Path::new("d/link-b")].0;
        assert_eq!(linked, refused.is_none());
        assert_eq!(outcome.notes.iter().any(|note| note.contains("hard links")), refused.is_some());
        // The second run finds all of it right.
        let again = setup.restore(&RestoreOptions { overwrite: Overwrite::Refuse, ..setup.options(&target) });
        assert_eq!(again.named(), BTreeMap::new(), "{unstable_inodes} {refused:?}");
        assert_eq!(again.stats.unwrap().bytes_read, 0);
    }
}
