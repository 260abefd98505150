//! Extended attributes of open files and of entries by path.

use crate::base::limits::{XATTR_VALUE_BYTES_MAX, XATTRS_BYTES_MAX};
use crate::format::tree::Xattr;
use rustix::fs::{fgetxattr, flistxattr, lgetxattr, llistxattr};
use rustix::io::Errno;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// Of an open file.
pub fn of_file(file: BorrowedFd<'_>) -> io::Result<Vec<Xattr>> {
    collect(|list| flistxattr(file, list), |name, value| fgetxattr(file, name, value))
}

/// Of an entry, never following a link at the path's end.
pub fn of_path(path: &Path) -> io::Result<Vec<Xattr>> {
    collect(|list| llistxattr(path, list), |name, value| lgetxattr(path, name, value))
}

fn collect(
    list: impl Fn(&mut [u8]) -> Result<usize, Errno>, get: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>,
) -> io::Result<Vec<Xattr>> {
    // Most entries have none: one call, no allocation.
    let mut names = [0; 1024];
    match list(&mut names) {
        Ok(0) => Ok(Vec::new()),
        Ok(len) => values(&names[..len], get),
        Err(Errno::NOTSUP) => Ok(Vec::new()),
        Err(Errno::RANGE) => {
            let mut names = vec![0; 64 << 10];
            let len = list(&mut names)?;
            values(&names[..len], get)
        }
        Err(error) => Err(error.into()),
    }
}

fn values(names: &[u8], get: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>) -> io::Result<Vec<Xattr>> {
    let mut found = Vec::new();
    let mut value = vec![0; XATTR_VALUE_BYTES_MAX];
    let mut total = 0;
    for name in names.split(|&b| b == 0).filter(|n| !n.is_empty()) {
        let len = match get(name, &mut value) {
            Ok(len) => len,
            // Removed meanwhile, or listed but not for this user.
            Err(Errno::NODATA | Errno::PERM | Errno::ACCESS | Errno::NOTSUP) => continue,
            Err(error) => return Err(error.into()),
        };
        total += name.len() + len;
        if total > XATTRS_BYTES_MAX {
            return Err(io::Error::other("extended attributes above 1 MiB"));
        }
        found.push(Xattr { name: name.to_vec(), value: value[..len].to_vec() });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found.dedup_by(|a, b| a.name == b.name);
    Ok(found)
}
