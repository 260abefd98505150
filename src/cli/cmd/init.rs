//! `larder init`.

use crate::cli::context::Context;
use crate::cli::credential;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::connect::key_file::read_key_file;
use crate::connect::open::{Opened, is_unfinished};
use crate::crypto::slot::KdfCost;
use crate::ops::init::{self, FirstSecret, Initialized};
use crate::report::init::StoreObject;
use crate::storage::Storage;
use crate::storage::local::LocalStorage;
use crate::store::StoreError;
use crate::store::open::CreateOptions;
use std::path::Path;
use std::sync::Arc;

const EXAMPLES: &str = "\
Examples:
  larder init                                    makes ~/.larder and asks for a passphrase
  larder -s /mnt/backup init --key-file KEY      for servers: the store opens with a key file
  larder init --passphrase-command 'pass larder'

Without a key file, a passphrase and a terminal, larder makes a key file in the configuration folder.

Nothing can be restored without the key file or passphrase. Keep a copy of it elsewhere.";

/// Make a store in an empty or new folder
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// How much memory it takes to derive a key from a passphrase, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(8..=1024))]
    pub kdf_memory: u32,
    /// A name for the first key slot
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub label: String,
}

/// The cost of a passphrase slot.
pub fn kdf_cost(memory_mib: u32) -> KdfCost {
    KdfCost { memory_kib: memory_mib << 10, ..KdfCost::default() }
}

pub fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let folder = context.store_folder()?;
    let options = CreateOptions { kdf: kdf_cost(args.kdf_memory), label: args.label, ..CreateOptions::default() };
    // What a run that did not come to its end has left is completed.
    if let Ok(storage) = LocalStorage::open(&folder)
        && !is_unfinished(&storage).unwrap_or(false)
    {
        init::refuse_store(&storage)?;
    }
    let made = create(context, &folder, options)?;
    if context.out.json {
        context.out.object(&StoreObject::new(&made.store, made.default_key_file.as_deref()))?;
    } else if !context.out.quiet {
        context.out.line(&format!("made store {} at {}", made.store.id(), folder.display()))?;
    }
    Ok(ExitCode::Ok)
}

/// Makes a store in `folder` with what the person gave, a new passphrase, or a new key file, and says what was made.
pub fn create(context: &Context, folder: &Path, options: CreateOptions) -> Result<Opened, Failure> {
    let places = context.places()?;
    let secret = match credential::given(context)? {
        Some(credential) => FirstSecret::Given(credential),
        None => credential::prompt_new(context)?.map_or(FirstSecret::NewKeyFile, FirstSecret::Given),
    };
    let given = match &secret {
        FirstSecret::Given(credential) => Some(credential.clone()),
        FirstSecret::NewKeyFile => None,
    };
    let make = || -> Result<Arc<dyn Storage>, StoreError> { Ok(Arc::new(LocalStorage::create(folder)?)) };
    let Initialized { store, key_file } = init::run(make, secret, places, options)?;
    if let Some(path) = &key_file {
        context.out.warn(&format!("a new key file was made: {}", path.display()));
        context
            .out
            .warn("NOTHING CAN BE RESTORED WITHOUT THIS FILE. Copy it to a safe place outside this machine now.");
    }
    let credential = match (given, &key_file) {
        (Some(credential), _) => credential,
        (None, Some(path)) => read_key_file(path)?.credential,
        (None, None) => return Err(Failure::failed("the new store has no key")),
    };
    Ok(Opened { store: Arc::new(store), credential, default_key_file: key_file })
}
