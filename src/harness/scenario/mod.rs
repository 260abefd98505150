//! Whole backups, restores and checks, round by round, each in a process of its own.
//!
//! A round has a fresh store: first backup, unchanged, 0.01 % and 1 % of the bytes changed (on a private copy of the data,
//! [`edit`]), restore, check, check with all data read. Storage is wrapped to count requests ([`job`]); the roofline that
//! the kernels give ([`super::stages`]) says what each could have reached.

pub mod edit;
pub mod job;
pub mod work;
pub mod runner;
mod sections;

pub use runner::Runner;
pub use sections::sections;

use super::BenchError;
use super::data::DataSet;
use super::machine::page_cache::Switch;
use super::report::DataUsed;
use super::stages::Stages;
use super::stages::roofline::{Bound, Work as Units};
use crate::codec::Compression;
use edit::Undo;
use job::{Job, Outcome, Task};
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use work::{Needs, Work};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "`title` says it")]
pub enum Scenario {
    First,
    Unchanged,
    ChangedLittle,
    Changed,
    Restore,
    Check,
    CheckReadData,
}

impl Scenario {
    /// All, in the order of a round.
    pub const ALL: [Scenario; 7] = [
        Scenario::First,
        Scenario::Unchanged,
        Scenario::ChangedLittle,
        Scenario::Changed,
        Scenario::Restore,
        Scenario::Check,
        Scenario::CheckReadData,
    ];

    /// As `--scenario` names it.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::First => "first",
            Scenario::Unchanged => "unchanged",
            Scenario::ChangedLittle => "changed-0.01",
            Scenario::Changed => "changed-1",
            Scenario::Restore => "restore",
            Scenario::Check => "check",
            Scenario::CheckReadData => "check-read-data",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Scenario::First => "first backup",
            Scenario::Unchanged => "unchanged",
            Scenario::ChangedLittle => "0.01 % changed",
            Scenario::Changed => "1 % changed",
            Scenario::Restore => "restore",
            Scenario::Check => "check",
            Scenario::CheckReadData => "check --read-data",
        }
    }

    /// The share of the content that is changed before it.
    fn change(self) -> Option<f64> {
        match self {
            Scenario::ChangedLittle => Some(0.0001),
            Scenario::Changed => Some(0.01),
            _ => None,
        }
    }

    fn task(self) -> Task {
        match self {
            Scenario::Restore => Task::Restore,
            Scenario::Check => Task::Check,
            Scenario::CheckReadData => Task::CheckReadData,
            _ => Task::Backup,
        }
    }

    /// It only looks, so its rate is that of what was backed up.
    fn is_backup(self) -> bool {
        self.task() == Task::Backup
    }
}

impl std::str::FromStr for Scenario {
    type Err = String;

    fn from_str(word: &str) -> Result<Scenario, String> {
        let found = Scenario::ALL.into_iter().find(|scenario| scenario.name() == word);
        let names: Vec<_> = Scenario::ALL.iter().map(|scenario| scenario.name()).collect();
        found.ok_or_else(|| format!("there is no scenario {word:?}; there is: {}", names.join(", ")))
    }
}

/// How to measure.
#[derive(Debug, Clone)]
pub struct ScenarioOptions {
    /// Rounds, each with a fresh store.
    pub rounds: usize,
    /// What is measured; empty: all. What these need beforehand is done all the same.
    pub scenarios: Vec<Scenario>,
    /// A folder for stores and for the copy of the data.
    pub work: PathBuf,
    /// A folder for restores; memory or the work folder if not given.
    pub target: Option<PathBuf>,
    /// What to compress with.
    pub compression: Compression,
    /// `auto`, `mmap` or `pread`.
    pub read: String,
    /// Threads of each pool; 0: one a core.
    pub threads: usize,
    /// Empties the page cache before each scenario; `None`: it is warm.
    pub drop_caches: Option<Switch>,
    /// Seed of the changes.
    pub seed: u64,
    /// Where jobs run.
    pub runner: Runner,
    /// Set from outside to end early.
    pub cancel: Arc<AtomicBool>,
}

/// One scenario's rounds.
#[derive(Debug, Clone)]
pub struct Measured {
    pub scenario: Scenario,
    /// One a round.
    pub outcomes: Vec<Outcome>,
    /// What the roofline allows each, where the kernels were measured.
    pub bounds: Vec<Bound>,
}

