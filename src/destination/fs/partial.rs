//! Big files that a later run can continue: a journal beside the half-written file says what it will be. What is in it is
//! believed only as far as its chunks are read back and have the right ids, so nothing has to be flushed on the way.

use super::file::{FsFile, HALF_WRITTEN, create_new, identity};
use super::{FsDirectory, kind_of};
use crate::destination::Identity;
use crate::format::tree::EntryKind;
use parking_lot::Mutex;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags, Stat};
use std::collections::HashSet;
use std::io;
use std::sync::Arc;

/// What a journal begins with.
const HEAD: &str = "larder partial file 1\n";
/// No journal is longer.
const JOURNAL_BYTES_MAX: usize = 256;

/// What the names of all that a restore puts beside what it restores begin with.
pub(super) const PREFIX: &[u8] = b".larder-";

/// A name in a directory.
type Place = (Identity, Box<[u8]>);

/// Whose the names are that begin as ours do: a snapshot may hold what an interrupted restore left behind, as entries
/// like any other. An entry comes first, and a journal, which only saves reading, gives way to it.
#[derive(Default)]
pub(super) struct Claims(Mutex<Claimed>);

#[derive(Default)]
struct Claimed {
    /// Of entries of the snapshot.
    entries: HashSet<Place>,
    /// Of journals that this run wrote or took over.
    journals: HashSet<Place>,
}

fn place(directory: &OwnedFd, name: &[u8]) -> io::Result<Place> {
    Ok((identity(&rustix::fs::fstat(directory)?), name.into()))
}

fn remove(directory: &OwnedFd, name: &[u8]) {
    _ = rustix::fs::unlinkat(directory, name, AtFlags::empty());
}

impl Claims {
    /// The snapshot has an entry of this name there.
    pub fn entry(&self, directory: &OwnedFd, name: &[u8]) -> io::Result<()> {
        if name.starts_with(PREFIX) {
            let place = place(directory, name)?;
            let mut claimed = self.0.lock();
            if claimed.journals.remove(&place) {
                remove(directory, name);
            }
            claimed.entries.insert(place);
        }
        Ok(())
    }

    /// Removes a journal, unless an entry took its name.
    pub fn remove_journal(&self, directory: &OwnedFd, name: &[u8]) {
        if let Ok(place) = place(directory, name)
            && self.0.lock().journals.remove(&place)
        {
            remove(directory, name);
        }
    }
}

fn names_of(name: &[u8], content: &[u8]) -> (Box<[u8]>, Box<[u8]>) {
    let name_of = |hash: blake3::Hash, kind: &str| {
        format!(".larder-{}.{kind}", &hash.to_hex()[..16]).into_bytes().into_boxed_slice()
    };
    // By its content as well: so no entry of the snapshot can have it.
    let both = blake3::hash(&[content, name].concat());
    (name_of(blake3::hash(name), "journal"), name_of(both, "partial"))
}

/// Which content a journal is about, and whether the file has its own name.
fn parse(text: &[u8]) -> Option<([u8; 16], bool)> {
    let text = std::str::from_utf8(text).ok()?.strip_prefix(HEAD)?.strip_prefix("content ")?;
    let (hex, rest) = text.split_at_checked(32)?;
    let (bytes, lies) = rest.strip_prefix("\nbytes ")?.split_once("\nname ")?;
    bytes.parse::<u64>().ok()?;
    let content = u128::from_str_radix(hex, 16).ok()?.to_be_bytes();
    Some((content, matches!(lies, "own\n" | "temporary\n").then_some(lies == "own\n")?))
}

/// Whether a file that looks half written by its mode is what an earlier run left under this name: a journal says so. A
/// name that begins as ours do proves nothing.
pub(super) fn was_begun(fd: &OwnedFd, name: &[u8], uid: &dyn Fn() -> u32) -> bool {
    text_of(fd, &names_of(name, &[]).0, uid).and_then(|text| parse(&text)).is_some_and(|is| is.1)
}

pub(super) fn open(fd: &OwnedFd, name: &[u8], access: OFlags, uid: &dyn Fn() -> u32) -> Option<(OwnedFd, Stat)> {
    let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(fd, name, flags, Mode::empty()).ok()?;
    let stat = rustix::fs::fstat(&fd).ok()?;
    let ours = stat.st_uid == rustix::process::geteuid().as_raw() || stat.st_uid == uid();
    (ours && kind_of(&stat) == EntryKind::File && stat.st_nlink == 1).then_some((fd, stat))
}

/// What is in a file that may be a journal of ours.
fn text_of(fd: &OwnedFd, journal: &[u8], uid: &dyn Fn() -> u32) -> Option<Vec<u8>> {
    let (fd, stat) = open(fd, journal, OFlags::RDONLY, uid)?;
    let mut text = vec![0; (stat.st_size as usize).min(JOURNAL_BYTES_MAX)];
    super::read_all_at(&fd, 0, &mut text).ok().map(|()| text)
}

/// A big file to begin or to continue.
pub(super) struct Partial<'a> {
    pub directory: &'a Arc<FsDirectory>,
    pub fd: &'a OwnedFd,
    /// The name that it gets.
    pub name: &'a [u8],
    pub size: u64,
    /// Stands for its content.
    pub content: &'a [u8; 16],
    /// Which names are not ours.
    pub claims: &'a Claims,
}

