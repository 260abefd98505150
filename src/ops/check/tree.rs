//! Checks the whole tree of every snapshot: are nodes, lists and chunks there, and do totals and order fit? Lost paths
//! are named.
//!
//! What is whole is read once, even if several snapshots share it. What is damaged is read for each snapshot, so that
//! its paths are named in each.

use super::contents::{Availability, BlobPlace, Contents};
use super::findings::{Findings, Flaw, Sight};
use super::{Affected, Subject};
use crate::base::id::{ContentId, ObjectId};
use crate::base::limits::SOURCE_ERRORS_MAX;
use crate::base::path::path_of;
use crate::base::time::Time;
use crate::format::blob::BlobKind;
use crate::format::list::ListNode;
use crate::format::snapshot::Manifest;
use crate::format::tree::{Entry, Node};
use crate::monitor::{Counter, Monitor};
use crate::tree::reach::{NodeReference, Reach, Visitor, half};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The state of a part of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// All of it is there. When a copy of something in it is damaged: since when another copy lies elsewhere.
    Whole(Option<Time>),
    /// Something in it could not be read.
    Unreadable,
    /// Something in it is lost.
    Lost,
}

/// Whether something damaged is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// What it holds lies elsewhere too, or no snapshot needs it.
    No,
    /// Nobody can tell, as long as something cannot be read.
    Unknown,
    /// It is, or may be: snapshots that are lost may have needed it.
    Yes,
}

/// What the snapshots need of damaged packs.
pub(super) struct Needs {
    /// Blobs whose content lies nowhere else.
    needed: BlobSet,
    /// Where not every need is known, all damaged blobs whose content lies nowhere else; `None`: the index cannot tell.
    lone: Option<BlobSet>,
    sight: Sight,
    /// Part of the index could not be read: it may give what is needed another place.
    incomplete: bool,
    /// Blobs that were read on the way and are damaged, with the reason.
    pub lost: BTreeMap<BlobPlace, String>,
    /// Snapshots to which all that was damaged came back after they were made.
    pub whole_again: Vec<ObjectId>,
}

/// A set of blobs, and the packs they lie in.
struct BlobSet {
    blobs: HashSet<(ObjectId, u32)>,
    packs: HashSet<ObjectId>,
}

impl BlobSet {
    fn new(blobs: HashSet<(ObjectId, u32)>) -> BlobSet {
        let packs = blobs.iter().map(|(pack, _)| *pack).collect();
        BlobSet { blobs, packs }
    }

    /// Whether a blob (`None`: any blob of the pack) is in the set.
    fn has(&self, pack: &ObjectId, blob: Option<u32>) -> bool {
        blob.map_or_else(|| self.packs.contains(pack), |blob| self.blobs.contains(&(*pack, blob)))
    }
}

impl Needs {
    /// Whether a damaged blob (`None`: any of the pack) is needed.
    pub fn of(&self, pack: &ObjectId, blob: Option<u32>) -> Need {
        let may_be = || self.lone.as_ref().is_none_or(|lone| lone.has(pack, blob));
        match (self.needed.has(pack, blob), self.sight) {
            (true, _) if self.incomplete => Need::Unknown,
            (true, _) => Need::Yes,
            (false, Sight::Clear) => Need::No,
            (false, _) if !may_be() => Need::No,
            (false, Sight::Unread) => Need::Unknown,
            (false, Sight::Lost) if self.incomplete => Need::Unknown,
            (false, Sight::Lost) => Need::Yes,
        }
    }
}

/// Compares the trees of snapshots with what the store has.
pub(super) struct Trees<'a> {
    contents: Contents<'a>,
    findings: &'a Findings<'a>,
    monitor: &'a dyn Monitor,
    cancel: &'a AtomicBool,
    /// The snapshot that is looked at.
    snapshot: ObjectId,
    /// Nodes and lists (half of the id) that are whole, though a copy of something in or below them is damaged: since
    /// when it lies elsewhere too.
    healed: HashMap<[u8; 16], Time>,
    /// Whether all nodes and lists could be read.
    sight: Sight,
    whole_again: Vec<ObjectId>,
    /// Contents that were named already.
    named: HashSet<ContentId>,
}

