//! Reach: everything once, whatever snapshots share, and nothing that is not said.

use super::reach::{NodeReference, Reach, Visitor};
use super::reader::Reader;
use crate::base::id::ContentId;
use crate::base::limits::LIST_ITEMS_INLINE;
use crate::format::blob::BlobKind;
use crate::format::list::{Item, ListChild, ListNode};
use crate::format::tree::{Child, Content, Entry, EntryKind, Node};
use crate::store::session::Session;
use crate::store::tests::*;
use std::collections::BTreeSet;

/// What a deletion asks: which blobs must stay. It may not go on when something cannot be read.
struct Mark {
    reader: Reader,
    reached: BTreeSet<ContentId>,
    reads: usize,
    entries: Vec<Vec<u8>>,
    contradictions: Vec<(BlobKind, &'static str)>,
    failed: bool,
    /// Ends the walk after so many reads.
    reads_max: usize,
}

impl Mark {
    fn new(reader: Reader) -> Mark {
        let (reached, entries, contradictions) = (BTreeSet::new(), vec![], vec![]);
        Mark { reader, reached, reads: 0, entries, contradictions, failed: false, reads_max: usize::MAX }
    }
}

impl Visitor for Mark {
    type State = ();

    const EMPTY: () = ();

    fn join((): (), (): ()) {}

    fn is_over(&self) -> bool {
        self.failed || self.reads >= self.reads_max
    }

    fn node(&mut self, reference: &NodeReference<'_>) -> Result<(Node, ()), ()> {
        self.reads += 1;
        self.reached.insert(*reference.id);
        self.reader.node(reference.id).map(|node| (node, ())).map_err(|_| self.failed = true)
    }

    fn list(&mut self, id: &ContentId) -> Result<(ListNode, ()), ()> {
        self.reads += 1;
        self.reached.insert(*id);
        self.reader.list(id).map(|list| (list, ())).map_err(|_| self.failed = true)
    }

    fn chunk(&mut self, id: &ContentId, _len: u32) {
        self.reached.insert(*id);
    }

    fn contradiction(&mut self, kind: BlobKind, _id: &ContentId, what: &'static str) {
        self.contradictions.push((kind, what));
    }

    fn entry(&mut self, entry: &Entry, (): ()) {
        self.entries.push(entry.key.clone());
    }

    fn settle(&mut self, _id: &ContentId, (): ()) -> bool {
        true
    }

