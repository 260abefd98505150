//! Tier a: file system calls by kind, of children under `strace`. Only calls that name the work's own folder count, so
//! that neither the loader nor the allocator nor this machine's settings take part.

use super::baseline::{Value, Values};
use super::child::{Child, FILE_WORKS, file_task};
use super::work::Work;
use crate::harness::BenchError;
use crate::harness::compare::process::{self, Ended, Invocation};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(300);

/// Counts. Everything happens below `folder`. About once in thirty runs strace cannot tell which file one call is about:
/// so it is counted twice, and where both differ a third time decides.
pub fn take(child: &Child, folder: &Path, cancel: &AtomicBool) -> Result<Values, BenchError> {
    let go = |name: &str| {
        let folder = folder.join(name);
        std::fs::create_dir(&folder).map_err(BenchError::io("make", &folder))?;
        once(child, &folder, cancel)
    };
    let (first, second) = (go("strace-1")?, go("strace-2")?);
    if first == second {
        return Ok(first);
    }
    let third = go("strace-3")?;
    if third == first || third == second {
        return Ok(third);
    }
    Err(BenchError::NotMeasured("file system calls: three runs of the same work gave three different counts".into()))
}

fn once(child: &Child, folder: &Path, cancel: &AtomicBool) -> Result<Values, BenchError> {
    let strace = process::find("strace").ok_or_else(|| {
        BenchError::Missing(
            "file system calls need strace, which is not here: apt-get install strace, or leave them out with --without syscalls"
                .into(),
        )
    })?;
    let folder = folder.canonicalize().map_err(BenchError::io("find", folder))?;
    let mut values = Values::new();
    for work in FILE_WORKS {
        let (watched, scratch) = (folder.join(format!("watched-{work}")), folder.join(format!("scratch-{work}")));
        if work == "backup" {
            Work::new().write(&watched, 1)?;
        }
        let (log, output) = (folder.join("strace"), folder.join("output"));
        let task = file_task(work, &watched, &scratch);
        let mut words: Vec<OsString> = vec![strace.clone().into()];
        words.extend(
            ["-f", "-y", "-qq", "-e", "trace=%file,%desc", "-e", "signal=none", "-s", "0", "-o"].map(OsString::from),
        );
        words.push(log.clone().into());
        words.extend(child.words(&task));
        let mut environment = process::environment(&folder);
        environment.extend(child.variables(&task));
        let what = Invocation { words, environment, folder: Some(folder.clone()) };
        if let Ended::Failed(why) = process::run(&what, &output, TIMEOUT, cancel)? {
            return Err(BenchError::NotMeasured(format!(
                "file system calls of the {work}: {why} (strace needs to be allowed to trace; see --without syscalls)"
            )));
        }
        let text = std::fs::read(&log).map_err(BenchError::io("read", &log))?;
        let counted = count(&String::from_utf8_lossy(&text), &watched.to_string_lossy());
        if counted.is_empty() {
            return Err(BenchError::NotMeasured(format!("strace saw no call of the {work} in its folder")));
        }
        values.extend(counted.into_iter().map(|(name, n)| (format!("{work}/{name}"), Value::Number(n))));
    }
    Ok(values)
}

/// Calls by name of those that name the folder in their arguments or in what they gave. A call that another thread
/// interrupts comes in two lines, either of which may name it.
fn count(log: &str, folder: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    // Per thread, a call that is begun and did not name the folder yet.
    let mut open: BTreeMap<&str, &str> = BTreeMap::new();
    for line in log.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        let names = line.contains(folder);
        let name = match call.strip_prefix("<... ") {
            Some(_) => open.remove(thread).filter(|_| names),
            None => {
                let name = call.split_once('(').map(|(name, _)| name);
                let name = name.filter(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
                if let Some(name) = name.filter(|_| !names && call.ends_with("<unfinished ...>")) {
                    open.insert(thread, name);
                }
                name.filter(|_| names)
            }
        };
        if let Some(name) = name {
            *counts.entry(name.to_string()).or_default() += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_counted() {
        let log = "\
            100 openat(AT_FDCWD</x>, \"/etc/ld.so.cache\", O_RDONLY) = 3\n\
            100 openat(AT_FDCWD</x>, \"/w/f/a\", O_RDONLY) = 4</w/f/a>\n\
            101 pread64(4</w/f/a>,  <unfinished ...>\n\
            100 read(5</proc/self/status>, \"\"..., 100) = 100\n\
            101 <... pread64 resumed>\"\"..., 100, 0) = 100\n\
            101 close(4</w/f/a>) = 0\n\
            101 openat(3</w/f>, \"b\", O_RDONLY) = 4</w/f/b>\n\
            101 openat(3, \"c\", O_RDONLY <unfinished ...>\n\
            100 openat(9, \"x\", O_RDONLY <unfinished ...>\n\
            101 <... openat resumed>) = 5</w/f/c>\n\
            100 <... openat resumed>) = 5</etc/x>\n\
            101 +++ exited with 0 +++\n";
        let counted = count(log, "/w/f");
        let expected = [("close", 1), ("openat", 3), ("pread64", 1)].map(|(name, n)| (name.to_string(), n));
        assert_eq!(counted, expected.into());
    }
}
