//! Extended attributes of open files, and of entries of any kind without following a link.

use super::directory::lock;
use crate::base::limits::{XATTR_VALUE_BYTES_MAX, XATTRS_BYTES_MAX, XATTRS_MAX};
use crate::format::tree::Xattr;
use rustix::fs::{fgetxattr, flistxattr, lgetxattr, llistxattr};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Mutex;

/// The system gives names up to this many bytes.
const LIST_BYTES_MAX: usize = 64 << 10;

/// File systems, by number, that have no attributes: they are not asked again.
#[derive(Debug, Default)]
pub(super) struct Without(Mutex<BTreeSet<u64>>);

impl Without {
    pub fn holds(&self, device: u64) -> bool {
        lock(&self.0).contains(&device)
    }

    /// Turns "not supported" into "none", and remembers it.
    fn settle(&self, device: u64, read: io::Result<Option<Vec<Xattr>>>) -> io::Result<Vec<Xattr>> {
        Ok(read?.unwrap_or_else(|| {
            lock(&self.0).insert(device);
            Vec::new()
        }))
    }

    /// Of an open file.
    pub fn of_file(&self, file: BorrowedFd<'_>, device: u64) -> io::Result<Vec<Xattr>> {
        self.settle(device, collect(|list| flistxattr(file, list), |name, value| fgetxattr(file, name, value)))
    }

    /// Of an entry by path, not following a link at its end.
    pub fn of_path(&self, path: &Path, device: u64) -> io::Result<Vec<Xattr>> {
        self.settle(device, collect(|list| llistxattr(path, list), |name, value| lgetxattr(path, name, value)))
    }
}

/// `None` when the file system has none at all.
fn collect(
    list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
    get: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>,
) -> io::Result<Option<Vec<Xattr>>> {
    // Most entries have none: one call, no allocation.
    let mut names = [0; 512];
    match list(&mut names) {
        Ok(0) => Ok(Some(Vec::new())),
        Ok(len) => values(&names[..len], get).map(Some),
        Err(Errno::NOTSUP | Errno::NOSYS) => Ok(None),
        Err(Errno::RANGE) => {
            let mut names = vec![0; LIST_BYTES_MAX];
            let len = list(&mut names)?;
            values(&names[..len], get).map(Some)
        }
        Err(error) => Err(error.into()),
    }
}

fn values(names: &[u8], get: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>) -> io::Result<Vec<Xattr>> {
    let mut found = Vec::new();
    let mut value = vec![0; 1024];
    let mut total = 0;
    for name in names.split(|&b| b == 0).filter(|n| !n.is_empty()) {
        let read = match get(name, &mut value) {
            Err(Errno::RANGE) => {
                value.resize(XATTR_VALUE_BYTES_MAX, 0);
                get(name, &mut value)
            }
            read => read,
        };
        let len = match read {
            Ok(len) => len,
            // Removed meanwhile.
            Err(Errno::NODATA) => continue,
            // Listed to everyone by some file systems, and only the administrator may read them.
            Err(Errno::PERM | Errno::ACCESS) if name.starts_with(b"trusted.") => continue,
            Err(error) => {
                let message = format!("{}: {error}", String::from_utf8_lossy(name));
                return Err(io::Error::new(io::Error::from(error).kind(), message));
            }
        };
        total += name.len() + len;
        if total > XATTRS_BYTES_MAX || found.len() == XATTRS_MAX {
            return Err(io::Error::other("more extended attributes than can be kept (1 MiB, 4,096)"));
        }
        found.push(Xattr { name: name.to_vec(), value: value[..len].to_vec() });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found.dedup_by(|a, b| a.name == b.name);
    Ok(found)
}
