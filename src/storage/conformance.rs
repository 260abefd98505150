//! One suite that every storage passes: ours, wrapped ones and those that others write.
//!
//! ```
//! use larder::storage::{MemoryStorage, conformance};
//! conformance::run(&MemoryStorage::new())?;
//! # Ok::<(), conformance::Unfit>(())
//! ```

use super::{Area, Block, Created, Listed, Storage, StorageError, StorageErrorKind, StorageKey};
use crate::base::id::{ObjectId, SessionId};
use crate::base::limits::{BLOCK_ALIGN, BLOCK_BYTES};
use crate::base::time::Time;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// A promise that a storage does not keep.
#[derive(Debug, thiserror::Error)]
#[error("{test}: {what}")]
pub struct Unfit {
    /// Which test found it.
    pub test: &'static str,
    /// What was expected, and what came.
    pub what: String,
}

type Outcome = Result<(), String>;

/// A test and the sentence it tests. Each uses names of its own, so all can run on one storage.
pub type Test = (&'static str, fn(&dyn Storage) -> Result<(), String>);

/// All of them.
pub const TESTS: [Test; 12] = [
    ("a name is given once and its object stays as it was", names_are_given_once),
    ("of many creators at once exactly one wins", one_creator_wins),
    ("readers see whole objects or none", no_partial_objects),
    ("a listing has every object with its length and time, and nothing else", listings_are_complete),
    ("ranges give exactly their bytes", ranges_are_exact),
    ("what is not there is not found", absent_is_not_found),
    ("an object larger than expected is refused", larger_is_refused),
    ("a writer given up leaves nothing", given_up_leaves_nothing),
    ("deleting twice is no error, and the name is free again", deleting_is_idempotent),
    ("a writer stores exactly the bytes of its blocks", writers_are_exact),
    ("writers do not mix", writers_do_not_mix),
    ("a writer refuses what it cannot keep", writers_refuse),
];

/// Runs all tests on a storage, which must be empty and is left with objects in it.
pub fn run(storage: &dyn Storage) -> Result<(), Unfit> {
    TESTS.iter().try_for_each(|(test, run)| run(storage).map_err(|what| Unfit { test, what }))
}

#[cfg(test)]
mod tests;

macro_rules! ensure {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err(format!($($what)+));
        }
    };
}

/// An error of the storage where none should be.
fn text(e: StorageError) -> String {
    e.to_string()
}

fn random() -> Result<[u8; 32], String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| e.to_string())?;
    Ok(bytes)
}

fn random_id() -> Result<ObjectId, String> {
    random().map(ObjectId)
}

/// One name of each kind.
fn one_of_each() -> Result<Vec<StorageKey>, String> {
    let mut session = SessionId([0; 16]);
    session.0.copy_from_slice(&random()?[..16]);
    let mut number = [0; 4];
    number.copy_from_slice(&random()?[..4]);
    let n = u32::from_le_bytes(number);
    Ok(vec![
        StorageKey::Config(n),
        StorageKey::KeySlot(random_id()?),
        StorageKey::Pack(random_id()?),
        StorageKey::Tree(random_id()?),
        StorageKey::Segment(n, random_id()?),
        StorageKey::Snapshot(random_id()?),
        StorageKey::Lease(session),
        StorageKey::Checkpoint(session, n),
        StorageKey::Outcome(session),
        StorageKey::State(random_id()?),
        StorageKey::Decision(random_id()?),
    ])
}

/// Bytes that tell their own length and origin.
fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn put(storage: &dyn Storage, key: &StorageKey, bytes: &[u8]) -> Outcome {
    let created = storage.put_if_absent(key, bytes).map_err(text)?;
    ensure!(created == Created::New, "{key} is a new name, yet the storage says {created:?}");
    Ok(())
}

fn write(storage: &dyn Storage, key: &StorageKey, bytes: &[u8]) -> Result<Created, String> {
    let mut writer = storage.writer(key.area()).map_err(text)?;
    let mut block = Block::new(BLOCK_BYTES);
    for part in bytes.chunks(BLOCK_BYTES) {
        block.clear();
        block.fill(part);
        writer.append(&mut block).map_err(text)?;
    }
    writer.commit(key).map_err(text)
}

