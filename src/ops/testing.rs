//! For tests: a store in memory, and a source whose entries are given one by one, whatever they are.

use crate::base::path::key_of;
use crate::base::time::Time;
use crate::chunking::default_params;
use crate::crypto::slot::Credential;
use crate::format::config::ChunkerParams;
use crate::format::tree::{EntryKind, Meta, Xattr};
use crate::monitor::Silent;
use crate::ops::backup::{BackupOptions, BackupStats};
use crate::source::{Description, Fingerprint, FoundEntry, Handle, Source, SourceFile, Walked};
use crate::storage::memory::MemoryStorage;
use crate::storage::{Storage, StorageKey};
use crate::store::open::CreateOptions;
use crate::store::{MachineFolders, Store, StoreError};
use std::io;
use std::sync::Arc;

/// A store in memory with folders of its own.
pub struct Bench {
    pub storage: Arc<MemoryStorage>,
    pub store: Arc<Store>,
    pub folders: tempfile::TempDir,
}

fn credential() -> Credential {
    Credential::KeyFile([7; 32].into())
}

impl Bench {
    pub fn new() -> Bench {
        Bench::with_packs(1 << 20)
    }

    pub fn with_packs(pack_bytes: u32) -> Bench {
        let folders = tempfile::tempdir().unwrap();
        let storage = Arc::new(MemoryStorage::new());
        let places = MachineFolders { config: folders.path().join("config"), cache: folders.path().join("cache") };
        // Small chunks and packs, so that little data makes many of them.
        let chunker = ChunkerParams {
            min: 4 << 10,
            avg: 16 << 10,
            max: 64 << 10,
            mask_strict: 0xE000_0000_FFF0,
            mask_loose: 0xE000_0000_0FF0,
            ..default_params()
        };
        let options =
            CreateOptions { pack_bytes: Some(pack_bytes), chunker: Some(chunker), ..CreateOptions::default() };
        let store = Store::create(storage.clone(), &credential(), places, options).unwrap();
        Bench { storage, store: Arc::new(store), folders }
    }

    /// The store opened again, with an empty cache.
    pub fn open(&self, storage: Arc<dyn Storage>) -> Result<Arc<Store>, StoreError> {
        let other = tempfile::tempdir_in(self.folders.path()).unwrap().keep();
        let places = MachineFolders { config: other.join("config"), cache: other.join("cache") };
        Store::open(storage, &credential(), places).map(Arc::new)
    }

    /// The store opened again, on the machine that made it.
    pub fn reopen(&self) -> Store {
        Store::open(self.storage.clone(), &credential(), self.store.places.clone()).unwrap()
    }

    pub fn backup(&self, source: &Entries) -> BackupStats {
        let options = BackupOptions { host: "here".into(), force: true, threads: 1, ..BackupOptions::default() };
        crate::ops::backup::run(&self.store, source, &options, Arc::new(Silent)).unwrap()
    }

    /// Changes an object's bytes.
    pub fn damage(&self, key: &StorageKey, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.storage.get(key, usize::MAX).unwrap();
        change(&mut bytes);
        self.storage.replace(key, bytes);
    }

    /// The pack that holds most nodes.
    pub fn largest_tree_pack(&self) -> StorageKey {
        let trees = self.keys(|key| matches!(key, StorageKey::Tree(_)));
        trees.into_iter().max_by_key(|key| self.storage.get(key, usize::MAX).unwrap().len()).unwrap()
    }

    pub fn keys(&self, is: fn(&StorageKey) -> bool) -> Vec<StorageKey> {
        self.storage.keys().into_iter().filter(is).collect()
    }
}

/// Bytes that do not compress, another kind for each seed.
pub fn noise(len: usize, seed: u8) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut out);
    out
}

/// One entry: metadata, content, attributes, ranges of the content that are holes.
pub struct One {
    pub path: Vec<u8>,
    pub meta: Meta,
    pub content: Vec<u8>,
    pub xattrs: Vec<Xattr>,
    pub holes: Vec<(u64, u64)>,
}

