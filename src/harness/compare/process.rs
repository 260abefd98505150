//! One child process: its wall time, its CPU time and its peak memory, in a process group of its own that ends with it.

use crate::harness::BenchError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How long a process may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(3);
/// How often the flag that ends everything is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Of a failed process's output, what is told.
const TOLD_BYTES: usize = 600;

/// What to run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Invocation {
    /// The program and its arguments.
    pub words: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(String, OsString)>,
    /// Where it runs; `None`: here.
    pub folder: Option<PathBuf>,
}

/// What a process cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Seconds from start to end.
    pub wall: f64,
    /// Seconds of CPU, user and system, children it waited for included.
    pub cpu: f64,
    /// Bytes; of several processes that of the largest.
    pub peak: u64,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// With exit code 0.
    Well(Usage),
    /// Otherwise, or not started at all: why, with the end of what it printed.
    Failed(String),
}

/// Runs a process to its end; everything it prints goes to `log`. `Interrupted` when `cancel` was set: the whole process
/// group has ended then.
pub fn run(what: &Invocation, log: &Path, timeout: Duration, cancel: &AtomicBool) -> Result<Ended, BenchError> {
    let (out, err) = outputs(log).map_err(BenchError::io("make", log))?;
    let [program, arguments @ ..] = what.words.as_slice() else {
        return Err(BenchError::Invalid("a command without a word".into()));
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(what.environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
    if let Some(folder) = &what.folder {
        command.current_dir(folder);
    }
    let started = Instant::now();
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Ok(Ended::Failed(format!("cannot be started: {error}"))),
    };
    let group = Group(Pid::from_child(&child));
    let waited = group.wait(started, timeout, cancel);
    let wall = started.elapsed().as_secs_f64();
    if waited != Waited::Ended {
        group.end();
    }
    let (status, cpu, peak) = reap(group.0).map_err(BenchError::io("wait for", Path::new(program)))?;
    // What it left behind must not disturb what comes next.
    _ = kill_process_group(group.0, Signal::KILL);
    match waited {
        Waited::Cancelled => Err(BenchError::Interrupted),
        Waited::TimedOut => Ok(Ended::Failed(format!("took longer than {} s (--timeout)", timeout.as_secs()))),
        Waited::Ended if status.success() => Ok(Ended::Well(Usage { wall, cpu, peak })),
        Waited::Ended => Ok(Ended::Failed(format!("{}{}", how(status), end_of(log)))),
    }
}

fn outputs(log: &Path) -> io::Result<(File, File)> {
    let file = File::create(log)?;
    Ok((file.try_clone()?, file))
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Waited {
    Ended,
    TimedOut,
    Cancelled,
}

/// A child that leads a process group and is not reaped yet, so that its number is nobody else's.
struct Group(Pid);

impl Group {
    fn wait(&self, started: Instant, timeout: Duration, cancel: &AtomicBool) -> Waited {
        loop {
            if self.ends_within(LOOK) {
                return Waited::Ended;
            }
            if cancel.load(Relaxed) {
                return Waited::Cancelled;
            }
            if started.elapsed() > timeout {
                return Waited::TimedOut;
            }
        }
    }

    /// The kernel wakes us at the very end of the process: the wall time is not rounded to a polling interval.
    fn ends_within(&self, time: Duration) -> bool {
        let Ok(fd) = pidfd_open(self.0, PidfdFlags::empty()) else { return true };
        let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
        // Interrupted by a signal: as if the time were over.
        poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&time)).is_ok_and(|ready| ready > 0)
    }

    /// Asks the group to end, then ends it.
    fn end(&self) {
        _ = kill_process_group(self.0, Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < GRACE {
            if self.ends_within(LOOK) {
                return;
            }
        }
        _ = kill_process_group(self.0, Signal::KILL);
    }
}

/// Waits for the process and tells how it ended, its CPU seconds and its peak memory in bytes.
fn reap(process: Pid) -> io::Result<(ExitStatus, f64, u64)> {
    let mut status = 0;
    // SAFETY: rusage is plain integers, for which zeros are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live locals of the types that wait4 writes.
        let got = unsafe { libc::wait4(process.as_raw_nonzero().get(), &raw mut status, 0, &raw mut usage) };
        match got {
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            -1 => return Err(io::Error::last_os_error()),
            _ => break,
        }
    }
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let cpu = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    Ok((ExitStatus::from_raw(status), cpu, usage.ru_maxrss as u64 * 1024))
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (_, Some(signal)) => format!("ended by signal {signal}"),
        _ => status.to_string(),
    }
}

