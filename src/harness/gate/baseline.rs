//! The baseline: what was measured when somebody said that it was right, with the reason. A TOML file beside the code.

use crate::harness::BenchError;
use crate::harness::error::toml_says;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The version of the file; grows when a field changes its meaning or goes, or the fixed work changes.
pub const SCHEMA: u32 = 1;

/// A number, or words that are compared as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Value {
    Number(u64),
    Ratio(f64),
    Text(String),
}

impl Value {
    /// As a number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Number(n) => Some(*n as f64),
            Value::Ratio(ratio) => Some(*ratio),
            Value::Text(_) => None,
        }
    }
}

/// Values by name.
pub type Values = BTreeMap<String, Value>;

/// Values that hold only where they were taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taken {
    /// What they depend on, in words: processor, toolchain.
    pub on: String,
    pub values: Values,
}

/// Why the baseline is as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    pub date: String,
    /// What the person said.
    pub reason: String,
    /// What was written anew.
    pub parts: Vec<String>,
    /// By which version.
    pub program: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    pub schema: u32,
    /// The newest last.
    #[serde(default)]
    pub history: Vec<Change>,
    /// Tier a at 0 %: the same everywhere.
    #[serde(default)]
    pub counters: Values,
    /// Tier a: file system calls, for each kind of file system.
    #[serde(default)]
    pub syscalls: Vec<Taken>,
    /// Tier a: allocations and peak memory, for each toolchain and number of cores.
    #[serde(default)]
    pub memory: Vec<Taken>,
    /// Tier b: instructions, for each toolchain and CPU path.
    #[serde(default)]
    pub instructions: Vec<Taken>,
    /// Tier c: time of kernels relative to reference kernels, for each machine.
    #[serde(default)]
    pub ratios: Vec<Taken>,
}

impl Default for Baseline {
    fn default() -> Baseline {
        Baseline {
            schema: SCHEMA,
            history: Vec::new(),
            counters: Values::new(),
            syscalls: Vec::new(),
            memory: Vec::new(),
            instructions: Vec::new(),
            ratios: Vec::new(),
        }
    }
}

impl Baseline {
    /// Reads it. `None`: there is no such file.
    pub fn read(file: &Path) -> Result<Option<Baseline>, BenchError> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(BenchError::io("read", file)(error)),
        };
        Baseline::parse(&text, file).map(Some)
    }

    fn parse(text: &str, file: &Path) -> Result<Baseline, BenchError> {
        let bad =
            |what: &dyn std::fmt::Display| BenchError::Missing(format!("the baseline {}: {what}", file.display()));
        let table: toml::Table = text.parse().map_err(|error| bad(&toml_says(text, &error)))?;
        match table.get("schema").and_then(toml::Value::as_integer) {
            Some(schema) if schema == i64::from(SCHEMA) => {}
            Some(schema) => {
                let what = format!(
                    "it has schema {schema} and this program knows schema {SCHEMA}: use the larder that wrote it, or move it \
                     away and make a new one with --update REASON"
                );
                return Err(bad(&what));
            }
            None => return Err(bad(&"it has no `schema`: this is no baseline of `larder bench gate`")),
        }
        let baseline: Baseline = toml::from_str(text).map_err(|error| bad(&toml_says(text, &error)))?;
        baseline.check().map_err(|why| bad(&why))?;
        Ok(baseline)
    }

    /// What is no value would pass whatever is measured, and of two sections on the same only one would count.
    fn check(&self) -> Result<(), String> {
        let parts = [
            ("syscalls", &self.syscalls),
            ("memory", &self.memory),
            ("instructions", &self.instructions),
            ("ratios", &self.ratios),
        ];
        let mut values: Vec<(&str, &Values)> = vec![("counters", &self.counters)];
        for (part, sections) in parts {
            for (at, taken) in sections.iter().enumerate() {
                if sections[..at].iter().any(|other| other.on == taken.on) {
                    return Err(format!("{part} has two sections on {:?}: leave one", taken.on));
                }
                values.push((part, &taken.values));
            }
        }
        for (part, values) in values {
            for (name, value) in values {
                let number = value.number();
                if number.is_some_and(|n| !n.is_finite()) {
                    return Err(format!("{part}, {name}: {} is no value", number.unwrap_or(f64::NAN)));
                }
                if part == "ratios" && number.is_none_or(|n| n <= 0.0) {
                    return Err(format!("{part}, {name}: a ratio of times must be a number above 0"));
                }
            }
        }
        Ok(())
    }

    /// Writes it, whole or not at all.
    pub fn write(&self, file: &Path) -> Result<(), BenchError> {
        self.check().map_err(|why| BenchError::NotMeasured(format!("no baseline was written: {why}")))?;
        let text =
            toml::to_string(self).map_err(|error| BenchError::Invalid(format!("cannot write a baseline: {error}")))?;
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let save = || {
            let mut new = tempfile::Builder::new()
                .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
                .tempfile_in(folder)?;
            std::io::Write::write_all(&mut new, HEAD.as_bytes())?;
            std::io::Write::write_all(&mut new, text.as_bytes())?;
            new.persist(file).map_err(|error| error.error)
        };
        save().map(drop).map_err(BenchError::io("write", file))
    }

    /// Puts newly measured values in the place of older ones that were taken on the same.
    pub fn put(part: &mut Vec<Taken>, taken: Taken) {
        part.retain(|other| other.on != taken.on);
        part.push(taken);
        part.sort_by(|a, b| a.on.cmp(&b.on));
    }
}

