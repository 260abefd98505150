//! Tier c, kernels: what `cargo bench --bench gate` left in criterion's folder, as ratios to reference kernels.
//!
//! Each kernel and its reference are sampled twice in the order ours, reference, reference, ours; samples are paired in
//! that order, so that a drift of the machine meets both.
//!
//! Beside the results the bench leaves their [`Origin`]: of another version, or from before this larder was built, they say
//! nothing of it. Its digest would not do: cargo builds another one beside a bench, whose dependencies want other features.

use super::kernels::{KERNELS, Kernel};
use crate::harness::BenchError;
use crate::harness::report::Cell;
use crate::harness::stats::ratio_of_medians;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Criterion's group of a kernel.
pub fn group(kernel: &Kernel) -> String {
    format!("{GROUP}{}", kernel.name)
}

/// What the groups of kernels begin with.
const GROUP: &str = "gate/";

/// Names of the benches in a group, in the order they are taken; true: the reference.
pub const ORDER: [(&str, bool); 4] =
    [("ours 1", false), ("reference 1", true), ("reference 2", true), ("ours 2", false)];
/// Results older than this are not of this run.
const AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// So far a file's time may lie behind the clock.
const GRAIN: Duration = Duration::from_millis(100);
/// Where the origin of the results stands in criterion's folder.
pub const ORIGIN: &str = "larder-gate.json";

/// Which run results are of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Name and version.
    program: String,
    /// When the bench began, in milliseconds of Unix time.
    started: u64,
}

/// This version.
const PROGRAM: &str = concat!("larder ", env!("CARGO_PKG_VERSION"));

impl Origin {
    /// Begins a run of the bench: what an earlier one left does not count any more.
    pub fn begin(folder: &Path) -> Result<Origin, BenchError> {
        let file = folder.join(ORIGIN);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(BenchError::io("remove", &file)(error));
            }
            _ => {}
        }
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        Ok(Origin { program: PROGRAM.into(), started })
    }

    /// All benches have run.
    pub fn keep(&self, folder: &Path) -> Result<(), BenchError> {
        let file = folder.join(ORIGIN);
        let json = serde_json::to_vec(self).map_err(|error| BenchError::NotMeasured(error.to_string()))?;
        std::fs::create_dir_all(folder).map_err(BenchError::io("make", folder))?;
        std::fs::write(&file, json).map_err(BenchError::io("write", &file))
    }

    /// Reads it; an error when it is not there, or the run was before `larder` was built.
    fn check(folder: &Path, larder: &Path) -> Result<Origin, BenchError> {
        let file = folder.join(ORIGIN);
        if !file.exists() {
            let what = format!(
                "what the results in {} are of is not said there (no {ORIGIN}: nothing was run, or not to its end): run \
                 `cargo bench --bench gate` first, and name its folder with --criterion",
                folder.display()
            );
            return Err(BenchError::Missing(what));
        }
        let origin: Origin = json(&file)?;
        let built = larder.metadata().and_then(|meta| meta.modified()).map_err(BenchError::io("look at", larder))?;
        let of = match origin.started() < built {
            true => format!("are older than {}, which was built since", larder.display()),
            false if origin.program != PROGRAM => format!("are of {}, and this is {PROGRAM}", origin.program),
            false => return Ok(origin),
        };
        let again = "run `cargo bench --bench gate` again";
        Err(BenchError::NotMeasured(format!("the results in {} {of}: {again}", folder.display())))
    }

    fn started(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.started)
    }
}

#[derive(Deserialize)]
struct Id {
    group_id: String,
    function_id: Option<String>,
}

#[derive(Deserialize)]
struct Samples {
    iters: Vec<f64>,
    times: Vec<f64>,
}

