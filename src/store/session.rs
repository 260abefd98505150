//! Sessions: the writer's half of the protocol (`docs/ordering.md`).
//!
//! Nothing that a session stores counts before its outcome says so, here as in the store: its rows are seen by its own
//! look-ups only, and reach the cached index when it has ended well. The first error poisons it.

use super::adopt::Adoptable;
use super::gather::Gathered;
use super::snapshots::Snapshot;
use super::state::State;
use super::trust::Authenticity;
use super::{Store, StoreError};
use crate::base::id::{ContentId, ObjectId, SessionId};
use crate::base::limits::{CHECKPOINT_INTERVAL_S, LEASE_S};
use crate::base::time::Time;
use crate::crypto::keys::random_bytes;
use crate::format::envelope::ObjectKind;
use crate::format::segment::{Row, SegmentPack};
use crate::format::session::{Checkpoint, Lease, SessionPurpose};
use crate::index::run::{FinishedRun, RunBuilder};
use crate::index::{IndexError, Location};
use crate::object::envelope;
use crate::object::segment::write_segment;
use crate::object::writer::StoredPack;
use crate::storage::{Created, StorageKey};
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// What committing gave.
#[derive(Debug, Clone)]
pub struct Committed {
    pub snapshot: ObjectId,
    /// Bytes of segment, manifest and session records.
    pub overhead_bytes: u64,
}

/// A running session. Registered before anything else; the lease names the parent. Dropped without `commit` or `end` it
/// is as if the process had been killed: what it stored is there for the next run to adopt.
pub struct Session {
    pub(super) store: Arc<Store>,
    pub(super) id: SessionId,
    purpose: SessionPurpose,
    pub(super) started: Instant,
    /// What was removed and condemned when it began.
    pub(super) state: State,
    adoptable: OnceLock<Arc<Adoptable>>,
    pub(super) progress: Mutex<Progress>,
    poisoned: AtomicBool,
    pub(super) overhead: AtomicU64,
}

/// What a session did so far.
#[derive(Debug)]
pub struct Progress {
    pub(super) gathered: Gathered,
    pub(super) segments: Vec<ObjectId>,
    /// Its own packs, durable.
    packs: Vec<ObjectId>,
    /// Packs of others that it uses.
    adopted: HashSet<ObjectId>,
    checkpoints: u32,
    checkpointed: Instant,
    seen: BTreeSet<ObjectId>,
    in_use: BTreeSet<ObjectId>,
}

/// Ids that look-ups in the index find from now on. Whatever a run holds in memory to find them can be let go.
#[derive(Debug, Default)]
#[must_use = "claims on these are held until they are released, and memory grows"]
pub struct Indexed(Vec<Row>);

impl IntoIterator for Indexed {
    type Item = ContentId;
    type IntoIter = std::iter::Map<std::vec::IntoIter<Row>, fn(Row) -> ContentId>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().map(|row| row.id)
    }
}

/// A segment that is durable.
pub(super) struct Written {
    id: ObjectId,
    packs: Vec<SegmentPack>,
    rows: Vec<Row>,
}

impl Written {
    /// Its rows as a run for the index.
    pub(super) fn run(&self, store: &Store) -> Result<FinishedRun, IndexError> {
        let mut builder = RunBuilder::new(&store.index_folder())?;
        builder.segment(self.id, &self.packs)?;
        builder.rows(&self.rows)?;
        builder.finish(store.id())
    }
}

impl Session {
    /// W(session: lease, parent) → R(removals, condemnations) → R(index): registers, then hides condemned packs and
    /// loads the index. A parent that is removed or condemned by now is given up (see [`Session::may_use_parent`]).
    ///
    /// One session of an opened store writes at a time: a second one needs the store to be opened again. Sessions that
    /// only read (`SessionPurpose::Read`) do not count, and see condemned packs: what they name is not deleted.
    pub fn begin(
        store: Arc<Store>,
        purpose: SessionPurpose,
        host: &str,
        snapshots: Vec<ObjectId>,
    ) -> Result<Session, StoreError> {
        if store.config.features_read_only != 0 {
            return Err(StoreError::NeedsNewer(store.config.features_read_only));
        }
        let writes = purpose != SessionPurpose::Read;
        if writes {
            store.check_machine()?;
        }
        if writes && store.writing.swap(true, Ordering::AcqRel) {
            let what = "a session of this opened store is writing already; open the store again for another one";
            return Err(StoreError::Refused(what.into()));
        }
        let mut session = Session {
            id: SessionId(random_bytes()),
            purpose,
            started: Instant::now(),
            state: State::default(),
            adoptable: OnceLock::new(),
            progress: Mutex::new(Progress {
                gathered: Gathered::default(),
                segments: Vec::new(),
                packs: Vec::new(),
                adopted: HashSet::new(),
                checkpoints: 0,
                checkpointed: Instant::now(),
                seen: BTreeSet::new(),
                in_use: BTreeSet::new(),
            }),
            poisoned: AtomicBool::new(false),
            overhead: AtomicU64::new(0),
            store,
        };
        session.register(host, snapshots)?;
        let store = session.store.clone();
        session.state = store.read_state()?;
        session.progress.lock().seen.clone_from(&session.state.condemnations);
        if writes {
            store.look_again(&session.state)?;
        }
        store.load_index()?;
        if writes && !session.state.condemned_packs.is_empty() {
            let mut index = store.index.write();
            index.hide_packs(&session.state.condemned_packs);
        }
        store.mistrust_damaged(&session.state);
        Ok(session)
    }

