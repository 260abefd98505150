//! The global options and the list of commands. Each command's own options are in `cmd/`.

use super::cmd;
use super::exit_code::ExitCode;
use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{ArgAction, Args, Parser, Subcommand};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  larder backup /home /etc                 the first backup also makes a store at ~/.larder
  larder snapshots
  larder ls -l latest:/etc
  larder restore latest:/etc --to /tmp/etc
  larder check --read-data";

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

/// Snapshot backups: deduplicated, compressed, encrypted end to end
#[derive(Debug, Parser)]
#[command(
    name = "larder",
    version,
    arg_required_else_help = true,
    styles = STYLES,
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{}", ExitCode::HELP),
    max_term_width = 110
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The store to use: a path or a file:// URL of a folder [default: ~/.larder]
    #[arg(short, long, global = true, value_name = "PATH|URL", env = "LARDER_STORE", hide_env_values = true)]
    pub store: Option<PathBuf>,

    /// Open the store with this key file, which holds 32 random bytes [env: LARDER_KEY_FILE]
    #[arg(long, global = true, value_name = "FILE", conflicts_with_all = ["passphrase_file", "passphrase_command"])]
    pub key_file: Option<PathBuf>,

    /// Open the store with the passphrase in this file [or env: LARDER_PASSPHRASE, or a prompt]
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "passphrase_command")]
    pub passphrase_file: Option<PathBuf>,

    /// Open the store with the passphrase that this command prints; sh -c runs it
    #[arg(long, global = true, value_name = "COMMAND")]
    pub passphrase_command: Option<String>,

    /// The folder with this machine's signing key, key files of stores, and what is known of each store [default: ~/.config/larder]
    #[arg(long, global = true, value_name = "DIR", env = "LARDER_CONFIG_DIR", hide_env_values = true)]
    pub config_dir: Option<PathBuf>,

    /// The folder of the index cache, which can be deleted at any time [default: ~/.cache/larder]
    #[arg(long, global = true, value_name = "DIR", env = "LARDER_CACHE_DIR", hide_env_values = true)]
    pub cache_dir: Option<PathBuf>,

    /// Print results as JSON, one object a line
    #[arg(long, global = true)]
    pub json: bool,

    /// Print only results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Print more: -v how long each stage took, -vv debug messages, -vvv everything (RUST_LOG overrides)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new store
    Init(cmd::init::Args),
    /// Back up files and directories
    Backup(Box<cmd::backup::Args>),
    /// List snapshots, oldest first
    Snapshots(cmd::snapshots::Args),
    /// List what is in a snapshot
    Ls(cmd::ls::Args),
    /// Print files of a snapshot, or a directory as a tar archive
    #[command(visible_alias = "dump")]
    Cat(cmd::cat::Args),
    /// Look for files in snapshots
    Find(cmd::find::Args),
    /// Compare two snapshots, or a snapshot and a directory
    Diff(cmd::diff::Args),
    /// Restore a snapshot or a part of one
    Restore(cmd::restore::Args),
    /// Verify a store and everything in it
    Check(cmd::check::Args),
    /// Rebuild a lost or damaged index
    Repair(cmd::repair::Args),
    /// Add, list, remove and change the keys and passphrases of a store
    Key(cmd::key::Args),
    /// Show how much data a store holds, and how much room that takes
    Stats(cmd::stats::Args),
    /// Measure the speed of this machine, of larder and of other programs
    #[cfg(feature = "harness")]
    Bench(Box<cmd::bench::Args>),
    /// Print a completion script for a shell
    Completions(cmd::completions::Args),
    /// Write manual pages into a folder
    Man(cmd::man::Args),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_explains_itself_with_examples() {
        fn visit(command: &mut clap::Command) {
            let name = command.get_name().to_string();
            assert!(command.get_about().is_some(), "{name} says nothing");
            let is_group = command.get_subcommands().next().is_some();
            if !is_group && !command.is_hide_set() {
                let help = command.render_long_help().to_string();
                assert!(help.contains("Examples:\n  larder"), "{name} has no examples");
            }
            command.get_subcommands_mut().for_each(visit);
        }
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        command.get_subcommands_mut().for_each(visit);
    }
}