/// The ratio of each kernel to its reference, measured since this larder was built.
pub fn read(folder: &Path, larder: &Path) -> Result<BTreeMap<String, Cell>, BenchError> {
    let started = Origin::check(folder, larder)?.started();
    let mut found: BTreeMap<(String, String), Vec<f64>> = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(path) = open.pop() {
        let entries = path.read_dir().map_err(|error| {
            BenchError::Missing(format!(
                "criterion's results are not at {} ({error}): run `cargo bench --bench gate` first, and name its folder with \
                 --criterion",
                path.display()
            ))
        })?;
        for entry in entries {
            let path = entry.map_err(BenchError::io("list", &path))?.path();
            if path.file_name().is_some_and(|name| name == "new") && path.join("sample.json").is_file() {
                // Other benches leave theirs beside.
                if let Some((id, samples)) = one(&path, started)? {
                    found.insert((id.group_id, id.function_id.unwrap_or_default()), samples);
                }
            } else if path.is_dir() {
                open.push(path);
            }
        }
    }
    KERNELS.iter().map(|kernel| Ok((kernel.name.to_string(), ratio(kernel, &found, folder)?))).collect()
}

fn one(folder: &Path, started: SystemTime) -> Result<Option<(Id, Vec<f64>)>, BenchError> {
    let id: Id = json(&folder.join("benchmark.json"))?;
    if !id.group_id.starts_with(GROUP) {
        return Ok(None);
    }
    let file = folder.join("sample.json");
    let modified = file.metadata().and_then(|meta| meta.modified()).map_err(BenchError::io("look at", &file))?;
    let old = |than: &str| {
        let what = format!("{} is older than {than}: run `cargo bench --bench gate` again, all of it", file.display());
        Err(BenchError::NotMeasured(what))
    };
    if modified + GRAIN < started {
        return old("the last run of the bench");
    }
    if SystemTime::now().duration_since(modified).is_ok_and(|age| age > AGE_MAX) {
        return old("a day");
    }
    let samples: Samples = json(&file)?;
    let taken = samples.times.iter().zip(&samples.iters).map(|(time, iterations)| time / iterations);
    Ok(Some((id, taken.collect())))
}

fn json<T: serde::de::DeserializeOwned>(file: &Path) -> Result<T, BenchError> {
    let bytes = std::fs::read(file).map_err(BenchError::io("read", file))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| BenchError::NotMeasured(format!("{} is not as criterion writes it: {error}", file.display())))
}

