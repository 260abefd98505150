//! The rounds: each tool in turn does all its steps, and the turn rotates, so that what disturbs a while disturbs all.

use super::process::{self, Ended, Invocation, Usage};
use super::tool::{Found, Names, Restores, Step};
use super::tree;
use crate::harness::BenchError;
use crate::harness::data::{DataSet, content};
use crate::harness::machine::page_cache::Switch;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The tools; the first one is what the others are compared with.
    pub tools: Vec<Found>,
    /// What to back up.
    pub data: DataSet,
    /// What is measured.
    pub steps: Vec<Step>,
    pub rounds: usize,
    /// Stores, homes and caches; emptied by us below a folder of our own name.
    pub work: PathBuf,
    /// Restores go here.
    pub target: PathBuf,
    /// Empties the page cache before each measured step; `None`: it is warm.
    pub drop_caches: Option<Switch>,
    /// For one step.
    pub timeout: Duration,
    /// Ends everything early.
    pub cancel: Arc<AtomicBool>,
}

/// One measured step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The round it was taken in.
    pub round: usize,
    /// Time and memory.
    pub usage: Usage,
    /// Bytes in the store afterwards.
    pub stored: u64,
}

/// Everything that was measured so far.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    /// By row label and step.
    pub taken: BTreeMap<(String, Step), Vec<Sample>>,
    /// What went wrong, and what differs in restores.
    pub warnings: Vec<String>,
    /// Tools that failed: left out from then on.
    pub failed: Vec<String>,
    /// Tools whose restore lost something.
    pub lost: Vec<String>,
    /// Tools that saw the second version under another path.
    pub other_path: Vec<String>,
    pub rounds: usize,
}

impl Samples {
    fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn lose(&mut self, label: &str) {
        if !self.lost.iter().any(|lost| lost == label) {
            self.lost.push(label.into());
        }
    }

    /// Samples of one tool and step that another tool has from the same round: (its own, the other's).
    pub fn pairs(&self, label: &str, other: &str, step: Step, value: impl Fn(&Sample) -> f64) -> Vec<(f64, f64)> {
        let of = |label: &str| self.taken.get(&(label.to_string(), step)).map_or(&[][..], Vec::as_slice);
        let pair = |a: &Sample| of(other).iter().find(|b| b.round == a.round).map(|b| (value(a), value(b)));
        of(label).iter().filter_map(pair).collect()
    }
}

/// Told what happens.
pub trait Watch {
    /// One line of progress.
    fn progress(&mut self, line: &str);
    /// A round is complete: what there is so far.
    fn round(&mut self, samples: &Samples);
}

/// Runs all rounds. What is measured before an interruption or error is in `samples`.
pub fn run(plan: &Plan, samples: &mut Samples, watch: &mut dyn Watch) -> Result<(), BenchError> {
    check(plan)?;
    let folders = Folders::new(plan)?;
    let mounts = plan.steps.contains(&Step::Second) && can_mount(plan, &folders)?;
    for round in 0..plan.rounds {
        for turn in 0..plan.tools.len() {
            let found = &plan.tools[(turn + round) % plan.tools.len()];
            if samples.failed.contains(&found.label) {
                continue;
            }
            watch.progress(&format!("round {} of {}: {}", round + 1, plan.rounds, found.label));
            if plan.drop_caches.is_none() {
                warm_all(plan)?;
            }
            let turn = Turn { plan, found, folders: &folders, round, mounts };
            if let Err(failure) = turn.run(samples) {
                match failure {
                    Failure::Tool(step, why) => {
                        samples.failed.push(found.label.clone());
                        samples.warn(format!("{}: {step} failed and it is left out from here on: {why}", found.label));
                    }
                    Failure::Other(error) => return Err(error),
                }
            }
            folders.clear()?;
        }
        samples.rounds = round + 1;
        watch.round(samples);
    }
    Ok(())
}

fn check(plan: &Plan) -> Result<(), BenchError> {
    let data = &plan.data.path;
    if let Some(file) = [Some(data), plan.data.second.as_ref()].into_iter().flatten().find(|path| !path.is_dir()) {
        // Some tools cannot back up a single file, others restore it as something else than they got.
        let what = format!(
            "{} is no folder, and programs are compared on folders: put it into one (mkdir FOLDER; ln or cp it there) and name \
             that",
            file.display()
        );
        return Err(BenchError::Invalid(what));
    }
    if plan.steps.contains(&Step::Second) && plan.data.second.is_none() {
        let what =
            "there is no second version of the data: name one with --second PATH, or leave `second` out of --steps";
        return Err(BenchError::Invalid(what.into()));
    }
    if plan.rounds == 0 || plan.steps.is_empty() || plan.tools.is_empty() {
        return Err(BenchError::Invalid("no rounds, no steps or no tools: nothing to measure".into()));
    }
    plan.data.used_with_content()?;
    for folder in [&plan.work, &plan.target] {
        let folder = folder.canonicalize().map_err(BenchError::io("find", folder))?;
        if folder.starts_with(data) {
            let what = format!("{} lies inside the data: name another folder with --work", folder.display());
            return Err(BenchError::Invalid(what));
        }
    }
    plan.drop_caches.as_ref().map_or(Ok(()), Switch::check)
}

