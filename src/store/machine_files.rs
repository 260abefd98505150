//! Files of this machine beside the store: written whole or not at all, private to their owner.

use super::StoreError;
use crate::base::machine_file;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use tempfile::NamedTempFile;

/// A failure with one of these files.
pub fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Local { what, path: path.display().to_string(), source }
}

/// Makes a folder and what is missing above it.
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A whole file; `None` when there is none. What lies there and is no file, a pipe say, is an error: it is not waited for.
pub fn read(path: &Path, max: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match machine_file::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = Vec::new();
    file.take(max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "is longer than such a file can be"));
    }
    Ok(Some(bytes))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn write_temporary(path: &Path, bytes: &[u8], durable: bool) -> io::Result<NamedTempFile> {
    make_folder(folder_of(path))?;
    // 0600 from the start.
    let mut file = NamedTempFile::with_prefix_in(".tmp-", folder_of(path))?;
    file.write_all(bytes)?;
    if durable {
        file.as_file().sync_all()?;
    }
    Ok(file)
}

/// Replaces a file (or makes it). `durable`: it has reached the disk when this returns.
pub fn replace(path: &Path, bytes: &[u8], durable: bool) -> io::Result<()> {
    write_temporary(path, bytes, durable)?.persist(path).map_err(|e| e.error)?;
    if durable { File::open(folder_of(path))?.sync_all() } else { Ok(()) }
}

/// Makes a file, durable; false when there is one already, which stays as it is.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let made = match write_temporary(path, bytes, true)?.persist_noclobber(path) {
        Ok(_) => true,
        Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(e) => return Err(e.error),
    };
    File::open(folder_of(path))?.sync_all()?;
    Ok(made)
}

/// Waits for the lock that `path` stands for; it ends when the file is dropped, or with the process.
pub fn lock(path: &Path) -> io::Result<File> {
    make_folder(folder_of(path))?;
    let file = machine_file::open_lock(path)?;
    file.lock()?;
    Ok(file)
}

/// Whether files can be made, replaced and read in these folders, and the locks in them taken.
pub fn check_writable(folders: &[&Path]) -> io::Result<()> {
    let may = |path: &Path, access: Access| match accessat(CWD, path, access, AtFlags::EACCESS) {
        // An old system cannot be asked: what is not allowed shows later.
        Ok(()) | Err(Errno::NOSYS | Errno::INVAL) => Ok(()),
        Err(error) => Err(io::Error::from(error)),
    };
    for folder in folders {
        may(folder, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)?;
        match may(&folder.join("lock"), Access::READ_OK | Access::WRITE_OK) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}

/// A folder for this process alone, where the system keeps such things.
pub fn temporary_folder() -> io::Result<tempfile::TempDir> {
    const PREFIX: &str = "larder-";
    let made = tempfile::Builder::new().prefix(PREFIX).tempdir();
    made.or_else(|error| tempfile::Builder::new().prefix(PREFIX).tempdir_in("/dev/shm").map_err(|_| error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_pipe_in_the_place_of_a_file_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(CWD, &path, kind, rustix::fs::Mode::from_raw_mode(0o600), 0).unwrap();
        assert!(machine_file::is_no_file(&read(&path, 10).unwrap_err()));
        assert!(machine_file::is_no_file(&lock(&path).unwrap_err()));
    }

    #[test]
    fn files_are_private_and_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/file");
        assert_eq!(read(&path, 10).unwrap(), None);
        assert!(create(&path, b"one").unwrap());
        assert!(!create(&path, b"two").unwrap());
        assert_eq!(read(&path, 10).unwrap().as_deref(), Some(&b"one"[..]));
        for durable in [true, false] {
            replace(&path, b"three", durable).unwrap();
            assert_eq!(read(&path, 5).unwrap().as_deref(), Some(&b"three"[..]));
        }
        assert_eq!(read(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_lock_keeps_others_out_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = lock(&path).unwrap();
        assert!(File::open(&path).unwrap().try_lock().is_err());
        drop(held);
        assert!(File::open(&path).unwrap().try_lock().is_ok());
    }
}