const HEAD: &str = "# Written by `larder bench gate --update REASON`; see docs/ci.md.\n\n";

/// The values that were taken on `on`, or why none can be compared.
pub fn values_of<'a>(part: &'a [Taken], what: &str, on: &str) -> Result<&'a Values, BenchError> {
    if let Some(taken) = part.iter().find(|taken| taken.on == on) {
        return Ok(&taken.values);
    }
    let others: Vec<&str> = part.iter().map(|taken| taken.on.as_str()).collect();
    let others = if others.is_empty() { "nowhere yet".into() } else { others.join("; ") };
    Err(BenchError::Missing(format!(
        "the baseline's {what} were taken elsewhere ({others}) and this is {on}: add them with --update REASON, or pass over \
         what belongs to other machines with --elsewhere skip"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("baseline.toml");
        assert_eq!(Baseline::read(&file).unwrap(), None);
        let mut baseline = Baseline::default();
        baseline.counters.insert("first/chunks".into(), Value::Number(7));
        baseline.counters.insert("cuts/noise/hash".into(), Value::Text("ab".into()));
        let on = |on: &str, n| Taken { on: on.into(), values: [("k".into(), Value::Ratio(n))].into() };
        Baseline::put(&mut baseline.ratios, on("b", 1.5));
        Baseline::put(&mut baseline.ratios, on("a", 2.0));
        Baseline::put(&mut baseline.ratios, on("b", 2.5));
        let (date, reason) = ("2026-01-01".into(), "first".into());
        baseline.history.push(Change { date, reason, parts: vec!["counters".into()], program: "larder".into() });
        baseline.write(&file).unwrap();
        assert_eq!(Baseline::read(&file).unwrap(), Some(baseline.clone()));
        assert_eq!(values_of(&baseline.ratios, "ratios", "b").unwrap()["k"], Value::Ratio(2.5));
        let error = values_of(&baseline.ratios, "ratios", "c").unwrap_err().to_string();
        assert!(error.contains("taken elsewhere (a; b) and this is c"), "{error}");
    }

    #[test]
    fn other_schemas_and_other_files_are_refused_with_what_to_do() {
        let parse = |text| Baseline::parse(text, Path::new("x.toml")).unwrap_err().to_string();
        assert!(parse("schema = 2").contains("schema 2 and this program knows schema 1"), "{}", parse("schema = 2"));
        assert!(parse("a = 1").contains("no baseline of"));
        assert!(parse("schema = 1\nextra = 2").contains("extra"));
        assert!(parse("schema = ").contains("x.toml"));
        let says = parse("schema = 1\n\ncounters = 3\n");
        assert!(says.contains("line 3, column 12: ") && !says.contains('\n'), "{says}");
    }

    #[test]
    fn what_is_no_value_is_refused() {
        let parse = |text: &str| Baseline::parse(&format!("schema = 1\n{text}"), Path::new("x.toml"));
        let ratios = |value: &str| format!("[[ratios]]\non = 'a'\nvalues = {{ seal = {value} }}\n");
        parse(&ratios("0.5")).unwrap();
        parse(&ratios("2")).unwrap();
        for bad in ["nan", "inf", "-inf", "0.0", "0", "-1", "-1.5", "'x'"] {
            let error = parse(&ratios(bad)).unwrap_err();
            assert!(matches!(error, BenchError::Missing(_)) && error.to_string().contains("ratios, seal: "), "{error}");
        }
        let error = parse("[counters]\nx = nan\n").unwrap_err().to_string();
        assert!(error.contains("x.toml: counters, x: NaN is no value"), "{error}");
        let error = parse(&ratios("2.0").repeat(2)).unwrap_err().to_string();
        assert!(error.contains("ratios has two sections on \"a\""), "{error}");
    }
}
