//! The command line's words: global options and commands. What is not built is not here, so that `--help` is true.

use super::cmd;
use super::exit_code::ExitCode;
use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{ArgAction, Args, Parser, Subcommand};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  larder backup /home /etc                 the first one sets up a store at ~/.larder
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
    /// The store: a folder, as a path or a file:// URL [default: ~/.larder]
    #[arg(short, long, global = true, value_name = "PATH|URL", env = "LARDER_STORE", hide_env_values = true)]
    pub store: Option<PathBuf>,

    /// Open with this key file: 32 random bytes [env: LARDER_KEY_FILE]
    #[arg(long, global = true, value_name = "FILE", conflicts_with_all = ["passphrase_file", "passphrase_command"])]
    pub key_file: Option<PathBuf>,

    /// Open with the passphrase that is this file's content [or env: LARDER_PASSPHRASE, or a prompt]
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "passphrase_command")]
    pub passphrase_file: Option<PathBuf>,

    /// Open with the passphrase that this command prints (run by sh -c)
    #[arg(long, global = true, value_name = "COMMAND")]
    pub passphrase_command: Option<String>,

    /// Folder of host key, default key files and what is known of stores [default: ~/.config/larder]
    #[arg(long, global = true, value_name = "DIR", env = "LARDER_CONFIG_DIR", hide_env_values = true)]
    pub config_dir: Option<PathBuf>,

    /// Folder of the index cache; can be deleted at any time [default: ~/.cache/larder]
    #[arg(long, global = true, value_name = "DIR", env = "LARDER_CACHE_DIR", hide_env_values = true)]
    pub cache_dir: Option<PathBuf>,

    /// Print results as JSON: one object a line and nothing else on standard output
    #[arg(long, global = true)]
    pub json: bool,

    /// Print results and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Say more: -v where the time went, -vv debug messages, -vvv all (RUST_LOG is honoured)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a store
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
    /// Verify a store
    Check(cmd::check::Args),
    /// Rebuild what can be rebuilt
    Repair(cmd::repair::Args),
    /// Manage what opens a store
    Key(cmd::key::Args),
    /// Show what a store holds and what it costs
    Stats(cmd::stats::Args),
    /// Measure this machine, this program and others
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
