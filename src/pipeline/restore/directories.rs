//! The stack of directories of a walk in tree order.
//!
//! A directory's entries come together, its subdirectories among them; then each subdirectory's entries in the same
//! order. So a directory is complete when something outside its subtree comes. It is made when its first entry comes,
//! or when it is complete: never before, since rules may leave it out.

use super::item::{Closing, Finish, Folder};
use super::rules::Choice;
use super::tally::count;
use super::window::Builder;
use super::{Context, Overwrite};
use crate::base::path::{path_of, split_key, subtree_prefix};
use crate::destination::{Destination, Found};
use crate::format::tree::{Entry, EntryKind};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// From the outermost directory to where the walk is.
pub struct Directories<D: Destination> {
    open: Vec<Open<D>>,
    /// The outermost one stands for no entry of the snapshot.
    for_one_entry: bool,
}

struct Open<D: Destination> {
    /// What its entries' parent components are.
    prefix: Vec<u8>,
    finish: Option<Finish>,
    choice: Choice,
    folder: Option<Arc<Folder<D>>>,
    found: Found,
    /// It could not be made: nothing below it can be restored.
    refused: bool,
    /// Subdirectories whose entries are still to come.
    later: VecDeque<Later>,
}

struct Later {
    name: Box<[u8]>,
    finish: Option<Finish>,
    choice: Choice,
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
    pub fn new(base: &[u8], context: &Context<'_, D>) -> Directories<D> {
        let (handle, found) = match context.destination {
            Some(destination) => {
                let (root, found) = destination.root();
                (Some(root), found)
            }
            None => (None, Found::New),
        };
        let folder = Folder { key: base.into(), handle, fresh: found == Found::New };
        Directories {
            open: vec![Open {
                prefix: subtree_prefix(base),
                finish: None,
                choice: context.request.rules.outermost(),
                folder: Some(Arc::new(folder)),
                found,
                refused: false,
                later: VecDeque::new(),
            }],
            for_one_entry: false,
        }
    }

