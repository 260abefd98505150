//! What is left out: exclude patterns by the `ignore` crate's rules.
//!
//! Patterns have the syntax and the meaning of `.gitignore`: the last one that matches decides, `!` takes back, what lies
//! in a directory that is left out is not looked at. A pattern is held against the path below the root that is backed
//! up and, so that `--exclude /home/me/.cache` means what it says, against the absolute path too.

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Exclude rules, as a person gives them.
#[derive(Debug, Clone, Default)]
pub struct Excludes {
    /// Patterns in `.gitignore` syntax, matched from each root and from `/`. They go before those of files.
    pub patterns: Vec<String>,
    /// Files of such patterns.
    pub files: Vec<PathBuf>,
    /// Name of per-directory rule files to honour, e.g. `.gitignore` or `.larderignore`.
    pub per_directory: Vec<String>,
    /// Leave out what lies in directories that hold a `CACHEDIR.TAG` (the directory and the tag stay).
    pub cache_dirs: bool,
}

/// A bad pattern or an unreadable pattern file.
#[derive(Debug, thiserror::Error)]
#[error("{origin}: {message}")]
pub struct FilterError {
    /// Where the pattern came from.
    pub origin: String,
    /// What is wrong with it.
    pub message: String,
}

/// What a cache directory's tag file begins with: <https://bford.info/cachedir/>.
pub const CACHEDIR_TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";
/// A rule file in a directory is read up to this many bytes.
pub const RULE_FILE_BYTES_MAX: usize = 1 << 20;

/// Compiled rules.
#[derive(Debug)]
pub struct Filter {
    given: Gitignore,
    per_directory: Vec<Vec<u8>>,
    cache_dirs: bool,
}

/// Rules of one directory's own file, and those of the directories above it.
#[derive(Debug)]
pub struct Chain {
    rules: Gitignore,
    /// Where the part of a path that lies below the rules' directory begins.
    below: usize,
    above: Option<Arc<Chain>>,
}

impl Filter {
    /// Compiles the rules.
    pub fn new(excludes: &Excludes) -> Result<Filter, FilterError> {
        let mut builder = GitignoreBuilder::new("");
        // The last match decides, and what is typed has the last word.
        for path in &excludes.files {
            add_file(&mut builder, path)?;
        }
        for pattern in &excludes.patterns {
            let origin = || format!("exclude pattern '{pattern}'");
            strict(&mut builder, pattern).map_err(|message| FilterError { origin: origin(), message })?;
        }
        let given = builder
            .build()
            .map_err(|error| FilterError { origin: "exclude patterns".into(), message: error.to_string() })?;
        for name in &excludes.per_directory {
            if crate::base::path::check_name(name.as_bytes()).is_err() {
                let origin = format!("rule file name '{name}'");
                return Err(FilterError { origin, message: "is not the name of a file".into() });
            }
        }
        let per_directory = excludes.per_directory.iter().map(|n| n.as_bytes().to_vec()).collect();
        Ok(Filter { given, per_directory, cache_dirs: excludes.cache_dirs })
    }

    /// Whether an entry is left out, given its path relative to its root.
    pub fn excludes(&self, relative: &Path, directory: bool) -> bool {
        self.given.matched(relative, directory).is_ignore()
    }

    /// Whether nothing is ever left out by name.
    pub fn is_empty(&self) -> bool {
        self.given.is_empty() && self.per_directory.is_empty()
    }

    /// Names of rule files to look for in each directory.
    pub fn rule_files(&self) -> &[Vec<u8>] {
        &self.per_directory
    }

    /// Whether tagged cache directories are left out.
    pub fn cache_dirs(&self) -> bool {
        self.cache_dirs
    }

    /// Whether an entry is left out. `path` is absolute, below a root whose own part ends before `root` bytes.
    /// `chain` holds the rules of the directory the entry lies in.
    pub fn leaves_out(&self, path: &[u8], root: usize, chain: Option<&Arc<Chain>>, directory: bool) -> bool {
        let part = |from: usize| Path::new(OsStr::from_bytes(path.get(from..).unwrap_or_default()));
        for from in [root, 1] {
            match self.given.matched(part(from), directory) {
                Match::None => {}
                matched => return matched.is_ignore(),
            }
        }
        let mut chain = chain;
        while let Some(rules) = chain {
            match rules.rules.matched(part(rules.below), directory) {
                Match::None => chain = rules.above.as_ref(),
                matched => return matched.is_ignore(),
            }
        }
        false
    }

    /// Whether a path that was named in a list, or a directory on the way to it, is left out.
    pub fn leaves_out_listed(&self, path: &[u8], directory: bool) -> bool {
        let path = Path::new(OsStr::from_bytes(path.strip_prefix(b"/").unwrap_or(path)));
        !path.as_os_str().is_empty() && self.given.matched_path_or_any_parents(path, directory).is_ignore()
    }
}

impl Chain {
    /// The rules of a directory's own file. Lines that are no patterns are passed over, as git does: what they
    /// would have left out is kept. `below` is where a path's part below that directory begins.
    pub fn add(text: &[u8], below: usize, above: Option<Arc<Chain>>) -> Option<Arc<Chain>> {
        let mut builder = GitignoreBuilder::new("");
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
        for line in text.split(|&b| b == b'\n') {
            if let Ok(line) = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)) {
                _ = builder.add_line(None, line);
            }
        }
        match builder.build() {
            Ok(rules) if !rules.is_empty() => Some(Arc::new(Chain { rules, below, above })),
            _ => above,
        }
    }
}

fn strict(builder: &mut GitignoreBuilder, line: &str) -> Result<(), String> {
    builder.allow_unclosed_class(false).add_line(None, line).map(|_| ()).map_err(|error| error.to_string())
}

fn add_file(builder: &mut GitignoreBuilder, path: &Path) -> Result<(), FilterError> {
    let fail = |origin: String, message: String| FilterError { origin, message };
    let text = std::fs::read(path).map_err(|e| fail(path.display().to_string(), e.to_string()))?;
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text);
    for (number, line) in text.split(|&b| b == b'\n').enumerate() {
        let origin = || format!("{}:{}", path.display(), number + 1);
        let line = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line))
            .map_err(|_| fail(origin(), "is not UTF-8".into()))?;
        strict(builder, line).map_err(|message| fail(origin(), message))?;
    }
    Ok(())
}
