//! What a backup leaves out: exclude rules, markers, sizes and flags.
//!
//! Rules have the syntax of `.gitignore` (see [`crate::base::pattern`]). The last rule that matches decides, and `!`
//! keeps what matches. Nothing inside a directory that is left out is looked at. A rule that begins with `/` is
//! compared with the path in the snapshot; a rule with another slash in it is compared with the path below the source.

use crate::base::pattern::{Hits, Reading, Rule, Rules, RulesBuilder};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Exclude rules, as a person gives them.
#[derive(Debug, Clone, Default)]
pub struct Excludes {
    /// Patterns and files of patterns, in the order in which they count: the last that matches decides.
    pub rules: Vec<Given>,
    /// Name of per-directory rule files to honour, e.g. `.gitignore` or `.larderignore`.
    pub per_directory: Vec<OsString>,
    /// Leave out what lies in directories that hold a `CACHEDIR.TAG` (the directory and the tag stay).
    pub cache_dirs: bool,
    /// Leave out what lies in directories that hold one of these names (the directory and the name stay).
    pub if_present: Vec<OsString>,
    /// Leave out files of more bytes.
    pub larger_than: Option<u64>,
    /// Leave out what has the no-dump flag.
    pub no_dump: bool,
}

/// Rules from one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// A pattern, or a file of them.
    pub place: GivenIn,
    /// Letters match in either case.
    pub ignore_case: bool,
}

/// Where rules are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GivenIn {
    Pattern(OsString),
    /// A file, one pattern a line.
    File(PathBuf),
}

impl From<&str> for Given {
    fn from(pattern: &str) -> Given {
        Given::pattern(pattern.into())
    }
}

impl Given {
    pub fn pattern(pattern: OsString) -> Given {
        Given { place: GivenIn::Pattern(pattern), ignore_case: false }
    }
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
/// The tag file's name.
pub const CACHEDIR_TAG_NAME: &[u8] = b"CACHEDIR.TAG";
/// A rule file in a directory is read up to this many bytes.
pub const RULE_FILE_BYTES_MAX: usize = 1 << 20;

/// Why something is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// By a rule that was given, with this number.
    Rule(usize),
    /// By a rule file of a directory.
    RuleFile,
    /// A marker lies beside it.
    Marker,
    /// It is too large.
    Size,
    /// It has the no-dump flag.
    NoDump,
    /// It belongs to the store.
    Store,
    /// The walk was told to end.
    Stopped,
}

/// Compiled rules.
#[derive(Debug)]
pub struct Filter {
    given: Rules,
    per_directory: Vec<Vec<u8>>,
    cache_dirs: bool,
    if_present: Vec<Vec<u8>>,
    larger_than: Option<u64>,
    no_dump: bool,
    too_large: AtomicU64,
}

/// Rules of one directory's own file, and those of the directories above it.
#[derive(Debug)]
pub struct Chain {
    rules: Rules,
    /// Where the part of a path that lies below the rules' directory begins.
    below: usize,
    above: Option<Arc<Chain>>,
}

impl Filter {
    /// Compiles the rules.
    pub fn new(excludes: &Excludes) -> Result<Filter, FilterError> {
        let mut builder = RulesBuilder::default();
        for Given { place, ignore_case } in &excludes.rules {
            let reading = Reading { ignore_case: *ignore_case, ..Reading::default() };
            match place {
                GivenIn::Pattern(pattern) => {
                    let origin = if *ignore_case { "--iexclude" } else { "--exclude" };
                    builder.add(pattern.as_bytes(), reading, || origin.into()).map_err(|message| FilterError {
                        origin: format!("exclude pattern '{}'", crate::base::escape::name(pattern.as_bytes())),
                        message,
                    })?;
                }
                GivenIn::File(path) => add_file(&mut builder, path, Reading { in_file: true, ..reading })?,
            }
        }
        let origin = || "exclude patterns".into();
        let given = builder.build().map_err(|message| FilterError { origin: origin(), message })?;
        Ok(Filter {
            given,
            per_directory: names("rule file name", &excludes.per_directory)?,
            cache_dirs: excludes.cache_dirs,
            if_present: names("marker", &excludes.if_present)?,
            larger_than: excludes.larger_than,
            no_dump: excludes.no_dump,
            too_large: AtomicU64::new(0),
        })
    }

    /// Whether nothing is ever left out by name.
    pub fn is_empty(&self) -> bool {
        self.given.is_empty() && self.per_directory.is_empty()
    }

