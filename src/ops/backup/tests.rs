//! Files that are not what the walk said: grown, cut, replaced, taken for one another.

use super::*;
use crate::base::path::{key_of, path_of};
use crate::format::tree::{Content, Entry, EntryKind, Xattr};
use crate::monitor::Silent;
use crate::ops::restore::{RestoreOptions, RestoreStats};
use crate::ops::testing::{Bench, Entries, noise};
use crate::source::fs::{FsOptions, FsSource};
use crate::source::{Description, Fingerprint, FoundEntry, Reached, SourceFile, Walked};
use crate::tree::reader::Reader;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What happens when a file is opened for the first time.
type Hook = Box<dyn FnOnce() + Send>;

/// Files of this machine, with something that happens between the walk and the reading.
struct Meddling {
    inner: FsSource,
    hooks: Mutex<HashMap<Vec<u8>, Hook>>,
    /// Lengths that the system says, in place of the true ones.
    lies: HashMap<Vec<u8>, u64>,
}

impl Meddling {
    fn new(root: &Path) -> Meddling {
        let inner = FsSource::new(FsOptions { roots: vec![root.to_path_buf()], ..FsOptions::default() }).unwrap();
        Meddling { inner, hooks: Mutex::default(), lies: HashMap::new() }
    }

    /// Before this file is opened, that happens. All of a small tree is walked by then.
    fn before(self, path: PathBuf, hook: impl FnOnce() + Send + 'static) -> Meddling {
        self.hooks.lock().insert(path.into_os_string().into_encoded_bytes(), Box::new(hook));
        self
    }

    fn lie(&self, key: &[u8]) -> Option<u64> {
        self.lies.get(&path_of(key)).copied()
    }
}

impl Source for Meddling {
    fn describe(&self) -> Description {
        self.inner.describe()
    }

    fn walk(&self, emit: &mut dyn FnMut(Walked) -> bool) -> io::Result<()> {
        self.inner.walk(&mut |mut walked| {
            if let Walked::Entry(found) = &mut walked {
                found.meta.size = self.lie(&found.key).unwrap_or(found.meta.size);
            }
            emit(walked)
        })
    }

    fn open(&self, found: &FoundEntry) -> io::Result<Box<dyn SourceFile>> {
        let hook = self.hooks.lock().remove(&path_of(&found.key));
        hook.into_iter().for_each(|hook| hook());
        let (file, said) = (self.inner.open(found)?, self.lie(&found.key));
        Ok(Box::new(Said { file, said }))
    }

    fn xattrs(&self, found: &FoundEntry) -> io::Result<Vec<Xattr>> {
        self.inner.xattrs(found)
    }

    fn reached(&self) -> Option<Reached> {
        self.inner.reached()
    }
}

/// A file of which the system says another length.
struct Said {
    file: Box<dyn SourceFile>,
    said: Option<u64>,
}

impl SourceFile for Said {
    fn fingerprint(&self) -> io::Result<Option<Fingerprint>> {
        let seen = self.file.fingerprint()?;
        Ok(seen.map(|seen| Fingerprint { size: self.said.unwrap_or(seen.size), ..seen }))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buf)
    }

    fn read_some(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read_some(offset, buf)
    }

    fn meta(&self) -> io::Result<Option<crate::format::tree::Meta>> {
        self.file.meta()
    }

    fn next_data(&self, offset: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
        self.file.next_data(offset, size)
    }
}

/// A folder to back up, by the path that the snapshot has.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    (folder, path)
}

fn options() -> BackupOptions {
    BackupOptions { host: "here".into(), ..BackupOptions::default() }
}

fn backup(bench: &Bench, source: &dyn Source, options: &BackupOptions) -> BackupStats {
    run(&bench.store, source, options, Arc::new(Silent)).unwrap()
}

