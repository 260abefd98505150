//! Tier c, kernels: what `cargo bench --bench gate` left in criterion's folder, as ratios to reference kernels.
//!
//! Each kernel and its reference are sampled twice in the order ours, reference, reference, ours; samples are paired in
//! that order, so that a drift of the machine meets both.

use super::kernels::{KERNELS, Kernel};
use crate::harness::BenchError;
use crate::harness::report::Cell;
use crate::harness::stats::ratio_of_medians;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Criterion's group of a kernel.
pub fn group(kernel: &Kernel) -> String {
    format!("gate/{}", kernel.name)
}

/// Names of the benches in a group, in the order they are taken; true: the reference.
pub const ORDER: [(&str, bool); 4] =
    [("ours 1", false), ("reference 1", true), ("reference 2", true), ("ours 2", false)];
/// Results older than this are not of this run.
const AGE_MAX: Duration = Duration::from_secs(24 * 3600);

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

/// The ratio of each kernel to its reference.
pub fn read(folder: &Path) -> Result<BTreeMap<String, Cell>, BenchError> {
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
                let (id, samples) = one(&path)?;
                found.insert((id.group_id, id.function_id.unwrap_or_default()), samples);
            } else if path.is_dir() {
                open.push(path);
            }
        }
    }
    KERNELS.iter().map(|kernel| Ok((kernel.name.to_string(), ratio(kernel, &found, folder)?))).collect()
}

fn one(folder: &Path) -> Result<(Id, Vec<f64>), BenchError> {
    let id: Id = json(&folder.join("benchmark.json"))?;
    let samples: Samples = json(&folder.join("sample.json"))?;
    let taken = samples.times.iter().zip(&samples.iters).map(|(time, iterations)| time / iterations);
    Ok((id, taken.collect()))
}

fn json<T: serde::de::DeserializeOwned>(file: &Path) -> Result<T, BenchError> {
    let modified = file.metadata().and_then(|meta| meta.modified()).map_err(BenchError::io("look at", file))?;
    if SystemTime::now().duration_since(modified).is_ok_and(|age| age > AGE_MAX) {
        let what = format!("{} is older than a day: run `cargo bench --bench gate` again", file.display());
        return Err(BenchError::NotMeasured(what));
    }
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

    #[test]
    fn ratios_come_of_what_criterion_saves() {
        let folder = tempfile::tempdir().unwrap();
        results(folder.path(), 1.5);
        let ratios = read(folder.path()).unwrap();
        assert_eq!(ratios.len(), KERNELS.len());
        let Cell::Measured { value, low, high, samples } = &ratios["seal"] else { panic!() };
        assert!(
            (value - 1.5).abs() < 1e-9 && *low > 1.45 && *high < 1.55 && samples.len() == 40,
            "{value} {low} {high}"
        );
    }

    #[test]
    fn results_that_are_not_there_old_or_broken_are_no_pass() {
        let folder = tempfile::tempdir().unwrap();
        let error = read(&folder.path().join("none")).unwrap_err().to_string();
        assert!(error.contains("cargo bench --bench gate"), "{error}");
        let error = read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("nothing below"), "an empty folder: {error}");
        results(folder.path(), 1.0);
        let file = folder.path().join("seal/ours 1/new/sample.json");
        let old = SystemTime::now() - 2 * AGE_MAX;
        fs::File::open(&file).unwrap().set_modified(old).unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("older than a day"));
        fs::write(&file, "{").unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("not as criterion writes it"));
    }
}
