//! Tier c, the whole: backups and restores of this build and another one, in interleaved rounds of whole processes.

use super::SLOWER;
use super::judge::Verdict;
use super::work::Work;
use crate::harness::BenchError;
use crate::harness::compare::{BASE, Plan, Samples, Step, Tool, Watch, find_base, rounds};
use crate::harness::data::DataSet;
use crate::harness::report::{Better, Cell, Column, Plot, Row, Section, Unit};
use crate::harness::stats::{measured, ratio_of_medians};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How often the gate's own work is written, for a run long enough to be timed.
const COPIES: usize = 6;
/// With fewer, the interval's ends are single rounds.
const ROUNDS_MIN: usize = 5;
const TIMEOUT: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone)]
pub struct Pair {
    pub ours: PathBuf,
    /// The one it must not be slower than.
    pub base: PathBuf,
    /// What to back up; `None`: seeded files.
    pub data: Option<DataSet>,
    pub rounds: usize,
    /// Where restores go.
    pub target: PathBuf,
}

impl Pair {
    /// Refuses what could only be judged by chance, and a base that is not here, before anything is measured.
    pub fn check(&self) -> Result<(), BenchError> {
        if self.rounds < ROUNDS_MIN {
            return Err(BenchError::Invalid(format!(
                "--rounds {}: of fewer than {ROUNDS_MIN} rounds the interval's ends are single rounds, and chance would pass \
                 or fail a build: ask for at least {ROUNDS_MIN}",
                self.rounds
            )));
        }
        find_base(&self.base).map(drop)
    }
}

/// Measures, and says whether the intervals' lower ends are within. `so_far` gets the figures, without that, after every
/// round.
pub fn take(
    pair: &Pair,
    work: &Path,
    cancel: &Arc<AtomicBool>,
    progress: &mut dyn FnMut(&str),
    so_far: &mut dyn FnMut(Section),
) -> Result<(Section, Verdict), BenchError> {
    let own = tempfile::Builder::new().prefix("larder-gate-").tempdir_in(work);
    let own = own.map_err(BenchError::io("make a folder in", work))?;
    let data = match &pair.data {
        Some(data) => data.clone(),
        None => {
            let path = own.path().join("data");
            Work::new().write(&path, COPIES)?;
            DataSet { name: "the gate's own files".into(), path, second: None }
        }
    };
    let plan = Plan {
        tools: vec![Tool::built_in("larder")?.find(Some(&pair.ours))?, find_base(&pair.base)?],
        data,
        steps: vec![Step::First, Step::Unchanged, Step::Restore],
        rounds: pair.rounds,
        work: own.path().into(),
        target: pair.target.clone(),
        drop_caches: None,
        timeout: TIMEOUT,
        cancel: cancel.clone(),
    };
    // One round that does not count: what is cold in it, a program or a folder, would be held against one build.
    progress("warming up: a round that does not count");
    measure(&Plan { rounds: 1, ..plan.clone() }, &mut Said { progress: &mut |_| {}, round: &mut |_| {} })?;
    let used = plan.data.used()?;
    let mut round = |samples: &Samples| {
        if let Some(section) = unjudged(samples, &plan.steps, plan.rounds) {
            so_far(Section { data: Some(used.clone()), ..section });
        }
    };
    let samples = measure(&plan, &mut Said { progress, round: &mut round })?;
    let (section, verdict) = judge(&samples, &plan.steps)?;
    Ok((Section { data: Some(used), ..section }, verdict))
}

fn measure(plan: &Plan, watch: &mut Said<'_>) -> Result<Samples, BenchError> {
    let mut samples = Samples::default();
    rounds::run(plan, &mut samples, watch)?;
    if !samples.failed.is_empty() || !samples.lost.is_empty() {
        return Err(BenchError::NotMeasured(samples.warnings.join("; ")));
    }
    Ok(samples)
}

