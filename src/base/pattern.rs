//! Lists of patterns in `.gitignore` syntax. Patterns may contain any bytes, and the last rule that matches decides.
//!
//! A rule is one of three kinds. `name` and `**/a/b` match at any depth. `/a/b` begins at the file system's root.
//! `./a` and `a/b` begin at a base: the source that is backed up, the folder that is restored, or the directory of a
//! rule file. For a restore and for a rule file, `/a` begins at the base too.

use globset::{Candidate, Glob, GlobBuilder, GlobSet};
use regex::bytes::{Regex, RegexBuilder};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// How a line is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    /// Letters match in either case.
    pub ignore_case: bool,
    /// A line of a file: it can be a comment.
    pub in_file: bool,
    /// Of a directory's own file, as git reads it: `/a` begins at the base too, and `[a` is no mistake.
    pub own_directory: bool,
    /// `/a` begins at the base as well as at the root.
    pub also_at_base: bool,
}

/// Where a rule begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Anchor {
    Anywhere,
    Root,
    RootAndBase,
    Base,
}

/// One rule of a list.
#[derive(Debug)]
pub struct Rule {
    /// As it was given.
    pub text: Vec<u8>,
    /// Where it was given: an option, or a file and a line.
    pub origin: String,
    /// It takes back what earlier rules match (`!`).
    pub takes_back: bool,
    /// It begins at the file system's root.
    pub is_absolute: bool,
    directories_only: bool,
    anchor: Anchor,
    matched: AtomicBool,
    once: OnceLock<Vec<u8>>,
}

impl Rule {
    /// Whether it matched anything so far.
    pub fn matched(&self) -> bool {
        self.matched.load(Relaxed)
    }

    /// The first path for which it would have decided otherwise when rules with a slash were held against paths below
    /// each base and against absolute paths alike.
    pub fn once_decided(&self) -> Option<&[u8]> {
        self.once.get().map(Vec::as_slice)
    }
}

/// Memory of one thread, used again and again.
#[derive(Debug, Default)]
pub struct Hits(Vec<usize>);

/// A list under construction.
#[derive(Debug, Default)]
pub struct RulesBuilder {
    rules: Vec<Rule>,
    by_root: Set,
    by_base: Set,
}

#[derive(Debug, Default)]
struct Set {
    globs: Vec<Glob>,
    rules: Vec<usize>,
    rare: Vec<(usize, Regex)>,
}

/// A compiled list.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    by_root: Globs,
    by_base: Globs,
}

#[derive(Debug, Default)]
struct Globs {
    set: GlobSet,
    /// The rule of each glob.
    rules: Vec<usize>,
    /// Rules with bytes that are no UTF-8.
    rare: Vec<(usize, Regex)>,
}

impl RulesBuilder {
    /// Adds a rule; of a file, an empty line or a comment adds none. Gives what is wrong with it.
    pub fn add(&mut self, line: &[u8], reading: Reading, origin: impl FnOnce() -> String) -> Result<(), String> {
        let parsed = parse(line, reading);
        if parsed.is_none() && reading.in_file {
            return Ok(());
        }
        let number = self.rules.len();
        let Parsed { takes_back, directories_only, anchor, glob } = parsed.unwrap_or_default();
        // A typed pattern in which nothing is left matches nothing, and will be said to.
        if !glob.is_empty() {
            let glob = Compiled::new(&glob, reading)?;
            // Rules that begin somewhere are also held against the other form, to say what they would have matched
            // when both forms counted.
            if !(reading.own_directory || reading.also_at_base && anchor == Anchor::Base) {
                self.by_root.add(number, &glob);
            }
            if reading.own_directory || anchor != Anchor::Anywhere {
                self.by_base.add(number, &glob);
            }
        }
        self.rules.push(Rule {
            text: line.to_vec(),
            origin: origin(),
            takes_back,
            is_absolute: anchor == Anchor::Root,
            directories_only,
            anchor,
            matched: AtomicBool::new(false),
            once: OnceLock::new(),
        });
        Ok(())
    }

    /// Compiles them all.
    pub fn build(self) -> Result<Rules, String> {
        Ok(Rules { rules: self.rules, by_root: self.by_root.build()?, by_base: self.by_base.build()? })
    }
}

impl Set {
    fn add(&mut self, rule: usize, glob: &Compiled) {
        match glob {
            Compiled::Glob(glob) => {
                self.globs.push(glob.clone());
                self.rules.push(rule);
            }
            Compiled::Rare(regex) => self.rare.push((rule, regex.clone())),
        }
    }

    fn build(self) -> Result<Globs, String> {
        let set = GlobSet::new(self.globs).map_err(|e| e.to_string())?;
        Ok(Globs { set, rules: self.rules, rare: self.rare })
    }
}

impl Globs {
    fn is_empty(&self) -> bool {
        self.set.is_empty() && self.rare.is_empty()
    }

