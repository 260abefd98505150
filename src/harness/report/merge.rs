//! Several saved reports as one: the newest of each kind, their tables one after another; older ones are history.

use super::Report;

/// The report of them all and what came before, oldest first. None of none.
pub fn newest(mut reports: Vec<Report>) -> Option<(Report, Vec<Report>)> {
    reports.sort_by(|a, b| a.started.cmp(&b.started));
    let mut latest: Vec<Report> = vec![];
    let mut history = vec![];
    for report in reports {
        match latest.iter_mut().find(|known| known.kind == report.kind) {
            Some(known) => history.push(std::mem::replace(known, report)),
            None => latest.push(report),
        }
    }
    history.sort_by(|a, b| a.started.cmp(&b.started));
    let mut rest = latest.into_iter();
    let mut whole = rest.next()?;
    rest.for_each(|next| append(&mut whole, next));
    Some((whole, history))
}

fn append(whole: &mut Report, next: Report) {
    if next.machine.fingerprint() != whole.machine.fingerprint() {
        whole.warnings.push(format!(
            "{} ran on another machine ({}): its numbers cannot be compared with the others",
            next.kind,
            next.machine.fingerprint()
        ));
    }
    if next.program != whole.program {
        whole
            .warnings
            .push(format!("{} was measured with {}, {} with {}", next.kind, next.program, whole.kind, whole.program));
    }
    whole.kind = format!("{}+{}", whole.kind, next.kind);
    whole.command = vec![];
    whole.started = next.started.max(std::mem::take(&mut whole.started));
    whole.sections.extend(next.sections);
    for warning in next.warnings {
        if !whole.warnings.contains(&warning) {
            whole.warnings.push(warning);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::report::Section;

    fn report(kind: &str, started: &str) -> Report {
        let mut report = Report::new(kind, &[kind.into()]);
        report.started = started.into();
        report.sections = vec![Section { id: format!("{kind} of {started}"), ..Section::default() }];
        report.warnings = vec!["load".into()];
        report
    }

    #[test]
    fn kinds_are_joined_and_older_runs_are_history() {
        let reports = vec![report("stages", "2"), report("chunking", "3"), report("stages", "1")];
        let (whole, history) = newest(reports).unwrap();
        assert_eq!((whole.kind.as_str(), whole.started.as_str()), ("stages+chunking", "3"));
        let ids: Vec<_> = whole.sections.iter().map(|section| section.id.as_str()).collect();
        assert_eq!(ids, ["stages of 2", "chunking of 3"]);
        assert_eq!(whole.warnings, ["load"]);
        assert_eq!(history.iter().map(|r| r.started.as_str()).collect::<Vec<_>>(), ["1"]);
        assert!(newest(vec![]).is_none());
    }

    #[test]
    fn another_machine_is_said() {
        let mut other = report("chunking", "3");
        other.machine.cpu = "Other".into();
        let (whole, _) = newest(vec![report("stages", "2"), other]).unwrap();
        assert!(whole.warnings.iter().any(|w| w.contains("chunking ran on another machine (Other")), "{whole:?}");
    }
}
