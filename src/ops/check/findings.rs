//! Gathers what a check finds.

use super::{Affected, CheckReport, Finding, Severity, Subject};
use crate::base::id::ObjectId;
use crate::base::limits::SOURCE_ERRORS_MAX;
use crate::crypto::CryptoError;
use crate::format::error::DecodeError;
use crate::monitor::{Counter, Monitor, Problem};
use crate::object::ObjectError;
use crate::storage::StorageError;
use crate::store::StoreError;
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeSet;
use std::fmt::Display;

pub(in crate::ops) use crate::store::index_damage::ATTEMPTS;

/// Why something could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ops) enum Flaw {
    /// It is wrong, or not there.
    Damaged(String),
    /// The storage failed: nothing is known of it.
    Unreadable(String),
}

impl Flaw {
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Flaw::Unreadable(_))
    }
}

impl Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Flaw::Damaged(what) => f.write_str(what),
            Flaw::Unreadable(what) => write!(f, "could not be read: {what}"),
        }
    }
}

impl From<ObjectError> for Flaw {
    fn from(error: ObjectError) -> Flaw {
        if error.is_unreadable() { Flaw::Unreadable(error.to_string()) } else { Flaw::Damaged(error.to_string()) }
    }
}

impl From<StorageError> for Flaw {
    fn from(error: StorageError) -> Flaw {
        ObjectError::Storage(error).into()
    }
}

impl From<StoreError> for Flaw {
    fn from(error: StoreError) -> Flaw {
        if error.is_unreadable() { Flaw::Unreadable(error.to_string()) } else { Flaw::Damaged(error.to_string()) }
    }
}

impl From<String> for Flaw {
    fn from(what: String) -> Flaw {
        Flaw::Damaged(what)
    }
}

impl From<&str> for Flaw {
    fn from(what: &str) -> Flaw {
        Flaw::Damaged(what.into())
    }
}

impl From<DecodeError> for Flaw {
    fn from(error: DecodeError) -> Flaw {
        Flaw::Damaged(error.to_string())
    }
}

impl From<CryptoError> for Flaw {
    fn from(error: CryptoError) -> Flaw {
        Flaw::Damaged(error.to_string())
    }
}

/// Whether every snapshot is known, and with them all that is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(in crate::ops) enum Sight {
    #[default]
    Clear,
    /// Some could not be read: what they need is known once they can be.
    Unread,
    /// Some are lost: what they needed is not known any more.
    Lost,
}

impl Sight {
    /// What a finding does to it.
    fn after(severity: Severity, subject: &Subject) -> Sight {
        use crate::storage::StorageKey::{Decision, Outcome, Snapshot, State};
        let hides = matches!(
            subject,
            Subject::Snapshot(_) | Subject::Object(Snapshot(_) | Outcome(_) | State(_) | Decision(_))
        );
        match severity {
            Severity::Damage if hides => Sight::Lost,
            Severity::Unreadable if hides => Sight::Unread,
            _ => Sight::Clear,
        }
    }
}

/// Findings so far, from any thread.
pub(in crate::ops) struct Findings<'a> {
    monitor: &'a dyn Monitor,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    findings: Vec<Finding>,
    counts: [u64; 4],
    sight: Sight,
    affected: Vec<Affected>,
    affected_count: u64,
    snapshots: BTreeSet<ObjectId>,
}

