//! What is restored: include and exclude rules over paths in the snapshot.

use crate::store::StoreError;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Compiled rules.
pub struct Rules {
    include: Option<Gitignore>,
    exclude: Option<Gitignore>,
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
        Ok(Rules { include: compile(base, include)?, exclude: compile(base, exclude)? })
    }

    /// Whether every entry is restored.
    pub fn take_all(&self) -> bool {
        self.include.is_none() && self.exclude.is_none()
    }

    /// What becomes of the entry at an absolute `path` whose directory has the choice `parent`.
    pub fn choose(&self, path: &[u8], directory: bool, parent: Choice) -> Choice {
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

    /// The choice for the outermost directory.
    pub fn outermost(&self) -> Choice {
        if self.include.is_some() { Choice::Below } else { Choice::Yes }
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
        assert_eq!(rules.outermost(), Choice::Yes);
        assert_eq!(rules.choose(b"/a/x.o", false, Choice::Yes), Choice::No);
        assert_eq!(rules.choose(b"/a/keep.o", false, Choice::Yes), Choice::Yes);
        assert_eq!(rules.choose(b"/tmp", true, Choice::Yes), Choice::No);
        assert_eq!(rules.choose(b"/a/tmp", true, Choice::Yes), Choice::Yes);
        assert_eq!(rules.choose(b"/tmp/x", false, Choice::No), Choice::No);
    }

    #[test]
    fn directories_above_what_is_included_are_made_when_needed() {
        let rules = rules(&["/etc/ssh", "*.conf"], &["secret*"]);
        assert_eq!(rules.outermost(), Choice::Below);
        assert_eq!(rules.choose(b"/etc", true, Choice::Below), Choice::Below);
        assert_eq!(rules.choose(b"/etc/ssh", true, Choice::Below), Choice::Yes);
        assert_eq!(rules.choose(b"/etc/ssh/any", false, Choice::Yes), Choice::Yes);
        assert_eq!(rules.choose(b"/etc/hosts", false, Choice::Below), Choice::No);
        assert_eq!(rules.choose(b"/etc/a.conf", false, Choice::Below), Choice::Yes);
        assert_eq!(rules.choose(b"/etc/ssh/secret.conf", false, Choice::Yes), Choice::No);
    }

    #[test]
    fn a_bad_pattern_is_refused_with_its_text() {
        let error = Rules::new(b"/", &["[z-a]".into()], &[]).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("[z-a]"), "{error}");
    }
}
