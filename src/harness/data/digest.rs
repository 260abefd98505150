//! The digest of a tree: equal when and only when names, kinds and contents are.
//!
//! BLAKE3 over one record for each entry below the root, sorted by the bytes of its path relative to the root:
//!
//! | field | |
//! |---|---|
//! | kind | one byte: `d` directory, `f` regular file, `l` symbolic link, `o` anything else |
//! | path length | u64, little endian |
//! | path | relative, `/` between its parts |
//! | content length | u64, little endian |
//! | content | of a file its bytes, of a link its target, else nothing |
//!
//! A root that is a file is one record with an empty path. Owners, modes, times and holes do not count: they differ
//! between machines.

use super::Watch;
use crate::harness::error::BenchError;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How much is read at once.
const BLOCK: usize = 1 << 20;

/// What a tree holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeDigest {
    /// Bytes of regular files.
    pub bytes: u64,
    pub files: u64,
    /// BLAKE3, 64 hexadecimal digits.
    pub digest: String,
}

impl fmt::Display for TreeDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes in {} files)", self.digest, self.bytes, self.files)
    }
}

/// Reads a whole tree, or one file.
pub fn of(root: &Path, watch: &Watch<'_>) -> Result<TreeDigest, BenchError> {
    let mut reader = Reader { hash: blake3::Hasher::new(), buffer: vec![0; BLOCK], bytes: 0, files: 0, watch };
    let meta = root.symlink_metadata().map_err(BenchError::io("look at", root))?;
    if meta.is_dir() {
        for relative in entries(root, watch)? {
            let path = root.join(std::ffi::OsStr::from_bytes(&relative));
            let meta = path.symlink_metadata().map_err(BenchError::io("look at", &path))?;
            reader.entry(&path, &relative, &meta)?;
        }
    } else {
        reader.entry(root, b"", &meta)?;
    }
    Ok(TreeDigest { bytes: reader.bytes, files: reader.files, digest: reader.hash.finalize().to_hex().to_string() })
}

/// The relative paths of everything below `root`, sorted.
fn entries(root: &Path, watch: &Watch<'_>) -> Result<Vec<Vec<u8>>, BenchError> {
    let mut found = vec![];
    let mut open = vec![vec![]];
    while let Some(relative) = open.pop() {
        watch.poll()?;
        let folder = root.join(std::ffi::OsStr::from_bytes(&relative));
        for entry in fs::read_dir(&folder).map_err(BenchError::io("list", &folder))? {
            let entry = entry.map_err(BenchError::io("list", &folder))?;
            let mut path = relative.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(entry.file_name().as_bytes());
            if entry.file_type().map_err(BenchError::io("look at", &entry.path()))?.is_dir() {
                open.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort_unstable();
    Ok(found)
}

struct Reader<'a> {
    hash: blake3::Hasher,
    buffer: Vec<u8>,
    bytes: u64,
    files: u64,
    watch: &'a Watch<'a>,
}

impl Reader<'_> {
    fn entry(&mut self, path: &Path, relative: &[u8], meta: &Metadata) -> Result<(), BenchError> {
        self.watch.poll()?;
        let kind = meta.file_type();
        if kind.is_file() {
            self.head(b'f', relative, meta.len());
            self.content(path, meta.len())?;
            (self.bytes, self.files) = (self.bytes + meta.len(), self.files + 1);
        } else if kind.is_symlink() {
            let target = fs::read_link(path).map_err(BenchError::io("read the link", path))?;
            self.head(b'l', relative, target.as_os_str().len() as u64);
            self.hash.update(target.as_os_str().as_bytes());
        } else {
            self.head(if kind.is_dir() { b'd' } else { b'o' }, relative, 0);
        }
        Ok(())
    }

    fn head(&mut self, kind: u8, relative: &[u8], len: u64) {
        self.hash.update(&[kind]);
        self.hash.update(&(relative.len() as u64).to_le_bytes());
        self.hash.update(relative);
        self.hash.update(&len.to_le_bytes());
    }

    fn content(&mut self, path: &Path, len: u64) -> Result<(), BenchError> {
        let mut file = File::open(path).map_err(BenchError::io("read", path))?;
        let mut read = 0;
        loop {
            let n = file.read(&mut self.buffer).map_err(BenchError::io("read", path))?;
            if n == 0 {
                break;
            }
            self.hash.update(&self.buffer[..n]);
            read += n as u64;
            self.watch.poll()?;
        }
        if read == len {
            Ok(())
        } else {
            Err(BenchError::NotMeasured(format!("{} changes while it is read", path.display())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn digest(root: &Path) -> TreeDigest {
        of(root, &Watch::default()).unwrap()
    }

    #[test]
    fn the_digest_is_as_documented() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("a")).unwrap();
        fs::write(root.join("a/x"), "xyz").unwrap();
        fs::write(root.join("a.b"), "").unwrap();
        symlink("a/x", root.join("l")).unwrap();
        // `.` sorts before `/`, so a.b comes between a and a/x.
        let mut stream = vec![];
        for (kind, path, content) in [(b'd', "a", ""), (b'f', "a.b", ""), (b'f', "a/x", "xyz"), (b'l', "l", "a/x")] {
            stream.push(kind);
            stream.extend((path.len() as u64).to_le_bytes());
            stream.extend(path.as_bytes());
            stream.extend((content.len() as u64).to_le_bytes());
            stream.extend(content.as_bytes());
        }
        let digest = blake3::hash(&stream).to_hex().to_string();
        assert_eq!(super::of(root, &Watch::default()).unwrap(), TreeDigest { bytes: 3, files: 2, digest });
    }

    #[test]
    fn every_difference_shows() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::write(root.join("a"), "1").unwrap();
        let mut seen = std::collections::BTreeSet::from([digest(root).digest]);
        let mut differs = |what: &str| assert!(seen.insert(digest(root).digest), "{what} does not show");
        fs::write(root.join("a"), "2").unwrap();
        differs("content");
        fs::rename(root.join("a"), root.join("b")).unwrap();
        differs("a name");
        fs::create_dir(root.join("c")).unwrap();
        differs("an empty directory");
        fs::remove_dir(root.join("c")).unwrap();
        symlink("", root.join("c")).unwrap_or_else(|_| symlink("x", root.join("c")).unwrap());
        differs("a link");
        fs::remove_file(root.join("c")).unwrap();
        fs::write(root.join("c"), "x").unwrap();
        differs("a kind");
    }
}
