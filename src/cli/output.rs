//! Standard output and standard error of a command.

use super::args::Global;
use super::escape;
use super::exit_code::ExitCode;
use super::failure::Failure;
use crate::report::said::{ErrorObject, Said};
use parking_lot::Mutex;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};

/// Where a command's results and remarks go.
pub struct Output {
    /// One JSON object a line, nothing else.
    pub json: bool,
    /// Results only.
    pub quiet: bool,
    /// How much more a person wants to know.
    pub verbose: u8,
    stdout: Mutex<io::BufWriter<io::Stdout>>,
    /// A terminal shows each line at once.
    lines: bool,
    /// Whether standard output is a terminal that shows colours.
    colours: bool,
}

impl Output {
    /// As the person asked.
    pub fn new(global: &Global) -> Output {
        let stdout = io::stdout();
        let lines = stdout.is_terminal();
        let colours = lines && !matches!(anstream::AutoStream::choice(&stdout), anstream::ColorChoice::Never);
        Output {
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose,
            stdout: Mutex::new(io::BufWriter::with_capacity(64 << 10, stdout)),
            lines,
            colours,
        }
    }

    /// A line of results for people. The text is printed as it is: names in it have gone through [`escape::name`].
    pub fn line(&self, text: &str) -> Result<(), Failure> {
        self.write(text.as_bytes(), b"\n")
    }

    /// Bytes of content, as they are.
    pub fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.write(bytes, b"")
    }

    /// A result for programs: one object on one line.
    pub fn object(&self, object: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(object).map_err(|e| Failure::failed(format!("cannot write as JSON: {e}")))?;
        self.write(escape::json(&text).as_bytes(), b"\n")
    }

    /// A result for whoever reads it: `text` for people, `object` for programs.
    pub fn result(&self, object: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.json { self.object(object) } else { self.line(&text()) }
    }

    /// Everything written so far is out.
    pub fn flush(&self) -> Result<(), Failure> {
        self.lock().flush().map_err(|e| Failure::stdout(&e))
    }

    /// A remark on standard error, unless the person wants quiet.
    pub fn note(&self, message: &str) {
        if !self.quiet {
            self.remark(&Said::Note(message));
        }
    }

    /// Something is not as it should be, and the run goes on.
    pub fn warn(&self, message: &str) {
        self.remark(&Said::Warning(message));
    }

    /// The error that ended the run, on standard error; with `--json` as `{"error":…,"code":…}`.
    pub fn failure(&self, failure: &Failure) {
        print_failure(self.json, failure);
    }

    /// Colours `text` when standard output is a terminal.
    pub fn paint(&self, text: &str, colour: Colour) -> String {
        if self.colours { format!("\x1b[{}m{text}\x1b[0m", colour as u8) } else { text.into() }
    }

    /// A line that a command of the person's wrote to its standard error: as it is, but for what a terminal would obey.
    pub fn said(&self, command: &str, line: &str) {
        if self.json {
            return self.remark(&Said::Note(&format!("{command}: {line}")));
        }
        // Whoever closed standard error does not want to know.
        _ = writeln!(io::stderr(), "{}", escape::text(line));
    }

    fn remark(&self, said: &Said<'_>) {
        // Whoever closed standard error does not want to know.
        _ = match said {
            _ if self.json => writeln!(io::stderr(), "{}", one_line(said)),
            Said::Note(message) => writeln!(io::stderr(), "note: {}", escape::text(message)),
            Said::Warning(message) => writeln!(io::stderr(), "warning: {}", escape::text(message)),
        };
    }

    fn write(&self, bytes: &[u8], end: &[u8]) -> Result<(), Failure> {
        let mut stdout = self.lock();
        let written = stdout.write_all(bytes).and_then(|()| stdout.write_all(end));
        let written = if self.lines { written.and_then(|()| stdout.flush()) } else { written };
        written.map_err(|e| Failure::stdout(&e))
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, io::BufWriter<io::Stdout>> {
        self.stdout.lock()
    }
}

/// Colours of a terminal (SGR numbers).
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Colour {
    Bold = 1,
    Red = 31,
    Green = 32,
    Yellow = 33,
    Cyan = 36,
}

/// What is said, on one line that a terminal may show.
fn one_line(object: &impl Serialize) -> String {
    escape::json(&serde_json::to_string(object).unwrap_or_default())
}

/// Prints the error that ends the program. An empty message prints nothing.
pub fn print_failure(json: bool, failure: &Failure) {
    if failure.message.is_empty() {
        return;
    }
    let mut stderr = io::stderr().lock();
    // Whoever closed standard error does not want to know.
    _ = if json {
        writeln!(
            stderr,
            "{}",
            one_line(&ErrorObject { code: failure.code as u8, error: &failure.message, hint: failure.hint.as_deref() })
        )
    } else if failure.code == ExitCode::Interrupted {
        writeln!(stderr, "{}", escape::text(&failure.message))
    } else {
        let hint = failure.hint.iter().map(|h| format!("\n  hint: {}", escape::text(h))).collect::<String>();
        writeln!(stderr, "error: {}{hint}", escape::text(&failure.message))
    };
}
