//! verify: restored files read back and compared with their chunks' ids.
//!
//! Besides content, what was set of each entry is looked at again, since a file system may say that it did what it did not.
//!
//! Takes the checks of a window that is restored; gives nothing but counts and problems. Owns one chunk's buffer.
//! Files that were lost, or left as they were found, have been named already and are passed over.

use super::RestoreContext;
use super::item::{Check, Fate, File, Finish, HOLE, Window};
use super::tally::count;
use crate::crypto::hash::content_id;
use crate::destination::{Destination, Expected, ReadBack};
use std::io;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};

/// What one worker reuses from chunk to chunk.
#[derive(Default)]
pub struct Verifier {
    chunk: Vec<u8>,
}

impl Verifier {
    /// Reads chunks back, given in the order of their files.
    pub fn verify<D: Destination>(&mut self, window: &Window<D>, checks: &[Check], context: &RestoreContext<'_, D>) {
        let Some(destination) = context.destination else { return };
        for of_file in checks.chunk_by(|a, b| a.file == b.file) {
            let file = &window.files[of_file[0].file as usize];
            if !file.can_be_checked() {
                continue;
            }
            let checked = read_back(file, destination).and_then(|back| {
                of_file.iter().try_for_each(|check| self.check(check, &*back, &context.store.ring.keys.chunk_id))
            });
            if checked.is_ok() && of_file[0].file_offset == 0 {
                let restored = file.twin_of.as_deref().unwrap_or(file);
                // One that was there has been compared, and named, already.
                if let Some(handle) = file.folder.handle.as_ref().filter(|_| !restored.kept) {
                    let lost = restored.lost.load(Acquire);
                    examine((handle, &file.name), &file.expected(), &file.finish, lost, context, || file.path());
                }
            }
            if let Err(error) = checked
                && file.settle(Fate::Failed)
            {
                if let Some(first) = &file.first_name {
                    first.differs.store(true, Release);
                }
                count(&context.tally.counts.differing);
                context.tally.problem(file.path(), format!("read back after restoring: {error}"));
            }
            done(file, of_file.len() as u64, context);
        }
    }

    fn check(&mut self, check: &Check, back: &dyn ReadBack, key: &[u8; 32]) -> io::Result<()> {
        if check.len == 0 {
            return Ok(());
        }
        let (offset, len) = (check.file_offset, check.len);
        if check.id == HOLE {
            if back.is_clear(offset, u64::from(len))? {
                return Ok(());
            }
            return Err(io::Error::other(format!(
                "the {len} bytes at {offset} are a hole in the snapshot, and hold data"
            )));
        }
        self.chunk.resize(check.len as usize, 0);
        back.read_at(check.file_offset, &mut self.chunk)?;
        if content_id(key, &self.chunk) == check.id {
            return Ok(());
        }
        Err(io::Error::other(format!("the {len} bytes at {offset} are not those of the snapshot")))
    }
}

/// Looks at an entry that was restored, if that was asked for, and names what is not as it should be; false when it did.
pub fn examine<D: Destination>(
    at: (&D::Directory, &[u8]),
    expected: &Expected<'_>,
    finish: &Finish,
    lost: u8,
    context: &RestoreContext<'_, D>,
    path: impl FnOnce() -> Vec<u8>,
) -> bool {
    let Some(destination) = context.destination.filter(|_| context.request.verify) else { return true };
    let message = match destination.examine(at.0, at.1, (expected, &finish.attributes()), lost) {
        Ok(differ) if differ.is_empty() => return true,
        Ok(differ) => format!("after the restore, this differs from what was set: {}", differ.join(", ")),
        Err(error) => format!("cannot be looked at after restoring: {error}"),
    };
    count(&context.tally.counts.differing);
    context.tally.problem(path(), message);
    false
}

/// Whether two files of the destination hold the same bytes.
pub fn equal<D: Destination>(
    a: (&D::Directory, &[u8]),
    b: (&D::Directory, &[u8]),
    destination: &D,
) -> io::Result<bool> {
    const PIECE_BYTES: usize = 1 << 20;
    let (a, b) = (destination.read_back(a.0, a.1)?, destination.read_back(b.0, b.1)?);
    if a.len() != b.len() {
        return Ok(false);
    }
    let mut buffers = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    let mut at = 0;
    while at < a.len() {
        let len = (a.len() - at).min(PIECE_BYTES as u64) as usize;
        a.read_at(at, &mut buffers.0[..len])?;
        b.read_at(at, &mut buffers.1[..len])?;
        if buffers.0[..len] != buffers.1[..len] {
            return Ok(false);
        }
        at += len as u64;
    }
    Ok(true)
}

/// So many checks of a file are made. The last one says that it is verified.
pub fn done<D: Destination>(file: &File<D>, checks: u64, context: &RestoreContext<'_, D>) {
    if file.unchecked.fetch_sub(checks, AcqRel) == checks && file.fate() == Fate::Well {
        count(&context.tally.counts.verified);
    }
}

fn read_back<D: Destination>(file: &File<D>, destination: &D) -> io::Result<Box<dyn ReadBack>> {
    let handle = file.folder.handle.as_ref().ok_or(io::ErrorKind::NotFound)?;
    let back = destination.read_back(handle, &file.name)?;
    if back.len() == file.size {
        Ok(back)
    } else {
        Err(io::Error::other(format!("it has {} bytes and should have {}", back.len(), file.size)))
    }
}
