//! The command line. This is the only room that prints, prompts or ends the program.
//!
//! [`main`] reads the command line, runs one command of [`cmd`], and turns the result into an exit code.

pub mod args;
pub mod exit_code;
pub mod failure;
pub mod context;
pub mod source;
pub mod select;
pub mod credential;
pub mod output;
pub mod progress;
pub mod remarks;
pub mod interrupt;
pub mod trace;
pub use crate::base::escape;
pub mod human;
pub mod table;
pub mod stages;
pub mod time;
pub mod size;
pub mod percent;
pub mod cmd;

use args::{Cli, Command};
use clap::Parser;
use context::Context;
use exit_code::ExitCode;
use failure::Failure;
use interrupt::Interrupt;
use output::Output;
use std::ffi::OsString;
use std::io::Write;
use std::sync::Arc;

/// The program.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, args.iter().any(|arg| arg == "--json")),
    };
    trace::install(cli.global.verbose);
    let out = Arc::new(Output::new(&cli.global));
    let outcome = run(cli, out.clone());
    let outcome = match (outcome, out.flush()) {
        // A reader that has gone changes nothing about what was done.
        (Ok(code), Err(gone)) if gone.code == ExitCode::Ok => Ok(code),
        (Ok(_), Err(failure)) => Err(failure),
        (outcome, _) => outcome,
    };
    outcome.unwrap_or_else(|failure| {
        out.failure(&failure);
        failure.code
    })
}

fn run(cli: Cli, out: Arc<Output>) -> Result<ExitCode, Failure> {
    let interrupt = Interrupt::install().map_err(|e| Failure::failed(format!("cannot handle signals: {e}")))?;
    let context = Context { global: cli.global, out, interrupt, stores: Default::default() };
    let reads = matches!(
        cli.command,
        Command::Snapshots(_)
            | Command::Ls(_)
            | Command::Cat(_)
            | Command::Find(_)
            | Command::Diff(_)
            | Command::Stats(_)
            | Command::Restore(_)
    );
    let outcome = command(&context, cli.command);
    if reads {
        // What was met on the way, also before it failed; other commands do this for themselves.
        context.stores.borrow().iter().for_each(|store| _ = store.record_damage());
    }
    context.tell_notices();
    outcome
}

fn command(context: &Context, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Init(args) => cmd::init::run(context, args),
        Command::Backup(args) => cmd::backup::run(context, *args),
        Command::Snapshots(args) => cmd::snapshots::run(context, args),
        Command::Ls(args) => cmd::ls::run(context, args),
        Command::Cat(args) => cmd::cat::run(context, args),
        Command::Find(args) => cmd::find::run(context, args),
        Command::Diff(args) => cmd::diff::run(context, args),
        Command::Restore(args) => cmd::restore::run(context, args),
        Command::Check(args) => cmd::check::run(context, args),
        Command::Repair(args) => cmd::repair::run(context, args),
        Command::Key(args) => cmd::key::run(context, args),
        Command::Stats(args) => cmd::stats::run(context, args),
        #[cfg(feature = "harness")]
        Command::Bench(args) => cmd::bench::run(context, *args),
        Command::Completions(args) => cmd::completions::run(context, args),
        Command::Man(args) => cmd::man::run(context, args),
    }
}

/// Help, version, or words that make no sense.
fn usage(error: &clap::Error, json: bool) -> ExitCode {
    if !error.use_stderr() {
        let printed = error.print().and_then(|()| std::io::stdout().flush());
        return printed.map_or_else(|e| Failure::stdout(&e).code, |()| ExitCode::Ok);
    }
    if json {
        let rendered = error.render().to_string();
        let first = rendered.lines().next().unwrap_or_default();
        output::print_failure(true, &Failure::usage(first.strip_prefix("error: ").unwrap_or(first)));
    } else {
        // What was typed is quoted in it. Whoever closed standard error does not want to know.
        _ = writeln!(std::io::stderr(), "{}", escape::lines(&error.render().to_string()));
    }
    ExitCode::Usage
}