    /// Whether nothing is ever left out by name or by what lies in a directory.
    pub fn keeps_all_names(&self) -> bool {
        self.is_empty() && !self.cache_dirs && self.if_present.is_empty()
    }

    /// The rules that were given.
    pub fn rules(&self) -> &[Rule] {
        self.given.rules()
    }

    /// Names of rule files to look for in each directory.
    pub fn rule_files(&self) -> &[Vec<u8>] {
        &self.per_directory
    }

    /// Whether tagged cache directories are left out.
    pub fn cache_dirs(&self) -> bool {
        self.cache_dirs
    }

    /// Names that mark a directory as one to leave out.
    pub fn markers(&self) -> &[Vec<u8>] {
        &self.if_present
    }

    /// Whether the no-dump flag is asked for.
    pub fn no_dump(&self) -> bool {
        self.no_dump
    }

    /// Whether a file is left out for its size; counted.
    pub fn is_too_large(&self, bytes: u64) -> bool {
        let too_large = self.larger_than.is_some_and(|most| bytes > most);
        if too_large {
            self.too_large.fetch_add(1, Relaxed);
        }
        too_large
    }

    /// Files left out for their size, since the last time this was asked, and the size.
    pub fn take_too_large(&self) -> Option<(u64, u64)> {
        let files = self.too_large.swap(0, Relaxed);
        self.larger_than.filter(|_| files > 0).map(|most| (files, most))
    }

    /// Why an entry is left out, if it is. `path` is absolute, below roots whose own parts end before so many bytes.
    /// `chain` holds the rules of the directory the entry lies in.
    pub fn leaves_out(
        &self,
        path: &[u8],
        roots: &[usize],
        chain: Option<&Arc<Chain>>,
        directory: bool,
        hits: &mut Hits,
    ) -> Option<Cause> {
        if let Some((rule, says)) = self.given.decide_by(path, roots, directory, hits) {
            return says.then_some(Cause::Rule(rule));
        }
        let mut chain = chain;
        while let Some(rules) = chain {
            match rules.rules.decide(path, rules.below, directory, hits) {
                None => chain = rules.above.as_ref(),
                Some(says) => return says.then_some(Cause::RuleFile),
            }
        }
        None
    }

    /// Whether a path that was named in a list is left out, or a directory on the way to it. The nearest decides. What
    /// begins at a source cannot match: the path is the source.
    pub fn leaves_out_listed(&self, path: &[u8], directory: bool, hits: &mut Hits) -> Option<Cause> {
        let (mut end, mut directory) = (path.len(), directory);
        while end > 1 {
            if let Some((rule, says)) = self.given.decide_by(&path[..end], &[], directory, hits) {
                return says.then_some(Cause::Rule(rule));
            }
            end = path[..end].iter().rposition(|&b| b == b'/').unwrap_or(0);
            directory = true;
        }
        None
    }
}

impl Chain {
    /// The rules of a directory's own file. Lines that are no patterns are passed over, as git does: what they
    /// would have left out is kept. `below` is where a path's part below that directory begins.
    pub fn add(text: &[u8], below: usize, above: Option<Arc<Chain>>) -> Option<Arc<Chain>> {
        let mut builder = RulesBuilder::default();
        let reading = Reading { in_file: true, own_directory: true, ..Reading::default() };
        for line in lines(text) {
            _ = builder.add(line, reading, String::new);
        }
        match builder.build() {
            Ok(rules) if !rules.is_empty() => Some(Arc::new(Chain { rules, below, above })),
            _ => above,
        }
    }
}

/// Names of files that are looked for in directories.
fn names(what: &str, given: &[OsString]) -> Result<Vec<Vec<u8>>, FilterError> {
    let name = |name: &OsString| match crate::base::path::check_name(name.as_bytes()) {
        Ok(()) => Ok(name.clone().into_vec()),
        Err(_) => Err(FilterError {
            origin: format!("{what} '{}'", crate::base::escape::name(name.as_bytes())),
            message: "is not the name of a file".into(),
        }),
    };
    given.iter().map(name).collect()
}

fn add_file(builder: &mut RulesBuilder, path: &Path, reading: Reading) -> Result<(), FilterError> {
    let fail = |origin: String, message: String| FilterError { origin, message };
    let text = std::fs::read(path).map_err(|e| fail(path.display().to_string(), e.to_string()))?;
    for (number, line) in lines(&text).enumerate() {
        let origin = || format!("{}:{}", path.display(), number + 1);
        builder.add(line, reading, origin).map_err(|message| fail(origin(), message))?;
    }
    Ok(())
}

/// Lines without what ends them, and without a byte order mark.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    text.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}
