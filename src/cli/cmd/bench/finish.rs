//! Prints and saves the report at the end of every subcommand that measures.
//!
//! A subcommand flattens [`ReportOptions`] into its options, calls [`save_progress`] after each scenario, and
//! [`conclude`] at the end.

use crate::cli::context::Context;
use crate::cli::escape;
use crate::cli::failure::Failure;
use crate::cli::output::Colour;
use crate::harness::BenchError;
use crate::harness::report::{self, Form, Report, github_action, json, save, text};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where the report goes, beside standard output.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Report options")]
pub struct ReportOptions {
    /// The format to print: table, json, markdown, csv, github-action, bencher or html [default: table]
    #[arg(long, value_name = "FORM", conflicts_with = "json", hide_possible_values = true)]
    pub format: Option<Form>,

    /// Also write the report to FILE (repeatable). FORM= gives the format; without it, the end of the file's name does
    #[arg(long, value_name = "[FORM=]FILE")]
    pub output: Vec<OutputFile>,

    /// Save the results in this folder after every scenario
    #[arg(long, value_name = "DIR")]
    pub save: Option<PathBuf>,

    /// Show the runs that are saved in this folder as history [default: the folder of --save]
    #[arg(long, value_name = "DIR")]
    pub history: Option<PathBuf>,
}

/// A file and the form of what it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFile {
    /// Which form.
    pub form: Form,
    /// Where to.
    pub path: PathBuf,
}

impl FromStr for OutputFile {
    type Err = BenchError;

    fn from_str(words: &str) -> Result<OutputFile, BenchError> {
        if let Some((form, path)) = words.split_once('=')
            && let Ok(form) = form.parse()
        {
            let file = OutputFile { form, path: path.into() };
            return if path.is_empty() {
                Err(BenchError::Invalid(format!("{words} names no file after the =")))
            } else {
                Ok(file)
            };
        }
        let form = Form::of_file(Path::new(words)).ok_or_else(|| {
            let forms = Form::ALL.map(Form::word).join(", ");
            BenchError::Invalid(format!(
                "{words} does not say its form by .txt, .json, .md, .csv or .html: write FORM=FILE with one of {forms}"
            ))
        })?;
        Ok(OutputFile { form, path: words.into() })
    }
}

/// What a report says first that is not of a whole run.
const INCOMPLETE: &str =
    "this run is not complete: it was stopped, failed or is still going on, and rounds or tables are missing";

/// Keeps what is there so far in the folder of `--save`, if one was named. A later call of the same run replaces it; if
/// there is none, what was kept says that it is not all.
pub fn save_progress(options: &ReportOptions, report: &Report) -> Result<(), Failure> {
    match options.save {
        Some(_) => keep(options, &incomplete(report)),
        None => Ok(()),
    }
}

/// Keeps a report as it is.
pub fn keep(options: &ReportOptions, report: &Report) -> Result<(), Failure> {
    if let Some(folder) = &options.save {
        save::save(folder, report)?;
    }
    Ok(())
}

fn incomplete(report: &Report) -> Report {
    let mut report = report.with_doubts();
    report.warnings.insert(0, INCOMPLETE.into());
    report
}

/// Ends a run: gives its report, or what there is of it when it ended early, which is then an error all the same.
pub fn conclude(
    context: &Context,
    options: &ReportOptions,
    report: &Report,
    outcome: Result<(), Failure>,
) -> Result<(), Failure> {
    let Err(failure) = outcome else { return finish(context, options, report) };
    if !report.sections.is_empty()
        && let Err(second) = give(context, options, &incomplete(report))
    {
        context.out.warn(&second.message);
    }
    Err(failure)
}

/// Adds what is doubtful, prints the report, saves it and writes it to the files that were named.
pub fn finish(context: &Context, options: &ReportOptions, report: &Report) -> Result<(), Failure> {
    give(context, options, &report.with_doubts())
}

fn give(context: &Context, options: &ReportOptions, report: &Report) -> Result<(), Failure> {
    // Where it cannot be kept it is shown at least.
    let kept = keep(options, report);
    let history = match (named_history(context, options)?, &options.save) {
        (Some(runs), _) => runs,
        (None, Some(folder)) if wants_page(options) => read_history(context, folder)?,
        _ => vec![],
    };
    put(context, options, report, &history)?;
    kept
}

/// Writes a report to the files that were named and prints it, also where a file could not be written.
pub fn put(context: &Context, options: &ReportOptions, report: &Report, history: &[Report]) -> Result<(), Failure> {
    let written = write_all(options, report, history);
    print(context, options, report, history)?;
    written
}

/// All that can be written; the first error.
fn write_all(options: &ReportOptions, report: &Report, history: &[Report]) -> Result<(), Failure> {
    let mut all = Ok(());
    for OutputFile { form, path } in &options.output {
        if *form == Form::GithubAction {
            for (path, better) in github_action::files(path) {
                all = all.and(write(&path, &github_action::render(report, better)));
            }
        } else {
            all = all.and(write(path, &report::render(*form, report, history)));
        }
    }
    all
}

