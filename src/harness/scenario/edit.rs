//! Changes to a private copy of the data: seeded, and of exactly the share that was asked for.
//!
//! Four fifths of the changed bytes are written over: a short file as a whole, a long one in pieces of up to 64 KiB. The
//! rest are files that come and files that go. A piece that is written over keeps most of its bytes, so that it
//! compresses as before. Bytes are those of content: a hole stays one.

use crate::harness::BenchError;
use crate::harness::data::content::{self, Ranges};
use crate::harness::random::Random;
use std::fs::{self, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Longest piece that is written over at once.
const PIECE: u64 = 64 << 10;
/// One byte in so many differs in a piece that is written over.
const STRIDE: usize = 509;

/// What was changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Edited {
    /// Pieces written over, and their bytes.
    pub pieces: u64,
    pub bytes_over: u64,
    /// Files added, and their bytes.
    pub added: u64,
    pub bytes_added: u64,
    /// Files deleted, and their bytes.
    pub deleted: u64,
    pub bytes_deleted: u64,
}

impl Edited {
    /// All bytes that differ.
    pub fn bytes(&self) -> u64 {
        self.bytes_over + self.bytes_added + self.bytes_deleted
    }
}

/// Files with content below a path, in the order of their names, with their lengths.
pub fn files(root: &Path) -> Result<Vec<(PathBuf, u64)>, BenchError> {
    let (mut found, mut open) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(path) = open.pop() {
        let meta = path.symlink_metadata().map_err(BenchError::io("look at", &path))?;
        if meta.is_dir() {
            for entry in path.read_dir().map_err(BenchError::io("list", &path))? {
                open.push(entry.map_err(BenchError::io("list", &path))?.path());
            }
        } else if meta.is_file() && meta.len() > 0 {
            found.push((path, meta.len()));
        }
    }
    found.sort();
    Ok(found)
}

/// What undoes changes, so that every round begins with the same data. Bytes written over stay in memory meanwhile.
#[derive(Debug)]
pub struct Undo {
    /// Where deleted files lie meanwhile, on the file system of the data.
    folder: PathBuf,
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Over(PathBuf, u64, Vec<u8>),
    Added(PathBuf),
    Deleted(PathBuf, PathBuf),
}

impl Undo {
    /// Nothing to undo yet; makes the folder.
    pub fn new(folder: PathBuf) -> Result<Undo, BenchError> {
        fs::create_dir_all(&folder).map_err(BenchError::io("make", &folder))?;
        Ok(Undo { folder, steps: Vec::new() })
    }

    fn delete(&mut self, path: &Path) -> Result<(), BenchError> {
        let kept = self.folder.join(self.steps.len().to_string());
        fs::rename(path, &kept).map_err(BenchError::io("remove", path))?;
        self.steps.push(Step::Deleted(path.into(), kept));
        Ok(())
    }

    /// Brings everything back as it was, the times of files apart.
    pub fn undo(&mut self) -> Result<(), BenchError> {
        while let Some(step) = self.steps.pop() {
            match step {
                Step::Over(path, offset, bytes) => {
                    let file = OpenOptions::new().write(true).open(&path).map_err(BenchError::io("open", &path))?;
                    file.write_all_at(&bytes, offset).map_err(BenchError::io("write", &path))?;
                }
                Step::Added(path) => fs::remove_file(&path).map_err(BenchError::io("remove", &path))?,
                Step::Deleted(path, kept) => fs::rename(&kept, &path).map_err(BenchError::io("bring back", &path))?,
            }
        }
        Ok(())
    }
}

