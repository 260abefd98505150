//! Every snapshot's whole tree: nodes, lists and chunks are there, totals and order hold; what is lost is named by path.
//!
//! What was found whole once is not walked again for another snapshot; what is damaged is, so that its paths are
//! named in each.

use super::contents::{Availability, Contents, Place};
use super::findings::{Findings, Flaw, Sight};
use super::{Affected, Subject};
use crate::base::id::{ContentId, ObjectId};
use crate::base::limits::SOURCE_ERRORS_MAX;
use crate::base::path::path_of;
use crate::base::time::Time;
use crate::format::blob::BlobKind;
use crate::format::list::{Item, ListChild, ListNode};
use crate::format::snapshot::Manifest;
use crate::format::tree::{Content, Entry, Node, Totals};
use crate::monitor::{Counter, Monitor};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What a parent says of a node.
struct Expected<'a> {
    id: &'a ContentId,
    level: u8,
    totals: &'a Totals,
    /// The first key below it; `None` for the root.
    first: Option<&'a [u8]>,
    /// All keys below it are less; empty: no bound.
    upper: &'a [u8],
}

impl Expected<'_> {
    /// Stands for what is said, so that a node met again is not walked again only if the same is said of it.
    fn digest(&self) -> u64 {
        let mut hasher = blake3::Hasher::new();
        let Totals { entries, files, directories, bytes, flawed } = self.totals;
        for number in [*entries, *files, *directories, *bytes, *flawed, u64::from(self.level)] {
            hasher.update(&number.to_le_bytes());
        }
        hasher.update(self.first.unwrap_or_default());
        hasher.finalize().as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

/// How a part of a tree fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Well {
    /// All is there. Since when, if part of it is damaged and lies elsewhere too.
    Whole(Option<Time>),
    /// Part of it could not be read.
    Unreadable,
    /// Part of it is lost.
    Lost,
}

impl Well {
    /// Of two parts together.
    fn and(self, other: Well) -> Well {
        match (self, other) {
            (Well::Whole(a), Well::Whole(b)) => Well::Whole(a.max(b)),
            (Well::Lost, _) | (_, Well::Lost) => Well::Lost,
            _ => Well::Unreadable,
        }
    }
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
    needed: MachineFolders,
    /// Where not every need is known, all damaged blobs whose content lies nowhere else; `None`: the index cannot tell.
    lone: Option<MachineFolders>,
    sight: Sight,
    /// Part of the index could not be read: it may give what is needed another place.
    incomplete: bool,
    /// Blobs that were read on the way and are damaged, with the reason.
    pub lost: BTreeMap<Place, String>,
    /// Snapshots to which all that was damaged came back after they were made.
    pub whole_again: Vec<ObjectId>,
}

/// Blobs, and their packs.
struct MachineFolders(HashSet<(ObjectId, u32)>, HashSet<ObjectId>);

impl MachineFolders {
    fn new(blobs: HashSet<(ObjectId, u32)>) -> MachineFolders {
        let packs = blobs.iter().map(|(pack, _)| *pack).collect();
        MachineFolders(blobs, packs)
    }

    /// Whether a blob (`None`: any of the pack) is among them.
    fn has(&self, pack: &ObjectId, blob: Option<u32>) -> bool {
        blob.map_or_else(|| self.1.contains(pack), |blob| self.0.contains(&(*pack, blob)))
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

/// Walks the trees of snapshots.
pub(super) struct Walker<'a> {
    contents: Contents<'a>,
    findings: &'a Findings<'a>,
    monitor: &'a dyn Monitor,
    cancel: &'a AtomicBool,
    snapshot: ObjectId,
    /// Nodes and lists below which all is well: half of the id, and what their parent said.
    whole: HashMap<[u8; 16], u64>,
    /// Of those the ones below which something damaged lies elsewhere too, and since when.
    healed: HashMap<[u8; 16], Time>,
    /// Whether all nodes and lists could be read.
    sight: Sight,
    whole_again: Vec<ObjectId>,
    /// Contents that were named already.
    named: HashSet<ContentId>,
    pub nodes: u64,
    pub entries: u64,
    pub chunks: u64,
}

fn half(id: &ContentId) -> [u8; 16] {
    id.as_bytes().first_chunk().copied().unwrap_or_default()
}

impl<'a> Walker<'a> {
    pub fn new(
        contents: Contents<'a>,
        findings: &'a Findings<'a>,
        monitor: &'a dyn Monitor,
        cancel: &'a AtomicBool,
    ) -> Walker<'a> {
        Walker {
            contents,
            findings,
            monitor,
            cancel,
            snapshot: ObjectId([0; 32]),
            whole: HashMap::new(),
            healed: HashMap::new(),
            sight: Sight::Clear,
            whole_again: vec![],
            named: HashSet::new(),
            nodes: 0,
            entries: 0,
            chunks: 0,
        }
    }

