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
use crate::crypto::slot::Credential;
use crate::ops::keys::{candidate_key_files, read_key_file};
use crate::source::command::{LOOK, is_readable};
use crate::store::{Places, StoreError};
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use zeroize::Zeroizing;

/// Passphrases are cut off here: a file of another kind was named.
const PASSPHRASE_BYTES_MAX: u64 = 4096;

/// A credential, and the key file of the configuration folder when it came from there.
pub struct Found {
    /// What to open with.
    pub credential: Credential,
    /// Where it lay.
    pub file: Option<PathBuf>,
}

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
        if let Some(path) = self.key_file {
            return key_file(path, out).map(Some);
        }
        if let Some(path) = self.passphrase_file {
            return passphrase_file(path).map(Some);
        }
        self.passphrase_command.map(passphrase_command).transpose()
    }
}

/// What was given with options or in the environment.
pub fn given(context: &Context) -> Result<Option<Credential>, Failure> {
    let global = &context.global;
    let named = Named {
        key_file: global.key_file.as_deref(),
        passphrase_file: global.passphrase_file.as_deref(),
        passphrase_command: global.passphrase_command.as_deref(),
    };
    if let Some(credential) = named.read(&context.out)? {
        return Ok(Some(credential));
    }
    if let Some(path) = std::env::var_os("LARDER_KEY_FILE").filter(|path| !path.is_empty()) {
        return key_file(Path::new(&path), &context.out).map(Some);
    }
    match std::env::var("LARDER_PASSPHRASE") {
        Ok(text) => passphrase(Zeroizing::new(text), "LARDER_PASSPHRASE").map(Some),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(not_utf8("LARDER_PASSPHRASE")),
    }
}

/// What may open the store, best first: what was given, or key files of the configuration folder, or a prompt.
pub fn for_store(context: &Context, places: &Places, store: StoreId) -> Result<Vec<Found>, Failure> {
    if let Some(credential) = given(context)? {
        return Ok(vec![Found { credential, file: None }]);
    }
    let mut found = Vec::new();
    for path in candidate_key_files(places, store) {
        let credential = key_file(&path, &context.out)?;
        found.push(Found { credential, file: Some(path) });
    }
    if found.is_empty() && can_prompt() {
        found.push(Found { credential: prompt(context, "Passphrase: ")?, file: None });
    }
    Ok(found)
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
    passphrase(first, "what was typed").map(Some)
}

/// No slot opens with what was tried.
pub fn wrong(error: StoreError, file: Option<PathBuf>) -> Failure {
    match file {
        None => error.into(),
        Some(path) => Failure::new(ExitCode::WrongSecret, format!("the key file {} does not open it", path.display()))
            .hint("give --key-file, --passphrase-file, --passphrase-command or LARDER_PASSPHRASE"),
    }
}

/// Nothing to open with.
pub fn none_given(store: StoreId) -> Failure {
    let message = "no key file or passphrase is given, and there is no terminal to ask on";
    Failure::new(ExitCode::WrongSecret, message).hint(format!(
        "give --key-file, --passphrase-file, --passphrase-command or LARDER_PASSPHRASE; \
         or put the store's key file into the configuration folder as key-{store}"
    ))
}

fn can_prompt() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

fn key_file(path: &Path, out: &Output) -> Result<Credential, Failure> {
    let file = match read_key_file(path) {
        Ok(file) => file,
        Err(StoreError::Local { what, path, source }) => {
            let message = format!("{what} {path}: {source}");
            let failure = Failure::new(ExitCode::WrongSecret, message);
            return Err(match source.kind() {
                io::ErrorKind::NotFound => {
                    failure.hint("`head -c 32 /dev/urandom > FILE` makes one for a new store; keep a copy elsewhere")
                }
                _ => failure,
            });
        }
        Err(e) => return Err(e.into()),
    };
    if let Some(mode) = file.exposed {
        let path = path.display();
        out.warn(&format!("the key file {path} can be read by others (mode {mode:04o}): chmod 600 {path}"));
    }
    Ok(file.credential)
}

fn passphrase_file(path: &Path) -> Result<Credential, Failure> {
    let failed = |e: &io::Error| {
        Failure::new(ExitCode::WrongSecret, format!("cannot read the passphrase file {}: {e}", path.display()))
    };
    let file = std::fs::File::open(path).map_err(|e| failed(&e))?;
    let origin = path.display().to_string();
    passphrase(read_text(file, &origin).map_err(|e| e.unwrap_or_else(|e| failed(&e)))?, &origin)
}