    fn register(&self, host: &str, mut snapshots: Vec<ObjectId>) -> Result<(), StoreError> {
        snapshots.sort_unstable();
        snapshots.dedup();
        let lease = Lease {
            session: self.id,
            purpose: self.purpose,
            host_key: self.store.host_key.public(),
            host: host.to_owned(),
            started: Time::now(),
            lease_s: LEASE_S,
            snapshots,
            process: std::process::id(),
            extensions: Vec::new(),
        };
        let plain = lease.encode();
        Lease::decode(&plain).map_err(|error| StoreError::Refused(format!("host label {host:?}: {error}")))?;
        match self.put_record(ObjectKind::Lease, StorageKey::Lease(self.id), &plain)? {
            Created::New => Ok(()),
            Created::Exists => Err(StoreError::Refused(format!(
                "session {} is there already: this machine's random numbers repeat",
                self.id
            ))),
        }
    }

    pub(super) fn put_record(&self, kind: ObjectKind, key: StorageKey, plain: &[u8]) -> Result<Created, StoreError> {
        self.put_sealed(key, &envelope::seal(&self.store.ring, kind, plain))
    }

    pub(super) fn put_sealed(&self, key: StorageKey, sealed: &[u8]) -> Result<Created, StoreError> {
        self.overhead.fetch_add(sealed.len() as u64, Ordering::Relaxed);
        Ok(self.store.storage.put_if_absent(&key, sealed)?)
    }

    /// A segment is written whenever so many rows have gathered: fewer take less memory, and make more segments.
    pub fn with_rows_max(self, rows_max: usize) -> Session {
        self.progress.lock().gathered = Gathered::new(rows_max);
        self
    }

    pub fn id(&self) -> SessionId {
        self.id
    }

    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Whether this snapshot may be used as parent: its session vouches for it, and it is neither removed nor condemned.
    pub fn may_use_parent(&self, parent: &Snapshot) -> bool {
        let is_doubtful = matches!(parent.authenticity, Authenticity::InDoubt { .. } | Authenticity::Tampered);
        !is_doubtful
            && !self.state.condemned_snapshots.contains(&parent.id)
            && !self.store.is_removed(&self.state, &parent.id, Some(&parent.signer))
    }

