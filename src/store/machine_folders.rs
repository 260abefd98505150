//! Folders of this machine that are not the store: configuration and cache.

use super::{StoreError, machine_files};
use crate::base::id::StoreId;
use crate::crypto::keys::{Key, random_key};
use crate::crypto::sign::SigningKey;
use etcetera::BaseStrategy;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Where this machine keeps what belongs to it.
#[derive(Debug, Clone)]
pub struct MachineFolders {
    /// Host key, trust files, default key file. Never deleted by larder.
    pub config: PathBuf,
    /// Index runs, last trees. Can be deleted at any time.
    pub cache: PathBuf,
}

/// Stands for folders of a user who has none: nothing can be made below a device.
const NOWHERE: &str = "/dev/null/larder";
/// The name of our folders.
const NAME: &str = "larder";

impl MachineFolders {
    /// `$XDG_CONFIG_HOME/larder` and `$XDG_CACHE_HOME/larder`, or below the home folder: `$HOME`, else what the system
    /// knows of the user. Without any of these nothing can be kept, and reading works all the same.
    pub fn of_user() -> MachineFolders {
        let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = etcetera::base_strategy::Xdg::new().ok().filter(|home| home.home_dir().is_absolute());
        let config = set("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.config_dir()));
        let cache = set("XDG_CACHE_HOME").or_else(|| home.as_ref().map(|home| home.cache_dir()));
        match config.zip(cache) {
            Some((config, cache)) => MachineFolders { config: config.join(NAME), cache: cache.join(NAME) },
            // Reading goes on without them.
            None => MachineFolders { config: NOWHERE.into(), cache: NOWHERE.into() },
        }
    }

    /// Why nothing can be kept here, when nobody said where to.
    pub(crate) fn check_somewhere(&self) -> Result<(), StoreError> {
        match self.config == Path::new(NOWHERE) {
            true => Err(StoreError::Refused(
                "this user has no home folder: set HOME, or both XDG_CONFIG_HOME and XDG_CACHE_HOME, to absolute paths"
                    .into(),
            )),
            false => Ok(()),
        }
    }

    /// The file with this machine's signing key.
    pub fn host_key_file(&self) -> PathBuf {
        self.config.join("host_key")
    }

    /// What this machine has seen of a store.
    pub fn trust_file(&self, store: StoreId) -> PathBuf {
        self.config.join("trust").join(store.to_string())
    }

    /// What this machine caches of a store.
    pub fn store_cache(&self, store: StoreId) -> PathBuf {
        self.cache.join(store.to_string())
    }

    /// This machine's signing key; made when there is none.
    pub fn host_key(&self) -> Result<SigningKey, StoreError> {
        self.check_somewhere()?;
        let path = self.host_key_file();
        if let Some(seed) = read_secret(&path)? {
            return Ok(SigningKey::from_seed(&seed));
        }
        let failed = || machine_files::failed("create the host key", &path);
        machine_files::create(&path, write_secret(&random_key()).as_bytes()).map_err(failed())?;
        // Also when another process was first: then its key is ours.
        let seed = read_secret(&path)?.ok_or_else(|| failed()(io::ErrorKind::NotFound.into()))?;
        Ok(SigningKey::from_seed(&seed))
    }
}

/// A secret as the text of its file: 64 hexadecimal digits and a line end.
pub fn write_secret(secret: &Key) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(65));
    for byte in secret.iter() {
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
    text
}

/// Reads a secret's file (a host key, or a key file that opens stores); `None` when there is none.
pub fn read_secret(path: &Path) -> Result<Option<Key>, StoreError> {
    let failed = || machine_files::failed("read", path);
    let Some(text) = machine_files::read(path, 1024).map_err(failed())? else { return Ok(None) };
    let text = Zeroizing::new(text);
    let secret = parse_secret(&text).ok_or_else(|| {
        failed()(io::Error::new(io::ErrorKind::InvalidData, "is no larder key: 64 hexadecimal digits are expected"))
    });
    Ok(Some(secret?))
}

fn parse_secret(text: &[u8]) -> Option<Key> {
    let digit = |b: u8| (b as char).to_digit(16).filter(|_| !b.is_ascii_uppercase());
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    if text.len() != 64 {
        return None;
    }
    let mut secret = Key::default();
    for (byte, pair) in secret.iter_mut().zip(text.chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(secret)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Folders of a machine of its own, gone with the guard; in memory where there is such a place, since much is synced.
    pub(crate) fn machine() -> (tempfile::TempDir, MachineFolders) {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let places = MachineFolders { config: folder.path().join("config"), cache: folder.path().join("cache") };
        (folder, places)
    }

    #[test]
    fn a_machine_keeps_its_host_key() {
        let (_guard, places) = machine();
        let first = places.host_key().unwrap().public();
        assert_eq!(places.host_key().unwrap().public(), first);
        let (_guard, other) = machine();
        assert_ne!(other.host_key().unwrap().public(), first);
    }

    #[test]
    fn a_secret_reads_back_and_anything_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(read_secret(&path).unwrap().is_none());
        let secret = random_key();
        std::fs::write(&path, write_secret(&secret).as_bytes()).unwrap();
        assert_eq!(read_secret(&path).unwrap(), Some(secret));
        for bad in ["", "00", &"g".repeat(64), &"A".repeat(64), &"0".repeat(65), &"0".repeat(2000)] {
            std::fs::write(&path, bad).unwrap();
            assert!(matches!(read_secret(&path), Err(StoreError::Local { .. })), "{bad:?}");
        }
    }
}
