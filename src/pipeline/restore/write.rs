//! write: pieces into files, and files finished when their last piece is there.
//!
//! Takes verified plaintext, gives files of the destination. A file that comes in one piece takes one call and no
//! shared state. Owns nothing; the file's own token count says who finishes it. Errors cost the one file, unless the
//! destination as a whole takes no more.

use super::item::{Fate, File, Finish, FirstName, Itself, OtherName, Ready};
use super::tally::{Tally, count};
use super::{Overwrite, RestoreContext, sweep, verify};
use crate::destination::{Destination, Identity, Loss, Losses, Part, Replace, lost_parts};
use crate::format::tree::EntryKind;
use crate::monitor::Counter;
use crate::store::StoreError;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// A part of the file's content cannot be had: it is damaged in the store, or the storage failed.
pub fn lose<D: Destination>(file: &File<D>, why: &StoreError, tally: &Tally<'_>) {
    let unreadable = why.is_unreadable();
    if file.settle(if unreadable { Fate::Unreadable } else { Fate::Damaged }) {
        let (counter, message) = match unreadable {
            true => {
                (&tally.counts.store_unreadable, "its content could not be read from the store, and it is not restored")
            }
            false => (&tally.counts.damaged, "its content is damaged in the store, and it is not restored"),
        };
        count(counter);
        let path = file.path();
        tally.absent(path.clone());
        tally.problem(path, format!("{message}: {why}"));
    }
}

/// The file cannot be written.
fn fail<D: Destination>(file: &File<D>, error: io::Error, context: &RestoreContext<'_, D>) {
    if file.settle(Fate::Failed) {
        let path = file.path();
        context.tally.absent(path.clone());
        context.failed(path, format!("cannot be written: {error}"), error);
    }
}

/// `count` pieces of the file, which lie together at `offset`.
pub fn write<D: Destination>(
    file: &Arc<File<D>>,
    offset: u64,
    bytes: &[u8],
    count: u64,
    context: &RestoreContext<'_, D>,
) {
    context.tally.monitor.add(Counter::Bytes, bytes.len() as u64);
    if let Some(destination) = context.destination
        && file.fate() == Fate::Well
    {
        // One that may be continued may be open already.
        let at_once = file.first_name.is_none() && file.content.is_none();
        if offset == 0 && file.pieces.load(Acquire) == count && at_once {
            return write_whole(file, bytes, destination, context);
        }
        if let Err(error) = write_piece(file, offset, bytes, destination) {
            fail(file, error, context);
        }
    }
    done(file, count, context);
}

/// Pieces that cannot be had are done, too.
pub fn done<D: Destination>(file: &Arc<File<D>>, count: u64, context: &RestoreContext<'_, D>) {
    if file.left.fetch_sub(count, AcqRel) == count {
        finish(file, context);
    }
}

fn write_piece<D: Destination>(file: &File<D>, offset: u64, bytes: &[u8], destination: &D) -> io::Result<()> {
    let open = opened(file, destination)?;
    destination.write_at(&open, offset, bytes)
}

/// The file, made when it is first asked for.
pub fn opened<D: Destination>(file: &File<D>, destination: &D) -> io::Result<D::File> {
    let mut open = file.open.lock();
    if let Some(open) = &*open {
        return Ok(open.clone());
    }
    let handle = file.folder.handle.as_ref().ok_or(io::ErrorKind::NotFound)?;
    let flags = file.finish.attributes().flags;
    let made = match &file.content {
        None => destination.create(handle, &file.name, file.size, flags, file.replace)?,
        Some(content) => {
            let (made, resumed) =
                destination.create_or_continue(handle, &file.name, file.size, flags, file.replace, content)?;
            file.resumed.store(resumed, Release);
            made
        }
    };
    Ok(open.insert(made).clone())
}

/// A hole: where an earlier run began the file, what lies in it is not believed to be one.
pub fn hole<D: Destination>(file: &File<D>, offset: u64, len: u64, context: &RestoreContext<'_, D>) {
    // What is begun in a directory that was made just now is new.
    let Some(destination) = context.destination.filter(|_| file.content.is_some() && !file.folder.fresh) else {
        return;
    };
    if file.fate() != Fate::Well || context.request.dry_run {
        return;
    }
    let clear = |open| match file.resumed.load(Acquire) {
        true => destination.clear(&open, offset, len),
        false => Ok(()),
    };
    if let Err(error) = opened(file, destination).and_then(clear) {
        fail(file, error, context);
    }
}

