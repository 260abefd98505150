//! A source from little: a connector that can list one folder and read a file becomes a whole [`Source`] here.
//!
//! A connector (a bucket, a server, an archive) implements [`Listing`]. [`ListingSource`] sorts the entries into the
//! order of the tree, adds the folders above them, and recognises files that are unchanged.

use super::fs::meta::made_up_directory;
use super::{Description, Fingerprint, FoundEntry, Handle, Source, SourceFile, Walked};
use crate::base::path::{PathError, ancestor_keys, check_key, check_name, child_key, key_of, path_of};
use crate::base::time::Time;
use crate::format::tree::{EntryKind, Meta, Xattr};
use std::io;
use std::sync::Arc;

/// One item of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedItem {
    /// Its name in the folder: one component of a path.
    pub name: Vec<u8>,
    /// A folder, or a file of some version.
    pub kind: ListedKind,
    /// When it was last changed.
    pub modified: Time,
}

/// What an item is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListedKind {
    /// Something that can be listed.
    Folder,
    /// Something that can be opened.
    File(Version),
}

/// Tells the states of a file's content apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Bytes.
    pub size: u64,
    /// Anything that is another one whenever the content is another one: an ETag, a generation number. Where there is no
    /// such thing it is empty, and size and time decide.
    pub tag: Vec<u8>,
}

impl Version {
    /// Stands for the tag where a file system has an inode number.
    fn number(&self) -> u64 {
        if self.tag.is_empty() {
            return 0;
        }
        blake3::hash(&self.tag).as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

/// What a connector can do. Paths are relative to its outermost folder, with `/` between components; that folder's own
/// path is empty. All methods may be called from several threads.
pub trait Listing: Send + Sync {
    /// Gives the items of one folder, in any order. An error means that the folder is not wholly known.
    fn list(&self, folder: &[u8], each: &mut dyn FnMut(ListedItem)) -> io::Result<()>;

    /// Opens a file.
    fn open(&self, path: &[u8]) -> io::Result<Box<dyn ListedFile>>;
}

/// An open file of a connector.
pub trait ListedFile: Send + Sync {
    /// Its version and time as they are now; `None` when only another listing would tell.
    fn version(&self) -> io::Result<Option<(Version, Time)>>;

    /// Reads from `offset` into `buf`; fewer bytes, but at least one, where that is what came. 0 is the end of the file.
    fn read(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
}

/// A [`Listing`] as a source.
///
/// Files have mode 0644 and folders 0755, and both belong to user and group 0: a connector that knows better implements
/// [`Source`]. The items of one folder lie in memory while it is walked.
pub struct ListingSource<L> {
    listing: Arc<L>,
    /// Where all of it stands in the snapshot.
    at: Vec<u8>,
}

impl<L: Listing> ListingSource<L> {
    /// Everything that the connector lists, below this absolute path of the snapshot.
    pub fn new(listing: L, at: &[u8]) -> Result<ListingSource<L>, PathError> {
        Ok(ListingSource { listing: Arc::new(listing), at: key_of(at)? })
    }

    /// The path of an entry as the connector knows it.
    fn own_path(&self, key: &[u8]) -> Vec<u8> {
        let (base, path) = (path_of(&self.at), path_of(key));
        let below = if base == b"/" { &path[1..] } else { path.get(base.len() + 1..).unwrap_or_default() };
        below.to_vec()
    }

    /// Gives the entries of a folder and, the last first, its subfolders, whose turn is still to come. False when the walk
    /// is to end.
    fn folder(&self, key: &[u8], waiting: &mut Vec<Vec<u8>>, emit: &mut dyn FnMut(Walked) -> bool) -> bool {
        let own = self.own_path(key);
        let mut items = vec![];
        if let Err(error) = self.listing.list(&own, &mut |item| items.push(item)) {
            let path = path_of(key);
            if !emit(Walked::Error { path, error }) || !emit(Walked::Incomplete { key: key.to_vec() }) {
                return false;
            }
        }
        // Of one name a folder comes first: what has the same name as a folder cannot stand beside it.
        let is_file = |item: &ListedItem| item.kind != ListedKind::Folder;
        items.sort_by(|a, b| a.name.cmp(&b.name).then(is_file(a).cmp(&is_file(b))));
        let mut before: Option<&[u8]> = None;
        let mut folders = vec![];
        for item in &items {
            let found = child_key(key, &item.name);
            let why = match check_name(&item.name).and_then(|()| check_key(&found)) {
                Err(error) => Some(error.to_string()),
                Ok(()) => (before == Some(&item.name)).then(|| "the folder has another item of the same name".into()),
            };
            if let Some(why) = why {
                let path = [&path_of(key)[..], b"/", &item.name].concat();
                if !emit(Walked::Error { path, error: io::Error::other(why) }) {
                    return false;
                }
                continue;
            }
            before = Some(&item.name);
            if item.kind == ListedKind::Folder {
                folders.push(found.clone());
            }
            if !emit(Walked::Entry(FoundEntry::new(found, meta(item), Handle::KEY))) {
                return false;
            }
        }
        waiting.extend(folders.into_iter().rev());
        true
    }
}

fn meta(item: &ListedItem) -> Meta {
    let times = Meta { mtime: item.modified, ctime: item.modified, ..made_up_directory() };
    match &item.kind {
        ListedKind::Folder => times,
        ListedKind::File(version) => {
            Meta { kind: EntryKind::File, mode: 0o644, size: version.size, inode: version.number(), ..times }
        }
    }
}

impl<L: Listing> Source for ListingSource<L> {
    fn describe(&self) -> Description {
        Description { paths: vec![path_of(&self.at)], reopens: true, stable_identity: true }
    }

    fn walk(&self, emit: &mut dyn FnMut(Walked) -> bool) -> io::Result<()> {
        let mut above = ancestor_keys(&self.at);
        above.push(self.at.clone());
        for key in above {
            if !emit(Walked::Entry(FoundEntry::new(key, made_up_directory(), Handle::KEY))) {
                return Ok(());
            }
        }
        // No recursion: a listing may be of any depth.
        let mut waiting = vec![self.at.clone()];
        while let Some(folder) = waiting.pop() {
            if !self.folder(&folder, &mut waiting, emit) {
                break;
            }
        }
        Ok(())
    }

    fn open(&self, found: &FoundEntry) -> io::Result<Box<dyn SourceFile>> {
        let file = self.listing.open(&self.own_path(&found.key))?;
        Ok(Box::new(OpenFile(file)))
    }

    fn xattrs(&self, _found: &FoundEntry) -> io::Result<Vec<Xattr>> {
        Ok(Vec::new())
    }
}

struct OpenFile(Box<dyn ListedFile>);

impl SourceFile for OpenFile {
    fn fingerprint(&self) -> io::Result<Option<Fingerprint>> {
        let print = |(version, modified): (Version, Time)| Fingerprint {
            size: version.size,
            mtime: modified,
            ctime: modified,
            inode: version.number(),
        };
        Ok(self.0.version()?.map(print))
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.0.read(offset + done as u64, &mut buf[done..]) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn read_some(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(offset, buf)
    }

    fn next_data(&self, offset: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
        Ok((offset < size).then_some((offset, size)))
    }
}

#[cfg(test)]
mod tests;
