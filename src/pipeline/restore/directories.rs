//! The stack of directories of a walk in tree order.
//!
//! A directory's entries come together, its subdirectories among them; then each subdirectory's entries in the same
//! order. So a directory is complete when something outside its subtree comes. It is made when its first entry comes,
//! or when it is complete: never before, since rules may leave it out.

use super::item::{Closing, Finish, Folder, Swept};
use super::rules::Choice;
use super::sweep::{self, Known};
use super::tally::count;
use super::window::Builder;
use super::{ATTRIBUTES_DIFFER, IN_USE, LINK_LEADS, OnTheWay, Overwrite, RestoreContext};
use crate::base::path::{path_of, split_key, subtree_prefix};
use crate::destination::{Clearing, Destination, FoundDirectory, Way};
use crate::format::tree::{Content, Entry, EntryKind};
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// From the outermost directory to where the walk is.
pub struct Directories<D: Destination> {
    open: Vec<Open<D>>,
    /// The outermost one stands for no entry of the snapshot.
    for_one_entry: bool,
    /// Of which directories the snapshot knows everything.
    known: Known,
}

struct Open<D: Destination> {
    /// What its entries' parent components are.
    prefix: Vec<u8>,
    finish: Option<Finish>,
    choice: Choice,
    folder: Option<Arc<Folder<D>>>,
    found: FoundDirectory,
    /// It could not be made: nothing below it can be restored.
    refused: bool,
    /// The backup could not list it.
    unlisted: bool,
    /// In the snapshot it lies on a file system that is mounted within its source and that it may have only a part of.
    beyond: bool,
    /// In the target it lies on one that is mounted where the snapshot has a directory of the file system above.
    mounted: bool,
    /// A link that is not followed leads to it in the target, or to one above it: as it sees that, this is something else.
    closed: bool,
    /// Names of its entries in the snapshot, where what it lacks is to be removed.
    names: Vec<Box<[u8]>>,
    /// Subdirectories whose entries are still to come.
    later: VecDeque<Later>,
}

struct Later {
    name: Box<[u8]>,
    finish: Option<Finish>,
    choice: Choice,
    unlisted: bool,
}

/// Whether the walk is in a directory that is restored.
pub enum Entered {
    /// With what the rules say of it.
    Yes(Choice),
    /// All in it is left out.
    No,
}

impl<D: Destination> Directories<D> {
    /// Only the outermost one, which stands for the key `base`.
    pub fn new(base: &[u8], context: &RestoreContext<'_, D>) -> Directories<D> {
        let (handle, found) = match context.destination {
            Some(destination) => {
                let (root, found) = destination.root();
                (Some(root), found)
            }
            None => (None, FoundDirectory::New),
        };
        let folder = Folder { key: base.into(), handle, fresh: found == FoundDirectory::New };
        let mut directories = Directories {
            open: vec![Open {
                prefix: subtree_prefix(base),
                finish: None,
                choice: context.request.rules.outermost(&path_of(base)),
                folder: Some(Arc::new(folder)),
                found,
                refused: false,
                unlisted: false,
                // What it lay on is not known.
                beyond: true,
                mounted: false,
                closed: false,
                names: vec![],
                later: VecDeque::new(),
            }],
            for_one_entry: false,
            known: Known::below(&context.request.sources),
        };
        if let Some(folder) = directories.open[0].folder.clone() {
            directories.open[0].closed = directories.is_closed(0, &folder, context);
        }
        directories
    }

    /// The entry that the outermost directory stands for.
    pub fn outermost(&mut self, mut entry: Entry, context: &RestoreContext<'_, D>) {
        if entry.meta.kind == EntryKind::Directory {
            self.open[0].finish = Some(Finish::of(&mut entry, context.request.flags_known));
            self.open[0].unlisted = entry.content == Content::Unreadable;
        }
    }

    /// The outermost directory takes one entry, which is not a directory.
    pub fn is_for_one_entry(&mut self, key: &[u8]) {
        let (parents, _) = split_key(key).unwrap_or_default();
        self.for_one_entry = true;
        let outermost = &mut self.open[0];
        outermost.prefix = parents.to_vec();
        // Chosen by its path: no rule need name it again.
        outermost.choice = Choice::Yes;
        if let Some(folder) = &mut outermost.folder {
            let key = parents.strip_suffix(&[0]).unwrap_or(parents);
            let handle = folder.handle.clone();
            *folder = Arc::new(Folder { key: directory_key(key).into(), handle, fresh: folder.fresh });
        }
    }