/// A file all of whose content is here.
fn write_whole<D: Destination>(file: &File<D>, bytes: &[u8], destination: &D, context: &RestoreContext<'_, D>) {
    let write = || {
        let handle = file.folder.handle.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let attributes = file.finish.attributes();
        sweep::with_replace((&file.folder, &file.name), file.replace, file.clears, context, |replace| {
            destination.write_file(handle, &file.name, bytes, file.size, &attributes, replace)
        })
    };
    match write() {
        Ok(losses) => complete(file, losses, context),
        Err(error) => fail(file, error, context),
    }
    file.settled.store(true, Release);
}

/// The file is there, with all its content.
fn complete<D: Destination>(file: &File<D>, losses: Losses, context: &RestoreContext<'_, D>) {
    count_file(file, context.tally);
    file.lost.store(lost_parts(&losses), Release);
    if let Some(first) = &file.first_name {
        first.lacks(&losses);
    }
    context.tally.lost(|| file.path(), losses);
}

/// All pieces of the file are written, or lost.
pub fn finish<D: Destination>(file: &File<D>, context: &RestoreContext<'_, D>) {
    let Some(destination) = context.destination else { return };
    let mut identity = None;
    if file.fate() == Fate::Well {
        let attributes = file.finish.attributes();
        let (at, identify) = ((&file.folder, &*file.name), file.first_name.is_some());
        let finish = |open| {
            sweep::with_replace(at, file.replace, file.clears, context, |replace| {
                destination.finish(&open, &attributes, identify, replace.clear())
            })
        };
        match opened(file, destination).and_then(finish) {
            Ok((became, losses)) => {
                identity = became;
                complete(file, losses, context);
            }
            Err(error) => fail(file, error, context),
        }
    }
    let open = file.open.lock().take();
    let fate = file.fate();
    if fate != Fate::Well
        && let Some(open) = open
    {
        destination.abandon(&open);
    }
    if let Some(first) = &file.first_name {
        _ = first.became.set(identity.ok_or(fate));
    }
    file.settled.store(true, Release);
}

/// A file that will not be completed by this run, since the run is over.
pub fn leave<D: Destination>(file: &File<D>, destination: &D) {
    if let Some(open) = file.open.lock().take() {
        if file.fate() == Fate::Well { destination.leave(&open) } else { destination.abandon(&open) }
    }
}

/// An entry that takes nothing from packs.
pub fn ready<D: Destination>(ready: &Ready<D>, context: &RestoreContext<'_, D>) {
    let Some(destination) = context.destination else { return };
    match ready {
        Ready::File(file, bytes) if file.first_name.is_none() => {
            context.tally.monitor.add(Counter::Bytes, bytes.len() as u64);
            write_whole(file, bytes, destination, context);
        }
        Ready::File(file, bytes) => write(file, 0, bytes, 1, context),
        Ready::Special { folder, name, itself, finish, replace, clears, first_name } => {
            let make = || -> io::Result<_> {
                let handle = folder.handle.as_ref().ok_or(io::ErrorKind::NotFound)?;
                let first = first_name.as_deref();
                let path = || folder.path_of(name);
                sweep::with_replace((folder, name), *replace, *clears, context, |replace| {
                    make_special((handle, name), itself, finish, replace, first, context, path)
                })?;
                match first {
                    Some(_) => Ok(destination.look(handle, name)?.map(|existing| existing.identity)),
                    None => Ok(None),
                }
            };
            let made = make();
            match &made {
                Ok(_) => count_special(itself.kind, context.tally),
                // No user may make any: known beforehand, and no failure.
                Err(error)
                    if error.kind() == io::ErrorKind::PermissionDenied
                        && itself.kind.is_device()
                        && !rustix::process::geteuid().is_root() =>
                {
                    let path = folder.path_of(name);
                    let what = "a device node, which only root may make, is left out";
                    context.tally.monitor.note(&format!("{}: {what}", String::from_utf8_lossy(&path)));
                    context.tally.absent(path);
                }
                Err(error) => context.tally.problem(folder.path_of(name), format!("cannot be made: {error}")),
            }
            if let Some(first) = first_name {
                _ = first.became.set(made.ok().flatten().ok_or(Fate::Failed));
            }
        }
    }
}

