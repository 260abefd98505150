//! A program to compare with: what its commands are. One TOML file each, in `tools/`; `--tool FILE` adds others.

use super::process::find;
use crate::harness::BenchError;
use crate::harness::error::toml_says;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The tools that come with this program; a new one is a file and a line here.
const BUILT_IN: [(&str, &str); 11] = [
    ("larder", include_str!("tools/larder.toml")),
    ("limit", include_str!("tools/limit.toml")),
    ("restic", include_str!("tools/restic.toml")),
    ("rustic", include_str!("tools/rustic.toml")),
    ("borg", include_str!("tools/borg.toml")),
    ("bupstash", include_str!("tools/bupstash.toml")),
    ("kopia", include_str!("tools/kopia.toml")),
    ("plakar", include_str!("tools/plakar.toml")),
    ("cp", include_str!("tools/cp.toml")),
    ("tar+lz4", include_str!("tools/tar+lz4.toml")),
    ("find", include_str!("tools/find.toml")),
];

/// What is measured of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The first backup, into a new store.
    First,
    /// The same again, nothing changed.
    Unchanged,
    /// Everything back into an empty folder.
    Restore,
    /// Another version of the data, at the same path where that can be had.
    Second,
}

impl Step {
    /// In the order they run.
    pub const ALL: [Step; 4] = [Step::First, Step::Unchanged, Step::Restore, Step::Second];

    pub fn id(self) -> &'static str {
        match self {
            Step::First => "first",
            Step::Unchanged => "unchanged",
            Step::Restore => "restore",
            Step::Second => "second",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Step::First => "First backup",
            Step::Unchanged => "Backup of unchanged data",
            Step::Restore => "Restore",
            Step::Second => "Backup of the second version",
        }
    }
}

impl std::str::FromStr for Step {
    type Err = String;

    fn from_str(word: &str) -> Result<Step, String> {
        let found = Step::ALL.into_iter().find(|step| step.id() == word);
        found.ok_or_else(|| format!("`{word}` is no step; there are first, unchanged, restore, second"))
    }
}

/// How much of a tree comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restores {
    /// Everything that is compared.
    #[default]
    All,
    /// Regular files and their directories: a yardstick, no backup.
    Files,
}

/// A tool's description.
///
/// In every word: `{program}`, `{store}` (not made), `{data}`, `{second}`, `{parent}` and `{name}` of the data, `{target}`
/// (an empty folder), `{work}` (an empty folder of the tool alone: home, caches, keys; new in each round).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// What it is called in `--with` and in the tables.
    pub name: String,
    /// Programs that it needs; the first is `{program}`.
    pub programs: Vec<String>,
    /// Prints its version.
    #[serde(default)]
    pub version: Vec<String>,
    /// How to get it.
    pub install: String,
    /// What its figures stand for: compression, encryption, chunk size.
    pub parameters: String,
    /// Added to an environment of PATH, HOME, TMPDIR and LC_ALL alone.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Not measured, in this order, before the first step: keys, an empty store.
    #[serde(default)]
    pub prepare: Vec<Vec<String>>,
    /// The first backup.
    #[serde(default)]
    pub first: Vec<String>,
    /// The same again.
    #[serde(default)]
    pub unchanged: Vec<String>,
    /// Not measured, before the restore.
    #[serde(default)]
    pub before_restore: Vec<Vec<String>>,
    /// Everything of the first backup back, into `{target}`.
    #[serde(default)]
    pub restore: Vec<String>,
    /// Where the data then lie.
    #[serde(default = "target")]
    pub restored: String,
    /// What comes back.
    #[serde(default)]
    pub restores: Restores,
    /// Its backups look at what files hold; what does not has no throughput.
    #[serde(default = "yes")]
    pub reads_contents: bool,
    /// The second version; without it, `unchanged` with the second version mounted over the data.
    #[serde(default)]
    pub second: Vec<String>,
    /// Its `second` reads `{second}` and stores it under the path of `{data}` by itself.
    #[serde(default)]
    pub second_as: bool,
}

