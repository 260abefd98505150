//! What is restored: include and exclude rules over paths in the snapshot.

use crate::store::StoreError;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Compiled rules.
pub struct Rules {
    include: Option<Gitignore>,
    exclude: Option<Gitignore>,
    listed: Option<Listed>,
}

/// Paths of a list, sorted, and whether the snapshot has them.
struct Listed {
    paths: Vec<Vec<u8>>,
    met: Vec<AtomicBool>,
}

impl Listed {
    fn choose(&self, path: &[u8], directory: bool) -> Choice {
        if let Ok(at) = self.paths.binary_search_by(|listed| listed.as_slice().cmp(path)) {
            self.met[at].store(true, Relaxed);
            return Choice::Yes;
        }
        let below = if path == b"/" { path.to_vec() } else { [path, b"/"].concat() };
        let next = self.paths.partition_point(|listed| *listed < below);
        let leads = directory && self.paths.get(next).is_some_and(|listed| listed.starts_with(&below));
        if leads { Choice::Below } else { Choice::No }
    }
}

/// What the rules say of an entry and of what lies below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Restore it, and what lies below unless it is excluded.
    Yes,
    /// A directory that is made only if something below it is restored.
    Below,
    /// Leave it out, with all that lies below.
    No,
}

impl Rules {
    /// Compiles patterns in `.gitignore` syntax; those with a slash begin at the path `base`. None to include means all.
    pub fn new(base: &[u8], include: &[String], exclude: &[String]) -> Result<Rules, StoreError> {
        Ok(Rules { include: compile(base, include)?, exclude: compile(base, exclude)?, listed: None })
    }

    /// Of what these allow, only these absolute paths and what lies below them.
    pub fn with_list(mut self, mut paths: Vec<Vec<u8>>) -> Rules {
        paths.sort_unstable();
        paths.dedup();
        let met = paths.iter().map(|_| AtomicBool::new(false)).collect();
        self.listed = Some(Listed { paths, met });
        self
    }

    /// Listed paths that no entry had.
    pub fn unmet(&self) -> Vec<Vec<u8>> {
        let listed = self.listed.iter().flat_map(|listed| listed.paths.iter().zip(&listed.met));
        listed.filter(|(_, met)| !met.load(Relaxed)).map(|(path, _)| path.clone()).collect()
    }

    /// Whether what the snapshot lacks is removed from a directory of this choice. Where only listed paths are restored,
    /// nothing beside them is chosen.
    pub fn sweeps(&self, choice: Choice) -> bool {
        match choice {
            Choice::Yes => true,
            Choice::Below => self.listed.is_none(),
            Choice::No => false,
        }
    }

    /// Whether every entry is restored.
    pub fn take_all(&self) -> bool {
        self.include.is_none() && self.exclude.is_none() && self.listed.is_none()
    }

    /// What becomes of the entry at an absolute `path` whose directory has the choice `parent`.
    pub fn choose(&self, path: &[u8], directory: bool, parent: Choice) -> Choice {
        if let (Choice::Below, Some(listed)) = (parent, &self.listed) {
            let choice = listed.choose(path, directory);
            return if choice == Choice::No || !self.excludes(path, directory) { choice } else { Choice::No };
        }
        let path = Path::new(OsStr::from_bytes(path));
        let matches = |rules: &Gitignore| rules.matched(path, directory).is_ignore();
        if parent == Choice::No || self.exclude.as_ref().is_some_and(matches) {
            return Choice::No;
        }
        match &self.include {
            Some(include) if parent == Choice::Below && !matches(include) => {
                if directory {
                    Choice::Below
                } else {
                    Choice::No
                }
            }
            _ => Choice::Yes,
        }
    }

    fn excludes(&self, path: &[u8], directory: bool) -> bool {
        let path = Path::new(OsStr::from_bytes(path));
        self.exclude.as_ref().is_some_and(|exclude| exclude.matched(path, directory).is_ignore())
    }

    /// The choice for the outermost directory, which has this path.
    pub fn outermost(&self, path: &[u8]) -> Choice {
        match &self.listed {
            Some(listed) => listed.choose(path, true),
            None if self.include.is_some() => Choice::Below,
            None => Choice::Yes,
        }
    }
}