fn expect(storage: &dyn Storage, key: &StorageKey, bytes: &[u8]) -> Outcome {
    let read = storage.get(key, bytes.len()).map_err(text)?;
    ensure!(read == bytes, "{key} holds {} bytes other than the {} stored", read.len(), bytes.len());
    let listed = storage.head(key).map_err(text)?;
    ensure!(listed.key == *key && listed.len == bytes.len() as u64, "head of {key} says {listed:?}");
    Ok(())
}

fn expect_kind<T>(result: Result<T, StorageError>, kind: StorageErrorKind, what: &str) -> Outcome {
    match result {
        Ok(_) => Err(format!("{what} went well instead of being {kind:?}")),
        Err(e) if e.kind == kind => Ok(()),
        Err(e) => Err(format!("{what} is {:?} instead of {kind:?}: {e}", e.kind)),
    }
}

fn listing(storage: &dyn Storage, area: Area) -> Result<BTreeMap<StorageKey, Listed>, String> {
    let mut all = BTreeMap::new();
    let mut twice = None;
    storage
        .list(area, &mut |listed| {
            if let Some(before) = all.insert(listed.key, listed) {
                twice = Some(before.key);
            }
        })
        .map_err(text)?;
    match twice {
        Some(key) => Err(format!("{key} is listed twice")),
        None => Ok(all),
    }
}

fn names_are_given_once(storage: &dyn Storage) -> Outcome {
    for key in one_of_each()? {
        put(storage, &key, b"first")?;
        let again = storage.put_if_absent(&key, b"second, longer").map_err(text)?;
        ensure!(again == Created::Exists, "{key} was created twice");
        let written = write(storage, &key, b"third")?;
        ensure!(written == Created::Exists, "a writer created {key} a second time");
        expect(storage, &key, b"first")?;
    }
    Ok(())
}

/// Runs a closure on many threads at once and gives what each returned.
fn on_threads<T: Send>(count: u64, run: impl Fn(u64) -> Result<T, String> + Sync) -> Result<Vec<T>, String> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|n| {
                let run = &run;
                scope.spawn(move || run(n))
            })
            .collect();
        threads.into_iter().map(|t| t.join().map_err(|_| "a thread panicked".to_owned())?).collect()
    })
}

fn one_creator_wins(storage: &dyn Storage) -> Outcome {
    const THREADS: u64 = 4;
    const ROUNDS: usize = 3;
    let mut keys = Vec::new();
    for _ in 0..ROUNDS {
        keys.extend(one_of_each()?);
    }
    // Some put, some write; each its own bytes.
    let bytes_of = |n: u64| pattern(n, 1000 + n as usize);
    let created = on_threads(THREADS, |n| {
        let create = |key| match n % 2 {
            0 => storage.put_if_absent(key, &bytes_of(n)).map_err(text),
            _ => write(storage, key, &bytes_of(n)),
        };
        keys.iter().map(create).collect::<Result<Vec<_>, _>>()
    })?;
    for (i, key) in keys.iter().enumerate() {
        let winners: Vec<u64> = (0..THREADS).filter(|&n| created[n as usize][i] == Created::New).collect();
        let [winner] = winners[..] else { return Err(format!("{key} was created by {winners:?}")) };
        expect(storage, key, &bytes_of(winner))?;
    }
    Ok(())
}

fn no_partial_objects(storage: &dyn Storage) -> Outcome {
    let len = BLOCK_BYTES / 2 + 11;
    let mut keys = Vec::new();
    for n in 0..6 {
        keys.push(if n % 2 == 0 { StorageKey::Pack(random_id()?) } else { StorageKey::State(random_id()?) });
    }
    let bytes = pattern(1, len);
    let done = AtomicBool::new(false);
    on_threads(3, |n| {
        if n == 0 {
            let create = |key: &StorageKey| match key.area() {
                Area::Packs => write(storage, key, &bytes).map(|_| ()),
                _ => put(storage, key, &bytes),
            };
            let result = keys.iter().try_for_each(create);
            done.store(true, Ordering::Release);
            return result;
        }
        loop {
            let last = done.load(Ordering::Acquire);
            for key in &keys {
                match storage.get(key, len) {
                    Ok(read) => ensure!(read == bytes, "{key} was seen with {} of {len} bytes, or others", read.len()),
                    Err(e) if e.kind == StorageErrorKind::NotFound && !last => {}
                    Err(e) => return Err(text(e)),
                }
            }
            for area in [Area::Packs, Area::State] {
                for listed in listing(storage, area)?.into_values().filter(|listed| keys.contains(&listed.key)) {
                    ensure!(listed.len == len as u64, "{listed:?} is listed before it was whole");
                }
            }
            if last {
                return Ok(());
            }
        }
    })
    .map(|_| ())
}