fn judge(samples: &Samples, steps: &[Step]) -> Result<(Section, Verdict), BenchError> {
    let (mut rows, mut worst) = (Vec::new(), Verdict::Within);
    for &step in steps {
        let pairs = samples.pairs("larder", BASE, step, |sample| sample.usage.wall);
        let ratio = ratio_of_medians(&pairs);
        let Cell::Measured { value, low, high, .. } = ratio else {
            return Err(BenchError::NotMeasured(format!("{}: no round has both builds", step.id())));
        };
        let slower = low > 1.0 + SLOWER || !low.is_finite();
        worst = worst.max(if slower { Verdict::Slower } else { Verdict::Within });
        let percent = |ratio: f64| format!("{:+.1}", (ratio - 1.0) * 100.0);
        let word = if slower { "SLOWER " } else { "" };
        let says = format!("{word}{} % ({} to {})", percent(value), percent(low), percent(high));
        let (ours, theirs): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        rows.push(Row {
            label: step.id().into(),
            cells: vec![measured(&theirs), measured(&ours), ratio, Cell::Text(says)],
        });
    }
    let section = Section {
        id: "pipeline".into(),
        title: "Whole runs against the base build".into(),
        columns: vec![
            Column::new("base", "base", Unit::Seconds, Better::Lower),
            Column::new("now", "now", Unit::Seconds, Better::Lower),
            Column::new("ratio", "× base", Unit::Ratio, Better::Lower),
            Column::new("verdict", "verdict", Unit::Text, Better::Neither),
        ],
        rows,
        plots: vec![Plot::Bars { title: "time, × base".into(), column: "ratio".into(), limit: None, line: Some(1.0) }],
        notes: vec![format!(
            "{} interleaved rounds after one that does not count; fails where the interval's lower end is above +5 %",
            samples.rounds
        )],
        ..Section::default()
    };
    Ok((section, worst))
}

/// The figures of the rounds so far; nothing while a build has none.
fn unjudged(samples: &Samples, steps: &[Step], rounds: usize) -> Option<Section> {
    let (mut section, _) = judge(samples, steps).ok()?;
    for verdict in section.rows.iter_mut().filter_map(|row| row.cells.last_mut()) {
        *verdict = Cell::Text("not judged".into());
    }
    section.notes = vec![format!("{} of {rounds} interleaved rounds: only all of them are judged", samples.rounds)];
    Some(section)
}

struct Said<'a> {
    progress: &'a mut dyn FnMut(&str),
    round: &'a mut dyn FnMut(&Samples),
}

impl Watch for Said<'_> {
    fn progress(&mut self, line: &str) {
        (self.progress)(line);
    }

    fn round(&mut self, samples: &Samples) {
        (self.round)(samples);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::compare::process::Usage;
    use crate::harness::compare::rounds::Sample;

    fn samples(slowdown: f64) -> Samples {
        let mut samples = Samples { rounds: 15, ..Samples::default() };
        for (label, factor) in [("larder", slowdown), (BASE, 1.0)] {
            let one = |round: usize| {
                // A disturbance that both builds of a round see, and a little of each one's own.
                let noise = 1.0 + (round * 7 % 5) as f64 / 10.0 + (round * label.len() % 3) as f64 / 200.0;
                Sample { round, usage: Usage { wall: factor * noise, cpu: 0.0, peak: 0 }, stored: 0 }
            };
            samples.taken.insert((label.into(), Step::First), (0..15).map(one).collect());
        }
        samples
    }

    #[test]
    fn only_what_is_surely_slower_fails() {
        for (slowdown, expected) in
            [(1.0, Verdict::Within), (1.03, Verdict::Within), (1.15, Verdict::Slower), (0.8, Verdict::Within)]
        {
            let (section, verdict) = judge(&samples(slowdown), &[Step::First]).unwrap();
            assert_eq!(verdict, expected, "{slowdown}: {:?}", section.rows[0].cells[3]);
        }
        assert!(matches!(judge(&samples(1.0), &[Step::Restore]), Err(BenchError::NotMeasured(_))));
    }

    #[test]
    fn figures_of_some_rounds_have_no_verdict() {
        let (says, rounds) = (|section: &Section| section.rows[0].cells[3].clone(), 40);
        let section = unjudged(&samples(1.15), &[Step::First], rounds).unwrap();
        assert_eq!(says(&section), Cell::Text("not judged".into()));
        assert!(section.notes[0].starts_with("15 of 40 interleaved rounds"), "{:?}", section.notes);
        assert!(unjudged(&samples(1.0), &[Step::Restore], rounds).is_none());
    }
}