fn target() -> String {
    "{target}".into()
}

fn yes() -> bool {
    true
}

/// A tool that is here.
#[derive(Debug, Clone)]
pub struct Found {
    pub tool: Tool,
    pub program: PathBuf,
    /// The row's label: the tool's name, or what the person calls this build.
    pub label: String,
}

/// What the words of a tool stand for in one round.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "Tool says what they are")]
pub struct Names {
    pub store: PathBuf,
    pub data: PathBuf,
    pub second: PathBuf,
    pub target: PathBuf,
    pub work: PathBuf,
}

impl Tool {
    /// Reads a description.
    pub fn parse(text: &str, from: &str) -> Result<Tool, BenchError> {
        let invalid = |what: &str| BenchError::Invalid(format!("the description of a tool {from}: {what}"));
        let tool: Tool = toml::from_str(text).map_err(|error| invalid(&toml_says(text, &error)))?;
        if tool.name.is_empty() || tool.programs.is_empty() {
            return Err(invalid("it needs a `name`, and `programs` with at least one word"));
        }
        if [&tool.first, &tool.unchanged, &tool.restore].iter().all(|words| words.is_empty()) {
            return Err(invalid("it has none of `first`, `unchanged`, `restore`: there is nothing to measure"));
        }
        if tool.first.is_empty() && tool.unchanged.is_empty() && tool.prepare.is_empty() {
            return Err(invalid("it restores what nothing has stored"));
        }
        let words = [&tool.version, &tool.first, &tool.unchanged, &tool.restore, &tool.second].into_iter();
        let words = words.chain(&tool.prepare).chain(&tool.before_restore).flatten();
        for word in words.chain(tool.environment.values()).chain([&tool.restored]) {
            if let Some(unknown) = unknown_name(word) {
                return Err(invalid(&format!("`{{{unknown}}}` in `{word}` stands for nothing")));
            }
        }
        Ok(tool)
    }

    /// A description of a file.
    pub fn read(file: &Path) -> Result<Tool, BenchError> {
        let text = std::fs::read_to_string(file).map_err(BenchError::io("read", file))?;
        Tool::parse(&text, &file.display().to_string())
    }

    /// One that comes with this program.
    pub fn built_in(name: &str) -> Result<Tool, BenchError> {
        match BUILT_IN.iter().find(|(known, _)| *known == name) {
            Some((name, text)) => Tool::parse(text, name),
            None => Err(BenchError::Invalid(format!(
                "`{name}` is no tool that is known: there are {}; `--tool FILE` describes another",
                BUILT_IN.map(|(name, _)| name).join(", ")
            ))),
        }
    }

    /// Looks for its programs; an error says how to get them.
    pub fn find(self, given: Option<&Path>) -> Result<Found, BenchError> {
        let mut program = None;
        for (at, name) in self.programs.iter().enumerate() {
            let name = given.filter(|_| at == 0).and_then(Path::to_str).unwrap_or(name);
            match find(name) {
                Some(path) => program = program.or(Some(path)),
                None => {
                    let (what, how) = (&self.name, &self.install);
                    return Err(BenchError::Missing(format!("{what}: there is no program {name} here. {how}")));
                }
            }
        }
        let program = program.ok_or_else(|| BenchError::Invalid(format!("{} names no program", self.name)))?;
        Ok(Found { label: self.name.clone(), tool: self, program })
    }

    /// The words of a step; `None`: it has no such step.
    pub fn words(&self, step: Step) -> Option<&[String]> {
        let words = match step {
            Step::First => &self.first,
            Step::Unchanged => &self.unchanged,
            Step::Restore => &self.restore,
            // A yardstick that stores nothing has no second version either.
            Step::Second if self.second.is_empty() && !self.first.is_empty() => &self.unchanged,
            Step::Second => &self.second,
        };
        (!words.is_empty()).then_some(words.as_slice())
    }
}

const NAMES: [&str; 8] = ["program", "store", "data", "second", "parent", "name", "target", "work"];

