//! Open pack files, so that reading a pack in many pieces opens it once.
//!
//! A pack that another process deletes can still be read here, and its room is free once it is closed. That is right:
//! its name was made of its bytes, and what a reader needs is not deleted (`docs/ordering.md`).

use super::super::StorageKey;
use crate::base::limits::OPEN_PACKS_MAX;
use parking_lot::{Mutex, MutexGuard};
use rustix::fd::OwnedFd;
use std::collections::HashMap;
use std::sync::Arc;

/// The files read last, at most `OPEN_PACKS_MAX`.
#[derive(Default)]
pub(super) struct OpenFiles {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    files: HashMap<StorageKey, (Arc<OwnedFd>, u64)>,
    clock: u64,
}

impl OpenFiles {
    pub(super) fn get(&self, key: &StorageKey) -> Option<Arc<OwnedFd>> {
        let inner = &mut *self.lock();
        inner.clock += 1;
        let (file, used) = inner.files.get_mut(key)?;
        *used = inner.clock;
        Some(file.clone())
    }

    /// Remembers a file, in place of the one that was not used for longest.
    pub(super) fn put(&self, key: StorageKey, file: Arc<OwnedFd>) {
        let inner = &mut *self.lock();
        inner.clock += 1;
        if inner.files.len() >= OPEN_PACKS_MAX
            && !inner.files.contains_key(&key)
            && let Some(oldest) = inner.files.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key)
        {
            inner.files.remove(&oldest);
        }
        inner.files.insert(key, (file, inner.clock));
    }

    pub(super) fn forget(&self, key: &StorageKey) {
        self.lock().files.remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::ObjectId;

    #[test]
    fn the_files_used_last_stay_open_and_no_more_than_the_bound() {
        let cache = OpenFiles::default();
        let key = |n: usize| StorageKey::Pack(ObjectId([n as u8; 32]));
        let file: Arc<OwnedFd> = Arc::new(std::fs::File::open("/dev/null").expect("a file").into());
        for n in 0..OPEN_PACKS_MAX {
            cache.put(key(n), file.clone());
        }
        assert!(cache.get(&key(0)).is_some());
        cache.put(key(OPEN_PACKS_MAX), file.clone());
        assert!(cache.get(&key(1)).is_none(), "the one not used for longest went");
        assert!(cache.get(&key(0)).is_some() && cache.get(&key(OPEN_PACKS_MAX)).is_some());
        assert_eq!(Arc::strong_count(&file), OPEN_PACKS_MAX + 1);
        cache.forget(&key(0));
        assert!(cache.get(&key(0)).is_none());
    }
}
