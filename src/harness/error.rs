//! Why something could not be measured.

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
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The engine failed.
    #[error(transparent)]
    Store(#[from] StoreError),
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

impl BenchError {
    /// For `map_err`: a failed call on a path.
    pub fn io(what: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> BenchError {
        move |source| BenchError::Io { what, path: path.to_path_buf(), source }
    }
}
