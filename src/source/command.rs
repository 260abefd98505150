//! The output of a command as a stream. Its exit status decides whether the stream is complete: the end of the stream
//! is reported only when the command has ended well, and an error takes its place when the command failed.
//!
//! The stream ends when no process holds the write end of the pipe any more, as in a shell. Processes that a
//! successful command leaves running may go on writing. Once the command has failed, nothing of that is waited for.

use parking_lot::{Mutex, MutexGuard};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, access};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};
use rustix::process::{kill_process, kill_process_group, test_kill_process_group};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Is told each line that the command writes to its standard error, at once.
pub type Said = Arc<dyn Fn(&str) + Send + Sync>;

/// Last lines of standard error that an error message quotes.
const LINES_KEPT: usize = 5;
/// A longer line is told in pieces.
const LINE_BYTES_MAX: usize = 4096;
/// What a command left running may hold its standard error open: it is not waited for longer.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// From asking a command to end to making it.
const GRACE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(10);
/// While the command runs, it is looked at this often: what it started may go on writing, or stay silent, after it failed.
pub const LOOK: Duration = Duration::from_millis(100);

/// A program and its arguments, run without a shell.
#[derive(Debug, Clone)]
pub struct CommandLine {
    /// A path, or a name that is looked up in `PATH`.
    pub program: OsString,
    pub args: Vec<OsString>,
}

