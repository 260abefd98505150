//! The program, run as a person would, with a home of its own and nothing from outside.

use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A home folder that goes away with the test.
pub struct Sandbox {
    folder: tempfile::TempDir,
}

impl Sandbox {
    /// A new one, empty.
    pub fn new() -> Sandbox {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("home")).unwrap();
        Sandbox { folder }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The home folder.
    pub fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// Writes a file, making its folders. Gives its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// The program with these words; nothing on standard input, no terminal.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        // Another user's run of these tests cannot reach where they were built.
        let binary = std::env::var_os("LARDER_TEST_BINARY").unwrap_or(env!("CARGO_BIN_EXE_larder").into());
        let mut command = Command::new(binary);
        command
            .args(args)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.home())
            .env("TZ", "UTC")
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs it.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        Ran::new(self.command(args).output().unwrap())
    }

    /// Runs it and expects exit code 0.
    pub fn ok<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output, lossy.
    pub stdout: String,
    /// Standard error, lossy.
    pub stderr: String,
    /// Standard output, exact.
    #[allow(dead_code, reason = "for content that is no text")]
    pub bytes: Vec<u8>,
}

impl Ran {
    /// Of a finished process.
    pub fn new(output: Output) -> Ran {
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into(),
            stderr: String::from_utf8_lossy(&output.stderr).into(),
            bytes: output.stdout,
        }
    }

    /// Standard output as JSON: an object on every line and nothing else.
    pub fn objects(&self) -> Vec<Value> {
        let object = |line: &str| match serde_json::from_str(line) {
            Ok(Value::Object(object)) => Value::Object(object),
            other => panic!("no object: {line:?}: {other:?}"),
        };
        self.stdout.lines().map(object).collect()
    }
}

/// The names in a folder, sorted; empty when it is not there.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Whether this user may read everything, whatever its mode.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs the test of this name as nobody: everything it makes and reads is then a user's.
pub fn again_as_nobody(test: &str) {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let (copy, binary) = (home.path().join("it"), home.path().join("larder"));
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_larder"), &binary).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&copy)
        .args(["--exact", test, "--nocapture"])
        .env("LARDER_TEST_BINARY", &binary)
        .env("TMPDIR", home.path())
        .current_dir(home.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}
