//! verify: restored files read back and compared with their chunks' ids.
//!
//! Takes the checks of a window that is restored; gives nothing but counts and problems. Owns one chunk's buffer.
//! Files that were lost, or left as they were found, have been named already and are passed over.

use super::Context;
use super::item::{Check, Fate, File, Window};
use super::tally::count;
use crate::crypto::hash::content_id;
use crate::destination::{Destination, ReadBack};
use std::io;
use std::sync::atomic::Ordering::AcqRel;

/// What one worker reuses from chunk to chunk.
#[derive(Default)]
pub struct Verifier {
    chunk: Vec<u8>,
}

impl Verifier {
    /// Reads chunks back, given in the order of their files.
    pub fn verify<D: Destination>(&mut self, window: &Window<D>, checks: &[Check], context: &Context<'_, D>) {
        let Some(destination) = context.destination else { return };
        for of_file in checks.chunk_by(|a, b| a.file == b.file) {
            let file = &window.files[of_file[0].file as usize];
            if !file.can_be_checked() {
                continue;
            }
            let checked = read_back(file, destination).and_then(|back| {
                of_file.iter().try_for_each(|check| self.check(check, &*back, &context.store.ring.keys.chunk_id))
            });
            if let Err(error) = checked
                && file.goes(Fate::Failed)
            {
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
        self.chunk.resize(check.len as usize, 0);
        back.read_at(check.file_offset, &mut self.chunk)?;
        if content_id(key, &self.chunk) == check.id {
            return Ok(());
        }
        let (offset, len) = (check.file_offset, check.len);
        Err(io::Error::other(format!("the {len} bytes at {offset} are not those of the snapshot")))
    }
}

/// So many checks of a file are made. The last one says that it is verified.
pub fn done<D: Destination>(file: &File<D>, checks: u64, context: &Context<'_, D>) {
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