/// What is known so far.
#[derive(Debug, Clone, Default)]
pub struct Results {
    pub data: DataUsed,
    /// The scenarios that have run.
    pub measured: Vec<Measured>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// Changes of files younger than this are looked at again by the next backup: the grain of clocks.
const SETTLE: Duration = Duration::from_millis(2100);

/// Runs all rounds. `tell` hears what is being done; `so_far` gets the results after every scenario.
pub fn run(
    data: &DataSet,
    options: &ScenarioOptions,
    stages: Option<&Stages>,
    tell: &dyn Fn(&str),
    so_far: &mut dyn FnMut(&Results) -> Result<(), BenchError>,
) -> Result<Results, BenchError> {
    if options.rounds == 0 {
        return Err(BenchError::Invalid("no rounds: ask for at least one".into()));
    }
    job::read_mode(&options.read)?;
    options.drop_caches.as_ref().map_or(Ok(()), Switch::check)?;
    let used = data.used_with_content()?;
    let selected = |s: Scenario| options.scenarios.is_empty() || options.scenarios.contains(&s);
    let copies = Scenario::ALL.iter().any(|s| selected(*s) && s.change().is_some());
    // A copy has a file for each name.
    let bytes = edit::files(&data.path)?.iter().map(|(_, len)| len).sum();
    let target = options.target.clone().unwrap_or_else(|| work::default_target(&options.work, bytes));
    let needs = Needs { bytes, copy: copies, restore: selected(Scenario::Restore) };
    let work = Work::new(&options.work, &target, needs)?;
    let undo = Undo::new(work.folder.path().join("undo"))?;
    let mut run = Run { options, stages, tell, settled: Instant::now(), results: Results::default(), undo, work };
    run.results.data = used;
    run.notes(&target);
    let path = run.data(&data.path, copies)?;
    for round in 0..options.rounds {
        run.round(round, &path, &selected, so_far)?;
        run.undo.undo()?;
        run.settled = Instant::now();
    }
    Ok(run.results)
}

/// The roofline's kernels are measured before, so nothing of it is wrong, only farther away.
const COLD: &str = "The page cache is emptied before each scenario; the roofline is that of a warm one.";

struct Run<'a> {
    options: &'a ScenarioOptions,
    stages: Option<&'a Stages>,
    tell: &'a dyn Fn(&str),
    /// When the last file was changed.
    settled: Instant,
    results: Results,
    undo: Undo,
    work: Work,
}

