//! `larder man`.

use crate::cli::args::Cli;
use crate::cli::context::Context;
use crate::cli::exit_code::ExitCode;
use crate::cli::failure::Failure;
use crate::report::help::PageObject;
use clap::CommandFactory;
use clap_mangen::Man;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  larder man /usr/local/share/man/man1";

/// Write manual pages into a folder: one for the program, one a command
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The folder; made if it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub fn run(context: &Context, args: Args) -> Result<ExitCode, Failure> {
    std::fs::create_dir_all(&args.folder).map_err(|e| Failure::io("cannot make the folder", &args.folder, &e))?;
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    write_pages(command, &args.folder, &mut pages)?;
    for page in &pages {
        let object = PageObject::new(page.as_os_str().as_encoded_bytes());
        context.out.result(&object, || page.display().to_string())?;
    }
    Ok(ExitCode::Ok)
}

fn write_pages(command: clap::Command, folder: &Path, pages: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let below: Vec<_> = command.get_subcommands().filter(|c| !c.is_hide_set()).cloned().collect();
    let page = Man::new(command).generate_to(folder).map_err(|e| Failure::io("cannot write into", folder, &e))?;
    pages.push(page);
    below.into_iter().try_for_each(|command| write_pages(command, folder, pages))
}