impl<'a> Trees<'a> {
    pub fn new(
        contents: Contents<'a>,
        findings: &'a Findings<'a>,
        monitor: &'a dyn Monitor,
        cancel: &'a AtomicBool,
    ) -> Trees<'a> {
        Trees {
            contents,
            findings,
            monitor,
            cancel,
            snapshot: ObjectId([0; 32]),
            healed: HashMap::new(),
            sight: Sight::Clear,
            whole_again: vec![],
            named: HashSet::new(),
        }
    }

    /// What the snapshots that were looked at need. `sight`: whether they are all there are.
    pub fn needs(self, sight: Sight) -> Needs {
        let sight = sight.max(self.sight);
        let lone = match sight {
            Sight::Clear => Some(HashSet::new()),
            _ => self.contents.lying_nowhere_else(),
        };
        let incomplete = self.contents.catalogue.incomplete;
        let Contents { lost, needed, .. } = self.contents;
        let (needed, lone) = (BlobSet::new(needed), lone.map(BlobSet::new));
        Needs { needed, lone, sight, incomplete, lost, whole_again: self.whole_again }
    }

    /// Names a node, list or chunk, once.
    fn name(&mut self, kind: BlobKind, id: &ContentId, flaw: Flaw) {
        if self.named.len() < SOURCE_ERRORS_MAX && self.named.insert(*id) {
            self.findings.flaw(Subject::Content(kind, *id), &flaw);
        }
    }

    /// The state of what lies below a node or list that cannot be had.
    fn missing(&mut self, kind: BlobKind, id: &ContentId, what: &str, flaw: Flaw) -> State {
        let (flaw, state, sight) = match flaw {
            Flaw::Unreadable(error) => (Flaw::Unreadable(format!("{what}: {error}")), State::Unreadable, Sight::Unread),
            Flaw::Damaged(error) => {
                (Flaw::Damaged(format!("{what} cannot be read: {error}")), State::Lost, Sight::Lost)
            }
        };
        self.sight = self.sight.max(sight);
        self.name(kind, id, flaw);
        state
    }
}

/// Checks one snapshot.
pub(super) fn check_snapshot(reach: &mut Reach<Trees<'_>>, id: ObjectId, manifest: &Manifest) {
    reach.visitor.snapshot = id;
    let state = reach.root(&manifest.root, manifest.root_level, &manifest.totals);
    // What came back in time was there from the first.
    if let State::Whole(Some(since)) = state
        && since >= manifest.ended
    {
        reach.visitor.whole_again.push(id);
    }
}

impl Visitor for Trees<'_> {
    type State = State;

    const EMPTY: State = State::Whole(None);

    fn join(one: State, other: State) -> State {
        match (one, other) {
            (State::Whole(a), State::Whole(b)) => State::Whole(a.max(b)),
            (State::Lost, _) | (_, State::Lost) => State::Lost,
            _ => State::Unreadable,
        }
    }

    fn is_over(&self) -> bool {
        self.cancel.load(Relaxed)
    }

    fn node(&mut self, reference: &NodeReference<'_>) -> Result<(Node, State), State> {
        let read = self.contents.read(BlobKind::Node, reference.id);
        let flaw = match read.and_then(|(plain, since)| Ok((Node::decode(plain)?, since))) {
            Ok((node, since)) => {
                self.monitor.add(Counter::ObjectsChecked, 1);
                return Ok((node, State::Whole(since)));
            }
            Err(flaw) => flaw,
        };
        let state = self.missing(BlobKind::Node, reference.id, "tree node", flaw);
        if state == State::Lost {
            let path = path_of(reference.first.unwrap_or_default());
            let until = if reference.upper.is_empty() { vec![] } else { path_of(reference.upper) };
            self.findings.affected(Affected { snapshot: self.snapshot, path, until: Some(until) });
        }
        Err(state)
    }

    fn list(&mut self, id: &ContentId) -> Result<(ListNode, State), State> {
        let read = self.contents.read(BlobKind::List, id);
        let read = read.and_then(|(plain, since)| Ok((ListNode::decode(plain)?, State::Whole(since))));
        read.map_err(|flaw| self.missing(BlobKind::List, id, "list of a file's chunks", flaw))
    }

    fn chunk(&mut self, id: &ContentId, len: u32) -> State {
        match self.contents.chunk(id, len) {
            Availability::Here(since) => State::Whole(since),
            // Its pack is named.
            Availability::Unreadable => State::Unreadable,
            Availability::Damaged => State::Lost,
            Availability::Unknown => {
                self.name(BlobKind::Chunks, id, "chunk is not in the index of the store".into());
                State::Lost
            }
        }
    }

    fn contradiction(&mut self, kind: BlobKind, id: &ContentId, what: &'static str) -> State {
        let flaw = if kind == BlobKind::Node {
            self.findings.affected_snapshot(self.snapshot);
            format!("tree node contradicts its parent: {what}")
        } else {
            "list of a file's chunks contradicts what refers to it".to_string()
        };
        self.name(kind, id, flaw.into());
        State::Lost
    }

    fn entry(&mut self, entry: &Entry, content: State) {
        if content == State::Lost {
            let path = path_of(&entry.key);
            self.findings.affected(Affected { snapshot: self.snapshot, path, until: None });
        }
    }

    fn settle(&mut self, id: &ContentId, state: State) -> bool {
        let State::Whole(since) = state else { return false };
        since.map(|since| self.healed.insert(half(id), since));
        true
    }

    fn again(&self, id: &ContentId) -> State {
        State::Whole(if self.healed.is_empty() { None } else { self.healed.get(&half(id)).copied() })
    }
}