    /// In a dry run: whether a directory in the last one would give way to what the snapshot has.
    pub fn would_give_way(&self, folder: &Arc<Folder<D>>, name: &[u8], context: &RestoreContext<'_, D>) -> bool {
        let Some(choice) = self.clears(context) else { return true };
        let clear = |clearing| sweep::clear(folder, name, choice, clearing, context);
        clear(Clearing::Ask) && clear(Clearing::Remove(name))
    }

    /// Whether directories in the last one give way to what the snapshot has, with what the rules say of the last one:
    /// with `--delete` and overwriting what is in them goes, since the snapshot lacks it.
    pub fn clears(&self, context: &RestoreContext<'_, D>) -> Option<Choice> {
        let clears = context.request.delete
            && context.request.overwrite.replaces()
            && !self.last().mounted
            && !self.last().closed;
        clears.then(|| self.last().choice)
    }

    /// Goes to the directory with these parent components; those that are complete by that are closed.
    pub fn enter(&mut self, parents: &[u8], context: &RestoreContext<'_, D>, window: &mut Builder<'_, D>) -> Entered {
        if self.last().prefix != parents {
            while !parents.starts_with(&self.last().prefix) {
                if self.open.len() == 1 {
                    return Entered::No;
                }
                self.close_last(context, window);
            }
            while let Some(rest) = parents.get(self.last().prefix.len()..).filter(|rest| !rest.is_empty()) {
                let name = rest.split(|&b| b == 0).next().unwrap_or(rest).to_vec();
                self.descend(&name, context, window);
            }
        }
        let last = self.last();
        if last.refused || last.choice == Choice::No { Entered::No } else { Entered::Yes(last.choice) }
    }

    fn last(&self) -> &Open<D> {
        &self.open[self.open.len() - 1]
    }

    fn last_mut(&mut self) -> &mut Open<D> {
        let last = self.open.len() - 1;
        &mut self.open[last]
    }

    /// Into the subdirectory `name` of the last one; those before it have no entries.
    fn descend(&mut self, name: &[u8], context: &RestoreContext<'_, D>, window: &mut Builder<'_, D>) {
        let mut known = None;
        while let Some(later) = self.last_mut().later.pop_front() {
            if *later.name == *name {
                known = Some(later);
                break;
            }
            if *later.name > *name {
                self.last_mut().later.push_front(later);
                break;
            }
            self.push(later);
            self.close_last(context, window);
        }
        // A directory whose own entry was lost, or never there, is made without attributes.
        let choice = self.last().choice;
        let known = known.unwrap_or_else(|| {
            self.saw(name, context);
            Later { name: name.into(), finish: None, choice, unlisted: false }
        });
        self.push(known);
    }

    fn push(&mut self, later: Later) {
        let last = self.last();
        let refused = last.refused;
        let beyond = last.beyond && !self.known.is_source(&last.prefix) && self.known.is_in_source(&last.prefix);
        let beyond = beyond || crosses(last.finish.as_ref(), later.finish.as_ref());
        let mut prefix = Vec::with_capacity(last.prefix.len() + later.name.len() + 1);
        prefix.extend_from_slice(&last.prefix);
        prefix.extend_from_slice(&later.name);
        prefix.push(0);
        self.open.push(Open {
            prefix,
            finish: later.finish,
            choice: later.choice,
            folder: None,
            found: FoundDirectory::New,
            refused,
            unlisted: later.unlisted,
            beyond,
            mounted: false,
            closed: false,
            names: vec![],
            later: VecDeque::new(),
        });
    }

    /// A directory among the entries of the last one.
    pub fn comes_later(&mut self, name: &[u8], finish: Finish, choice: Choice, unlisted: bool) {
        self.last_mut().later.push_back(Later { name: name.into(), finish: Some(finish), choice, unlisted });
    }

    /// The snapshot has an entry of this name in the last one.
    pub fn saw(&mut self, name: &[u8], context: &RestoreContext<'_, D>) {
        if context.request.delete {
            self.last_mut().names.push(name.into());
        }
    }

    /// Entries with keys in this range cannot be read.
    pub fn lose(&mut self, range: Range<&[u8]>) {
        self.known.lose(range);
    }

    /// An entry that is left out; what lies below a directory is left out with it.
    pub fn leave_out(&mut self, directory: bool, name: &[u8], choice: Choice) {
        if directory {
            self.last_mut().later.push_back(Later { name: name.into(), finish: None, choice, unlisted: false });
        }
    }