    /// The entry that the outermost directory stands for. Only one that this restore made gets its attributes.
    pub fn outermost(&mut self, mut entry: Entry) {
        if entry.meta.kind == EntryKind::Directory {
            self.open[0].finish = Some(Finish::of(&mut entry.meta));
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

    /// Goes to the directory with these parent components; those that are complete by that are closed.
    pub fn enter(&mut self, parents: &[u8], context: &Context<'_, D>, window: &mut Builder<'_, D>) -> Entered {
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
    fn descend(&mut self, name: &[u8], context: &Context<'_, D>, window: &mut Builder<'_, D>) {
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
        self.push(known.unwrap_or_else(|| Later { name: name.into(), finish: None, choice }));
    }

    fn push(&mut self, later: Later) {
        let last = self.last();
        let refused = last.refused;
        let mut prefix = Vec::with_capacity(last.prefix.len() + later.name.len() + 1);
        prefix.extend_from_slice(&last.prefix);
        prefix.extend_from_slice(&later.name);
        prefix.push(0);
        self.open.push(Open {
            prefix,
            finish: later.finish,
            choice: later.choice,
            folder: None,
            found: Found::New,
            refused,
            later: VecDeque::new(),
        });
    }

    /// A directory among the entries of the last one.
    pub fn comes_later(&mut self, name: &[u8], finish: Finish, choice: Choice) {
        self.last_mut().later.push_back(Later { name: name.into(), finish: Some(finish), choice });
    }

    /// An entry that is left out; what lies below a directory is left out with it.
    pub fn leave_out(&mut self, directory: bool, name: &[u8], choice: Choice) {
        if directory {
            self.last_mut().later.push_back(Later { name: name.into(), finish: None, choice });
        }
    }

    /// The last directory, made if need be together with those above it; `None` when that failed, which was said.
    pub fn folder(&mut self, context: &Context<'_, D>) -> Option<Arc<Folder<D>>> {
        if let Some(folder) = &self.last().folder {
            return Some(folder.clone());
        }
        let made = self.open.iter().rposition(|open| open.folder.is_some())?;
        for at in made + 1..self.open.len() {
            let parent = self.open[at - 1].folder.clone()?;
            match make(&self.open[at].prefix, &parent, context) {
                Some((folder, found)) => {
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

    /// The last directory is complete.
    fn close_last(&mut self, context: &Context<'_, D>, window: &mut Builder<'_, D>) {
        while let Some(later) = self.last_mut().later.pop_front() {
            self.push(later);
            self.close_empty(context, window);
        }
        self.close_empty(context, window);
    }

    /// The last directory is complete and has no subdirectories to come.
    fn close_empty(&mut self, context: &Context<'_, D>, window: &mut Builder<'_, D>) {
        if self.last().choice == Choice::Yes && !self.last().refused {
            self.folder(context);
        }
        if let Some(open) = self.open.pop() {
            complete(open, false, context, window);
        }
    }

    /// The walk is over.
    pub fn close_all(&mut self, context: &Context<'_, D>, window: &mut Builder<'_, D>) {
        while self.open.len() > 1 {
            self.close_last(context, window);
        }
        while let Some(later) = self.last_mut().later.pop_front() {
            self.push(later);
            self.close_empty(context, window);
        }
        match self.open.pop() {
            Some(Open { folder: Some(folder), found: Found::New | Found::Unfinished, .. })
                if self.for_one_entry && !context.request.dry_run =>
            {
                window.closing(Closing { folder, finish: None, new: true });
            }
            Some(open) => complete(open, true, context, window),
            None => {}
        }
    }
}

/// The key of a directory, given its components joined by 0x00.
fn directory_key(joined: &[u8]) -> Vec<u8> {
    match joined.iter().rposition(|&b| b == 0) {
        _ if joined.is_empty() => Vec::new(),
        None => [&[0], joined].concat(),
        Some(at) => [&joined[..=at], &[0], &joined[at + 1..]].concat(),
    }
}

fn make<D: Destination>(prefix: &[u8], parent: &Folder<D>, context: &Context<'_, D>) -> Option<(Folder<D>, Found)> {
    let key = directory_key(prefix.strip_suffix(&[0]).unwrap_or(prefix));
    let name = split_key(&key).unwrap_or_default().1;
    let request = context.request;
    let made = match (context.destination, &parent.handle) {
        (Some(destination), Some(handle)) if request.dry_run => match destination.open_directory(handle, name) {
            Ok(directory) => Ok((Some(directory), Found::Whole)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok((None, Found::New)),
            Err(_) if request.overwrite.replaces() => Ok((None, Found::New)),
            Err(e) => Err(e),
        },
        (Some(destination), Some(handle)) => destination
            .directory(handle, name, request.overwrite.replaces())
            .map(|(directory, found)| (Some(directory), found)),
        _ => Ok((None, Found::New)),
    };
    match made {
        Ok((handle, found)) => {
            let fresh = found == Found::New;
            Some((Folder { key: key.into(), handle, fresh }, found))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && request.overwrite == Overwrite::Never => {
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

/// Hands a directory on to be completed when all in it is done, unless it is to be left as it was found.
fn complete<D: Destination>(open: Open<D>, outermost: bool, context: &Context<'_, D>, window: &mut Builder<'_, D>) {
    let (Some(folder), Some(finish)) = (open.folder, open.finish) else { return };
    let replaces = context.request.overwrite.replaces();
    let apply = match open.found {
        Found::New | Found::Unfinished => true,
        Found::Whole => replaces && !outermost,
    };
    if !apply {
        return;
    }
    if context.request.dry_run {
        return count(&context.tally.counts.directories);
    }
    window.closing(Closing { folder, finish: Some(finish), new: open.found == Found::New });
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
