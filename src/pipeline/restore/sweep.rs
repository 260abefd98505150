//! sweep: removes from the target what the snapshot does not have, as far as the rules select it.
//!
//! Takes directories whose entries are all restored, with the names that the snapshot has there. Nothing is removed
//! where the snapshot does not say what there should be: above its sources, in directories that the backup could not
//! list, and in parts of the tree that are damaged.

use super::RestoreContext;
use super::item::{Folder, Swept};
use super::rules::Choice;
use super::tally::count;
use crate::base::path::subtree_prefix;
use crate::destination::{Clearing, Destination, Replace, Sweep, Swept as Outcome, Verdict};
use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

/// What tells a directory whose content is known from others.
#[derive(Default)]
pub struct Known {
    /// What the keys below each source begin with.
    sources: Vec<Vec<u8>>,
    /// Ranges of keys that cannot be read; an empty end is the end of the tree.
    lost: Vec<Range<Vec<u8>>>,
}

impl Known {
    /// Below these sources, each with its key.
    pub fn below(sources: &[Vec<u8>]) -> Known {
        Known { sources: sources.iter().map(|key| subtree_prefix(key)).collect(), lost: vec![] }
    }

    /// Entries with keys in this range are lost.
    pub fn lose(&mut self, range: Range<&[u8]>) {
        self.lost.push(range.start.to_vec()..range.end.to_vec());
    }

    /// Whether a directory is a source, or lies in one; `prefix` is what the keys below it begin with. Of others the
    /// snapshot has only what leads to its sources.
    pub fn is_in_source(&self, prefix: &[u8]) -> bool {
        self.sources.iter().any(|source| prefix.starts_with(source))
    }

    /// Whether a directory is a source.
    pub fn is_source(&self, prefix: &[u8]) -> bool {
        self.sources.iter().any(|source| source == prefix)
    }

    /// Whether a directory leads to a source, and is none.
    pub fn leads_to_source(&self, prefix: &[u8]) -> bool {
        !self.is_source(prefix) && self.sources.iter().any(|source| source.starts_with(prefix))
    }

    /// Whether a directory is disjoint from all sources.
    pub fn is_apart(&self, prefix: &[u8]) -> bool {
        !self.sources.iter().any(|source| prefix.starts_with(source) || source.starts_with(prefix))
    }

    /// Whether all entries of a directory could be read.
    pub fn is_complete(&self, prefix: &[u8]) -> bool {
        let (from, to) = ([prefix, &[0]].concat(), [prefix, &[1]].concat());
        !self.lost.iter().any(|lost| lost.start < to && (lost.end.is_empty() || from < lost.end))
    }
}

/// The directory `name`, which lies where the snapshot has something else: whether all of it may go, or it is removed.
/// False when it stays, or would. `choice` is what the rules say of the directory that it lies in.
pub fn clear<D: Destination>(
    folder: &Arc<Folder<D>>,
    name: &[u8],
    choice: Choice,
    clearing: Clearing<'_>,
    context: &RestoreContext<'_, D>,
) -> bool {
    let (Some(destination), Some(handle)) = (context.destination, &folder.handle) else { return false };
    let swept = Swept { folder: folder.clone(), names: vec![], choice };
    let goes = Cell::new(false);
    sweep_some(&swept, Some(Only { name, clearing, goes: &goes }), context);
    goes.get()
        && match clearing {
            Clearing::Remove(lies_as) if !context.request.dry_run => {
                destination.look(handle, lies_as).is_ok_and(|there| there.is_none())
            }
            _ => true,
        }
}

/// Does something with what gives way to an entry. `clears`: so does a full directory, with what the rules say of the one
/// that it lies in.
pub fn with_replace<D: Destination, T>(
    (folder, name): (&Arc<Folder<D>>, &[u8]),
    replace: bool,
    clears: Option<Choice>,
    context: &RestoreContext<'_, D>,
    with: impl FnOnce(Replace<'_>) -> T,
) -> T {
    let clear =
        |clearing: Clearing<'_>| clears.is_some_and(|choice| self::clear(folder, name, choice, clearing, context));
    with(match clears {
        _ if !replace => Replace::Nothing,
        None => Replace::Entry,
        Some(_) => Replace::Tree(&clear),
    })
}

/// One name that alone is swept.
#[derive(Clone, Copy)]
struct Only<'a> {
    name: &'a [u8],
    clearing: Clearing<'a>,
    /// Set when it is gone, or would be.
    goes: &'a Cell<bool>,
}

impl<'a> Only<'a> {
    fn lies_as(self) -> &'a [u8] {
        if let Clearing::Remove(lies_as) = self.clearing { lies_as } else { self.name }
    }
}