    /// The last directory, made if need be together with those above it; `None` when that failed, which was said.
    pub fn folder(&mut self, context: &RestoreContext<'_, D>) -> Option<Arc<Folder<D>>> {
        if let Some(folder) = &self.last().folder {
            return Some(folder.clone());
        }
        let made = self.open.iter().rposition(|open| open.folder.is_some())?;
        for at in made + 1..self.open.len() {
            let parent = self.open[at - 1].folder.clone()?;
            let (prefix, has_entry) = (&self.open[at].prefix, self.open[at].finish.is_some());
            // Where anything may be removed it is known beforehand.
            let follows = |links: &OnTheWay| links.follows(prefix);
            let lets = has_entry && (!context.request.delete || context.on_the_way.get().is_some_and(follows));
            match make(prefix, &parent, lets, context) {
                Some((folder, found)) => {
                    self.open[at].mounted = found != FoundDirectory::New && self.is_mounted(at, &folder, context);
                    self.open[at].closed = self.is_closed(at, &folder, context);
                    self.open[at].folder = Some(Arc::new(folder));
                    self.open[at].found = found;
                }
                None => {
                    self.open[at..].iter_mut().for_each(|open| open.refused = true);
                    return None;
                }
            }
        }
        self.last().folder.clone()
    }

    /// Whether this directory, of those that are open, lies on a file system that is mounted in the target and was not in
    /// the snapshot: what is on it is something else than what was backed up.
    fn is_mounted(&self, at: usize, folder: &Folder<D>, context: &RestoreContext<'_, D>) -> bool {
        let (open, above) = (&self.open[at], &self.open[at - 1]);
        // Above the sources nothing is removed: what is mounted there is where they are wanted.
        let (true, true) = (context.request.delete, self.known.is_in_source(&open.prefix)) else { return false };
        let (Some(destination), Some(handle)) = (context.destination, &folder.handle) else { return false };
        if !destination.is_mounted_on(handle).unwrap_or(true) {
            return above.mounted;
        }
        let mounted = !crosses(above.finish.as_ref(), open.finish.as_ref());
        if mounted && context.request.rules.sweeps(open.choice) {
            let why =
                "another file system is mounted there, which was not so in the snapshot; nothing is deleted from it";
            context.tally.monitor.note(&format!("{}: {why}", context.display(&folder.key)));
        }
        mounted
    }

    /// Whether nothing is removed in this directory, since a link that is not followed leads to it or to one above it.
    fn is_closed(&self, at: usize, folder: &Folder<D>, context: &RestoreContext<'_, D>) -> bool {
        let above = at > 0 && self.open[at - 1].closed;
        let closes =
            |links: &OnTheWay| context.destination.zip(folder.handle.as_ref()).is_some_and(|(d, h)| links.closes(d, h));
        let closed = context.on_the_way.get().is_some_and(closes);
        if closed && !above {
            let why = "a link that is not followed leads to it; nothing is deleted from it";
            context.tally.monitor.note(&format!("{}: {why}", context.display(&folder.key)));
        }
        above || closed
    }

    /// The last directory is complete.
    fn close_last(&mut self, context: &RestoreContext<'_, D>, window: &mut Builder<'_, D>) {
        while let Some(later) = self.last_mut().later.pop_front() {
            self.push(later);
            self.close_empty(context, window);
        }
        self.close_empty(context, window);
    }

    /// Opens the last directory, which nothing was restored into, if the target has it: what the snapshot lacks in it can
    /// be selected all the same. Nothing is made for that, and no link followed.
    fn open_existing(&mut self, context: &RestoreContext<'_, D>) {
        let made = self.open.iter().rposition(|open| open.folder.is_some());
        for at in made.map_or(self.open.len(), |made| made + 1)..self.open.len() {
            let parent = self.open[at - 1].folder.as_ref().and_then(|folder| folder.handle.clone());
            let (Some(destination), Some(parent)) = (context.destination, parent) else { return };
            let prefix = &self.open[at].prefix;
            let key = directory_key(prefix.strip_suffix(&[0]).unwrap_or(prefix));
            let name = split_key(&key).unwrap_or_default().1;
            let Ok(handle) = destination.open_directory(&parent, name) else { return };
            let folder = Folder { key: key.into(), handle: Some(handle), fresh: false };
            self.open[at].found = FoundDirectory::Whole;
            self.open[at].mounted = self.is_mounted(at, &folder, context);
            self.open[at].closed = self.is_closed(at, &folder, context);
            self.open[at].folder = Some(Arc::new(folder));
        }
    }