/// Makes what is neither file nor directory, and looks at it again if that was asked for.
fn make_special<D: Destination>(
    at: (&D::Directory, &[u8]),
    itself: &Itself,
    finish: &Finish,
    replace: Replace<'_>,
    first: Option<&FirstName<D>>,
    context: &RestoreContext<'_, D>,
    path: impl Fn() -> Vec<u8>,
) -> io::Result<()> {
    let Some(destination) = context.destination else { return Ok(()) };
    let losses = destination.special(at.0, at.1, &itself.special(), &finish.attributes(), replace)?;
    if let Some(first) = first {
        first.lacks(&losses);
    }
    let lost = lost_parts(&losses);
    context.tally.lost(&path, losses);
    verify::examine(at, &itself.expected(), finish, lost, context, path);
    Ok(())
}

/// Another name of a file that is there by now.
pub fn other_name<D: Destination>(other: &OtherName<D>, context: &RestoreContext<'_, D>) {
    let tally = context.tally;
    if context.request.dry_run {
        return count(&tally.counts.hard_links);
    }
    let FirstName { folder: first_folder, name: first_name, became, .. } = &*other.first;
    let path = || other.folder.path_of(&other.name);
    let identity = match became.get() {
        Some(Ok(identity)) => identity,
        fate => {
            match fate {
                Some(Err(Fate::Damaged)) => count(&tally.counts.damaged),
                Some(Err(Fate::Unreadable)) => count(&tally.counts.store_unreadable),
                _ => {}
            }
            let first = String::from_utf8_lossy(&first_folder.path_of(first_name)).into_owned();
            tally.absent(path());
            return tally.problem(path(), format!("it is another name of {first}, which is not restored"));
        }
    };
    let (Some(destination), Some(from), Some(to)) = (context.destination, &first_folder.handle, &other.folder.handle)
    else {
        return;
    };
    if !other_name_may_come(other, *identity, to, context) {
        return;
    }
    let (attributes, expected) = (other.finish.attributes(), other.itself.expected());
    let (from, to) = ((from, &**first_name), (to, &*other.name));
    let (at, replace) = ((&other.folder, &*other.name), !other.folder.fresh);
    let linked = sweep::with_replace(at, replace, other.clears, context, |replace| {
        destination.link(from, *identity, to, (&expected, &attributes), replace)
    });
    match linked {
        Ok(()) => {
            count(&tally.counts.hard_links);
            if let Some(losses) = other.first.losses.get() {
                tally.lost(path, losses.iter().map(Loss::again).collect());
            }
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty) => {
            return context.failed(path(), format!("cannot be linked: {error}"), error);
        }
        Err(error) => {
            let made = sweep::with_replace(at, replace, other.clears, context, |replace| {
                instead_of_link(other, from, to, replace, error, context)
            });
            if let Err(copy) = made {
                return context.failed(
                    path(),
                    format!("cannot be linked, nor made as a file of its own: {copy}"),
                    copy,
                );
            }
        }
    }
    if context.request.verify {
        check_other_name(from, to, *identity, other, context);
    }
}

