//! A folder of runs: one JSON file a run, replaced as a whole after every scenario, so that a stopped run keeps what it had.

use super::super::error::BenchError;
use super::{Report, json};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// More than any report: a file of this size is something else.
const LARGEST: u64 = 256 << 20;

/// What a folder of runs holds.
#[derive(Debug, Default)]
pub struct History {
    pub runs: Vec<Report>,
    /// Files that are or may have been reports and cannot be read, and why: another schema, or damage.
    pub unread: Vec<String>,
}

/// Writes the report into its file in `folder`, which is made when needed; a later call of the same run replaces it.
pub fn save(folder: &Path, report: &Report) -> Result<PathBuf, BenchError> {
    let path = folder.join(file_name(report));
    std::fs::create_dir_all(folder).map_err(BenchError::io("make", folder))?;
    replace(&path, json::pretty(report).as_bytes()).map_err(BenchError::io("write", &path))?;
    Ok(path)
}

/// Writes a file as a whole or not at all.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Readable for whoever the umask lets: a report is no secret.
    let mode = std::fs::Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().prefix(".tmp-").permissions(mode).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// `2026-11-25T16-33-07.123456789Z-chunking.json`: names that sort by time and are allowed on every file system.
fn file_name(report: &Report) -> String {
    let plain = |text: &str| -> String {
        let allowed = |c: char| if c.is_ascii_alphanumeric() || ".+_".contains(c) { c } else { '-' };
        text.chars().map(allowed).collect()
    };
    format!("{}-{}.json", plain(&report.started), plain(&report.kind))
}

/// The runs in `folder`; JSON of something else is passed over. A folder that is not there yet holds none.
pub fn history(folder: &Path) -> Result<History, BenchError> {
    let mut history = History::default();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(history),
        Err(e) => return Err(BenchError::io("list", folder)(e)),
    };
    let mut paths = vec![];
    for entry in entries {
        let path = entry.map_err(BenchError::io("list", folder))?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|end| end == "json") && !path.is_dir() {
            paths.push(path);
        }
    }
    paths.sort();
    for path in paths {
        let text = match text_of(&path) {
            Ok(text) => text,
            Err(error) => {
                let why = std::error::Error::source(&error).map_or_else(String::new, |source| format!(": {source}"));
                history.unread.push(format!("{error}{why}"));
                continue;
            }
        };
        match json::read(&text, &path) {
            Ok(report) => history.runs.push(report),
            Err(_) if is_something_else(&text) => {}
            Err(error) => history.unread.push(error.to_string()),
        }
    }
    history.runs.sort_by(|a, b| a.started.cmp(&b.started));
    Ok(history)
}

/// Reads one saved report.
pub fn read(path: &Path) -> Result<Report, BenchError> {
    json::read(&text_of(path)?, path)
}

fn text_of(path: &Path) -> Result<String, BenchError> {
    let size = path.metadata().map_err(BenchError::io("read", path))?.len();
    if size > LARGEST {
        return Err(BenchError::Invalid(format!("{} is too large for a report", path.display())));
    }
    std::fs::read_to_string(path).map_err(BenchError::io("read", path))
}

/// Whole JSON that does not say it is a report. What is no JSON may have been one.
fn is_something_else(text: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(text).is_ok_and(|value| value["type"] != json::TYPE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::report::Section;

    #[test]
    fn a_stopped_run_keeps_what_it_had() {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("a/runs");
        let mut report = Report::new("compare", &["compare".into()]);
        let first = save(&runs, &report).unwrap();
        report.sections.push(Section { id: "first_backup".into(), ..Section::default() });
        assert_eq!(save(&runs, &report).unwrap(), first);
        let found = history(&runs).unwrap();
        assert_eq!(found.runs.len(), 1);
        assert_eq!(found.runs[0].sections[0].id, "first_backup");
        assert_eq!(std::fs::read_dir(&runs).unwrap().count(), 1, "nothing else is left there");
    }

    #[test]
    fn history_is_in_order_and_passes_over_what_is_no_report() {
        let folder = tempfile::tempdir().unwrap();
        let mut report = Report::new("chunking", &[]);
        for started in ["2026-05-02T00:00:00Z", "2026-05-01T00:00:00Z"] {
            report.started = started.into();
            save(folder.path(), &report).unwrap();
        }
        let newer = json::line(&report).replace("\"schema\":1", "\"schema\":7");
        std::fs::write(folder.path().join("newer.json"), newer).unwrap();
        std::fs::write(folder.path().join("package.json"), "{\"name\": 1}").unwrap();
        std::fs::write(folder.path().join("broken.json"), "{").unwrap();
        std::fs::write(folder.path().join("notes.txt"), "notes").unwrap();
        std::fs::write(folder.path().join("bytes.json"), [0xff, 0xfe]).unwrap();
        let found = history(folder.path()).unwrap();
        let starts: Vec<_> = found.runs.iter().map(|run| run.started.as_str()).collect();
        assert_eq!(starts, ["2026-05-01T00:00:00Z", "2026-05-02T00:00:00Z"]);
        let says =
            ["broken.json is no JSON", "bytes.json: stream did not contain valid UTF-8", "newer.json has schema 7"];
        assert_eq!(found.unread.len(), says.len(), "{:?}", found.unread);
        for (unread, says) in found.unread.iter().zip(says) {
            assert!(unread.contains(says), "{unread}");
        }
        assert!(history(&folder.path().join("absent")).unwrap().runs.is_empty());
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Path::new("/nowhere/run.json")).unwrap_err();
        assert!(error.to_string().contains("cannot read /nowhere/run.json"));
    }
}
