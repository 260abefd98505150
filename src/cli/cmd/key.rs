//! `larder key add`, `list`, `remove`, `passwd`.

use super::init::kdf_cost;
use crate::base::time::Time;
use crate::cli::context::Context;
use crate::cli::credential::{Named, prompt_new};
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::cli::table::Table;
use crate::cli::{escape, time};
use crate::connect::key_file::write_key_file;
use crate::crypto::slot::Credential;
use crate::format::keyslot::SlotKind;
use crate::ops::keys;
use crate::report::keys::{KeyChanged, KeyObject};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  larder key list
  larder key add --new-key-file /root/larder.key --label web1
  larder key passwd
  larder key remove 3fa9";

/// Add, list, remove and change the key files and passphrases that open a store
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Add a key file or passphrase
    #[command(after_help = "\
Examples:
  larder key add                                    asks for a passphrase
  larder key add --new-key-file FILE --label web1   makes FILE if it does not exist")]
    Add(AddArgs),
    /// List key slots
    #[command(after_help = "Examples:\n  larder key list\n  larder key list --json")]
    List,
    /// Remove a key slot, except the last one
    #[command(after_help = "Examples:\n  larder key remove 3fa9")]
    Remove(RemoveArgs),
    /// Replace the key file or passphrase that the store was opened with
    #[command(after_help = "\
Examples:
  larder key passwd
  larder key passwd --new-passphrase-file FILE")]
    Passwd(NewSecret),
}

#[derive(Debug, clap::Args)]
struct AddArgs {
    #[command(flatten)]
    new: NewSecret,
    /// A name for the key slot
    #[arg(long, value_name = "TEXT", default_value = "")]
    label: String,
}

#[derive(Debug, clap::Args)]
struct RemoveArgs {
    /// The id of the key slot, or the beginning of it
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(Debug, clap::Args)]
struct NewSecret {
    /// Use this key file, which holds 32 random bytes; larder makes it with mode 0600 if it does not exist
    #[arg(long, value_name = "FILE", conflicts_with_all = ["new_passphrase_file", "new_passphrase_command"])]
    new_key_file: Option<PathBuf>,
    /// Use the passphrase in this file
    #[arg(long, value_name = "FILE", conflicts_with = "new_passphrase_command")]
    new_passphrase_file: Option<PathBuf>,
    /// Use the passphrase that this command prints
    #[arg(long, value_name = "COMMAND")]
    new_passphrase_command: Option<String>,
    /// How much memory it takes to derive a key from a passphrase, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(8..=1024))]
    kdf_memory: u32,
}

impl NewSecret {
    fn read(&self, context: &Context) -> Result<Credential, Failure> {
        if let Some(path) = self.new_key_file.as_deref().filter(|path| !path.exists()) {
            let credential = write_key_file(path)?;
            context.out.warn(&format!("a new key file was made: {}", path.display()));
            return Ok(credential);
        }
        let named = Named {
            key_file: self.new_key_file.as_deref(),
            passphrase_file: self.new_passphrase_file.as_deref(),
            passphrase_command: self.new_passphrase_command.as_deref(),
        };
        if let Some(credential) = named.read(&context.out)? {
            return Ok(credential);
        }
        prompt_new(context)?.ok_or_else(|| {
            Failure::usage("there is no terminal to ask for the new passphrase on")
                .hint("give --new-key-file, --new-passphrase-file or --new-passphrase-command")
        })
    }
}

pub fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    match args.command {
        Command::Add(args) => add(context, &args)?,
        Command::List => list(context)?,
        Command::Remove(args) => remove(context, &args)?,
        Command::Passwd(new) => passwd(context, &new)?,
    }
    Ok(ExitCode::Ok)
}

fn add(context: &Context, args: &AddArgs) -> Result<(), Failure> {
    let store = context.open()?.store;
    let new = args.new.read(context)?;
    let id = keys::add(&store, &new, kdf_cost(args.new.kdf_memory), &args.label)?;
    let object = KeyChanged::added(&id);
    context.out.result(&object, || format!("added key {}", super::snapshots::short(&id)))
}

fn list(context: &Context) -> Result<(), Failure> {
    let opened = context.open()?;
    let keys = keys::list(&opened.store, &opened.credential)?;
    let mut table = Table::new(&["", "id", "kind", "made", "label"]);
    for key in &keys {
        let made = Time { s: key.created_s, ns: 0 };
        if context.out.json {
            context.out.object(&KeyObject::from(key))?;
            continue;
        }
        table.row([
            if key.current { "*" } else { "" }.into(),
            super::snapshots::short(&key.id),
            match key.kind {
                SlotKind::KeyFile => "key file".into(),
                SlotKind::Passphrase { memory_kib, .. } => format!("passphrase ({} MiB)", memory_kib >> 10),
            },
            time::local(made),
            escape::name(key.label.as_bytes()),
        ]);
    }
    if context.out.json { Ok(()) } else { table.print(&context.out) }
}

fn remove(context: &Context, args: &RemoveArgs) -> Result<(), Failure> {
    let store = context.open()?.store;
    let id = keys::remove(&store, &args.id)?;
    let object = KeyChanged::removed(&id);
    context.out.result(&object, || format!("removed key {}", super::snapshots::short(&id)))
}

fn passwd(context: &Context, new: &NewSecret) -> Result<(), Failure> {
    let opened = context.open()?;
    let credential = new.read(context)?;
    let (id, removed) = keys::passwd(&opened.store, &opened.credential, &credential, kdf_cost(new.kdf_memory))?;
    if let Some(path) = &opened.default_key_file {
        // It opens nothing any more; kept, since a copy of the store from before still needs it.
        let retired = path.with_extension(format!("replaced-{}", super::snapshots::short(&removed)));
        std::fs::rename(path, &retired).map_err(|e| Failure::io("cannot rename the key file", path, &e))?;
        context.out.note(&format!("the key file that opened it before is now {}", retired.display()));
    }
    let object = KeyChanged::replaced(&id, &removed);
    let (id, removed) = (super::snapshots::short(&id), super::snapshots::short(&removed));
    context.out.result(&object, || format!("key {id} replaces {removed}"))
}
