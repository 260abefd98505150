//! Folders of this machine that are not the store: configuration and cache.

use std::path::PathBuf;

/// Where this machine keeps what belongs to it.
#[derive(Debug, Clone)]
pub struct Places {
    /// Host key, trust files, default key file. Never deleted by larder.
    pub config: PathBuf,
    /// Index runs, last trees. Can be deleted at any time.
    pub cache: PathBuf,
}

impl Places {
    /// `$XDG_CONFIG_HOME/larder` and `$XDG_CACHE_HOME/larder`, or below the home folder.
    pub fn of_user() -> Result<Places, super::StoreError> {
        todo!()
    }
}