/// A name in braces that stands for nothing. Braces around anything but small letters are the shell's.
fn unknown_name(word: &str) -> Option<&str> {
    let names = word.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name);
    let is_name = |name: &&str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase());
    names.filter(is_name).find(|name| !NAMES.contains(name))
}

impl Found {
    /// A word with its names replaced.
    pub fn fill(&self, word: &str, names: &Names) -> OsString {
        let parent = names.data.parent().unwrap_or(Path::new("/"));
        let name = names.data.file_name().unwrap_or_default();
        let mut out = OsString::new();
        let mut rest = word;
        while let Some(at) = rest.find('{') {
            out.push(&rest[..at]);
            rest = &rest[at..];
            let end = rest.find('}').map_or(rest.len(), |end| end + 1);
            let value: &OsStr = match &rest[..end] {
                "{program}" => self.program.as_os_str(),
                "{store}" => names.store.as_os_str(),
                "{data}" => names.data.as_os_str(),
                "{second}" => names.second.as_os_str(),
                "{parent}" => parent.as_os_str(),
                "{name}" => name,
                "{target}" => names.target.as_os_str(),
                "{work}" => names.work.as_os_str(),
                // A brace of the shell: the text goes on behind it.
                _ => {
                    out.push("{");
                    rest = &rest[1..];
                    continue;
                }
            };
            out.push(value);
            rest = &rest[end..];
        }
        out.push(rest);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_description_that_comes_along_is_whole() {
        for (name, _) in BUILT_IN {
            let tool = Tool::built_in(name).unwrap();
            assert_eq!(tool.name, name);
            assert!(!tool.install.is_empty() && !tool.parameters.is_empty(), "{name}");
            let steps = Step::ALL.into_iter().filter(|step| tool.words(*step).is_some()).count();
            assert!(steps >= 1, "{name}");
        }
        let error = Tool::built_in("tarsnap").unwrap_err().to_string();
        assert!(error.contains("restic, rustic, borg"), "{error}");
    }

    #[test]
    fn a_bad_description_says_what_is_wrong() {
        let start = "name = 'x'\nprograms = ['sh']\ninstall = ''\nparameters = ''\n";
        for (text, says) in [
            ("", "nothing to measure"),
            ("first = ['{program}', '{sotre}']", "`{sotre}` in `{sotre}` stands for nothing"),
            ("fist = ['x']", "unknown field `fist`"),
            ("restore = ['x']", "restores what nothing has stored"),
        ] {
            let error = Tool::parse(&format!("{start}{text}"), "x.toml").unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("x.toml") && !error.contains('\n'), "{error}");
        }
        let error = Tool::parse("name = 'x'\nprograms = []\ninstall = ''\nparameters = ''", "x").unwrap_err();
        assert!(error.to_string().contains("at least one word"), "{error}");
    }

    #[test]
    fn words_are_filled_in_and_the_shells_braces_stay() {
        let mut tool = Tool::built_in("cp").unwrap();
        tool.programs = vec!["sh".into()];
        let found = tool.find(None).unwrap();
        let names = Names {
            store: "/w/s".into(),
            data: "/d/tree".into(),
            second: "/d/2".into(),
            target: "/t".into(),
            work: "/w".into(),
        };
        let fill = |word| found.fill(word, &names).into_string().unwrap();
        assert_eq!(fill("{store}::a {parent}|{name} {target}{data}"), "/w/s::a /d|tree /t/d/tree");
        assert_eq!(fill("x() { y; }; ${z} {second} {"), "x() { y; }; ${z} /d/2 {");
        assert_eq!(unknown_name("x() { y; }; {A} {store}"), None);
    }

    #[test]
    fn a_missing_program_is_named_with_the_way_to_it() {
        let mut tool = Tool::built_in("restic").unwrap();
        tool.programs = vec!["no-such-program".into()];
        let error = tool.find(None).unwrap_err();
        assert!(matches!(error, BenchError::Missing(_)));
        let error = error.to_string();
        assert!(error.contains("no-such-program") && error.contains("apt-get install restic"), "{error}");
    }
}
