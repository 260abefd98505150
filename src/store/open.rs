//! Creates and opens stores.

use super::cache::Cache;
use super::configs::{newest_config, no_config, read_config, remains, sign_config};
use super::machine_files;
use super::trust::{TrustFile, unusable};
use super::{MAINTAINER, MachineFolders, READER, SHUT_OUT, Store, StoreError, WRITER};
use crate::base::id::{ObjectId, StoreId};
use crate::base::limits::{
    GROUP_BYTES, INLINE_BYTES, KEY_SLOT_BYTES_MAX, KEY_SLOTS_MAX, NODE_BYTES_MAX, NODE_BYTES_MIN, PACK_BYTES,
};
use crate::chunking::{Cutter, gear};
use crate::crypto::CryptoError;
use crate::crypto::hash::object_id;
use crate::crypto::keys::{EpochKeys, Key, StoreKeys, open_epoch, random_bytes, random_key, seal_epoch};
use crate::crypto::sign::SigningKey;
use crate::crypto::slot::{Credential, KdfCost, unwrap, wrap};
use crate::format::config::{ChunkerParams, Config, Epoch, Member};
use crate::format::error::DecodeError;
use crate::format::keyslot::{KeyBundle, KeySlot};
use crate::index::{Index, IndexError};
use crate::object::{Keyring, ObjectError};
use crate::storage::{Area, Created, Storage, StorageKey};
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;

/// Admin is the only role that is issued so far.
pub(super) const ROLE_ADMIN: u8 = 3;
/// Runs of the index lie here, in the cache of the store.
pub(super) const INDEX_FOLDER: &str = "index";
/// Odds of a tree node's end after each entry past the smallest size: 1 in 128.
const NODE_THRESHOLD: u32 = 1 << 25;

/// The store secret of measurements that must come out the same in every run. It stands here for everyone to read, so no
/// store that outlives its process may have it: neither creating nor opening one works.
pub const BENCH_SECRET: [u8; 32] = *b"larder's benchmark: NOT a secret";

/// How a new store shall be.
#[derive(Default)]
pub struct CreateOptions {
    /// Cost of a passphrase slot.
    pub kdf: KdfCost,
    /// Label of the first key slot.
    pub label: String,
    /// Store secret of another store (`init --like`), so that a sync copies without cutting again.
    pub store_secret: Option<zeroize::Zeroizing<[u8; 32]>>,
    /// Other chunker parameters than the default.
    pub chunker: Option<ChunkerParams>,
    /// Another pack size than the default (for tests of small stores); a multiple of 4096.
    pub pack_bytes: Option<u32>,
}

/// Whether a key of the roster has a role and is not shut out.
pub(super) fn has_role(config: &Config, key: &[u8; 32], role: u8) -> bool {
    let found = config.roster.binary_search_by(|member| member.key.cmp(key));
    found.is_ok_and(|at| config.roster[at].roles & (role | SHUT_OUT) == role)
}