impl CommandLine {
    /// The file that would be run; an error when there is none. So that a wrong name is told before anything is done.
    pub fn find(&self) -> io::Result<PathBuf> {
        let program = Path::new(&self.program);
        if program.components().count() != 1 || self.program.as_encoded_bytes().contains(&b'/') {
            return runnable(program).map(|()| program.into());
        }
        let folders = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
        let mut failed = io::Error::from(io::ErrorKind::NotFound);
        for folder in std::env::split_paths(&folders) {
            let path = folder.join(program);
            match runnable(&path) {
                Ok(()) => return Ok(path),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Its name for people.
    pub fn name(&self) -> String {
        self.program.to_string_lossy().into_owned()
    }

    /// Starts it. Its standard input is this program's.
    pub fn start(&self, said: Said) -> io::Result<(CommandOutput, Ender)> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A process group of its own can be ended as a whole. But with a terminal the command stays where it is, so that it
        // may ask for a password there, and Ctrl-C reaches it and all that it started.
        let own_group = std::fs::File::open("/dev/tty").is_err();
        if own_group {
            command.process_group(0);
        }
        let failed = |error: io::Error| io::Error::new(error.kind(), format!("cannot run {}: {error}", self.name()));
        let mut child = command.spawn().map_err(failed)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let running = Arc::new(Running { child: Mutex::new((child, None)), own_group });
        let ender = Ender(running.clone());
        let missing = || io::Error::other("the command has no output");
        let words = Words::listen(stderr.ok_or_else(missing)?, said);
        let stdout = stdout.ok_or_else(missing)?;
        let looked = Instant::now();
        let output = CommandOutput { name: self.name(), stdout, running, words, looked, ended_well: false };
        Ok((output, ender))
    }
}

fn runnable(path: &Path) -> io::Result<()> {
    if path.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(access(path, Access::EXEC_OK)?)
}

/// A command that was started, and its exit status once it was taken from the system.
struct Running {
    child: Mutex<(Child, Option<ExitStatus>)>,
    own_group: bool,
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, (Child, Option<ExitStatus>)> {
        self.child.lock()
    }

    /// Its exit status once it has ended, which is left with the system: until it is taken, the command's number and that
    /// of its group belong to nobody else, and what it started can be ended by that.
    fn status(&self) -> io::Result<Option<ExitStatus>> {
        let child = self.lock();
        if child.1.is_some() {
            return Ok(child.1);
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let Some(ended) = waitid(WaitId::Pid(Pid::from_child(&child.0)), options)? else { return Ok(None) };
        let (code, signal) = (ended.exit_status(), ended.terminating_signal());
        let raw = code.map(|code| (code & 0xff) << 8).or(signal);
        Ok(Some(ExitStatus::from_raw(raw.ok_or_else(|| io::Error::other("the command neither ended nor runs"))?)))
    }

    /// Waits for its end. When it ended well, what it left running is let be.
    fn wait(&self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.status()? {
                return if status.success() { Ok(take(&mut self.lock())?.unwrap_or(status)) } else { Ok(status) };
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Ends it and, in a group of its own, all that it started; unless it has ended well, and its stream too.
    fn end(&self) {
        let mut child = self.lock();
        // Not yet taken, so its number belongs to nobody else.
        if child.1.is_some() {
            return;
        }
        let pid = Pid::from_child(&child.0);
        let send = |signal| if self.own_group { kill_process_group(pid, signal) } else { kill_process(pid, signal) };
        let others_have_gone = || !self.own_group || test_kill_process_group(pid).is_err();
        // What cannot be signalled has gone.
        _ = send(Signal::TERM);
        let deadline = Instant::now() + GRACE;
        while matches!(take(&mut child), Ok(None)) || !others_have_gone() {
            if Instant::now() > deadline {
                _ = send(Signal::KILL);
                _ = child.0.wait().map(|status| child.1 = Some(status));
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// Takes its exit status from the system, if it has ended.
fn take((child, status): &mut (Child, Option<ExitStatus>)) -> io::Result<Option<ExitStatus>> {
    if status.is_none() {
        *status = child.try_wait()?;
    }
    Ok(*status)
}

/// Ends the command when it is dropped before the command has ended well, and its stream: nobody listens any more.
pub struct Ender(Arc<Running>);

impl Drop for Ender {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Standard output of a command.
pub struct CommandOutput {
    name: String,
    stdout: ChildStdout,
    running: Arc<Running>,
    words: Words,
    /// When the command was last looked at.
    looked: Instant,
    /// The command did; what it started may still write.
    ended_well: bool,
}

impl CommandOutput {
    /// Waits until there is something to read, or the end; an error when the command fails meanwhile.
    fn wait_for_more(&mut self) -> io::Result<()> {
        while !self.ended_well {
            if self.looked.elapsed() >= LOOK {
                if let Some(status) = self.running.status()? {
                    self.words.judge(&self.name, status)?;
                    self.ended_well = true;
                }
                self.looked = Instant::now();
            }
            if is_readable(&self.stdout, LOOK)? {
                break;
            }
        }
        Ok(())
    }
}

impl Read for CommandOutput {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.wait_for_more()?;
        match self.stdout.read(buf)? {
            // It may have closed its output and go on to fail.
            0 if !buf.is_empty() => self.words.judge(&self.name, self.running.wait()?).map(|()| 0),
            len => Ok(len),
        }
    }
}

/// Whether a read would not wait, once that is so or the time is over.
pub fn is_readable(pipe: &ChildStdout, time: Duration) -> io::Result<bool> {
    let time = Timespec::try_from(time).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&time)) {
        Err(Errno::INTR) => Ok(false),
        ready => Ok(ready? > 0),
    }
}

/// Standard error of a command.
struct Words {
    last: Arc<Mutex<VecDeque<String>>>,
    /// Disconnected when all was heard.
    heard: Receiver<()>,
}

impl Words {
    fn listen(stderr: ChildStderr, said: Said) -> Words {
        let last = Arc::new(Mutex::new(VecDeque::new()));
        let (end, heard) = channel();
        let kept = last.clone();
        std::thread::spawn(move || {
            let _end = end;
            each_line(stderr, &mut |line| {
                said(line);
                let mut kept = kept.lock();
                if kept.len() == LINES_KEPT {
                    kept.pop_front();
                }
                kept.push_back(line.to_string());
            });
        });
        Words { last, heard }
    }

    fn judge(&self, name: &str, status: ExitStatus) -> io::Result<()> {
        // Nothing is ever sent: this ends when the thread does.
        _ = self.heard.recv_timeout(LAST_WORDS);
        if status.success() {
            return Ok(());
        }
        let ended = match (status.code(), status.signal()) {
            (Some(code), _) => format!("ended with exit status {code}"),
            (None, Some(_)) => format!("was ended by {}", status.to_string().replacen(": ", " ", 1)),
            _ => format!("ended with {status}"),
        };
        let last = self.last.lock();
        let words = match last.is_empty() {
            true => "and said nothing on standard error".to_string(),
            false => format!("and said: {}", Vec::from_iter(last.iter().map(String::as_str)).join(" | ")),
        };
        Err(io::Error::other(format!("the command {name} {ended} {words}")))
    }
}

/// Lines until the end or an error; a carriage return ends one too, as displays of progress write them.
fn each_line(mut from: impl Read, each: &mut dyn FnMut(&str)) {
    let (mut line, mut buf) = (Vec::new(), [0; LINE_BYTES_MAX]);
    let mut tell = |line: &mut Vec<u8>| {
        if !line.is_empty() {
            each(&String::from_utf8_lossy(line));
        }
        line.clear();
    };
    loop {
        let len = match from.read(&mut buf) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(len) if len > 0 => len,
            _ => break,
        };
        for byte in &buf[..len] {
            if matches!(byte, b'\n' | b'\r') {
                tell(&mut line);
                continue;
            }
            line.push(*byte);
            if line.len() == LINE_BYTES_MAX {
                tell(&mut line);
            }
        }
    }
    tell(&mut line);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> CommandLine {
        CommandLine { program: "sh".into(), args: vec!["-c".into(), script.into()] }
    }

    fn run(script: &str) -> (io::Result<String>, Vec<String>) {
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = lines.clone();
        let (mut output, _ender) = shell(script).start(Arc::new(move |line| heard.lock().push(line.into()))).unwrap();
        let mut text = String::new();
        let read = output.read_to_string(&mut text).map(|_| text);
        let lines = lines.lock().clone();
        (read, lines)
    }

    #[test]
    fn the_exit_status_decides_whether_the_end_is_one() {
        assert_eq!(run("echo x").0.unwrap(), "x\n");
        let (read, lines) = run("echo x; echo one >&2; printf 'two\\rthree' >&2; exit 3");
        let message = read.unwrap_err().to_string();
        assert_eq!(message, "the command sh ended with exit status 3 and said: one | two | three");
        assert_eq!(lines, ["one", "two", "three"]);
        let message = run("echo x; kill -9 $$").0.unwrap_err().to_string();
        assert!(message.contains("was ended by signal 9 (SIGKILL) and said nothing"), "{message}");
        let (read, lines) = run("echo fine >&2");
        assert_eq!((read.unwrap(), lines.len()), (String::new(), 1), "words alone are no failure");
        assert!(run("echo x; exec >&-; sleep 0.2; exit 1").0.is_err(), "a closed output is not the end");
        let began = Instant::now();
        assert_eq!(run("sleep 20 >/dev/null & echo x").0.unwrap(), "x\n");
        assert!(began.elapsed() < Duration::from_secs(10), "who holds standard error open is not waited for");
    }

    #[test]
    fn what_a_command_left_running_is_read_to_its_end_unless_the_command_failed() {
        // It holds the output open and is silent, or writes without an end.
        for left in ["sleep 1000", "cat /dev/zero", "trap '' TERM; while :; do sleep 1; done"] {
            let began = Instant::now();
            let script = format!("({left}) & echo $!; exit 3");
            let (mut output, ender) = shell(&script).start(Arc::new(|_| {})).unwrap();
            let (mut first, mut buf) = (Vec::new(), [0; 65536]);
            let failure = loop {
                match output.read(&mut buf) {
                    Ok(0) => panic!("{left}: a command that failed has no end"),
                    Ok(len) if first.len() < 20 => first.extend_from_slice(&buf[..len.min(20)]),
                    Ok(_) => {}
                    Err(error) => break error.to_string(),
                }
            };
            assert!(failure.contains("ended with exit status 3"), "{failure}");
            assert!(began.elapsed() < Duration::from_secs(10), "{left}: {:?}", began.elapsed());
            let own_group = output.running.own_group;
            drop((output, ender));
            let pid = String::from_utf8_lossy(&first).lines().next().unwrap().to_string();
            assert!(!own_group || !runs(&pid), "{left} is left running");
        }
        let (read, _) = run("(sleep 0.5; echo later; sleep 0.3; echo last) & echo first");
        assert_eq!(read.unwrap(), "first\nlater\nlast\n", "as a pipe in a shell");
    }

    #[test]
    fn what_a_command_left_running_ends_when_nobody_listens() {
        let (mut output, ender) = shell("sleep 1000 & echo $!").start(Arc::new(|_| {})).unwrap();
        let (own_group, mut buf) = (output.running.own_group, [0; 20]);
        let len = output.read(&mut buf).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        drop((output, ender));
        assert!(!own_group || !runs(String::from_utf8_lossy(&buf[..len]).trim()));
    }

    /// Whether the process of this number runs, after a moment for its end to come: whoever adopts it takes its status.
    fn runs(pid: &str) -> bool {
        let stat = Path::new("/proc").join(pid).join("stat");
        let is_alive = || std::fs::read_to_string(&stat).is_ok_and(|text| !text.contains(") Z "));
        (0..200).all(|_| is_alive() && (std::thread::sleep(PAUSE), true).1)
    }

    #[test]
    fn whoever_stops_listening_ends_it_with_all_that_it_started() {
        for script in ["sleep 1000 | cat", "trap '' TERM; while :; do sleep 1; done"] {
            let (output, ender) = shell(script).start(Arc::new(|_| {})).unwrap();
            let running = output.running.clone();
            std::thread::sleep(Duration::from_millis(100));
            drop((output, ender));
            // Waited for: no zombie is left.
            let pid = running.lock().0.id();
            assert!(!Path::new(&format!("/proc/{pid}")).exists(), "{script}");
        }
    }

    #[test]
    fn what_cannot_be_run_is_told_before() {
        let find = |program: &str| CommandLine { program: program.into(), args: vec![] }.find().map_err(|e| e.kind());
        assert!(find("sh").is_ok() && find("/bin/sh").is_ok());
        assert_eq!(find("no-such-command-at-all"), Err(io::ErrorKind::NotFound));
        assert_eq!(find("/no/such"), Err(io::ErrorKind::NotFound));
        assert_eq!(find("/"), Err(io::ErrorKind::IsADirectory));
        assert_eq!(find(""), Err(io::ErrorKind::NotFound));
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("plain");
        std::fs::write(&plain, "no program").unwrap();
        assert_eq!(find(plain.to_str().unwrap()), Err(io::ErrorKind::PermissionDenied));
    }
}
