//! The data in memory: what is read and written must not be in the times.

use crate::harness::BenchError;
use crate::harness::report::{DataUsed, Unit, number};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The content of files, one after another.
#[derive(Debug, Default)]
pub struct Corpus {
    name: String,
    bytes: Vec<u8>,
    /// Where each file ends, none of them empty.
    ends: Vec<usize>,
    left_out: LeftOut,
}

/// What is not in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct LeftOut {
    /// Above the limit.
    bytes: u64,
    /// Files above the limit, in part or whole.
    files: u64,
    /// Files and folders that could not be read.
    unreadable: u64,
}

impl Corpus {
    /// Reads a file, or all regular files below a folder in the order of their names, up to `limit` bytes.
    /// A file of several names is read once, as a backup does.
    pub fn read(name: &str, path: &Path, limit: u64, stop: &AtomicBool) -> Result<Corpus, BenchError> {
        let mut corpus = Corpus { name: name.into(), ..Corpus::default() };
        let files = corpus.list(path, stop)?;
        let wanted = files.iter().map(|(_, len)| len).sum::<u64>().min(limit);
        let reserved = usize::try_from(wanted).ok().and_then(|wanted| corpus.bytes.try_reserve_exact(wanted).ok());
        reserved.ok_or_else(|| {
            let wanted = number::show(wanted as f64, Unit::Bytes);
            BenchError::NotMeasured(format!("no memory for {wanted} of {name}; --limit takes less"))
        })?;
        for (path, len) in files {
            if stop.load(Relaxed) {
                return Err(BenchError::Interrupted);
            }
            corpus.add(&path, len, limit);
        }
        if corpus.bytes.is_empty() {
            return Err(BenchError::NotMeasured(format!("{name} has no bytes in files that can be read")));
        }
        Ok(corpus)
    }

    /// Files made here.
    pub fn of(name: &str, files: &[&[u8]]) -> Corpus {
        let mut corpus = Corpus { name: name.into(), ..Corpus::default() };
        for file in files.iter().filter(|file| !file.is_empty()) {
            corpus.bytes.extend_from_slice(file);
            corpus.ends.push(corpus.bytes.len());
        }
        corpus
    }

    /// All of it as one file, as an archive would be.
    pub fn joined(self) -> Corpus {
        Corpus { ends: self.ends.last().copied().into_iter().collect(), ..self }
    }

    /// Regular files with their sizes; the path itself may be a link.
    fn list(&mut self, path: &Path, stop: &AtomicBool) -> Result<Vec<(PathBuf, u64)>, BenchError> {
        let root = path.metadata().map_err(BenchError::io("look at", path))?;
        if root.is_dir() {
            path.read_dir().map_err(BenchError::io("list", path))?;
        } else if root.is_file() {
            File::open(path).map_err(BenchError::io("read", path))?;
        } else {
            // Opening a FIFO would wait for its writer.
            return Err(BenchError::Invalid(format!("{} is neither a file nor a folder", path.display())));
        }
        let (mut files, mut seen) = (vec![], HashSet::new());
        let mut open = vec![(path.to_path_buf(), root)];
        while let Some((path, meta)) = open.pop() {
            if stop.load(Relaxed) {
                return Err(BenchError::Interrupted);
            }
            if meta.is_dir() {
                // The last one is taken first.
                let mut entries = entries(&path).unwrap_or_else(|_| {
                    self.left_out.unreadable += 1;
                    vec![]
                });
                entries.sort_by(|(a, _), (b, _)| b.cmp(a));
                open.extend(entries);
            } else if meta.is_file() && (meta.nlink() < 2 || seen.insert((meta.dev(), meta.ino()))) {
                files.push((path, meta.len()));
            }
        }
        Ok(files)
    }