/// Before each turn, not once: a system that takes idle pages back would have whoever comes next read from the disk.
fn warm_all(plan: &Plan) -> Result<(), BenchError> {
    warm(&plan.data.path, &plan.cancel)?;
    match &plan.data.second {
        Some(second) if plan.steps.contains(&Step::Second) => warm(second, &plan.cancel),
        _ => Ok(()),
    }
}

/// Reads everything once.
fn warm(folder: &Path, cancel: &AtomicBool) -> Result<(), BenchError> {
    let (mut open, mut buffer) = (vec![folder.to_path_buf()], vec![0; 1 << 20]);
    while let Some(path) = open.pop() {
        if cancel.load(Relaxed) {
            return Err(BenchError::Interrupted);
        }
        let meta = path.symlink_metadata().map_err(BenchError::io("look at", &path))?;
        if meta.is_dir() {
            for entry in path.read_dir().map_err(BenchError::io("list", &path))? {
                open.push(entry.map_err(BenchError::io("list", &path))?.path());
            }
        } else if meta.is_file() {
            let mut file = fs::File::open(&path).map_err(BenchError::io("open", &path))?;
            while file.read(&mut buffer).map_err(BenchError::io("read", &path))? > 0 {}
        }
    }
    Ok(())
}

/// Our own folders, gone when dropped.
struct Folders {
    work: tempfile::TempDir,
    target: tempfile::TempDir,
}

impl Folders {
    fn new(plan: &Plan) -> Result<Folders, BenchError> {
        let make = |folder: &Path| {
            tempfile::Builder::new()
                .prefix("larder-compare-")
                .tempdir_in(folder)
                .map_err(BenchError::io("make a folder in", folder))
        };
        let folders = Folders { work: make(&plan.work)?, target: make(&plan.target)? };
        folders.clear()?;
        Ok(folders)
    }

    /// Empty for the next turn.
    fn clear(&self) -> Result<(), BenchError> {
        for folder in [self.work.path().join("store"), self.tool(), self.target()] {
            remove(&folder)?;
        }
        for folder in [self.tool(), self.target()] {
            fs::create_dir(&folder).map_err(BenchError::io("make", &folder))?;
        }
        Ok(())
    }

    fn tool(&self) -> PathBuf {
        self.work.path().join("tool")
    }

    fn target(&self) -> PathBuf {
        self.target.path().join("restored")
    }

    fn log(&self) -> PathBuf {
        self.work.path().join("log")
    }
}

/// Removes whatever is there, also folders that were restored without the right to write into them.
fn remove(path: &Path) -> Result<(), BenchError> {
    let Ok(meta) = path.symlink_metadata() else { return Ok(()) };
    if !meta.is_dir() {
        return fs::remove_file(path).map_err(BenchError::io("remove", path));
    }
    if fs::remove_dir_all(path).is_ok() {
        return Ok(());
    }
    allow(path).map_err(BenchError::io("remove", path))?;
    fs::remove_dir_all(path).map_err(BenchError::io("remove", path))
}

fn allow(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    for entry in folder.read_dir()? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            allow(&entry.path())?;
        }
    }
    Ok(())
}

/// In a mount namespace of its own, the second version lies where the first does.
const MOUNTED: &str = "mount --bind \"$0\" \"$1\" && shift && exec \"$@\"";

/// The words of a command that sees `second` at the path of `data`.
fn mounted(second: &Path, data: &Path, words: Vec<OsString>) -> Vec<OsString> {
    let start = ["unshare", "--mount", "--propagation", "private", "sh", "-c", MOUNTED].map(OsString::from);
    start.into_iter().chain([second.into(), data.into()]).chain(words).collect()
}

fn can_mount(plan: &Plan, folders: &Folders) -> Result<bool, BenchError> {
    let Some(second) = &plan.data.second else { return Ok(false) };
    let words = mounted(second, &plan.data.path, vec!["true".into()]);
    let what = Invocation { words, environment: process::environment(&folders.tool()), folder: None };
    let ended = process::run(&what, &folders.log(), Duration::from_secs(10), &plan.cancel)?;
    Ok(matches!(ended, Ended::Well(_)))
}

enum Failure {
    /// The tool's: which step, and why.
    Tool(&'static str, String),
    Other(BenchError),
}

impl From<BenchError> for Failure {
    fn from(error: BenchError) -> Failure {
        Failure::Other(error)
    }
}

/// One tool in one round.
struct Turn<'a> {
    plan: &'a Plan,
    found: &'a Found,
    folders: &'a Folders,
    round: usize,
    mounts: bool,
}

