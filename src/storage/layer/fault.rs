//! A storage that fails on purpose: at the n-th operation, before or after it took effect, once or for ever.
//!
//! A test runs its scenario once to count the operations, then once for each of them and each [`Fault`].

use super::OperationKind;
use crate::storage::{Area, Block, Capabilities, Created, Listed, Storage, StorageError, StorageKey, StorageWriter};
use parking_lot::Mutex;
use std::io;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens and an error comes back.
    NotApplied,
    /// It takes effect, yet an error comes back: the answer was lost.
    LostAnswer,
    /// Of what was to be written only so much arrives, in a temporary file, never under the object's name; an error
    /// comes back. Operations that write nothing are not applied.
    Torn(Prefix),
    /// The process ends just before: this operation and all later ones do nothing, and nobody cleans up.
    Gone,
    /// What is read has this bit flipped (counted modulo its length).
    Flip(u64),
    /// What is read ends half-way: `get` gives less and calls it all, `get_range` says `Short`.
    ShortRead,
}

impl Fault {
    /// Those of writing, in every variant.
    pub const WRITES: [Fault; 7] = [
        Fault::NotApplied,
        Fault::LostAnswer,
        Fault::Gone,
        Fault::Torn(Prefix::Nothing),
        Fault::Torn(Prefix::OneByte),
        Fault::Torn(Prefix::Half),
        Fault::Torn(Prefix::AllButOne),
    ];

    fn concerns(self, kind: OperationKind) -> bool {
        match self {
            Fault::Flip(_) | Fault::ShortRead => matches!(kind, OperationKind::Get | OperationKind::GetRange),
            _ => true,
        }
    }
}

/// How much of a torn write arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Prefix {
    Nothing,
    OneByte,
    Half,
    AllButOne,
}

impl Prefix {
    fn of(self, len: usize) -> usize {
        match self {
            Prefix::Nothing => 0,
            Prefix::OneByte => len.min(1),
            Prefix::Half => len / 2,
            Prefix::AllButOne => len.saturating_sub(1),
        }
    }
}

/// When what goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The first operation that is hit, counted from 0 over those that count.
    pub at: u64,
    /// What happens to it.
    pub fault: Fault,
    /// Also to every later one (with [`Fault::Gone`] always so).
    pub forever: bool,
    /// The system error that comes back.
    pub error: io::ErrorKind,
    /// Which operations count; `None`: all.
    pub only: Option<OperationKind>,
}

impl Plan {
    /// Operation `at` fails once, with an error of no particular kind.
    pub fn at(at: u64, fault: Fault) -> Plan {
        Plan { at, fault, forever: false, error: io::ErrorKind::Other, only: None }
    }

    /// The same, and every later one too.
    pub fn from(at: u64, fault: Fault) -> Plan {
        Plan { forever: true, ..Plan::at(at, fault) }
    }
}

/// A storage that fails as planned.
pub struct FaultStorage {
    inner: Arc<dyn Storage>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    plan: Mutex<Option<Plan>>,
    /// Operations that count under the plan, all operations, and those that were hit.
    counted: AtomicU64,
    operations: AtomicU64,
    hits: AtomicU64,
}

/// A fault, and the error to give.
type Hit = (Fault, StorageError);

impl State {
    fn plan(&self) -> Option<Plan> {
        *self.plan.lock()
    }

    fn step(&self, kind: OperationKind, object: &dyn ToString) -> Option<Hit> {
        self.operations.fetch_add(1, Ordering::SeqCst);
        let plan = self.plan()?;
        if plan.only.is_some_and(|only| only != kind) && !self.gone() {
            return None;
        }
        let n = self.counted.fetch_add(1, Ordering::SeqCst);
        let forever = plan.forever || plan.fault == Fault::Gone;
        if n < plan.at || (n > plan.at && !forever) || !plan.fault.concerns(kind) {
            return None;
        }
        self.hits.fetch_add(1, Ordering::SeqCst);
        let what = format!("a fault on purpose ({:?}, operation {n})", plan.fault);
        Some((plan.fault, StorageError::new(kind.verb(), object.to_string(), io::Error::new(plan.error, what))))
    }

    fn gone(&self) -> bool {
        self.hits.load(Ordering::SeqCst) > 0 && self.plan().is_some_and(|plan| plan.fault == Fault::Gone)
    }

    /// For operations that write nothing that can be torn, and read nothing that can be flipped.
    fn simple<T>(
        &self,
        kind: OperationKind,
        object: &dyn ToString,
        apply: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        match self.step(kind, object) {
            None => apply(),
            Some((Fault::LostAnswer, error)) => apply().and(Err(error)),
            Some((_, error)) => Err(error),
        }
    }
}

