//! Recipes: a TOML file says what a data set stands for and how it is made.
//!
//! ```toml
//! name = "tiny"
//! stands_for = "mail spools, caches, configuration"
//! licence = "made here"
//! changes = "what the second version has that the first had not"
//!
//! [full]                      # and [small]: the same in little, named tiny-small
//! seeded = { generator = "small-files", seed = 1, files = 300_000, … }
//! first = { bytes = …, files = …, digest = "…" }
//! second = { … }              # only where there is a second version
//! ```
//!
//! In place of `seeded` stands one of the other kinds: `package`, `path`, `image`, `database`, `command`. The digest is
//! that of [`super::digest`]; only seeded data must have it.

use super::digest::TreeDigest;
use super::generate::{Generator, Parameters};
use super::tree::Version;
use crate::harness::error::BenchError;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use toml::Spanned;

/// One data set: a recipe's `[full]` or `[small]`.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// What a person calls it, and its folder's name.
    pub name: String,
    /// Which real data it stands for.
    pub stands_for: String,
    /// Under which licence its content is.
    pub licence: String,
    /// What the second version has that the first had not.
    pub changes: Option<String>,
    /// The file it is from, for messages.
    pub file: String,
    /// How it is made.
    pub source: Source,
    /// What is known of the first version.
    pub first: Expected,
    /// The same of the second, when there is one.
    pub second: Option<Expected>,
}

/// What a recipe knows of a version before it is made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Bytes of regular files.
    pub bytes: Option<u64>,
    pub files: Option<u64>,
    /// Bytes on disk, where they are far from that.
    pub disk: Option<u64>,
    /// The tree's digest.
    #[serde(default, deserialize_with = "hex_digest")]
    pub digest: Option<String>,
}

/// How a data set is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// By a generator of this program.
    Seeded(Generator, Parameters),
    /// From a Debian package.
    Package(Package),
    /// Not at all: it lies there.
    Path(Paths),
    /// A disk image with another data set in its file system.
    Image(Image),
    /// A database, by its own tool.
    Database(Database),
    /// By commands of the recipe.
    Command(Command),
}

/// A Debian package with data in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    pub name: String,
    /// A tar archive in it; without one its own files are taken.
    pub archive: Option<String>,
    /// Only this folder of what is unpacked.
    pub folder: Option<String>,
    /// Any of these, best first: old versions leave the mirrors.
    pub first: Vec<PackageVersion>,
    /// The same for the second version.
    #[serde(default)]
    pub second: Vec<PackageVersion>,
}

/// One version of a package. At least one of the digests is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageVersion {
    /// As the package manager calls it.
    pub version: String,
    /// SHA-256 of the package file.
    #[serde(default, deserialize_with = "hex_digest")]
    pub deb_sha256: Option<String>,
    /// SHA-256 of the archive in it.
    #[serde(default, deserialize_with = "hex_digest")]
    pub archive_sha256: Option<String>,
}

/// Data that a person has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paths {
    /// A folder or file.
    pub first: PathBuf,
    /// Another version of it.
    pub second: Option<PathBuf>,
}

/// An ext4 file system in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// The data set that is in it; when that has a second version, the second image is the first brought to that.
    pub from: String,
    /// Size of the image.
    pub mib: u64,
}

/// An SQLite database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Of the random rows.
    pub seed: u64,
    /// Rows of the biggest table.
    pub rows: u64,
    /// Changes of the load that makes the second version: half of them insert, the others update and delete.
    pub load: u64,
}

/// Programs of a recipe, run without a shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Fills `{out}`, an empty folder. `{from}` is the first version of the data set `from`.
    pub first: Vec<String>,
    /// The same for the second version; `{first}` is the first one, `{from}` the second version of `from`.
    pub second: Option<Vec<String>>,
    /// Another data set that it is made of.
    pub from: Option<String>,
}

impl Source {
    /// The kind's word.
    pub fn kind(&self) -> &'static str {
        match self {
            Source::Seeded(..) => "seeded",
            Source::Package(_) => "package",
            Source::Path(_) => "path",
            Source::Image(_) => "image",
            Source::Database(_) => "database",
            Source::Command(_) => "command",
        }
    }

    /// The data set that this one is made of.
    pub fn from(&self) -> Option<&str> {
        match self {
            Source::Image(image) => Some(&image.from),
            Source::Command(command) => command.from.as_deref(),
            _ => None,
        }
    }
}