/// Whether another name is to be made, given what lies there; anything else is dealt with.
fn other_name_may_come<D: Destination>(
    other: &OtherName<D>,
    identity: Identity,
    to: &D::Directory,
    context: &RestoreContext<'_, D>,
) -> bool {
    let (tally, overwrite) = (context.tally, context.request.overwrite);
    let Some(destination) = context.destination.filter(|_| !other.folder.fresh) else { return true };
    let path = || other.folder.path_of(&other.name);
    let expected = other.itself.expected();
    match destination.look(to, &other.name) {
        Ok(Some(existing)) if existing.identity == identity => count(&tally.counts.unchanged),
        Ok(Some(existing)) if overwrite.replaces() && context.is_in_use(&existing) => {
            count(&tally.counts.left);
            tally.absent(path());
            tally.problem(path(), super::IN_USE.into());
        }
        Ok(Some(existing)) if !overwrite.replaces() && !existing.half_written => {
            // Where names cannot be told to be one file's, or no file can have two, a like one is right.
            let like = existing.kind == expected.kind
                && existing.size == expected.size
                && destination.same_time(to, &existing, other.finish.attributes().mtime, false);
            if like && !destination.links(to) {
                count(&tally.counts.unchanged);
                let error = io::Error::other("as an earlier restore left it");
                tally.lost(path, vec![Loss { part: Part::Link, error, refused: true }]);
                return false;
            }
            count(&tally.counts.left);
            tally.absent(path());
            if overwrite == Overwrite::Refuse {
                tally.problem(path(), super::IN_THE_WAY.into());
            }
        }
        Ok(_) => return true,
        Err(error) => tally.problem(path(), format!("cannot look at what lies in the target: {error}")),
    }
    false
}

/// A name that cannot be linked becomes a file of its own, which is said.
fn instead_of_link<D: Destination>(
    other: &OtherName<D>,
    from: (&D::Directory, &[u8]),
    to: (&D::Directory, &[u8]),
    replace: Replace<'_>,
    error: io::Error,
    context: &RestoreContext<'_, D>,
) -> io::Result<()> {
    let (tally, Some(destination)) = (context.tally, context.destination) else { return Ok(()) };
    let (itself, attributes) = (&other.itself, other.finish.attributes());
    let path = || other.folder.path_of(&other.name);
    if itself.kind == EntryKind::File {
        let losses = destination.copy(from, to, (&itself.expected(), &attributes), replace)?;
        tally.lost(path, losses);
        count(&tally.counts.files);
        tally.counts.bytes.fetch_add(itself.size, Relaxed);
    } else {
        make_special(to, itself, &other.finish, replace, None, context, path)?;
        count_special(itself.kind, tally);
    }
    use io::ErrorKind::{CrossesDevices, InvalidInput, PermissionDenied, TooManyLinks, Unsupported};
    let refused = matches!(error.kind(), CrossesDevices | InvalidInput | PermissionDenied | TooManyLinks | Unsupported);
    tally.lost(path, vec![Loss { part: Part::Link, error, refused }]);
    Ok(())
}

/// Another name shows the same file, or at least the same bytes.
fn check_other_name<D: Destination>(
    from: (&D::Directory, &[u8]),
    to: (&D::Directory, &[u8]),
    identity: Identity,
    other: &OtherName<D>,
    context: &RestoreContext<'_, D>,
) {
    let (tally, Some(destination)) = (context.tally, context.destination) else { return };
    let path = || other.folder.path_of(&other.name);
    let lost = other.first.losses.get().map_or(0, |losses| lost_parts(losses));
    if !verify::examine(to, &other.itself.expected(), &other.finish, lost, context, path) {
        return;
    }
    if other.first.differs.load(Acquire) {
        count(&tally.counts.differing);
        return tally
            .problem(path(), "read back after restoring: the first name of its file is not as it should be".into());
    }
    let there = destination.look(to.0, to.1);
    if there.as_ref().is_ok_and(|there| there.is_some_and(|there| there.identity == identity)) {
        return;
    }
    let equal = || match other.itself.kind {
        EntryKind::File => verify::equal(from, to, destination),
        kind => Ok(there?.is_some_and(|there| there.kind == kind)),
    };
    let message = match equal() {
        Ok(true) => return,
        Ok(false) => "read back after restoring: it is not the same as the first name of its file".to_string(),
        Err(error) => format!("read back after restoring: {error}"),
    };
    count(&tally.counts.differing);
    tally.problem(path(), message);
}

/// A file is there.
pub fn count_file<D: Destination>(file: &File<D>, tally: &Tally<'_>) {
    count(&tally.counts.files);
    tally.counts.bytes.fetch_add(file.size, Relaxed);
    tally.monitor.add(Counter::Files, 1);
}

/// Something that is neither file nor directory is there.
pub fn count_special(kind: EntryKind, tally: &Tally<'_>) {
    count(if kind == EntryKind::Symlink { &tally.counts.symlinks } else { &tally.counts.specials });
}