    /// The rules that match a path without a slash before it.
    fn each(&self, path: &[u8], hits: &mut Hits, mut each: impl FnMut(usize)) {
        if self.is_empty() {
            return;
        }
        self.set.matches_candidate_into(&Candidate::from_bytes(path), &mut hits.0);
        hits.0.iter().for_each(|&glob| each(self.rules[glob]));
        self.rare.iter().filter(|(_, regex)| regex.is_match(path)).for_each(|(rule, _)| each(*rule));
    }
}

impl Rules {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// All of them, in the order in which they were given.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What the last rule that matches says of a path: that it is matched, or that it is taken back. `path` is
    /// absolute; `base` is where its part below the base begins (without a slash), and beyond its end where it has none.
    pub fn decide(&self, path: &[u8], base: usize, directory: bool, hits: &mut Hits) -> Option<bool> {
        self.decide_by(path, &[base], directory, hits).map(|(_, says)| says)
    }

    /// The same below several bases, and the number of the rule.
    pub fn decide_by(&self, path: &[u8], bases: &[usize], directory: bool, hits: &mut Hits) -> Option<(usize, bool)> {
        // As rules were once held against a path: what lies below the base first, then the whole path.
        let (mut last, mut once_whole, mut once_below) = (None, None, None);
        let mut hit = |number: usize, whole: bool| {
            let rule = &self.rules[number];
            if rule.directories_only && !directory {
                return;
            }
            let counts = match rule.anchor {
                // What git reads is only held against the base.
                Anchor::Anywhere | Anchor::RootAndBase => true,
                Anchor::Root => whole,
                Anchor::Base => !whole,
            };
            if counts {
                last = last.max(Some(number));
                if !rule.matched() {
                    rule.matched.store(true, Relaxed);
                }
            }
            if whole {
                once_whole = once_whole.max(Some(number));
            }
            if !whole || rule.anchor == Anchor::Anywhere {
                once_below = once_below.max(Some(number));
            }
        };
        self.by_root.each(path.get(1..).unwrap_or_default(), hits, |rule| hit(rule, true));
        for below in bases.iter().filter_map(|&base| path.get(base..)).filter(|below| !below.is_empty()) {
            self.by_base.each(below, hits, |rule| hit(rule, false));
        }
        let says = |number: usize| !self.rules[number].takes_back;
        if let Some(once) = once_below.or(once_whole)
            && Some(once) > last
            && says(once) != last.is_some_and(says)
        {
            self.rules[once].once.get_or_init(|| path.to_vec());
        }
        last.map(|number| (number, says(number)))
    }
}

#[derive(Debug)]
struct Parsed {
    takes_back: bool,
    directories_only: bool,
    anchor: Anchor,
    glob: Vec<u8>,
}

impl Default for Parsed {
    fn default() -> Parsed {
        Parsed { takes_back: false, directories_only: false, anchor: Anchor::Anywhere, glob: Vec::new() }
    }
}

/// Reads a line as gitignore(5) has it; `None` when no pattern is in it.
fn parse(line: &[u8], reading: Reading) -> Option<Parsed> {
    if reading.in_file && line.starts_with(b"#") {
        return None;
    }
    let mut line = without_trailing_spaces(line);
    let takes_back = line.starts_with(b"!");
    if takes_back || line.starts_with(b"\\!") || line.starts_with(b"\\#") {
        line = &line[1..];
    }
    let absolute = line.starts_with(b"/");
    let from_here = line == b"." || line.starts_with(b"./");
    let directories_only = line.ends_with(b"/");
    // `a//b` and `a/./b` are `a/b`, as they are for the system.
    let components: Vec<_> = line.split(|&b| b == b'/').filter(|c| !c.is_empty() && *c != b".").collect();
    let mut glob = components.join(&b'/');
    if directories_only && glob.ends_with(b"\\") {
        glob.pop();
    }
    if glob.is_empty() {
        return None;
    }
    let anchor = match components[..] {
        _ if absolute && reading.also_at_base => Anchor::RootAndBase,
        _ if absolute && !reading.own_directory => Anchor::Root,
        _ if absolute || from_here => Anchor::Base,
        [b"**", ..] => Anchor::Anywhere,
        [_] => {
            glob.splice(..0, *b"**/");
            Anchor::Anywhere
        }
        _ => Anchor::Base,
    };
    // What lies in the directory, but not the directory itself.
    if glob.ends_with(b"/**") {
        glob.extend(b"/*");
    }
    Some(Parsed { takes_back, directories_only, anchor, glob })
}

/// Spaces at the end are no part of a pattern, unless they are escaped.
fn without_trailing_spaces(line: &[u8]) -> &[u8] {
    let (mut end, mut at) = (0, 0);
    while at < line.len() {
        let escapes = line[at] == b'\\';
        let space = line[at] == b' ';
        at = (at + 1 + usize::from(escapes)).min(line.len());
        if !space {
            end = at;
        }
    }
    &line[..end]
}