/// The entries of the newest snapshot. What is stored of each file is as long as its entry says.
fn entries(bench: &Bench) -> BTreeMap<String, Entry> {
    let snapshot = bench.store.find_snapshot("latest").unwrap();
    let (mut reader, mut lists) =
        (Reader::new(bench.store.clone(), 1 << 20), Reader::new(bench.store.clone(), 1 << 20));
    let mut all = BTreeMap::new();
    let mut each = |entry: Entry| {
        if entry.meta.kind == EntryKind::File {
            let mut stored = 0;
            let mut add = |item: crate::format::list::Item| {
                stored += item.len();
                ControlFlow::Continue(())
            };
            match &entry.content {
                Content::Inline(bytes) => stored = bytes.len() as u64,
                content => lists.items(content, &mut add).unwrap(),
            }
            assert_eq!(stored, entry.meta.size, "{:?}", String::from_utf8_lossy(&entry.key));
        }
        all.insert(String::from_utf8(path_of(&entry.key)).unwrap(), entry);
        ControlFlow::Continue(())
    };
    reader.entries(&snapshot.manifest.root, &[], &[], &mut each, &mut |_, error| panic!("{error}")).unwrap();
    all
}

fn restore(bench: &Bench, root: &Path, target: &Path) -> RestoreStats {
    let options = RestoreOptions {
        snapshot: "latest".into(),
        path: root.as_os_str().as_encoded_bytes().to_vec(),
        target: target.into(),
        host: "here".into(),
        ..RestoreOptions::default()
    };
    crate::ops::restore::run(&bench.store, &options, &Silent).unwrap()
}

fn contents(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    files.map(|path| (path.file_name().unwrap().to_str().unwrap().to_string(), fs::read(&path).unwrap())).collect()
}

/// The newest snapshot holds what lies in the folder now, and the store is well.
fn assert_holds(bench: &Bench, root: &Path) {
    let (_target, target) = folder();
    let restored = restore(bench, root, &target.join("t"));
    assert!(restored.problems.is_empty(), "{:?}", restored.problems);
    let (restored, now) = (contents(&target.join("t")), contents(root));
    let differ: Vec<_> = now.iter().filter(|(name, content)| restored.get(*name) != Some(content)).collect();
    let differ: Vec<_> =
        differ.iter().map(|(name, now)| (name, now.len(), restored.get(*name).map(Vec::len))).collect();
    assert!(differ.is_empty() && restored.len() == now.len(), "{differ:?}");
    let report = crate::ops::check::run(&bench.store, &Default::default(), &Silent).unwrap();
    assert!(!report.is_damaged(), "{:?}", report.findings);
}

/// A replacement, as editors make it: another inode.
fn replace(path: &Path, content: Vec<u8>) {
    let other = path.with_extension("new");
    fs::write(&other, content).unwrap();
    fs::rename(&other, path).unwrap();
}

#[test]
fn reading_ends_where_the_file_ends_and_not_where_the_walk_said() {
    const SMALL: usize = 3893;
    const BATCH: usize = 2 << 20;
    let small = [(10, SMALL), (0, SMALL), (0, 1), (SMALL, 10), (SMALL, 0), (200, 201), (100_000, 300_000)];
    let large = [(10, BATCH - 1), (10, BATCH), (20, BATCH + 1), (0, 2 * BATCH), (0, 5_000_000), (BATCH, BATCH + 1)];
    let cut = [(BATCH, 1), (BATCH - 100, BATCH)];
    for (lengths, narrow) in [(&small[..], false), (&small, true), (&large, false), (&large, true), (&cut, true)] {
        let (_folder, root) = folder();
        let bench = Bench::new();
        fs::write(root.join("a"), noise(100, 0)).unwrap();
        let mut later = Vec::new();
        for (at, &(before, after)) in lengths.iter().enumerate() {
            let path = root.join(format!("b{at}"));
            fs::write(&path, noise(before, 7)).unwrap();
            // One that stays as it is lies behind each that does not.
            fs::write(root.join(format!("b{at}-still")), noise(200 + 3000 * at, 8)).unwrap();
            later.push((path, after, at));
        }
        let source = Meddling::new(&root).before(root.join("a"), move || {
            for (path, after, at) in later {
                let content = noise(after, 9 + at as u8);
                if at % 2 == 0 { replace(&path, content) } else { fs::write(&path, content).unwrap() }
            }
        });
        // One reader: what comes after the first file is read after it.
        let (threads, batches) = if narrow { (1, 1) } else { (0, 0) };
        let stats = backup(&bench, &source, &BackupOptions { threads, readers: 1, batches, ..options() });
        assert_eq!((stats.problem_count, stats.changed_while_read), (0, 0), "{lengths:?}");
        assert_holds(&bench, &root);
        let files = entries(&bench).values().filter(|entry| entry.meta.kind == EntryKind::File).count();
        assert_eq!(files, 1 + 2 * lengths.len());
    }
}

