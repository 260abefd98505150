//! What of a file is content: holes are not read, so neither rates nor shares count them.

use rustix::fs::{SeekFrom, seek};
use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Files with several names, so that their content counts once.
#[derive(Debug, Default)]
pub struct Links(HashSet<(u64, u64)>);

impl Links {
    /// Whether this file was here before under another name.
    pub fn is_another(&mut self, meta: &Metadata) -> bool {
        meta.nlink() > 1 && !self.0.insert((meta.dev(), meta.ino()))
    }
}

/// Where in a file something lies, in order.
pub type Ranges = Vec<Range<u64>>;

/// The ranges of a regular file that are no holes. What cannot be asked for holes is all content.
pub fn ranges(path: &Path, meta: &Metadata) -> Ranges {
    let whole: Ranges = std::iter::once(0..meta.len()).collect();
    // As a backup's walk has it: a file that takes its room has none.
    if meta.len() == 0 || meta.blocks().saturating_mul(512) >= meta.len() {
        return whole;
    }
    File::open(path).and_then(|file| of_file(&file, meta.len())).unwrap_or(whole)
}

/// The same of an open file.
pub fn of_file(file: &File, len: u64) -> std::io::Result<Ranges> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < len {
        // No data from here on is an error of its own; a file system that knows no holes says that all is data.
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(rustix::io::Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = seek(file, SeekFrom::Hole(start))?.min(len);
        if end <= start {
            break;
        }
        found.push(start..end);
        at = end;
    }
    Ok(found)
}

/// Bytes in ranges.
pub fn bytes(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use std::os::unix::fs::FileExt;

    /// Makes a file with islands of these bytes in a hole of `len`; nothing where the file system knows no holes.
    pub fn sparse(path: &Path, len: u64, islands: &[(u64, &[u8])]) -> Option<()> {
        let file = File::create(path).unwrap();
        file.set_len(len).unwrap();
        for (at, bytes) in islands {
            file.write_all_at(bytes, *at).unwrap();
        }
        file.sync_all().unwrap();
        let is_sparse = file.metadata().unwrap().blocks() * 512 < len;
        if !is_sparse {
            crate::lacks::lacks("holes", "a file with a hole takes as much room as its length");
        }
        is_sparse.then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_no_content() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let of = |name: &str| ranges(&at(name), &at(name).metadata().unwrap());
        std::fs::write(at("full"), [1; 5000]).unwrap();
        std::fs::write(at("empty"), []).unwrap();
        assert_eq!((bytes(&of("full")), bytes(&of("empty"))), (5000, 0));
        let Some(()) = testing::sparse(&at("islands"), 9 << 20, &[(1 << 20, &[7; 65536]), (4 << 20, &[8; 65536])])
        else {
            return;
        };
        assert_eq!(of("islands"), [1 << 20..(1 << 20) + 65536, 4 << 20..(4 << 20) + 65536]);
        testing::sparse(&at("hole"), 1 << 20, &[]).unwrap();
        assert_eq!(of("hole"), []);
    }
}
