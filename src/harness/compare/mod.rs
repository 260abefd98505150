//! Whole programs side by side, in interleaved rounds.
//!
//! Each tool does all its steps in its turn, on the same data, in an environment and with a store of its own; the order
//! rotates from round to round. Every restore is compared with its source by [`tree`]. A tool that is not here, fails or
//! takes too long is named, and the rest goes on.

pub mod process;
pub mod tool;
pub mod tree;
pub mod rounds;
pub mod table;

pub use rounds::{Plan, Samples, Watch};
pub use tool::{Found, Step, Tool};

use super::BenchError;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is asked for, in a person's words.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Names of tools that come along; empty: all of them.
    pub with: Vec<String>,
    /// Descriptions in files.
    pub files: Vec<PathBuf>,
    pub larder: PathBuf,
    /// Another build of it.
    pub base: Option<PathBuf>,
    /// The prototype; taken part when it is given.
    pub limit: Option<PathBuf>,
}

/// Tools compared with when nobody names any.
pub const DEFAULT: [&str; 9] = ["restic", "rustic", "borg", "bupstash", "kopia", "plakar", "cp", "tar+lz4", "find"];
/// The row of the other build.
pub const BASE: &str = "base";

/// Finds the tools: this program first. With them, what each missing one needs.
pub fn tools(wanted: &Wanted) -> Result<(Vec<Found>, Vec<String>), BenchError> {
    let mut found = vec![Tool::built_in("larder")?.find(Some(&wanted.larder))?];
    let mut missing = Vec::new();
    if let Some(base) = &wanted.base {
        found.push(find_base(base)?);
    }
    if let Some(limit) = &wanted.limit {
        // What cannot be found although it was named is an error.
        found.push(Tool::built_in("limit")?.find(Some(limit))?);
    }
    let all: Vec<String> = DEFAULT.map(String::from).into();
    let named = if wanted.with.is_empty() && wanted.files.is_empty() { &all } else { &wanted.with };
    let files = wanted.files.iter().map(|file| Tool::read(file)).collect::<Result<Vec<_>, _>>()?;
    let built_in = named.iter().filter(|name| *name != "larder").map(|name| match name.as_str() {
        "limit" if wanted.limit.is_some() => Ok(None),
        // Named by its file as well.
        name if files.iter().any(|tool| tool.name == name) => Ok(None),
        name => Tool::built_in(name).map(Some),
    });
    let mut described = built_in.filter_map(Result::transpose).collect::<Result<Vec<Tool>, _>>()?;
    described.extend(files);
    for tool in described {
        match tool.find(None) {
            Ok(tool) if found.iter().any(|other| other.label == tool.label) => {
                return Err(BenchError::Invalid(format!("there are two tools of the name {}", tool.label)));
            }
            Ok(tool) => found.push(tool),
            Err(BenchError::Missing(what)) => missing.push(what),
            Err(error) => return Err(error),
        }
    }
    if found.len() == 1 {
        let left = std::iter::once("nothing is left to compare with".to_string()).chain(missing);
        return Err(BenchError::Missing(left.collect::<Vec<_>>().join("; ")));
    }
    Ok((found, missing))
}

/// The other build, named by `--base`.
pub fn find_base(program: &Path) -> Result<Found, BenchError> {
    let found = Tool::built_in("larder")?.find(Some(program)).map_err(|error| match error {
        BenchError::Missing(_) => {
            let what = format!("there is no program {}: --base names another build of larder", program.display());
            BenchError::Missing(what)
        }
        other => other,
    })?;
    Ok(Found { label: BASE.into(), ..found })
}

/// The first line with a digit that a tool prints for its version; of one that prints none, which build it is.
pub fn version(found: &Found, work: &Path) -> Result<String, BenchError> {
    match printed_version(found, work)? {
        Some(version) => Ok(version),
        None => build(&found.program),
    }
}

/// `build 1a2b3c4d`: the first bytes of the program's BLAKE3.
fn build(program: &Path) -> Result<String, BenchError> {
    let mut hasher = blake3::Hasher::new();
    let hashed = std::fs::File::open(program).and_then(|file| hasher.update_reader(file).map(|_| ()));
    hashed.map_err(BenchError::io("read", program))?;
    Ok(format!("build {:.8}", hasher.finalize().to_hex()))
}

fn printed_version(found: &Found, work: &Path) -> Result<Option<String>, BenchError> {
    if found.tool.version.is_empty() {
        return Ok(None);
    }
    let folder = tempfile::tempdir_in(work).map_err(BenchError::io("make a folder in", work))?;
    let path = folder.path().to_path_buf();
    let names = tool::Names {
        store: path.join("store"),
        data: path.clone(),
        second: path.clone(),
        target: path.clone(),
        work: path.clone(),
    };
    let words: Vec<OsString> = found.tool.version.iter().map(|word| found.fill(word, &names)).collect();
    let what = process::Invocation { words, environment: process::environment(&path), folder: Some(path.clone()) };
    let log = path.join("log");
    let cancel = std::sync::atomic::AtomicBool::new(false);
    // What a program says that fails is no version.
    let process::Ended::Well(_) = process::run(&what, &log, Duration::from_secs(20), &cancel)? else { return Ok(None) };
    let text = std::fs::read(&log).map_err(BenchError::io("read", &log))?;
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().map(str::trim).find(|line| line.bytes().any(|b| b.is_ascii_digit()));
    Ok(line.map(|line| line.chars().take(80).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_tool_without_a_version_is_told_by_its_build() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        let found = |script: &str, words: &[&str]| {
            std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
            let mut tool = Tool::built_in("limit").unwrap();
            tool.version = words.iter().map(|word| (*word).into()).collect();
            version(&Found { tool, program: program.clone(), label: "x".into() }, folder.path()).unwrap()
        };
        assert_eq!(found("echo the tool; echo 4.2", &["{program}"]), "4.2");
        let silent = found("exit 0", &[]);
        let hash = blake3::hash(b"#!/bin/sh\nexit 0\n").to_hex();
        assert_eq!(silent, format!("build {}", &hash[..8]));
        assert_eq!(found("exit 0", &["{program}"]), silent, "the command says nothing");
        let failing = found("echo no option 7; exit 3", &["{program}"]);
        assert!(failing.starts_with("build ") && failing != silent, "{failing}");
    }
}
