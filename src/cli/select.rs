//! The options that select snapshots. They are the same on every command that takes a snapshot.

use super::context::{Context, host_name};
use super::exit_code::ExitCode;
use super::failure::Failure;
use super::{escape, time};
use crate::cli::cmd::snapshots::{say_doubts, short};
use crate::store::newest::{NONE_SELECTED, Select, Wanted};
use crate::store::snapshots::{DamagedSnapshot, Snapshot};
use crate::store::{Store, StoreError};
use crate::tree::place::normal_path;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// Which snapshots a command is about.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Which snapshots")]
pub struct SelectArgs {
    /// Only snapshots of this host; repeat the option for several hosts. Without it, `latest` is the newest snapshot of this
    /// machine, or of any host if this machine has none
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// Only snapshots with this tag; repeat the option to require several tags
    #[arg(long = "tag", value_name = "TAG", value_delimiter = ',')]
    tags: Vec<String>,
    /// Only snapshots of this source path; repeat the option to require several paths
    #[arg(long = "path", value_name = "PATH")]
    paths: Vec<OsString>,
}

impl SelectArgs {
    /// As the engine takes them.
    pub fn select(&self) -> Select {
        let path = |path: &OsString| normal_path(path.as_bytes()).unwrap_or_else(|| path.as_bytes().to_vec());
        Select {
            hosts: self.hosts.clone(),
            tags: self.tags.iter().map(|tag| tag.trim().to_string()).filter(|tag| !tag.is_empty()).collect(),
            paths: self.paths.iter().map(path).collect(),
        }
    }

    /// Of these those that are asked for. That there is none is an error, as for a command that takes one of them; where
    /// some could not be read, it may be one of those.
    pub fn among(&self, all: Vec<Snapshot>, damaged: &[DamagedSnapshot]) -> Result<Vec<Snapshot>, Failure> {
        let select = self.select();
        let found: Vec<_> = all.into_iter().filter(|snapshot| select.selects(snapshot)).collect();
        if found.is_empty() && damaged.is_empty() && !select.is_all() {
            return Err(StoreError::NoMatch(NONE_SELECTED.into()).into());
        }
        Ok(found)
    }

    /// The snapshot of this name among them.
    pub fn snapshot(&self, context: &Context, store: &Store, name: &str) -> Result<(Snapshot, ExitCode), Failure> {
        snapshot(context, store, name, Wanted { select: self.select(), here: Some(host_name()) })
    }
}

/// The snapshot of this name, with what is doubtful about it said, and what `latest` stands for; and the exit code that
/// follows from that.
pub fn snapshot(context: &Context, store: &Store, name: &str, wanted: Wanted) -> Result<(Snapshot, ExitCode), Failure> {
    let out = &context.out;
    let (snapshot, damaged) = store.find_snapshot_among(name, &wanted)?;
    if name == "latest" {
        let manifest = &snapshot.manifest;
        let paths: Vec<_> = manifest.paths.iter().take(4).map(|path| escape::name(path)).collect();
        let more = if manifest.paths.len() > paths.len() { " …" } else { "" };
        out.note(&format!(
            "latest is {} of host {}, {}, {}{more}",
            short(&snapshot.id),
            escape::name(manifest.host.as_bytes()),
            time::local(manifest.time),
            paths.join(" ")
        ));
    }
    let code = say_doubts(out, std::slice::from_ref(&snapshot), &damaged);
    Ok((snapshot, code))
}
