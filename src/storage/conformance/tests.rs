//! The suite passes for our storages, and notices each kind of lie.

use super::super::layer::{FaultStorage, RecordStorage};
use super::super::{Capabilities, LocalStorage, MemoryStorage, StorageWriter};
use super::*;
use std::sync::Arc;

fn run_or_say(storage: &dyn Storage) {
    run(storage).unwrap_or_else(|unfit| panic!("{}: {unfit}", storage.location()));
}

#[test]
fn memory_passes() {
    run_or_say(&MemoryStorage::new());
}

#[test]
fn a_folder_on_a_disk_passes_and_keeps_no_temporary_files() {
    let folder = tempfile::tempdir().unwrap();
    let storage = LocalStorage::create(&folder.path().join("store")).unwrap();
    run_or_say(&storage);
    assert_eq!(std::fs::read_dir(storage.folder().join("tmp")).unwrap().count(), 0);
}

#[test]
fn a_folder_in_memory_passes() {
    let folder = crate::storage::local::quick_folder();
    run_or_say(&LocalStorage::create(&folder.path().join("store")).unwrap());
}

#[test]
fn wrapped_storages_pass() {
    run_or_say(&RecordStorage::new(Arc::new(FaultStorage::new(Arc::new(MemoryStorage::new()), None))));
}

/// What a bad storage does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lie {
    Replaces,
    SaysNewTwice,
    ListsLess,
    ListsWrongLength,
    ListsWithoutTime,
    GivesLess,
    GivesLarger,
    ShiftsRanges,
    FillsPastTheEnd,
    FindsNothingEmpty,
    KeepsDeleted,
    FailsToDeleteTwice,
    WritesPadding,
    KeepsAborted,
    TakesAnyName,
}

struct Liar(Arc<MemoryStorage>, Lie);

impl Liar {
    fn lies(&self, lie: Lie) -> bool {
        self.1 == lie
    }
}

impl Storage for Liar {
    fn location(&self) -> String {
        format!("{:?}", self.1)
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn put_if_absent(&self, key: &StorageKey, bytes: &[u8]) -> Result<Created, StorageError> {
        if self.lies(Lie::Replaces) {
            let created = self.0.put_if_absent(key, bytes);
            self.0.replace(key, bytes);
            return created;
        }
        let created = self.0.put_if_absent(key, bytes)?;
        Ok(if self.lies(Lie::SaysNewTwice) { Created::New } else { created })
    }

    fn writer(&self, area: Area) -> Result<Box<dyn StorageWriter>, StorageError> {
        let lie = self.1;
        Ok(Box::new(LiarWriter { storage: self.0.clone(), inner: Some(self.0.writer(area)?), area, lie }))
    }

    fn get(&self, key: &StorageKey, max: usize) -> Result<Vec<u8>, StorageError> {
        let max = if self.lies(Lie::GivesLarger) { usize::MAX } else { max };
        let mut bytes = match self.0.get(key, max) {
            Err(e) if e.kind == StorageErrorKind::NotFound && self.lies(Lie::FindsNothingEmpty) => Vec::new(),
            other => other?,
        };
        if self.lies(Lie::GivesLess) {
            bytes.pop();
        }
        Ok(bytes)
    }

    fn get_range(&self, key: &StorageKey, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        let offset = if self.lies(Lie::ShiftsRanges) && offset > 0 { offset - 1 } else { offset };
        match self.0.get_range(key, offset, buf) {
            Err(e) if e.kind == StorageErrorKind::Short && self.lies(Lie::FillsPastTheEnd) => Ok(()),
            other => other,
        }
    }

    fn head(&self, key: &StorageKey) -> Result<Listed, StorageError> {
        self.0.head(key)
    }

    fn list(&self, area: Area, found: &mut dyn FnMut(Listed)) -> Result<(), StorageError> {
        let mut n = 0;
        self.0.list(area, &mut |mut listed| {
            n += 1;
            listed.len += u64::from(self.lies(Lie::ListsWrongLength));
            if self.lies(Lie::ListsWithoutTime) {
                listed.stored = Time::default();
            }
            // As a page of a listing that is taken for all of it.
            if n <= 10 || !self.lies(Lie::ListsLess) {
                found(listed);
            }
        })
    }

    fn delete(&self, key: &StorageKey) -> Result<(), StorageError> {
        match self.1 {
            Lie::KeepsDeleted => Ok(()),
            Lie::FailsToDeleteTwice => self.0.head(key).and(self.0.delete(key)),
            _ => self.0.delete(key),
        }
    }
}

struct LiarWriter {
    storage: Arc<MemoryStorage>,
    inner: Option<Box<dyn StorageWriter>>,
    area: Area,
    lie: Lie,
}

impl StorageWriter for LiarWriter {
    fn append(&mut self, block: &mut Block) -> Result<(), StorageError> {
        let mut padded = Block::new(block.capacity());
        padded.fill(if self.lie == Lie::WritesPadding { block.padded(BLOCK_ALIGN) } else { block.bytes() });
        self.inner.as_mut().unwrap().append(&mut padded)
    }

    fn commit(mut self: Box<Self>, key: &StorageKey) -> Result<Created, StorageError> {
        let inner = self.inner.take().unwrap();
        if self.lie == Lie::TakesAnyName && key.area() != self.area {
            return self.storage.put_if_absent(key, b"");
        }
        inner.commit(key)
    }

    fn abort(mut self: Box<Self>) {
        if self.lie == Lie::KeepsAborted && self.area == Area::Packs {
            let _ = self.inner.take().unwrap().commit(&StorageKey::Pack(ObjectId(random().unwrap())));
        }
    }
}

#[test]
fn the_suite_notices_every_lie() {
    use Lie::*;
    let lies = [
        (Replaces, "given once"),
        (SaysNewTwice, "given once"),
        (ListsLess, "listing"),
        (ListsWrongLength, "readers see"),
        (ListsWithoutTime, "listing"),
        (GivesLess, "given once"),
        (GivesLarger, "larger"),
        (ShiftsRanges, "ranges"),
        (FillsPastTheEnd, "ranges"),
        (FindsNothingEmpty, ""),
        (KeepsDeleted, "deleting"),
        (FailsToDeleteTwice, "not there"),
        (WritesPadding, ""),
        (KeepsAborted, "given up"),
        (TakesAnyName, "refuses"),
    ];
    for (lie, part_of_sentence) in lies {
        let unfit = run(&Liar(Arc::new(MemoryStorage::new()), lie)).expect_err(&format!("{lie:?} was not noticed"));
        assert!(unfit.test.contains(part_of_sentence), "{lie:?} was noticed by another test: {unfit}");
    }
}