fn compile(base: &[u8], patterns: &[String]) -> Result<Option<Gitignore>, StoreError> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let bad = |pattern: &str, e: ignore::Error| StoreError::Refused(format!("pattern {pattern:?}: {e}"));
    let mut builder = GitignoreBuilder::new(OsStr::from_bytes(base));
    for pattern in patterns {
        builder.add_line(None, pattern).map_err(|e| bad(pattern, e))?;
    }
    builder.build().map(Some).map_err(|e| bad("all together", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(include: &[&str], exclude: &[&str]) -> Rules {
        let owned = |patterns: &[&str]| patterns.iter().map(|p| p.to_string()).collect::<Vec<_>>();
        Rules::new(b"/", &owned(include), &owned(exclude)).unwrap()
    }

    #[test]
    fn an_excluded_directory_takes_everything_below_with_it() {
        let rules = rules(&[], &["*.o", "/tmp", "!keep.o"]);
        assert_eq!(rules.outermost(b"/"), Choice::Yes);
        assert_eq!(rules.choose(b"/a/x.o", false, Choice::Yes), Choice::No);
        assert_eq!(rules.choose(b"/a/keep.o", false, Choice::Yes), Choice::Yes);
        assert_eq!(rules.choose(b"/tmp", true, Choice::Yes), Choice::No);
        assert_eq!(rules.choose(b"/a/tmp", true, Choice::Yes), Choice::Yes);
        assert_eq!(rules.choose(b"/tmp/x", false, Choice::No), Choice::No);
    }

    #[test]
    fn directories_above_what_is_included_are_made_when_needed() {
        let rules = rules(&["/etc/ssh", "*.conf"], &["secret*"]);
        assert_eq!(rules.outermost(b"/"), Choice::Below);
        assert_eq!(rules.choose(b"/etc", true, Choice::Below), Choice::Below);
        assert_eq!(rules.choose(b"/etc/ssh", true, Choice::Below), Choice::Yes);
        assert_eq!(rules.choose(b"/etc/ssh/any", false, Choice::Yes), Choice::Yes);
        assert_eq!(rules.choose(b"/etc/hosts", false, Choice::Below), Choice::No);
        assert_eq!(rules.choose(b"/etc/a.conf", false, Choice::Below), Choice::Yes);
        assert_eq!(rules.choose(b"/etc/ssh/secret.conf", false, Choice::Yes), Choice::No);
    }

    #[test]
    fn listed_paths_are_restored_with_what_lies_below_and_missing_ones_are_known() {
        let listed = |exclude: &[&str]| {
            let paths = ["/etc/ssh", "/etc/sshd", "/gone", "/etc/x.conf"].map(|p| p.as_bytes().to_vec());
            rules(&[], exclude).with_list(paths.to_vec())
        };
        let rules = listed(&[]);
        assert_eq!(rules.outermost(b"/"), Choice::Below);
        assert_eq!(rules.choose(b"/etc", true, Choice::Below), Choice::Below);
        assert_eq!(rules.choose(b"/etc", false, Choice::Below), Choice::No);
        assert_eq!(rules.choose(b"/etc/ssh", true, Choice::Below), Choice::Yes);
        assert_eq!(rules.choose(b"/etc/ssh/key", false, Choice::Yes), Choice::Yes);
        assert_eq!(rules.choose(b"/etc/ss", true, Choice::Below), Choice::No);
        assert_eq!(rules.choose(b"/etc/x.conf", false, Choice::Below), Choice::Yes);
        assert_eq!(rules.unmet(), [b"/etc/sshd".to_vec(), b"/gone".to_vec()]);
        assert!(rules.sweeps(Choice::Yes) && !rules.sweeps(Choice::Below));
        let rules = listed(&["*.conf"]);
        assert_eq!(rules.choose(b"/etc/x.conf", false, Choice::Below), Choice::No);
        assert_eq!(rules.choose(b"/etc/ssh/y.conf", false, Choice::Yes), Choice::No);
        let all = self::rules(&[], &[]).with_list(vec![b"/etc".to_vec()]);
        assert_eq!(all.outermost(b"/etc"), Choice::Yes);
    }

    #[test]
    fn a_bad_pattern_is_refused_with_its_text() {
        let error = Rules::new(b"/", &["[z-a]".into()], &[]).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("[z-a]"), "{error}");
    }
}