impl Partial<'_> {
    /// The names of the journal and, where it cannot have its own yet, of the half-written file.
    fn names(&self) -> (Box<[u8]>, Box<[u8]>) {
        names_of(self.name, self.content)
    }

    fn journal(&self, own_name: bool) -> String {
        let content: String = self.content.iter().map(|byte| format!("{byte:02x}")).collect();
        let lies = if own_name { "own" } else { "temporary" };
        format!("{HEAD}content {content}\nbytes {}\nname {lies}\n", self.size)
    }

    /// The file that an earlier run began, if there is one and it is ours. `uid` says who owns what is made here.
    pub fn resume(&self, uid: &dyn Fn() -> u32) -> Option<FsFile> {
        let (journal, temporary) = self.names();
        let at = place(self.fd, &journal).ok()?;
        let mut claimed = self.claims.0.lock();
        if claimed.entries.contains(&at) || claimed.entries.contains(&(at.0, temporary.clone())) {
            return None;
        }
        let text = text_of(self.fd, &journal, uid)?;
        let own_name = text == self.journal(true).as_bytes();
        if !own_name && text != self.journal(false).as_bytes() {
            return None;
        }
        let written_as = if own_name { self.name } else { &temporary };
        let (fd, stat) = open(self.fd, written_as, OFlags::RDWR, uid)?;
        // Under its own name it may be somebody else's by now: half-written files are known by their mode.
        if own_name && stat.st_mode & 0o7777 != HALF_WRITTEN || stat.st_size as u64 > self.size {
            return None;
        }
        _ = rustix::fs::ftruncate(&fd, self.size);
        claimed.journals.insert(at);
        Some(self.file(fd, written_as, own_name, Some(journal), true))
    }

    /// Removes what was begun for another content, as far as it is ours: an entry of the snapshot may look like it.
    fn remove_begun(&self, claimed: &Claimed, directory: Identity, uid: &dyn Fn() -> u32) {
        let (journal, temporary) = self.names();
        let is_free = |name: &[u8]| !claimed.entries.contains(&(directory, name.into()));
        let remove_file = |name: &[u8]| {
            if is_free(name) && open(self.fd, name, OFlags::RDONLY, uid).is_some() {
                remove(self.fd, name);
            }
        };
        remove_file(&temporary);
        if !is_free(&journal) {
            return;
        }
        let Some(text) = text_of(self.fd, &journal, uid) else { return };
        if let Some((content, _)) = parse(&text) {
            remove_file(&names_of(self.name, &content).1);
            remove(self.fd, &journal);
        } else if HEAD.as_bytes().starts_with(&text[..text.len().min(HEAD.len())]) {
            // It was not written to its end.
            remove(self.fd, &journal);
        }
    }

    /// A new one, with its journal. Without a journal it is written all the same. `other` gives a name that nothing has.
    pub fn begin(
        &self,
        replace: bool,
        uid: &dyn Fn() -> u32,
        other: impl Fn() -> Vec<u8>,
        at_birth: impl Fn(&OwnedFd),
    ) -> io::Result<FsFile> {
        let (journal, temporary) = self.names();
        let at = place(self.fd, &journal)?;
        let mut claimed = self.claims.0.lock();
        self.remove_begun(&claimed, at.0, uid);
        let own = match create_new(self.fd, self.name) {
            Err(e) if replace && e.kind() == io::ErrorKind::AlreadyExists => None,
            created => Some(created?),
        };
        // Where modes are not kept, a half-written file under its own name could not be told from a whole one.
        let own = match own {
            Some(fd) if rustix::fs::fstat(&fd)?.st_mode & 0o7777 == HALF_WRITTEN => Some(fd),
            Some(_) => {
                remove(self.fd, self.name);
                None
            }
            None => None,
        };
        let own_name = own.is_some();
        let mut keeps = !claimed.entries.contains(&at);
        let (fd, written_as) = match own {
            Some(fd) => (fd, self.name.to_vec()),
            None => match create_new(self.fd, &temporary) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    keeps = false;
                    let name = other();
                    (create_new(self.fd, &name)?, name)
                }
                created => (created?, temporary.into_vec()),
            },
        };
        at_birth(&fd);
        _ = rustix::fs::ftruncate(&fd, self.size);
        let mut kept = None;
        if keeps && let Ok(open) = create_new(self.fd, &journal) {
            match super::write_all_at(open, 0, self.journal(own_name).as_bytes()) {
                Ok(()) => {
                    claimed.journals.insert(at);
                    kept = Some(journal);
                }
                Err(_) => remove(self.fd, &journal),
            }
        }
        let mut file = self.file(fd, &written_as, own_name, kept, false);
        file.keeps_others = !replace;
        Ok(file)
    }

    fn file(
        &self,
        fd: OwnedFd,
        written_as: &[u8],
        own_name: bool,
        journal: Option<Box<[u8]>>,
        resumed: bool,
    ) -> FsFile {
        let replaces = (!own_name).then_some(self.name);
        let mut file = FsFile::new(self.directory.clone(), written_as, replaces, self.size, fd);
        (file.journal, file.resumed, file.is_partial) = (journal, resumed, true);
        file
    }
}