/// Changes this share of the bytes of content below `root` (at least one).
pub fn edit(root: &Path, share: f64, seed: u64, undo: &mut Undo) -> Result<Edited, BenchError> {
    let mut files = contents(root)?;
    let total: u64 = files.iter().map(|(_, ranges)| content::bytes(ranges)).sum();
    if total == 0 || !(share > 0.0 && share <= 1.0) {
        return Err(BenchError::Invalid(format!("{}: nothing to change {share} of", root.display())));
    }
    let mut left = ((total as f64 * share).round() as u64).max(1);
    let (mut random, mut edited) = (Random(seed), Edited::default());
    while left > 0 && !files.is_empty() {
        let at = random.place(files.len());
        let (path, ranges) = files[at].clone();
        let len = content::bytes(&ranges);
        match random.place(10) {
            0 if files.len() > 1 && len <= left => {
                undo.delete(&path)?;
                files.swap_remove(at);
                (edited.deleted, edited.bytes_deleted) = (edited.deleted + 1, edited.bytes_deleted + len);
                left -= len;
            }
            1 if root.is_dir() => {
                let new = path.with_file_name(format!("added-{seed:x}-{}", edited.added));
                let len = len.min(left).min(PIECE);
                let (offset, len) = place(&ranges, 0, len);
                fs::write(&new, piece(&path, offset, len, &mut random)?.1).map_err(BenchError::io("write", &new))?;
                undo.steps.push(Step::Added(new));
                (edited.added, edited.bytes_added) = (edited.added + 1, edited.bytes_added + len);
                left -= len;
            }
            _ => {
                let want = len.min(left).min(PIECE);
                let offset = if len == want { 0 } else { random.place((len - want) as usize + 1) as u64 };
                let (offset, want) = place(&ranges, offset, want);
                let (before, bytes) = piece(&path, offset, want, &mut random)?;
                let file = OpenOptions::new().write(true).open(&path).map_err(BenchError::io("open", &path))?;
                file.write_all_at(&bytes, offset).map_err(BenchError::io("write", &path))?;
                undo.steps.push(Step::Over(path, offset, before));
                (edited.pieces, edited.bytes_over) = (edited.pieces + 1, edited.bytes_over + want);
                left -= want;
            }
        }
    }
    Ok(edited)
}

/// Files with content, and where in them it lies.
fn contents(root: &Path) -> Result<Vec<(PathBuf, Ranges)>, BenchError> {
    let mut found = Vec::new();
    for (path, _) in files(root)? {
        let meta = path.symlink_metadata().map_err(BenchError::io("look at", &path))?;
        let ranges = content::ranges(&path, &meta);
        if !ranges.is_empty() {
            found.push((path, ranges));
        }
    }
    Ok(found)
}

/// Where in the file a byte of its content lies, and how many of `len` come before the next hole.
fn place(ranges: &[Range<u64>], mut at: u64, len: u64) -> (u64, u64) {
    for range in ranges {
        let here = range.end - range.start;
        if at < here {
            return (range.start + at, len.min(here - at));
        }
        at -= here;
    }
    (at, len)
}