fn print(context: &Context, options: &ReportOptions, report: &Report, history: &[Report]) -> Result<(), Failure> {
    match options.format {
        _ if context.out.json => context.out.line(&escape::json(&json::line(report))),
        None | Some(Form::Table) => print_table(context, report),
        Some(form) => {
            if matches!(form, Form::Csv | Form::GithubAction | Form::Bencher) {
                // These have no place for them.
                report.warnings.iter().for_each(|warning| context.out.warn(warning));
            }
            context.out.raw(printable(form, &report::render(form, report, history)).as_bytes())
        }
    }
}

/// The runs in the folder of `--history`, if one was named and something shows them; said where they come to nothing.
pub fn named_history(context: &Context, options: &ReportOptions) -> Result<Option<Vec<Report>>, Failure> {
    let Some(folder) = &options.history else { return Ok(None) };
    if !folder.is_dir() {
        context.out.warn(&format!("--history: {} is no folder, so there are no earlier runs", folder.display()));
        return Ok(Some(vec![]));
    }
    if !wants_page(options) {
        context.out.warn("--history: only a page shows earlier runs: ask for one with --output PAGE.html");
    }
    read_history(context, folder).map(Some)
}

/// The runs in a folder, oldest first; those that cannot be read are named.
pub fn read_history(context: &Context, folder: &Path) -> Result<Vec<Report>, Failure> {
    let history = save::history(folder)?;
    history.unread.iter().for_each(|why| context.out.warn(why));
    Ok(history.runs)
}

/// Whether anything that was asked for shows history.
pub fn wants_page(options: &ReportOptions) -> bool {
    options.format == Some(Form::Html) || options.output.iter().any(|file| file.form == Form::Html)
}

fn print_table(context: &Context, report: &Report) -> Result<(), Failure> {
    let titles: Vec<String> = report.sections.iter().map(|section| escape::text(&section.title)).collect();
    for line in text::lines(report) {
        let line = match line.strip_prefix(text::DOUBTFUL) {
            Some(rest) => format!("{}{rest}", context.out.paint(text::DOUBTFUL, Colour::Yellow)),
            None if titles.contains(&line) => context.out.paint(&line, Colour::Bold),
            None => line,
        };
        context.out.line(&line)?;
    }
    Ok(())
}

/// JSON and CSV keep what labels hold; on a terminal it must not be obeyed.
fn printable(form: Form, text: &str) -> String {
    match form {
        Form::Json | Form::GithubAction | Form::Bencher => escape::json(text),
        Form::Csv => escape::lines(text) + "\n",
        Form::Table | Form::Markdown | Form::Html => text.into(),
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let written = match path.metadata() {
        // A device or a pipe is written to and not replaced.
        Ok(meta) if !meta.is_file() => std::fs::write(path, text),
        _ => save::replace(path, text.as_bytes()),
    };
    written.map_err(|e| Failure::io("cannot write", path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_form_it_is_given_or_its_name_says() {
        let parsed = |words: &str| words.parse::<OutputFile>().map(|file| (file.form, file.path));
        assert_eq!(parsed("a/page.html").unwrap(), (Form::Html, "a/page.html".into()));
        assert_eq!(parsed("bencher=b.json").unwrap(), (Form::Bencher, "b.json".into()));
        assert_eq!(parsed("json=-").unwrap(), (Form::Json, "-".into()));
        assert_eq!(parsed("x=1.csv").unwrap(), (Form::Csv, "x=1.csv".into()));
        assert!(parsed("report").unwrap_err().to_string().contains("FORM=FILE"));
        assert!(parsed("html=").unwrap_err().to_string().contains("names no file"));
    }

    #[test]
    fn no_form_lets_a_control_character_reach_a_terminal() {
        let mut report = Report::new("compare\x1b[1m", &["x\x1b]0;t\x07".into()]);
        report.warnings = vec!["w\u{9b}".into()];
        report.sections = vec![crate::harness::report::Section {
            id: "s\x1b".into(),
            title: "t\x1b[2J".into(),
            columns: vec![crate::harness::report::Column::new(
                "c\x07",
                "c\x1b",
                crate::harness::report::Unit::Text,
                crate::harness::report::Better::Neither,
            )],
            rows: vec![crate::harness::report::Row {
                label: "r\r\x1b\u{202e}".into(),
                cells: vec![crate::harness::report::Cell::Text("v\x1b[3J".into())],
            }],
            notes: vec!["n\x7f".into()],
            ..Default::default()
        }];
        for form in Form::ALL {
            let text = printable(form, &report::render(form, &report, &[]));
            let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!text.contains(bad), "{form}: {text:?}");
        }
    }
}
