//! The names of objects: `area/…`. They are the same on every storage.

use crate::base::id::{ObjectId, SessionId};
use std::fmt;

/// The top-level areas of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Area {
    Config,
    Keys,
    Packs,
    Trees,
    Index,
    Snapshots,
    Sessions,
    State,
}

/// The name of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StorageKey {
    Config(u32),
    KeySlot(ObjectId),
    /// `packs/ab/<id>`: `ab` are the first two digits of the id
    Pack(ObjectId),
    Tree(ObjectId),
    Segment(u32, ObjectId),
    Snapshot(ObjectId),
    Lease(SessionId),
    Checkpoint(SessionId, u32),
    Outcome(SessionId),
    State(ObjectId),
    /// `state/decision-<condemnation id>`: create-only under a name everyone can tell.
    Decision(ObjectId),
}

impl StorageKey {
    pub fn area(&self) -> Area {
        match self {
            StorageKey::Config(_) => Area::Config,
            StorageKey::KeySlot(_) => Area::Keys,
            StorageKey::Pack(_) => Area::Packs,
            StorageKey::Tree(_) => Area::Trees,
            StorageKey::Segment(..) => Area::Index,
            StorageKey::Snapshot(_) => Area::Snapshots,
            StorageKey::Lease(_) | StorageKey::Checkpoint(..) | StorageKey::Outcome(_) => Area::Sessions,
            StorageKey::State(_) | StorageKey::Decision(_) => Area::State,
        }
    }

    /// Its relative path with `/`.
    pub fn path(&self) -> String {
        self.to_string()
    }

    /// Reads a relative path back; `None` for anything else than exactly what `path` gives.
    pub fn parse(path: &str) -> Option<StorageKey> {
        let mut parts = path.split('/');
        let (area, first, second) = (parts.next()?, parts.next()?, parts.next());
        if parts.next().is_some() {
            return None;
        }
        let fanned = |id: &str| id.starts_with(first) && first.len() == FAN_OUT_DIGITS;
        Some(match (area, second) {
            ("config", None) => StorageKey::Config(number(first)?),
            ("keys", None) => StorageKey::KeySlot(first.parse().ok()?),
            ("packs", Some(id)) if fanned(id) => StorageKey::Pack(id.parse().ok()?),
            ("trees", Some(id)) if fanned(id) => StorageKey::Tree(id.parse().ok()?),
            ("index", Some(id)) => StorageKey::Segment(number(first)?, id.parse().ok()?),
            ("snapshots", None) => StorageKey::Snapshot(first.parse().ok()?),
            ("sessions", Some("lease")) => StorageKey::Lease(first.parse().ok()?),
            ("sessions", Some("outcome")) => StorageKey::Outcome(first.parse().ok()?),
            ("sessions", Some(name)) => {
                StorageKey::Checkpoint(first.parse().ok()?, number(name.strip_prefix("checkpoint-")?)?)
            }
            ("state", None) => match first.strip_prefix("decision-") {
                Some(id) => StorageKey::Decision(id.parse().ok()?),
                None => StorageKey::State(first.parse().ok()?),
            },
            _ => return None,
        })
    }
}

impl fmt::Display for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.area().folder();
        match self {
            StorageKey::Config(n) => write!(f, "{folder}/{n}"),
            StorageKey::Pack(id) | StorageKey::Tree(id) => write!(f, "{folder}/{:02x}/{id}", id.0[0]),
            StorageKey::Segment(generation, id) => write!(f, "{folder}/{generation}/{id}"),
            StorageKey::Lease(id) => write!(f, "{folder}/{id}/lease"),
            StorageKey::Checkpoint(id, n) => write!(f, "{folder}/{id}/checkpoint-{n}"),
            StorageKey::Outcome(id) => write!(f, "{folder}/{id}/outcome"),
            StorageKey::Decision(id) => write!(f, "{folder}/decision-{id}"),
            StorageKey::KeySlot(id) | StorageKey::Snapshot(id) | StorageKey::State(id) => write!(f, "{folder}/{id}"),
        }
    }
}

impl Area {
    /// Whether objects of this area can lie in its folder `name`.
    pub fn holds_folder(self, name: &str) -> bool {
        match self {
            Area::Packs | Area::Trees => {
                name.len() == FAN_OUT_DIGITS && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            }
            Area::Index => number(name).is_some(),
            Area::Sessions => name.parse::<SessionId>().is_ok(),
            Area::Config | Area::Keys | Area::Snapshots | Area::State => false,
        }
    }
}

