//! Where a key or passphrase comes from.
//!
//! The first of these that is given: `--key-file`, `--passphrase-file`, `--passphrase-command`, `LARDER_KEY_FILE`,
//! `LARDER_PASSPHRASE`, the key file that `init` left in the configuration folder, a prompt. Nothing prompts without
//! a terminal.

use super::context::Context;
use super::exit_code::ExitCode;
use super::failure::Failure;
use super::output::Output;
use crate::base::id::StoreId;
use crate::connect::key_file::Exposed;
use crate::connect::open::{Candidate, OpenError, on_this_machine};
use crate::connect::secret::{ReadSecret, Secret, SecretError, of_environment, passphrase};
use crate::crypto::slot::Credential;
use crate::store::MachineFolders;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use zeroize::Zeroizing;

/// A secret as the command line names it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Named<'a> {
    /// A key file.
    pub key_file: Option<&'a Path>,
    /// A file that holds a passphrase.
    pub passphrase_file: Option<&'a Path>,
    /// A command that prints one.
    pub passphrase_command: Option<&'a str>,
}

impl Named<'_> {
    /// Reads it; `None` when nothing is named.
    pub fn read(self, out: &Output) -> Result<Option<Credential>, Failure> {
        let key_file = self.key_file.map(Secret::KeyFile);
        let secret = key_file.or(self.passphrase_file.map(Secret::PassphraseFile));
        match secret.or(self.passphrase_command.map(Secret::PassphraseCommand)) {
            Some(secret) => Ok(Some(taken(secret.read()?, out))),
            None => Ok(None),
        }
    }
}

/// The credential that was read. A key file that others may read is warned of.
fn taken(read: ReadSecret, out: &Output) -> Credential {
    read.exposed.iter().for_each(|file| warn_exposed(file, out));
    read.credential
}

fn warn_exposed(Exposed { path, mode }: &Exposed, out: &Output) {
    let path = path.display();
    out.warn(&format!("the key file {path} can be read by others (mode {mode:04o}): chmod 600 {path}"));
}

/// What was given with options or in the environment.
pub fn given(context: &Context) -> Result<Option<Credential>, Failure> {
    let global = &context.global;
    let named = Named {
        key_file: global.key_file.as_deref(),
        passphrase_file: global.passphrase_file.as_deref(),
        passphrase_command: global.passphrase_command.as_deref(),
    };
    match named.read(&context.out)? {
        Some(credential) => Ok(Some(credential)),
        None => Ok(of_environment()?.map(|read| taken(read, &context.out))),
    }
}

/// What may open the store, best first: what was given, or key files of the configuration folder, or a prompt.
pub fn for_store(context: &Context, places: &MachineFolders, store: StoreId) -> Result<Vec<Candidate>, Failure> {
    if let Some(credential) = given(context)? {
        return Ok(vec![Candidate::given(credential)]);
    }
    let (mut candidates, exposed) = on_this_machine(places, store)?;
    exposed.iter().for_each(|file| warn_exposed(file, &context.out));
    if candidates.is_empty() && can_prompt() {
        candidates.push(Candidate::given(prompt(context, "Passphrase: ")?));
    }
    Ok(candidates)
}

/// A new passphrase from the terminal, typed twice; `None` without a terminal.
pub fn prompt_new(context: &Context) -> Result<Option<Credential>, Failure> {
    if !can_prompt() {
        return Ok(None);
    }
    let first = prompt_text(context, "New passphrase: ")?;
    let second = prompt_text(context, "The same again: ")?;
    if first != second {
        return Err(Failure::new(ExitCode::WrongSecret, "the two passphrases differ"));
    }
    Ok(Some(passphrase(first, "what was typed")?))
}

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Failure {
        let failure = Failure::new(ExitCode::WrongSecret, error.message);
        match error.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Failure {
        const GIVE: &str = "give --key-file, --passphrase-file, --passphrase-command or LARDER_PASSPHRASE";
        match error {
            OpenError::Store(error) => error.into(),
            OpenError::KeyFile(_) => Failure::new(ExitCode::WrongSecret, error.to_string()).hint(GIVE),
            OpenError::NothingToTry(store) => {
                let message = "no key file or passphrase was given, and there is no terminal to ask on";
                Failure::new(ExitCode::WrongSecret, message)
                    .hint(format!("{GIVE}; or put the store's key file into the configuration folder as key-{store}"))
            }
        }
    }
}

fn can_prompt() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

fn prompt(context: &Context, text: &str) -> Result<Credential, Failure> {
    Ok(passphrase(prompt_text(context, text)?, "what was typed")?)
}

fn prompt_text(context: &Context, text: &str) -> Result<Zeroizing<String>, Failure> {
    // Ctrl-C comes back as an error, so that the terminal shows what is typed again before the program ends.
    let cancel = context.interrupt.deferred();
    let typed = rpassword::prompt_password(text);
    context.interrupt.immediate();
    if cancel.load(Relaxed) {
        return Err(Failure::new(ExitCode::Interrupted, "interrupted"));
    }
    typed.map(Zeroizing::new).map_err(|e| match e.kind() {
        io::ErrorKind::Interrupted => Failure::new(ExitCode::Interrupted, "interrupted"),
        _ => Failure::failed(format!("cannot ask for a passphrase: {e}")),
    })
}