/// A glob that can be matched.
#[derive(Debug)]
enum Compiled {
    Glob(Glob),
    /// One with bytes that are no UTF-8, which the `globset` crate does not take: its regular expression with the bytes
    /// put in.
    Rare(Regex),
}

impl Compiled {
    fn new(glob: &[u8], reading: Reading) -> Result<Compiled, String> {
        let is_text = std::str::from_utf8(glob).is_ok();
        let text = if is_text { String::from_utf8_lossy(glob).into_owned() } else { with_stand_ins(glob) };
        let text = if reading.ignore_case { either_case(&text) } else { text };
        let mut builder = GlobBuilder::new(&text);
        builder.literal_separator(true).backslash_escape(true).case_insensitive(reading.ignore_case);
        let built = builder.allow_unclosed_class(reading.own_directory).build().map_err(|e| e.kind().to_string())?;
        if is_text { Ok(Compiled::Glob(built)) } else { regex_of(&built).map(Compiled::Rare) }
    }
}

/// The regular expression of a glob with stand-ins.
fn regex_of(glob: &Glob) -> Result<Regex, String> {
    let regex = RegexBuilder::new(&without_stand_ins(glob.regex())).dot_matches_new_line(true).build();
    regex.map_err(|e| e.to_string())
}

/// Characters that stand for the bytes 0x80 to 0xff: the last ones of Unicode, which no text uses.
const STAND_INS: u32 = 0x10ff00;

fn with_stand_ins(glob: &[u8]) -> String {
    let stand_in = |byte: &u8| char::from_u32(STAND_INS + u32::from(*byte)).unwrap_or_default();
    let mut text = String::new();
    for chunk in glob.utf8_chunks() {
        for c in chunk.valid().chars() {
            if u32::from(c) >= STAND_INS {
                text.extend(c.encode_utf8(&mut [0; 4]).as_bytes().iter().map(stand_in));
            } else {
                text.push(c);
            }
        }
        text.extend(chunk.invalid().iter().map(stand_in));
    }
    text
}

/// Puts the bytes into a regular expression in which every byte of a stand-in is written as `\xNN`.
fn without_stand_ins(regex: &str) -> String {
    let mut text = String::with_capacity(regex.len());
    let mut rest = regex;
    while let Some(at) = rest.find("\\xf4\\x8f\\xb") {
        let number = rest.get(at + 10..at + 12).and_then(|two| u8::from_str_radix(two, 16).ok());
        let last = rest.get(at + 14..at + 16).and_then(|two| u8::from_str_radix(two, 16).ok());
        let (Some(0xbe | 0xbf), Some(last)) = (number, last) else {
            text.push_str(&rest[..at + 8]);
            rest = &rest[at + 8..];
            continue;
        };
        let byte = if number == Some(0xbf) { last | 0x40 } else { last };
        text.push_str(&rest[..at]);
        text.push_str(&format!("\\x{byte:02x}"));
        rest = &rest[at + 16..];
    }
    text.push_str(rest);
    text
}

/// Letters beyond ASCII as a choice of both cases: the `globset` crate folds the case of ASCII alone. Those in `[]` stay.
fn either_case(glob: &str) -> String {
    let mut text = String::with_capacity(glob.len());
    let (mut in_class, mut escaped) = (false, false);
    for c in glob.chars() {
        let is_escaped = std::mem::take(&mut escaped);
        match c {
            '\\' if !is_escaped => escaped = true,
            '[' if !is_escaped => in_class = true,
            ']' if !is_escaped => in_class = false,
            _ => {}
        }
        let (lower, upper) = (c.to_lowercase().to_string(), c.to_uppercase().to_string());
        if c.is_ascii() || in_class || lower == upper {
            text.push(c);
            continue;
        }
        if is_escaped {
            text.pop();
        }
        text.push_str(&format!("{{{c},{lower},{upper}}}"));
    }
    text
}

/// A glob of any bytes, against whole texts: what `find` takes.
#[derive(Debug)]
pub struct AnyGlob(Regex);

impl AnyGlob {
    /// Compiles it. In one of a path, `*` and `?` stay within one directory.
    pub fn new(glob: &[u8], of_path: bool, ignore_case: bool) -> Result<AnyGlob, String> {
        let text = with_stand_ins(glob);
        let text = if ignore_case { either_case(&text) } else { text };
        let mut builder = GlobBuilder::new(&text);
        builder.literal_separator(of_path).case_insensitive(ignore_case);
        let built = builder.build().map_err(|e| e.kind().to_string())?;
        regex_of(&built).map(AnyGlob)
    }

    /// Whether it matches.
    pub fn is_match(&self, bytes: &[u8]) -> bool {
        self.0.is_match(bytes)
    }
}

#[cfg(test)]
mod tests;
