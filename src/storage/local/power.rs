//! What a power cut leaves: a model of a disk that keeps what was synced and, of the rest, whatever it likes.
//!
//! The storage's own steps are recorded through its watch. The model replays them up to each point, cuts the power there
//! and looks at what is left, in the worst case and in random ones: every acknowledged object is there, whole, and no
//! object is there in part. Then each single sync is left out, and the check has to fail.

use super::super::{Area, Block, Created, Storage, StorageKey};
use super::{LocalStorage, Step, Watch, quick_folder};
use crate::base::id::{ObjectId, SessionId};
use crate::base::limits::BLOCK_ALIGN;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A step, or that something was promised.
#[derive(Debug, Clone, PartialEq)]
enum Event {
    MakeFolder(String),
    CreateFile(String),
    Write(String, usize, Vec<u8>),
    Truncate(String, usize),
    SyncFile(String),
    Name(String, String),
    SyncFolder(String),
    Remove(String),
    RemoveFolder(String),
    /// A folder was promised to be there.
    FolderThere(String),
    /// An object was promised to be there, ….
    There(StorageKey),
    /// …, is being deleted, so that it may be there or not, ….
    Either(StorageKey),
    /// … and was promised to be gone.
    Gone(StorageKey),
}

/// Something done by another process just before a step: once.
type Interrupt = (Box<dyn Fn(&Step) -> bool + Send>, Box<dyn FnOnce() + Send>);

/// Records events; paths are made absolute.
#[derive(Default)]
struct Recorder {
    root: String,
    events: Arc<Mutex<Vec<(Event, bool)>>>,
    /// Whether each sync of this process has to be found needed.
    needed: bool,
    interrupt: Mutex<Option<Interrupt>>,
}

impl Recorder {
    fn new(root: &Path, events: &Arc<Mutex<Vec<(Event, bool)>>>, needed: bool) -> Arc<Recorder> {
        let root = root.to_str().expect("a plain path").to_owned();
        Arc::new(Recorder { root, events: events.clone(), needed, interrupt: Mutex::default() })
    }

    fn full(&self, path: &str) -> String {
        match path {
            "." => self.root.clone(),
            path if path.starts_with('/') => path.to_owned(),
            path => format!("{}/{path}", self.root),
        }
    }

    fn add(&self, event: Event) {
        self.events.lock().push((event, self.needed));
    }

    fn put(&self, storage: &dyn Storage, key: StorageKey) -> Created {
        let created = storage.put_if_absent(&key, &content(&key)).unwrap();
        self.add(Event::There(key));
        created
    }

    /// Has `what` done before the first step that is `when`.
    fn interrupt(&self, when: impl Fn(&Step) -> bool + Send + 'static, what: impl FnOnce() + Send + 'static) {
        *self.interrupt.lock() = Some((Box::new(when), Box::new(what)));
    }
}

impl Watch for Recorder {
    fn step(&self, step: &Step) -> io::Result<()> {
        let mut place = self.interrupt.lock();
        if place.as_ref().is_some_and(|(when, _)| when(step))
            && let Some((_, what)) = place.take()
        {
            drop(place);
            what();
        }
        let path = |path: &&str| self.full(path);
        self.add(match step {
            Step::MakeFolder(at) => Event::MakeFolder(path(at)),
            Step::CreateFile(at) => Event::CreateFile(path(at)),
            Step::Write(at, offset, bytes) => Event::Write(path(at), *offset as usize, bytes.to_vec()),
            Step::Truncate(at, len) => Event::Truncate(path(at), *len as usize),
            Step::SyncFile(at) => Event::SyncFile(path(at)),
            Step::Name(from, to) => Event::Name(path(from), path(to)),
            Step::SyncFolder(at) => Event::SyncFolder(path(at)),
            Step::Remove(at) => Event::Remove(path(at)),
            Step::RemoveFolder(at) => Event::RemoveFolder(path(at)),
        });
        Ok(())
    }
}

/// A file or folder, as the system shows it now and as the disk has it for sure.
#[derive(Clone)]
enum Node {
    File { now: Vec<u8>, durable: Vec<u8> },
    Folder { now: BTreeMap<String, usize>, durable: BTreeMap<String, usize> },
}

/// Files and folders by number; 0 is the folder in which everything lies, and has always been there.
#[derive(Clone)]
struct Model {
    top: String,
    nodes: Vec<Node>,
}

