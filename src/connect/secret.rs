//! Where a key or a passphrase comes from: a file, a command or the environment.

use super::key_file::{Exposed, read_key_file};
use crate::crypto::slot::Credential;
use crate::source::command::{LOOK, is_readable};
use crate::store::StoreError;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use zeroize::Zeroizing;

/// Longer texts are no passphrases: a file of another kind was named.
const PASSPHRASE_BYTES_MAX: u64 = 4096;

/// Where a key or a passphrase lies.
#[derive(Debug, Clone, Copy)]
pub enum Secret<'a> {
    /// A file of 32 random bytes.
    KeyFile(&'a Path),
    /// A file that holds a passphrase.
    PassphraseFile(&'a Path),
    /// A command that prints a passphrase; `sh -c` runs it.
    PassphraseCommand(&'a str),
}

/// What was read.
pub struct ReadSecret {
    pub credential: Credential,
    /// The key file, when others than its owner may read it.
    pub exposed: Option<Exposed>,
}

/// Why no key or passphrase could be had.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SecretError {
    pub message: String,
    /// What one can do about it.
    pub hint: Option<&'static str>,
}

impl SecretError {
    fn new(message: impl Into<String>) -> SecretError {
        SecretError { message: message.into(), hint: None }
    }

    fn hint(mut self, hint: &'static str) -> SecretError {
        self.hint = Some(hint);
        self
    }
}

impl Secret<'_> {
    /// Reads it.
    pub fn read(self) -> Result<ReadSecret, SecretError> {
        let credential = match self {
            Secret::KeyFile(path) => return key_file(path),
            Secret::PassphraseFile(path) => passphrase_file(path)?,
            Secret::PassphraseCommand(command) => passphrase_command(command)?,
        };
        Ok(ReadSecret { credential, exposed: None })
    }
}

/// What the variables `LARDER_KEY_FILE` and `LARDER_PASSPHRASE` name; the first counts. `None` when neither is set.
pub fn of_environment() -> Result<Option<ReadSecret>, SecretError> {
    if let Some(path) = std::env::var_os("LARDER_KEY_FILE").filter(|path| !path.is_empty()) {
        return key_file(Path::new(&path)).map(Some);
    }
    let credential = match std::env::var("LARDER_PASSPHRASE") {
        Ok(text) => passphrase(Zeroizing::new(text), "LARDER_PASSPHRASE")?,
        Err(std::env::VarError::NotPresent) => return Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => return Err(not_utf8("LARDER_PASSPHRASE")),
    };
    Ok(Some(ReadSecret { credential, exposed: None }))
}

fn key_file(path: &Path) -> Result<ReadSecret, SecretError> {
    let file = read_key_file(path).map_err(|error| match error {
        StoreError::Local { what, path, source } => {
            let refused = SecretError::new(format!("{what} {path}: {source}"));
            match source.kind() {
                io::ErrorKind::NotFound => {
                    refused.hint("`head -c 32 /dev/urandom > FILE` makes one for a new store; keep a copy elsewhere")
                }
                _ => refused,
            }
        }
        other => SecretError::new(other.to_string()),
    })?;
    let exposed = file.exposed.map(|mode| Exposed { path: path.into(), mode });
    Ok(ReadSecret { credential: file.credential, exposed })
}

fn passphrase_file(path: &Path) -> Result<Credential, SecretError> {
    let failed = |e: &io::Error| SecretError::new(format!("cannot read the passphrase file {}: {e}", path.display()));
    let file = std::fs::File::open(path).map_err(|e| failed(&e))?;
    let origin = path.display().to_string();
    passphrase(read_text(file, &origin).map_err(|e| e.unwrap_or_else(|e| failed(&e)))?, &origin)
}

fn passphrase_command(command: &str) -> Result<Credential, SecretError> {
    let wrong = |message: String| SecretError::new(message);
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
fn read_text(from: impl Read, origin: &str) -> Result<Zeroizing<String>, Result<SecretError, io::Error>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(PASSPHRASE_BYTES_MAX as usize + 1));
    from.take(PASSPHRASE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(Err)?;
    if bytes.len() as u64 > PASSPHRASE_BYTES_MAX {
        let message = format!("{origin}: a passphrase has at most {PASSPHRASE_BYTES_MAX} bytes, and this is longer");
        return Err(Ok(SecretError::new(message)));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_string())),
        Err(_) => Err(Ok(not_utf8(origin))),
    }
}

/// The passphrase in a text, without the line end behind it. `origin` says in errors where the text came from.
pub fn passphrase(text: Zeroizing<String>, origin: &str) -> Result<Credential, SecretError> {
    let line = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if line.is_empty() {
        return Err(SecretError::new(format!("{origin}: the passphrase is empty")));
    }
    Ok(Credential::Passphrase(Zeroizing::new(line.to_string())))
}

fn not_utf8(origin: &str) -> SecretError {
    SecretError::new(format!("{origin}: a passphrase is UTF-8 text, and this is not"))
        .hint("a file of 32 random bytes is a key file: --key-file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Refused;

    fn text(credential: Result<Credential, SecretError>) -> Result<String, Refused> {
        match credential {
            Ok(Credential::Passphrase(text)) => Ok(text.to_string()),
            Ok(Credential::KeyFile(_)) => panic!("a passphrase became a key file"),
            Err(_) => Err(Refused),
        }
    }

    #[test]
    fn one_line_end_is_no_part_of_a_passphrase() {
        let read = |s: &str| text(passphrase(Zeroizing::new(s.into()), "x"));
        assert_eq!(read("secret"), Ok("secret".into()));
        assert_eq!(read("secret\n"), Ok("secret".into()));
        assert_eq!(read("secret\r\n"), Ok("secret".into()));
        assert_eq!(read(" secret \n\n"), Ok(" secret \n".into()));
        assert_eq!(read("\n"), Err(Refused));
        assert_eq!(read(""), Err(Refused));
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
        assert_eq!(read(b"\xff\xfe"), Err(Refused));
        assert_eq!(read(&[b'a'; 5000]), Err(Refused));
        assert_eq!(text(passphrase_file(&folder.path().join("none"))), Err(Refused));
    }

    #[test]
    fn a_command_gives_its_output_and_its_failure() {
        assert_eq!(text(passphrase_command("printf 'se cret\\n'")), Ok("se cret".into()));
        assert_eq!(text(passphrase_command("echo secret; exit 3")), Err(Refused));
        assert_eq!(text(passphrase_command("true")), Err(Refused));
        let began = std::time::Instant::now();
        assert_eq!(text(passphrase_command("sleep 30 & exit 3")), Err(Refused));
        assert!(began.elapsed().as_secs() < 20, "what a command left running is not waited for when it failed");
        assert_eq!(text(passphrase_command("(sleep 0.3; echo secret) & true")), Ok("secret".into()));
    }
}