/// The end of a log, on one line.
fn end_of(log: &Path) -> String {
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let mut last = lines[lines.len().saturating_sub(4)..].join(" / ");
    if let Some((at, _)) = last.char_indices().rev().nth(TOLD_BYTES) {
        last.replace_range(..at, "…");
    }
    if last.is_empty() { last } else { format!(": {last}") }
}

/// The environment that every process gets: the search path, a home folder of its own, and plain messages.
pub fn environment(home: &Path) -> Vec<(String, OsString)> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    [("PATH", path), ("HOME", home.into()), ("LC_ALL", "C.UTF-8".into()), ("TMPDIR", home.into())]
        .map(|(name, value)| (name.to_string(), value))
        .into()
}

/// A program on the search path, or at the path that is given.
pub fn find(program: &str) -> Option<PathBuf> {
    let runs = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| runs(path)).and_then(|path| path.canonicalize().ok());
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| runs(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Invocation {
        let words = ["sh", "-c", script].map(OsString::from).into();
        Invocation { words, environment: environment(Path::new("/tmp")), folder: None }
    }

    fn go(script: &str, timeout: Duration, cancel: &AtomicBool) -> Result<Ended, BenchError> {
        let folder = tempfile::tempdir().unwrap();
        run(&sh(script), &folder.path().join("log"), timeout, cancel)
    }

    #[test]
    fn a_process_is_measured() {
        let minute = Duration::from_secs(60);
        let Ended::Well(usage) = go("sleep 0.3", minute, &AtomicBool::new(false)).unwrap() else { panic!("failed") };
        assert!(usage.wall >= 0.3 && usage.wall < 10.0 && usage.cpu < 0.2, "{usage:?}");
        let busy = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
        let Ended::Well(usage) = go(busy, minute, &AtomicBool::new(false)).unwrap() else { panic!("failed") };
        assert!(usage.cpu > 0.01 && usage.peak > 100 << 10, "{usage:?}");
    }

    #[test]
    fn a_failure_says_what_was_printed() {
        let cancel = AtomicBool::new(false);
        let minute = Duration::from_secs(60);
        let ended = go("echo one; echo two >&2; exit 7", minute, &cancel).unwrap();
        assert_eq!(ended, Ended::Failed("exit code 7: one / two".into()));
        assert_eq!(go("kill -9 $$", minute, &cancel).unwrap(), Ended::Failed("ended by signal 9".into()));
        let none = Invocation { words: vec!["/no/such/program".into()], ..Invocation::default() };
        let folder = tempfile::tempdir().unwrap();
        let Ended::Failed(why) = run(&none, &folder.path().join("log"), minute, &cancel).unwrap() else { panic!() };
        assert!(why.contains("cannot be started"), "{why}");
    }

    #[test]
    fn time_and_signals_end_the_whole_group() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("child");
        let script = format!("sleep 100 & echo $! > {}; wait", file.display());
        let ended = go(&script, Duration::from_millis(400), &AtomicBool::new(false)).unwrap();
        assert!(matches!(&ended, Ended::Failed(why) if why.contains("took longer")), "{ended:?}");
        let child = std::fs::read_to_string(&file).unwrap();
        let status = format!("/proc/{}/status", child.trim());
        // Whoever adopted it may not have reaped it yet.
        let gone = || std::fs::read_to_string(&status).map_or(true, |text| text.contains("State:\tZ"));
        let waiting = Instant::now();
        while !gone() && waiting.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(gone(), "the sleeper of the group lives on");
        assert!(matches!(
            go("sleep 100", Duration::from_secs(60), &AtomicBool::new(true)),
            Err(BenchError::Interrupted)
        ));
    }
}
