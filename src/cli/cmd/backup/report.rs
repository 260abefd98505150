//! Prints the result of a backup.

use super::words::Words;
use crate::base::escape;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::remarks::problem_line;
use crate::cli::{human, stages};
use crate::monitor::{Problem, StageTimes};
use crate::ops::backup::{BackupOptions, BackupStats};
use crate::report::backup::{RemarkObject, Summary, looks_encrypted};
use crate::report::problem::{PathObject, ProblemObject};
use crate::source::{Remark, RemarkKind};

/// Problems shown to people; the rest is counted.
const PROBLEMS_SHOWN: usize = 10;
/// So many rules that matched nothing have a line each.
const RULES_SHOWN: usize = 5;

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
        remarks.iter().try_for_each(|remark| out.object(&RemarkObject::from(remark)))?;
        stats.skipped.iter().try_for_each(|skipped| out.object(&ProblemObject::skipped(skipped)))?;
        stats.problems.iter().try_for_each(|problem| out.object(&ProblemObject::problem(problem)))?;
        stats.changed_paths.iter().try_for_each(|path| out.object(&PathObject::changed(path)))?;
        let said = words.heard().map(|(_, lines)| lines);
        return out.object(&Summary::new(options, stats, stages, said));
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
        shown_changed(out, stats);
    }
    shown_problems(out, &stats.problems, stats.problem_count, "could not be read");
    if let Some(list) = &stats.problem_list {
        out.warn(&format!("all of them are listed in {}", list.display()));
    }
    Ok(())
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

/// The first files that changed while they were read; with `-v` all that are known.
fn shown_changed(out: &Output, stats: &BackupStats) {
    let shown = if out.verbose > 0 { stats.changed_paths.len() } else { PROBLEMS_SHOWN };
    for path in stats.changed_paths.iter().take(shown) {
        out.note(&format!("{}: changed while it was read; stored as it was read", escape::name(path)));
    }
    let more = stats.changed_while_read.saturating_sub(shown as u64);
    if more > 0 {
        let how = if out.verbose > 0 { "" } else { "; -v and --json list them" };
        out.note(&format!("and {} more changed while being read{how}", human::count(more)));
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
}