#[test]
fn what_is_known_of_a_replaced_file_is_of_the_new_one_alone() {
    let (_folder, root) = folder();
    let bench = Bench::new();
    fs::write(root.join("a"), b"first").unwrap();
    fs::write(root.join("b"), b"for everybody").unwrap();
    fs::set_permissions(root.join("b"), fs::Permissions::from_mode(0o644)).unwrap();
    let path = root.join("b");
    let source = Meddling::new(&root).before(root.join("a"), move || {
        let other = path.with_extension("new");
        fs::write(&other, b"a secret, and longer than what was there before").unwrap();
        fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(&other, &path).unwrap();
    });
    backup(&bench, &source, &options());
    let (meta, real) = (&entries(&bench)[root.join("b").to_str().unwrap()].meta, fs::metadata(root.join("b")).unwrap());
    assert_eq!((meta.mode, meta.inode, meta.size), (0o600, real.ino(), real.size()));
    assert_eq!((meta.ctime.s, i64::from(meta.ctime.ns)), (real.ctime(), real.ctime_nsec()));
    // So it is known next time, once it is old enough.
    std::thread::sleep(Duration::from_millis(2100));
    backup(&bench, &Meddling::new(&root), &options());
    assert_eq!(backup(&bench, &Meddling::new(&root), &options()).files_unchanged, 2);
}