impl Recipe {
    /// What is expected of a version.
    pub fn expected(&self, version: Version) -> Option<&Expected> {
        match version {
            Version::First => Some(&self.first),
            Version::Second => self.second.as_ref(),
        }
    }

    /// Changes when the same recipe would make other data.
    pub fn fingerprint(&self) -> String {
        let known = [Some(&self.first), self.second.as_ref()].map(|v| v.and_then(|v| v.digest.as_ref()));
        let parts = serde_json::json!([self.source, known, self.second.is_some()]);
        blake3::hash(parts.to_string().as_bytes()).to_hex()[..32].to_string()
    }
}

impl Expected {
    /// What differs between this and what is there, in words.
    pub fn differs(&self, there: &TreeDigest) -> Option<String> {
        let digest = self.digest.as_ref().is_some_and(|digest| *digest != there.digest);
        let bytes = self.bytes.is_some_and(|bytes| bytes != there.bytes);
        let files = self.files.is_some_and(|files| files != there.files);
        // Without a digest the sizes are there to know how much room it takes.
        if !(digest || self.digest.is_some() && (bytes || files)) {
            return None;
        }
        let number = |n: Option<u64>| n.map_or("any number of".into(), |n| n.to_string());
        let expected = self.digest.as_deref().unwrap_or("any digest");
        let (bytes, files) = (number(self.bytes), number(self.files));
        Some(format!("its digest is {there}; expected was {expected} ({bytes} bytes in {files} files)"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Spanned<String>,
    stands_for: String,
    licence: String,
    changes: Option<String>,
    full: Spanned<Size>,
    small: Option<Spanned<Size>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Size {
    seeded: Option<Spanned<Seeded>>,
    package: Option<Spanned<Package>>,
    path: Option<Paths>,
    image: Option<Spanned<Image>>,
    database: Option<Spanned<Database>>,
    command: Option<Spanned<Command>>,
    #[serde(default)]
    first: Expected,
    second: Option<Spanned<Expected>>,
}

#[derive(Deserialize)]
struct Seeded {
    generator: Generator,
    // Checked by hand: flattening knows no unknown fields.
    #[serde(flatten)]
    parameters: BTreeMap<String, u64>,
}

/// Seen while it is read, a wrong digest is told with its own line.
fn hex_digest<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let digest = String::deserialize(from)?;
    if digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Ok(Some(digest));
    }
    Err(D::Error::custom(format!("the digest {digest:?} is not 64 hexadecimal digits, small letters")))
}

/// A mistake and where it is.
struct Mistake(Range<usize>, String);

/// Reads a file's recipes: one, or two when it has a `[small]`.
pub fn parse(file: &str, text: &str) -> Result<Vec<Recipe>, BenchError> {
    let read = toml::from_str::<File>(text).map_err(|e| {
        let why = e.message().trim().replace('\n', " ");
        Mistake(e.span().unwrap_or(0..0), why)
    });
    read.and_then(|read| recipes(file, read)).map_err(|Mistake(span, why)| {
        let at = text.get(..span.start).unwrap_or("").matches('\n').count();
        let line = text.lines().nth(at).unwrap_or("").trim();
        BenchError::Invalid(format!("the recipe {file} is wrong in line {} (`{line}`): {why}", at + 1))
    })
}

/// The end of a small data set's name.
pub const SMALL: &str = "-small";

fn recipes(file: &str, read: File) -> Result<Vec<Recipe>, Mistake> {
    let name = read.name.get_ref();
    let is_word = |name: &str| {
        let mut bytes = name.bytes();
        bytes.next().is_some_and(|b| b.is_ascii_lowercase())
            && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if !is_word(name) || name.ends_with(SMALL) || name.len() > 40 {
        let why = format!("`name` must be small letters, digits and -, at most 40, and not end in {SMALL}");
        return Err(Mistake(read.name.span(), why));
    }
    let sizes = [(name.clone(), Some(read.full)), (format!("{name}{SMALL}"), read.small)];
    let mut recipes = vec![];
    for (name, size) in sizes {
        let Some(size) = size else { continue };
        let span = size.span();
        let size = size.into_inner();
        let second = size.second.as_ref().map(|second| (second.span(), second.get_ref().clone()));
        let first = size.first.clone();
        let source = source(size, span.clone())?;
        check_second(&source, second.as_ref().map(|(span, _)| span), span)?;
        recipes.push(Recipe {
            name,
            stands_for: read.stands_for.clone(),
            licence: read.licence.clone(),
            changes: read.changes.clone(),
            file: file.into(),
            source,
            first,
            second: second.map(|(_, second)| second),
        });
    }
    Ok(recipes)
}

/// The one kind that is given.
fn source(size: Size, span: Range<usize>) -> Result<Source, Mistake> {
    let mut kinds = vec![];
    if let Some(seeded) = size.seeded {
        let at = seeded.span();
        let Seeded { generator, parameters } = seeded.into_inner();
        let parameters = Parameters::new(generator, parameters).map_err(|why| Mistake(at, why))?;
        kinds.push(Source::Seeded(generator, parameters));
    }
    if let Some(package) = size.package {
        check_package(package.get_ref()).map_err(|why| Mistake(package.span(), why))?;
        kinds.push(Source::Package(package.into_inner()));
    }
    kinds.extend(size.path.map(Source::Path));
    if let Some(image) = size.image {
        if !(1..=1 << 20).contains(&image.get_ref().mib) {
            return Err(Mistake(image.span(), "`mib` must be between 1 and 1048576".into()));
        }
        kinds.push(Source::Image(image.into_inner()));
    }
    if let Some(database) = size.database {
        let Database { rows, load, .. } = database.get_ref();
        if *rows == 0 || *rows > 1 << 32 || *load > *rows {
            return Err(Mistake(database.span(), "`rows` must be between 1 and 2^32, `load` at most `rows`".into()));
        }
        kinds.push(Source::Database(database.into_inner()));
    }
    if let Some(command) = size.command {
        let Command { first, second, .. } = command.get_ref();
        if first.is_empty() || second.as_ref().is_some_and(Vec::is_empty) {
            return Err(Mistake(command.span(), "a command needs at least its program".into()));
        }
        kinds.push(Source::Command(command.into_inner()));
    }
    match kinds.len() {
        1 => Ok(kinds.remove(0)),
        n => Err(Mistake(
            span,
            format!("{n} kinds are given, exactly one must be: seeded, package, path, image, database or command"),
        )),
    }
}

fn check_package(package: &Package) -> Result<(), String> {
    if package.first.is_empty() {
        return Err("`first` names no version".into());
    }
    if package.name.starts_with('-') || package.name.contains(['=', '/']) {
        return Err(format!("{:?} is no package's name", package.name));
    }
    for version in package.first.iter().chain(&package.second) {
        if version.deb_sha256.is_none() && version.archive_sha256.is_none() {
            return Err(format!("version {} needs `deb_sha256` or `archive_sha256`", version.version));
        }
        if version.archive_sha256.is_some() && package.archive.is_none() {
            return Err("there is an `archive_sha256`, and no `archive`".into());
        }
    }
    let paths = package.archive.iter().chain(&package.folder);
    match paths.into_iter().find(|path| path.starts_with('/') || path.split('/').any(|part| part == "..")) {
        Some(path) => Err(format!("{path} must lie in the package")),
        None => Ok(()),
    }
}

/// `second` stands where there is a second version. The mistake is at `second`, or where it should stand.
fn check_second(source: &Source, second: Option<&Range<usize>>, size: Range<usize>) -> Result<(), Mistake> {
    let makes_second = match source {
        // Whether the data set it is made of has a second version is seen later.
        Source::Seeded(..) | Source::Image(_) | Source::Database(_) => second.is_some(),
        Source::Package(package) => !package.second.is_empty(),
        Source::Path(paths) => paths.second.is_some(),
        Source::Command(command) => command.second.is_some(),
    };
    if makes_second == second.is_some() {
        return Ok(());
    }
    let why = format!(
        "`second` says what is known of the second version (`second = {{}}`: nothing), and the {} has {}",
        source.kind(),
        if makes_second { "one" } else { "none" }
    );
    Err(Mistake(second.cloned().unwrap_or(size), why))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"name = "a"
stands_for = "x"
licence = "none"
[full]
seeded = { generator = "worst", seed = 1, file_mib = 2 }
second = {}
[small]
path = { first = "/tmp" }
"#;

    fn wrong(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from));
        match parse("dir/a.toml", &GOOD.replace(from, to)) {
            Err(BenchError::Invalid(why)) => why,
            other => panic!("{to:?}: {other:?}"),
        }
    }

    #[test]
    fn a_recipe_has_a_full_and_a_small_data_set() {
        let recipes = parse("dir/a.toml", GOOD).unwrap();
        assert_eq!(recipes.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["a", "a-small"]);
        assert_eq!((recipes[0].source.kind(), recipes[1].source.kind()), ("seeded", "path"));
        assert_eq!((recipes[0].second.is_some(), recipes[1].second.is_some()), (true, false));
        assert_ne!(recipes[0].fingerprint(), recipes[1].fingerprint());
    }

    #[test]
    fn a_mistake_is_told_with_file_line_and_key() {
        let cases = [
            ("licence", "lizence", 3, "unknown field `lizence`"),
            ("stands_for = \"x\"\n", "", 1, "missing field `stands_for`"),
            ("licence = \"none\"", "licence = 3", 3, "expected a string"),
            ("licence = \"none\"", "licence = ", 3, ""),
            ("seed = 1", "seed = -1", 5, ""),
            ("seed = 1", "sead = 1", 5, "no parameter `sead`; it has seed, file_mib"),
            (", seed = 1", "", 5, "`seed` is missing"),
            ("\"worst\"", "\"worse\"", 5, "unknown variant `worse`"),
            ("name = \"a\"", "name = \"../a\"", 1, "`name`"),
            ("name = \"a\"", "name = \"a-small\"", 1, "`name`"),
            ("second = {}", "second = { digest = \"00\" }", 6, "64 hexadecimal"),
            ("second = {}", "first = { digest = \"00\" }", 6, "64 hexadecimal"),
            ("second = {}", "first = {\nbytes = 1,\ndigest = \"0\",\n}", 8, "64 hexadecimal"),
            ("[small]\n", "[full.first]\nbytes = 1\ndigest = \"XY\"\n[small]\n", 9, "64 hexadecimal"),
            ("first = \"/tmp\"", "first = \"/tmp\", second = \"/tmp\"", 7, "the path has one"),
            ("path = {", "image = { from = \"a\", mib = 1 }\npath = {", 7, "2 kinds"),
            ("path = { first = \"/tmp\" }", "", 7, "0 kinds"),
            ("path = { first = \"/tmp\" }", "path = { first = \"/tmp\" }\nsecond = {}", 9, "has none"),
            ("path = { first = \"/tmp\" }", "image = { from = \"a\", mib = 0 }", 8, "`mib`"),
            ("path = { first = \"/tmp\" }", "database = { seed = 1, rows = 1, load = 2 }", 8, "`load`"),
            ("path = { first = \"/tmp\" }", "command = { first = [] }", 8, "its program"),
            ("path = { first = \"/tmp\" }", "package = { name = \"p\", first = [] }", 8, "names no version"),
            (
                "path = { first = \"/tmp\" }",
                "package = { name = \"p\", first = [{ version = \"1\" }] }",
                8,
                "needs `deb_sha256`",
            ),
            (
                "path = { first = \"/tmp\" }",
                "[[small.package.first]]\nversion = \"1\"\ndeb_sha256 = \"0\"\n[small.package]\nname = \"p\"",
                10,
                "64 hexadecimal",
            ),
        ];
        for (from, to, line, why) in cases {
            let told = wrong(from, to);
            assert!(told.contains(&format!("dir/a.toml is wrong in line {line} (")), "{to:?}: {told}");
            assert!(told.contains(why), "{to:?}: {told}");
        }
    }

    #[test]
    fn other_data_has_another_fingerprint() {
        let of = |text: &str| parse("f", text).unwrap()[0].fingerprint();
        let good = of(GOOD);
        assert_eq!(of(&GOOD.replace("\"x\"", "\"y\"")), good);
        assert_ne!(of(&GOOD.replace("seed = 1", "seed = 2")), good);
        assert_ne!(of(&GOOD.replace("second = {}\n", "")), good);
    }
}