impl FaultStorage {
    /// Around another storage; without a plan it only counts.
    pub fn new(inner: Arc<dyn Storage>, plan: Option<Plan>) -> FaultStorage {
        let storage = FaultStorage { inner, state: Arc::default() };
        if let Some(plan) = plan {
            storage.arm(plan);
        }
        storage
    }

    /// From now on fails by this plan, whose count begins here.
    pub fn arm(&self, plan: Plan) {
        let mut place = self.state.plan.lock();
        self.state.counted.store(0, Ordering::SeqCst);
        self.state.hits.store(0, Ordering::SeqCst);
        *place = Some(plan);
    }

    /// How many operations there were.
    pub fn operations(&self) -> u64 {
        self.state.operations.load(Ordering::SeqCst)
    }

    /// How many of them were hit: 0 means that the run ended before the plan came true.
    pub fn hits(&self) -> u64 {
        self.state.hits.load(Ordering::SeqCst)
    }

    /// Leaves behind a temporary file with the first `len` of `bytes`.
    fn leave_torn(&self, area: Area, bytes: &[u8]) -> Result<(), StorageError> {
        let mut writer = ManuallyDrop::new(self.inner.writer(area)?);
        let mut block = Block::new(bytes.len());
        block.fill(bytes);
        writer.append(&mut block)
    }
}

#[deny(clippy::missing_trait_methods)]
impl Storage for FaultStorage {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn put_if_absent(&self, key: &StorageKey, bytes: &[u8]) -> Result<Created, StorageError> {
        match self.state.step(OperationKind::Put, key) {
            None => self.inner.put_if_absent(key, bytes),
            Some((Fault::LostAnswer, error)) => self.inner.put_if_absent(key, bytes).and(Err(error)),
            Some((Fault::Torn(prefix), error)) => {
                self.leave_torn(key.area(), &bytes[..prefix.of(bytes.len())]).and(Err(error))
            }
            Some((_, error)) => Err(error),
        }
    }

    fn writer(&self, area: Area) -> Result<Box<dyn StorageWriter>, StorageError> {
        let inner = self.state.simple(OperationKind::Begin, &area.folder(), || self.inner.writer(area))?;
        Ok(Box::new(FaultWriter { inner: Some(inner), state: self.state.clone(), area, failed: false, torn: false }))
    }

    fn get(&self, key: &StorageKey, max: usize) -> Result<Vec<u8>, StorageError> {
        match self.state.step(OperationKind::Get, key) {
            None => self.inner.get(key, max),
            Some((Fault::Flip(bit), _)) => self.inner.get(key, max).map(|mut bytes| {
                flip(&mut bytes, bit);
                bytes
            }),
            Some((Fault::ShortRead, _)) => self.inner.get(key, max).map(|mut bytes| {
                bytes.truncate(bytes.len() / 2);
                bytes
            }),
            Some((_, error)) => Err(error),
        }
    }

    fn get_range(&self, key: &StorageKey, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        match self.state.step(OperationKind::GetRange, key) {
            None => self.inner.get_range(key, offset, buf),
            Some((Fault::Flip(bit), _)) => {
                self.inner.get_range(key, offset, buf)?;
                flip(buf, bit);
                Ok(())
            }
            Some((Fault::ShortRead, _)) => {
                let half = buf.len() / 2;
                self.inner.get_range(key, offset, &mut buf[..half])?;
                Err(StorageError::short("read", key, offset.saturating_add(buf.len() as u64)))
            }
            Some((_, error)) => Err(error),
        }
    }

    fn head(&self, key: &StorageKey) -> Result<Listed, StorageError> {
        self.state.simple(OperationKind::Head, key, || self.inner.head(key))
    }

    /// With [`Fault::LostAnswer`] the whole listing is given and then the error.
    fn list(&self, area: Area, found: &mut dyn FnMut(Listed)) -> Result<(), StorageError> {
        self.state.simple(OperationKind::List, &area.folder(), || self.inner.list(area, found))
    }

    fn delete(&self, key: &StorageKey) -> Result<(), StorageError> {
        self.state.simple(OperationKind::Delete, key, || self.inner.delete(key))
    }

    fn missing_folders(&self) -> Result<Vec<Area>, StorageError> {
        self.inner.missing_folders()
    }

    fn make_folder(&self, area: Area) -> Result<(), StorageError> {
        self.inner.make_folder(area)
    }
}

