//! Extended attributes of open files, and of entries of any kind without following a link.

use crate::base::limits::{XATTR_VALUE_BYTES_MAX, XATTRS_BYTES_MAX, XATTRS_MAX};
use crate::format::tree::Xattr;
use rustix::fs::{fgetxattr, flistxattr, lgetxattr, llistxattr};
use rustix::io::Errno;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// The system gives names up to this many bytes.
const LIST_BYTES_MAX: usize = 64 << 10;

/// Of an open file. Where there are no attributes there are none: that is asked of each file, since one device number can
/// stand for several file systems (a union of them).
pub(super) fn of_file(file: BorrowedFd<'_>) -> io::Result<Vec<Xattr>> {
    collect(|list| flistxattr(file, list), |name, value| fgetxattr(file, name, value))
}

/// Of an entry by path, not following a link at its end.
pub(super) fn of_path(path: &Path) -> io::Result<Vec<Xattr>> {
    collect(|list| llistxattr(path, list), |name, value| lgetxattr(path, name, value))
}

fn collect(
    list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
    get: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>,
) -> io::Result<Vec<Xattr>> {
    // Most entries have none: one call, no allocation.
    let mut names = [0; 512];
    match list(&mut names) {
        Ok(0) | Err(Errno::NOTSUP | Errno::NOSYS) => Ok(Vec::new()),
        Ok(len) => values(&names[..len], get),
        Err(Errno::RANGE) => {
            let mut names = vec![0; LIST_BYTES_MAX];
            let len = list(&mut names)?;
            values(&names[..len], get)
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
            // Removed meanwhile, or listed by a union's one part and not had by the other.
            Err(Errno::NODATA | Errno::NOTSUP) => continue,
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