#[test]
fn what_is_known_of_a_replaced_big_file_is_of_the_new_one_alone() {
    let rewrite = |path: &Path, content: Vec<u8>| fs::write(path, content).unwrap();
    for (len, meddle) in [(9_000_000, replace as fn(&Path, Vec<u8>)), (5_000_000, replace), (5_000_001, rewrite)] {
        let (_folder, root) = folder();
        let bench = Bench::new();
        let path = root.join("big");
        fs::write(&path, noise(7_000_000, 1)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let hook = path.clone();
        let source = Meddling::new(&root).before(path.clone(), move || {
            meddle(&hook, noise(len, 2));
            fs::set_permissions(&hook, fs::Permissions::from_mode(0o600)).unwrap();
        });
        let stats = backup(&bench, &source, &options());
        assert_eq!((stats.problem_count, stats.changed_while_read), (0, 0), "{len}");
        let (meta, real) = (&entries(&bench)[path.to_str().unwrap()].meta, fs::metadata(&path).unwrap());
        assert_eq!((meta.mode, meta.inode, meta.size), (0o600, real.ino(), real.size()));
        assert_eq!((meta.mtime.s, i64::from(meta.mtime.ns)), (real.mtime(), real.mtime_nsec()));
        assert_eq!((meta.ctime.s, i64::from(meta.ctime.ns)), (real.ctime(), real.ctime_nsec()));
        assert_holds(&bench, &root);
    }
}

#[test]
fn big_files_are_read_to_their_end_too_and_one_that_shrinks_is_no_mixture() {
    for (before, after) in [(3_000_000, 6_000_000), (3_000_000, 3_000_001), (5_000_000, 3_000_000), (3_000_000, 0)] {
        let (_folder, root) = folder();
        let bench = Bench::new();
        fs::write(root.join("big"), noise(before, 1)).unwrap();
        fs::write(root.join("other"), noise(100, 2)).unwrap();
        let path = root.join("big");
        let source = Meddling::new(&root).before(root.join("big"), move || fs::write(&path, noise(after, 3)).unwrap());
        let stats = backup(&bench, &source, &options());
        // All of it was read after that.
        assert_eq!((stats.problem_count, stats.changed_while_read), (0, 0), "{before} {after}");
        assert!(!entries(&bench)[root.join("big").to_str().unwrap()].changed_while_read);
        assert_holds(&bench, &root);
    }
}

#[test]
fn a_file_with_holes_ends_where_it_ends_and_is_flagged_when_it_changed() {
    for (len, data) in [(40 << 20, None), (60 << 20, Some(50 << 20)), (1 << 20, None), (12 << 20, Some(9 << 20))] {
        let (_folder, root) = folder();
        let bench = Bench::new();
        let file = fs::File::create(root.join("sparse")).unwrap();
        file.set_len(40 << 20).unwrap();
        file.write_all_at(&noise(100_000, 1), 8 << 20).unwrap();
        let hole = fs::File::create(root.join("zeros")).unwrap();
        hole.set_len(30 << 20).unwrap();
        let source = Meddling::new(&root).before(root.join("sparse"), move || {
            file.set_len(len).unwrap();
            if let Some(at) = data {
                file.write_all_at(&noise(5000, 2), at).unwrap();
            }
            hole.set_len(len - 1).unwrap();
        });
        let stats = backup(&bench, &source, &options());
        let all = entries(&bench);
        let size = |name: &str| all[root.join(name).to_str().unwrap()].meta.size;
        assert_eq!(stats.problem_count, 0);
        assert_eq!(
            (size("sparse"), size("zeros")),
            (fs::metadata(root.join("sparse")).unwrap().len(), len - 1),
            "{len}"
        );
        assert!(stats.changed_while_read >= 1, "{len}");
    }
}

#[test]
fn what_the_system_says_of_a_length_decides_nothing() {
    let (_folder, root) = folder();
    let bench = Bench::new();
    let lengths = [("none", 3893), ("less", 3893), ("more", 3893), ("large", 6_000_000), ("longer", 6_000_000)];
    let lengths = lengths.into_iter().chain([("shorter", 3_000_000)]);
    for (name, len) in lengths {
        fs::write(root.join(name), noise(len, 1)).unwrap();
    }
    let mut source = Meddling::new(&root);
    let said = [("none", 0), ("less", 17), ("more", 4096), ("large", 0), ("longer", 4096), ("shorter", 5_000_000)];
    for (name, said) in said {
        source.lies.insert(root.join(name).into_os_string().into_encoded_bytes(), said);
    }
    std::thread::sleep(Duration::from_millis(2100));
    for _ in 0..2 {
        let stats = backup(&bench, &source, &options());
        assert_eq!((stats.problem_count, stats.changed_while_read, stats.files_unchanged), (0, 0, 0));
        assert_holds(&bench, &root);
        entries(&bench);
    }
}

#[test]
fn files_of_one_inode_number_are_links_only_when_all_is_equal() {
    let bench = Bench::new();
    let mut source = Entries::default();
    // A union of two file systems: four files with two names each, one number. The last two differ by ctime alone.
    let files = [("one", 1, 0o644, 5), ("two", 2, 0o644, 5), ("mode", 1, 0o600, 5), ("ctime", 1, 0o644, 6)];
    for (name, seed, mode, ctime) in files {
        for half in ["a", "b"] {
            let one = source.file(&format!("/{half}-{name}"), noise(3000, seed));
            (one.meta.device, one.meta.inode, one.meta.nlink, one.meta.mode) = (9, 77, 2, mode);
            one.meta.mtime.ns += u32::from(seed);
            one.meta.ctime.s += ctime;
        }
    }
    let stats = backup(&bench, &source, &options());
    assert_eq!((stats.files, stats.problem_count), (8, 0));
    let (_target, target) = folder();
    let target = target.join("t");
    let restored = restore(&bench, Path::new("/"), &target);
    assert_eq!((restored.hard_links, restored.problem_count), (4, 0), "{:?}", restored.problems);
    let mut inodes = HashSet::new();
    for (name, seed, mode, _) in files {
        let [a, b] = ["a", "b"].map(|half| target.join(format!("{half}-{name}")));
        assert!(fs::read(&a).unwrap() == noise(3000, seed), "{name}");
        assert_eq!(fs::metadata(&a).unwrap().ino(), fs::metadata(&b).unwrap().ino(), "{name}");
        assert_eq!(fs::metadata(&b).unwrap().mode() & 0o7777, mode);
        assert!(inodes.insert(fs::metadata(&a).unwrap().ino()), "{name} is another file's");
    }
}

#[test]
fn names_of_a_file_whose_first_one_is_gone_or_replaced_are_read_for_themselves() {
    type Meddle = fn(&Path);
    let meddles: [Meddle; 3] = [
        |first| fs::remove_file(first).unwrap(),
        |first| replace(first, noise(50, 5)),
        |first| replace(first, noise(2_500_001, 5)),
    ];
    for len in [30, 70_000, 2_500_000] {
        for (at, meddle) in meddles.into_iter().enumerate() {
            let (_folder, root) = folder();
            let bench = Bench::new();
            fs::write(root.join("b1"), noise(len, 1)).unwrap();
            fs::hard_link(root.join("b1"), root.join("b2")).unwrap();
            fs::hard_link(root.join("b1"), root.join("b3")).unwrap();
            let first = root.join("b1");
            let source = Meddling::new(&root).before(root.join("b1"), move || meddle(&first));
            // One reader: the later names come to it after the first.
            let stats = backup(&bench, &source, &BackupOptions { readers: 1, ..options() });
            assert_eq!(stats.problem_count, u64::from(at == 0), "{len}: a name that vanished is told");
            assert_holds(&bench, &root);
        }
    }
}

#[test]
fn nothing_of_a_source_that_cannot_be_read_becomes_the_newest_snapshot() {
    let (_folder, root) = folder();
    let bench = Bench::new();
    fs::write(root.join("a"), b"x").unwrap();
    let listed = |names: &[&str]| {
        let listed = names.iter().map(|name| root.join(name)).collect();
        FsSource::new(FsOptions { listed, ..FsOptions::default() }).unwrap()
    };
    let some = backup(&bench, &listed(&["a", "gone"]), &options());
    assert!(some.snapshot.is_some() && some.problem_count == 1 && !some.nothing_read);
    let many: Vec<String> = (0..20_000).map(|n| format!("in/{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for names in [&["gone"][..], &["gone", "gone/x", "away"], &many] {
        let stats = backup(&bench, &listed(names), &options());
        assert!(stats.nothing_read && stats.snapshot.is_none() && stats.problem_count > 0, "{}", names.len());
    }
    let gone = root.join("a");
    let vanishes = Meddling { inner: listed(&["a"]), hooks: Mutex::default(), lies: HashMap::new() }
        .before(root.join("a"), move || fs::remove_file(gone).unwrap());
    let stats = backup(&bench, &vanishes, &options());
    assert!(stats.nothing_read && stats.snapshot.is_none(), "{stats:?}");
    assert_eq!(bench.store.snapshots().unwrap().0.len(), 1);
    assert_eq!(bench.store.find_snapshot("latest").unwrap().id, some.snapshot.unwrap());
}

/// Entries, some directories of which cannot be listed.
struct Unlistable(Entries, Vec<&'static str>);

impl Source for Unlistable {
    fn describe(&self) -> Description {
        self.0.describe()
    }

    fn walk(&self, emit: &mut dyn FnMut(Walked) -> bool) -> io::Result<()> {
        self.0.walk(emit)?;
        for path in &self.1 {
            let key = crate::base::path::key_of(path.as_bytes()).unwrap();
            let error = io::Error::other("no");
            _ = emit(Walked::Error { path: path.as_bytes().to_vec(), error }) && emit(Walked::Incomplete { key });
        }
        Ok(())
    }

    fn open(&self, found: &FoundEntry) -> io::Result<Box<dyn SourceFile>> {
        self.0.open(found)
    }

    fn xattrs(&self, found: &FoundEntry) -> io::Result<Vec<Xattr>> {
        self.0.xattrs(found)
    }
}

#[test]
fn directories_that_could_not_be_listed_are_marked_wherever_they_lie_in_the_tree() {
    let bench = Bench::new();
    let mut entries_of = Entries::default();
    for directory in 0..40 {
        entries_of.directory(&format!("/d{directory:02}"));
        for file in 0..60 {
            entries_of.file(&format!("/d{directory:02}/file-of-some-length-{file}"), noise(200, file));
        }
    }
    let marked = vec!["/d07", "/d39", "/", "/not there"];
    let stats = backup(&bench, &Unlistable(entries_of, marked), &options());
    assert_eq!((stats.entries, stats.problem_count), (1 + 40 * 61, 4));
    let snapshot = bench.store.find_snapshot("latest").unwrap();
    assert_eq!((snapshot.manifest.totals.flawed, snapshot.manifest.totals.entries), (3, 1 + 40 * 61));
    let all = entries(&bench);
    let unlisted = all.iter().filter(|(_, entry)| entry.content == Content::Unreadable).map(|(path, _)| path.as_str());
    assert_eq!(unlisted.collect::<Vec<_>>(), ["/", "/d07", "/d39"]);
    let report = crate::ops::check::run(&bench.store, &Default::default(), &Silent).unwrap();
    assert!(!report.is_damaged(), "{:?}", report.findings);
    let (_target, target) = folder();
    let restored = restore(&bench, Path::new("/"), &target.join("t"));
    assert_eq!((restored.unreadable, restored.problem_count), (3, 3), "{:?}", restored.problems);
    // The next run lists them, and the marks are gone.
    let kept = snapshot.manifest.problems().unwrap();
    assert_eq!((kept.unread, kept.kept.len()), (4, 4));
}

/// Entries, some of which come once more at the end.
struct Repeating(Entries, Vec<&'static str>);

impl Source for Repeating {
    fn describe(&self) -> Description {
        self.0.describe()
    }

    fn walk(&self, emit: &mut dyn FnMut(Walked) -> bool) -> io::Result<()> {
        self.0.walk(emit)?;
        self.0.walk(&mut |walked| match walked {
            Walked::Entry(found) if self.1.iter().any(|path| path.as_bytes() == path_of(&found.key)) => {
                emit(Walked::Entry(found))
            }
            _ => true,
        })
    }

    fn open(&self, found: &FoundEntry) -> io::Result<Box<dyn SourceFile>> {
        self.0.open(found)
    }

    fn xattrs(&self, found: &FoundEntry) -> io::Result<Vec<Xattr>> {
        self.0.xattrs(found)
    }
}

#[test]
fn what_is_listed_twice_or_out_of_order_costs_no_other_entry() {
    let bench = Bench::new();
    let mut entries_of = Entries::default();
    for directory in 0..40 {
        entries_of.directory(&format!("/d{directory:02}"));
        for file in 0..60 {
            entries_of.file(&format!("/d{directory:02}/file-of-some-length-{file:02}"), noise(200, file));
        }
    }
    let again = vec!["/d07/file-of-some-length-31", "/d39/file-of-some-length-59"];
    let stats = backup(&bench, &Repeating(entries_of, again.clone()), &options());
    let told: Vec<_> = stats.problems.iter().map(|p| String::from_utf8_lossy(&p.path)).collect();
    assert_eq!(told, again);
    assert!(stats.problems.iter().all(|p| p.message.contains("more than once")), "{:?}", stats.problems);
    let all = entries(&bench);
    assert_eq!(all.len(), 1 + 40 * 61);
    let report = crate::ops::check::run(&bench.store, &Default::default(), &Silent).unwrap();
    assert!(!report.is_damaged(), "{:?}", report.findings);
}

#[test]
fn attributes_of_another_file_with_the_same_ctime_are_not_taken_for_those_of_this_one() {
    let bench = Bench::new();
    let of = |inode: u64, who: &str| {
        let mut source = Entries::default();
        let one = source.file("/d/t", b"the same".to_vec());
        one.meta.inode = inode;
        one.xattrs = vec![Xattr { name: b"user.who".to_vec(), value: who.into() }];
        source
    };
    for (inode, who, is) in [(1, "first", "first"), (1, "hidden", "first"), (2, "second", "second")] {
        let options = BackupOptions { host: "here".into(), threads: 1, ..BackupOptions::default() };
        let ran = super::run(&bench.store, &of(inode, who), &options, Arc::new(Silent)).unwrap();
        let snapshot = ran.snapshot.unwrap();
        let snapshot = bench.store.find_snapshot(&snapshot.to_string()).unwrap();
        let mut reader = Reader::new(bench.store.clone(), 1 << 20);
        let entry = reader.entry(&snapshot.manifest.root, &key_of(b"/d/t").unwrap()).unwrap().unwrap();
        // Equal times of one inode are believed; those of another say nothing.
        assert_eq!(String::from_utf8_lossy(&entry.meta.xattrs[0].value), is, "inode {inode}");
    }
}
