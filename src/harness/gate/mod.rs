//! Pass or fail against a baseline.
//!
//! | tier | what | may differ by |
//! |---|---|---|
//! | a | cut points, chunks, bytes stored, storage requests, file system calls | nothing |
//! | a | allocations; peak memory | 1 %; 2 % |
//! | b | instructions of the kernels | 1 % |
//! | c | time of kernels against reference kernels, and of the whole against another build | the interval's lower end above 5 % |
//!
//! What is measured and what the baseline has must be the same set of names: what is missing on either side fails, and a
//! tier that gives nothing was not measured.

pub mod allocations;
pub mod baseline;
pub mod child;
pub mod counters;
pub mod criterion;
pub mod instructions;
pub mod judge;
pub mod kernels;
pub mod pipeline;
pub mod syscalls;
pub mod work;
#[cfg(test)]
mod tests;

pub use baseline::Baseline;
pub use judge::Verdict;

use self::baseline::{Change, Taken, Value, Values, values_of};
use self::child::Child;
use self::instructions::Instructions;
use self::judge::{Finding, Limit, compare, section};
use self::kernels::KERNELS;
use super::BenchError;
use super::machine::Machine;
use super::report::{Cell, Report, Section};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const ALLOCATIONS: f64 = 0.01;
const PEAK: f64 = 0.02;
const INSTRUCTIONS: f64 = 0.01;
/// Beyond this the lower end of an interval fails.
pub const SLOWER: f64 = 0.05;

const NOT_WRITTEN: &str = "the baseline was NOT written, as not all could be measured";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the table above says what they are")]
pub enum Tier {
    A,
    B,
    C,
}

impl std::str::FromStr for Tier {
    type Err = String;

    fn from_str(word: &str) -> Result<Tier, String> {
        match word {
            "a" => Ok(Tier::A),
            "b" => Ok(Tier::B),
            "c" => Ok(Tier::C),
            _ => Err(format!("`{word}` is no tier; there are a (counters), b (instructions), c (wall time)")),
        }
    }
}

impl Tier {
    fn letter(self) -> char {
        match self {
            Tier::A => 'a',
            Tier::B => 'b',
            Tier::C => 'c',
        }
    }
}

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    pub baseline: PathBuf,
    /// What is measured.
    pub tiers: BTreeSet<Tier>,
    /// Leave file system calls out of tier a.
    pub without_syscalls: bool,
    /// Pass over what the baseline has from other machines only.
    pub skip_elsewhere: bool,
    /// Write the baseline instead of comparing with it: the reason.
    pub update: Option<String>,
    pub criterion: Option<PathBuf>,
    /// Another build, and what the pipeline is measured on.
    pub pipeline: Option<pipeline::Pair>,
    /// How children are started.
    pub child: Child,
    /// Where files are made.
    pub work: PathBuf,
    /// Ends everything early.
    pub cancel: Arc<AtomicBool>,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// For people and programs.
    pub report: Report,
    /// The worst of all.
    pub verdict: Verdict,
    /// What each tier compared and passed over, a sentence each.
    pub tiers: Vec<String>,
    /// Something was left out or passed over: what is within is so only as far as it was compared.
    pub in_part: bool,
}

/// Hears what there is so far.
pub type SoFar<'a> = dyn FnMut(&Report) -> Result<(), BenchError> + 'a;