fn flip(bytes: &mut [u8], bit: u64) {
    if !bytes.is_empty() {
        let bit = (bit % (bytes.len() as u64 * 8)) as usize;
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

struct FaultWriter {
    /// `None` once it was left as it lay.
    inner: Option<Box<dyn StorageWriter>>,
    state: Arc<State>,
    area: Area,
    /// An append went wrong, so nothing may be committed.
    failed: bool,
    /// What was written is to stay where it lies, as after a kill.
    torn: bool,
}

impl FaultWriter {
    /// Nobody removes the temporary file.
    fn leave(&mut self) {
        std::mem::forget(self.inner.take());
    }

    fn take(&mut self) -> Result<Box<dyn StorageWriter>, StorageError> {
        self.inner.take().ok_or_else(|| {
            let e = io::Error::new(io::ErrorKind::InvalidInput, "after a fault on purpose");
            StorageError::new("write a file of", self.area.folder(), e)
        })
    }
}

#[deny(clippy::missing_trait_methods)]
impl StorageWriter for FaultWriter {
    fn append(&mut self, block: &mut Block) -> Result<(), StorageError> {
        let hit = self.state.step(OperationKind::Append, &self.area.folder());
        let mut inner = self.take()?;
        let result = match hit {
            None => inner.append(block),
            Some((Fault::LostAnswer, error)) => inner.append(block).and(Err(error)),
            Some((Fault::Torn(prefix), error)) => {
                let mut torn = Block::new(block.len());
                torn.fill(&block.bytes()[..prefix.of(block.len())]);
                self.torn = true;
                inner.append(&mut torn).and(Err(error))
            }
            Some((_, error)) => Err(error),
        };
        self.inner = Some(inner);
        self.failed |= result.is_err();
        result
    }

    fn commit(mut self: Box<Self>, key: &StorageKey) -> Result<Created, StorageError> {
        match self.state.step(OperationKind::Commit, key) {
            None if self.failed => {
                let e = io::Error::new(io::ErrorKind::InvalidInput, "a file after an error");
                Err(StorageError::new("create", key, e))
            }
            None => self.take()?.commit(key),
            Some((Fault::LostAnswer, error)) => self.take()?.commit(key).and(Err(error)),
            Some((Fault::Torn(_), error)) => {
                self.leave();
                Err(error)
            }
            Some((_, error)) => Err(error),
        }
    }

    fn abort(mut self: Box<Self>) {
        let hit = self.state.step(OperationKind::Abort, &self.area.folder());
        if let (None | Some((Fault::LostAnswer, _)), Some(inner)) = (hit, self.inner.take()) {
            inner.abort();
        }
    }
}

impl Drop for FaultWriter {
    fn drop(&mut self) {
        if self.torn || self.state.gone() {
            self.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::ObjectId;
    use crate::base::limits::BLOCK_ALIGN;
    use crate::storage::local::LocalStorage;
    use std::fs;

    const RECORD: StorageKey = StorageKey::State(ObjectId([1; 32]));
    const PACK: StorageKey = StorageKey::Pack(ObjectId([2; 32]));

    /// A put and a pack of two blocks; ends at the first error, as a backup does.
    fn scenario(storage: &dyn Storage) -> Result<(), StorageError> {
        storage.put_if_absent(&RECORD, b"record")?;
        let mut writer = storage.writer(Area::Packs)?;
        for len in [BLOCK_ALIGN, 100] {
            let mut block = Block::new(BLOCK_ALIGN);
            block.fill(&vec![7; len]);
            writer.append(&mut block)?;
        }
        writer.commit(&PACK)?;
        storage.list(Area::Packs, &mut |_| ())?;
        Ok(())
    }

    /// Names and lengths in the folder of a store, `tmp` first.
    fn files(storage: &LocalStorage) -> (Vec<u64>, Vec<StorageKey>) {
        let temporary = fs::read_dir(storage.folder().join("tmp")).into_iter().flatten();
        let mut left: Vec<u64> = temporary.map(|e| e.unwrap().metadata().unwrap().len()).collect();
        left.sort();
        let mut keys = Vec::new();
        for area in Area::ALL {
            storage.list(area, &mut |listed| keys.push(listed.key)).unwrap();
        }
        (left, keys)
    }

    #[test]
    fn every_fault_at_every_operation_leaves_whole_objects_or_none() {
        let operations = {
            let storage = FaultStorage::new(Arc::new(crate::storage::MemoryStorage::new()), None);
            scenario(&storage).unwrap();
            storage.operations()
        };
        assert_eq!(operations, 6);
        for at in 0..operations {
            for fault in Fault::WRITES {
                let folder = crate::storage::local::quick_folder();
                let disk = Arc::new(LocalStorage::create(&folder.path().join("s")).unwrap());
                let storage = FaultStorage::new(disk.clone(), Some(Plan::at(at, fault)));
                scenario(&storage).expect_err("the fault was swallowed");
                assert_eq!(storage.hits(), 1, "{fault:?} at {at}");

                let (left, keys) = files(&disk);
                let lost = u64::from(fault == Fault::LostAnswer);
                let expected =
                    [RECORD, PACK].into_iter().zip([0, 4]).filter(|(_, n)| at + lost > *n).map(|(key, _)| key);
                let mut expected: Vec<_> = expected.collect();
                expected.sort_by_key(|key| key.area());
                assert_eq!(keys, expected, "{fault:?} at {at}");
                for key in keys {
                    let len = if key == PACK { BLOCK_ALIGN + 100 } else { 6 };
                    assert_eq!(disk.get(&key, 1 << 20).unwrap().len(), len, "{fault:?} at {at}: {key}");
                }
                // A torn put or append, or a kill between begin and commit, leaves its temporary file.
                let expected = match fault {
                    Fault::Torn(_) => usize::from(matches!(at, 0 | 2..=4)),
                    Fault::Gone => usize::from(matches!(at, 2..=4)),
                    _ => 0,
                };
                assert_eq!(left.len(), expected, "{fault:?} at {at}: temporary files {left:?}");
                if let (Fault::Torn(prefix), Some(&len), 0) = (fault, left.first(), at) {
                    assert!((prefix.of(6) as u64..=BLOCK_ALIGN as u64).contains(&len), "{fault:?}: {left:?}");
                }
            }
        }
    }

    #[test]
    fn gone_is_gone_for_every_later_operation() {
        let storage = FaultStorage::new(Arc::new(crate::storage::MemoryStorage::new()), Some(Plan::at(1, Fault::Gone)));
        storage.put_if_absent(&RECORD, b"x").unwrap();
        storage.get(&RECORD, 9).unwrap_err();
        storage.head(&RECORD).unwrap_err();
        storage.list(Area::State, &mut |_| panic!("listed")).unwrap_err();
        storage.delete(&RECORD).unwrap_err();
        assert!(storage.inner.get(&RECORD, 9).is_ok());
        assert_eq!((storage.operations(), storage.hits()), (5, 4));
    }

    #[test]
    fn a_fault_comes_once_or_for_ever_and_counts_what_the_plan_names() {
        let storage = FaultStorage::new(Arc::new(crate::storage::MemoryStorage::new()), None);
        storage.put_if_absent(&RECORD, b"x").unwrap();
        let errors = |storage: &FaultStorage| [(); 4].map(|()| storage.get(&RECORD, 9).is_err());
        storage.arm(Plan::at(1, Fault::NotApplied));
        assert_eq!(errors(&storage), [false, true, false, false]);
        storage.arm(Plan::from(2, Fault::NotApplied));
        assert_eq!(errors(&storage), [false, false, true, true]);
        storage.arm(Plan { only: Some(OperationKind::Head), ..Plan::from(0, Fault::NotApplied) });
        assert_eq!(errors(&storage), [false; 4]);
        storage.arm(Plan { error: io::ErrorKind::StorageFull, ..Plan::at(0, Fault::LostAnswer) });
        let error = storage.put_if_absent(&PACK, b"y").unwrap_err();
        assert_eq!(error.kind, crate::storage::StorageErrorKind::Full);
        assert_eq!(storage.get(&PACK, 1).unwrap(), b"y", "it took effect all the same");
    }

    #[test]
    fn reads_come_back_flipped_or_short() {
        let storage = FaultStorage::new(Arc::new(crate::storage::MemoryStorage::new()), None);
        storage.put_if_absent(&RECORD, &[0; 10]).unwrap();
        storage.arm(Plan::from(0, Fault::Flip(80 + 13)));
        let mut flipped = [0; 10];
        flipped[1] = 1 << 5;
        assert_eq!(storage.get(&RECORD, 10).unwrap(), flipped);
        let mut buf = [9; 10];
        storage.get_range(&RECORD, 0, &mut buf).unwrap();
        assert_eq!(buf, flipped);
        storage.head(&RECORD).unwrap();
        storage.arm(Plan::from(0, Fault::ShortRead));
        assert_eq!(storage.get(&RECORD, 10).unwrap(), [0; 5]);
        let error = storage.get_range(&RECORD, 0, &mut buf).unwrap_err();
        assert_eq!(error.kind, crate::storage::StorageErrorKind::Short);
    }
}
