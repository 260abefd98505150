//! `larder completions`.

use crate::cli::args::Cli;
use crate::cli::context::Context;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::report::help::CompletionsObject;
use clap::CommandFactory;
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  larder completions bash > /etc/bash_completion.d/larder
  larder completions zsh > ~/.zfunc/_larder
  larder completions fish > ~/.config/fish/completions/larder.fish";

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The shell
    shell: Shell,
}

pub fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "larder", &mut script);
    if context.out.json {
        let script = String::from_utf8_lossy(&script);
        let shell = args.shell.to_string();
        let object = CompletionsObject { script: &script, shell: &shell, object: "completions" };
        context.out.object(&object)?;
    } else {
        context.out.raw(&script)?;
    }
    Ok(ExitCode::Ok)
}
