//! Which snapshot is the newest, and which ones somebody asks for.
//!
//! Of one signer the sequence numbers decide, never a time: that can be chosen, and clocks are wrong. Between signers there
//! is only the time. So that a clock which ran ahead once does not count for years, a snapshot is never taken for newer
//! than the next one of its signer; and a time that is still to come says nothing: such a snapshot counts as made when the
//! one before it of its signer was, and without one as the oldest of all. Sequence numbers of snapshots whose signature
//! does not fit count for nothing.

use super::snapshots::Snapshot;
use super::trust::Authenticity;
use crate::base::id::ObjectId;
use crate::base::time::Time;
use crate::format::snapshot::Manifest;
use std::collections::HashMap;

/// Clocks of two machines may differ by so much before a time is called one to come.
pub const AHEAD_S: i64 = 600;

/// What is said when nothing is of what is asked for.
pub const NONE_SELECTED: &str = "no snapshot matches --host, --path and --tag";

/// What somebody asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Select {
    /// Of one of these hosts; of any when there is none.
    pub hosts: Vec<String>,
    /// With all of these source paths.
    pub paths: Vec<Vec<u8>>,
    /// With all of these tags.
    pub tags: Vec<String>,
}

impl Select {
    /// Whether everything is asked for.
    pub fn is_all(&self) -> bool {
        *self == Select::default()
    }

    /// Whether a snapshot is asked for.
    pub fn selects(&self, snapshot: &Snapshot) -> bool {
        self.selects_manifest(&snapshot.manifest)
    }

    /// The same of what a snapshot says of itself.
    pub(super) fn selects_manifest(&self, manifest: &Manifest) -> bool {
        (self.hosts.is_empty() || self.hosts.contains(&manifest.host))
            && self.paths.iter().all(|path| manifest.paths.contains(path))
            && self.tags.iter().all(|tag| manifest.tags.contains(tag))
    }
}

/// What `latest` means.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Which snapshots come into question.
    pub select: Select,
    /// When no host is named: rather those of the machine of this name, and made by its key, if there are any.
    pub here: Option<String>,
}

impl Wanted {
    /// The candidates for `latest`: what is selected, and of that rather what this machine made. And those that lie beside
    /// them: they have this machine's name, and another key signed them.
    pub(super) fn candidates(&self, mut snapshots: Vec<Snapshot>, own: &[u8; 32]) -> (Vec<Snapshot>, Vec<Snapshot>) {
        snapshots.retain(|snapshot| self.select.selects(snapshot));
        let here = self.here.as_ref().filter(|_| self.select.hosts.is_empty());
        let Some(here) = here else { return (snapshots, Vec::new()) };
        let signed = |s: &Snapshot| s.signer == *own && is_signed(s);
        let named = |s: &Snapshot| s.manifest.host == *here;
        // Another machine may have the same name, and this one may have got another key.
        let (by_both, by_key, by_name) =
            (|s: &Snapshot| signed(s) && named(s), |s: &Snapshot| signed(s), |s: &Snapshot| named(s));
        let ways: [&dyn Fn(&Snapshot) -> bool; 3] = [&by_both, &by_key, &by_name];
        let Some(way) = ways.into_iter().find(|way| snapshots.iter().any(way)) else { return (snapshots, Vec::new()) };
        let (candidates, mut beside): (Vec<_>, Vec<_>) = snapshots.into_iter().partition(|snapshot| way(snapshot));
        beside.retain(|snapshot| named(snapshot) && !signed(snapshot));
        (candidates, beside)
    }
}

/// Whether a snapshot's time is one to come, by this machine's clock.
pub fn is_ahead(snapshot: &Snapshot, now: Time) -> bool {
    snapshot.manifest.time > now.plus_seconds(AHEAD_S)
}

/// Whether the signature fits, so that the sequence number is the signer's.
fn is_signed(snapshot: &Snapshot) -> bool {
    matches!(
        snapshot.authenticity,
        Authenticity::Authentic
            | Authenticity::PinnedNow
            | Authenticity::UnknownSigner
            | Authenticity::Incomplete { .. }
    )
}

/// The newest of `others` that is newer than `found`.
pub(super) fn newer(found: &Snapshot, others: &[Snapshot], now: Time) -> Option<Snapshot> {
    let mut all = others.to_vec();
    all.push(found.clone());
    sort(&mut all, now);
    all.pop().filter(|newest| newest.id != found.id)
}

/// What decides between snapshots of different signers; `None`: nothing is known of its time.
type Key = (bool, Option<Time>, u64, Time, ObjectId);

