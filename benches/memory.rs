//! What a backup takes of memory when it stores many new chunks: the rows of the index come and go, and what grows with
//! their number is the index alone.
//!
//! `cargo bench --bench memory -- 3000000` backs up so many short files, each one new chunk, made up as they are read: first
//! as a dry run, then for real, then once more by force, each in a process of its own. Prints the most anonymous and shared
//! memory of each, and fails when it passes 256 MiB and 2.5 bytes a chunk, with the threads and batches of two cores. The
//! store lies in a temporary folder, or below `LARDER_BENCH_DIR`, and takes some 500 bytes a chunk.

#[path = "common/resident.rs"]
mod resident;

use larder::base::path::key_of;
use larder::base::time::Time;
use larder::crypto::slot::Credential;
use larder::format::tree::{EntryKind, Meta, Xattr};
use larder::monitor::Silent;
use larder::ops::backup::{self, BackupOptions};
use larder::source::{Description, Fingerprint, FoundEntry, Handle, Source, SourceFile, Walked};
use larder::storage::LocalStorage;
use larder::store::open::CreateOptions;
use larder::store::{MachineFolders, Store};
use resident::{mib, resident, watched};
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Instant;

/// Where no number is given: enough for a look at whether it runs.
const CHUNKS: u64 = 20_000;
/// Files of one directory.
const DIRECTORY: u64 = 1000;
/// Content of a file: above what lies in the tree, and of many lengths.
const BYTES: u64 = 150;
const BYTES_MORE: u64 = 200;
/// What is allowed.
const BASE_MAX: u64 = 256 << 20;
const CHUNK_MAX: f64 = 2.5;
/// In the environment of a run's own process: which run, and where.
const RUN: &str = "LARDER_BENCH_MEMORY_RUN";
const FOLDER: &str = "LARDER_BENCH_MEMORY_FOLDER";

/// So many files, none like another.
struct Made(u64);

fn meta(kind: EntryKind, inode: u64, size: u64) -> Meta {
    let time = Time { s: 1_500_000_000, ns: 0 };
    Meta {
        kind,
        mode: if kind == EntryKind::Directory { 0o755 } else { 0o644 },
        uid: 0,
        gid: 0,
        user: Vec::new(),
        group: Vec::new(),
        size,
        mtime: time,
        ctime: time,
        btime: None,
        nlink: 1,
        device: 1,
        inode,
        rdev: (0, 0),
        target: Vec::new(),
        xattrs: Vec::new(),
    }
}

impl Source for Made {
    fn describe(&self) -> Description {
        Description { paths: vec![b"/".to_vec()], reopens: true, stable_identity: true }
    }

    fn walk(&self, emit: &mut dyn FnMut(Walked) -> bool) -> io::Result<()> {
        let mut emit = |path: String, meta| {
            let key = key_of(path.as_bytes()).expect("a path");
            emit(Walked::Entry(FoundEntry::new(key, meta, Handle::KEY)))
        };
        let mut going = emit("/".into(), meta(EntryKind::Directory, 1, 0));
        // In tree order: a directory's own entries come before anything deeper.
        for directory in 0..self.0.div_ceil(DIRECTORY) {
            let meta = meta(EntryKind::Directory, (1 << 40) + directory, 0);
            going = going && emit(format!("/{directory:08}"), meta);
        }
        for n in 0..self.0 {
            let directory = n / DIRECTORY;
            let meta = meta(EntryKind::File, n, BYTES + n % BYTES_MORE);
            going = going && emit(format!("/{directory:08}/{n:012}"), meta);
        }
        Ok(())
    }

    fn open(&self, found: &FoundEntry) -> io::Result<Box<dyn SourceFile>> {
        let mut content = vec![0; found.meta.size as usize];
        blake3::Hasher::new().update(&found.meta.inode.to_le_bytes()).finalize_xof().fill(&mut content);
        Ok(Box::new(Content { content, fingerprint: Fingerprint::of(&found.meta) }))
    }