    /// Walks one snapshot.
    pub fn snapshot(&mut self, id: ObjectId, manifest: &Manifest) {
        self.snapshot = id;
        let Manifest { root, root_level, totals, ended, .. } = manifest;
        let well = self.node(&Expected { id: root, level: *root_level, totals, first: None, upper: &[] });
        // What came back in time was there from the first.
        if let Well::Whole(Some(since)) = well
            && since >= *ended
        {
            self.whole_again.push(id);
        }
    }

    /// What the snapshots that were walked need. `sight`: whether they are all there are.
    pub fn needs(self, sight: Sight) -> Needs {
        let sight = sight.max(self.sight);
        let lone = match sight {
            Sight::Clear => Some(HashSet::new()),
            _ => self.contents.lying_nowhere_else(),
        };
        let incomplete = self.contents.catalogue.incomplete;
        let Contents { lost, needed, .. } = self.contents;
        let (needed, lone) = (MachineFolders::new(needed), lone.map(MachineFolders::new));
        Needs { needed, lone, sight, incomplete, lost, whole_again: self.whole_again }
    }

    /// Names a node, list or chunk, once.
    fn name(&mut self, kind: BlobKind, id: &ContentId, flaw: Flaw) {
        if self.named.len() < SOURCE_ERRORS_MAX && self.named.insert(*id) {
            self.findings.flaw(Subject::Content(kind, *id), &flaw);
        }
    }

    /// A node or list cannot be had.
    fn cannot_be_had(&mut self, kind: BlobKind, id: &ContentId, what: &str, flaw: Flaw) -> Well {
        let (flaw, well, sight) = match flaw {
            Flaw::Unreadable(error) => (Flaw::Unreadable(format!("{what}: {error}")), Well::Unreadable, Sight::Unread),
            Flaw::Damaged(error) => (Flaw::Damaged(format!("{what} cannot be read: {error}")), Well::Lost, Sight::Lost),
        };
        self.sight = self.sight.max(sight);
        self.name(kind, id, flaw);
        well
    }

    /// Remembers that all is well below a node or list.
    fn keep(&mut self, id: &ContentId, digest: u64, well: Well) {
        if let Well::Whole(since) = well {
            self.whole.insert(half(id), digest);
            since.map(|since| self.healed.insert(half(id), since));
        }
    }

    /// What is known of a node or list that was met before.
    fn known(&self, id: &ContentId, digest: u64) -> Option<Well> {
        let is_whole = self.whole.get(&half(id)) == Some(&digest);
        let since = || if self.healed.is_empty() { None } else { self.healed.get(&half(id)).copied() };
        is_whole.then(|| Well::Whole(since()))
    }

    /// How all in and below a node fares. Recursion ends with the level, which falls by one each time.
    fn node(&mut self, expected: &Expected<'_>) -> Well {
        let digest = expected.digest();
        if self.cancel.load(Relaxed) {
            return Well::Whole(None);
        }
        if let Some(well) = self.known(expected.id, digest) {
            return well;
        }
        let read = self.contents.read(BlobKind::Node, expected.id);
        let read = read.and_then(|(plain, since)| Ok((Node::decode(plain)?, since)));
        let (node, since) = match read {
            Ok(read) => read,
            Err(flaw) => {
                let well = self.cannot_be_had(BlobKind::Node, expected.id, "tree node", flaw);
                if well == Well::Lost {
                    let path = path_of(expected.first.unwrap_or_default());
                    let until = if expected.upper.is_empty() { vec![] } else { path_of(expected.upper) };
                    self.findings.affected(Affected { snapshot: self.snapshot, path, until: Some(until) });
                }
                return well;
            }
        };
        self.nodes += 1;
        self.monitor.add(Counter::ObjectsChecked, 1);
        let mut well = match contradiction(&node, expected) {
            None => Well::Whole(since),
            Some(what) => {
                let flaw = Flaw::Damaged(format!("tree node contradicts its parent: {what}"));
                self.name(BlobKind::Node, expected.id, flaw);
                self.findings.affected_snapshot(self.snapshot);
                Well::Lost
            }
        };
        match &node {
            Node::Leaf(entries) => {
                self.entries += entries.len() as u64;
                for entry in entries {
                    let content = self.content(entry);
                    if content == Well::Lost {
                        let path = path_of(&entry.key);
                        self.findings.affected(Affected { snapshot: self.snapshot, path, until: None });
                    }
                    well = well.and(content);
                }
            }
            // Its level was compared, so that what follows ends.
            Node::Inner { level, children } if *level == expected.level && *level > 0 => {
                for (at, child) in children.iter().enumerate() {
                    let upper = children.get(at + 1).map_or(expected.upper, |next| &next.first);
                    let first = Some(&child.first[..]);
                    let below = Expected { id: &child.id, level: level - 1, totals: &child.totals, first, upper };
                    well = well.and(self.node(&below));
                }
            }
            Node::Inner { .. } => {}
        }
        self.keep(expected.id, digest, well);
        well
    }

