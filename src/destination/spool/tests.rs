//! A connector of a few lines at the end of a whole restore.

use super::*;
use crate::monitor::Silent;
use crate::ops::restore::{self, Overwrite, RestoreOptions, RestoreStats};
use crate::ops::testing::{Bench, Entries, noise};
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Files by their paths.
#[derive(Default)]
struct Bucket {
    objects: Mutex<BTreeMap<String, (Vec<u8>, Time)>>,
    /// The path of which every put fails half-way.
    full: Option<&'static str>,
    /// The path of which the content is kept wrong.
    lies: Option<&'static str>,
}

impl Spool for Bucket {
    fn put(&self, path: &[u8], size: u64, modified: Time, content: &mut dyn Read) -> io::Result<()> {
        let path = String::from_utf8(path.to_vec()).unwrap();
        let mut bytes = vec![];
        if self.full == Some(&path) {
            content.take(size / 2).read_to_end(&mut bytes)?;
            return Err(io::Error::other("the bucket is full"));
        }
        content.read_to_end(&mut bytes)?;
        assert_eq!(bytes.len() as u64, size, "{path}");
        if self.lies == Some(&path) {
            bytes[0] ^= 1;
        }
        self.objects.lock().insert(path, (bytes, modified));
        Ok(())
    }

    fn look(&self, path: &[u8]) -> io::Result<Option<SpooledFile>> {
        let objects = self.objects.lock();
        let found = objects.get(std::str::from_utf8(path).unwrap());
        Ok(found.map(|(bytes, time)| SpooledFile { size: bytes.len() as u64, modified: Some(*time) }))
    }

    fn get(&self, path: &[u8]) -> io::Result<Box<dyn Read>> {
        let objects = self.objects.lock();
        let (bytes, _) = objects.get(std::str::from_utf8(path).unwrap()).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(io::Cursor::new(bytes.clone())))
    }
}

fn restore(bench: &Bench, bucket: &Arc<Bucket>, options: RestoreOptions) -> RestoreStats {
    let folder = tempfile::tempdir().unwrap();
    let options = RestoreOptions { snapshot: "latest".into(), host: "here".into(), ..options };
    let target = SpoolTarget::new(bucket.clone(), "the bucket", folder.path());
    let stats = restore::run_to(&target, &bench.store, &options, &Silent).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left of what was gathered");
    stats
}

fn problems(stats: &RestoreStats) -> Vec<String> {
    let line = |p: &crate::monitor::Problem| format!("{}: {}", String::from_utf8_lossy(&p.path), p.message);
    stats.problems.iter().map(line).collect()
}

fn backup() -> (Bench, BTreeMap<String, Vec<u8>>) {
    let (bench, mut source, mut files) = (Bench::new(), Entries::default(), BTreeMap::new());
    source.directory("/d");
    source.file("/d/empty", vec![]);
    source.file("/d/small", noise(300, 1));
    source.file("/d/middle", noise(300_000, 2));
    source.file("/large", noise(9 << 20, 3));
    let holes = [noise(100_000, 4), vec![0; 1 << 20], noise(100_000, 5)].concat();
    source.file("/sparse", holes).holes = vec![(100_000, 100_000 + (1 << 20))];
    for one in source.0.iter().filter(|one| one.meta.kind == EntryKind::File) {
        files.insert(String::from_utf8(one.path[1..].to_vec()).unwrap(), one.content.clone());
    }
    source.symlink("/link", "d");
    bench.backup(&source);
    (bench, files)
}

fn contents(bucket: &Bucket) -> BTreeMap<String, Vec<u8>> {
    bucket.objects.lock().iter().map(|(path, (bytes, _))| (path.clone(), bytes.clone())).collect()
}

#[test]
fn a_restore_into_a_bucket_brings_every_file_and_names_the_rest() {
    let (bench, files) = backup();
    let bucket = Arc::new(Bucket::default());
    let stats = restore(&bench, &bucket, RestoreOptions { verify: true, ..RestoreOptions::default() });
    assert!(contents(&bucket) == files);
    let named = problems(&stats);
    assert!(named.len() == 1 && named[0].starts_with("/link: ") && named[0].contains("only files"), "{named:?}");
    // Again: all of it is right already.
    let stats = restore(&bench, &bucket, RestoreOptions::default());
    assert_eq!((stats.files, stats.unchanged), (0, 5));
    // What is something else stays, unless it is to be replaced.
    bucket.objects.lock().get_mut("d/small").unwrap().0.push(1);
    let stats = restore(&bench, &bucket, RestoreOptions::default());
    assert!(problems(&stats).iter().any(|problem| problem.starts_with("/d/small: ")), "{:?}", problems(&stats));
    assert!(contents(&bucket) != files);
    restore(&bench, &bucket, RestoreOptions { overwrite: Overwrite::IfChanged, ..RestoreOptions::default() });
    assert!(contents(&bucket) == files);
}

#[test]
fn a_put_that_fails_costs_its_file_and_a_lie_is_found() {
    let (bench, mut files) = backup();
    let bucket = Arc::new(Bucket { full: Some("large"), lies: Some("d/middle"), ..Bucket::default() });
    let stats = restore(&bench, &bucket, RestoreOptions { verify: true, ..RestoreOptions::default() });
    let named = problems(&stats);
    let about = |path: &str| named.iter().any(|problem| problem.starts_with(path));
    assert!(about("/large: ") && about("/d/middle: "), "{named:?}");
    assert!(files.remove("large").is_some() && files.remove("d/middle").is_some());
    let mut kept = contents(&bucket);
    kept.remove("d/middle");
    assert!(kept == files);
}