    /// The last directory is complete and has no subdirectories to come.
    fn close_empty(&mut self, context: &RestoreContext<'_, D>, window: &mut Builder<'_, D>) {
        match self.last().choice {
            _ if self.last().refused => {}
            Choice::Yes => _ = self.folder(context),
            choice if context.request.delete && context.request.rules.sweeps(choice) => self.open_existing(context),
            _ => {}
        }
        if let Some(open) = self.open.pop() {
            complete(open, false, &self.known, context, window);
        }
    }

    /// The walk is over.
    pub fn close_all(&mut self, context: &RestoreContext<'_, D>, window: &mut Builder<'_, D>) {
        while self.open.len() > 1 {
            self.close_last(context, window);
        }
        while let Some(later) = self.last_mut().later.pop_front() {
            self.push(later);
            self.close_empty(context, window);
        }
        match self.open.pop() {
            Some(Open { folder: Some(folder), found: FoundDirectory::New | FoundDirectory::Unfinished, .. })
                if self.for_one_entry && !context.request.dry_run =>
            {
                window.closing(Closing { folder, finish: None, new: true });
            }
            Some(open) => complete(open, true, &self.known, context, window),
            None => {}
        }
    }
}

/// Whether a directory lay on another file system than the one above it. Of one without an entry nothing is known.
fn crosses(above: Option<&Finish>, directory: Option<&Finish>) -> bool {
    above.zip(directory).is_some_and(|(above, directory)| above.device() != directory.device())
}

/// The key of a directory, given its components joined by 0x00.
pub(super) fn directory_key(joined: &[u8]) -> Vec<u8> {
    match joined.iter().rposition(|&b| b == 0) {
        _ if joined.is_empty() => Vec::new(),
        None => [&[0], joined].concat(),
        Some(at) => [&joined[..=at], &[0], &joined[at + 1..]].concat(),
    }
}

