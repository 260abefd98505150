//! Tier c, kernels: what `cargo bench --bench gate` left in criterion's folder, as ratios to reference kernels.
//!
//! Each kernel and its reference are sampled twice in the order ours, reference, reference, ours, so that a drift of the
//! machine meets both, and all of that in each of several launches. A launch gives one ratio, and the interval is over
//! launches: where the system puts a program's pages moves a kernel's time by 5 % and more, the same for all samples of a
//! launch, and a disturbance of half a second meets one launch in all its samples (Georges et al., "Statistically rigorous
//! Java performance evaluation", 2007, has the same finding of virtual machines).
//!
//! Beside the results the bench leaves their [`Origin`]: of another version, or from before this larder was built, they say
//! nothing of it. Its digest would not do: cargo builds another one beside a bench, whose dependencies want other features.

use super::kernels::{KERNELS, Kernel};
use crate::harness::BenchError;
use crate::harness::report::Cell;
use crate::harness::stats::{measured, median};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
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
/// How often the bench launches itself.
pub const LAUNCHES: usize = 9;
/// With fewer an interval's ends are single launches.
const LAUNCHES_MIN: usize = 5;
/// Folders of launches begin with this.
const LAUNCH: &str = "gate-launch-";
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

const PROGRAM: &str = concat!("larder ", env!("CARGO_PKG_VERSION"));