/// Sorts snapshots, the newest last. Those whose signature does not fit come before all others.
pub fn sort(snapshots: &mut [Snapshot], now: Time) {
    let mut of_signer: HashMap<[u8; 32], Vec<&Snapshot>> = HashMap::new();
    for snapshot in snapshots.iter().filter(|snapshot| is_signed(snapshot)) {
        of_signer.entry(snapshot.signer).or_default().push(snapshot);
    }
    let mut keys: HashMap<ObjectId, Key> = HashMap::new();
    for mut own in of_signer.into_values() {
        own.sort_by_key(|s| (s.manifest.sequence, s.manifest.time, s.id));
        // A time to come counts as that of the one before.
        let mut before = None;
        let mut times: Vec<Option<Time>> = Vec::with_capacity(own.len());
        for snapshot in &own {
            if !is_ahead(snapshot, now) {
                before = Some(snapshot.manifest.time);
            }
            times.push(before);
        }
        // None is newer than the next.
        for at in (1..times.len()).rev() {
            times[at - 1] = times[at - 1].min(times[at]);
        }
        for (snapshot, time) in own.into_iter().zip(times) {
            let manifest = &snapshot.manifest;
            keys.insert(snapshot.id, (true, time, manifest.sequence, manifest.time, snapshot.id));
        }
    }
    snapshots.sort_by_cached_key(|s| {
        let unsigned = (false, Some(s.manifest.time), 0, s.manifest.time, s.id);
        keys.get(&s.id).copied().unwrap_or(unsigned)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::manifest;

    const NOW: i64 = 1_800_000_000;
    const DAY: i64 = 86_400;

    fn at(s: i64) -> Time {
        Time { s, ns: 0 }
    }

    fn snapshot(n: u8, signer: u8, sequence: u64, time: i64) -> Snapshot {
        let manifest = Manifest { sequence, time: at(time), host: format!("host-{signer}"), ..manifest() };
        Snapshot { id: ObjectId([n; 32]), manifest, signer: [signer; 32], authenticity: Authenticity::Authentic }
    }

    fn sorted(mut snapshots: Vec<Snapshot>) -> Vec<u8> {
        sort(&mut snapshots, at(NOW));
        snapshots.iter().map(|snapshot| snapshot.id.0[0]).collect()
    }

    #[test]
    fn of_one_signer_the_sequence_decides_whatever_the_clock_said() {
        let ahead = NOW + 5000 * DAY;
        assert_eq!(
            sorted(vec![snapshot(2, 1, 2, ahead), snapshot(1, 1, 1, NOW - 9), snapshot(3, 1, 3, NOW - 5)]),
            [1, 2, 3]
        );
        // A clock that ran ahead and is no longer ahead by now, and one that stood still.
        assert_eq!(
            sorted(vec![snapshot(1, 1, 1, NOW - 5), snapshot(2, 1, 2, NOW - DAY), snapshot(3, 1, 3, 0)]),
            [1, 2, 3]
        );
    }

    #[test]
    fn between_signers_the_time_decides_and_one_to_come_says_nothing() {
        let ahead = NOW + 5000 * DAY;
        // The other host's is newer than all that is known of the one whose clock ran ahead.
        assert_eq!(
            sorted(vec![snapshot(1, 1, 7, NOW - 3 * DAY), snapshot(2, 1, 8, ahead), snapshot(3, 2, 1, NOW - DAY)]),
            [1, 2, 3]
        );
        // The clock was set right again: then the newest of either is.
        let right = vec![
            snapshot(2, 1, 8, ahead),
            snapshot(3, 2, 1, NOW - DAY),
            snapshot(4, 1, 9, NOW - DAY / 2),
            snapshot(1, 1, 7, NOW - 3 * DAY),
        ];
        assert_eq!(sorted(right).last(), Some(&4));
        // Nothing but such times: they are all there is.
        assert_eq!(sorted(vec![snapshot(1, 1, 1, ahead), snapshot(2, 2, 1, ahead + 1)]), [1, 2]);
        assert_eq!(sorted(vec![snapshot(1, 1, 1, ahead), snapshot(2, 2, 1, 0)]), [1, 2]);
    }

    #[test]
    fn a_number_that_nobody_signed_wins_nothing() {
        for forged in [Authenticity::Unsigned, Authenticity::Tampered] {
            let high = Snapshot { authenticity: forged, ..snapshot(9, 1, u64::MAX, NOW) };
            assert_eq!(sorted(vec![snapshot(1, 1, 1, NOW - DAY), high, snapshot(2, 1, 2, NOW - 2 * DAY)]), [9, 1, 2]);
        }
        // An unknown signer's numbers are compared with its own only.
        let unknown = Snapshot { authenticity: Authenticity::UnknownSigner, ..snapshot(9, 2, u64::MAX, NOW - 2 * DAY) };
        assert_eq!(sorted(vec![snapshot(1, 1, 1, NOW - DAY), unknown]), [9, 1]);
    }

    #[test]
    fn what_this_machine_made_is_preferred_unless_a_host_is_named() {
        let all = || vec![snapshot(1, 1, 1, NOW - 3), snapshot(2, 2, 1, NOW - 2), snapshot(3, 3, 1, NOW - 1)];
        let ids = |snapshots: &[Snapshot]| snapshots.iter().map(|snapshot| snapshot.id.0[0]).collect::<Vec<_>>();
        let chosen = |wanted: &Wanted, own: u8| ids(&wanted.candidates(all(), &[own; 32]).0);
        let beside = |wanted: &Wanted, own: u8| ids(&wanted.candidates(all(), &[own; 32]).1);
        let here = |name: &str| Wanted { here: Some(name.into()), ..Wanted::default() };
        assert_eq!(chosen(&Wanted::default(), 1), [1, 2, 3]);
        assert_eq!(chosen(&here("host-1"), 1), [1]);
        assert_eq!(chosen(&here("host-2"), 1), [1], "another machine of the same name");
        assert_eq!(chosen(&here("host-2"), 9), [2], "a new key");
        assert_eq!(chosen(&here("host-9"), 9), [1, 2, 3], "a machine that made none");
        let select = Select { hosts: vec!["host-3".into()], ..Select::default() };
        assert_eq!(chosen(&Wanted { select, ..here("host-1") }, 1), [3]);
        let select = Select { tags: vec!["none".into()], ..Select::default() };
        assert!(chosen(&Wanted { select, ..here("host-1") }, 1).is_empty());
        // Those of the same name and another key lie beside them, and are newer or not.
        assert_eq!(beside(&here("host-1"), 1), [0; 0]);
        assert_eq!(beside(&here("host-2"), 1), [2]);
        assert_eq!(beside(&here("host-2"), 9), [0; 0], "they are the candidates");
        let is_newer = |found: usize, other: usize| newer(&all()[found], &all()[other..=other], at(NOW)).is_some();
        assert!(is_newer(0, 1) && !is_newer(2, 1));
    }
}