/// Measures, and compares or updates. `so_far` gets the report after every part, of what was compared until then. An error:
/// there is no verdict, and the baseline is as it was.
pub fn run(
    plan: &Plan,
    command: &[String],
    progress: &mut dyn FnMut(&str),
    so_far: &mut SoFar<'_>,
) -> Result<Outcome, BenchError> {
    let baseline = checked(plan)?;
    let folder = tempfile::Builder::new().prefix("larder-gate-").tempdir_in(&plan.work);
    let folder = folder.map_err(BenchError::io("make a folder in", &plan.work))?;
    let mut gate = Gate::new(plan, baseline, Report::new("gate", command), so_far);
    let mut done = 0;
    for tier in &plan.tiers {
        gate.go_on()?;
        gate.tried.push(Tried { tier: *tier, compared: vec![], passed_over: vec![] });
        done += match tier {
            Tier::A => gate.counters(folder.path(), progress)?,
            Tier::B => gate.instructions(folder.path(), progress)?,
            Tier::C => gate.times(progress)?,
        };
    }
    if done == 0 {
        gate.unmeasured("nothing was compared: an empty result is no pass".into());
    }
    // Whoever stopped it does not expect a new baseline.
    gate.go_on()?;
    gate.finish()
}

/// Refuses what cannot be done before anything is measured; gives the baseline.
fn checked(plan: &Plan) -> Result<Baseline, BenchError> {
    if plan.update.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
        return Err(BenchError::Invalid("--update needs a reason: why the new values are right".into()));
    }
    if plan.tiers.contains(&Tier::C) && plan.criterion.is_none() && plan.pipeline.is_none() {
        let what = "tier c needs --criterion DIR (what `cargo bench --bench gate` left) or --base BINARY, or both";
        return Err(BenchError::Invalid(what.into()));
    }
    if let Some(pair) = &plan.pipeline {
        pair.check()?;
    }
    match (Baseline::read(&plan.baseline)?, &plan.update) {
        (Some(baseline), _) => Ok(baseline),
        (None, Some(_)) => Ok(Baseline::default()),
        (None, None) => {
            let what = "there is no baseline at";
            let hint = "make it with --update 'why it is right', or name another with --baseline";
            Err(BenchError::Missing(format!("{what} {}: {hint}", plan.baseline.display())))
        }
    }
}

struct Gate<'a> {
    plan: &'a Plan,
    baseline: Baseline,
    report: Report,
    verdict: Verdict,
    updated: Vec<String>,
    /// One a tier so far.
    tried: Vec<Tried>,
    so_far: &'a mut SoFar<'a>,
}

/// What became of the parts of a tier.
#[derive(Debug)]
struct Tried {
    tier: Tier,
    compared: Vec<String>,
    passed_over: Vec<String>,
}

impl Tried {
    fn says(&self) -> String {
        let tier = self.tier.letter();
        let compared = match self.compared.as_slice() {
            [] => "nothing was compared".into(),
            parts => format!("compared: {}", parts.join(", ")),
        };
        match self.passed_over.as_slice() {
            [] => format!("tier {tier}: {compared}"),
            parts => format!("tier {tier}: {compared}; passed over: {}", parts.join(", ")),
        }
    }
}

/// A part of the baseline that depends on where it was taken.
type Part = fn(&mut Baseline) -> &mut Vec<Taken>;

