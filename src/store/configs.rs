//! `config/<n>`: a config is read, verified before anything in it is believed, and replaced by the next one.

use super::{MAINTAINER, Store, StoreError, open};
use crate::base::id::ObjectId;
use crate::base::limits::CONFIG_BYTES_MAX;
use crate::crypto::sign::{Domain, SigningKey, verify};
use crate::format::config::{Config, ConfigFrame, SignedConfig};
use crate::format::error::{DecodeError, Reason};
use crate::object::ObjectError;
use crate::storage::{Area, Created, Storage, StorageErrorKind, StorageKey};

/// Feature bits that this version knows: none yet.
const FEATURES_KNOWN: u64 = 0;
/// How often a change is begun again when somebody else was faster.
const CHANGE_ATTEMPTS: usize = 20;

/// A config whose signature fits its bytes. Whether its signer may sign one, and what else it says, comes after that: its
/// layout may be one that this version does not know.
pub(crate) struct ReadConfig {
    /// What is at the same places in every version.
    pub frame: ConfigFrame,
    bytes: Vec<u8>,
}

/// The number of the newest config; `None`: there is none, nor perhaps a folder for it. See [`no_config`].
pub(crate) fn newest_config(storage: &dyn Storage) -> Result<Option<u32>, StoreError> {
    Ok(configs(storage)?.last().copied())
}