impl Model {
    fn new(top: &Path) -> Model {
        Model { top: top.to_str().expect("a plain path").to_owned(), nodes: vec![Model::folder()] }
    }

    fn folder() -> Node {
        Node::Folder { now: BTreeMap::new(), durable: BTreeMap::new() }
    }

    fn find(&self, path: &str) -> Option<usize> {
        let inside = path.strip_prefix(&self.top)?;
        inside.split('/').filter(|name| !name.is_empty()).try_fold(0, |at, name| match &self.nodes[at] {
            Node::Folder { now, .. } => now.get(name).copied(),
            Node::File { .. } => None,
        })
    }

    fn names(&mut self, path: &str) -> (&mut BTreeMap<String, usize>, String) {
        let (folder, name) = path.rsplit_once('/').expect("an absolute path");
        let at = self.find(folder).unwrap_or_else(|| panic!("no folder for {path}"));
        match &mut self.nodes[at] {
            Node::Folder { now, .. } => (now, name.to_owned()),
            Node::File { .. } => panic!("{folder} is a file"),
        }
    }

    fn add(&mut self, path: &str, node: Node) {
        let number = self.nodes.len();
        self.nodes.push(node);
        let (names, name) = self.names(path);
        names.insert(name, number);
    }

    fn file(&mut self, path: &str) -> (&mut Vec<u8>, &mut Vec<u8>) {
        let at = self.find(path).unwrap_or_else(|| panic!("no file {path}"));
        match &mut self.nodes[at] {
            Node::File { now, durable } => (now, durable),
            Node::Folder { .. } => panic!("{path} is a folder"),
        }
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::MakeFolder(path) if self.find(path).is_some() => {}
            Event::MakeFolder(path) => self.add(path, Model::folder()),
            Event::CreateFile(path) => self.add(path, Node::File { now: Vec::new(), durable: Vec::new() }),
            Event::Write(path, offset, bytes) => {
                let (now, _) = self.file(path);
                now.resize(now.len().max(offset + bytes.len()), 0);
                now[*offset..offset + bytes.len()].copy_from_slice(bytes);
            }
            Event::Truncate(path, len) => self.file(path).0.truncate(*len),
            Event::SyncFile(path) => {
                let (now, durable) = self.file(path);
                durable.clone_from(now);
            }
            Event::SyncFolder(path) => {
                let Some(at) = self.find(path) else { return };
                if let Node::Folder { now, durable } = &mut self.nodes[at] {
                    durable.clone_from(now);
                }
            }
            Event::Name(from, to) => {
                let (names, name) = self.names(to);
                if !names.contains_key(&name) {
                    let (names, name) = self.names(from);
                    let number = names.remove(&name).unwrap_or_else(|| panic!("no file {from}"));
                    let (names, name) = self.names(to);
                    names.insert(name, number);
                }
            }
            Event::Remove(path) => {
                if self.find(path).is_some() {
                    let (names, name) = self.names(path);
                    names.remove(&name);
                }
            }
            Event::RemoveFolder(path) => {
                let Some(at) = self.find(path) else { return };
                if matches!(&self.nodes[at], Node::Folder { now, .. } if now.is_empty()) {
                    let (names, name) = self.names(path);
                    names.remove(&name);
                }
            }
            Event::FolderThere(_) | Event::There(_) | Event::Either(_) | Event::Gone(_) => {}
        }
    }

    /// What is on the disk after a power cut: of what was not synced, `keeps` decides each name and each file.
    fn cut(&self, keeps: &mut dyn FnMut() -> bool) -> (BTreeMap<String, Vec<u8>>, BTreeSet<String>) {
        let (mut files, mut folders) = (BTreeMap::new(), BTreeSet::new());
        let mut open = vec![(0, self.top.clone())];
        while let Some((at, path)) = open.pop() {
            match &self.nodes[at] {
                Node::File { now, durable } if now == durable => drop(files.insert(path, now.clone())),
                Node::File { now, durable } => {
                    let torn = now[..now.len() / 2].to_vec();
                    let left = if keeps() { if keeps() { now.clone() } else { torn } } else { durable.clone() };
                    files.insert(path, left);
                }
                Node::Folder { now, durable } => {
                    for name in now.keys().chain(durable.keys()).collect::<BTreeSet<_>>() {
                        let (new, old) = (now.get(name), durable.get(name));
                        let left = if new == old || !keeps() { old } else { new };
                        open.extend(left.map(|&number| (number, format!("{path}/{name}"))));
                    }
                    folders.insert(path);
                }
            }
        }
        (files, folders)
    }
}

