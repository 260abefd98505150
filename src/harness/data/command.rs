//! Data that a recipe's own commands make.

use super::Watch;
use super::recipe::Command;
use super::tool::Tool;
use super::tree::Version;
use crate::harness::error::BenchError;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// Makes `out` and runs the command that fills it.
pub fn fill(
    command: &Command,
    version: Version,
    first: Option<&Path>,
    from: Option<&Path>,
    out: &Path,
    watch: &Watch<'_>,
) -> Result<(), BenchError> {
    fs::create_dir(out).map_err(BenchError::io("make", out))?;
    let words = match version {
        Version::First => &command.first,
        Version::Second => command.second.as_ref().unwrap_or(&command.first),
    };
    let places = [("{out}", Some(out)), ("{first}", first), ("{from}", from)];
    let mut tool = Tool::new(&words[0], "", "the data set")?;
    for word in &words[1..] {
        tool.arg(expand(word, &places)?);
    }
    tool.folder(out).must(watch).map(drop)
}

/// The word with paths in place of their names.
fn expand(word: &str, places: &[(&str, Option<&Path>)]) -> Result<OsString, BenchError> {
    let mut expanded = OsString::new();
    let mut rest = word;
    while let Some(at) = rest.find('{') {
        let (before, behind) = rest.split_at(at);
        expanded.push(before);
        match places.iter().find(|(name, _)| behind.starts_with(name)) {
            Some((name, Some(path))) => {
                expanded.push(path);
                rest = &behind[name.len()..];
            }
            Some((name, None)) => {
                return Err(BenchError::Invalid(format!("{name} in {word:?} stands for nothing here")));
            }
            None => {
                expanded.push("{");
                rest = &behind[1..];
            }
        }
    }
    expanded.push(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_places_are_replaced() {
        let places = [("{out}", Some(Path::new("/o"))), ("{from}", None)];
        let expanded = |word| expand(word, &places).map(|word| word.into_string().unwrap());
        assert_eq!(expanded("{out}/a{out}").unwrap(), "/o/a/o");
        assert_eq!(expanded("awk {print} {").unwrap(), "awk {print} {");
        assert!(expanded("x{from}").is_err());
    }
}