/// Makes a directory, or takes the one that is there. `lets` says whether a link may be followed.
fn make<D: Destination>(
    prefix: &[u8],
    parent: &Folder<D>,
    lets: bool,
    context: &RestoreContext<'_, D>,
) -> Option<(Folder<D>, FoundDirectory)> {
    let key = directory_key(prefix.strip_suffix(&[0]).unwrap_or(prefix));
    let name = split_key(&key).unwrap_or_default().1;
    let overwrite = context.request.overwrite;
    let made = match (context.destination, &parent.handle) {
        (Some(destination), Some(handle)) => take(destination, (handle, name), &key, lets, context),
        _ => Ok((None, FoundDirectory::New)),
    };
    match made {
        Ok((handle, found)) => {
            let fresh = found == FoundDirectory::New;
            Some((Folder { key: key.into(), handle, fresh }, found))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && overwrite == Overwrite::Never => {
            count(&context.tally.counts.left);
            None
        }
        Err(error) => {
            let message = format!("the directory cannot be made, and nothing below it was restored: {error}");
            context.failed(path_of(&key), message, error);
            None
        }
    }
}

/// The directory `name` in `parent`; `None` for one that a dry run would make.
fn take<D: Destination>(
    destination: &D,
    (parent, name): (&D::Directory, &[u8]),
    key: &[u8],
    lets: bool,
    context: &RestoreContext<'_, D>,
) -> io::Result<(Option<D::Directory>, FoundDirectory)> {
    let (overwrite, dry_run) = (context.request.overwrite, context.request.dry_run);
    let there = if dry_run {
        destination.open_directory(parent, name).map(|directory| (directory, FoundDirectory::Whole))
    } else {
        destination.directory(parent, name, false)
    };
    let refused = match there {
        Ok((directory, found)) => return Ok((Some(directory), found)),
        Err(e) if dry_run && e.kind() == io::ErrorKind::NotFound => return Ok((None, FoundDirectory::New)),
        Err(e) => e,
    };
    let in_the_way = refused.kind() == io::ErrorKind::AlreadyExists || dry_run;
    if !in_the_way {
        return Err(refused);
    }
    let closed = match destination.way(parent, name)? {
        Way::Nowhere => None,
        Way::Leads { directory, path } if overwrite != Overwrite::Always && lets => {
            let to = String::from_utf8_lossy(&path.join(&b'/')).into_owned();
            context
                .tally
                .monitor
                .note(&format!("{}: a link is followed to {to:?} in the target", context.display(key)));
            return Ok((Some(directory), FoundDirectory::Linked));
        }
        Way::Leads { .. } => Some(LINK_LEADS),
        Way::Closed(why) => Some(why),
    };
    if overwrite == Overwrite::Always && closed.is_some() {
        let what = "the link to a directory that lay here is replaced by a directory (--overwrite always)";
        context.tally.monitor.note(&format!("{}: {what}", context.display(key)));
    } else if let Some(why) = closed {
        return Err(io::Error::other(format!("{why} lies there; --overwrite always replaces it")));
    }
    match (overwrite.replaces(), dry_run) {
        (false, _) => Err(refused),
        (true, true) => Ok((None, FoundDirectory::New)),
        (true, false) if destination.look(parent, name)?.is_some_and(|there| context.is_in_use(&there)) => {
            Err(io::Error::other(IN_USE))
        }
        (true, false) => destination.directory(parent, name, true).map(|(directory, found)| (Some(directory), found)),
    }
}

/// Hands a directory on to be completed when all in it is done, unless it is to be left as it was found.
fn complete<D: Destination>(
    open: Open<D>,
    outermost: bool,
    known: &Known,
    context: &RestoreContext<'_, D>,
    window: &mut Builder<'_, D>,
) {
    let Some(folder) = &open.folder else { return };
    let in_source = known.is_in_source(&open.prefix);
    // With --one-file-system there is nothing of such a directory but what leads to a source.
    let is_part = open.beyond && known.leads_to_source(&open.prefix);
    if is_part && in_source && context.request.delete && open.found != FoundDirectory::New {
        let why =
            "the snapshot may have only a part of the file system that was mounted there; nothing is deleted from it";
        context.tally.monitor.note(&format!("{}: {why}", context.display(&folder.key)));
    }
    let is_swept = context.request.delete
        && open.found != FoundDirectory::New
        && in_source
        && !open.unlisted
        && !is_part
        && !open.mounted
        && !open.closed
        && known.is_complete(&open.prefix)
        && context.request.rules.sweeps(open.choice);
    if is_swept {
        let mut names = open.names;
        names.sort_unstable();
        window.sweep(Swept { folder: folder.clone(), names, choice: open.choice });
    }
    let (Some(folder), Some(finish)) = (open.folder, open.finish) else { return };
    // What only leads to what is restored keeps what it has.
    let is_restored = in_source && open.choice == Choice::Yes;
    let apply = match open.found {
        FoundDirectory::New | FoundDirectory::Unfinished => true,
        FoundDirectory::Whole if is_restored && context.request.overwrite == Overwrite::Refuse => {
            name_differences(&folder, &finish, outermost, context);
            false
        }
        FoundDirectory::Whole => is_restored && context.request.overwrite.replaces(),
        FoundDirectory::Linked => false,
    };
    if !apply {
        return;
    }
    if context.request.dry_run {
        return count(&context.tally.counts.directories);
    }
    window.closing(Closing { folder, finish: Some(finish), new: open.found == FoundDirectory::New });
}

/// A directory that was there and is left as it is.
fn name_differences<D: Destination>(
    folder: &Folder<D>,
    finish: &Finish,
    outermost: bool,
    context: &RestoreContext<'_, D>,
) {
    let (Some(destination), Some(handle)) = (context.destination, &folder.handle) else { return };
    let wanted = finish.attributes();
    match destination.compare_directory(handle, &wanted.facts(EntryKind::Directory)) {
        Ok(fields) if fields.is_empty() => {}
        Ok(fields) => {
            let fields = fields.names().join(", ");
            // The target itself, which may have been made for this.
            if outermost {
                let what = "the target directory differs from the snapshot's and was left as it is (--overwrite if-changed \
                            corrects it)";
                return context.tally.monitor.note(&format!("{}: {what}: {fields}", context.display(&folder.key)));
            }
            context.tally.problem(folder.path(), format!("{ATTRIBUTES_DIFFER}: {fields}"));
        }
        Err(error) => context.tally.problem(folder.path(), format!("cannot read its attributes: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::path::{children_prefix, key_of};

    #[test]
    fn a_directory_has_the_key_that_its_entries_parents_say() {
        for path in [&b"/"[..], b"/a", b"/a/b", b"/a/b/c"] {
            let key = key_of(path).unwrap();
            let prefix = subtree_prefix(&key);
            assert_eq!(directory_key(prefix.strip_suffix(&[0]).unwrap_or(&prefix)), key);
            let child = [children_prefix(&key), b"x".to_vec()].concat();
            assert_eq!(split_key(&child).unwrap().0, prefix);
        }
    }
}
