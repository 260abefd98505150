//! A storage that counts and lists its operations. Tests use it to say which objects a command may touch, and the gate
//! to count requests.

use super::OperationKind;
use crate::storage::{Area, Block, Capabilities, Created, Listed, Storage, StorageError, StorageKey, StorageWriter};
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;

/// One operation as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    pub kind: OperationKind,
    /// In which area.
    pub area: Area,
    /// On which object; `None` where it has no name (yet).
    pub key: Option<StorageKey>,
    /// Bytes written or read; for a listing the number of objects.
    pub bytes: u64,
    /// Whether it went well.
    pub ok: bool,
}

/// A storage whose operations are listed. The list grows until it is taken.
pub struct RecordStorage {
    inner: Arc<dyn Storage>,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log(Mutex<Vec<Operation>>);

impl Log {
    fn operations(&self) -> MutexGuard<'_, Vec<Operation>> {
        self.0.lock()
    }

    fn add<T>(
        &self,
        kind: OperationKind,
        (area, key): (Area, Option<StorageKey>),
        bytes: impl FnOnce(&T) -> u64,
        result: Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let (bytes, ok) = (result.as_ref().map_or(0, bytes), result.is_ok());
        self.operations().push(Operation { kind, area, key, bytes, ok });
        result
    }
}

impl RecordStorage {
    /// Around another storage.
    pub fn new(inner: Arc<dyn Storage>) -> RecordStorage {
        RecordStorage { inner, log: Arc::default() }
    }

    /// What happened so far.
    pub fn operations(&self) -> Vec<Operation> {
        self.log.operations().clone()
    }

    /// What happened so far; the list is empty afterwards.
    pub fn take(&self) -> Vec<Operation> {
        std::mem::take(&mut self.log.operations())
    }

    /// How many operations of a kind there were.
    pub fn count(&self, kind: OperationKind) -> usize {
        self.log.operations().iter().filter(|o| o.kind == kind).count()
    }

    /// How many bytes they moved.
    pub fn bytes(&self, kind: OperationKind) -> u64 {
        self.log.operations().iter().filter(|o| o.kind == kind).map(|o| o.bytes).sum()
    }
}

fn of(key: &StorageKey) -> (Area, Option<StorageKey>) {
    (key.area(), Some(*key))
}

// A method added to the trait with a body of its own would go round the list.
#[deny(clippy::missing_trait_methods)]
impl Storage for RecordStorage {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn put_if_absent(&self, key: &StorageKey, bytes: &[u8]) -> Result<Created, StorageError> {
        let result = self.inner.put_if_absent(key, bytes);
        self.log.add(OperationKind::Put, of(key), |_| bytes.len() as u64, result)
    }

    fn writer(&self, area: Area) -> Result<Box<dyn StorageWriter>, StorageError> {
        let inner = self.log.add(OperationKind::Begin, (area, None), |_| 0, self.inner.writer(area))?;
        Ok(Box::new(RecordWriter { inner, log: self.log.clone(), area }))
    }

    fn get(&self, key: &StorageKey, max: usize) -> Result<Vec<u8>, StorageError> {
        self.log.add(OperationKind::Get, of(key), |bytes| bytes.len() as u64, self.inner.get(key, max))
    }

    fn get_range(&self, key: &StorageKey, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        let result = self.inner.get_range(key, offset, buf);
        self.log.add(OperationKind::GetRange, of(key), |()| buf.len() as u64, result)
    }

    fn head(&self, key: &StorageKey) -> Result<Listed, StorageError> {
        self.log.add(OperationKind::Head, of(key), |_| 0, self.inner.head(key))
    }

    fn list(&self, area: Area, found: &mut dyn FnMut(Listed)) -> Result<(), StorageError> {
        let mut count = 0;
        let result = self.inner.list(area, &mut |listed| {
            count += 1;
            found(listed);
        });
        self.log.add(OperationKind::List, (area, None), |()| count, result)
    }

    fn delete(&self, key: &StorageKey) -> Result<(), StorageError> {
        self.log.add(OperationKind::Delete, of(key), |()| 0, self.inner.delete(key))
    }

    fn missing_folders(&self) -> Result<Vec<Area>, StorageError> {
        self.inner.missing_folders()
    }

    fn make_folder(&self, area: Area) -> Result<(), StorageError> {
        self.inner.make_folder(area)
    }
}

struct RecordWriter {
    inner: Box<dyn StorageWriter>,
    log: Arc<Log>,
    area: Area,
}

#[deny(clippy::missing_trait_methods)]
impl StorageWriter for RecordWriter {
    fn append(&mut self, block: &mut Block) -> Result<(), StorageError> {
        let result = self.inner.append(block);
        self.log.add(OperationKind::Append, (self.area, None), |()| block.len() as u64, result)
    }

    fn commit(self: Box<Self>, key: &StorageKey) -> Result<Created, StorageError> {
        let result = self.inner.commit(key);
        self.log.add(OperationKind::Commit, of(key), |_| 0, result)
    }

    fn abort(self: Box<Self>) {
        self.inner.abort();
        // Cannot fail.
        let _ = self.log.add(OperationKind::Abort, (self.area, None), |()| 0, Ok(()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::ObjectId;
    use crate::storage::MemoryStorage;

    #[test]
    fn every_operation_is_listed_with_its_bytes() {
        let storage = RecordStorage::new(Arc::new(MemoryStorage::new()));
        let (state, pack) = (StorageKey::State(ObjectId([1; 32])), StorageKey::Pack(ObjectId([2; 32])));
        let mut block = Block::new(1);
        block.fill(b"seven b");
        let mut writer = storage.writer(Area::Packs).unwrap();
        writer.append(&mut block).unwrap();
        writer.commit(&pack).unwrap();
        storage.writer(Area::Trees).unwrap().abort();
        storage.put_if_absent(&state, b"abc").unwrap();
        storage.get(&state, 2).unwrap_err();
        storage.get(&state, 3).unwrap();
        storage.get_range(&pack, 1, &mut [0; 5]).unwrap();
        storage.head(&pack).unwrap();
        storage.list(Area::State, &mut |_| ()).unwrap();
        storage.delete(&state).unwrap();

        use OperationKind::*;
        let (trees, packs) = ((Area::Trees, None), (Area::Packs, None));
        let expected = [
            (Begin, packs, 0, true),
            (Append, packs, 7, true),
            (Commit, of(&pack), 0, true),
            (Begin, trees, 0, true),
            (Abort, trees, 0, true),
            (Put, of(&state), 3, true),
            (Get, of(&state), 0, false),
            (Get, of(&state), 3, true),
            (GetRange, of(&pack), 5, true),
            (Head, of(&pack), 0, true),
            (List, (Area::State, None), 1, true),
            (Delete, of(&state), 0, true),
        ];
        let expected = expected.map(|(kind, (area, key), bytes, ok)| Operation { kind, area, key, bytes, ok });
        assert_eq!(storage.operations(), expected);
        assert_eq!((storage.count(Get), storage.bytes(Get), storage.bytes(Append)), (2, 3, 7));
        assert_eq!(storage.take().len(), expected.len());
        assert!(storage.operations().is_empty());
    }
}
