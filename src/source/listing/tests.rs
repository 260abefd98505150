//! A connector of a few lines, its walk, and its way through a whole backup.

use super::*;
use crate::base::path::check_key;
use parking_lot::Mutex;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Content and time.
type Stored = (Vec<u8>, Time);

/// Files by their paths, as a bucket has them: a folder is there because something lies below it.
#[derive(Default)]
pub(crate) struct Bucket {
    pub objects: Mutex<BTreeMap<Vec<u8>, Stored>>,
    /// Folders that cannot be listed.
    pub closed: Vec<Vec<u8>>,
    /// Reads that were made.
    pub reads: Mutex<u64>,
}

impl Bucket {
    pub fn put(&self, path: &str, content: &[u8]) {
        let time = Time { s: 1_600_000_000, ns: 0 };
        self.objects.lock().insert(path.into(), (content.to_vec(), time));
    }
}

fn version(content: &[u8]) -> Version {
    Version { size: content.len() as u64, tag: blake3::hash(content).to_hex().as_bytes().to_vec() }
}

impl Listing for Arc<Bucket> {
    fn list(&self, folder: &[u8], each: &mut dyn FnMut(ListedItem)) -> io::Result<()> {
        if self.closed.iter().any(|closed| closed == folder) {
            return Err(io::Error::other("no"));
        }
        let prefix = if folder.is_empty() { vec![] } else { [folder, b"/"].concat() };
        let mut folders = std::collections::BTreeSet::new();
        // In descending order: the adapter sorts.
        for (path, (content, modified)) in self.objects.lock().iter().rev() {
            let Some(rest) = path.strip_prefix(&prefix[..]) else { continue };
            let modified = *modified;
            match rest.iter().position(|&b| b == b'/') {
                Some(end) if folders.insert(rest[..end].to_vec()) => {
                    each(ListedItem { name: rest[..end].into(), kind: ListedKind::Folder, modified });
                }
                Some(_) => {}
                None => each(ListedItem { name: rest.into(), kind: ListedKind::File(version(content)), modified }),
            }
        }
        Ok(())
    }

    fn open(&self, path: &[u8]) -> io::Result<Box<dyn ListedFile>> {
        let found = self.objects.lock().get(path).cloned();
        let (content, modified) = found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Box::new(Object { content, modified, bucket: self.clone() }))
    }
}

struct Object {
    content: Vec<u8>,
    modified: Time,
    bucket: Arc<Bucket>,
}

impl ListedFile for Object {
    fn version(&self) -> io::Result<Option<(Version, Time)>> {
        Ok(Some((version(&self.content), self.modified)))
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        *self.bucket.reads.lock() += 1;
        // A little at a time, as a network gives it.
        let rest = self.content.get(offset as usize..).unwrap_or_default();
        let n = rest.len().min(buf.len()).min(1000);
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}

fn walk(source: &dyn Source) -> (Vec<FoundEntry>, Vec<String>) {
    let (mut found, mut wrong) = (vec![], vec![]);
    source
        .walk(&mut |walked| {
            match walked {
                Walked::Entry(entry) => found.push(entry),
                Walked::Error { path, error } => wrong.push(format!("{}: {error}", String::from_utf8_lossy(&path))),
                Walked::Incomplete { key } => {
                    wrong.push(format!("{:?} incomplete", path_of(&key).escape_ascii().to_string()))
                }
                Walked::Skipped { .. } => unreachable!(),
            }
            true
        })
        .unwrap();
    (found, wrong)
}

#[test]
fn what_cannot_stand_in_a_tree_or_cannot_be_listed_is_named() {
    let bucket = Arc::new(Bucket { closed: vec![b"closed".to_vec()], ..Bucket::default() });
    for path in ["a", "a/b", "..", "x//y", "closed/file", "z"] {
        bucket.put(path, b"content");
    }
    let (found, wrong) = walk(&ListingSource::new(bucket, b"/bucket/of mine").unwrap());
    let paths: Vec<_> = found.iter().map(|f| String::from_utf8(path_of(&f.key)).unwrap()).collect();
    let below = ["a", "closed", "x", "z", "a/b"].map(|path| format!("/bucket/of mine/{path}"));
    assert_eq!(paths[..3], ["/", "/bucket", "/bucket/of mine"]);
    assert_eq!(paths[3..], below);
    let expected =
        ["of mine/..: a path component", "of mine/a: the folder has another", "closed: no", "incomplete", "x/: a path"];
    assert_eq!(wrong.len(), expected.len(), "{wrong:#?}");
    for (said, expected) in wrong.iter().zip(expected) {
        assert!(said.contains(expected), "{said} is not about {expected}");
    }
}

/// Every folder holds another one.
struct Endless;

impl Listing for Endless {
    fn list(&self, _folder: &[u8], each: &mut dyn FnMut(ListedItem)) -> io::Result<()> {
        each(ListedItem { name: b"d".to_vec(), kind: ListedKind::Folder, modified: Time::default() });
        Ok(())
    }