impl Origin {
    /// Begins a run of the bench: what an earlier one left goes.
    pub fn begin(folder: &Path) -> Result<Origin, BenchError> {
        let gone = |path: &Path, result: std::io::Result<()>| match result {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(BenchError::io("remove", path)(error)),
            _ => Ok(()),
        };
        let file = folder.join(ORIGIN);
        gone(&file, std::fs::remove_file(&file))?;
        for launch in launches(folder).unwrap_or_default() {
            gone(&launch, std::fs::remove_dir_all(&launch))?;
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

/// Where criterion puts what one launch gives.
pub fn launch(folder: &Path, which: usize) -> PathBuf {
    folder.join(format!("{LAUNCH}{which}"))
}

fn launches(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in folder.read_dir()? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(LAUNCH) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// The ratio of each kernel to its reference, measured since this larder was built.
pub fn read(folder: &Path, larder: &Path) -> Result<BTreeMap<String, Cell>, BenchError> {
    let started = Origin::check(folder, larder)?.started();
    let launches = launches(folder).map_err(BenchError::io("list", folder))?;
    if launches.len() < LAUNCHES_MIN {
        let what = format!(
            "{} has the results of {} launches, and an interval needs {LAUNCHES_MIN}: run `cargo bench --bench gate` again, all \
             of it",
            folder.display(),
            launches.len()
        );
        return Err(BenchError::NotMeasured(what));
    }
    let taken = launches.iter().map(|launch| samples(launch, started)).collect::<Result<Vec<_>, _>>()?;
    let over_launches = |kernel: &Kernel| {
        let ratios = taken.iter().zip(&launches).map(|(found, launch)| ratio(kernel, found, launch));
        Ok((kernel.name.to_string(), measured(&ratios.collect::<Result<Vec<_>, _>>()?)))
    };
    KERNELS.iter().map(over_launches).collect()
}

/// Seconds an iteration took, by kernel and bench.
type Found = BTreeMap<(String, String), Vec<f64>>;

fn samples(launch: &Path, started: SystemTime) -> Result<Found, BenchError> {
    let mut found = Found::new();
    let mut open = vec![launch.to_path_buf()];
    while let Some(path) = open.pop() {
        for entry in path.read_dir().map_err(BenchError::io("list", &path))? {
            let path = entry.map_err(BenchError::io("list", &path))?.path();
            if path.file_name().is_some_and(|name| name == "new") && path.join("sample.json").is_file() {
                let (id, samples) = one(&path, started)?;
                found.insert((id.group_id, id.function_id.unwrap_or_default()), samples);
            } else if path.is_dir() {
                open.push(path);
            }
        }
    }
    Ok(found)
}

fn one(folder: &Path, started: SystemTime) -> Result<(Id, Vec<f64>), BenchError> {
    let id: Id = json(&folder.join("benchmark.json"))?;
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
    let taken: Vec<f64> =
        samples.times.iter().zip(&samples.iters).map(|(time, iterations)| time / iterations).collect();
    if taken.iter().any(|time| !time.is_finite() || *time <= 0.0) {
        let what = format!("{} has times that are none: run `cargo bench --bench gate` again", file.display());
        return Err(BenchError::NotMeasured(what));
    }
    Ok((id, taken))
}

fn json<T: serde::de::DeserializeOwned>(file: &Path) -> Result<T, BenchError> {
    let bytes = std::fs::read(file).map_err(BenchError::io("read", file))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| BenchError::NotMeasured(format!("{} is not as criterion writes it: {error}", file.display())))
}

/// Of one launch.
fn ratio(kernel: &Kernel, found: &Found, launch: &Path) -> Result<f64, BenchError> {
    let mut times = [Vec::new(), Vec::new()];
    for (name, is_reference) in ORDER {
        let samples = found.get(&(group(kernel), name.to_string())).filter(|samples| !samples.is_empty());
        let Some(samples) = samples else {
            let what = format!(
                "`{}`, {name}: nothing below {}: run `cargo bench --bench gate`",
                group(kernel),
                launch.display()
            );
            return Err(BenchError::NotMeasured(what));
        };
        times[usize::from(is_reference)].extend(samples);
    }
    let [ours, reference] = times;
    Ok(median(&ours) / median(&reference))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn results(folder: &Path, factor: f64) {
        for which in 0..LAUNCHES {
            // Each launch has its own level, and the first was disturbed.
            let level = 1.0 + which as f64 / 100.0;
            one_launch(&launch(folder, which), factor * level * if which == 0 { 1.3 } else { 1.0 });
        }
    }

    fn one_launch(folder: &Path, factor: f64) {
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
    fn results_of(factor: f64) -> (tempfile::TempDir, std::path::PathBuf) {
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
        let (folder, larder) = results_of(1.0);
        let says = || read(folder.path(), &larder).unwrap_err().to_string();
        read(folder.path(), &larder).unwrap();
        let origin = folder.path().join(ORIGIN);
        let kept = fs::read_to_string(&origin).unwrap();
        fs::write(&origin, kept.replace("larder ", "larder 9")).unwrap();
        assert!(says().contains("are of larder 90.") && says().contains("cargo bench --bench gate"), "{}", says());
        fs::write(&origin, kept).unwrap();
        let sample = launch(folder.path(), 2).join("seal/ours 1/new/sample.json");
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
        let (folder, larder) = results_of(1.5);
        // What another bench left does not take part, however old.
        let other = folder.path().join("codec/x/new");
        fs::create_dir_all(&other).unwrap();
        fs::write(other.join("benchmark.json"), r#"{"group_id":"codec","function_id":"x"}"#).unwrap();
        fs::write(other.join("sample.json"), "{}").unwrap();
        let ratios = read(folder.path(), &larder).unwrap();
        assert_eq!(ratios.len(), KERNELS.len());
        let Cell::Measured { value, low, high, samples } = &ratios["seal"] else { panic!() };
        // The middle one of 1.01 to 1.08 and the disturbed 1.3, and an interval that holds most of them.
        assert!((value - 1.5 * 1.05).abs() < 1e-9 && samples.len() == LAUNCHES, "{value} {samples:?}");
        assert!(*low > 1.5 && *low < 1.56 && *high > 1.58 && *high < 1.9, "{low} {high}");
        for which in 4..LAUNCHES {
            fs::remove_dir_all(launch(folder.path(), which)).unwrap();
        }
        let error = read(folder.path(), &larder).unwrap_err().to_string();
        assert!(error.contains("the results of 4 launches"), "{error}");
        // A run of the bench begins with none.
        Origin::begin(folder.path()).unwrap();
        assert_eq!(launches(folder.path()).unwrap(), Vec::<PathBuf>::new());
    }

    #[test]
    fn results_that_are_not_there_old_or_broken_are_no_pass() {
        let (folder, larder) = results_of(1.0);
        set_age(&larder, 10 * AGE_MAX.as_secs());
        let error = read(&folder.path().join("none"), &larder).unwrap_err().to_string();
        assert!(error.contains("cargo bench --bench gate"), "{error}");
        let read = || read(folder.path(), &larder).unwrap_err().to_string();
        let origin = folder.path().join(ORIGIN);
        let kept = fs::read_to_string(&origin).unwrap();
        let before = kept.split_once("\"started\":").unwrap().0;
        let started = (SystemTime::now() - 4 * AGE_MAX).duration_since(UNIX_EPOCH).unwrap().as_millis();
        fs::write(&origin, format!("{before}\"started\":{started}}}")).unwrap();
        let file = launch(folder.path(), 2).join("seal/ours 1/new/sample.json");
        let old = SystemTime::now() - 2 * AGE_MAX;
        fs::File::open(&file).unwrap().set_modified(old).unwrap();
        assert!(read().contains("older than a day"), "{}", read());
        for samples in [r#"{"iters":[1],"times":[0]}"#, r#"{"iters":[1],"times":[-1]}"#, r#"{"iters":[0],"times":[0]}"#]
        {
            fs::write(&file, samples).unwrap();
            assert!(read().contains("times that are none"), "{}", read());
        }
        fs::write(&file, "{").unwrap();
        assert!(read().contains("not as criterion writes it"), "{}", read());
        fs::remove_dir_all(launch(folder.path(), 2).join("seal")).unwrap();
        assert!(read().contains("nothing below"), "{}", read());
    }
}
