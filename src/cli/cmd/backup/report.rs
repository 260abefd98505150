//! What a backup tells at its end.

use super::words::Words;
use crate::base::escape;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::remarks::problem_line;
use crate::cli::stages;
use crate::cli::{human, json};
use crate::codec::Compression;
use crate::monitor::{Problem, StageTimes};
use crate::ops::backup::{BackupOptions, BackupStats};
use crate::source::{Remark, RemarkKind};
use serde::Serialize;

/// Problems shown to people; the rest is counted.
const PROBLEMS_SHOWN: usize = 10;
/// So many rules that matched nothing have a line each.
const RULES_SHOWN: usize = 5;
/// A source is judged by at least so many new bytes.
const JUDGED_BYTES_MIN: u64 = 16 << 20;

/// The object that ends `backup --json`.
#[derive(Debug, Serialize)]
struct Summary {
    #[serde(rename = "type")]
    kind: &'static str,
    snapshot: Option<String>,
    parent: Option<String>,
    dry_run: bool,
    entries: u64,
    files: u64,
    directories: u64,
    bytes: u64,
    files_new: u64,
    files_changed: u64,
    files_equal: u64,
    files_unchanged: u64,
    bytes_read: u64,
    chunks: u64,
    chunks_novel: u64,
    bytes_novel: u64,
    bytes_data_stored: u64,
    bytes_metadata_stored: u64,
    packs: u64,
    changed_while_read: u64,
    problems: u64,
    problem_list: Option<json::Path>,
    skipped: usize,
    looks_encrypted: bool,
    snapshot_skipped: bool,
    command_stderr: Option<Vec<String>>,
    duration_s: f64,
    stages: Vec<stages::StageObject>,
}

/// Prints everything.
pub fn tell(
    out: &Output,
    options: &BackupOptions,
    stats: &BackupStats,
    stages: &[(&'static str, StageTimes)],
    words: &Words,
    remarks: &[Remark],
) -> Result<(), Failure> {
    if out.json {
        remarks_as_objects(out, remarks)?;
        problems_as_objects(out, "skipped", &stats.skipped)?;
        problems_as_objects(out, "problem", &stats.problems)?;
        return out.object(&summary(options, stats, stages, words));
    }
    if !out.quiet {
        lines(options, stats).iter().try_for_each(|line| out.line(line))?;
        if out.verbose > 0 {
            stages::table(stages).print(out)?;
        }
        if looks_encrypted(options.compression, stats) {
            out.note("this source looks encrypted or compressed already: neither deduplication nor compression gained anything");
        }
        if let Some((command, lines)) = words.heard().filter(|(_, lines)| !lines.is_empty()) {
            let what = if lines.len() == 1 { "a line" } else { "lines" };
            out.note(&format!("{command} ended well, but wrote {what} to its standard error (above)"));
        }
        stats.skipped.iter().for_each(|skipped| out.note(&format!("left out {}", problem_line(skipped))));
        remark_lines(remarks).iter().for_each(|line| out.note(line));
    }
    shown_problems(out, &stats.problems, stats.problem_count, "could not be read");
    if let Some(list) = &stats.problem_list {
        out.warn(&format!("all of them are listed in {}", list.display()));
    }
    Ok(())
}

/// Remarks as lines of `--json`.
fn remarks_as_objects(out: &Output, remarks: &[Remark]) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct RemarkObject<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        remark: &'static str,
        #[serde(flatten)]
        path: Option<json::Path>,
        rule: Option<String>,
        message: &'a str,
    }
    remarks.iter().try_for_each(|remark| {
        let is_path = !remark.is_of_a_rule() && !remark.subject.is_empty();
        out.object(&RemarkObject {
            kind: "remark",
            remark: remark.kind.word(),
            path: is_path.then(|| json::Path::new(&remark.subject)),
            rule: remark.is_of_a_rule().then(|| escape::name(&remark.subject)),
            message: &remark.message,
        })
    })
}

