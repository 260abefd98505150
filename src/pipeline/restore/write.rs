//! write: pieces into files, and files finished when their last piece is there.
//!
//! Takes verified plaintext, gives files of the destination. A file that comes in one piece takes one call and no
//! shared state. Owns nothing; the file's own token count says who finishes it. Errors cost the one file, unless the
//! destination as a whole takes no more.

use super::item::{Fate, File, FirstName, OtherName, Ready};
use super::tally::{Tally, count};
use super::{Context, Overwrite};
use crate::destination::{Destination, Special};
use crate::format::tree::EntryKind;
use crate::monitor::Counter;
use crate::store::StoreError;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

/// A part of the file's content cannot be had: it is damaged in the store, or the storage failed.
pub fn lose<D: Destination>(file: &File<D>, why: &StoreError, tally: &Tally<'_>) {
    let unreadable = why.is_unreadable();
    if file.goes(if unreadable { Fate::Unreadable } else { Fate::Damaged }) {
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
fn fail<D: Destination>(file: &File<D>, error: io::Error, context: &Context<'_, D>) {
    if file.goes(Fate::Failed) {
        let path = file.path();
        context.tally.absent(path.clone());
        context.failed(path, format!("cannot be written: {error}"), error);
    }
}

/// `count` pieces of the file, which lie together at `offset`.
pub fn write<D: Destination>(file: &Arc<File<D>>, offset: u64, bytes: &[u8], count: u64, context: &Context<'_, D>) {
    context.tally.monitor.add(Counter::Bytes, bytes.len() as u64);
    if let Some(destination) = context.destination
        && file.fate() == Fate::Well
    {
        if offset == 0 && file.pieces.load(Acquire) == count && file.first_name.is_none() {
            return whole(file, bytes, destination, context);
        }
        if let Err(error) = write_piece(file, offset, bytes, destination) {
            fail(file, error, context);
        }
    }
    done(file, count, context);
}

/// Pieces that cannot be had are done, too.
pub fn done<D: Destination>(file: &Arc<File<D>>, count: u64, context: &Context<'_, D>) {
    if file.left.fetch_sub(count, AcqRel) == count {
        finish(file, context);
    }
}

fn write_piece<D: Destination>(file: &File<D>, offset: u64, bytes: &[u8], destination: &D) -> io::Result<()> {
    let open = opened(file, destination)?;
    destination.write_at(&open, offset, bytes)
}

/// The file, made when it is first asked for.
fn opened<D: Destination>(file: &File<D>, destination: &D) -> io::Result<D::File> {
    let mut open = lock(&file.open);
    if let Some(open) = &*open {
        return Ok(open.clone());
    }
    let handle = file.folder.handle.as_ref().ok_or(io::ErrorKind::NotFound)?;
    let made = destination.create(handle, &file.name, file.size, file.finish.attributes().flags, file.replace)?;
    Ok(open.insert(made).clone())
}

/// A file all of whose content is here.
fn whole<D: Destination>(file: &File<D>, bytes: &[u8], destination: &D, context: &Context<'_, D>) {
    let write = || {
        let handle = file.folder.handle.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let attributes = file.finish.attributes();
        destination.whole(handle, &file.name, bytes, file.size, &attributes, file.replace)
    };
    match write() {
        Ok(()) => count_file(file, context.tally),
        Err(error) => fail(file, error, context),
    }
    file.settled.store(true, Release);
}

/// All pieces of the file are written, or lost.
pub fn finish<D: Destination>(file: &File<D>, context: &Context<'_, D>) {
    let Some(destination) = context.destination else { return };
    let mut identity = None;
    if file.fate() == Fate::Well {
        let attributes = file.finish.attributes();
        let finish = |open| destination.finish(&open, &attributes, file.first_name.is_some());
        match opened(file, destination).and_then(finish) {
            Ok(became) => identity = became,
            Err(error) => fail(file, error, context),
        }
    }
    let open = lock(&file.open).take();
    let fate = file.fate();
    if fate == Fate::Well {
        count_file(file, context.tally);
    } else if let Some(open) = open {
        destination.abandon(&open);
    }
    if let Some(first) = &file.first_name {
        _ = first.became.set(identity.ok_or(fate));
    }
    file.settled.store(true, Release);
}

/// A file that will not be completed, since the run is over.
pub fn abandon<D: Destination>(file: &File<D>, destination: &D) {
    if let Some(open) = lock(&file.open).take() {
        destination.abandon(&open);
    }
}

/// An entry that takes nothing from packs.
pub fn ready<D: Destination>(ready: &Ready<D>, context: &Context<'_, D>) {
    let Some(destination) = context.destination else { return };
    match ready {
        Ready::File(file, bytes) if file.first_name.is_none() => {
            context.tally.monitor.add(Counter::Bytes, bytes.len() as u64);
            whole(file, bytes, destination, context);
        }
        Ready::File(file, bytes) => write(file, 0, bytes, 1, context),
        Ready::Special { folder, name, kind, target, rdev, finish, replace, first_name } => {
            let (major, minor) = *rdev;
            let special = match kind {
                EntryKind::Symlink => Special::Symlink(target),
                EntryKind::Fifo => Special::Fifo,
                EntryKind::CharDevice => Special::CharDevice(major, minor),
                EntryKind::BlockDevice => Special::BlockDevice(major, minor),
                _ => Special::Socket,
            };
            let make = || -> io::Result<_> {
                let handle = folder.handle.as_ref().ok_or(io::ErrorKind::NotFound)?;
                destination.special(handle, name, &special, &finish.attributes(), *replace)?;
                match first_name {
                    Some(_) => Ok(destination.look(handle, name)?.map(|existing| existing.identity)),
                    None => Ok(None),
                }
            };
            let made = make();
            match &made {
                Ok(_) => count_special(*kind, context.tally),
                // No user may make any: known beforehand, and no failure.
                Err(error)
                    if error.kind() == io::ErrorKind::PermissionDenied
                        && kind.is_device()
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

/// Another name of a file that is there by now.
pub fn other_name<D: Destination>(other: &OtherName<D>, context: &Context<'_, D>) {
    let (tally, overwrite) = (context.tally, context.request.overwrite);
    if context.request.dry_run {
        return count(&tally.counts.hard_links);
    }
    let FirstName { folder: first_folder, name: first_name, became } = &*other.first;
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
    let existing = if other.folder.fresh { Ok(None) } else { destination.look(to, &other.name) };
    match existing {
        Ok(Some(existing)) if existing.identity == *identity => return count(&tally.counts.unchanged),
        Ok(Some(existing)) if !overwrite.replaces() && !existing.half_written => {
            count(&tally.counts.left);
            tally.absent(path());
            if overwrite == Overwrite::Refuse {
                tally.problem(path(), super::IN_THE_WAY.into());
            }
            return;
        }
        Ok(_) => {}
        Err(error) => return tally.problem(path(), format!("cannot look at what lies in the target: {error}")),
    }
    let replace = !other.folder.fresh;
    match destination.link((from, first_name), *identity, (to, &other.name), replace) {
        Ok(()) => count(&tally.counts.hard_links),
        Err(error) => context.failed(path(), format!("cannot be linked: {error}"), error),
    }
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
