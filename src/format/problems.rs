//! A manifest's list of problems (its extension 1): the first paths that could not be read, and the first files that
//! changed while they were read.

use crate::base::limits::{KIB, PATH_BYTES_MAX};
use crate::format::cursor::{Reader, put_bytes, put_text, put_varint};
use crate::format::error::{DecodeError, Reason};
use crate::format::extension::{Extension, MANIFEST_PROBLEMS};

/// Paths kept of each kind, and their bytes with what is said of them.
pub const KEPT_MAX: usize = 500;
/// See [`KEPT_MAX`]. Both kinds leave a quarter of the room that a manifest's extensions have.
pub const KEPT_BYTES_MAX: usize = 24 * KIB;
/// What is said of a path.
const MESSAGE_BYTES_MAX: usize = KIB;

/// What happened to a path. Numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ProblemKind {
    /// It could not be read, listed or followed.
    Unread = 1,
    /// It changed while it was read; what was read of it is stored.
    Changed = 2,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptProblem {
    pub kind: ProblemKind,
    /// The path, absolute.
    pub path: Vec<u8>,
    /// What the system said; empty where the kind says all.
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProblemList {
    /// How many paths could not be read.
    pub unread: u64,
    /// How many files changed while they were read.
    pub changed: u64,
    /// The first of each.
    pub kept: Vec<KeptProblem>,
}

impl ProblemList {
    /// Of the numbers of paths of each kind, and the first of them with what is said of each.
    pub fn new<'a>(
        unread: (u64, impl Iterator<Item = (&'a [u8], &'a str)>),
        changed: (u64, impl Iterator<Item = (&'a [u8], &'a str)>),
    ) -> ProblemList {
        let mut kept = keep(ProblemKind::Unread, unread.1);
        kept.extend(keep(ProblemKind::Changed, changed.1));
        ProblemList { unread: unread.0, changed: changed.0, kept }
    }

    /// As an extension of a manifest; `None` when there is nothing to say.
    pub fn extension(&self) -> Option<Extension> {
        let any = self.unread > 0 || self.changed > 0;
        any.then(|| Extension { kind: MANIFEST_PROBLEMS, critical: false, body: self.encode() })
    }

    /// `unread varint · changed varint · count varint · per path: kind u8 · path bytes · message text`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.unread);
        put_varint(&mut out, self.changed);
        put_varint(&mut out, self.kept.len() as u64);
        for KeptProblem { kind, path, message } in &self.kept {
            out.push(*kind as u8);
            put_bytes(&mut out, path);
            put_text(&mut out, message, MESSAGE_BYTES_MAX);
        }
        out
    }

    /// Reads a list back.
    pub fn decode(bytes: &[u8]) -> Result<ProblemList, DecodeError> {
        let mut reader = Reader::new("list of problems", bytes);
        let (unread, changed) = (reader.varint()?, reader.varint()?);
        let count = reader.count(2 * KEPT_MAX, 3)?;
        let mut kept = Vec::with_capacity(count);
        for _ in 0..count {
            let at = reader.position();
            let kind = match reader.u8()? {
                1 => ProblemKind::Unread,
                2 => ProblemKind::Changed,
                _ => return Err(reader.error_at(at, Reason::Value)),
            };
            let path = reader.bytes(PATH_BYTES_MAX)?.to_vec();
            kept.push(KeptProblem { kind, path, message: reader.text(MESSAGE_BYTES_MAX)?.to_string() });
        }
        reader.finish()?;
        Ok(ProblemList { unread, changed, kept })
    }

    /// The kept paths of one kind.
    pub fn of(&self, kind: ProblemKind) -> impl Iterator<Item = &KeptProblem> {
        self.kept.iter().filter(move |kept| kept.kind == kind)
    }
}

/// The first, as many as there is room for.
fn keep<'a>(kind: ProblemKind, all: impl Iterator<Item = (&'a [u8], &'a str)>) -> Vec<KeptProblem> {
    let mut room = KEPT_BYTES_MAX;
    let mut kept = Vec::new();
    for (path, message) in all.take(KEPT_MAX).filter(|(path, _)| path.len() <= PATH_BYTES_MAX) {
        let plain = message.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c });
        let mut message: String = plain.collect();
        let end = (0..=MESSAGE_BYTES_MAX.min(message.len())).rev().find(|at| message.is_char_boundary(*at));
        message.truncate(end.unwrap_or(0));
        // A kind, and two lengths of at most three bytes.
        match room.checked_sub(path.len() + message.len() + 7) {
            Some(left) => room = left,
            None => break,
        }
        kept.push(KeptProblem { kind, path: path.to_vec(), message });
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::EXTENSIONS_BYTES_MAX;

    fn list(unread: &[(Vec<u8>, String)], changed: &[Vec<u8>]) -> ProblemList {
        let first = unread.iter().map(|(path, message)| (path.as_slice(), message.as_str()));
        let second = changed.iter().map(|path| (path.as_slice(), ""));
        ProblemList::new((unread.len() as u64, first), (changed.len() as u64, second))
    }

    #[test]
    fn a_list_reads_back_and_an_empty_one_takes_nothing() {
        assert_eq!(list(&[], &[]).extension(), None);
        let some = list(&[(b"/a\xff".to_vec(), "gone".into())], &[b"/b".to_vec()]);
        let body = some.extension().unwrap().body;
        assert_eq!(ProblemList::decode(&body).unwrap(), some);
        assert_eq!((some.of(ProblemKind::Unread).count(), some.of(ProblemKind::Changed).count()), (1, 1));
        for len in 0..body.len() {
            assert!(ProblemList::decode(&body[..len]).is_err());
        }
        assert!(ProblemList::decode(&[&body[..], &[0]].concat()).is_err());
    }

    #[test]
    fn however_much_went_wrong_the_list_keeps_its_bounds_and_both_kinds() {
        let unread: Vec<_> =
            (0..9000).map(|n| (format!("/long/{n:0300}").into_bytes(), "x\u{fc}".repeat(900))).collect();
        let changed: Vec<_> = (0..9000).map(|n| format!("/{n}").into_bytes()).collect();
        let all = list(&unread, &changed);
        let body = all.extension().unwrap().body;
        assert!(body.len() <= 2 * KEPT_BYTES_MAX + 32 && body.len() < EXTENSIONS_BYTES_MAX, "{}", body.len());
        let read = ProblemList::decode(&body).unwrap();
        assert_eq!((read.unread, read.changed), (9000, 9000));
        assert_eq!(read.of(ProblemKind::Changed).count(), KEPT_MAX);
        assert!(read.of(ProblemKind::Unread).count() > 10);
    }
}