/// The numbers of all configs, ascending.
pub(crate) fn configs(storage: &dyn Storage) -> Result<Vec<u32>, StoreError> {
    let mut numbers = Vec::new();
    let listed = storage.list(Area::Config, &mut |found| {
        if let StorageKey::Config(number) = found.key {
            numbers.push(number);
        }
    });
    match listed {
        Err(error) if !matches!(error.kind, StorageErrorKind::NotFound | StorageErrorKind::NoFile) => {
            return Err(error.into());
        }
        _ => {}
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// What it means that there is no config: there is no store, or it has lost it.
pub(crate) fn no_config(storage: &dyn Storage) -> StoreError {
    match remains(storage) {
        Ok(Some(remains)) => StoreError::ConfigLost { location: storage.location(), remains },
        Ok(None) => StoreError::NoStore(storage.location()),
        Err(error) => error,
    }
}

/// What lies here that only a store has, beside configs and key slots; `None`: nothing.
pub(crate) fn remains(storage: &dyn Storage) -> Result<Option<String>, StoreError> {
    const KINDS: [(&[Area], &str, &str); 5] = [
        (&[Area::Packs, Area::Trees], "pack", "packs"),
        (&[Area::Index], "index segment", "index segments"),
        (&[Area::Snapshots], "snapshot", "snapshots"),
        (&[Area::Sessions], "record of sessions", "records of sessions"),
        (&[Area::State], "state record", "state records"),
    ];
    let mut kinds = Vec::new();
    for (areas, one, many) in KINDS {
        let mut count = 0u64;
        for area in areas {
            match storage.list(*area, &mut |_| count += 1) {
                Err(error) if !matches!(error.kind, StorageErrorKind::NotFound | StorageErrorKind::NoFile) => {
                    return Err(error.into());
                }
                _ => {}
            }
        }
        match count {
            0 => {}
            1 => kinds.push(format!("1 {one}")),
            _ => kinds.push(format!("{count} {many}")),
        }
    }
    Ok((!kinds.is_empty()).then(|| kinds.join(", ")))
}

/// Reads a config and verifies what can be verified without a key: that these are the bytes that were signed, and under
/// which number.
pub(crate) fn read_config(storage: &dyn Storage, number: u32) -> Result<ReadConfig, StoreError> {
    let key = StorageKey::Config(number);
    let bytes = storage.get(&key, CONFIG_BYTES_MAX)?;
    let frame = ConfigFrame::decode(&bytes).map_err(|source| decode_error(number, source))?;
    verify(&frame.signer, Domain::Config, &frame.store, ConfigFrame::signed(&bytes), &frame.signature)
        .map_err(|_| StoreError::Config(format!("the signature of {key} does not fit it")))?;
    if frame.number != number {
        return Err(StoreError::Config(format!("{key} says that it has number {}", frame.number)));
    }
    Ok(ReadConfig { frame, bytes })
}

impl ReadConfig {
    /// Feature bits that keep this version out.
    pub fn unknown_features(&self) -> u64 {
        self.frame.features_incompatible & !FEATURES_KNOWN
    }

    /// What it says, when this version understands it and its signer is a maintainer of its own roster.
    pub fn decode(&self) -> Result<Config, StoreError> {
        let number = self.frame.number;
        let config = SignedConfig::decode(&self.bytes).map_err(|source| decode_error(number, source))?.config;
        if !open::has_role(&config, &self.frame.signer, MAINTAINER) {
            let key = StorageKey::Config(number);
            return Err(StoreError::Config(format!("the signer of {key} is not a maintainer")));
        }
        Ok(config)
    }

    /// What it says, signed by this maintainer. Only from here on it is believed that it needs a newer larder.
    pub fn open(&self, maintainer: &[u8; 32]) -> Result<Config, StoreError> {
        if self.frame.signer != *maintainer {
            return Err(StoreError::Config("its signer is not the maintainer that the key slot knows".into()));
        }
        let unknown = self.unknown_features();
        if unknown != 0 {
            return Err(StoreError::NeedsNewer(unknown));
        }
        match SignedConfig::decode(&self.bytes) {
            Err(DecodeError { reason: Reason::Version | Reason::UnknownCritical, .. }) => {
                Err(StoreError::NeedsNewer(unknown))
            }
            _ => self.decode(),
        }
    }
}

fn decode_error(number: u32, source: DecodeError) -> StoreError {
    ObjectError::Decode { object: StorageKey::Config(number).path(), source }.into()
}

/// Signs a config and gives all its bytes, which have been read back.
pub(super) fn sign_config(config: Config, maintainer: &SigningKey) -> Result<Vec<u8>, StoreError> {
    let signer = maintainer.public();
    let signature = maintainer.sign(Domain::Config, &config.store, &SignedConfig::signed_bytes(&config, &signer));
    let bytes = SignedConfig { config, signer, signature }.encode();
    let check = SignedConfig::decode(&bytes);
    check.map_err(|error| StoreError::Refused(format!("these settings make no valid store: {error}")))?;
    Ok(bytes)
}

impl Store {
    /// The key slots that the newest config lists, if it lists them: stores of earlier versions do not.
    pub fn listed_slots(&self) -> Result<Option<Vec<ObjectId>>, StoreError> {
        Ok(self.newest_config()?.key_slots())
    }

    fn newest_config(&self) -> Result<Config, StoreError> {
        let number = newest_config(&*self.storage)?.ok_or_else(|| no_config(&*self.storage))?;
        read_config(&*self.storage, number)?.open(&self.maintainer()?.public())
    }

    fn maintainer(&self) -> Result<&SigningKey, StoreError> {
        self.maintainer.as_ref().ok_or_else(|| StoreError::Refused("only a maintainer of the store can do this".into()))
    }

    /// Writes the next config: the newest one, changed. Begins again when somebody else wrote one meanwhile.
    pub(super) fn change_config(&self, change: &dyn Fn(&mut Config)) -> Result<(), StoreError> {
        for _ in 0..CHANGE_ATTEMPTS {
            let before = self.newest_config()?;
            if before.features_read_only != 0 {
                return Err(StoreError::NeedsNewer(before.features_read_only));
            }
            let mut config = before.clone();
            change(&mut config);
            if config == before {
                return Ok(());
            }
            config.number = before.number.saturating_add(1);
            let (number, key) = (config.number, StorageKey::Config(config.number));
            let bytes = sign_config(config, self.maintainer()?)?;
            // A storage that repeats a request whose answer was lost finds our own there.
            if self.storage.put_if_absent(&key, &bytes)? == Created::New
                || self.storage.get(&key, CONFIG_BYTES_MAX)? == bytes
            {
                if let Err(error) = self.trust.update(|trust| trust.config = trust.config.max(number)) {
                    self.notice(format!("this machine could not record the store's new config: {error}"));
                }
                return Ok(());
            }
        }
        Err(StoreError::Refused("other machines keep changing the store's config; try again later".into()))
    }
}