/// What is wrong after a power cut behind `events`, if anything.
fn wrong_after(events: &[Event], model: &Model, root: &str, keeps: &mut dyn FnMut() -> bool) -> Option<String> {
    let (files, folders) = model.cut(keeps);
    let mut promised = BTreeMap::new();
    for event in events {
        match event {
            Event::FolderThere(path) if !folders.contains(path) => return Some(format!("the folder {path} is gone")),
            Event::There(key) => drop(promised.insert(*key, true)),
            Event::Either(key) => drop(promised.remove(key)),
            Event::Gone(key) => drop(promised.insert(*key, false)),
            _ => {}
        }
    }
    let objects: BTreeMap<StorageKey, &Vec<u8>> = files
        .iter()
        .filter_map(|(path, bytes)| Some((StorageKey::parse(path.strip_prefix(root)?.strip_prefix('/')?)?, bytes)))
        .collect();
    for (key, bytes) in &objects {
        if **bytes != content(key) {
            return Some(format!("{key} is there with {} bytes of {}", bytes.len(), content(key).len()));
        }
    }
    promised.into_iter().find_map(|(key, there)| match (there, objects.contains_key(&key)) {
        (true, false) => Some(format!("{key} was promised and is gone")),
        (false, true) => Some(format!("{key} was deleted and is back")),
        _ => None,
    })
}

/// Cuts the power after each event, in the worst way and in some others; gives the first thing found wrong.
fn first_wrong(events: &[Event], top: &Path, root: &str) -> Option<String> {
    let mut model = Model::new(top);
    let mut state = 1u64;
    let mut coin = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 63 == 1
    };
    for (n, event) in events.iter().enumerate() {
        model.apply(event);
        let seen = &events[..=n];
        let mut found = wrong_after(seen, &model, root, &mut || false);
        for _ in 0..8 {
            found = found.or_else(|| wrong_after(seen, &model, root, &mut coin));
        }
        if let Some(what) = found {
            return Some(format!("after {event:?}: {what}"));
        }
    }
    None
}

fn id(n: u8) -> ObjectId {
    ObjectId([n; 32])
}

const SESSION: SessionId = SessionId([7; 16]);

/// The one content an object may have.
fn content(key: &StorageKey) -> Vec<u8> {
    match key {
        StorageKey::Pack(_) | StorageKey::Tree(_) => vec![9; BLOCK_ALIGN + 100],
        key => key.path().into_bytes(),
    }
}

fn write(recorder: &Recorder, storage: &dyn Storage, key: StorageKey) {
    let mut writer = storage.writer(key.area()).unwrap();
    for part in content(&key).chunks(BLOCK_ALIGN) {
        let mut block = Block::new(BLOCK_ALIGN);
        block.fill(part);
        writer.append(&mut block).unwrap();
    }
    assert_eq!(writer.commit(&key).unwrap(), Created::New);
    recorder.add(Event::There(key));
}

type Events = Vec<(Event, bool)>;

/// All that a process does to a store on a disk.
fn one_process(root: &Path) -> Events {
    let events = Arc::default();
    let recorder = Recorder::new(root, &events, true);
    let storage = LocalStorage::create_watched(root, Some(recorder.clone())).unwrap();
    for area in Area::ALL {
        recorder.add(Event::FolderThere(recorder.full(area.folder())));
    }
    let put = |key: StorageKey| assert_eq!(recorder.put(&storage, key), Created::New);
    let outcome = StorageKey::Outcome(SESSION);
    put(StorageKey::Config(1));
    put(StorageKey::Lease(SESSION));
    write(&recorder, &storage, StorageKey::Pack(id(1)));
    write(&recorder, &storage, StorageKey::Pack(second_id(1)));
    put(StorageKey::Segment(0, id(3)));
    put(StorageKey::Snapshot(id(4)));
    put(outcome);
    for key in [StorageKey::Snapshot(id(4)), StorageKey::Lease(SESSION), outcome] {
        recorder.add(Event::Either(key));
        storage.delete(&key).unwrap();
        recorder.add(Event::Gone(key));
    }
    // The session's folder went and is made anew.
    put(StorageKey::Checkpoint(SESSION, 2));
    drop(storage);
    std::mem::take(&mut events.lock())
}

