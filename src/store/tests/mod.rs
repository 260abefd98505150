//! Tests of the opened store on storage in memory: a small backup and its way back, and everything that goes wrong.

mod adoption;
mod creation;
mod damage;
mod faults;
mod listing;
mod sessions;
mod tampering;

pub(crate) use listing::put_record;

use super::machine_folders::tests::machine;
use super::open::CreateOptions;
use super::session::{Committed, Session};
use super::{MachineFolders, Store, StoreError};
use crate::base::id::{ContentId, ObjectId};
use crate::base::limits::{BLOCK_ALIGN, KIB};
use crate::base::time::Time;
use crate::codec::Compression;
use crate::crypto::slot::{Credential, KdfCost};
use crate::format::blob::BlobKind;
use crate::format::list::Item;
use crate::format::pack::PackKind;
use crate::format::session::SessionPurpose;
use crate::format::snapshot::Manifest;
use crate::format::tree::{Content, Entry, EntryKind, Meta, Node};
use crate::object::writer::PackWriter;
use crate::storage::{BlockPool, MemoryStorage, Storage};
use crate::tree::reader::Reader;
use std::ops::ControlFlow;
use std::sync::Arc;
use zeroize::Zeroizing;

/// One machine: its folders, gone with it.
pub(crate) struct Machine {
    _folder: tempfile::TempDir,
    pub(crate) places: MachineFolders,
}

impl Machine {
    pub(crate) fn new() -> Machine {
        let (folder, places) = machine();
        Machine { _folder: folder, places }
    }

    pub(crate) fn open(&self, storage: &Arc<dyn Storage>) -> Result<Arc<Store>, StoreError> {
        Store::open(storage.clone(), &key_file(7), self.places.clone()).map(Arc::new)
    }

    pub(crate) fn create(&self, storage: &Arc<dyn Storage>) -> Result<Arc<Store>, StoreError> {
        Store::create(storage.clone(), &key_file(7), self.places.clone(), options()).map(Arc::new)
    }
}

/// A machine with a new store in memory.
pub(crate) fn new_store() -> (Machine, Arc<MemoryStorage>, Arc<Store>) {
    let (machine, memory) = (Machine::new(), Arc::new(MemoryStorage::default()));
    let storage: Arc<dyn Storage> = memory.clone();
    let store = machine.create(&storage).unwrap();
    (machine, memory, store)
}

pub(crate) fn key_file(byte: u8) -> Credential {
    Credential::KeyFile(Zeroizing::new([byte; 32]))
}

pub(crate) fn passphrase(text: &str) -> Credential {
    Credential::Passphrase(Zeroizing::new(text.into()))
}

pub(crate) const CHEAP: KdfCost = KdfCost { memory_kib: 64, passes: 1 };

pub(crate) fn options() -> CreateOptions {
    CreateOptions { pack_bytes: Some(16 * KIB as u32), kdf: CHEAP, ..CreateOptions::default() }
}

pub(crate) fn begin(store: &Arc<Store>, host: &str) -> Result<Session, StoreError> {
    Session::begin(store.clone(), SessionPurpose::Backup, host, Vec::new())
}

pub(crate) fn entry(key: &[u8], kind: EntryKind, content: Content) -> Entry {
    let size = content.stored_len().unwrap_or(0);
    let meta = Meta {
        kind,
        mode: 0o644,
        uid: 0,
        gid: 0,
        user: Vec::new(),
        group: Vec::new(),
        size,
        mtime: Time::default(),
        ctime: Time::default(),
        btime: None,
        nlink: 1,
        device: 1,
        inode: 1,
        rdev: (0, 0),
        target: Vec::new(),
        xattrs: Vec::new(),
    };
    Entry { key: key.to_vec(), meta, content, changed_while_read: false, extensions: Vec::new() }
}

/// Puts one thing into packs of its own, unless the index has it or a killed run left it.
pub(crate) fn put(session: &Session, kind: BlobKind, plain: &[u8]) -> Result<ContentId, StoreError> {
    let store = session.store();
    let id = store.ring.id_of(kind, plain);
    if store.index.read().contains(&id) {
        return Ok(id);
    }
    if let Some(location) = session.adoptable()?.get(&id) {
        _ = session.adopted(&[(id, location)])?;
        return Ok(id);
    }
    let pack_kind = if kind == BlobKind::Chunks { PackKind::Data } else { PackKind::Tree };
    let (storage, ring, blocks) = (store.storage.clone(), store.ring.clone(), BlockPool::new(1, BLOCK_ALIGN));
    let pack_bytes = store.config.pack_bytes;
    let mut writer = PackWriter::new(storage, ring, pack_kind, session.id(), pack_bytes, Compression::Lz4, blocks);
    writer.append(kind, id, plain)?;
    for pack in writer.finish()? {
        _ = session.stored(pack)?;
    }
    Ok(id)
}

/// Stores a tree of one file with this content and gives the manifest for it.
pub(crate) fn store_tree(session: &Session, host: &str, content: &[u8]) -> Result<Manifest, StoreError> {
    let chunk = put(session, BlobKind::Chunks, content)?;
    let items = Content::Items(vec![Item::Chunk { id: chunk, len: content.len() as u32 }]);
    let entries = vec![entry(b"", EntryKind::Directory, Content::Empty), entry(b"\0file", EntryKind::File, items)];
    let node = Node::Leaf(entries);
    let root = put(session, BlobKind::Node, &node.encode())?;
    Ok(Manifest { root, totals: node.totals(), session: session.id(), host: host.into(), ..manifest() })
}

/// A manifest of nothing.
pub(crate) fn manifest() -> Manifest {
    let now = Time::now();
    Manifest {
        root: ContentId([0; 32]),
        root_level: 0,
        totals: Default::default(),
        session: crate::base::id::SessionId([0; 16]),
        host: "host".into(),
        user: "me".into(),
        paths: vec![b"/".to_vec()],
        tags: Vec::new(),
        time: now,
        started: now,
        ended: now,
        errors: 0,
        novel_bytes: 0,
        stored_bytes: 0,
        program: "test".into(),
        sequence: 0,
        previous: None,
        heads: Vec::new(),
        parent: None,
        options: Vec::new(),
        extensions: Vec::new(),
    }
}

/// A whole small backup.
pub(crate) fn backup(store: &Arc<Store>, host: &str, content: &[u8]) -> Result<Committed, StoreError> {
    let session = begin(store, host)?;
    let manifest = store_tree(&session, host, content)?;
    session.commit(manifest)
}

/// Its way back.
pub(crate) fn restore(store: &Arc<Store>, snapshot: ObjectId) -> Result<Vec<u8>, StoreError> {
    store.load_index()?;
    let root = store.find_snapshot(&snapshot.to_string())?.manifest.root;
    let mut reader = Reader::new(store.clone(), 1 << 20);
    let file = reader.entry(&root, b"\0file")?.ok_or_else(|| StoreError::NoSnapshot("no file in it".into()))?;
    let mut ids = Vec::new();
    reader.items(&file.content, &mut |item| {
        if let Item::Chunk { id, .. } = item {
            ids.push(id);
        }
        ControlFlow::Continue(())
    })?;
    let parts = ids.iter().map(|id| reader.read(BlobKind::Chunks, id)).collect::<Result<Vec<_>, _>>()?;
    Ok(parts.concat())
}

pub(crate) fn ids(store: &Arc<Store>) -> Vec<ObjectId> {
    let (snapshots, damaged) = store.snapshots().unwrap();
    assert!(damaged.is_empty(), "{damaged:?}");
    snapshots.iter().map(|snapshot| snapshot.id).collect()
}
