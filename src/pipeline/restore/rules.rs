//! What is restored: include and exclude rules over paths in the snapshot.

use crate::base::pattern::{self, Hits, Reading, RulesBuilder};
use crate::pipeline::restore::RestoreError;
use crate::source::Remark;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

pub struct Rules {
    include: pattern::Rules,
    exclude: pattern::Rules,
    /// Where a path's part below the folder that is restored begins.
    below: usize,
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
    /// Compiles patterns in `.gitignore` syntax, of any bytes: the last that matches decides. Those with a slash begin at
    /// the path `base`; one that begins with a slash can also be a whole path. None to include means all.
    pub fn new<P: AsRef<OsStr>>(base: &[u8], include: &[P], exclude: &[P]) -> Result<Rules, RestoreError> {
        let below = if base == b"/" { 1 } else { base.len() + 1 };
        let (include, exclude) = (compile("--include", include)?, compile("--exclude", exclude)?);
        Ok(Rules { include, exclude, below, listed: None })
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
        self.include.is_empty() && self.exclude.is_empty() && self.listed.is_none()
    }

    /// What becomes of the entry at an absolute `path` whose directory has the choice `parent`.
    pub fn choose(&self, path: &[u8], directory: bool, parent: Choice) -> Choice {
        if let (Choice::Below, Some(listed)) = (parent, &self.listed) {
            let choice = listed.choose(path, directory);
            return if choice == Choice::No || !self.excludes(path, directory) { choice } else { Choice::No };
        }
        if parent == Choice::No || self.excludes(path, directory) {
            return Choice::No;
        }
        if self.include.is_empty() || parent == Choice::Yes || self.matches(&self.include, path, directory) {
            Choice::Yes
        } else if directory {
            Choice::Below
        } else {
            Choice::No
        }
    }

    fn excludes(&self, path: &[u8], directory: bool) -> bool {
        self.matches(&self.exclude, path, directory)
    }

    fn matches(&self, rules: &pattern::Rules, path: &[u8], directory: bool) -> bool {
        !rules.is_empty() && rules.decide(path, self.below, directory, &mut Hits::default()) == Some(true)
    }

    /// What there is to say of the rules once everything was chosen: those that matched nothing.
    pub fn remarks(&self) -> Vec<String> {
        let all = [&self.include, &self.exclude].into_iter();
        all.flat_map(|rules| Remark::of_rules(rules.rules(), "the folder that is restored"))
            .map(|r| r.message)
            .collect()
    }

    /// The choice for the outermost directory, which has this path.
    pub fn outermost(&self, path: &[u8]) -> Choice {
        match &self.listed {
            Some(listed) => listed.choose(path, true),
            None if !self.include.is_empty() => Choice::Below,
            None => Choice::Yes,
        }
    }
}

fn compile<P: AsRef<OsStr>>(option: &str, patterns: &[P]) -> Result<pattern::Rules, RestoreError> {
    let bad = |what: String, e: String| RestoreError::Refused(format!("{what}: {e}"));
    let mut builder = RulesBuilder::default();
    let reading = Reading { also_at_base: true, ..Reading::default() };
    for pattern in patterns {
        let bytes = pattern.as_ref().as_bytes();
        let name = || format!("pattern '{}'", crate::base::escape::name(bytes));
        builder.add(bytes, reading, || option.into()).map_err(|e| bad(name(), e))?;
    }
    builder.build().map_err(|e| bad("all patterns together".into(), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(include: &[&str], exclude: &[&str]) -> Rules {
        Rules::new(b"/", include, exclude).unwrap()
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
        let error = Rules::new(b"/", &["[z-a]"], &[]).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("[z-a]"), "{error}");
    }

    #[test]
    fn the_last_rule_that_matches_decides_and_a_slash_says_where_it_begins() {
        let rules = Rules::new(b"/home/me", &[], &["*.log", "!/home/me/keep.log", "/dev", "./tmp", "/etc"]).unwrap();
        assert_eq!(rules.choose(b"/home/me/keep.log", false, Choice::Yes), Choice::Yes);
        assert_eq!(rules.choose(b"/home/me/a/keep.log", false, Choice::Yes), Choice::No);
        assert_eq!(rules.choose(b"/home/me/dev", true, Choice::Yes), Choice::No);
        assert_eq!(rules.choose(b"/home/me/tmp", true, Choice::Yes), Choice::No);
        let remarks = rules.remarks().join("\n");
        assert_eq!(remarks, "rule '/etc' (--exclude) matched nothing");
    }
}