fn listings_are_complete(storage: &dyn Storage) -> Outcome {
    let mut before = BTreeMap::new();
    for area in Area::ALL {
        before.append(&mut listing(storage, area)?);
    }
    let start = Time::now();
    let mut stored = BTreeMap::new();
    for n in 0..20 {
        for key in one_of_each()? {
            put(storage, &key, &pattern(n, n as usize * 3))?;
            stored.insert(key, n * 3);
        }
    }
    // Clocks of storages differ a little; a time of another year is nonsense.
    let (early, late) = (start.plus_seconds(-3600), Time::now().plus_seconds(3600));
    for area in Area::ALL {
        for (key, listed) in listing(storage, area)? {
            ensure!(key.area() == area, "{key} is listed in {area:?}");
            ensure!(StorageKey::parse(&key.path()) == Some(key), "{key} does not read back");
            if before.remove(&key).is_some() {
                continue;
            }
            let Some(len) = stored.remove(&key) else { return Err(format!("{key} is listed but was never stored")) };
            ensure!(listed.len == len, "{key} has {len} bytes, but is listed with {}", listed.len);
            ensure!(
                early <= listed.stored && listed.stored <= late,
                "{key} was stored now, not at {:?}",
                listed.stored
            );
            ensure!(storage.head(&key).map_err(text)? == listed, "head and listing of {key} differ");
        }
    }
    ensure!(stored.is_empty(), "not listed: {:?}", stored.keys().collect::<Vec<_>>());
    ensure!(before.is_empty(), "no longer listed: {:?}", before.keys().collect::<Vec<_>>());
    Ok(())
}

fn ranges_are_exact(storage: &dyn Storage) -> Outcome {
    let len = 3 * BLOCK_ALIGN + 5;
    let bytes = pattern(2, len);
    for key in [StorageKey::Pack(random_id()?), StorageKey::State(random_id()?)] {
        put(storage, &key, &bytes)?;
        let edges = [0, 1, BLOCK_ALIGN - 1, BLOCK_ALIGN, BLOCK_ALIGN + 1, len - 1, len];
        for (from, to) in edges.iter().flat_map(|&from| edges.iter().map(move |&to| (from, to))) {
            let mut buf = vec![0; to.saturating_sub(from)];
            storage.get_range(&key, from as u64, &mut buf).map_err(text)?;
            ensure!(buf == bytes[from..to.max(from)], "bytes {from} to {to} of {key} are others");
        }
        for (from, wanted) in [(0, len + 1), (len - 1, 2), (len, 1), (len + 1, 1)] {
            let read = storage.get_range(&key, from as u64, &mut vec![0; wanted]);
            expect_kind(read, StorageErrorKind::Short, &format!("reading {wanted} bytes at {from} of {len}"))?;
        }
        let read = storage.get_range(&key, 1 << 62, &mut [0; 8]);
        expect_kind(read, StorageErrorKind::Short, "reading far beyond the end")?;
    }
    Ok(())
}

fn absent_is_not_found(storage: &dyn Storage) -> Outcome {
    for key in one_of_each()? {
        expect_kind(storage.get(&key, 1 << 20), StorageErrorKind::NotFound, "reading an absent object")?;
        let read = storage.get_range(&key, 0, &mut [0; 1]);
        expect_kind(read, StorageErrorKind::NotFound, "reading a range of an absent object")?;
        expect_kind(storage.head(&key), StorageErrorKind::NotFound, "looking at an absent object")?;
        storage.delete(&key).map_err(text)?;
    }
    Ok(())
}

fn larger_is_refused(storage: &dyn Storage) -> Outcome {
    for len in [1, 5000] {
        let key = StorageKey::Snapshot(random_id()?);
        let bytes = pattern(3, len);
        put(storage, &key, &bytes)?;
        for max in [0, len - 1] {
            expect_kind(storage.get(&key, max), StorageErrorKind::TooLarge, "reading a larger object")?;
        }
        for max in [len, len + 1, usize::MAX] {
            let read = storage.get(&key, max).map_err(text)?;
            ensure!(read == bytes, "{key} reads differently with at most {max} bytes");
        }
    }
    Ok(())
}

