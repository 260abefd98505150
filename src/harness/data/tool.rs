//! Other programs that make data sets.

use super::Watch;
use crate::harness::error::BenchError;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// How often a running program is looked at.
const TICK: Duration = Duration::from_millis(10);
/// No more of what a program prints is kept for a message.
const KEPT: u64 = 1 << 20;
/// Programs of administrators that are not on everybody's PATH.
const MORE_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// What a program said.
#[derive(Debug)]
pub struct Said {
    /// How it ended.
    pub status: ExitStatus,
    /// On standard error.
    pub errors: String,
}

/// A program to be run without a shell.
pub struct Tool {
    command: Command,
    program: String,
}

impl Tool {
    /// The program; when it is not there, the error says which package has it.
    pub fn new(program: &str, package: &str, purpose: &str) -> Result<Tool, BenchError> {
        let path = find(program).ok_or_else(|| {
            let how = if package.is_empty() { "install it".into() } else { format!("`apt-get install {package}`") };
            BenchError::Missing(format!("{program} is needed to make {purpose}, and is not here: {how}"))
        })?;
        let mut command = Command::new(path);
        command.env("LC_ALL", "C").stdin(Stdio::null());
        Ok(Tool { command, program: program.into() })
    }

    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Tool {
        self.command.arg(arg);
        self
    }

    pub fn args<I: AsRef<OsStr>>(&mut self, args: impl IntoIterator<Item = I>) -> &mut Tool {
        self.command.args(args);
        self
    }

    /// A variable of its environment.
    pub fn env(&mut self, name: &str, value: &str) -> &mut Tool {
        self.command.env(name, value);
        self
    }

    /// Where it runs.
    pub fn folder(&mut self, folder: &Path) -> &mut Tool {
        self.command.current_dir(folder);
        self
    }

    /// What it reads.
    pub fn stdin(&mut self, file: File) -> &mut Tool {
        self.command.stdin(file);
        self
    }

    /// Runs it to its end, or until the watch ends it.
    pub fn run(&mut self, watch: &Watch<'_>) -> Result<Said, BenchError> {
        let failed = |what: &'static str| BenchError::io(what, Path::new(&self.program));
        let mut errors = tempfile::tempfile().map_err(failed("make a file for the messages of"))?;
        let output = errors.try_clone().map_err(failed("make a file for the messages of"))?;
        let mut child = self.command.stdout(Stdio::null()).stderr(output).spawn().map_err(failed("run"))?;
        let status = loop {
            match child.try_wait().map_err(failed("wait for"))? {
                Some(status) => break status,
                None => std::thread::sleep(TICK),
            }
            if let Err(interrupted) = watch.poll() {
                // It may have ended by itself.
                _ = child.kill();
                _ = child.wait();
                return Err(interrupted);
            }
        };
        let errors = read(&mut errors).map_err(failed("read the messages of"))?;
        Ok(Said { status, errors })
    }

    /// The same; anything but success is an error with the last of what it said.
    pub fn must(&mut self, watch: &Watch<'_>) -> Result<Said, BenchError> {
        let said = self.run(watch)?;
        if said.status.success() {
            return Ok(said);
        }
        Err(BenchError::NotMeasured(format!("{} failed ({}): {}", self.program, said.status, said.last())))
    }
}

impl Said {
    /// The last lines, in one.
    pub fn last(&self) -> String {
        let lines: Vec<&str> = self.errors.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if lines.is_empty() { "it did not say why".into() } else { lines[lines.len().saturating_sub(3)..].join("; ") }
    }
}

fn read(file: &mut File) -> io::Result<String> {
    let len = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(len.saturating_sub(KEPT)))?;
    let mut bytes = vec![];
    file.take(KEPT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Where a program is.
fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(program.into()).filter(|path: &PathBuf| path.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(MORE_FOLDERS.map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        let told = Tool::new("no-such-tool", "tools", "image").err().unwrap().to_string();
        assert_eq!(told, "no-such-tool is needed to make image, and is not here: `apt-get install tools`");
    }

    #[test]
    fn what_a_program_said_is_in_the_error() {
        let mut tool = Tool::new("sh", "", "a test").unwrap();
        let told = tool.args(["-c", "echo a >&2; echo b >&2; exit 3"]).must(&Watch::default()).unwrap_err();
        let told = told.to_string();
        assert!(told.contains("sh failed") && told.contains('3') && told.ends_with("a; b"), "{told}");
    }

    #[test]
    fn a_signal_ends_a_program() {
        let cancel = AtomicBool::new(true);
        let watch = Watch { cancel: Some(&cancel), ..Watch::default() };
        let started = std::time::Instant::now();
        let ended = Tool::new("sleep", "", "a test").unwrap().arg("600").run(&watch);
        assert!(matches!(ended, Err(BenchError::Interrupted)));
        assert!(started.elapsed() < Duration::from_secs(60));
    }
}