    fn xattrs(&self, _: &FoundEntry) -> io::Result<Vec<Xattr>> {
        Ok(Vec::new())
    }
}

struct Content {
    content: Vec<u8>,
    fingerprint: Fingerprint,
}

impl SourceFile for Content {
    fn fingerprint(&self) -> io::Result<Option<Fingerprint>> {
        Ok(Some(self.fingerprint))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = self.content.get(offset as usize..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn next_data(&self, offset: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
        Ok((offset < size).then_some((offset, size)))
    }
}

/// The runs: a name, whether it is a dry run, whether the chunks are new.
const RUNS: [(&str, bool, bool); 3] = [("a dry run", true, true), ("a backup", false, true), ("again", false, false)];

fn places(folder: &Path) -> MachineFolders {
    MachineFolders { config: folder.join("config"), cache: folder.join("cache") }
}

fn key() -> Credential {
    Credential::KeyFile([7; 32].into())
}

fn allowed(chunks: u64) -> u64 {
    BASE_MAX + (CHUNK_MAX * chunks as f64) as u64
}

/// Makes a store and has each run in a process of its own, as the program runs: what an allocator keeps of the run before is
/// not this one's. Gives whether all stayed within what is allowed.
fn all(chunks: u64) -> Result<bool, Box<dyn std::error::Error>> {
    let base = std::env::var_os("LARDER_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(base)?;
    let storage = Arc::new(LocalStorage::create(&folder.path().join("store"))?);
    Store::create(storage, &key(), places(folder.path()), CreateOptions::default())?;
    println!(
        "{chunks} chunks on {} cores; allowed are {}",
        std::thread::available_parallelism()?,
        mib(allowed(chunks))
    );
    let mut within = true;
    for (what, ..) in RUNS {
        let mut run = Command::new(std::env::current_exe()?);
        within &= run.arg(chunks.to_string()).env(RUN, what).env(FOLDER, folder.path()).status()?.success();
    }
    Ok(within)
}

/// One run. Gives whether it stayed within what is allowed.
fn one(chunks: u64, what: &str, folder: &Path) -> Result<bool, Box<dyn std::error::Error>> {
    let (_, dry_run, new) = RUNS.into_iter().find(|run| run.0 == what).ok_or("there is no such run")?;
    let storage = Arc::new(LocalStorage::open(&folder.join("store"))?);
    let store = Arc::new(Store::open(storage, &key(), places(folder))?);
    let start = Instant::now();
    // As on two cores: each core more brings four batches of some 5 MiB.
    let (threads, readers, batches) = (2, 2, 12);
    let (host, options) = ("bench".into(), BackupOptions { threads, readers, batches, ..BackupOptions::default() });
    let options = BackupOptions { host, dry_run, force: true, ..options };
    let (stats, peak, _) = watched(|| backup::run(&store, &Made(chunks), &options, Arc::new(Silent)));
    let stats = stats?;
    let novel = if new { chunks } else { 0 };
    assert_eq!((stats.chunks, stats.chunks_novel), (chunks, novel), "each is a chunk, and new once");
    let [_, file, _] = resident();
    println!(
        "{what:<10} {:>6.1} s   peak {:>10}, {:>5.1} bytes a chunk   at most {:>7} claimed   in the end {:>10} of files",
        start.elapsed().as_secs_f64(),
        mib(peak),
        peak as f64 / chunks as f64,
        stats.claims_most,
        mib(file)
    );
    Ok(peak <= allowed(chunks))
}

fn main() -> ExitCode {
    let chunks = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(CHUNKS);
    let run = std::env::var(RUN).ok().zip(std::env::var_os(FOLDER));
    let within = match &run {
        Some((what, folder)) => one(chunks, what, Path::new(folder)),
        None => all(chunks),
    };
    match within {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => println!("that is more than is allowed"),
        Err(error) => println!("{error}"),
    }
    ExitCode::FAILURE
}