/// A second process meets what the first has begun. The first one's syncs of the same come too late to matter.
fn two_processes(root: &Path) -> Events {
    let events = Arc::default();
    let (recorder, other) = (Recorder::new(root, &events, false), Recorder::new(root, &events, true));
    let first = LocalStorage::create_watched(root, Some(recorder.clone())).unwrap();
    let second = Arc::new(LocalStorage::open_watched(root, Some(other.clone())).unwrap());

    // It uses a folder that was just made: the folder's name must not hang on a sync that has not come yet.
    let tree = StorageKey::Tree(id(5));
    let (storage, log, named) = (second.clone(), other.clone(), tree.path());
    recorder.interrupt(
        move |step| matches!(step, Step::Name(_, to) if *to == named),
        move || write(&log, &*storage, StorageKey::Tree(second_id(5))),
    );
    write(&recorder, &first, tree);

    // It finds an object that is named but not synced yet, and says that it exists.
    let outcome = StorageKey::Outcome(SESSION);
    let (storage, log) = (second.clone(), other.clone());
    recorder.interrupt(
        move |step| matches!(step, Step::SyncFolder(_)),
        move || assert_eq!(log.put(&*storage, outcome), Created::Exists),
    );
    assert_eq!(recorder.put(&first, outcome), Created::New);

    // It finds an object gone whose deletion is not synced yet, and says that it is gone.
    let key = StorageKey::Config(1);
    recorder.put(&first, key);
    recorder.add(Event::Either(key));
    let log = other.clone();
    recorder.interrupt(
        move |step| matches!(step, Step::SyncFolder(_)),
        move || {
            second.delete(&key).unwrap();
            log.add(Event::Gone(key));
        },
    );
    first.delete(&key).unwrap();
    drop(first);
    std::mem::take(&mut events.lock())
}

/// Another name in the same folder.
fn second_id(first_byte: u8) -> ObjectId {
    ObjectId(std::array::from_fn(|i| if i == 0 { first_byte } else { 0xee }))
}

/// What lies in a folder now.
fn files_in(folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            files_in(&entry, files);
        } else {
            files.insert(entry.to_str().unwrap().to_owned(), std::fs::read(&entry).unwrap());
        }
    }
}

/// Checks that the events keep their promises, and would not with any needed sync left out. Gives the number of those.
fn check(scenario: fn(&Path) -> Events, files_too: bool) -> usize {
    let top = quick_folder();
    let root = top.path().join("parent/store");
    let recorded = scenario(&root);
    let root = root.to_str().unwrap();
    let events: Vec<Event> = recorded.iter().map(|(event, _)| event.clone()).collect();

    // The model is no fantasy: at the end it holds what the disk holds.
    let mut model = Model::new(top.path());
    events.iter().for_each(|event| model.apply(event));
    let mut real = BTreeMap::new();
    files_in(top.path(), &mut real);
    assert_eq!(model.cut(&mut || true).0, real, "steps that went round the watch");

    assert_eq!(first_wrong(&events, top.path(), root), None);
    let is_sync = |event: &Event| match event {
        Event::SyncFile(_) => files_too,
        event => matches!(event, Event::SyncFolder(_)),
    };
    let needed: Vec<usize> = (0..events.len()).filter(|&n| recorded[n].1 && is_sync(&events[n])).collect();
    for &n in &needed {
        let mut fewer = events.clone();
        let sync = fewer.remove(n);
        let wrong = first_wrong(&fewer, top.path(), root);
        assert!(wrong.is_some(), "nobody would notice if {sync:?} were left out, behind {:?}", &events[n - 1]);
    }
    needed.len()
}

#[test]
fn a_power_cut_anywhere_loses_nothing_acknowledged_and_no_sync_can_be_left_out() {
    // Two folders above and the store's own; eight objects with file and folder, five with a new folder; three deletions.
    assert_eq!(check(one_process, true), 3 + 8 * 2 + 4 + 3);
}

#[test]
fn what_another_process_has_only_begun_is_made_durable_before_it_is_relied_on() {
    // A tree and its folder; an outcome that exists and its folder; a deletion. (The file of the outcome that lost the
    // race was synced for nothing.)
    assert_eq!(check(two_processes, false), 2 + 2 + 1);
}