    /// Runs one step; an error in it, or before it, ends the session.
    pub(super) fn step<T>(&self, step: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(StoreError::Refused("an earlier error ended this session; nothing is committed".into()));
        }
        step().inspect_err(|_| self.poisoned.store(true, Ordering::Release))
    }

    /// What sessions that never committed (killed runs) left behind: found through the tables of their packs, to be
    /// used again. What is used must be told with `adopted`.
    pub fn adoptable(&self) -> Result<Arc<Adoptable>, StoreError> {
        self.step(|| match self.adoptable.get() {
            Some(found) => Ok(found.clone()),
            None => {
                let found = Arc::new(self.store.find_adoptable(self.id, &self.state)?);
                Ok(self.adoptable.get_or_init(|| found).clone())
            }
        })
    }

    /// A pack that is durable: its rows go into the session's next segment. Writes a segment when many rows have
    /// gathered.
    pub fn stored(&self, pack: StoredPack) -> Result<Indexed, StoreError> {
        self.step(|| {
            let mut progress = self.progress.lock();
            progress.packs.push(pack.id);
            progress.gathered.add_pack(&pack);
            drop(pack);
            if progress.gathered.is_full() { self.write_gathered(&mut progress) } else { Ok(Indexed::default()) }
        })
    }

    /// Content of an adoptable pack that this session uses: listed again in its own segment.
    pub fn adopted(&self, content: &[(ContentId, Location)]) -> Result<Indexed, StoreError> {
        self.step(|| {
            let adoptable = self.adoptable.get();
            let mut progress = self.progress.lock();
            for (id, location) in content {
                let pack = adoptable.and_then(|adoptable| adoptable.pack(&location.pack));
                let pack =
                    pack.ok_or_else(|| StoreError::Refused(format!("pack {} cannot be adopted", location.pack)))?;
                progress.adopted.insert(pack.id);
                progress.gathered.add(*id, pack, location);
            }
            if progress.gathered.is_full() { self.write_gathered(&mut progress) } else { Ok(Indexed::default()) }
        })
    }

    /// Lets this session's look-ups find all that was stored so far. Gives the ids that they find from now on, as
    /// [`Session::stored`] does.
    pub fn install_rows(&self) -> Result<Indexed, StoreError> {
        self.step(|| self.write_gathered(&mut self.progress.lock()))
    }

    /// Writes a segment of what has gathered and lets this session's look-ups find it.
    pub(super) fn write_gathered(&self, progress: &mut Progress) -> Result<Indexed, StoreError> {
        let Some(written) = self.write_segment(progress)? else { return Ok(Indexed::default()) };
        match self.install(&written) {
            Ok(()) => Ok(Indexed(written.rows)),
            Err(error) => {
                // The segment is durable, and whoever claimed its ids goes on holding them: nothing is lost but memory.
                self.store.notice(format!("this backup takes more memory, since the index cache fails: {error}"));
                Ok(Indexed::default())
            }
        }
    }

    fn install(&self, written: &Written) -> Result<(), IndexError> {
        let (read, write) = (|| self.store.index.read(), || self.store.index.write());
        let run = written.run(&self.store)?;
        write().install_private(run)?;
        // From here on its rows are found, whatever becomes of merging. That takes long, and look-ups go on meanwhile.
        let merged = read().merged_private();
        let replaced = merged.and_then(|merged| match merged {
            Some(merged) => write().replace_private(merged),
            None => Ok(()),
        });
        if let Err(error) = replaced {
            self.store.notice(format!("look-ups take longer, since the index cache cannot be merged: {error}"));
        }
        Ok(())
    }

    /// Writes a segment of what has gathered, if there is anything.
    pub(super) fn write_segment(&self, progress: &mut Progress) -> Result<Option<Written>, StoreError> {
        let Gathered { packs, mut rows, .. } = progress.gathered.take();
        if rows.is_empty() {
            return Ok(None);
        }
        let (storage, ring) = (&*self.store.storage, &self.store.ring);
        let (id, len) = write_segment(storage, ring, self.id, &self.store.host_key, &packs, &mut rows)?;
        self.overhead.fetch_add(len, Ordering::Relaxed);
        progress.segments.push(id);
        Ok(Some(Written { id, packs, rows }))
    }

    /// Writes a checkpoint when an hour has passed since the last one (`force`: now).
    pub fn checkpoint(&self, force: bool) -> Result<(), StoreError> {
        self.step(|| {
            let mut progress = self.progress.lock();
            let due = progress.checkpointed.elapsed() >= Duration::from_secs(CHECKPOINT_INTERVAL_S);
            if !due && !force {
                return Ok(());
            }
            // First what is condemned, then what this session says of it.
            let state = self.store.read_state()?;
            self.note_condemned(&mut progress, &state);
            let sorted = |ids: &mut dyn Iterator<Item = &ObjectId>| {
                let mut ids: Vec<ObjectId> = ids.copied().collect();
                ids.sort_unstable();
                ids
            };
            progress.checkpoints += 1;
            let checkpoint = Checkpoint {
                session: self.id,
                number: progress.checkpoints,
                packs: sorted(&mut progress.packs.iter()),
                condemnations_seen: sorted(&mut progress.seen.iter()),
                packs_in_use: sorted(&mut progress.in_use.iter()),
                extensions: Vec::new(),
            };
            let key = StorageKey::Checkpoint(self.id, checkpoint.number);
            if self.put_record(ObjectKind::Checkpoint, key, &checkpoint.encode())? == Created::Exists {
                return Err(StoreError::Refused(format!("{key} is there already: two processes run one session")));
            }
            progress.checkpointed = Instant::now();
            Ok(())
        })
    }

    /// Packs that were condemned since the session began may be in use: what the look-ups hit is not written down, so
    /// all that they could hit counts. Packs condemned before were never seen.
    fn note_condemned(&self, progress: &mut Progress, state: &State) {
        let fresh: HashSet<ObjectId> = state.condemned_packs.difference(&self.state.condemned_packs).copied().collect();
        if !fresh.is_empty() {
            let adopted = fresh.intersection(&progress.adopted).copied().collect::<Vec<_>>();
            progress.in_use.extend(adopted);
            let index = self.store.index.read();
            progress.in_use.extend(index.packs().iter().map(|pack| pack.id).filter(|id| fresh.contains(id)));
        }
        progress.seen.extend(&state.condemnations);
    }

    /// Whether the session stored nothing.
    pub fn is_empty(&self) -> bool {
        let progress = self.progress.lock();
        progress.packs.is_empty() && progress.segments.is_empty() && progress.gathered.is_empty()
    }
}

impl Store {
    /// Whether this machine can keep what a writer must: its key, and the number of its newest manifest. Asked before the
    /// work, not after it.
    fn check_machine(&self) -> Result<(), StoreError> {
        if !self.host_key_lasts {
            self.places.host_key()?;
            let what = "this machine's signing key could not be read when the store was opened: run the command again";
            return Err(StoreError::Refused(what.into()));
        }
        self.trust.check_writable()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.purpose != SessionPurpose::Read {
            self.store.index.write().forget_private();
            self.store.writing.store(false, Ordering::Release);
        }
    }
}