/// Removes from a directory what is not among its names, and tells of each.
pub fn sweep<D: Destination>(swept: &Swept<D>, context: &RestoreContext<'_, D>) {
    sweep_some(swept, None, context);
}

/// The same, or of `only` one name, which is told when it goes.
fn sweep_some<D: Destination>(swept: &Swept<D>, only: Option<Only<'_>>, context: &RestoreContext<'_, D>) {
    let (Some(destination), Some(handle)) = (context.destination, &swept.folder.handle) else { return };
    let (request, tally) = (context.request, context.tally);
    if context.is_over() {
        return;
    }
    let path_of = |below: &[u8]| {
        let mut path = swept.folder.path();
        if path != b"/" {
            path.push(b'/');
        }
        path.extend_from_slice(below);
        path
    };
    if only.is_none() && swept.names.is_empty() && destination.is_mounted_on(handle).unwrap_or(true) {
        // As a backup that does not enter other file systems stores it.
        let why = "another file system is mounted there, of which the snapshot has nothing; its content was left alone";
        return tally.monitor.note(&format!("{}: {why}", String::from_utf8_lossy(&swept.folder.path())));
    }
    let decide = |below: &[u8], directory: bool, above: Verdict| {
        let top = !below.contains(&b'/');
        if top && swept.names.binary_search_by(|name| (**name).cmp(below)).is_ok() {
            return Verdict::Keep;
        }
        let parent = match above {
            _ if top => swept.choice,
            Verdict::Remove => Choice::Yes,
            _ => Choice::Below,
        };
        match request.rules.choose(&path_of(below), directory, parent) {
            Choice::Yes => Verdict::Remove,
            Choice::Below => Verdict::Descend,
            Choice::No => Verdict::Keep,
        }
    };
    let asks = only.is_some_and(|only| matches!(only.clearing, Clearing::Ask));
    let mut tell = |below: &[u8], outcome| {
        let path = path_of(below);
        match outcome {
            Outcome::Removed => {
                if let Some(only) = only.filter(|only| only.name == below) {
                    only.goes.set(true);
                }
                if asks {
                    return;
                }
                count(&tally.counts.deleted);
                tally.monitor.removed(&path);
            }
            Outcome::Kept(why) => {
                tally.monitor.note(&format!("{}: not deleted: {why}", String::from_utf8_lossy(&path)));
            }
            Outcome::Failed(error) => tally.problem(path, format!("cannot be deleted: {error}")),
        }
    };
    let never = |node, path: &[u8]| request.never.contains(&node) || request.never_at.contains(path);
    let led = |node, path: &[u8]| context.keeps_for_links(node, path);
    let mut sweep = Sweep {
        names: &swept.names,
        only: only.map(|only| (only.name, only.lies_as())),
        decide: &decide,
        never: &never,
        led: &led,
        tell: &mut tell,
        dry_run: request.dry_run || asks,
    };
    if let Err(error) = destination.sweep(handle, &mut sweep) {
        tally.problem(swept.folder.path(), format!("what the snapshot lacks in it cannot be deleted: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::path::key_of;

    fn prefix(path: &str) -> Vec<u8> {
        subtree_prefix(&key_of(path.as_bytes()).unwrap())
    }

    #[test]
    fn only_what_lies_in_a_source_is_known() {
        let known = Known::below(&[key_of(b"/home/me").unwrap(), key_of(b"/srv").unwrap()]);
        let is = |path: &str| (known.is_in_source(&prefix(path)), known.is_apart(&prefix(path)));
        assert_eq!(is("/"), (false, false));
        assert_eq!(is("/home"), (false, false));
        assert_eq!(is("/home/me"), (true, false));
        assert_eq!(is("/home/me/a/b"), (true, false));
        assert_eq!(is("/home/me2"), (false, true));
        assert_eq!(is("/data/home"), (false, true));
        assert!(Known::below(&[vec![]]).is_in_source(&prefix("/")));
        let leads = ["/home", "/home/me", "/home/me/a", "/home/me2"].map(|path| known.leads_to_source(&prefix(path)));
        assert_eq!(leads, [true, false, false, false]);
    }

    #[test]
    fn a_directory_is_complete_when_no_entry_of_its_own_is_lost() {
        let mut known = Known::below(&[vec![]]);
        let key = |path: &str| key_of(path.as_bytes()).unwrap();
        known.lose(&key("/a/b/m")..&key("/a/b/z"));
        let is = |known: &Known, path| known.is_complete(&prefix(path));
        assert!(!is(&known, "/a/b"));
        assert!(is(&known, "/a") && is(&known, "/") && is(&known, "/a/b/c") && is(&known, "/b"));
        known.lose(&key("/k")..&[]);
        assert!(!is(&known, "/") && !is(&known, "/b") && !is(&known, "/z/y"));
    }
}
