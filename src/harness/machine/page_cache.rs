//! The page cache, emptied before what is measured cold.

use crate::harness::BenchError;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What empties it: the kernel's switch, which root may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch(PathBuf);

impl Default for Switch {
    fn default() -> Switch {
        Switch("/proc/sys/vm/drop_caches".into())
    }
}

impl Switch {
    /// Another file in its place, for tests.
    pub fn at(path: &Path) -> Switch {
        Switch(path.into())
    }

    /// Whether it can be used, before anything long begins; empties nothing.
    pub fn check(&self) -> Result<(), BenchError> {
        self.open().map(|_| ())
    }

    /// Empties the cache, after writing back what is dirty: names and attributes of files, too.
    pub fn empty(&self) -> Result<(), BenchError> {
        rustix::fs::sync();
        self.open()?.write_all(b"3").map_err(|error| self.refused(&error))
    }

    fn open(&self) -> Result<std::fs::File, BenchError> {
        OpenOptions::new().append(true).open(&self.0).map_err(|error| self.refused(&error))
    }

    fn refused(&self, error: &std::io::Error) -> BenchError {
        BenchError::Missing(format!(
            "the page cache cannot be emptied ({}: {error}): run this as root, outside a container, or leave --drop-caches out",
            self.0.display()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_is_told_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let switch = Switch::at(&folder.path().join("none"));
        for refused in [switch.check(), switch.empty()] {
            let error = refused.unwrap_err().to_string();
            assert!(error.contains("as root") && error.contains("leave --drop-caches out"), "{error}");
        }
        let file = folder.path().join("switch");
        std::fs::write(&file, "").unwrap();
        let switch = Switch::at(&file);
        switch.check().unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"", "a look changes nothing");
        switch.empty().unwrap();
        switch.empty().unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"33");
    }
}