impl<'a> Gate<'a> {
    fn new(plan: &'a Plan, baseline: Baseline, report: Report, so_far: &'a mut SoFar<'a>) -> Gate<'a> {
        Gate { plan, baseline, report, verdict: Verdict::Within, updated: vec![], tried: vec![], so_far }
    }

    fn go_on(&self) -> Result<(), BenchError> {
        if self.plan.cancel.load(Relaxed) { Err(BenchError::Interrupted) } else { Ok(()) }
    }

    /// A part is done. Whoever stops the gate from here on has this, and how far it reaches.
    fn keep(&mut self) -> Result<(), BenchError> {
        self.keep_with(None)
    }

    /// The same with a part that is not done yet.
    fn keep_with(&mut self, part: Option<Section>) -> Result<(), BenchError> {
        let mut report = self.report.clone();
        let not_done = part.as_ref().map_or_else(String::new, |part| format!("; not done: {}", part.title));
        report.sections.extend(part);
        let left = self.plan.tiers.iter().filter(|tier| self.tried.iter().all(|tried| tried.tier != **tier));
        let left = left.map(|tier| format!("tier {}: not begun", tier.letter()));
        let mut tiers: Vec<String> = self.tried.iter().map(Tried::says).collect();
        tiers.last_mut().into_iter().for_each(|last| last.push_str(&not_done));
        tiers.extend(left);
        report.warnings.push(format!("what there is so far is no verdict: {}", tiers.join("; ")));
        if self.plan.update.is_some() {
            report.warnings.push(NOT_WRITTEN.into());
        }
        (self.so_far)(&report)
    }

    fn compared(&mut self, title: &str, values: usize) {
        if let Some(tried) = self.tried.last_mut() {
            tried.compared.push(format!("{title} ({values})"));
        }
    }

    fn passed_over(&mut self, title: &str) {
        if let Some(tried) = self.tried.last_mut() {
            tried.passed_over.push(title.into());
        }
    }

    fn unmeasured(&mut self, why: String) {
        self.report.warnings.push(why);
        self.verdict = self.verdict.max(Verdict::NotMeasured);
    }

    /// What one part gave. An interruption ends all; anything else is this part's alone.
    fn taken<T>(&mut self, result: Result<T, BenchError>) -> Result<Option<T>, BenchError> {
        match result {
            Ok(taken) => Ok(Some(taken)),
            Err(BenchError::Interrupted) => Err(BenchError::Interrupted),
            // What was ended in the middle fails in its own words.
            Err(_) if self.plan.cancel.load(Relaxed) => Err(BenchError::Interrupted),
            Err(error) => {
                self.unmeasured(chain(&error));
                Ok(None)
            }
        }
    }

    fn findings(&mut self, (id, title): (&str, &str), findings: &[Finding], notes: Vec<String>) -> usize {
        let worst = findings.iter().map(|finding| finding.verdict).max().unwrap_or_default();
        self.verdict = self.verdict.max(worst);
        self.report.sections.push(section(id, title, findings, notes));
        self.compared(title, findings.len());
        findings.len()
    }

    /// Compares or updates a part that depends on `on`; gives how many values took part.
    fn part(
        &mut self,
        (id, title): (&str, &str),
        part: Part,
        on: String,
        values: Values,
        limit: fn(&str) -> Limit,
    ) -> usize {
        if values.is_empty() {
            self.unmeasured(format!("{title}: nothing was measured"));
            return 0;
        }
        let notes = vec![format!("on {on}")];
        if self.plan.update.is_some() {
            Baseline::put(part(&mut self.baseline), Taken { on, values: values.clone() });
            self.updated.push(id.into());
            let findings = compare(&values, &values, limit);
            return self.findings((id, title), &findings, notes);
        }
        match values_of(part(&mut self.baseline), title, &on) {
            Ok(was) => {
                let findings = compare(was, &values, limit);
                self.findings((id, title), &findings, notes)
            }
            Err(error) if self.plan.skip_elsewhere => {
                self.report.warnings.push(format!("PASSED OVER: {error}"));
                self.passed_over(title);
                0
            }
            Err(error) => {
                self.unmeasured(error.to_string());
                0
            }
        }
    }

    fn counters(&mut self, folder: &Path, progress: &mut dyn FnMut(&str)) -> Result<usize, BenchError> {
        progress("counting chunks, bytes, requests and allocations");
        let place = folder.join("counters");
        std::fs::create_dir(&place).map_err(BenchError::io("make", &place))?;
        let taken = counters::take(&work::Work::new(), &place, &self.plan.cancel);
        let mut done = 0;
        if let Some(counted) = self.taken(taken)? {
            let names = ("counters", "Counters");
            if self.plan.update.is_some() {
                self.baseline.counters = counted.exact.clone();
                self.updated.push(names.0.into());
            }
            let findings = compare(&self.baseline.counters, &counted.exact, |_| Limit::Exact);
            done += self.findings(names, &findings, vec![]);
            let on = format!("{}, {} cores", toolchain(), cores());
            let limit = |name: &str| Limit::Counter(if name.ends_with("peak bytes") { PEAK } else { ALLOCATIONS });
            done += self.part(("memory", "Allocations and peak memory"), |b| &mut b.memory, on, counted.memory, limit);
            self.keep()?;
        }
        if self.plan.without_syscalls {
            self.passed_over("File system calls");
        } else {
            progress("counting file system calls");
            let taken = syscalls::take(&self.plan.child, folder, &self.plan.cancel);
            if let Some(values) = self.taken(taken)? {
                let on = format!("{}, {}", std::env::consts::ARCH, file_system(folder));
                done += self.part(("syscalls", "File system calls"), |b| &mut b.syscalls, on, values, |_| Limit::Exact);
                self.keep()?;
            }
        }
        Ok(done)
    }

    fn instructions(&mut self, folder: &Path, progress: &mut dyn FnMut(&str)) -> Result<usize, BenchError> {
        let (plan, toolchain, names) = (self.plan, toolchain(), ("instructions", "Instructions of kernels"));
        let limit = |_: &str| Limit::Cost(INSTRUCTIONS);
        // As with the rounds of tier c: what cannot be kept here is an error when all are counted.
        let mut kernel = |so_far: &Instructions| {
            let on = format!("{toolchain}, {}", so_far.on);
            let was = match &plan.update {
                Some(_) => Ok(&so_far.values),
                None => values_of(&self.baseline.instructions, names.1, &on),
            };
            let Ok(was) = was else { return };
            let mut findings = compare(was, &so_far.values, limit);
            // The others are still to come.
            findings.retain(|finding| finding.is.is_some());
            let notes = vec![format!("on {on}"), format!("{} of {} kernels", findings.len(), KERNELS.len())];
            _ = self.keep_with(Some(section(names.0, names.1, &findings, notes)));
        };
        let taken = instructions::take(&plan.child, folder, &plan.cancel, progress, &mut kernel);
        let Some(taken) = self.taken(taken)? else { return Ok(0) };
        let on = format!("{toolchain}, {}", taken.on);
        let done = self.part(names, |b| &mut b.instructions, on, taken.values, limit);
        self.keep()?;
        Ok(done)
    }

    fn times(&mut self, progress: &mut dyn FnMut(&str)) -> Result<usize, BenchError> {
        let mut done = 0;
        if let Some(folder) = &self.plan.criterion {
            let taken = criterion::read(folder, &self.plan.child.program);
            if let Some(ratios) = self.taken(taken)? {
                let on = format!("{}, path {}, {}", Machine::here().cpu, kernels::cpu_path(), toolchain());
                done += self.ratios(on, &ratios);
                self.keep()?;
            }
        }
        let plan = self.plan;
        if let Some(pair) = &plan.pipeline {
            // What cannot be kept here cannot be kept when all rounds are done either, and is an error then.
            let mut round = |so_far| _ = self.keep_with(Some(so_far));
            let taken = pipeline::take(pair, &plan.work, &plan.cancel, progress, &mut round);
            if let Some((section, verdict)) = self.taken(taken)? {
                done += section.rows.len();
                self.compared(&section.title, section.rows.len());
                self.verdict = self.verdict.max(verdict);
                self.report.sections.push(section);
                self.keep()?;
            }
        }
        Ok(done)
    }

    /// Kernels: the interval's lower end against the baseline's ratio.
    fn ratios(&mut self, on: String, ratios: &std::collections::BTreeMap<String, Cell>) -> usize {
        let names = ("ratios", "Time of kernels, relative to their references");
        let value = |cell: &Cell| Value::Ratio(cell.number().unwrap_or(f64::NAN));
        let values: Values = ratios.iter().map(|(name, cell)| (name.clone(), value(cell))).collect();
        let before = self.report.sections.len();
        let verdict = self.verdict;
        let done = self.part(names, |b| &mut b.ratios, on, values, |_| Limit::Counter(f64::INFINITY));
        let Some(section) = self.report.sections.get_mut(before) else { return done };
        self.verdict = verdict.max(judge_intervals(section, ratios));
        done
    }

    fn finish(mut self) -> Result<Outcome, BenchError> {
        if cfg!(debug_assertions) {
            self.report
                .warnings
                .push("this is a debug build: build with --release for values that mean something".into());
        }
        if let Some(reason) = &self.plan.update {
            if self.verdict >= Verdict::NotMeasured {
                self.report.warnings.push(NOT_WRITTEN.into());
                return Ok(self.outcome());
            }
            self.baseline.history.push(Change {
                date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
                reason: reason.clone(),
                parts: self.updated.clone(),
                program: self.report.program.clone(),
            });
            self.baseline.write(&self.plan.baseline)?;
        }
        Ok(self.outcome())
    }

    fn outcome(self) -> Outcome {
        let tiers = self.tried.iter().map(Tried::says).collect();
        let in_part = self.tried.iter().any(|tried| tried.compared.is_empty() || !tried.passed_over.is_empty());
        Outcome { report: self.report, verdict: self.verdict, tiers, in_part }
    }
}

/// Rewrites the verdicts of a section of ratios by their intervals.
fn judge_intervals(section: &mut Section, ratios: &std::collections::BTreeMap<String, Cell>) -> Verdict {
    let mut worst = Verdict::Within;
    for row in &mut section.rows {
        let [was, is, says] = row.cells.as_mut_slice() else { continue };
        let Some(cell @ Cell::Measured { value, low, high, .. }) = ratios.get(&row.label) else {
            worst = worst.max(Verdict::Changed);
            continue;
        };
        *is = cell.clone();
        let Some(was) = was.number() else {
            worst = worst.max(Verdict::Changed);
            continue;
        };
        let (low, high, middle) = (low / was - 1.0, high / was - 1.0, value / was - 1.0);
        let slower = low > SLOWER || !low.is_finite();
        worst = worst.max(if slower { Verdict::Slower } else { Verdict::Within });
        let word = if slower { "SLOWER " } else { "" };
        let percent = |share: f64| format!("{:+.1}", share * 100.0);
        *says = Cell::Text(format!("{word}{} % ({} to {})", percent(middle), percent(low), percent(high)));
    }
    worst
}

fn chain(error: &BenchError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// `x86_64, rustc version 1.95.0`: the compiler leaves its version in what it links.
fn toolchain() -> String {
    let arch = std::env::consts::ARCH;
    let build = if cfg!(debug_assertions) { ", debug" } else { "" };
    let compiler = std::env::current_exe().and_then(std::fs::read).ok().and_then(|program| compiler(&program));
    format!("{arch}, {}{build}", compiler.unwrap_or_else(|| "an unknown compiler".into()))
}

fn compiler(program: &[u8]) -> Option<String> {
    // Put together here, so that this constant is not what is found.
    let mark = [b"rustc ".as_slice(), b"version "].concat();
    let found = program.windows(mark.len()).enumerate().filter(|(_, window)| *window == mark);
    let version =
        found.map(|(at, _)| &program[at + mark.len()..]).find(|rest| rest.first().is_some_and(u8::is_ascii_digit))?;
    let end = version.iter().position(|byte| !(byte.is_ascii_alphanumeric() || b".-".contains(byte)))?;
    Some(format!("rustc {}", String::from_utf8_lossy(&version[..end])))
}

/// The kind of file system: calls differ with what it can do.
fn file_system(folder: &Path) -> String {
    match rustix::fs::statfs(folder).map(|stat| stat.f_type as u64) {
        Ok(0xef53) => "ext4".into(),
        Ok(0x0102_1994) => "tmpfs".into(),
        Ok(0x5846_5342) => "xfs".into(),
        Ok(0x9123_683e) => "btrfs".into(),
        Ok(0x794c_7630) => "overlayfs".into(),
        Ok(other) => format!("file system {other:#x}"),
        Err(_) => "an unknown file system".into(),
    }
}
