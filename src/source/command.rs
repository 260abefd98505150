//! What a command prints, as a stream. Its exit status decides whether the stream was whole: it is waited for before the
//! end is told, and when it fails there is an error in the end's place.

use rustix::fs::{Access, access};
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard};
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

/// A program and its arguments, run without a shell.
#[derive(Debug, Clone)]
pub struct CommandLine {
    /// A path, or a name that is looked up in `PATH`.
    pub program: OsString,
    /// Its arguments.
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
        let output = CommandOutput { name: self.name(), stdout: stdout.ok_or_else(missing)?, running, words };
        Ok((output, ender))
    }
}

fn runnable(path: &Path) -> io::Result<()> {
    if path.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(access(path, Access::EXEC_OK)?)
}

/// A command that was started, and its exit status once that is known.
struct Running {
    child: Mutex<(Child, Option<ExitStatus>)>,
    own_group: bool,
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, (Child, Option<ExitStatus>)> {
        self.child.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Waits for its end.
    fn wait(&self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = look(&mut self.lock())? {
                return Ok(status);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Ends it and, in a group of its own, all that it started; unless it has ended before.
    fn end(&self) {
        let mut child = self.lock();
        // Not yet waited for, so its number belongs to nobody else.
        if child.1.is_some() {
            return;
        }
        let pid = Pid::from_child(&child.0);
        let send = |signal| if self.own_group { kill_process_group(pid, signal) } else { kill_process(pid, signal) };
        let others_have_gone = || !self.own_group || test_kill_process_group(pid).is_err();
        // What cannot be signalled has gone.
        _ = send(Signal::TERM);
        let deadline = Instant::now() + GRACE;
        while matches!(look(&mut child), Ok(None)) || !others_have_gone() {
            if Instant::now() > deadline {
                _ = send(Signal::KILL);
                _ = child.0.wait();
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

fn look((child, status): &mut (Child, Option<ExitStatus>)) -> io::Result<Option<ExitStatus>> {
    if status.is_none() {
        *status = child.try_wait()?;
    }
    Ok(*status)
}

/// Ends the command when it is dropped before the command has ended by itself: nobody listens any more.
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
}

impl Read for CommandOutput {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.stdout.read(buf)? {
            // It may have closed its output and go on to fail.
            0 if !buf.is_empty() => self.words.judge(&self.name, self.running.wait()?).map(|()| 0),
            len => Ok(len),
        }
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
                let mut kept = kept.lock().unwrap_or_else(|e| e.into_inner());
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
        let last = self.last.lock().unwrap_or_else(|e| e.into_inner());
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
        let (mut output, _ender) =
            shell(script).start(Arc::new(move |line| heard.lock().unwrap().push(line.into()))).unwrap();
        let mut text = String::new();
        let read = output.read_to_string(&mut text).map(|_| text);
        let lines = lines.lock().unwrap().clone();
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
