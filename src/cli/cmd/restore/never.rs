//! The files that `--delete` never removes and `--overwrite` never replaces: without them the store would not open, or the
//! same command could not be run again.

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::source;
use crate::source::command::CommandLine;
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
/// and pattern files) or the environment names; of each also the links that lead to it. Of the command that prints the
/// passphrase what its own words name: what a script of it goes on to read nobody knows.
pub fn never(context: &Context, store: &Store, lists: &[PathBuf]) -> Result<Never, Failure> {
    let mut never = Never { nodes: source::never(context, store)?, paths: HashSet::new() };
    let (global, places) = (&context.global, &store.places);
    let from_environment = std::env::var_os("LARDER_KEY_FILE").map(PathBuf::from);
    let folder = context.store_folder()?;
    let named = [global.key_file.as_ref(), global.passphrase_file.as_ref(), from_environment.as_ref()];
    let named = named.into_iter().flatten().chain([&folder, &places.config, &places.cache]).chain(lists);
    named.for_each(|path| way_to(path, &mut never));
    if let Some(command) = &global.passphrase_command {
        words(command).iter().flat_map(|word| files_of(word)).for_each(|path| way_to(&path, &mut never));
    }
    all_in(&places.config, &mut never);
    Ok(never)
}

/// The words of a command for `sh`, without quotes, and with the home folder where they begin with it. No shell: it may
/// find words that are none, which protects more than it must.
fn words(command: &str) -> Vec<String> {
    let (mut all, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => quote = Some(c),
            ('\\', None | Some('"')) => word.extend(chars.next()),
            (c, None) if c.is_whitespace() || ";&|<>(){}`".contains(c) => all.push(std::mem::take(&mut word)),
            (c, _) => word.push(c),
        }
    }
    all.push(word);
    all.retain(|word| !word.is_empty());
    let home = std::env::var("HOME").unwrap_or_default();
    let at_home = |word: &String| {
        let rest = ["~/", "$HOME/"].iter().find_map(|start| word.strip_prefix(start))?;
        Some(format!("{home}/{rest}"))
    };
    let more: Vec<String> = all.iter().filter_map(at_home).collect();
    // `--file=PATH`, `NAME=PATH`, and what stands in quotes as a command of its own.
    let values: Vec<String> = all.iter().filter_map(|word| Some(word.split_once('=')?.1.to_string())).collect();
    let inner: Vec<String> =
        all.iter().filter(|word| word.contains(char::is_whitespace)).flat_map(|word| words(word)).collect();
    [all, more, values, inner].concat()
}

/// The files that a word of a command may name: by its path, or as a program.
fn files_of(word: &str) -> Vec<PathBuf> {
    let program = CommandLine { program: word.into(), args: Vec::new() }.find().ok();
    let named = PathBuf::from(word);
    [program, Some(named)].into_iter().flatten().filter(|path| !path.is_dir()).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_command_are_found_in_quotes_and_beside_signs() {
        let all = words(
            r#"PASS=/a/b cat "/with space/x"|sed -f'/q/s' --file=/v </in; /esc\ aped; sh -c 'exec /deep in' ~/me"#,
        );
        for path in ["/a/b", "cat", "/with space/x", "/v", "/in", "/esc aped", "/deep"] {
            assert!(all.iter().any(|word| word == path), "{path}: {all:?}");
        }
        assert!(
            all.iter().any(|word| word.ends_with("/me") && word.starts_with('/')) || std::env::var("HOME").is_err()
        );
    }
}
