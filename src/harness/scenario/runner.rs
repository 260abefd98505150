//! Runs a job in a process of its own, or in this process (for tests).

use super::job::{Job, Outcome, perform};
use crate::harness::BenchError;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// How a process says that it was told to stop.
const INTERRUPTED: i32 = 130;
/// How often a running process is looked at.
const POLL: Duration = Duration::from_millis(10);

/// Where jobs run.
#[derive(Debug, Clone)]
pub enum Runner {
    /// Here. The peak of memory is then that of everything in this process.
    Here,
    /// A program with these words, which takes a [`Job`] as JSON on its standard input and gives an [`Outcome`].
    Process(PathBuf, Vec<String>),
}

impl Runner {
    /// Runs a job to its end.
    pub fn run(&self, job: &Job, cancel: &Arc<AtomicBool>) -> Result<Outcome, BenchError> {
        match self {
            Runner::Here => perform(job, cancel),
            Runner::Process(program, words) => in_process(program, words, job, cancel),
        }
    }
}

fn in_process(program: &PathBuf, words: &[String], job: &Job, cancel: &Arc<AtomicBool>) -> Result<Outcome, BenchError> {
    let failed = |what: String| BenchError::NotMeasured(what);
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(BenchError::io("run", program))?;
    let words = serde_json::to_vec(job).map_err(|error| failed(error.to_string()))?;
    if let Some(mut input) = child.stdin.take() {
        // A child that ended early says why on standard error.
        _ = input.write_all(&words);
    }
    let status = wait(&mut child, cancel).map_err(BenchError::io("wait for", program))?;
    let (mut out, mut said) = (String::new(), String::new());
    if let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) {
        stdout.read_to_string(&mut out).map_err(BenchError::io("read from", program))?;
        stderr.read_to_string(&mut said).map_err(BenchError::io("read from", program))?;
    }
    match status.code() {
        Some(0) => serde_json::from_str(&out).map_err(|error| failed(format!("{out:?} is no outcome: {error}"))),
        _ if cancel.load(Relaxed) => Err(BenchError::Interrupted),
        Some(INTERRUPTED) => Err(BenchError::Interrupted),
        Some(_) => {
            let said = said.trim();
            Err(failed(said.strip_prefix("error: ").unwrap_or(said).to_string()))
        }
        None => Err(failed(format!("the process that ran {:?} was ended: {status}", job.task))),
    }
}

/// Waits for the child; asks it to end when this process was asked to.
fn wait(child: &mut Child, cancel: &AtomicBool) -> std::io::Result<ExitStatus> {
    let mut asked = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if cancel.load(Relaxed) && !asked {
            asked = true;
            // It may have ended just now.
            _ = kill_process(Pid::from_child(child), Signal::TERM);
        }
        std::thread::sleep(POLL);
    }
}