fn ratio(kernel: &Kernel, found: &BTreeMap<(String, String), Vec<f64>>, folder: &Path) -> Result<Cell, BenchError> {
    let take = |name: &str| {
        let samples = found.get(&(group(kernel), name.to_string())).filter(|samples| !samples.is_empty());
        samples.ok_or_else(|| {
            let what = format!(
                "`{}`, {name}: nothing below {}: run `cargo bench --bench gate`",
                group(kernel),
                folder.display()
            );
            BenchError::NotMeasured(what)
        })
    };
    let mut pairs = Vec::new();
    for (ours, reference) in [("ours 1", "reference 1"), ("ours 2", "reference 2")] {
        pairs.extend(take(ours)?.iter().copied().zip(take(reference)?.iter().copied()));
    }
    Ok(ratio_of_medians(&pairs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn results(folder: &Path, factor: f64) {
        for kernel in KERNELS {
            for (name, is_reference) in ORDER {
                let place = folder.join(kernel.name).join(name).join("new");
                fs::create_dir_all(&place).unwrap();
                let id =
                    format!("{{\"group_id\":\"{}\",\"function_id\":\"{name}\",\"value_str\":null}}", group(&kernel));
                fs::write(place.join("benchmark.json"), id).unwrap();
                let time =
                    |i: usize| (if is_reference { 100.0 } else { 100.0 * factor }) * (1.0 + (i % 5) as f64 / 100.0);
                let times: Vec<f64> = (1..=20).map(|i| time(i) * i as f64).collect();
                let iters: Vec<f64> = (1..=20).map(f64::from).collect();
                fs::write(place.join("sample.json"), format!("{{\"iters\":{iters:?},\"times\":{times:?}}}")).unwrap();
            }
        }
    }

    /// A folder with results, and a program that was built before them.
    fn measured(factor: f64) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let larder = folder.path().join("larder");
        fs::write(&larder, "a build").unwrap();
        set_age(&larder, 1000);
        let origin = Origin::begin(folder.path()).unwrap();
        results(folder.path(), factor);
        origin.keep(folder.path()).unwrap();
        (folder, larder)
    }

    fn set_age(file: &Path, seconds: u64) {
        let then = SystemTime::now() - Duration::from_secs(seconds);
        fs::File::open(file).unwrap().set_modified(then).unwrap();
    }

    #[test]
    fn results_of_another_build_or_of_a_run_that_did_not_end_are_no_pass() {
        let (folder, larder) = measured(1.0);
        let says = || read(folder.path(), &larder).unwrap_err().to_string();
        read(folder.path(), &larder).unwrap();
        let origin = folder.path().join(ORIGIN);
        let kept = fs::read_to_string(&origin).unwrap();
        fs::write(&origin, kept.replace("larder ", "larder 9")).unwrap();
        assert!(says().contains("are of larder 90.") && says().contains("cargo bench --bench gate"), "{}", says());
        fs::write(&origin, kept).unwrap();
        let sample = folder.path().join("seal/ours 1/new/sample.json");
        set_age(&sample, 100);
        assert!(says().contains("older than the last run of the bench"), "{}", says());
        // Built again since.
        fs::write(&larder, "a later build").unwrap();
        fs::File::open(&larder).unwrap().set_modified(SystemTime::now() + Duration::from_secs(1)).unwrap();
        assert!(says().contains("larder, which was built since"), "{}", says());
        // A run that is interrupted keeps nothing.
        Origin::begin(folder.path()).unwrap();
        assert!(says().contains("no larder-gate.json"), "{}", says());
    }

    #[test]
    fn ratios_come_of_what_criterion_saves() {
        let (folder, larder) = measured(1.5);
        // What another bench left does not take part, however old.
        let other = folder.path().join("codec/x/new");
        fs::create_dir_all(&other).unwrap();
        fs::write(other.join("benchmark.json"), r#"{"group_id":"codec","function_id":"x"}"#).unwrap();
        fs::write(other.join("sample.json"), "{}").unwrap();
        let ratios = read(folder.path(), &larder).unwrap();
        assert_eq!(ratios.len(), KERNELS.len());
        let Cell::Measured { value, low, high, samples } = &ratios["seal"] else { panic!() };
        assert!(
            (value - 1.5).abs() < 1e-9 && *low > 1.45 && *high < 1.55 && samples.len() == 40,
            "{value} {low} {high}"
        );
    }

    #[test]
    fn results_that_are_not_there_old_or_broken_are_no_pass() {
        let (folder, larder) = measured(1.0);
        set_age(&larder, 10 * AGE_MAX.as_secs());
        let error = read(&folder.path().join("none"), &larder).unwrap_err().to_string();
        assert!(error.contains("cargo bench --bench gate"), "{error}");
        let read = || read(folder.path(), &larder).unwrap_err().to_string();
        let origin = folder.path().join(ORIGIN);
        let kept = fs::read_to_string(&origin).unwrap();
        let before = kept.split_once("\"started\":").unwrap().0;
        let started = (SystemTime::now() - 4 * AGE_MAX).duration_since(UNIX_EPOCH).unwrap().as_millis();
        fs::write(&origin, format!("{before}\"started\":{started}}}")).unwrap();
        let file = folder.path().join("seal/ours 1/new/sample.json");
        let old = SystemTime::now() - 2 * AGE_MAX;
        fs::File::open(&file).unwrap().set_modified(old).unwrap();
        assert!(read().contains("older than a day"), "{}", read());
        fs::write(&file, "{").unwrap();
        assert!(read().contains("not as criterion writes it"), "{}", read());
        fs::remove_dir_all(folder.path().join("seal")).unwrap();
        assert!(read().contains("nothing below"), "{}", read());
    }
}
