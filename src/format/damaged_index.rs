//! The damaged index segments and outcomes of a store: an extension of the record of damage.

use crate::base::id::{ObjectId, SessionId};
use crate::format::cursor::{Reader, put_object_ids, put_varint};
use crate::format::error::DecodeError;
use crate::format::extension::Extension;
use std::collections::BTreeSet;

/// Index segments and outcomes that read wrong: whoever has cached something of them looks again before relying on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DamagedIndex {
    pub segments: BTreeSet<ObjectId>,
    /// Sessions whose outcome reads wrong.
    pub sessions: BTreeSet<SessionId>,
}

impl DamagedIndex {
    /// Its number among the extensions of a state record.
    pub const EXTENSION: u16 = 1;

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.sessions.is_empty()
    }

    /// All of `other`.
    pub fn extend(&mut self, other: DamagedIndex) {
        self.segments.extend(other.segments);
        self.sessions.extend(other.sessions);
    }

    /// As a record has it: `ids · sessions varint · session 16 each, ascending strictly`.
    pub fn extension(&self) -> Extension {
        let segments: Vec<ObjectId> = self.segments.iter().copied().collect();
        let mut body = Vec::new();
        put_object_ids(&mut body, &segments);
        put_varint(&mut body, self.sessions.len() as u64);
        self.sessions.iter().for_each(|session| body.extend_from_slice(&session.0));
        Extension { kind: Self::EXTENSION, critical: false, body }
    }

    /// What a record's extensions say; nothing when they do not, or not in this form.
    pub fn of(extensions: &[Extension]) -> DamagedIndex {
        let found = extensions.iter().find(|extension| extension.kind == Self::EXTENSION);
        found.and_then(|found| DamagedIndex::decode(&found.body).ok()).unwrap_or_default()
    }

    fn decode(body: &[u8]) -> Result<DamagedIndex, DecodeError> {
        let mut reader = Reader::new("damaged index", body);
        let segments = reader.object_ids()?.into_iter().collect();
        let mut sessions = BTreeSet::new();
        for _ in 0..reader.count(usize::MAX, SessionId::LEN)? {
            let session = reader.session()?;
            reader.check_ascends(sessions.last(), &session, SessionId::LEN)?;
            sessions.insert(session);
        }
        reader.finish()?;
        Ok(DamagedIndex { segments, sessions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_and_another_form_says_nothing() {
        let damaged = DamagedIndex {
            segments: [1, 2].map(|n| ObjectId([n; 32])).into(),
            sessions: [3, 4].map(|n| SessionId([n; 16])).into(),
        };
        let mut extension = damaged.extension();
        assert_eq!(DamagedIndex::of(std::slice::from_ref(&extension)), damaged);
        extension.body.push(0);
        assert!(DamagedIndex::of(&[extension]).is_empty() && DamagedIndex::of(&[]).is_empty());
    }
}