/// Remarks for people. Rules that matched nothing share a line when they are many: a list for many machines has many.
fn remark_lines(remarks: &[Remark]) -> Vec<String> {
    let (unmatched, others): (Vec<_>, Vec<_>) =
        remarks.iter().partition(|remark| remark.kind == RemarkKind::RuleWithoutMatch);
    let mut lines: Vec<String> = others.iter().map(|remark| remark.message.clone()).collect();
    if unmatched.len() <= RULES_SHOWN {
        lines.extend(unmatched.iter().map(|remark| remark.message.clone()));
    } else {
        let first: Vec<_> =
            unmatched.iter().take(RULES_SHOWN).map(|r| format!("'{}'", escape::name(&r.subject))).collect();
        let (count, more) = (human::count(unmatched.len() as u64), unmatched.len() - RULES_SHOWN);
        lines.push(format!("{count} rules matched nothing: {} and {more} more; --json lists them", first.join(", ")));
    }
    lines
}

/// The first problems as warnings, and how many there are.
pub fn shown_problems(out: &Output, problems: &[Problem], count: u64, what: &str) {
    problems.iter().take(PROBLEMS_SHOWN).for_each(|problem| out.warn(&problem_line(problem)));
    if count > PROBLEMS_SHOWN as u64 {
        out.warn(&format!("and {} more; --json lists them", human::count(count - PROBLEMS_SHOWN as u64)));
    }
    if count > 0 {
        out.warn(&format!("{} {what}", human::counted(count, "path", "paths")));
    }
}

/// Problems as lines of `--json`.
pub fn problems_as_objects(out: &Output, kind: &'static str, problems: &[Problem]) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct ProblemObject<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        #[serde(flatten)]
        path: json::Path,
        message: &'a str,
    }
    problems.iter().try_for_each(|Problem { path, message }| {
        out.object(&ProblemObject { kind, path: json::Path::new(path), message })
    })
}

