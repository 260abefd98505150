//! Creating and opening.

use super::cache::Cache;
use super::trust::TrustFile;
use super::{MAINTAINER, Places, READER, SHUT_OUT, Store, StoreError, WRITER};
use crate::base::id::{ObjectId, StoreId};
use crate::base::limits::{
    CONFIG_BYTES_MAX, GROUP_BYTES, INLINE_BYTES, KEY_SLOT_BYTES_MAX, KEY_SLOTS_MAX, NODE_BYTES_MAX, NODE_BYTES_MIN,
    PACK_BYTES,
};
use crate::chunking::{Cutter, gear};
use crate::crypto::CryptoError;
use crate::crypto::hash::object_id;
use crate::crypto::keys::{EpochKeys, Key, StoreKeys, open_epoch, random_bytes, random_key, seal_epoch};
use crate::crypto::sign::{Domain, SigningKey, verify};
use crate::crypto::slot::{Credential, KdfCost, unwrap, wrap};
use crate::format::config::{ChunkerParams, Config, Epoch, Member, SignedConfig};
use crate::format::error::DecodeError;
use crate::format::keyslot::{KeyBundle, KeySlot};
use crate::index::Index;
use crate::object::{Keyring, ObjectError};
use crate::storage::{Area, Created, Storage, StorageKey};
use std::sync::{Arc, Mutex, RwLock};

/// Feature bits that this version knows: none yet.
const FEATURES_KNOWN: u64 = 0;
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
        places: Places,
        options: CreateOptions,
    ) -> Result<Store, StoreError> {
        if newest_config(&*storage)?.is_some() {
            return Err(StoreError::StoreExists(storage.location()));
        }
        if let Some(secret) = &options.store_secret {
            refuse_bench_secret(&*storage, secret)?;
        }
        // What can fail on this machine fails before anything is written.
        places.host_key()?;
        let store = StoreId(random_bytes());
        let store_secret = options.store_secret.clone().unwrap_or_else(random_key);
        let (master, maintainer_seed) = (random_key(), random_key());
        let maintainer = SigningKey::from_seed(&maintainer_seed);
        let config = first_config(store, &master, &store_secret, &maintainer, &options)?;
        let bundle = KeyBundle {
            role: ROLE_ADMIN,
            store_secret: *store_secret,
            master: *master,
            maintainer_seed: *maintainer_seed,
            exchange_secret: [0; 32],
        };
        let slot = new_slot(store, &bundle, credential, options.kdf, &options.label)?;
        let slot_key = StorageKey::KeySlot(object_id(&slot));
        storage.put_if_absent(&slot_key, &slot)?;
        // A storage that repeats a request whose answer was lost may find our own there.
        if storage.put_if_absent(&StorageKey::Config(0), &config)? == Created::Exists
            && read_config(&*storage, 0)?.config.store != store
        {
            storage.delete(&slot_key)?;
            return Err(StoreError::StoreExists(storage.location()));
        }
        Store::open(storage, credential, places)
    }

    /// Opens a store: highest config, key slots, epochs, signature, trust file. Does not read the index.
    pub fn open(storage: Arc<dyn Storage>, credential: &Credential, places: Places) -> Result<Store, StoreError> {
        let number = newest_config(&*storage)?.ok_or_else(|| StoreError::NoStore(storage.location()))?;
        let signed = read_config(&*storage, number)?;
        let id = signed.config.store;
        let trust = TrustFile::new(&places, id);
        let seen = trust.load()?.config;
        if number < seen {
            return Err(StoreError::Config(format!("it has number {number}, and this machine has seen number {seen}")));
        }
        let bundle = find_bundle(&*storage, id, credential)?;
        refuse_bench_secret(&*storage, &bundle.store_secret)?;
        // Only admin bundles exist so far, and their holder is the maintainer. Without this anyone who can write to the
        // storage could make a config with a roster of his own.
        let maintainer = SigningKey::from_seed(&bundle.maintainer_seed);
        if maintainer.public() != signed.signer {
            return Err(StoreError::Config("its signer is not the maintainer that the key slot knows".into()));
        }
        if number > seen {
            trust.update(|trust| trust.config = trust.config.max(number))?;
        }
        let ring = Arc::new(open_ring(&signed.config, &bundle)?);
        let cache_folder = places.store_cache(id);
        let index = Index::open(&cache_folder.join(INDEX_FOLDER), id)?;
        Ok(Store {
            cache: Cache::new(cache_folder, id, ring.keys.cache.clone()),
            host_key: places.host_key()?,
            maintainer: Some(maintainer),
            storage,
            config: signed.config,
            ring,
            places,
            index: Arc::new(RwLock::new(index)),
            bundle,
            trust,
            manifests: Mutex::default(),
            segments: Mutex::default(),
            records: Mutex::default(),
            writing: Default::default(),
            notices: Mutex::default(),
            damage: Mutex::default(),
        })
    }
}

