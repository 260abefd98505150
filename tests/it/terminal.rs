//! A terminal for the program to run on.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A program on a terminal of its own.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    shown: Vec<u8>,
}

impl Terminal {
    /// Starts `command` with standard input and error on the terminal, and standard output too unless it is piped.
    pub fn start(mut command: Command, output_too: bool) -> Terminal {
        let (mut master, mut slave) = (-1, -1);
        let none = std::ptr::null_mut();
        // SAFETY: both descriptors are valid places to write to; the other arguments may be null.
        let opened = unsafe { libc::openpty(&mut master, &mut slave, none, none.cast(), none.cast()) };
        assert_eq!(opened, 0, "a terminal can be opened");
        // SAFETY: openpty gave two new descriptors, which nobody else owns.
        let (master, slave) = unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
        let end = || Stdio::from(slave.try_clone().unwrap());
        command.stdin(end()).stderr(end()).env("TERM", "xterm");
        command.stdout(if output_too { end() } else { Stdio::null() });
        let fd = slave.as_raw_fd();
        // SAFETY: setsid and ioctl are async-signal-safe, and the descriptor is open in the child.
        unsafe {
            command.pre_exec(move || {
                if libc::setsid() < 0 || libc::ioctl(fd, libc::TIOCSCTTY, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        let keyboard = File::from(master);
        let mut reader = keyboard.try_clone().unwrap();
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            // The terminal gives an error once the program has gone.
            while let Ok(n @ 1..) = reader.read(&mut piece) {
                if sender.send(piece[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        Terminal { child, keyboard, screen, shown: Vec::new() }
    }

    /// Waits until `text` is shown and what is typed is not, then types a line: all that is asked for here is secret.
    pub fn answer(&mut self, text: &str, line: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.shown().contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(piece) => self.shown.extend(piece),
                Err(e) => panic!("{text:?} is not shown ({e}): {:?}", self.shown()),
            }
        }
        // The program shows its question before it turns the echo off: a person is slower than that, a test is not.
        while self.echoes() {
            assert!(Instant::now() < deadline, "{text:?} is asked for where all can see the answer");
            std::thread::sleep(Duration::from_millis(1));
        }
        self.shown.clear();
        writeln!(self.keyboard, "{line}").unwrap();
    }

    fn echoes(&self) -> bool {
        // SAFETY: all zeros is a valid termios, and tcgetattr writes to the one it is given and nothing else.
        unsafe {
            let mut settings: libc::termios = std::mem::zeroed();
            let read = libc::tcgetattr(self.keyboard.as_raw_fd(), &mut settings);
            read == 0 && settings.c_lflag & libc::ECHO != 0
        }
    }

    /// What the screen has shown since the last answer.
    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown).into()
    }

    /// Waits for the end. Gives the exit code and what was shown.
    pub fn end(mut self) -> (i32, String) {
        let status = self.child.wait().unwrap();
        // Everything the program wrote is in the terminal by now.
        while let Ok(piece) = self.screen.recv_timeout(Duration::from_millis(100)) {
            self.shown.extend(piece);
        }
        (status.code().unwrap_or(-1), self.shown())
    }
}