impl<'a> Findings<'a> {
    pub fn new(monitor: &'a dyn Monitor) -> Findings<'a> {
        Findings { monitor, inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    pub fn add(&self, severity: Severity, subject: Subject, message: impl Into<String>) {
        let message = message.into();
        if severity > Severity::Notice {
            self.monitor.add(Counter::Problems, 1);
            self.monitor.problem(&Problem { path: subject.name().into_bytes(), message: message.clone() });
        }
        let inner = &mut *self.lock();
        inner.counts[severity as usize] += 1;
        inner.sight = inner.sight.max(Sight::after(severity, &subject));
        if inner.findings.len() < SOURCE_ERRORS_MAX {
            inner.findings.push(Finding { severity, subject, message });
        }
    }

    /// Whether damage was found so far.
    pub fn any_damage(&self) -> bool {
        self.lock().counts[Severity::Damage as usize] > 0
    }

    /// Whether what was found so far hides what snapshots need.
    pub fn sight(&self) -> Sight {
        self.lock().sight
    }

    /// Reads something, again if that fails: what succeeds later was a read error, what never does is damage, or could
    /// not be read.
    pub fn read<T, E: Into<Flaw>>(&self, subject: &Subject, read: impl FnMut() -> Result<T, E>) -> Option<T> {
        self.attempt(subject, read).ok()
    }

    /// The same, with the reason.
    pub fn attempt<T, E: Into<Flaw>>(
        &self,
        subject: &Subject,
        mut read: impl FnMut() -> Result<T, E>,
    ) -> Result<T, Flaw> {
        let mut kept: Option<Flaw> = None;
        for _ in 0..ATTEMPTS {
            match read() {
                Ok(value) => {
                    if let Some(flaw) = kept {
                        let message = format!("could only be read right at a second try: {flaw}");
                        self.add(Severity::ReadErrorOnce, subject.clone(), message);
                    }
                    return Ok(value);
                }
                // What was read once and was wrong is damage, though another time it could not be read.
                Err(error) => {
                    let flaw = error.into();
                    if kept.as_ref().is_none_or(|kept| kept.is_unreadable() && !flaw.is_unreadable()) {
                        kept = Some(flaw);
                    }
                }
            }
        }
        let flaw = kept.unwrap_or(Flaw::Damaged(String::new()));
        self.flaw(subject.clone(), &flaw);
        Err(flaw)
    }

    /// Something is damaged, or could not be read.
    pub fn flaw(&self, subject: Subject, flaw: &Flaw) {
        let severity = if flaw.is_unreadable() { Severity::Unreadable } else { Severity::Damage };
        self.add(severity, subject, flaw.to_string());
    }

    /// A path that does not restore.
    pub fn affected(&self, affected: Affected) {
        let inner = &mut *self.lock();
        inner.affected_count += 1;
        inner.snapshots.insert(affected.snapshot);
        if inner.affected.len() < SOURCE_ERRORS_MAX {
            inner.affected.push(affected);
        }
    }

    /// A snapshot that cannot be restored at all.
    pub fn affected_snapshot(&self, snapshot: ObjectId) {
        self.lock().snapshots.insert(snapshot);
    }

    /// Snapshots that something is lost of so far.
    pub fn affected_snapshots(&self) -> BTreeSet<ObjectId> {
        self.lock().snapshots.clone()
    }

    /// Moves everything to the report.
    pub fn finish(self, report: &mut CheckReport) {
        let inner = self.inner.into_inner();
        report.findings = inner.findings;
        // Causes before what follows from them: one lost segment makes many contents unknown.
        report.findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), depth(&finding.subject)));
        report.counts = inner.counts;
        report.affected = inner.affected;
        report.affected_count = inner.affected_count;
        report.affected_snapshots = inner.snapshots.into_iter().collect();
    }
}

/// How far a subject is from what caused the trouble.
fn depth(subject: &Subject) -> u8 {
    match subject {
        Subject::Store => 0,
        Subject::Object(_) => 1,
        Subject::Snapshot(_) => 2,
        Subject::Blob(..) => 3,
        Subject::Content(..) => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Counters;

    #[test]
    fn what_reads_right_the_second_time_is_a_read_error_and_what_never_does_is_damage() {
        let counters = Counters::default();
        let findings = Findings::new(&counters);
        let mut left = 1;
        let mut flaky = || {
            if left == 0 {
                return Ok(7);
            }
            left -= 1;
            Err("flaky")
        };
        assert_eq!(findings.read(&Subject::Store, &mut flaky), Some(7));
        let mut tries = 0;
        let never = findings.read(&Subject::Store, || {
            tries += 1;
            Err::<(), _>("gone")
        });
        assert_eq!((never, tries), (None, ATTEMPTS));
        let refused = || StorageError::new("read", "x", std::io::ErrorKind::PermissionDenied.into());
        assert_eq!(findings.read(&Subject::Store, || Err::<(), _>(refused())), None);
        let mut report = CheckReport::default();
        findings.finish(&mut report);
        assert_eq!(report.counts, [0, 1, 1, 1]);
        assert!(report.is_damaged() && report.findings[0].severity == Severity::Damage);
        assert_eq!(report.findings[1].message, "could not be read: read x: permission denied");
        assert_eq!(counters.get(Counter::Problems), 3);
    }
}