fn given_up_leaves_nothing(storage: &dyn Storage) -> Outcome {
    let before = (listing(storage, Area::Packs)?, listing(storage, Area::Trees)?);
    for (area, blocks) in [(Area::Packs, 0), (Area::Packs, 2), (Area::Trees, 1)] {
        for abort in [true, false] {
            let mut writer = storage.writer(area).map_err(text)?;
            for n in 0..blocks {
                let mut block = Block::new(BLOCK_ALIGN);
                block.fill(&pattern(n, BLOCK_ALIGN));
                writer.append(&mut block).map_err(text)?;
            }
            if abort {
                writer.abort();
            } else {
                drop(writer);
            }
        }
    }
    ensure!(before == (listing(storage, Area::Packs)?, listing(storage, Area::Trees)?), "something is left");
    Ok(())
}

fn deleting_is_idempotent(storage: &dyn Storage) -> Outcome {
    for key in one_of_each()? {
        for bytes in [&b"first"[..], b"second"] {
            put(storage, &key, bytes)?;
            // Read first: what is kept open must not outlive it.
            let mut start = [0; 5];
            storage.get_range(&key, 0, &mut start).map_err(text)?;
            ensure!(start == bytes[..5], "{key} gives what it held before it was deleted");
            for _ in 0..2 {
                storage.delete(&key).map_err(text)?;
                expect_kind(storage.get_range(&key, 0, &mut [0; 1]), StorageErrorKind::NotFound, "a deleted object")?;
                ensure!(!listing(storage, key.area())?.contains_key(&key), "{key} is deleted, yet listed");
            }
        }
    }
    Ok(())
}

fn writers_are_exact(storage: &dyn Storage) -> Outcome {
    let (align, block) = (BLOCK_ALIGN, BLOCK_BYTES);
    for len in [0, 1, 511, align - 1, align, align + 1, block - 1, block, block + 1, 2 * block, 2 * block + 777] {
        let bytes = pattern(len as u64, len);
        for key in [StorageKey::Pack(random_id()?), StorageKey::Tree(random_id()?)] {
            let created = write(storage, &key, &bytes)?;
            ensure!(created == Created::New, "{key} is a new name, yet the writer says {created:?}");
            expect(storage, &key, &bytes)?;
            let last = len.saturating_sub(1);
            let mut buf = vec![0; len - last];
            storage.get_range(&key, last as u64, &mut buf).map_err(text)?;
            ensure!(buf == bytes[last..], "the end of {key} ({len} bytes) is another");
        }
    }
    Ok(())
}

fn writers_do_not_mix(storage: &dyn Storage) -> Outcome {
    const WRITERS: usize = 4;
    let mut writers = Vec::new();
    for n in 0..WRITERS {
        let (area, id) = (if n % 2 == 0 { Area::Packs } else { Area::Trees }, random_id()?);
        let key = if n % 2 == 0 { StorageKey::Pack(id) } else { StorageKey::Tree(id) };
        writers.push((storage.writer(area).map_err(text)?, key, Vec::new()));
    }
    // One block for all of them, of several fillings.
    let mut block = Block::new(4 * BLOCK_ALIGN);
    for round in 0..3 {
        for (n, (writer, _, all)) in writers.iter_mut().enumerate() {
            block.clear();
            let len = if round < 2 { block.capacity() >> (n % 2) } else { 100 * n };
            let bytes = pattern((round * WRITERS + n) as u64, len);
            block.fill(&bytes);
            writer.append(&mut block).map_err(text)?;
            ensure!(block.bytes() == bytes, "the writer changed the block it was given");
            all.extend_from_slice(&bytes);
        }
    }
    for (writer, key, all) in writers {
        ensure!(writer.commit(&key).map_err(text)? == Created::New, "{key} is a new name");
        expect(storage, &key, &all)?;
    }
    Ok(())
}

fn writers_refuse(storage: &dyn Storage) -> Outcome {
    let mut block = Block::new(BLOCK_ALIGN);
    block.fill(b"not full");
    let mut writer = storage.writer(Area::Packs).map_err(text)?;
    writer.append(&mut block).map_err(text)?;
    ensure!(writer.append(&mut block).is_err(), "a block after one that was not full was taken");
    drop(writer);
    let key = StorageKey::Tree(random_id()?);
    let writer = storage.writer(Area::Packs).map_err(text)?;
    ensure!(writer.commit(&key).is_err(), "a pack was committed as {key}");
    expect_kind(storage.head(&key), StorageErrorKind::NotFound, "what was refused")
}
