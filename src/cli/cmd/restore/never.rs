//! What `--delete` never removes: without it the store does not open, or the same command cannot be run again.

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::source;
use crate::store::Store;
use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// By device and inode, and by path: what is written anew meanwhile, or lies where inode numbers change, is known by its
/// path alone.
#[derive(Default)]
pub struct Never {
    pub nodes: HashSet<(u64, u64)>,
    pub paths: HashSet<Vec<u8>>,
}

/// Links that one path leads through; as many as the system follows.
const LINKS_MAX: usize = 40;

/// The store, the cache, the configuration with all in it, and the files that the command line (`lists` are its lists
/// and pattern files) or the environment names; of each also the links that lead to it.
pub fn never(context: &Context, store: &Store, lists: &[PathBuf]) -> Result<Never, Failure> {
    let mut never = Never { nodes: source::never(context, store)?, paths: HashSet::new() };
    let (global, places) = (&context.global, &store.places);
    let from_environment = std::env::var_os("LARDER_KEY_FILE").map(PathBuf::from);
    let folder = context.store_folder()?;
    let named = [global.key_file.as_ref(), global.passphrase_file.as_ref(), from_environment.as_ref()];
    let named = named.into_iter().flatten().chain([&folder, &places.config, &places.cache]).chain(lists);
    named.for_each(|path| way_to(path, &mut never));
    all_in(&places.config, &mut never);
    Ok(never)
}

fn node(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

/// What a path names, and each link on the way there.
fn way_to(path: &Path, never: &mut Never) {
    never.nodes.extend(fs::metadata(path).map(|meta| node(&meta)));
    never.paths.extend(fs::canonicalize(path).map(|path| path.into_os_string().into_vec()));
    let mut paths = vec![path.to_path_buf()];
    for _ in 0..LINKS_MAX {
        let Some(path) = paths.pop() else { return };
        for part in path.ancestors() {
            let Ok(meta) = fs::symlink_metadata(part) else { continue };
            if meta.is_symlink() && never.nodes.insert(node(&meta)) {
                paths.extend(fs::read_link(part).map(|to| part.parent().unwrap_or(Path::new("")).join(to)));
            }
        }
    }
}

/// A folder that was there before may have its own entry in the snapshot: what lies in it is kept all the same.
fn all_in(folder: &Path, never: &mut Never) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        way_to(&entry.path(), never);
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            all_in(&entry.path(), never);
        }
    }
}
