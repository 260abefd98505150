//! Opening the files that larder keeps on this machine: the cache, the configuration folder, the runs of an index.
//!
//! Something else may lie in the place of such a file. A pipe there is not waited for, and a device is not read.

use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a file for reading.
pub fn open(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().read(true), path)
}

/// Opens the file that stands for a lock, and makes it if it is not there.
pub fn open_lock(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().create(true).append(true).mode(0o600), path)
}

/// Whether an error of these functions says that something else than a file lies there.
pub fn is_no_file(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<NoFile>())
}

#[derive(Debug, thiserror::Error)]
#[error("is no regular file; remove it, and it is made anew")]
struct NoFile;

fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let no_file = || io::Error::new(io::ErrorKind::InvalidInput, NoFile);
    let flags = rustix::fs::OFlags::NONBLOCK.union(rustix::fs::OFlags::NOCTTY);
    let file = match options.custom_flags(flags.bits() as i32).open(path) {
        // A socket; a pipe that nobody reads; a folder that is to be written to.
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::NXIO | Errno::ISDIR)) => return Err(no_file()),
        other => other?,
    };
    if file.metadata()?.is_file() { Ok(file) } else { Err(no_file()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_no_file_is_neither_waited_for_nor_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        type Make<'a> = &'a dyn Fn();
        let make: [Make<'_>; 4] = [
            &|| mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap(),
            &|| mknodat(CWD, &path, FileType::Socket, Mode::from_raw_mode(0o600), 0).unwrap(),
            &|| std::fs::create_dir(&path).unwrap(),
            &|| std::os::unix::fs::symlink("/dev/null", &path).unwrap(),
        ];
        for make in make {
            make();
            assert!(is_no_file(&open(&path).unwrap_err()) && is_no_file(&open_lock(&path).unwrap_err()));
            let removed = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir(&path));
            removed.unwrap();
        }
        assert_eq!(open(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        drop(open_lock(&path).unwrap());
        assert_eq!(open(&path).unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