/// A range of a file, and the same with some bytes changed, the first one always.
fn piece(path: &Path, offset: u64, len: u64, random: &mut Random) -> Result<(Vec<u8>, Vec<u8>), BenchError> {
    let file = fs::File::open(path).map_err(BenchError::io("open", path))?;
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, offset).map_err(BenchError::io("read", path))?;
    let before = bytes.clone();
    for byte in bytes.iter_mut().step_by(STRIDE) {
        *byte ^= 1 + random.place(255) as u8;
    }
    Ok((before, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn tree(at: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        for n in 0..40u8 {
            let folder = at.join(format!("d{}", n % 4));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("f{n}")), vec![n; 1000 + usize::from(n) * 37]).unwrap();
        }
        fs::write(at.join("big"), vec![9; 2_000_000]).unwrap();
        contents(at)
    }

    fn contents(at: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = files(at).unwrap().into_iter();
        files.map(|(path, _)| (path.strip_prefix(at).unwrap().into(), fs::read(&path).unwrap())).collect()
    }

    #[test]
    fn the_share_that_was_asked_for_is_changed_and_no_more() {
        for share in [0.0001, 0.01, 0.3] {
            let folder = tempfile::tempdir().unwrap();
            let before = tree(folder.path());
            let total: usize = before.values().map(Vec::len).sum();
            let kept = tempfile::tempdir().unwrap();
            let mut undo = Undo::new(kept.path().join("undo")).unwrap();
            let edited = edit(folder.path(), share, 7, &mut undo).unwrap();
            assert_eq!(edited.bytes(), (total as f64 * share).round() as u64, "{edited:?}");
            let after = contents(folder.path());
            let gone = before.iter().filter(|(path, _)| !after.contains_key(*path));
            let come = after.iter().filter(|(path, _)| !before.contains_key(*path));
            assert_eq!(gone.map(|(_, bytes)| bytes.len() as u64).sum::<u64>(), edited.bytes_deleted);
            assert_eq!(come.map(|(_, bytes)| bytes.len() as u64).sum::<u64>(), edited.bytes_added);
            let differing = before.iter().filter_map(|(path, old)| Some((old, after.get(path)?)));
            let differing: u64 = differing
                .map(|(old, new)| {
                    assert_eq!(old.len(), new.len());
                    old.iter().zip(new).filter(|(a, b)| a != b).count() as u64
                })
                .sum();
            assert!(differing > 0 && differing <= edited.bytes_over, "{differing} {edited:?}");
            edit(folder.path(), share, 8, &mut undo).unwrap();
            undo.undo().unwrap();
            assert_eq!(contents(folder.path()), before, "undone");
        }
    }

    #[test]
    fn one_seed_one_change() {
        let of = |seed| {
            let folder = tempfile::tempdir().unwrap();
            tree(folder.path());
            let kept = tempfile::tempdir().unwrap();
            let mut undo = Undo::new(kept.path().into()).unwrap();
            (edit(folder.path(), 0.05, seed, &mut undo).unwrap(), contents(folder.path()))
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn a_single_big_file_is_written_over_in_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        fs::write(&path, vec![3; 5_000_000]).unwrap();
        let kept = tempfile::tempdir().unwrap();
        let edited = edit(&path, 0.1, 1, &mut Undo::new(kept.path().into()).unwrap()).unwrap();
        assert_eq!((edited.bytes(), edited.added, edited.deleted), (500_000, 0, 0));
        assert!(edited.pieces >= 8);
        assert_eq!(fs::metadata(&path).unwrap().len(), 5_000_000);
    }

    #[test]
    fn holes_stay_holes_and_are_no_part_of_the_share() {
        let (folder, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = folder.path().join("image");
        let islands = [(1 << 20, &[3u8; 500_000][..]), (60 << 20, &[4; 500_000])];
        let Some(()) = content::testing::sparse(&path, 100 << 20, &islands) else { return };
        let content = || content::ranges(&path, &path.metadata().unwrap());
        let (before, ranges) = (fs::read(&path).unwrap(), content());
        let mut undo = Undo::new(kept.path().into()).unwrap();
        let edited = edit(&path, 0.2, 1, &mut undo).unwrap();
        assert_eq!(edited.bytes(), (content::bytes(&ranges) as f64 * 0.2).round() as u64);
        assert_eq!(content(), ranges);
        undo.undo().unwrap();
        assert!(fs::read(&path).unwrap() == before && content() == ranges);
        let all_hole = folder.path().join("hole");
        content::testing::sparse(&all_hole, 1 << 20, &[]).unwrap();
        assert!(edit(&all_hole, 0.1, 1, &mut undo).unwrap_err().to_string().contains("nothing to change"));
    }

    #[test]
    fn nothing_cannot_be_changed() {
        let folder = tempfile::tempdir().unwrap();
        let kept = tempfile::tempdir().unwrap();
        let mut undo = Undo::new(kept.path().into()).unwrap();
        assert!(edit(folder.path(), 0.1, 1, &mut undo).unwrap_err().to_string().contains("nothing to change"));
    }
}
