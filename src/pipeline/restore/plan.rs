//! plan: the tree in order, into windows.
//!
//! Takes the snapshot's entries, gives windows to `emit`. Owns the stack of directories between the outermost one and
//! where the walk is, their subdirectories whose turn is still to come, and the hard-link groups that are not complete.
//! Bound: one window, and about 100 bytes for each subdirectory still to come. Runs on the calling thread. A part of
//! the tree that cannot be read is named and passed over.

use super::directories::{Directories, Entered};
use super::item::{Fate, File, Finish, FirstName, Folder, HOLE, Itself, OtherName, Ready, Window};
use super::links::{Link, Links};
use super::rules::Choice;
use super::tally::count;
use super::window::Builder;
use super::{ATTRIBUTES_DIFFER, IN_THE_WAY, IN_USE, Overwrite, RestoreContext, links, verify, write};
use crate::base::id::ContentId;
use crate::base::limits::{BLOB_PLAIN_BYTES_MAX, KIB, PARTIAL_BYTES_MIN};
use crate::base::path::{after, path_of, split_key, subtree_prefix};
use crate::crypto::hash::content_id;
use crate::destination::{DIRECTORY_STAYS, Destination, Existing};
use crate::format::blob::BlobKind;
use crate::format::compare::Fields;
use crate::format::list::Item;
use crate::format::tree::{Content, Entry, EntryKind, Meta};
use crate::index::Location;
use crate::monitor::Counter;
use crate::object::ObjectError;
use crate::pipeline::restore::RestoreError;
use crate::store::StoreError;
use crate::tree::place::PlaceError;
use crate::tree::reader::Reader;
use std::cell::RefCell;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release};

/// What a sealed blob may add to its plaintext: headers, and what raw data of a group needs.
const BLOB_EXTRA_BYTES_MAX: usize = 64 * KIB;

/// What becomes of an entry, given what lies there.
enum Action {
    Create,
    Replace,
    Pass,
}

pub(super) struct Planner<'a, D: Destination> {
    context: &'a RestoreContext<'a, D>,
    directories: Directories<D>,
    links: Links<D>,
    window: Builder<'a, D>,
    lists: Option<Reader>,
    found: Vec<Location>,
    reloaded: bool,
    /// Files to be read back at the end, with their content.
    spanning: Vec<(Arc<File<D>>, Content)>,
}

/// Plans everything below the context's base, window by window.
pub(super) fn plan<'a, D: Destination>(
    context: &'a RestoreContext<'a, D>,
    emit: &'a mut dyn FnMut(Window<D>),
) -> Result<(), RestoreError> {
    let mut reader = Reader::new(context.store.clone(), 16 << 20);
    let base = &context.request.base;
    let mut planner = Planner {
        context,
        directories: Directories::new(base, context),
        links: Links::default(),
        window: Builder::new(emit),
        lists: Some(Reader::new(context.store.clone(), 1 << 20)),
        found: vec![],
        reloaded: false,
        spanning: vec![],
    };
    let root = &context.request.root;
    if !base.is_empty() {
        match reader.entry(root, base)? {
            None => {
                let path = String::from_utf8_lossy(&path_of(base)).into_owned();
                return Err(PlaceError::Nothing { path }.into());
            }
            Some(entry) if entry.meta.kind != EntryKind::Directory => {
                planner.directories.is_for_one_entry(&entry.key);
                _ = planner.each(entry);
                return planner.end();
            }
            Some(mut entry) => {
                planner.own(&mut entry);
                planner.say_unreadable(&entry);
                planner.directories.outermost(entry, context);
            }
        }
    }
    let from = subtree_prefix(base);
    let to = after(&from);
    let planner = RefCell::new(planner);
    let mut each = |entry| planner.borrow_mut().each(entry);
    let mut damaged = |lost: Range<&[u8]>, error: StoreError| planner.borrow_mut().damaged(lost, &error);
    reader.entries(root, &from, &to, &mut each, &mut damaged)?;
    planner.into_inner().end()
}

impl<'a, D: Destination> Planner<'a, D> {
    fn each(&mut self, mut entry: Entry) -> ControlFlow<()> {
        if self.context.is_over() {
            return ControlFlow::Break(());
        }
        self.own(&mut entry);
        if entry.key.is_empty() {
            self.say_unreadable(&entry);
            self.directories.outermost(entry, self.context);
        } else {
            self.entry(entry);
        }
        ControlFlow::Continue(())
    }

    /// Owners by their names, where that is asked for.
    fn own(&self, entry: &mut Entry) {
        if let Some(owners) = &self.context.request.owners {
            owners.give(&mut entry.meta);
        }
    }

