//! Tier b: instructions of each kernel, counted by valgrind in children.
//!
//! A child that runs the kernel and one that runs nothing differ by the kernel alone: loading, reading the command line
//! and making inputs cost both the same. Valgrind knows no AVX-512, so what it counts is the path that is taken without.

use super::baseline::{Value, Values};
use super::child::{Child, NOTHING};
use super::kernels::KERNELS;
use crate::harness::BenchError;
use crate::harness::compare::process::{self, Ended, Invocation};
use std::ffi::OsString;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(300);
/// How often a child runs its kernel.
const ITERATIONS: u64 = 2;

/// What was counted.
pub struct Instructions {
    /// Of one iteration of each kernel.
    pub values: Values,
    /// The path that was counted, and valgrind's version.
    pub on: String,
}

/// Counts. `so_far` gets what there is after every kernel.
pub fn take(
    child: &Child,
    folder: &Path,
    cancel: &AtomicBool,
    progress: &mut dyn FnMut(&str),
    so_far: &mut dyn FnMut(&Instructions),
) -> Result<Instructions, BenchError> {
    let kernels: Vec<&str> = KERNELS.iter().map(|kernel| kernel.name).collect();
    take_of(&kernels, child, folder, cancel, progress, so_far)
}

fn take_of(
    kernels: &[&str],
    child: &Child,
    folder: &Path,
    cancel: &AtomicBool,
    progress: &mut dyn FnMut(&str),
    so_far: &mut dyn FnMut(&Instructions),
) -> Result<Instructions, BenchError> {
    if process::find("valgrind").is_none() {
        let what =
            "instructions need valgrind, which is not here: apt-get install valgrind, or leave tier b out of --tiers";
        return Err(BenchError::Missing(what.into()));
    }
    let count = |name: &str| one(child, name, folder, cancel);
    let nothing = count(NOTHING)?;
    let on = format!("path {}, {}", nothing.path, version(folder, cancel)?);
    let mut taken = Instructions { values: Values::new(), on };
    for name in kernels {
        progress(&format!("counting the instructions of `{name}`"));
        let counted = count(name)?.instructions;
        let of_kernel = counted.checked_sub(nothing.instructions).filter(|n| *n > ITERATIONS * 1000);
        let of_kernel = of_kernel.ok_or_else(|| {
            let around = nothing.instructions;
            BenchError::NotMeasured(format!("`{name}`: {counted} instructions with it, {around} without"))
        })?;
        taken.values.insert((*name).into(), Value::Number(of_kernel / ITERATIONS));
        so_far(&taken);
    }
    Ok(taken)
}

struct Run {
    instructions: u64,
    path: String,
}

fn one(child: &Child, kernel: &str, folder: &Path, cancel: &AtomicBool) -> Result<Run, BenchError> {
    let (log, output) = (folder.join("valgrind"), folder.join("output"));
    let task = format!("kernel/{kernel}/{ITERATIONS}");
    let mut words: Vec<OsString> =
        ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
            .map(OsString::from)
            .into();
    words.push(format!("--log-file={}", log.display()).into());
    words.extend(child.words(&task));
    let mut environment = process::environment(folder);
    environment.extend(child.variables(&task));
    let what = Invocation { words, environment, folder: Some(folder.into()) };
    if let Ended::Failed(why) = process::run(&what, &output, TIMEOUT, cancel)? {
        return Err(BenchError::NotMeasured(format!("`{kernel}` under valgrind: {why}")));
    }
    let read = |path: &Path| {
        let bytes = std::fs::read(path).map_err(BenchError::io("read", path))?;
        Ok::<_, BenchError>(String::from_utf8_lossy(&bytes).into_owned())
    };
    let instructions = parse(&read(&log)?)
        .ok_or_else(|| BenchError::NotMeasured(format!("valgrind gave no number of instructions for `{kernel}`")))?;
    let path = read(&output)?;
    let path = path.lines().find_map(|line| line.strip_prefix(PATH)).unwrap_or("unknown").trim().to_string();
    Ok(Run { instructions, path })
}

/// What a child says before its CPU path.
pub const PATH: &str = "cpu path: ";

/// `==12== I   refs:      1,234,567`
fn parse(log: &str) -> Option<u64> {
    let line = log.lines().find(|line| line.contains("refs:") && line.contains(" I "))?;
    let digits: String = line.split("refs:").nth(1)?.chars().filter(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn version(folder: &Path, cancel: &AtomicBool) -> Result<String, BenchError> {
    let output = folder.join("version");
    let words = ["valgrind", "--version"].map(OsString::from).into();
    let what = Invocation { words, environment: process::environment(folder), folder: None };
    process::run(&what, &output, TIMEOUT, cancel)?;
    let text = std::fs::read_to_string(&output).map_err(BenchError::io("read", &output))?;
    Ok(text.lines().next().unwrap_or("valgrind").trim().into())
}

#[cfg(test)]
mod tests {
    use super::super::child::{TASK, run};
    use super::super::judge::{Limit, Verdict, compare};
    use super::*;

    #[test]
    fn the_number_is_found_in_what_valgrind_prints() {
        let log = "==7== Cachegrind, a profiler\n==7== \n==7== I   refs:      10,234,567\n";
        assert_eq!(parse(log), Some(10_234_567));
        assert_eq!(parse("==7== I refs:        42\n"), Some(42));
        assert_eq!(parse("nothing"), None);
    }

    /// Not a test of its own: what the children of the next one run.
    #[test]
    fn child_of_the_gate() {
        if let Ok(task) = std::env::var(TASK) {
            println!("\n{PATH}{}", run(&task).unwrap());
        }
    }

    fn child(planted: Option<&str>) -> Child {
        let words =
            ["--exact", "harness::gate::instructions::tests::child_of_the_gate", "--nocapture", "--test-threads=1"];
        let environment =
            planted.map(|name| ("LARDER_TEST_PLANT".to_string(), OsString::from(name))).into_iter().collect();
        let program = std::env::current_exe().unwrap();
        Child { program, words: words.map(OsString::from).into(), environment, by_environment: true }
    }

    #[test]
    fn the_same_code_gives_the_same_count_and_a_planted_slowdown_is_found() {
        if !crate::lacks::has_tools(&["valgrind"]) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let kernels = ["chunk noise", "seal"];
        let go = |planted| {
            let cancel = AtomicBool::new(false);
            let mut told = 0;
            let mut so_far = |so_far: &Instructions| {
                told += 1;
                assert_eq!(so_far.values.len(), told);
            };
            let taken = take_of(&kernels, &child(planted), folder.path(), &cancel, &mut |_| {}, &mut so_far).unwrap();
            assert_eq!(told, kernels.len());
            taken
        };
        let (first, second, slow) = (go(None), go(None), go(Some("seal")));
        assert!(!first.on.contains("avx512"), "valgrind has no AVX-512: {}", first.on);
        let verdicts = |now: &Instructions| {
            let findings = compare(&first.values, &now.values, |_| Limit::Cost(0.01));
            findings.into_iter().map(|finding| (finding.name, finding.verdict)).collect::<Vec<_>>()
        };
        let named = |name: &str, verdict| (name.to_string(), verdict);
        assert_eq!(verdicts(&second), [named("chunk noise", Verdict::Within), named("seal", Verdict::Within)]);
        assert_eq!(verdicts(&slow), [named("chunk noise", Verdict::Within), named("seal", Verdict::Slower)]);
    }
}
