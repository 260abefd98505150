//! What is left out: exclude patterns by the `ignore` crate's rules.

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Exclude rules, as a person gives them.
#[derive(Debug, Clone, Default)]
pub struct Excludes {
    /// Patterns in `.gitignore` syntax, matched from each root; one that begins with `/` also matches the absolute path.
    pub patterns: Vec<String>,
    /// Files of such patterns.
    pub files: Vec<PathBuf>,
    /// Names of per-directory rule files to honour, e.g. `.gitignore` or `.larderignore`.
    pub per_directory: Vec<String>,
    /// Leave out what lies in directories that hold a `CACHEDIR.TAG`.
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

/// Rules of the rule files between the root and a directory, innermost first.
#[derive(Clone, Default)]
pub struct Rules(Option<Arc<Level>>);

struct Level {
    own: Gitignore,
    outer: Rules,
}

/// Compiled rules.
pub struct Filter {
    relative: Gitignore,
    absolute: Gitignore,
    per_directory: Vec<String>,
    cache_dirs: bool,
}

impl Filter {
    /// Compiles the rules.
    pub fn new(excludes: &Excludes) -> Result<Filter, FilterError> {
        let (mut relative, mut absolute) = (GitignoreBuilder::new(""), GitignoreBuilder::new("/"));
        let mut add = |origin: String, line: &str| {
            let failed = |e: ignore::Error| FilterError { origin: origin.clone(), message: e.to_string() };
            relative.add_line(None, line).map_err(failed)?;
            if line.trim_start_matches('!').starts_with('/') {
                absolute.add_line(None, line).map_err(failed)?;
            }
            Ok::<(), FilterError>(())
        };
        for pattern in &excludes.patterns {
            add(format!("pattern {pattern:?}"), pattern)?;
        }
        for file in &excludes.files {
            let origin = file.display().to_string();
            let text = std::fs::read_to_string(file)
                .map_err(|e| FilterError { origin: origin.clone(), message: e.to_string() })?;
            for (at, line) in text.lines().enumerate() {
                add(format!("{origin}, line {}", at + 1), line)?;
            }
        }
        let built = |b: GitignoreBuilder| {
            b.build().map_err(|e| FilterError { origin: "exclude rules".into(), message: e.to_string() })
        };
        let (relative, absolute) = (built(relative)?, built(absolute)?);
        Ok(Filter { relative, absolute, per_directory: excludes.per_directory.clone(), cache_dirs: excludes.cache_dirs })
    }

    /// Whether nothing is ever left out.
    pub fn is_empty(&self) -> bool {
        self.relative.is_empty() && self.per_directory.is_empty() && !self.cache_dirs
    }

    /// Whether what lies in a directory with these names is left out as a cache.
    pub fn is_cache(&self, directory: &Path, has: impl Fn(&[u8]) -> bool) -> bool {
        const TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";
        let read = || std::fs::read(directory.join("CACHEDIR.TAG")).is_ok_and(|text| text.starts_with(TAG));
        self.cache_dirs && has(b"CACHEDIR.TAG") && read()
    }

    /// The rules inside a directory, given those outside and its names. A rule file that cannot be read or holds a bad
    /// pattern gives an error beside the rules that could be read.
    pub fn enter(&self, outer: &Rules, directory: &Path, has: impl Fn(&[u8]) -> bool) -> (Rules, Option<FilterError>) {
        let (mut rules, mut problem) = (outer.clone(), None);
        for name in self.per_directory.iter().filter(|n| has(n.as_bytes())) {
            let file = directory.join(name);
            let mut builder = GitignoreBuilder::new(directory);
            let failed = |e: ignore::Error| FilterError { origin: file.display().to_string(), message: e.to_string() };
            problem = problem.or(builder.add(&file).map(failed));
            match builder.build() {
                Ok(own) if own.is_empty() => {}
                Ok(own) => rules = Rules(Some(Arc::new(Level { own, outer: rules }))),
                Err(error) => problem = Some(failed(error)),
            }
        }
        (rules, problem)
    }

    /// Whether an entry is left out: by the innermost rule that speaks of it. `relative` is its path below its root.
    pub fn excludes(&self, rules: &Rules, relative: &Path, absolute: &Path, directory: bool) -> bool {
        let mut level = rules;
        while let Rules(Some(inner)) = level {
            match inner.own.matched(absolute, directory) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => level = &inner.outer,
            }
        }
        match self.relative.matched(relative, directory) {
            Match::Ignore(_) => true,
            Match::Whitelist(_) => false,
            Match::None => self.absolute.matched(absolute, directory).is_ignore(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(patterns: &[&str]) -> Filter {
        let patterns = patterns.iter().map(|p| p.to_string()).collect();
        Filter::new(&Excludes { patterns, ..Excludes::default() }).unwrap()
    }

    fn excludes(filter: &Filter, relative: &str, directory: bool) -> bool {
        let absolute = Path::new("/srv/data").join(relative);
        filter.excludes(&Rules::default(), Path::new(relative), &absolute, directory)
    }

    #[test]
    fn patterns_match_as_in_gitignore() {
        let f = filter(&["*.o", "/top", "cache/", "!keep.o", "a/**/z"]);
        for (path, directory, expected) in [
            ("x.o", false, true),
            ("deep/x.o", false, true),
            ("keep.o", false, false),
            ("top", false, true),
            ("sub/top", false, false),
            ("sub/cache", true, true),
            ("sub/cache", false, false),
            ("a/b/c/z", false, true),
        ] {
            assert_eq!(excludes(&f, path, directory), expected, "{path}");
        }
    }

    #[test]
    fn a_pattern_with_a_slash_in_front_also_names_the_absolute_path() {
        let f = filter(&["/srv/data/sub/*.log"]);
        assert!(excludes(&f, "sub/a.log", false));
        assert!(!excludes(&f, "a.log", false));
    }

    #[test]
    fn a_rule_file_speaks_for_its_directory_and_below() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".gitignore"), "*.tmp\n!important.tmp\n").unwrap();
        let excludes = Excludes { per_directory: vec![".gitignore".into()], ..Excludes::default() };
        let filter = Filter::new(&excludes).unwrap();
        let (rules, problem) = filter.enter(&Rules::default(), folder.path(), |n| n == b".gitignore");
        assert!(problem.is_none());
        let out = |name: &str| filter.excludes(&rules, Path::new(name), &folder.path().join(name), false);
        assert!(out("a.tmp") && out("sub/a.tmp") && !out("important.tmp") && !out("a"));
    }

    #[test]
    fn a_bad_pattern_says_where_it_came_from() {
        let excludes = Excludes { patterns: vec!["a[".into()], ..Excludes::default() };
        let error = Filter::new(&excludes).err().unwrap();
        assert!(error.to_string().contains("a["), "{error}");
    }
}