fn refuse_bench_secret(storage: &dyn Storage, secret: &[u8; 32]) -> Result<(), StoreError> {
    if *secret == BENCH_SECRET && storage.capabilities().persistent {
        let what = "its store secret is the one of the benchmark, which everyone knows: it protects nothing";
        return Err(StoreError::Refused(what.into()));
    }
    Ok(())
}

/// The number of the newest config; `None`: there is no store.
fn newest_config(storage: &dyn Storage) -> Result<Option<u32>, StoreError> {
    let mut newest = None;
    storage.list(Area::Config, &mut |found| {
        if let StorageKey::Config(number) = found.key {
            newest = newest.max(Some(number));
        }
    })?;
    Ok(newest)
}

/// Reads a config and verifies what can be verified without a key.
fn read_config(storage: &dyn Storage, number: u32) -> Result<SignedConfig, StoreError> {
    let key = StorageKey::Config(number);
    let bytes = storage.get(&key, CONFIG_BYTES_MAX)?;
    let signed = SignedConfig::decode(&bytes).map_err(|source| decode_error(key.path(), source))?;
    let config = &signed.config;
    let unknown = config.features_incompatible & !FEATURES_KNOWN;
    if unknown != 0 {
        return Err(StoreError::NeedsNewer(unknown));
    }
    if config.number != number {
        return Err(StoreError::Config(format!("{key} says that it has number {}", config.number)));
    }
    if !has_role(config, &signed.signer, MAINTAINER) {
        return Err(StoreError::Config(format!("the signer of {key} is not a maintainer")));
    }
    let message = SignedConfig::signed_bytes(config, &signed.signer);
    verify(&signed.signer, Domain::Config, &config.store, &message, &signed.signature)
        .map_err(|_| StoreError::Config(format!("the signature of {key} does not fit it")))?;
    Ok(signed)
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
    options: &CreateOptions,
) -> Result<Vec<u8>, StoreError> {
    let chunker = options.chunker.unwrap_or_else(gear::default_params);
    Cutter::new(chunker, &StoreKeys::new(store_secret).gear)
        .map_err(|error| StoreError::Refused(format!("chunker parameters: {error}")))?;
    let config = Config {
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
    let signer = maintainer.public();
    let signature = maintainer.sign(Domain::Config, &store, &SignedConfig::signed_bytes(&config, &signer));
    let bytes = SignedConfig { config, signer, signature }.encode();
    let check = SignedConfig::decode(&bytes);
    check.map_err(|error| StoreError::Refused(format!("these settings make no valid store: {error}")))?;
    Ok(bytes)
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

/// All slots of this store, newest first. Slots of another store (a creation that was cut short) are passed over.
pub(super) fn read_slots(storage: &dyn Storage, store: StoreId) -> Result<Slots, StoreError> {
    let mut ids = Vec::new();
    storage.list(Area::Keys, &mut |found| {
        if let StorageKey::KeySlot(id) = found.key {
            ids.push((std::cmp::Reverse(found.stored), id));
        }
    })?;
    ids.sort_unstable();
    let (mut slots, mut unreadable) = (Vec::new(), Vec::new());
    for (_, id) in ids {
        match read_slot(storage, id) {
            Ok(slot) if slot.store == store && slots.len() < KEY_SLOTS_MAX => slots.push((id, slot)),
            Ok(_) => {}
            Err(error) if error.is_damage() => unreadable.push((id, error)),
            Err(error) => return Err(error),
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
fn find_bundle(storage: &dyn Storage, store: StoreId, credential: &Credential) -> Result<KeyBundle, StoreError> {
    let (slots, unreadable) = read_slots(storage, store)?;
    let mut refused = None;
    for (id, slot) in &slots {
        match unwrap(slot, credential) {
            Ok(bundle) if bundle.role == ROLE_ADMIN => return Ok(bundle),
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