impl Turn<'_> {
    fn run(&self, samples: &mut Samples) -> Result<(), Failure> {
        let tool = &self.found.tool;
        let names = self.names();
        for words in &tool.prepare {
            self.go("preparing", words, &names, |words| words)?;
        }
        for step in Step::ALL {
            let wanted = self.plan.steps.contains(&step);
            // Whatever comes after the first backup needs it.
            let Some(words) = tool.words(step).filter(|_| wanted || step == Step::First) else { continue };
            if step == Step::Restore {
                for words in &tool.before_restore {
                    self.go("preparing the restore", words, &names, |words| words)?;
                }
            }
            if let Some(switch) = &self.plan.drop_caches {
                switch.empty()?;
            }
            let usage = match step {
                Step::Second => self.second(words, &names, samples)?,
                _ => self.go(step.id(), words, &names, |words| words)?,
            };
            let stored = stored(&names.store)?;
            if wanted {
                let key = (self.found.label.clone(), step);
                samples.taken.entry(key).or_default().push(Sample { round: self.round, usage, stored });
            }
            if step == Step::Restore {
                self.compare(&names, samples)?;
                // Room for what comes next, and no writing back while it is measured.
                remove(&names.target)?;
            }
        }
        Ok(())
    }

    fn names(&self) -> Names {
        Names {
            store: self.folders.work.path().join("store"),
            data: self.plan.data.path.clone(),
            second: self.plan.data.second.clone().unwrap_or_else(|| self.plan.data.path.clone()),
            target: self.folders.target(),
            work: self.folders.tool(),
        }
    }

    /// The second version, at the first one's path when it can be.
    fn second(&self, words: &[String], names: &Names, samples: &mut Samples) -> Result<Usage, Failure> {
        let step = Step::Second.id();
        if self.found.tool.second_as {
            return self.go(step, words, names, |words| words);
        }
        if self.mounts {
            return self.go(step, words, names, |words| mounted(&names.second, &names.data, words));
        }
        if !samples.other_path.contains(&self.found.label) {
            samples.other_path.push(self.found.label.clone());
        }
        let names = Names { data: names.second.clone(), ..names.clone() };
        self.go(step, words, &names, |words| words)
    }

    fn go(
        &self,
        step: &'static str,
        words: &[String],
        names: &Names,
        wrap: impl FnOnce(Vec<OsString>) -> Vec<OsString>,
    ) -> Result<Usage, Failure> {
        let filled = words.iter().map(|word| self.found.fill(word, names)).collect();
        let what =
            Invocation { words: wrap(filled), environment: self.environment(names), folder: Some(names.work.clone()) };
        match process::run(&what, &self.folders.log(), self.plan.timeout, &self.plan.cancel)? {
            Ended::Well(usage) => Ok(usage),
            Ended::Failed(why) => Err(Failure::Tool(step, why)),
        }
    }

    fn environment(&self, names: &Names) -> Vec<(String, OsString)> {
        let mut environment = process::environment(&names.work);
        let own = self.found.tool.environment.iter();
        environment.extend(own.map(|(name, value)| (name.clone(), self.found.fill(value, names))));
        environment
    }

    fn compare(&self, names: &Names, samples: &mut Samples) -> Result<(), BenchError> {
        let (tool, label) = (&self.found.tool, &self.found.label);
        let folder = PathBuf::from(self.found.fill(&tool.restored, names));
        if !folder.is_dir() {
            samples.warn(format!("{label}: THE RESTORE DIFFERS from the source: it gave no {}", tool.restored));
            samples.lose(label);
            return Ok(());
        }
        let files_only = tool.restores == Restores::Files;
        let differences = tree::compare(&names.data, &folder, files_only, &self.plan.cancel)?;
        if differences.lost() {
            samples.warn(format!("{label}: THE RESTORE DIFFERS from the source: {}", differences.says()));
            samples.lose(label);
        } else if !differences.found.is_empty() {
            samples.warn(format!("{label}: what came back has other metadata: {}", differences.says()));
        }
        Ok(())
    }
}

/// Bytes of all files of a store, without holes, each file once.
fn stored(store: &Path) -> Result<u64, BenchError> {
    let (mut bytes, mut open, mut links) = (0, vec![store.to_path_buf()], content::Links::default());
    while let Some(path) = open.pop() {
        match path.symlink_metadata() {
            Ok(meta) if meta.is_dir() => {
                for entry in path.read_dir().map_err(BenchError::io("list", &path))? {
                    open.push(entry.map_err(BenchError::io("list", &path))?.path());
                }
            }
            Ok(meta) if meta.is_file() && links.is_another(&meta) => {}
            Ok(meta) if meta.is_file() => bytes += content::bytes(&content::ranges(&path, &meta)),
            Ok(meta) => bytes += meta.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(BenchError::io("look at", &path)(error)),
        }
    }
    Ok(bytes)
}