    fn add(&mut self, path: &Path, len: u64, limit: u64) {
        let (start, room) = (self.bytes.len(), limit - self.bytes.len() as u64);
        if room > 0 {
            // A file that grows must not bring more than was reserved.
            let read = File::open(path).and_then(|file| file.take(room.min(len)).read_to_end(&mut self.bytes));
            if read.is_err() {
                self.bytes.truncate(start);
                self.left_out.unreadable += 1;
                return;
            }
            self.ends.extend((self.bytes.len() > start).then_some(self.bytes.len()));
        }
        if len > room {
            self.left_out.bytes += len - room;
            self.left_out.files += 1;
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many files it has.
    pub fn files(&self) -> usize {
        self.ends.len()
    }

    /// One of them.
    pub fn file(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[start..self.ends[at]]
    }

    /// Size of the largest.
    pub fn largest(&self) -> usize {
        (0..self.files()).map(|at| self.file(at).len()).max().unwrap_or(0)
    }

    /// Runs of files of 1 MiB or more, for one core each.
    pub fn tasks(&self) -> Vec<Range<usize>> {
        let (mut tasks, mut from, mut start) = (vec![], 0, 0);
        for (at, end) in self.ends.iter().enumerate() {
            if end - start >= 1 << 20 || at + 1 == self.files() {
                tasks.push(from..at + 1);
                (from, start) = (at + 1, *end);
            }
        }
        tasks
    }

    /// What a report says of it.
    pub fn used(&self) -> DataUsed {
        let (bytes, files) = (self.bytes.len() as u64, self.ends.len() as u64);
        DataUsed { name: self.name.clone(), bytes, files, ..DataUsed::default() }
    }

    /// What was left out, in words.
    pub fn notes(&self) -> Vec<String> {
        let LeftOut { bytes, files, unreadable } = self.left_out;
        let mut notes = vec![];
        if bytes > 0 {
            let all = number::show(bytes as f64 + self.bytes.len() as f64, Unit::Bytes);
            let out = number::show(bytes as f64, Unit::Bytes);
            notes.push(format!(
                "{out} of {all} in {} are left out of {}; a higher --limit takes more",
                count(files, "file"),
                self.name
            ));
        }
        if unreadable > 0 {
            notes.push(format!("{} of {} could not be read", count(unreadable, "file or folder"), self.name));
        }
        notes
    }
}

fn count(n: u64, what: &str) -> String {
    match what {
        "file or folder" if n != 1 => format!("{n} files or folders"),
        _ if n == 1 => format!("1 {what}"),
        _ => format!("{n} {what}s"),
    }
}

fn entries(folder: &Path) -> io::Result<Vec<(PathBuf, fs::Metadata)>> {
    let entry = |entry: io::Result<fs::DirEntry>| entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)));
    folder.read_dir()?.map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path, limit: u64) -> Result<Corpus, BenchError> {
        Corpus::read("d", path, limit, &AtomicBool::new(false))
    }

    #[test]
    fn files_are_read_in_order_up_to_the_limit_and_the_rest_is_said() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("b")).unwrap();
        for (name, content) in [("a", "one"), ("b/x", "three"), ("b/empty", ""), ("c", "sevenths")] {
            fs::write(dir.path().join(name), content).unwrap();
        }
        fs::hard_link(dir.path().join("a"), dir.path().join("d")).unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("e")).unwrap();
        let all = read(dir.path(), 1 << 20).unwrap();
        assert_eq!((all.bytes(), all.files(), all.notes().len()), (&b"onethreesevenths"[..], 3, 0));
        assert_eq!((all.file(1), all.largest()), (&b"three"[..], 8));
        assert_eq!(all.used(), DataUsed { name: "d".into(), bytes: 16, files: 3, ..DataUsed::default() });
        let some = read(dir.path(), 5).unwrap();
        assert_eq!((some.bytes(), some.files()), (&b"oneth"[..], 2));
        assert_eq!(some.notes(), ["11 B of 16 B in 2 files are left out of d; a higher --limit takes more"]);
        assert_eq!(read(&dir.path().join("e"), 9).unwrap().bytes(), b"one");
        let one = all.joined();
        assert_eq!((one.files(), one.largest()), (1, 16));
    }

    #[test]
    fn nothing_to_cut_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("empty"), "").unwrap();
        assert!(read(dir.path(), 9).unwrap_err().to_string().contains("no bytes"));
        assert!(matches!(read(&dir.path().join("gone"), 9).unwrap_err(), BenchError::Io { what: "look at", .. }));
        let stopped = Corpus::read("d", dir.path(), 9, &AtomicBool::new(true));
        assert!(matches!(stopped.unwrap_err(), BenchError::Interrupted));
    }

    #[test]
    fn what_is_neither_file_nor_folder_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let error = Corpus::read("d", &fifo, 1 << 20, &AtomicBool::new(false)).err().unwrap();
        assert!(error.to_string().contains("neither a file nor a folder"), "{error}");
    }

    #[test]
    fn tasks_hold_every_file_once() {
        let (big, small) = (vec![1; 3 << 20], vec![2; 400_000]);
        let corpus = Corpus::of("d", &[&small, &small, &big, &small, &small, &small, &small]);
        assert_eq!(corpus.tasks(), [0..3, 3..6, 6..7]);
    }
}