impl Store {
    /// Makes a store: secrets, first key slot, config/0 signed by the maintainer key, in this order; then opens it.
    /// Who creates config/0 first has made the store; everyone else is told that there is one.
    pub fn create(
        storage: Arc<dyn Storage>,
        credential: &Credential,
        places: MachineFolders,
        options: CreateOptions,
    ) -> Result<Store, StoreError> {
        if newest_config(&*storage)?.is_some() {
            return Err(StoreError::StoreExists(storage.location()));
        }
        if let Some(remains) = remains(&*storage)? {
            return Err(match newest_config(&*storage)? {
                // Made, and used, a moment ago.
                Some(_) => StoreError::StoreExists(storage.location()),
                None => StoreError::ConfigLost { location: storage.location(), remains },
            });
        }
        if let Some(secret) = &options.store_secret {
            refuse_bench_secret(&*storage, secret)?;
        }
        let store = StoreId(random_bytes());
        let store_secret = options.store_secret.clone().unwrap_or_else(random_key);
        let (master, maintainer_seed) = (random_key(), random_key());
        let maintainer = SigningKey::from_seed(&maintainer_seed);
        let bundle = KeyBundle {
            role: ROLE_ADMIN,
            store_secret: *store_secret,
            master: *master,
            maintainer_seed: *maintainer_seed,
            exchange_secret: [0; 32],
        };
        let slot = new_slot(store, &bundle, credential, options.kdf, &options.label)?;
        let slot_id = object_id(&slot);
        let config = first_config(store, &master, &store_secret, &maintainer, slot_id, &options)?;
        let slot_key = StorageKey::KeySlot(slot_id);
        let made = storage
            .put_if_absent(&slot_key, &slot)
            .and_then(|_| storage.put_if_absent(&StorageKey::Config(0), &config));
        // A storage that repeats a request whose answer was lost may find our own there.
        let is_ours = || read_config(&*storage, 0).is_ok_and(|there| there.frame.store == store);
        match made {
            Ok(Created::New) => {}
            Ok(Created::Exists) if is_ours() => {}
            Ok(Created::Exists) => {
                storage.delete(&slot_key)?;
                return Err(StoreError::StoreExists(storage.location()));
            }
            Err(error) => {
                // Nothing stays of a store that was not made, as far as that can be told and done.
                if matches!(newest_config(&*storage), Ok(None)) {
                    _ = storage.delete(&slot_key);
                }
                return Err(error.into());
            }
        }
        remove_foreign_slots(&*storage, store);
        Store::open(storage, credential, places)
    }

    /// Opens a store: highest config, key slots, epochs, signature, trust file. Does not read the index.
    ///
    /// Where folders of this machine cannot be used the store opens all the same, for reading, and that is noticed.
    pub fn open(
        storage: Arc<dyn Storage>,
        credential: &Credential,
        places: MachineFolders,
    ) -> Result<Store, StoreError> {
        let number = newest_config(&*storage)?.ok_or_else(|| no_config(&*storage))?;
        let read = read_config(&*storage, number)?;
        let id = read.frame.store;
        let mut notices = Vec::new();
        let trust = TrustFile::new(&places, id);
        let seen = trust.look(&mut notices)?.config;
        if number < seen {
            return Err(StoreError::Config(format!("it has number {number}, and this machine has seen number {seen}")));
        }
        // Which slots it lists is a hint here: which are tried first.
        let listed = read.decode().ok().and_then(|config| config.key_slots());
        let (slot, bundle) = find_bundle(&*storage, id, credential, listed.as_deref().unwrap_or_default())?;
        refuse_bench_secret(&*storage, &bundle.store_secret)?;
        // Only admin bundles exist so far, and their holder is the maintainer. Without this anyone who can write to the
        // storage could make a config with a roster of his own.
        let maintainer = SigningKey::from_seed(&bundle.maintainer_seed);
        let config = read.open(&maintainer.public())?;
        if listed.is_some_and(|listed| !listed.contains(&slot)) {
            notices.push(format!(
                "key slot {slot} opens this store, but is not listed in its config: adding or removing it was \
                 interrupted. `larder key remove {slot}` removes it"
            ));
        }
        if number > seen
            && let Err(error) = trust.update(|trust| trust.config = trust.config.max(number))
        {
            unusable(error, &mut notices)?;
        }
        let ring = Arc::new(open_ring(&config, &bundle)?);
        let (host_key, host_key_lasts) = host_key(&places, &mut notices);
        let (cache, index) = open_cache(&places, id, ring.keys.cache.clone(), &mut notices)?;
        Ok(Store {
            cache,
            host_key,
            host_key_lasts,
            maintainer: Some(maintainer),
            storage,
            config,
            ring,
            places,
            index: Arc::new(RwLock::new(index)),
            bundle,
            trust,
            manifests: Mutex::default(),
            segments: Mutex::default(),
            records: Mutex::default(),
            writing: Default::default(),
            notices: Mutex::new(notices),
            damage: Mutex::default(),
            index_damage: Mutex::default(),
        })
    }
}

