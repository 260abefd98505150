//! What this machine caches of a store besides the index. It is sealed under a key of the store, so that a changed or
//! foreign file is ignored. Losing it costs only time, so failing to write it is no error.

use super::machine_files;
use crate::base::id::StoreId;
use crate::base::limits::CACHE_BYTES_MAX;
use crate::crypto::keys::Key;
use crate::crypto::seal::{open_small, seal_small};
use crate::format::envelope::{Envelope, ObjectKind};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// A temporary folder that is older belongs to a process that was killed. (A mapped run outlives its file in any case.)
const FOLDER_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// A temporary folder in a cache folder, for what need not fit memory. Removes those that killed processes left.
pub fn temporary_folder(cache: &Path, prefix: &str) -> io::Result<TempDir> {
    for entry in std::fs::read_dir(cache).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix));
        let modified = || entry.metadata().and_then(|metadata| metadata.modified()).ok();
        let old = |time| SystemTime::now().duration_since(time).is_ok_and(|age| age > FOLDER_AGE);
        if ours && modified().is_some_and(old) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    tempfile::Builder::new().prefix(prefix).tempdir_in(cache)
}

/// The cache of one store.
pub struct Cache {
    folder: PathBuf,
    store: StoreId,
    key: Key,
    /// Gone with the cache.
    _temporary: Option<tempfile::TempDir>,
}

impl Cache {
    /// A cache in a folder, which is made when something is written.
    pub fn new(folder: PathBuf, store: StoreId, key: Key) -> Cache {
        Cache { folder, store, key, _temporary: None }
    }

    /// A cache for this process, in a folder that goes away with it.
    pub fn temporary(folder: tempfile::TempDir, store: StoreId, key: Key) -> Cache {
        Cache { folder: folder.path().to_owned(), store, key, _temporary: Some(folder) }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The key is the cache's own; so the kind says nothing.
    fn envelope(&self) -> Envelope {
        Envelope { kind: ObjectKind::Manifest, store: self.store, epoch: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What was written under this name, if it is unchanged.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let sealed = machine_files::read(&self.path(name), CACHE_BYTES_MAX).ok().flatten()?;
        let plain = open_small(&self.key, &self.envelope(), &sealed).ok()?;
        // A file under another name is foreign too.
        Some(plain.strip_prefix(name.as_bytes())?.strip_prefix(&[0])?.to_vec())
    }

    /// Writes, as a whole.
    pub fn write(&self, name: &str, plain: &[u8]) {
        let plain = [name.as_bytes(), &[0], plain].concat();
        let sealed = seal_small(&self.key, &self.envelope(), &plain);
        if sealed.len() <= CACHE_BYTES_MAX {
            let _ = machine_files::replace(&self.path(name), &sealed, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::keys::random_key;

    #[test]
    fn a_changed_or_renamed_file_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().join("x"), StoreId([1; 16]), random_key());
        assert_eq!(cache.read("a"), None);
        cache.write("a", b"one");
        cache.write("a", b"two");
        assert_eq!(cache.read("a").as_deref(), Some(&b"two"[..]));
        std::fs::copy(cache.path("a"), cache.path("b")).unwrap();
        assert_eq!(cache.read("b"), None);
        let mut bytes = std::fs::read(cache.path("a")).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            std::fs::write(cache.path("a"), &bytes).unwrap();
            assert_eq!(cache.read("a"), None, "byte {at}");
            bytes[at] ^= 1;
        }
        let other = Cache::new(cache.folder.clone(), StoreId([1; 16]), random_key());
        std::fs::write(cache.path("a"), &bytes).unwrap();
        assert_eq!((other.read("a"), cache.read("a").is_some()), (None, true));
    }
}