    /// A node of the tree that cannot be read.
    fn damaged(&mut self, lost: Range<&[u8]>, error: &StoreError) -> ControlFlow<()> {
        let tally = self.context.tally;
        self.directories.lose(lost.clone());
        let (counter, why) = match error.is_damage() {
            true => (&tally.counts.damaged_ranges, "is damaged"),
            false => (&tally.counts.store_unreadable, "could not be read from the store"),
        };
        count(counter);
        let message = format!("the part of the snapshot that begins here {why} and is not restored: {error}");
        if error.is_unreadable() {
            self.context.storage_is_there();
        }
        tally.problem(path_of(lost.start), message);
        if self.context.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn end(mut self) -> Result<(), RestoreError> {
        if !self.context.is_over() {
            self.directories.close_all(self.context, &mut self.window);
        }
        if !self.spanning.is_empty() {
            self.window.flush();
            self.check_spanning();
        }
        self.window.flush();
        Ok(())
    }

    fn entry(&mut self, mut entry: Entry) {
        let Some((parents, name)) = split_key(&entry.key) else { return };
        let entered = self.directories.enter(parents, self.context, &mut self.window);
        let Entered::Yes(parent) = entered else { return };
        self.directories.saw(name, self.context);
        let directory = entry.meta.kind == EntryKind::Directory;
        let rules = &self.context.request.rules;
        let choice = if rules.take_all() { Choice::Yes } else { rules.choose(&path_of(&entry.key), directory, parent) };
        if choice == Choice::No {
            return self.directories.leave_out(directory, name, choice);
        }
        let tally = self.context.tally;
        if choice == Choice::Yes {
            count(&tally.counts.entries);
            tally.monitor.add(Counter::Entries, 1);
        }
        self.say_unreadable(&entry);
        if entry.changed_while_read {
            count(&tally.counts.changed_while_read);
        }
        if directory {
            let unlisted = entry.content == Content::Unreadable;
            let name: Box<[u8]> = name.into();
            let finish = Finish::of(&mut entry, self.context.request.flags_known);
            return self.directories.comes_later(&name, finish, choice, unlisted);
        }
        if entry.content == Content::Unreadable {
            return;
        }
        let name: Box<[u8]> = name.into();
        if let Some(folder) = self.directories.folder(self.context) {
            self.leaf(folder, &name, entry);
        }
    }

    /// What the backup could not read is named.
    fn say_unreadable(&self, entry: &Entry) {
        if entry.content != Content::Unreadable {
            return;
        }
        let tally = self.context.tally;
        count(&tally.counts.unreadable);
        let what = match entry.meta.kind {
            EntryKind::Directory => {
                "it could not be listed completely at the time of the backup; what the snapshot lacks of it is not \
                 restored"
            }
            _ => "it could not be read when it was backed up; the snapshot has only its metadata",
        };
        tally.problem(path_of(&entry.key), what.into());
    }

    /// A file, or anything else that is no directory.
    fn leaf(&mut self, folder: Arc<Folder<D>>, name: &[u8], mut entry: Entry) {
        let size = self.size_of(&entry);
        let finish = Finish::of(&mut entry, self.context.request.flags_known);
        let linked = match self.links.meet(&entry, &folder, name) {
            Link::Other(first) => {
                let Meta { kind, target, rdev, .. } = entry.meta;
                let itself = Itself { kind, size, target, rdev };
                let clears = self.directories.clears(self.context);
                return self.window.other_name(OtherName { first, folder, name: name.into(), itself, finish, clears });
            }
            Link::Differs => {
                let message = "it has the inode number of an earlier file, but is another file or changed during the \
                               backup: it is restored as a file of its own";
                self.context.tally.monitor.note(&format!("{}: {message}", self.context.display(&entry.key)));
                true
            }
            Link::First => true,
            Link::None => false,
        };
        let action = self.action(&folder, name, &entry, size, &finish);
        let replace = matches!(action, Some((Action::Replace, _)));
        let (pass, existing) = match action {
            None => return,
            Some((action, existing)) => (matches!(action, Action::Pass), existing),
        };
        let first_name = linked.then(|| {
            let first = FirstName::new(folder.clone(), name);
            if let Some(existing) = existing.filter(|_| pass) {
                _ = first.became.set(Ok(existing.identity));
            }
            let first = Arc::new(first);
            self.links.keep(&entry, first.clone());
            first
        });
        if pass && (entry.meta.kind != EntryKind::File || !self.verifies()) {
            return;
        }
        if entry.meta.kind == EntryKind::File {
            let mut file = File::new(folder, name, size, finish, replace);
            file.first_name = first_name;
            file.clears = self.directories.clears(self.context);
            file.settled = pass.into();
            file.kept = pass;
            file.content = partial(&entry, size);
            self.file(Arc::new(file), entry, pass);
        } else if self.context.request.dry_run {
            write::count_special(entry.meta.kind, self.context.tally);
        } else {
            let Meta { kind, target, rdev, .. } = entry.meta;
            let (name, itself) = (name.into(), Itself { kind, size, target, rdev });
            let clears = self.directories.clears(self.context);
            self.window.ready(Ready::Special { folder, name, itself, finish, replace, clears, first_name });
        }
    }

    /// How long the restored file is: what was stored of it.
    fn size_of(&mut self, entry: &Entry) -> u64 {
        match entry.content.stored_len() {
            Some(len) => len,
            // A list may be long, so that it is only added up where the size recorded may not be what was read.
            None if entry.changed_while_read => {
                let mut len = 0u64;
                let add = &mut |item: Item| {
                    len = len.saturating_add(item.len());
                    ControlFlow::Continue(())
                };
                // An error shows again when the items are planned.
                _ = self.lists.as_mut().map(|lists| lists.items(&entry.content, add));
                len
            }
            None => entry.meta.size,
        }
    }

    /// What becomes of an entry; `None` when it was dealt with. With what lies there.
    fn action(
        &self,
        folder: &Arc<Folder<D>>,
        name: &[u8],
        entry: &Entry,
        size: u64,
        finish: &Finish,
    ) -> Option<(Action, Option<Existing>)> {
        let (tally, request) = (self.context.tally, self.context.request);
        let Some(destination) = self.context.destination.filter(|_| !folder.fresh) else {
            return Some((Action::Create, None));
        };
        let Some(handle) = &folder.handle else { return Some((Action::Create, None)) };
        let existing = match destination.look(handle, name) {
            Ok(None) => return Some((Action::Create, None)),
            Ok(Some(existing)) => existing,
            Err(error) => {
                tally.problem(folder.path_of(name), format!("cannot look at what lies in the target: {error}"));
                return None;
            }
        };
        let dry = request.dry_run && existing.kind == EntryKind::Directory;
        if dry && !self.directories.would_give_way(folder, name, self.context) {
            tally.problem(folder.path_of(name), DIRECTORY_STAYS.into());
            return None;
        }
        if existing.half_written {
            return Some((Action::Replace, Some(existing)));
        }
        let (right, differing) = self.compare(&existing, (folder, handle, name), entry, size, finish);
        if !right && self.is_half_made(&existing, handle, name, entry, finish) {
            return Some((Action::Replace, Some(existing)));
        }
        let left = || {
            count(&tally.counts.left);
            tally.absent(folder.path_of(name));
        };
        match request.overwrite {
            Overwrite::Never => left(),
            Overwrite::IfChanged | Overwrite::Always if !right && self.context.is_in_use(&existing) => {
                left();
                tally.problem(folder.path_of(name), IN_USE.into());
            }
            Overwrite::Always => return Some((Action::Replace, Some(existing))),
            Overwrite::IfChanged if !right => return Some((Action::Replace, Some(existing))),
            // It has other names, and whether the snapshot links just those is not known: what is set of it would be set
            // of them as well.
            Overwrite::IfChanged if !differing.is_empty() && existing.nlink > 1 => {
                return Some((Action::Replace, Some(existing)));
            }
            Overwrite::Refuse if !right => {
                left();
                tally.problem(folder.path_of(name), IN_THE_WAY.into());
            }
            _ => {
                count(&tally.counts.unchanged);
                tally.counts.bytes_unchanged.fetch_add(size, Relaxed);
                tally.monitor.add(Counter::FilesUnchanged, 1);
                if !request.dry_run && !differing.is_empty() {
                    self.attributes_of(&existing, differing, folder, handle, name, finish);
                }
                return Some((Action::Pass, Some(existing)));
            }
        }
        None
    }

    /// Whether what lies there is right by kind, size and time, and what else of it differs.
    fn compare(
        &self,
        existing: &Existing,
        (folder, handle, name): (&Folder<D>, &D::Directory, &[u8]),
        entry: &Entry,
        size: u64,
        finish: &Finish,
    ) -> (bool, Fields) {
        let (tally, request, mut differing) = (self.context.tally, self.context.request, Fields::empty());
        let Some(destination) = self.context.destination else { return (false, differing) };
        let kind = entry.meta.kind;
        let len = if kind == EntryKind::Symlink { entry.meta.target.len() as u64 } else { size };
        let sized = matches!(kind, EntryKind::File | EntryKind::Symlink);
        let mut right = existing.kind == kind
            && (!sized || existing.size == len)
            && destination.same_time(handle, existing, entry.meta.mtime, request.dry_run);
        if right && matches!(request.overwrite, Overwrite::Refuse | Overwrite::IfChanged) {
            match destination.compare(existing, handle, name, &finish.facts(&entry.meta)) {
                Ok(fields) => differing = fields,
                Err(error) => tally.problem(folder.path_of(name), format!("cannot read its attributes: {error}")),
            }
            right = !differing.intersects(Fields::ESSENCE);
        }
        (right, differing)
    }

    /// Whether an interrupted restore made a link or a device, which have no mark while they are made, and did not get to
    /// give it its time.
    fn is_half_made(
        &self,
        existing: &Existing,
        handle: &D::Directory,
        name: &[u8],
        entry: &Entry,
        finish: &Finish,
    ) -> bool {
        let Some(destination) = self.context.destination else { return false };
        let kind = entry.meta.kind;
        let special = existing.kind == kind && !matches!(kind, EntryKind::File | EntryKind::Directory);
        if !special || self.context.request.overwrite != Overwrite::Refuse {
            return false;
        }
        let differ = || destination.compare(existing, handle, name, &finish.facts(&entry.meta));
        destination.is_half_made(handle, existing) && differ().is_ok_and(|differ| !differ.intersects(Fields::ESSENCE))
    }

    /// Mode, owner, attributes and flags of what is right otherwise: corrected or named.
    fn attributes_of(
        &self,
        existing: &Existing,
        differing: Fields,
        folder: &Folder<D>,
        handle: &D::Directory,
        name: &[u8],
        finish: &Finish,
    ) {
        let (tally, Some(destination)) = (self.context.tally, self.context.destination) else { return };
        let which = differing.names().join(", ");
        if self.context.request.overwrite == Overwrite::IfChanged {
            match destination.correct_attributes(handle, name, existing.kind, &finish.attributes()) {
                Ok(losses) => tally.lost(|| folder.path_of(name), losses),
                Err(error) => {
                    tally.problem(folder.path_of(name), format!("{which} cannot be corrected: {error}"));
                }
            }
        } else {
            tally.problem(folder.path_of(name), format!("{ATTRIBUTES_DIFFER}: {which}"));
        }
    }

    fn verifies(&self) -> bool {
        self.context.request.verify && !self.context.request.dry_run
    }

    /// A file's content into pieces. A file that is `kept` as it is is only read back.
    fn file(&mut self, file: Arc<File<D>>, entry: Entry, kept: bool) {
        let (tally, size) = (self.context.tally, file.size);
        if size != entry.meta.size && !entry.changed_while_read {
            let message =
                format!("the snapshot says that its size is {}, but has {size} bytes of content", entry.meta.size);
            tally.problem(file.path(), message);
        }
        let bytes = match entry.content {
            Content::Items(items) => {
                let mut at = self.begin(kept);
                for item in &items {
                    self.item(&file, *item, &mut at);
                }
                return self.planned(&file, at, || Content::Items(items));
            }
            content @ Content::List { .. } => return self.content(&file, content, kept),
            Content::Inline(bytes) => bytes,
            Content::Empty | Content::Unreadable => vec![],
        };
        if self.context.request.dry_run {
            return write::count_file(&file, tally);
        }
        let check = self.verifies().then(|| (content_id(&self.context.store.ring.keys.chunk_id, &bytes), bytes.len()));
        // Either may fill the window: what is read back must not lie in an earlier one than what restores it.
        if !kept {
            self.window.ready(Ready::File(file.clone(), bytes));
        }
        if let Some((id, len)) = check {
            self.window.check(&file, id, len as u32, 0);
            verify::done(&file, 1, self.context);
        }
    }

    fn begin(&self, kept: bool) -> Pieces {
        Pieces { offset: 0, pieces: 0, checks: 0, kept, window: self.window.number() }
    }

    /// Content whose items may come from lists.
    fn content(&mut self, file: &Arc<File<D>>, content: Content, kept: bool) {
        let Some(mut lists) = self.lists.take() else { return };
        let mut at = self.begin(kept);
        let read = lists.items(&content, &mut |item| {
            self.item(file, item, &mut at);
            if self.context.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        self.lists = Some(lists);
        if let Err(error) = read {
            write::lose(file, &error, self.context.tally);
        } else if at.offset != file.size && !self.context.is_over() {
            let object = "the list of its chunks, which does not add up to its size".into();
            write::lose(file, &ObjectError::Mismatch { object }.into(), self.context.tally);
        }
        self.planned(file, at, || content);
    }

    /// All pieces of a file are planned. Whoever takes the last token finishes it.
    fn planned(&mut self, file: &Arc<File<D>>, at: Pieces, content: impl FnOnce() -> Content) {
        if self.context.request.dry_run {
            if file.fate() == Fate::Well {
                write::count_file(file, self.context.tally);
            }
            return;
        }
        if self.verifies() {
            if at.window != self.window.number() && !at.kept {
                // Its first windows are read back before its last one is restored: it has to wait until the end.
                file.spans.store(true, Release);
                self.spanning.push((file.clone(), content()));
            } else {
                if at.checks == 0 {
                    self.window.check(file, ContentId([0; 32]), 0, 0);
                }
                verify::done(file, 1, self.context);
            }
        }
        if at.kept {
            return;
        }
        file.pieces.store(at.pieces, Release);
        if file.left.fetch_sub(1, AcqRel) == 1 {
            write::finish(file, self.context);
        }
    }

    fn item(&mut self, file: &Arc<File<D>>, item: Item, at: &mut Pieces) {
        let offset = at.offset;
        at.offset = offset.saturating_add(item.len());
        let Item::Chunk { id, len } = item else { return self.hole(file, offset, item.len(), at) };
        if self.verifies() {
            at.checks += 1;
            self.window.check(file, id, len, offset);
        }
        if at.kept {
            return;
        }
        let Some(location) = self.locate(&id, len) else {
            let unknown = ObjectError::Unknown { object: format!("chunk {id}") };
            return write::lose(file, &unknown.into(), self.context.tally);
        };
        if !self.context.request.dry_run {
            at.pieces += 1;
            self.window.piece(file, id, &location, offset);
        }
    }

    fn hole(&mut self, file: &Arc<File<D>>, mut offset: u64, mut len: u64, at: &mut Pieces) {
        if !at.kept {
            write::hole(file, offset, len, self.context);
        }
        while self.verifies() && len > 0 {
            let piece = u32::try_from(len).unwrap_or(1 << 31);
            at.checks += 1;
            self.window.check(file, HOLE, piece, offset);
            offset += u64::from(piece);
            len -= u64::from(piece);
        }
    }

    /// Files that span windows are read back when all is restored.
    fn check_spanning(&mut self) {
        for (file, content) in std::mem::take(&mut self.spanning) {
            let File { folder, name, size, finish, .. } = &*file;
            let mut twin = File::new(folder.clone(), name, *size, finish.clone(), false);
            twin.twin_of = Some(file.clone());
            let twin = Arc::new(twin);
            self.content(&twin, content, true);
        }
    }

    /// Where a chunk lies; when in several places, in the pack of the one before it if that is one of them.
    fn locate(&mut self, id: &ContentId, len: u32) -> Option<Location> {
        loop {
            self.found.clear();
            let index = self.context.index();
            index.locate(id, &mut self.found);
            // The index is never trusted: what cannot be is passed over.
            let blob_max = (BLOB_PLAIN_BYTES_MAX + BLOB_EXTRA_BYTES_MAX) as u32;
            let usable =
                |l: &&Location| l.blob_kind == BlobKind::Chunks && l.inner_len == len && l.blob_len <= blob_max;
            let last = self.window.last_pack();
            let mut usable = self.found.iter().filter(usable);
            let first = usable.next();
            // Places that were found damaged come last, and are not chosen for being near.
            let is_near = |l: &&Location| Some(l.pack) == last && !index.is_suspect(l);
            let near = first.filter(is_near).or_else(|| usable.find(is_near));
            if let Some(location) = near.or(first) {
                return Some(*location);
            }
            drop(index);
            // Another host may have moved it since the index was read. Once is enough.
            if self.reloaded || self.context.store.load_index().is_err() {
                return None;
            }
            self.reloaded = true;
        }
    }
}

/// What stands for the content of a file that is big enough to be continued by a later run.
fn partial(entry: &Entry, size: u64) -> Option<[u8; 16]> {
    (size >= PARTIAL_BYTES_MIN).then(|| links::fingerprint(entry))
}

/// How far a file's content is planned.
struct Pieces {
    offset: u64,
    pieces: u64,
    checks: u64,
    kept: bool,
    /// The window in which it began.
    window: u64,
}