/// Slots that other creations left here, which were cut short: they open nothing. Whose creation still runs has lost, and
/// removes its own.
fn remove_foreign_slots(storage: &dyn Storage, store: StoreId) {
    let mut ids = Vec::new();
    _ = storage.list(Area::Keys, &mut |found| {
        if let StorageKey::KeySlot(id) = found.key {
            ids.push(id);
        }
    });
    for id in ids {
        if read_slot(storage, id).is_ok_and(|slot| slot.store != store) {
            _ = storage.delete(&StorageKey::KeySlot(id));
        }
    }
}

/// This machine's signing key and whether it lasts: without a folder to keep one in, one for this process.
fn host_key(places: &MachineFolders, notices: &mut Vec<String>) -> (SigningKey, bool) {
    match places.host_key() {
        Ok(key) => (key, true),
        Err(error) => {
            notices.push(format!("this machine has no signing key, so larder can only read: {error}"));
            (SigningKey::from_seed(&random_key()), false)
        }
    }
}

/// The cache of a store and its index: in a temporary folder where the cache cannot be used.
fn open_cache(
    places: &MachineFolders,
    id: StoreId,
    key: Key,
    notices: &mut Vec<String>,
) -> Result<(Cache, Index), StoreError> {
    let folder = places.store_cache(id);
    let index_folder = folder.join(INDEX_FOLDER);
    let opened = match Index::open(&index_folder, id) {
        Err(IndexError::Io(error)) => Err(error),
        index => machine_files::check_writable(&[&folder, &index_folder]).map(|()| index),
    };
    match opened {
        Ok(index) => Ok((Cache::new(folder, id, key), index?)),
        Err(error) => {
            let temporary = machine_files::temporary_folder()
                .map_err(machine_files::failed("make a temporary folder in", &std::env::temp_dir()))?;
            notices.push(format!(
                "the cache folder {} cannot be used ({error}), so the index is read from the store each time",
                folder.display()
            ));
            let index = Index::open(&temporary.path().join(INDEX_FOLDER), id)?;
            Ok((Cache::temporary(temporary, id, key), index))
        }
    }
}

fn refuse_bench_secret(storage: &dyn Storage, secret: &[u8; 32]) -> Result<(), StoreError> {
    if *secret == BENCH_SECRET && storage.capabilities().persistent {
        let what = "its store secret is the one of the benchmark, which everyone knows: it protects nothing";
        return Err(StoreError::Refused(what.into()));
    }
    Ok(())
}

fn decode_error(object: String, source: DecodeError) -> StoreError {
    ObjectError::Decode { object, source }.into()
}

fn open_ring(config: &Config, bundle: &KeyBundle) -> Result<Keyring, StoreError> {
    let open = |epoch: &Epoch| match open_epoch(&bundle.master, epoch.number, &epoch.sealed) {
        Ok(key) => Ok(EpochKeys::new(epoch.number, &key)),
        Err(error) => Err(StoreError::Config(format!("its epoch {} does not open: {error}", epoch.number))),
    };
    let epochs = config.epochs.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    if epochs.is_empty() {
        return Err(StoreError::Config("it has no epoch".into()));
    }
    Ok(Keyring { store: config.store, keys: StoreKeys::new(&bundle.store_secret), epochs })
}

/// The encoded, signed first config.
fn first_config(
    store: StoreId,
    master: &Key,
    store_secret: &Key,
    maintainer: &SigningKey,
    first_slot: ObjectId,
    options: &CreateOptions,
) -> Result<Vec<u8>, StoreError> {
    let chunker = options.chunker.unwrap_or_else(gear::default_params);
    Cutter::new(chunker, &StoreKeys::new(store_secret).gear)
        .map_err(|error| StoreError::Refused(format!("chunker parameters: {error}")))?;
    let mut config = Config {
        number: 0,
        features_incompatible: 0,
        features_read_only: 0,
        store,
        chunker,
        pack_bytes: options.pack_bytes.unwrap_or(PACK_BYTES as u32),
        group_bytes: GROUP_BYTES as u32,
        inline_bytes: INLINE_BYTES as u32,
        node_bytes_min: NODE_BYTES_MIN as u32,
        node_bytes_max: NODE_BYTES_MAX as u32,
        node_threshold: NODE_THRESHOLD,
        epochs: vec![Epoch { number: 1, sealed: seal_epoch(master, 1, &random_key()), sealed_by_next: Vec::new() }],
        roster: vec![Member {
            key: maintainer.public(),
            roles: MAINTAINER | WRITER | READER,
            name: "maintainer".into(),
        }],
        extensions: Vec::new(),
    };
    config.set_key_slots(vec![first_slot]);
    sign_config(config, maintainer)
}