/// Packs and trees lie in folders named by the first digits of their id.
const FAN_OUT_DIGITS: usize = 2;

/// A decimal number in its one spelling: no sign, no leading zero.
fn number(digits: &str) -> Option<u32> {
    let canonical = digits == "0" || digits.starts_with(|c: char| ('1'..='9').contains(&c));
    if canonical && digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}

impl Area {
    /// All of them.
    pub const ALL: [Area; 8] =
        [Area::Config, Area::Keys, Area::Packs, Area::Trees, Area::Index, Area::Snapshots, Area::Sessions, Area::State];

    pub fn folder(self) -> &'static str {
        match self {
            Area::Config => "config",
            Area::Keys => "keys",
            Area::Packs => "packs",
            Area::Trees => "trees",
            Area::Index => "index",
            Area::Snapshots => "snapshots",
            Area::Sessions => "sessions",
            Area::State => "state",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_key() -> impl Strategy<Value = StorageKey> {
        (0..11, any::<[u8; 32]>(), any::<[u8; 16]>(), any::<u32>()).prop_map(|(kind, id, session, n)| {
            let (id, session) = (ObjectId(id), SessionId(session));
            match kind {
                0 => StorageKey::Config(n),
                1 => StorageKey::KeySlot(id),
                2 => StorageKey::Pack(id),
                3 => StorageKey::Tree(id),
                4 => StorageKey::Segment(n, id),
                5 => StorageKey::Snapshot(id),
                6 => StorageKey::Lease(session),
                7 => StorageKey::Checkpoint(session, n),
                8 => StorageKey::Outcome(session),
                9 => StorageKey::State(id),
                _ => StorageKey::Decision(id),
            }
        })
    }

    proptest! {
        #[test]
        fn a_key_reads_back_from_its_path_and_lies_in_its_area(key in any_key()) {
            let path = key.path();
            prop_assert_eq!(StorageKey::parse(&path), Some(key));
            let inside = path.strip_prefix(&format!("{}/", key.area().folder()));
            prop_assert!(inside.is_some_and(|p| p.split_once('/').is_none_or(|(folder, _)| key.area().holds_folder(folder))));
        }

        #[test]
        fn a_path_with_one_byte_changed_is_another_key_or_none(key in any_key(), at: prop::sample::Index, with: u8) {
            let mut path = key.path().into_bytes();
            let at = at.index(path.len());
            path[at] = with;
            if let Ok(path) = String::from_utf8(path)
                && let Some(read) = StorageKey::parse(&path)
            {
                prop_assert_eq!(read.path(), path, "two spellings of one key");
            }
        }

        #[test]
        fn text_that_is_no_key_is_refused_or_is_its_own_spelling(path in "(config|index|packs|state|sessions|x)?/?[0-9a-f+./ -]{0,70}") {
            if let Some(key) = StorageKey::parse(&path) {
                prop_assert_eq!(key.path(), path);
            }
        }
    }

    #[test]
    fn other_spellings_of_a_key_are_refused() {
        let id = "ab".to_owned() + &"0".repeat(62);
        let upper = id.to_uppercase();
        let session = "1".repeat(32);
        for good in [format!("packs/ab/{id}"), "config/0".into(), "config/4294967295".into(), format!("index/7/{id}")] {
            assert!(StorageKey::parse(&good).is_some(), "{good}");
        }
        for bad in [
            "".into(),
            "config".into(),
            "config/".into(),
            "config/01".into(),
            "config/+1".into(),
            "config/4294967296".into(),
            "config/\u{663}".into(),
            "config/1/".into(),
            "config//1".into(),
            "/config/1".into(),
            "tmp/1".into(),
            format!("packs/{id}"),
            format!("packs/ac/{id}"),
            format!("packs/a/{id}"),
            format!("packs/AB/{upper}"),
            format!("packs/ab/{id}/"),
            format!("packs/ab/{id}0"),
            format!("packs//{id}"),
            format!("index/00/{id}"),
            format!("keys/{session}"),
            format!("sessions/{session}/checkpoint-"),
            format!("sessions/{session}/checkpoint-00"),
            format!("sessions/{session}/Lease"),
            format!("sessions/{id}/lease"),
            format!("state/decision-{session}"),
            format!("state/decision-decision-{id}"),
            format!("../packs/ab/{id}"),
        ] {
            assert_eq!(StorageKey::parse(&bad), None, "{bad}");
        }
    }
}
