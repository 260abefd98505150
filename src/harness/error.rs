//! The reasons why something could not be measured.

use crate::ops::backup::BackupError;
use crate::ops::check::CheckError;
use crate::ops::restore::RestoreError;
use crate::store::StoreError;
use std::io;
use std::path::PathBuf;

/// Why something could not be measured. The message says what the person can do.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A file or folder of this machine.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// The verb: "read", "make".
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// The engine failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An operation failed for another reason than its store.
    #[error(transparent)]
    Operation(Box<dyn std::error::Error + Send + Sync>),
    /// Words, recipes or baselines that make no sense.
    #[error("{0}")]
    Invalid(String),
    /// Something that is needed is not here: a tool, a CPU feature, a baseline, a data set.
    #[error("{0}")]
    Missing(String),
    /// It ran, and gave nothing that could be used.
    #[error("could not measure: {0}")]
    NotMeasured(String),
    /// Ended from outside.
    #[error("interrupted")]
    Interrupted,
}

/// What the store says and an interruption are told from the rest.
macro_rules! of_operation {
    ($($error:ty),*) => {
        $(impl From<$error> for BenchError {
            fn from(error: $error) -> BenchError {
                type Error = $error;
                match error {
                    Error::Store(error) => BenchError::Store(error),
                    Error::Interrupted => BenchError::Interrupted,
                    error => BenchError::Operation(error.into()),
                }
            }
        })*
    };
}

of_operation!(BackupError, RestoreError, CheckError);

/// What is wrong in a TOML text, on one line: messages are escaped whole, and the parser's own is of several lines.
pub(super) fn toml_says(text: &str, error: &toml::de::Error) -> String {
    let why = error.message().trim().replace('\n', " ");
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else { return why };
    let line = before.rsplit('\n').next().unwrap_or("");
    format!("line {}, column {}: {why}", before.matches('\n').count() + 1, line.chars().count() + 1)
}

impl BenchError {
    /// For `map_err`: a failed call on a path.
    pub fn io(what: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> BenchError {
        move |source| BenchError::Io { what, path: path.to_path_buf(), source }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_wrong_in_a_toml_text_is_one_line() {
        let text = "a = 1\nb = = 2\n";
        let says = super::toml_says(text, &text.parse::<toml::Table>().unwrap_err());
        assert!(says.starts_with("line 2, column 5: ") && !says.contains('\n'), "{says}");
    }
}