fn summary(
    options: &BackupOptions,
    stats: &BackupStats,
    stages: &[(&'static str, StageTimes)],
    words: &Words,
) -> Summary {
    Summary {
        kind: "summary",
        snapshot: stats.snapshot.map(|id| id.to_string()),
        parent: stats.parent.map(|id| id.to_string()),
        dry_run: options.dry_run,
        entries: stats.entries,
        files: stats.files,
        directories: stats.directories,
        bytes: stats.bytes,
        files_new: stats.files_new,
        files_changed: stats.files_changed,
        files_equal: stats.files_equal,
        files_unchanged: stats.files_unchanged,
        bytes_read: stats.bytes_read,
        chunks: stats.chunks,
        chunks_novel: stats.chunks_novel,
        bytes_novel: stats.bytes_novel,
        bytes_data_stored: stats.bytes_data_stored,
        bytes_metadata_stored: stats.bytes_metadata_stored,
        packs: stats.packs,
        changed_while_read: stats.changed_while_read,
        problems: stats.problem_count,
        problem_list: stats.problem_list.as_ref().map(|list| json::Path::new(list.as_os_str().as_encoded_bytes())),
        skipped: stats.skipped.len(),
        looks_encrypted: looks_encrypted(options.compression, stats),
        snapshot_skipped: stats.snapshot_skipped,
        command_stderr: words.heard().map(|(_, lines)| lines),
        duration_s: stats.duration.as_secs_f64(),
        stages: stages::objects(stages),
    }
}

/// The summary for people: what was new and what it cost.
fn lines(options: &BackupOptions, stats: &BackupStats) -> Vec<String> {
    let (count, bytes) = (human::count, human::bytes);
    let mut lines = vec![
        format!(
            "files     {} new, {} changed, {} unchanged; {} in {} and {}",
            count(stats.files_new),
            count(stats.files_changed),
            count(stats.files_unchanged),
            bytes(stats.bytes),
            human::counted(stats.files, "file", "files"),
            human::counted(stats.directories, "directory", "directories"),
        ),
        match stats.bytes_read {
            0 => format!("read      nothing in {}", human::duration(stats.duration)),
            read => format!(
                "read      {} in {}, {}",
                bytes(read),
                human::duration(stats.duration),
                human::rate(read, stats.duration)
            ),
        },
    ];
    if options.dry_run {
        lines.push("dry run   nothing was stored".into());
        return lines;
    }
    lines.push(format!(
        "new       {} in {} of {}, after deduplication",
        bytes(stats.bytes_novel),
        count(stats.chunks_novel),
        human::counted(stats.chunks, "chunk", "chunks"),
    ));
    let ratio = match (stats.bytes_novel, stats.bytes_data_stored) {
        (0, _) | (_, 0) => String::new(),
        (novel, stored) => format!(" ({} smaller)", human::ratio(novel, stored)),
    };
    lines.push(format!(
        "stored    {} of data{ratio}, {} of metadata",
        bytes(stats.bytes_data_stored),
        bytes(stats.bytes_metadata_stored),
    ));
    if stats.files_equal > 0 {
        let files = human::counted(stats.files_equal, "file", "files");
        lines.insert(1, format!("equal     {files} read again and found as they were"));
    }
    if stats.changed_while_read > 0 {
        lines.push(format!(
            "changed   {} while being read; stored as read",
            human::counted(stats.changed_while_read, "file", "files")
        ));
    }
    if let Some(id) = stats.snapshot {
        lines.push(format!("snapshot  {id}"));
    }
    if let (true, Some(parent)) = (stats.snapshot_skipped, stats.parent) {
        lines.push(format!("snapshot  none: nothing has changed since {parent}"));
    }
    lines
}

/// Whether neither deduplication nor compression gained: less than 1 % each.
fn looks_encrypted(compression: Compression, stats: &BackupStats) -> bool {
    compression != Compression::None
        && stats.bytes_novel >= JUDGED_BYTES_MIN
        && stats.bytes_novel as f64 > 0.99 * stats.bytes_read as f64
        && stats.bytes_data_stored as f64 > 0.99 * stats.bytes_novel as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::ObjectId;
    use std::time::Duration;

    fn stats() -> BackupStats {
        BackupStats {
            snapshot: Some(ObjectId([0xab; 32])),
            files: 1200,
            files_new: 1000,
            files_changed: 150,
            files_unchanged: 50,
            directories: 1,
            bytes: 3 << 30,
            bytes_read: 2 << 30,
            chunks: 9000,
            chunks_novel: 8000,
            bytes_novel: 1 << 30,
            bytes_data_stored: 1 << 28,
            bytes_metadata_stored: 1 << 20,
            duration: Duration::from_secs(2),
            ..BackupStats::default()
        }
    }

    #[test]
    fn the_summary_says_what_was_new_and_what_it_cost() {
        let text = lines(&BackupOptions::default(), &stats()).join("\n");
        let expected = format!(
            "files     1,000 new, 150 changed, 50 unchanged; 3 GiB in 1,200 files and 1 directory\n\
             read      2 GiB in 2.00 s, 1 GiB/s\n\
             new       1 GiB in 8,000 of 9,000 chunks, after deduplication\n\
             stored    256 MiB of data (4.00x smaller), 1 MiB of metadata\n\
             snapshot  {}",
            "ab".repeat(32)
        );
        assert_eq!(text, expected);
        let dry = lines(&BackupOptions { dry_run: true, ..BackupOptions::default() }, &stats()).join("\n");
        assert!(dry.ends_with("nothing was stored"), "{dry}");
    }

    #[test]
    fn a_source_looks_encrypted_only_when_nothing_gained() {
        let encrypted =
            BackupStats { bytes_read: 1 << 30, bytes_novel: 1 << 30, bytes_data_stored: (1 << 30) + 5000, ..stats() };
        assert!(looks_encrypted(Compression::Lz4, &encrypted));
        assert!(!looks_encrypted(Compression::None, &encrypted));
        assert!(!looks_encrypted(Compression::Lz4, &stats()));
        let deduplicated = BackupStats { bytes_read: 2 << 30, ..encrypted.clone() };
        assert!(!looks_encrypted(Compression::Lz4, &deduplicated));
        let small = BackupStats { bytes_read: 1 << 20, bytes_novel: 1 << 20, bytes_data_stored: 1 << 20, ..encrypted };
        assert!(!looks_encrypted(Compression::Lz4, &small));
    }
}