    fn again(&self, _id: &ContentId) {}
}

/// Items in each of the two leaves of a list.
const PART_ITEMS: u64 = LIST_ITEMS_INLINE as u64;

/// A leaf of files with one chunk each, and of a big file whose chunks stand in a list of two levels.
fn leaf(session: &Session, names: &[&str]) -> Child {
    let chunk = |text: &str| {
        let id = put(session, BlobKind::Chunks, text.as_bytes()).unwrap();
        Item::Chunk { id, len: text.len() as u32 }
    };
    let file = |name: &&str| entry(name.as_bytes(), EntryKind::File, Content::Items(vec![chunk(name)]));
    let mut entries: Vec<Entry> = names.iter().map(file).collect();
    let part = |text: &str| {
        let mut items = vec![chunk("of every list"); PART_ITEMS as usize - 1];
        items.push(chunk(text));
        let bytes = items.iter().map(Item::len).sum();
        let id = put(session, BlobKind::List, &ListNode::Leaf(items).encode()).unwrap();
        ListChild { id, bytes, items: PART_ITEMS }
    };
    let children = vec![part(&format!("{} one", names[0])), part(&format!("{} two", names[0]))];
    let size = children.iter().map(|child| child.bytes).sum();
    let id = put(session, BlobKind::List, &ListNode::Inner { level: 1, children }.encode()).unwrap();
    let content = Content::List { id, level: 1, items: 2 * PART_ITEMS };
    let mut big = entry(format!("{}~big", names[0]).as_bytes(), EntryKind::File, content);
    big.meta.size = size;
    entries.push(big);
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    let node = Node::Leaf(entries);
    let id = put(session, BlobKind::Node, &node.encode()).unwrap();
    let Node::Leaf(entries) = &node else { unreachable!() };
    Child { first: entries[0].key.clone(), id, totals: node.totals() }
}

fn root(session: &Session, children: &[&Child]) -> (ContentId, Node) {
    let node = Node::Inner { level: 1, children: children.iter().map(|&child| child.clone()).collect() };
    (put(session, BlobKind::Node, &node.encode()).unwrap(), node)
}

#[test]
fn all_that_two_snapshots_need_is_reached_once_and_nothing_else() {
    let (_machine, _, store) = new_store();
    let session = begin(&store, "host").unwrap();
    let (a, b, c) = (leaf(&session, &["\0a", "\0b"]), leaf(&session, &["\0m"]), leaf(&session, &["\0x"]));
    let (first, second) = (root(&session, &[&a, &b]), root(&session, &[&a, &c]));
    // A snapshot that nobody asks for: what it shares stays, what it has alone does not count.
    let alone = leaf(&session, &["\0alone"]);
    let unasked = root(&session, &[&alone, &b]);
    session.end().unwrap();
    let mut reach = Reach::new(Mark::new(Reader::new(store.clone(), 1 << 20)));
    for (id, node) in [&first, &second, &first] {
        reach.root(id, 1, &node.totals());
    }
    let mark = &reach.visitor;
    assert!(!mark.failed && mark.contradictions.is_empty());
    // Two roots, three leaves, and three lists a leaf: each was read once.
    assert_eq!((mark.reads as u64, reach.nodes, reach.entries), (14, 14, 7));
    assert_eq!(mark.entries.len(), 7);
    assert_eq!(reach.chunks, 4 + 3 * 2 * PART_ITEMS);
    let mut rows = BTreeSet::new();
    store.index.read().each_row(&mut |_, row| _ = rows.insert(row.id)).unwrap();
    let rest: BTreeSet<ContentId> = rows.difference(&mark.reached).copied().collect();
    assert!(mark.reached.is_subset(&rows), "what is reached is in the index");
    // A root, a leaf, three lists, one file's chunk and the first chunk of each part.
    assert_eq!(rest.len(), 1 + 1 + 3 + 1 + 2);
    assert!(rest.contains(&unasked.0) && rest.contains(&alone.id));
}

#[test]
fn a_node_is_visited_again_where_something_else_is_said_of_it() {
    let (_machine, _, store) = new_store();
    let session = begin(&store, "host").unwrap();
    let (a, b) = (leaf(&session, &["\0a"]), leaf(&session, &["\0m"]));
    let lying = Child { first: b"\0A".to_vec(), ..a.clone() };
    let (right, wrong) = (root(&session, &[&a, &b]), root(&session, &[&lying, &b]));
    session.end().unwrap();
    let mut reach = Reach::new(Mark::new(Reader::new(store, 1 << 20)));
    reach.root(&right.0, 1, &right.1.totals());
    assert_eq!(reach.visitor.contradictions, []);
    reach.root(&wrong.0, 1, &wrong.1.totals());
    assert_eq!(reach.visitor.contradictions, [(BlobKind::Node, "its first path")]);
    reach.root(&right.0, 2, &right.1.totals());
    assert_eq!(reach.visitor.contradictions[1..], [(BlobKind::Node, "its level")]);
    assert!(!reach.visitor.failed);
}

#[test]
fn what_an_early_end_left_out_is_not_taken_for_visited() {
    let (_machine, _, store) = new_store();
    let session = begin(&store, "host").unwrap();
    let (a, b) = (leaf(&session, &["\0a"]), leaf(&session, &["\0m"]));
    let (id, node) = root(&session, &[&a, &b]);
    session.end().unwrap();
    let mut whole = Reach::new(Mark::new(Reader::new(store.clone(), 1 << 20)));
    whole.root(&id, 1, &node.totals());
    for reads_max in 0..whole.visitor.reads {
        let mut reach = Reach::new(Mark { reads_max, ..Mark::new(Reader::new(store.clone(), 1 << 20)) });
        reach.root(&id, 1, &node.totals());
        assert_eq!(reach.visitor.reads, reads_max);
        reach.visitor.reads_max = usize::MAX;
        reach.root(&id, 1, &node.totals());
        assert_eq!(reach.visitor.reached, whole.visitor.reached, "ended after {reads_max} reads");
    }
}
