//! Key files. A key file holds 32 random bytes, which open a store without a passphrase.

use crate::base::id::{StoreId, hex};
use crate::crypto::keys::{random_bytes, random_key};
use crate::crypto::slot::Credential;
use crate::store::{MachineFolders, StoreError};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Bytes of a key file.
pub const KEY_FILE_BYTES: usize = 32;

/// A key file that was read.
pub struct KeyFile {
    /// What it opens.
    pub credential: Credential,
    /// Its permission bits, when others than its owner may read it.
    pub exposed: Option<u32>,
}

/// A key file that others than its owner may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
}

/// Reads a key file: exactly 32 bytes. One of another length is an error of kind `InvalidData`.
pub fn read_key_file(path: &Path) -> Result<KeyFile, StoreError> {
    let failed = |source| local("cannot read the key file", path, source);
    let mut file = File::open(path).map_err(failed)?;
    let mut bytes = Zeroizing::new([0; KEY_FILE_BYTES + 1]);
    let mut len = 0;
    while len < bytes.len() {
        match file.read(&mut bytes[len..]) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(failed(e)),
        }
    }
    if len != KEY_FILE_BYTES {
        let has = if len < KEY_FILE_BYTES { format!("only {len}") } else { "more".into() };
        let message = format!("a key file holds exactly {KEY_FILE_BYTES} random bytes, and this file has {has}");
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, message)));
    }
    let mut key = Zeroizing::new([0; KEY_FILE_BYTES]);
    key.copy_from_slice(&bytes[..KEY_FILE_BYTES]);
    let meta = file.metadata().map_err(failed)?;
    let exposed = (meta.is_file() && meta.mode() & 0o077 != 0).then_some(meta.mode() & 0o7777);
    Ok(KeyFile { credential: Credential::KeyFile(key), exposed })
}

/// Makes a key file (mode 0600, synced) that must not be there yet.
pub fn write_key_file(path: &Path) -> Result<Credential, StoreError> {
    let failed = |source| local("cannot write the key file", path, source);
    let key = random_key();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(key.as_slice()).and_then(|()| file.sync_all()).map_err(failed)?;
    sync_folder_of(path).map_err(failed)?;
    Ok(Credential::KeyFile(key))
}

/// The key file that `init` makes for a store when it is given no secret.
pub fn default_key_file(places: &MachineFolders, store: StoreId) -> PathBuf {
    places.config.join(format!("key-{store}"))
}

/// Makes a key file for a store that has no name yet. It is durable before anything is sealed with it.
pub fn new_pending_key_file(places: &MachineFolders) -> Result<(PathBuf, Credential), StoreError> {
    places.check_somewhere()?;
    let folder = &places.config;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|e| local("cannot make the configuration folder", folder, e))?;
    let tail = hex(&random_bytes::<8>());
    let path = folder.join(format!("{PENDING}{tail}"));
    let credential = write_key_file(&path)?;
    Ok((path, credential))
}

/// Gives a pending key file its store's name.
pub fn name_key_file(pending: &Path, places: &MachineFolders, store: StoreId) -> Result<PathBuf, StoreError> {
    let path = default_key_file(places, store);
    fs::rename(pending, &path)
        .and_then(|()| sync_folder_of(&path))
        .map_err(|e| local("cannot name the key file", &path, e))?;
    Ok(path)
}

/// Key files of this machine that may open a store: its own, then those of an `init` that was cut short. A pipe in the
/// place of one is none: only one that a person names is waited for.
pub fn candidate_key_files(places: &MachineFolders, store: StoreId) -> Vec<PathBuf> {
    let own = default_key_file(places, store);
    let mut found: Vec<PathBuf> = own.is_file().then_some(own).into_iter().collect();
    if found.is_empty() {
        let entries = fs::read_dir(&places.config).into_iter().flatten().flatten();
        found.extend(
            entries
                .map(|e| e.path())
                .filter(|p| p.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PENDING)))
                .filter(|p| p.is_file()),
        );
        found.sort();
    }
    found
}

/// Beginning of the name of a key file whose store is still being made.
const PENDING: &str = "new-key-";

fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn local(what: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Local { what, path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_file_has_exactly_32_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for (bytes, said) in [(0, "only 0"), (31, "only 31"), (33, "more"), (1000, "more")] {
            fs::write(&path, vec![7; bytes]).unwrap();
            let error = read_key_file(&path).err().expect("a wrong length is refused").to_string();
            assert!(error.contains(said) && error.contains("32"), "{error}");
        }
        fs::write(&path, [7; 32]).unwrap();
        let Ok(KeyFile { credential: Credential::KeyFile(key), .. }) = read_key_file(&path) else { panic!("refused") };
        assert_eq!(*key, [7; 32]);
        assert!(read_key_file(&folder.path().join("none")).is_err());
    }

    #[test]
    fn a_key_file_that_others_may_read_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, [7; 32]).unwrap();
        for (mode, exposed) in [(0o600, None), (0o400, None), (0o644, Some(0o644)), (0o640, Some(0o640))] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_key_file(&path).unwrap().exposed, exposed, "{mode:o}");
        }
    }

    #[test]
    fn a_new_key_file_is_private_and_never_replaces_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write_key_file(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        let before = fs::read(&path).unwrap();
        assert!(write_key_file(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_pending_key_file_is_found_until_its_store_has_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let places = MachineFolders { config: folder.path().join("config"), cache: folder.path().join("cache") };
        let store = StoreId([3; 16]);
        assert_eq!(candidate_key_files(&places, store), Vec::<PathBuf>::new());
        let (pending, _) = new_pending_key_file(&places).unwrap();
        assert_eq!(candidate_key_files(&places, store), std::slice::from_ref(&pending));
        let named = name_key_file(&pending, &places, store).unwrap();
        assert_eq!(candidate_key_files(&places, store), [named]);
        assert!(candidate_key_files(&places, StoreId([4; 16])).is_empty());
        assert_eq!(fs::metadata(&places.config).unwrap().mode() & 0o777, 0o700);
    }
}