fn passphrase_command(command: &str) -> Result<Credential, Failure> {
    let wrong = |message: String| Failure::new(ExitCode::WrongSecret, message);
    let failed = |e: &io::Error| wrong(format!("cannot run the passphrase command {command:?}: {e}"));
    let mut child =
        Command::new("/bin/sh").arg("-c").arg(command).stdout(Stdio::piped()).spawn().map_err(|e| failed(&e))?;
    let text = match child.stdout.take() {
        Some(stdout) => read_text(Printed { child: &mut child, stdout }, "the passphrase command"),
        None => Err(Ok(wrong("the passphrase command has no output".into()))),
    };
    let status = child.wait().map_err(|e| failed(&e))?;
    if !status.success() {
        return Err(wrong(format!("the passphrase command {command:?} failed: {status}")));
    }
    passphrase(text.map_err(|e| e.unwrap_or_else(|e| failed(&e)))?, "the passphrase command")
}

/// What a command prints. What it started may hold that open after it failed: that is not waited for.
struct Printed<'a> {
    child: &'a mut Child,
    stdout: ChildStdout,
}

impl Read for Printed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while !is_readable(&self.stdout, LOOK)? {
            if self.child.try_wait()?.is_some_and(|status| !status.success()) {
                return Err(io::Error::other("the command failed"));
            }
        }
        self.stdout.read(buf)
    }
}

/// Reads a passphrase; a refusal or a system error otherwise.
fn read_text(from: impl Read, origin: &str) -> Result<Zeroizing<String>, Result<Failure, io::Error>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(PASSPHRASE_BYTES_MAX as usize + 1));
    from.take(PASSPHRASE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(Err)?;
    if bytes.len() as u64 > PASSPHRASE_BYTES_MAX {
        let message = format!("{origin}: longer than {PASSPHRASE_BYTES_MAX} bytes, which is no passphrase");
        return Err(Ok(Failure::new(ExitCode::WrongSecret, message)));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_string())),
        Err(_) => Err(Ok(not_utf8(origin))),
    }
}

/// Without the line end behind it.
fn passphrase(text: Zeroizing<String>, origin: &str) -> Result<Credential, Failure> {
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if line.is_empty() {
        return Err(Failure::new(ExitCode::WrongSecret, format!("{origin}: the passphrase is empty")));
    }
    Ok(Credential::Passphrase(Zeroizing::new(line.to_string())))
}

fn not_utf8(origin: &str) -> Failure {
    Failure::new(ExitCode::WrongSecret, format!("{origin}: a passphrase is UTF-8 text, and this is not"))
        .hint("a file of 32 random bytes is a key file: --key-file")
}

fn prompt(context: &Context, text: &str) -> Result<Credential, Failure> {
    passphrase(prompt_text(context, text)?, "what was typed")
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text(credential: Result<Credential, Failure>) -> Result<String, ExitCode> {
        match credential {
            Ok(Credential::Passphrase(text)) => Ok(text.to_string()),
            Ok(Credential::KeyFile(_)) => panic!("a passphrase became a key file"),
            Err(failure) => Err(failure.code),
        }
    }

    #[test]
    fn one_line_end_is_no_part_of_a_passphrase() {
        let read = |s: &str| text(passphrase(Zeroizing::new(s.into()), "x"));
        assert_eq!(read("secret"), Ok("secret".into()));
        assert_eq!(read("secret\n"), Ok("secret".into()));
        assert_eq!(read("secret\r\n"), Ok("secret".into()));
        assert_eq!(read(" secret \n\n"), Ok(" secret \n".into()));
        assert_eq!(read("\n"), Err(ExitCode::WrongSecret));
        assert_eq!(read(""), Err(ExitCode::WrongSecret));
    }

    #[test]
    fn files_that_hold_no_passphrase_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let read = |bytes: &[u8]| {
            let path = folder.path().join("p");
            std::fs::write(&path, bytes).unwrap();
            text(passphrase_file(&path))
        };
        assert_eq!(read(b"fine\n"), Ok("fine".into()));
        assert_eq!(read(b"\xff\xfe"), Err(ExitCode::WrongSecret));
        assert_eq!(read(&[b'a'; 5000]), Err(ExitCode::WrongSecret));
        assert_eq!(text(passphrase_file(&folder.path().join("none"))), Err(ExitCode::WrongSecret));
    }

    #[test]
    fn a_command_gives_its_output_and_its_failure() {
        assert_eq!(text(passphrase_command("printf 'se cret\\n'")), Ok("se cret".into()));
        assert_eq!(text(passphrase_command("echo secret; exit 3")), Err(ExitCode::WrongSecret));
        assert_eq!(text(passphrase_command("true")), Err(ExitCode::WrongSecret));
        let began = std::time::Instant::now();
        assert_eq!(text(passphrase_command("sleep 30 & exit 3")), Err(ExitCode::WrongSecret));
        assert!(began.elapsed().as_secs() < 20, "what a command left running is not waited for when it failed");
        assert_eq!(text(passphrase_command("(sleep 0.3; echo secret) & true")), Ok("secret".into()));
    }
}
