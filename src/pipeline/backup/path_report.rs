//! Collects the paths that could not be read or were left out. The first ones are kept in memory, and a longer list of
//! problems in a file.

use crate::base::limits::SOURCE_ERRORS_MAX;
use crate::monitor::Problem;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

/// What one backup reports of paths: problems, what was left out, and files that changed while they were read.
#[derive(Default)]
pub struct PathReport {
    /// What could not be read.
    pub problems: Vec<Problem>,
    /// How many there were.
    pub problem_count: u64,
    /// What was left out.
    pub skipped: Vec<Problem>,
    /// Files that changed while they were read.
    pub changed: Vec<Vec<u8>>,
    /// Where all problems are listed once they are too many to keep.
    pub list: PathBuf,
    file: Option<BufWriter<File>>,
}

impl PathReport {
    /// Nothing is reported yet. `list` is where a list of problems goes that is too long to keep.
    pub fn new(list: PathBuf) -> PathReport {
        PathReport { list, ..PathReport::default() }
    }

    /// One path could not be read.
    pub fn problem(&mut self, problem: Problem) {
        self.problem_count += 1;
        if self.problems.len() < SOURCE_ERRORS_MAX {
            self.problems.push(problem);
            return;
        }
        // A list that cannot be written costs the list, not the backup: the count stays right.
        if self.problem_count == SOURCE_ERRORS_MAX as u64 + 1 {
            self.file = self.begin().ok();
        }
        if let Some(file) = &mut self.file
            && write_line(file, &problem).is_err()
        {
            self.file = None;
        }
    }

    fn begin(&self) -> io::Result<BufWriter<File>> {
        if let Some(folder) = self.list.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = BufWriter::new(File::create(&self.list)?);
        self.problems.iter().try_for_each(|problem| write_line(&mut file, problem))?;
        Ok(file)
    }

    /// One path was left out.
    pub fn skipped(&mut self, path: &[u8], reason: &str) {
        if self.skipped.len() < SOURCE_ERRORS_MAX {
            self.skipped.push(Problem { path: path.to_vec(), message: reason.to_string() });
        }
    }

    /// A file changed while it was read. How many did is counted elsewhere.
    pub fn changed(&mut self, path: Vec<u8>) {
        if self.changed.len() < SOURCE_ERRORS_MAX {
            self.changed.push(path);
        }
    }

    /// The file with the whole list, when there is one.
    pub fn finish(&mut self) -> Option<PathBuf> {
        self.file.take()?.flush().ok()?;
        Some(self.list.clone())
    }
}

/// Path (control bytes and quotes escaped as in Rust's byte strings), a tab, what happened.
fn write_line(file: &mut impl Write, problem: &Problem) -> io::Result<()> {
    writeln!(file, "{}\t{}", problem.path.escape_ascii(), problem.message.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_problems_are_all_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut report = PathReport::new(folder.path().join("new/list"));
        let problem = |n: usize| Problem { path: format!("/a\n{n}").into_bytes(), message: "gone".into() };
        (0..SOURCE_ERRORS_MAX).for_each(|n| report.problem(problem(n)));
        assert_eq!(report.finish(), None);
        (0..5).for_each(|n| report.problem(problem(SOURCE_ERRORS_MAX + n)));
        assert_eq!((report.problems.len(), report.problem_count), (SOURCE_ERRORS_MAX, SOURCE_ERRORS_MAX as u64 + 5));
        let text = std::fs::read_to_string(report.finish().unwrap()).unwrap();
        assert_eq!(text.lines().count(), SOURCE_ERRORS_MAX + 5);
        assert_eq!(text.lines().last(), Some(format!("/a\\n{}\tgone", SOURCE_ERRORS_MAX + 4).as_str()));
    }
}