impl Run<'_> {
    fn notes(&mut self, target: &Path) {
        let notes = &mut self.results.notes;
        notes.push(format!(
            "Each scenario is a process of its own, timed from opening the store on; each round has a fresh store in {}, \
             restores go to {}. {}",
            self.options.work.display(),
            target.display(),
            if self.options.drop_caches.is_some() { COLD } else { "The page cache is warm." }
        ));
        let data = &self.results.data;
        if data.holes > 0 {
            notes.push(format!(
                "{:.0} % of the data's bytes lie in holes, which are not read: content, roofline and CPU count the others, as the \
                 kernels do.",
                100.0 * data.holes as f64 / data.bytes as f64
            ));
        }
        notes.push("rm and maintenance are not measured: this version has neither.".into());
        notes.push(
            "The roofline of a backup leaves out the opening of the store, the encoding of the tree and the commit, which \
             weigh most where little is changed; that of a restore the making and writing of files; that of a check the listing \
             of objects, the building of an index and the decoding of trees, which is most of one without the data. Reads \
             are taken as from a warm page cache."
                .into(),
        );
    }

    /// The data that is backed up: a copy where it is to be changed.
    fn data(&mut self, path: &Path, copy: bool) -> Result<PathBuf, BenchError> {
        if !copy && self.options.drop_caches.is_some() {
            return Ok(path.into());
        }
        if !copy {
            (self.tell)("reading the data once");
            work::warm(path, &self.options.cancel)?;
            return Ok(path.into());
        }
        (self.tell)("copying the data");
        let start = Instant::now();
        let name = path.file_name().unwrap_or("data".as_ref());
        let folder = self.work.folder.path().join("data");
        fs::create_dir(&folder).map_err(BenchError::io("make", &folder))?;
        let to = folder.join(name);
        work::copy(path, &to, &self.options.cancel)?;
        self.settled = Instant::now();
        self.results.notes.push(format!(
            "A private copy of the data is backed up; making it took {:.1} s and is part of no figure. Every round \
             makes the same changes to it (seed {}) and undoes them.",
            start.elapsed().as_secs_f64(),
            self.options.seed
        ));
        Ok(to)
    }

    fn round(
        &mut self,
        round: usize,
        data: &Path,
        selected: &dyn Fn(Scenario) -> bool,
        so_far: &mut dyn FnMut(&Results) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        let folder = self.work.round()?;
        let mut job = self.job(&folder, data)?;
        let mut before: Vec<Outcome> = Vec::new();
        for scenario in Scenario::ALL {
            // A store is needed by all of them.
            if !selected(scenario) && scenario != Scenario::First {
                continue;
            }
            (self.tell)(&format!("round {} of {}: {}", round + 1, self.options.rounds, scenario.title()));
            self.change(scenario, data)?;
            job.task = scenario.task();
            job.target = self.work.target()?;
            if let Some(switch) = &self.options.drop_caches {
                switch.empty()?;
            }
            let mut outcome = self.options.runner.run(&job, &self.options.cancel)?;
            if let (false, Some(last)) = (scenario.is_backup(), before.last()) {
                (outcome.files, outcome.bytes) = (last.files, last.bytes);
            }
            if scenario == Scenario::Restore {
                work::empty(&job.target)?;
            }
            let bound = self.stages.map(|stages| bound(stages, scenario, &outcome, &before));
            if scenario.is_backup() {
                before.push(outcome.clone());
            }
            if selected(scenario) {
                self.keep(scenario, outcome, bound);
                so_far(&self.results)?;
            }
        }
        Ok(())
    }

    /// What all jobs of a round have in common, with a key of their own.
    fn job(&self, folder: &Path, data: &Path) -> Result<Job, BenchError> {
        let key = folder.join("key");
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&key);
        let written =
            file.and_then(|mut file| std::io::Write::write_all(&mut file, &crate::crypto::keys::random_bytes::<32>()));
        written.map_err(BenchError::io("write", &key))?;
        Ok(Job {
            task: Task::Backup,
            data: data.into(),
            store: folder.join("store"),
            key,
            home: folder.join("home"),
            target: PathBuf::new(),
            compression: self.options.compression.to_string(),
            read: self.options.read.clone(),
            threads: self.options.threads,
        })
    }

    /// Changes the data where the scenario wants it, and waits until files are old enough to be trusted.
    fn change(&mut self, scenario: Scenario, data: &Path) -> Result<(), BenchError> {
        if let Some(share) = scenario.change() {
            edit::edit(data, share, self.options.seed.wrapping_add(scenario as u64), &mut self.undo)?;
            self.settled = Instant::now();
        }
        while scenario.is_backup() && self.settled.elapsed() < SETTLE {
            if self.options.cancel.load(Relaxed) {
                return Err(BenchError::Interrupted);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn keep(&mut self, scenario: Scenario, outcome: Outcome, bound: Option<Bound>) {
        let measured = &mut self.results.measured;
        let at = measured.iter().position(|m| m.scenario == scenario).unwrap_or_else(|| {
            measured.push(Measured { scenario, outcomes: Vec::new(), bounds: Vec::new() });
            measured.len() - 1
        });
        measured[at].outcomes.push(outcome);
        measured[at].bounds.extend(bound);
    }
}

/// What the roofline allows a scenario; `before`: the backups that made the store.
fn bound(stages: &Stages, scenario: Scenario, outcome: &Outcome, before: &[Outcome]) -> Bound {
    let (stored, new) = (outcome.bytes_in as f64, before.iter().map(|backup| backup.bytes_novel).sum::<u64>());
    let units = match scenario {
        Scenario::Restore => {
            // What several files hold is opened once, as long as it is near.
            let opened = outcome.bytes.min(new) as f64;
            Units { fetched: stored, opened: stored, decompressed: opened, hashed: opened, ..Units::default() }
        }
        Scenario::Check => {
            Units { fetched: stored, opened: stored, looked_up: outcome.chunks as f64, ..Units::default() }
        }
        // All packs are hashed to their names, and all that is in them to its ids.
        Scenario::CheckReadData => Units {
            fetched: stored,
            opened: stored,
            decompressed: new as f64,
            hashed: stored + new as f64,
            looked_up: outcome.chunks as f64,
            ..Units::default()
        },
        _ => backup_units(stages, outcome),
    };
    stages.roofline.all_cores(&units)
}

fn backup_units(stages: &Stages, outcome: &Outcome) -> Units {
    let (shape, read) = (&stages.shape, outcome.bytes_read as f64);
    let of_read = |part: u64| read * part as f64 / shape.bytes.max(1) as f64;
    Units {
        entries: outcome.entries as f64,
        files: outcome.files_read as f64,
        read,
        scanned: of_read(shape.scanned),
        big: of_read(shape.big),
        hashed: of_read(shape.hashed),
        chunks: outcome.chunks as f64,
        new: outcome.bytes_novel as f64,
        sealed: outcome.data_stored as f64,
        ..Units::default()
    }
}

#[cfg(test)]
mod tests;
