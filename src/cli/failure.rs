//! An error as the program prints it: exit code, message and hint.

use super::exit_code::ExitCode;
use crate::ops::backup::BackupError;
use crate::ops::check::CheckError;
use crate::ops::diff::DiffError;
use crate::ops::keys::KeysError;
use crate::ops::repair::RepairError;
use crate::ops::restore::RestoreError;
use crate::store::StoreError;
use crate::tree::place::PlaceError;
use std::fmt::Display;

/// An error on its way to the person.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: ExitCode,
    /// What happened, one sentence; empty when nothing shall be printed.
    pub message: String,
    /// What one can do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// An error with its code.
    pub fn new(code: ExitCode, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into(), hint: None }
    }

    /// Exit code 1.
    pub fn failed(message: impl Into<String>) -> Failure {
        Failure::new(ExitCode::Failed, message)
    }

    /// Exit code 2.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(ExitCode::Usage, message)
    }

    /// A failed system call on a file of this machine.
    pub fn io(what: &str, path: &std::path::Path, error: &std::io::Error) -> Failure {
        Failure::failed(format!("{what} {}: {error}", path.display()))
    }

    /// With what one can do.
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// Standard output could not be written. A reader that has gone (`larder ls | head`) ends the program quietly.
    pub fn stdout(error: &std::io::Error) -> Failure {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::new(ExitCode::Ok, ""),
            _ => Failure::failed(format!("cannot write to standard output: {error}")),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        let failure = Failure::new(ExitCode::of(&error), chain(&error));
        match error {
            StoreError::NoSnapshot(_) => failure.hint("`larder snapshots` lists them"),
            StoreError::Ambiguous(_) => failure.hint("give more digits of the id"),
            StoreError::WrongSecret => {
                failure.hint("give --key-file, --passphrase-file, --passphrase-command or LARDER_PASSPHRASE")
            }
            StoreError::ConfigLost { .. } | StoreError::KeysLost(_) => failure.hint(
                "copy it back from a copy of the store. `larder init` makes a new store in another folder",
            ),
            _ if failure.code == ExitCode::Damage => {
                failure.hint(
                    "`larder check --read-data` names what is damaged, and the next backup stores anew what it still finds; \
                     `larder repair index` rebuilds a lost index",
                )
            }
            _ => failure,
        }
    }
}

/// Why an operation did not come to its end. What the store says keeps its code and hint.
macro_rules! of_operation {
    ($error:ident $(, $variant:ident => $code:ident)*) => {
        impl From<$error> for Failure {
            fn from(error: $error) -> Failure {
                match error {
                    $error::Store(error) => error.into(),
                    $($error::$variant { .. } => Failure::new(ExitCode::$code, chain(&error)),)*
                    error => Failure::failed(chain(&error)),
                }
            }
        }
    };
}

of_operation!(BackupError, Interrupted => Interrupted);
of_operation!(RestoreError, Refused => Refused, Interrupted => Interrupted);
of_operation!(CheckError, Interrupted => Interrupted);
of_operation!(RepairError, Interrupted => Interrupted);
of_operation!(DiffError);
of_operation!(KeysError);
of_operation!(PlaceError);

/// An error and what caused it, without saying anything twice.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        append_unless_said(&mut text, &cause);
        next = cause.source();
    }
    text
}

fn append_unless_said(text: &mut String, cause: &dyn Display) {
    let cause = cause.to_string();
    if !text.contains(&cause) {
        text.push_str(": ");
        text.push_str(&cause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::StorageError;
    use std::io;

    #[test]
    fn a_cause_is_said_once() {
        let io = io::Error::new(io::ErrorKind::PermissionDenied, "permission denied");
        let error = StoreError::from(StorageError::new("read", "keys/ab", io));
        assert_eq!(Failure::from(error).message, "read keys/ab: permission denied");
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure() {
        let gone = Failure::stdout(&io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((gone.code, gone.message.as_str()), (ExitCode::Ok, ""));
        let full = Failure::stdout(&io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.code, ExitCode::Failed);
    }
}