    /// How an entry's content fares.
    fn content(&mut self, entry: &Entry) -> Well {
        match &entry.content {
            Content::Empty | Content::Inline(_) | Content::Unreadable => Well::Whole(None),
            Content::Items(items) => self.items(items),
            Content::List { id, level, items } => {
                let bytes = (!entry.changed_while_read).then_some(entry.meta.size);
                self.list(id, *level, bytes, *items)
            }
        }
    }

    fn items(&mut self, items: &[Item]) -> Well {
        let mut well = Well::Whole(None);
        for item in items {
            let Item::Chunk { id, len } = item else { continue };
            self.chunks += 1;
            well = well.and(match self.contents.chunk(id, *len) {
                Availability::Here(since) => Well::Whole(since),
                // Its pack is named.
                Availability::Unreadable => Well::Unreadable,
                Availability::Damaged => Well::Lost,
                Availability::Unknown => {
                    self.name(BlobKind::Chunks, id, "chunk is not in the index of the store".into());
                    Well::Lost
                }
            });
        }
        well
    }

    /// How all in and below a list node fares that stands for so many bytes (if known) and items.
    fn list(&mut self, id: &ContentId, level: u8, bytes: Option<u64>, items: u64) -> Well {
        let digest = items ^ bytes.unwrap_or(u64::MAX).rotate_left(32) ^ u64::from(level) << 56;
        if let Some(well) = self.known(id, digest) {
            return well;
        }
        let read = self.contents.read(BlobKind::List, id);
        let read = read.and_then(|(plain, since)| Ok((ListNode::decode(plain)?, since)));
        let (node, since) = match read {
            Ok(read) => read,
            Err(flaw) => return self.cannot_be_had(BlobKind::List, id, "list of a file's chunks", flaw),
        };
        self.nodes += 1;
        let (found_level, found_bytes, found_items) = match &node {
            ListNode::Leaf(leaf) => (0, leaf.iter().map(Item::len).fold(0, u64::saturating_add), leaf.len() as u64),
            ListNode::Inner { level, children } => {
                let add = |part: fn(&ListChild) -> u64| children.iter().map(part).fold(0, u64::saturating_add);
                (*level, add(|c| c.bytes), add(|c| c.items))
            }
        };
        let fits = found_level == level && bytes.is_none_or(|bytes| bytes == found_bytes) && found_items == items;
        let mut well = Well::Whole(since);
        if !fits {
            self.name(BlobKind::List, id, "list of a file's chunks contradicts what refers to it".into());
            well = Well::Lost;
        }
        match &node {
            ListNode::Leaf(leaf) => well = well.and(self.items(leaf)),
            ListNode::Inner { level: below, children } if fits && *below > 0 => {
                for child in children {
                    well = well.and(self.list(&child.id, below - 1, Some(child.bytes), child.items));
                }
            }
            ListNode::Inner { .. } => {}
        }
        self.keep(id, digest, well);
        well
    }
}

/// What of a node is not as its parent says.
fn contradiction(node: &Node, expected: &Expected<'_>) -> Option<&'static str> {
    let (level, first, last): (u8, &[u8], &[u8]) = match node {
        Node::Leaf(entries) => {
            let key = |entry: Option<&'_ Entry>| entry.map_or(&[][..], |entry| &entry.key[..]).to_vec();
            return contradicts(0, &key(entries.first()), &key(entries.last()), node, expected);
        }
        Node::Inner { level, children } => {
            (*level, children.first().map_or(&[], |c| &c.first), children.last().map_or(&[], |c| &c.first))
        }
    };
    contradicts(level, first, last, node, expected)
}

fn contradicts(level: u8, first: &[u8], last: &[u8], node: &Node, expected: &Expected<'_>) -> Option<&'static str> {
    if level != expected.level {
        Some("its level")
    } else if expected.first.is_some_and(|key| key != first) {
        Some("its first path")
    } else if !expected.upper.is_empty() && last >= expected.upper {
        Some("its last path")
    } else if node.totals() != *expected.totals {
        Some("its totals")
    } else {
        None
    }
}