/// A new slot's bytes, which have been opened again.
pub(super) fn new_slot(
    store: StoreId,
    bundle: &KeyBundle,
    credential: &Credential,
    cost: KdfCost,
    label: &str,
) -> Result<Vec<u8>, StoreError> {
    let failed = |error: &dyn std::fmt::Display| StoreError::Refused(format!("a new key slot: {error}"));
    let slot = wrap(store, bundle, credential, cost, label).map_err(|error| failed(&error))?;
    let bytes = slot.encode();
    KeySlot::decode(&bytes).map_err(|error| failed(&error))?;
    Ok(bytes)
}

/// A slot as it lies in the store, under the name that its bytes have; and those that cannot be read.
pub(super) type Slots = (Vec<(ObjectId, KeySlot)>, Vec<(ObjectId, StoreError)>);

/// All slots of this store, those that its config lists first, then newest first. Slots of another store (a creation that
/// was cut short) are passed over.
pub(super) fn read_slots(storage: &dyn Storage, store: StoreId, listed: &[ObjectId]) -> Result<Slots, StoreError> {
    let mut ids = Vec::new();
    storage.list(Area::Keys, &mut |found| {
        if let StorageKey::KeySlot(id) = found.key {
            ids.push(((!listed.contains(&id), std::cmp::Reverse(found.stored)), id));
        }
    })?;
    ids.sort_unstable();
    let (mut slots, mut unreadable) = (Vec::new(), Vec::new());
    for (_, id) in ids {
        match read_slot(storage, id) {
            Ok(slot) if slot.store == store && slots.len() < KEY_SLOTS_MAX => slots.push((id, slot)),
            Ok(_) => {}
            // One that is not needed must not stop whoever has another.
            Err(error) => unreadable.push((id, error)),
        }
    }
    Ok((slots, unreadable))
}

fn read_slot(storage: &dyn Storage, id: ObjectId) -> Result<KeySlot, StoreError> {
    let key = StorageKey::KeySlot(id);
    let bytes = storage.get(&key, KEY_SLOT_BYTES_MAX)?;
    if object_id(&bytes) != id {
        return Err(ObjectError::Mismatch { object: key.path() }.into());
    }
    KeySlot::decode(&bytes).map_err(|source| decode_error(key.path(), source))
}

/// Tries the slots. A key file costs nothing; each passphrase slot costs its derivation.
fn find_bundle(
    storage: &dyn Storage,
    store: StoreId,
    credential: &Credential,
    listed: &[ObjectId],
) -> Result<(ObjectId, KeyBundle), StoreError> {
    let (slots, unreadable) = read_slots(storage, store, listed)?;
    if slots.is_empty() && unreadable.is_empty() {
        return Err(StoreError::KeysLost(storage.location()));
    }
    let mut refused = None;
    for (id, slot) in &slots {
        match unwrap(slot, credential) {
            Ok(bundle) if bundle.role == ROLE_ADMIN => return Ok((*id, bundle)),
            Ok(bundle) => {
                let what =
                    format!("key slot {id} holds the keys of role {}, which this version cannot use", bundle.role);
                refused = Some(StoreError::Refused(what));
            }
            Err(CryptoError::WrongSecret) => {}
            Err(source) => {
                refused = Some(ObjectError::Crypto { object: StorageKey::KeySlot(*id).path(), source }.into());
            }
        }
    }
    // The right one may be among those that cannot be read: then it is not the secret's fault.
    let unreadable = unreadable.into_iter().next().map(|(_, error)| error);
    Err(refused.or(unreadable).unwrap_or(StoreError::WrongSecret))
}
