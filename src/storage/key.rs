//! Names of objects: `area/…`, the same on every storage.

use crate::base::id::{ObjectId, SessionId};

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
    /// `config/<n>`
    Config(u32),
    /// `keys/<id>`
    KeySlot(ObjectId),
    /// `packs/ab/<id>`
    Pack(ObjectId),
    /// `trees/ab/<id>`
    Tree(ObjectId),
    /// `index/<generation>/<id>`
    Segment(u32, ObjectId),
    /// `snapshots/<id>`
    Snapshot(ObjectId),
    /// `sessions/<id>/lease`
    Lease(SessionId),
    /// `sessions/<id>/checkpoint-<n>`
    Checkpoint(SessionId, u32),
    /// `sessions/<id>/outcome`
    Outcome(SessionId),
    /// `state/<id>`
    State(ObjectId),
    /// `state/decision-<condemnation id>`: create-only under a name everyone can tell.
    Decision(ObjectId),
}

impl StorageKey {
    /// Its area.
    pub fn area(&self) -> Area {
        todo!()
    }

    /// Its relative path with `/`.
    pub fn path(&self) -> String {
        todo!()
    }

    /// Reads a relative path back; `None` for anything else than exactly what `path` gives.
    pub fn parse(_path: &str) -> Option<StorageKey> {
        todo!()
    }
}

impl Area {
    /// All of them.
    pub const ALL: [Area; 8] =
        [Area::Config, Area::Keys, Area::Packs, Area::Trees, Area::Index, Area::Snapshots, Area::Sessions, Area::State];

    /// Its folder.
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
