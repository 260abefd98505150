//! The fixed work that counters are taken on: seeded bytes in entries whose metadata no machine decides.

use crate::base::path::key_of;
use crate::base::time::Time;
use crate::format::tree::{EntryKind, Meta, Xattr};
use crate::harness::BenchError;
use crate::source::{Description, Fingerprint, FoundEntry, Handle, Source, SourceFile, Walked};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

const KIB: usize = 1 << 10;
/// The folder that everything lies in.
pub const ROOT: &str = "/work";
const MTIME: Time = Time { s: 1_577_836_800, ns: 0 };

/// Bytes that do not compress.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    blake3::Hasher::new_keyed(&key).finalize_xof().fill(&mut out);
    out
}

/// Lines that compress as source text does.
pub fn text(seed: u64, len: usize) -> Vec<u8> {
    let random = noise(seed, len / 8 + 64);
    let word = |i: usize| u64::from(random[i % random.len()]) | u64::from(random[(i * 7 + 3) % random.len()]) << 8;
    let line = |i: usize| {
        format!("\tif (entry->field_{:x} == {}) return table[{}];\n", word(i) % 97, word(i + 1) % 977, i % 131)
    };
    (0..).flat_map(|i| line(i).into_bytes()).take(len).collect()
}

/// By key: metadata, and a file's content.
type Entries = BTreeMap<Vec<u8>, (Meta, Option<Arc<Vec<u8>>>)>;

/// Files by name below [`ROOT`].
#[derive(Clone, Default)]
pub struct Work {
    files: BTreeMap<String, Arc<Vec<u8>>>,
}

impl Work {
    /// The gate's own: many small files, some of middle size, two that are cut in segments, one copy, one empty file.
    pub fn new() -> Work {
        let mut work = Work::default();
        for i in 0..300 {
            work.add(&format!("small/{:02}/{i:03}.c", i / 25), text(i, 200 + (i as usize * 7919) % (24 * KIB)));
        }
        for i in 0..24 {
            let len = 60 * KIB + (i as usize * 52_711) % (700 * KIB);
            work.add(&format!("middle/{i:02}"), if i % 2 == 0 { text(1000 + i, len) } else { noise(1000 + i, len) });
        }
        work.add("big/text", text(2000, 9000 * KIB));
        work.add("big/noise", noise(2001, 7000 * KIB));
        work.add("big/copy of noise", noise(2001, 7000 * KIB));
        work.add("empty", Vec::new());
        work
    }

    /// Adds a file or puts another in its place.
    pub fn add(&mut self, name: &str, content: Vec<u8>) {
        self.files.insert(name.into(), Arc::new(content));
    }

    pub fn bytes(&self) -> u64 {
        self.files.values().map(|content| content.len() as u64).sum()
    }

    /// Writes it below a folder, `times` over.
    pub fn write(&self, folder: &Path, times: usize) -> Result<(), BenchError> {
        for (name, content) in &self.files {
            for time in 0..times {
                let path = if times == 1 { folder.join(name) } else { folder.join(format!("copy{time}")).join(name) };
                let parent = path.parent().unwrap_or(folder);
                fs::create_dir_all(parent).map_err(BenchError::io("make", parent))?;
                let mut content = content.to_vec();
                // Copies are not duplicates: a byte at the start of every 4 KiB differs.
                content.iter_mut().step_by(4 * KIB).for_each(|byte| *byte = byte.wrapping_add(time as u8));
                fs::write(&path, content).map_err(BenchError::io("write", &path))?;
            }
        }
        Ok(())
    }

    /// Entries by key: folders, then what is in them.
    fn entries(&self) -> Entries {
        let mut paths: BTreeMap<String, Option<Arc<Vec<u8>>>> = BTreeMap::from([("/".into(), None)]);
        for (name, content) in &self.files {
            let path = format!("{ROOT}/{name}");
            paths.extend(path.match_indices('/').skip(1).map(|(at, _)| (path[..at].to_string(), None)));
            paths.insert(path, Some(content.clone()));
        }
        let numbered = (1..).zip(paths);
        let keyed = numbered.map(|(inode, (path, content))| {
            let key = key_of(path.as_bytes()).expect("these paths are absolute");
            (key, (meta(inode, content.as_deref().map(Vec::len)), content))
        });
        keyed.collect()
    }

    /// Itself as a source.
    pub fn source(&self) -> WorkSource {
        WorkSource(self.entries())
    }
}

fn meta(inode: u64, len: Option<usize>) -> Meta {
    Meta {
        kind: if len.is_some() { EntryKind::File } else { EntryKind::Directory },
        mode: if len.is_some() { 0o644 } else { 0o755 },
        uid: 0,
        gid: 0,
        user: b"root".to_vec(),
        group: b"root".to_vec(),
        size: len.unwrap_or(0) as u64,
        mtime: MTIME,
        ctime: MTIME,
        btime: None,
        nlink: 1,
        device: 1,
        inode,
        rdev: (0, 0),
        target: Vec::new(),
        xattrs: Vec::new(),
    }
}

/// A source whose entries are the same on every machine.
pub struct WorkSource(Entries);

impl Source for WorkSource {
    fn describe(&self) -> Description {
        Description { paths: vec![ROOT.into()], reopens: true, stable_identity: true }
    }

    fn walk(&self, emit: &mut dyn FnMut(Walked) -> bool) -> io::Result<()> {
        for (key, (meta, _)) in &self.0 {
            let (key, meta) = (key.clone(), meta.clone());
            if !emit(Walked::Entry(FoundEntry::new(key, meta, Handle::KEY))) {
                break;
            }
        }
        Ok(())
    }

    fn open(&self, found: &FoundEntry) -> io::Result<Box<dyn SourceFile>> {
        match self.0.get(&found.key) {
            Some((meta, Some(content))) => {
                Ok(Box::new(Open { content: content.clone(), print: Fingerprint::of(meta) }))
            }
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn xattrs(&self, _found: &FoundEntry) -> io::Result<Vec<Xattr>> {
        Ok(Vec::new())
    }
}

struct Open {
    content: Arc<Vec<u8>>,
    print: Fingerprint,
}

impl SourceFile for Open {
    fn fingerprint(&self) -> io::Result<Option<Fingerprint>> {
        Ok(Some(self.print))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.content.get(offset..)).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn next_data(&self, offset: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
        Ok((offset < size).then_some((offset, size)))
    }
}
