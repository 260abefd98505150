//! `larder ls`.

use crate::base::path::path_of;
use crate::cli::context::Context;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::cli::remarks::Remarks;
use crate::cli::select::SelectArgs;
use crate::cli::{escape, time};
use crate::format::tree::{Content, Entry, EntryKind, Meta};
use crate::ops::list::{self, ListOptions};
use crate::report::entry::EntryObject;
use crate::tree::place::SnapshotPath;
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;

const EXAMPLES: &str = "\
Examples:
  larder ls latest                 the paths that were backed up, and what is directly in them
  larder ls -l latest:/etc
  larder ls -r 3fa9:/home/me/src --json

Control characters in names are shown as escapes. --json prints names exactly.";

/// List what is in a snapshot
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The snapshot, and optionally a path in it: `latest` or the beginning of an id, then :PATH
    #[arg(value_name = "SNAP[:PATH]", default_value = "latest")]
    places: Vec<OsString>,
    /// List everything below, at any depth
    #[arg(short, long)]
    recursive: bool,
    /// Show modes, owners, sizes and times
    #[arg(short, long)]
    long: bool,
    #[command(flatten)]
    select: SelectArgs,
}

pub fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let places = args.places.iter().map(|p| SnapshotPath::parse(p.as_bytes())).collect::<Result<Vec<_>, _>>()?;
    let store = context.open_with_index()?;
    let out = &context.out;
    let mut code = ExitCode::Ok;
    for SnapshotPath { snapshot, path } in places {
        let (snapshot, doubts) = args.select.snapshot(context, &store, &snapshot)?;
        code = code.or(doubts);
        let mut failed = None;
        let mut print = |entry: Entry| {
            let path = path_of(&entry.key);
            let printed = if out.json {
                out.object(&EntryObject::new(&snapshot.id, &entry, &path))
            } else if args.long {
                out.line(&long(&entry, &path))
            } else {
                out.line(&escape::name(&path))
            };
            printed.map_or_else(|e| (failed = Some(e), ControlFlow::Break(())).1, ControlFlow::Continue)
        };
        let options = ListOptions { path, recursive: args.recursive };
        let stats = list::run(&store, &snapshot, &options, &mut print, &Remarks(out))?;
        if let Some(failure) = failed {
            return Err(failure);
        }
        if stats.damaged > 0 {
            code = code.or(ExitCode::Damage);
        }
        if stats.unreadable > 0 {
            code = code.or(ExitCode::Failed);
        }
    }
    Ok(code)
}

/// One line with everything `ls -l` shows.
pub fn long(entry: &Entry, path: &[u8]) -> String {
    let meta = &entry.meta;
    let size = match meta.kind {
        EntryKind::CharDevice | EntryKind::BlockDevice => format!("{}, {}", meta.rdev.0, meta.rdev.1),
        _ => meta.size.to_string(),
    };
    let target = match meta.kind {
        EntryKind::Symlink => format!(" -> {}", escape::name(&meta.target)),
        _ => String::new(),
    };
    let flaw = match entry.content {
        Content::Unreadable => "  (unreadable)",
        _ if entry.changed_while_read => "  (changed while read)",
        _ => "",
    };
    format!(
        "{} {:>3} {:<8} {:<8} {size:>12} {} {}{target}{flaw}",
        mode(meta),
        meta.nlink,
        owner(&meta.user, meta.uid),
        owner(&meta.group, meta.gid),
        time::local(meta.mtime),
        escape::name(path),
    )
}

fn owner(name: &[u8], id: u32) -> String {
    if name.is_empty() { id.to_string() } else { escape::name(name) }
}

/// `drwxr-sr-t` as `ls` writes it, with `+` when there are ACLs.
fn mode(meta: &Meta) -> String {
    let kind = match meta.kind {
        EntryKind::File => '-',
        EntryKind::Directory => 'd',
        EntryKind::Symlink => 'l',
        EntryKind::Fifo => 'p',
        EntryKind::Socket => 's',
        EntryKind::CharDevice => 'c',
        EntryKind::BlockDevice => 'b',
    };
    let bit = |mask: u32, letter: char| if meta.mode & mask != 0 { letter } else { '-' };
    let run = |special: u32, execute: u32, set: char| match (meta.mode & special != 0, meta.mode & execute != 0) {
        (true, true) => set,
        (true, false) => set.to_ascii_uppercase(),
        (false, true) => 'x',
        (false, false) => '-',
    };
    let acl = meta.xattrs.iter().any(|x| x.name.starts_with(b"system.posix_acl_"));
    let mut text = String::from(kind);
    text.extend([bit(0o400, 'r'), bit(0o200, 'w'), run(0o4000, 0o100, 's')]);
    text.extend([bit(0o040, 'r'), bit(0o020, 'w'), run(0o2000, 0o010, 's')]);
    text.extend([bit(0o004, 'r'), bit(0o002, 'w'), run(0o1000, 0o001, 't')]);
    text.push(if acl { '+' } else { ' ' });
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Time;
    use crate::format::tree::Xattr;

    fn meta(kind: EntryKind, bits: u32) -> Meta {
        Meta {
            kind,
            mode: bits,
            uid: 1000,
            gid: 0,
            user: Vec::new(),
            group: b"wheel\x1b".to_vec(),
            size: 12,
            mtime: Time::default(),
            ctime: Time::default(),
            btime: None,
            nlink: 1,
            device: 0,
            inode: 0,
            rdev: (8, 1),
            target: b"to\nx".to_vec(),
            xattrs: Vec::new(),
        }
    }

    #[test]
    fn modes_read_as_ls_writes_them() {
        assert_eq!(mode(&meta(EntryKind::Directory, 0o755)), "drwxr-xr-x ");
        assert_eq!(mode(&meta(EntryKind::File, 0o4755)), "-rwsr-xr-x ");
        assert_eq!(mode(&meta(EntryKind::File, 0o2644)), "-rw-r-Sr-- ");
        assert_eq!(mode(&meta(EntryKind::Directory, 0o1777)), "drwxrwxrwt ");
        let xattrs = vec![Xattr { name: b"system.posix_acl_access".to_vec(), value: vec![2] }];
        assert_eq!(mode(&Meta { xattrs, ..meta(EntryKind::File, 0o640) }), "-rw-r-----+");
    }

    #[test]
    fn a_long_line_escapes_every_name_in_it() {
        let entry = Entry {
            key: Vec::new(),
            meta: meta(EntryKind::Symlink, 0o777),
            content: Content::Empty,
            changed_while_read: false,
            extensions: Vec::new(),
        };
        let line = long(&entry, b"/a\x07");
        assert!(line.ends_with("/a\\x07 -> to\\nx"), "{line:?}");
        assert!(line.contains(" 1000 ") && line.contains(" wheel\\x1b "), "{line:?}");
        let device = Entry { meta: meta(EntryKind::BlockDevice, 0o660), ..entry };
        assert!(long(&device, b"/d").contains(" 8, 1 "));
    }
}