    fn open(&self, _path: &[u8]) -> io::Result<Box<dyn ListedFile>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

#[test]
fn a_listing_without_end_ends_where_paths_do() {
    let (found, wrong) = walk(&ListingSource::new(Endless, b"/").unwrap());
    assert!(found.len() > 1000 && found.iter().all(|found| check_key(&found.key).is_ok()));
    assert!(wrong.len() == 1 && wrong[0].contains("too long"), "{}", wrong.len());
}

#[test]
fn a_bucket_is_backed_up_and_only_what_changed_is_read_again() {
    use crate::monitor::Silent;
    use crate::ops::backup::{self, BackupOptions};
    use crate::ops::restore::{self, RestoreOptions};
    use crate::ops::testing::{Bench, noise};

    let (bench, bucket) = (Bench::new(), Arc::new(Bucket::default()));
    for n in 0..40 {
        bucket.put(&format!("logs/{}/{n}", n % 3), &noise(100 * n + 1, n as u8));
    }
    bucket.put("large", &noise(5 << 20, 99));
    let source = ListingSource::new(bucket.clone(), b"/bucket").unwrap();
    let options = BackupOptions { host: "here".into(), ..BackupOptions::default() };
    let run = || {
        let before = *bucket.reads.lock();
        let stats = backup::run(&bench.store, &source, &options, Arc::new(Silent)).unwrap();
        (stats, *bucket.reads.lock() - before)
    };
    let (first, reads) = run();
    assert!(first.files == 41 && first.problems.is_empty(), "{first:?}");
    assert!(reads > 5000);
    let (_, reads) = run();
    assert_eq!(reads, 0, "nothing changed");
    // The same size and time: only the version tells.
    bucket.put("logs/1/7", &noise(701, 200));
    let (_, reads) = run();
    assert!((1..10).contains(&reads), "{reads}");
    let target = tempfile::tempdir().unwrap();
    let options =
        RestoreOptions { snapshot: "latest".into(), target: target.path().into(), ..RestoreOptions::default() };
    restore::run(&bench.store, &options, &Silent).unwrap();
    for (path, (content, _)) in &*bucket.objects.lock() {
        let path = target.path().join("bucket").join(String::from_utf8(path.clone()).unwrap());
        assert!(std::fs::read(&path).unwrap() == *content, "{path:?}");
    }
}

proptest! {
    #[test]
    fn any_bucket_is_walked_in_the_order_of_the_tree(
        paths in prop::collection::btree_set("[ab!.]{1,3}(/[ab!.]{1,3}){0,3}", 0..40)
    ) {
        let bucket = Arc::new(Bucket::default());
        for path in &paths {
            bucket.put(path, b"content");
        }
        let (found, wrong) = walk(&ListingSource::new(bucket, b"/").unwrap());
        prop_assert!(found.is_sorted_by(|a, b| a.key < b.key));
        prop_assert!(found.iter().all(|found| check_key(&found.key).is_ok()));
        let files = found.iter().filter(|found| found.meta.kind == EntryKind::File).count();
        // Every object is there or named; a folder of a name that cannot be takes what is in it along.
        let is_bad = |path: &&String| path.split('/').any(|part| part == "." || part == "..");
        let shadowed = |path: &&String| paths.iter().any(|other| other.starts_with(&format!("{path}/")));
        let good = paths.iter().filter(|path| !is_bad(path) && !shadowed(path)).count();
        prop_assert_eq!(files, good);
        prop_assert_eq!(wrong.is_empty(), good == paths.len());
    }
}