/// A source of given entries, with ancestors made up where they are not given.
#[derive(Default)]
pub struct Entries(pub Vec<One>);

pub fn meta(kind: EntryKind) -> Meta {
    let time = Time { s: 1_500_000_000, ns: 250_000_000 };
    Meta {
        kind,
        mode: if kind == EntryKind::Directory { 0o755 } else { 0o644 },
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        user: vec![],
        group: vec![],
        size: 0,
        mtime: time,
        ctime: time,
        btime: None,
        nlink: 1,
        device: 1,
        inode: 0,
        rdev: (0, 0),
        target: vec![],
        xattrs: vec![],
    }
}

impl Entries {
    /// Adds an entry and gives it to be changed.
    pub fn add(&mut self, path: &str, kind: EntryKind) -> &mut One {
        let mut meta = meta(kind);
        meta.inode = 1000 + self.0.len() as u64;
        self.0.push(One { path: path.into(), meta, content: vec![], xattrs: vec![], holes: vec![] });
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    pub fn file(&mut self, path: &str, content: Vec<u8>) -> &mut One {
        let one = self.add(path, EntryKind::File);
        one.meta.size = content.len() as u64;
        one.content = content;
        one
    }

    pub fn directory(&mut self, path: &str) -> &mut One {
        self.add(path, EntryKind::Directory)
    }

    pub fn symlink(&mut self, path: &str, target: &str) -> &mut One {
        let one = self.add(path, EntryKind::Symlink);
        one.meta.target = target.into();
        one
    }

    fn find(&self, found: &FoundEntry) -> io::Result<&One> {
        self.0.iter().find(|one| key_of(&one.path).unwrap() == found.key).ok_or(io::ErrorKind::NotFound.into())
    }
}

impl Source for Entries {
    fn describe(&self) -> Description {
        Description { paths: vec![b"/".to_vec()], reopens: true, stable_identity: true }
    }

    fn walk(&self, emit: &mut dyn FnMut(Walked) -> bool) -> io::Result<()> {
        let mut keys: Vec<(Vec<u8>, Meta, bool)> = vec![(vec![], meta(EntryKind::Directory), false)];
        keys.extend(self.0.iter().map(|o| (key_of(&o.path).unwrap(), o.meta.clone(), !o.holes.is_empty())));
        keys.sort_by(|a, b| a.0.cmp(&b.0));
        for (key, meta, sparse) in keys {
            let found = FoundEntry { sparse, ..FoundEntry::new(key, meta, Handle::KEY) };
            if !emit(Walked::Entry(found)) {
                break;
            }
        }
        Ok(())
    }

    fn open(&self, found: &FoundEntry) -> io::Result<Box<dyn SourceFile>> {
        let one = self.find(found)?;
        let (content, holes) = (one.content.clone(), one.holes.clone());
        Ok(Box::new(OpenOne { content, holes, fingerprint: Fingerprint::of(&one.meta), xattrs: one.xattrs.clone() }))
    }

    fn xattrs(&self, found: &FoundEntry) -> io::Result<Vec<Xattr>> {
        Ok(self.find(found).map(|one| one.xattrs.clone()).unwrap_or_default())
    }
}

struct OpenOne {
    content: Vec<u8>,
    holes: Vec<(u64, u64)>,
    fingerprint: Fingerprint,
    xattrs: Vec<Xattr>,
}

impl SourceFile for OpenOne {
    fn fingerprint(&self) -> io::Result<Option<Fingerprint>> {
        Ok(Some(self.fingerprint))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = self.content.get(offset as usize..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn xattrs(&self) -> io::Result<Vec<Xattr>> {
        Ok(self.xattrs.clone())
    }

    fn next_data(&self, offset: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
        let mut at = offset;
        for &(from, to) in &self.holes {
            if at >= from && at < to {
                at = to;
            }
        }
        let end = self.holes.iter().map(|hole| hole.0).find(|&from| from > at).unwrap_or(size);
        Ok((at < size).then_some((at, end)))
    }
}
