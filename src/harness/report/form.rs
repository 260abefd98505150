//! The forms a report can take, by the words people name them with.

use super::super::error::BenchError;
use super::{Report, bencher, csv, github_action, html, json, markdown, text};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// What a report is turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// Tables for a terminal.
    Table,
    /// The whole report as one object.
    Json,
    /// Tables for a pull request or a wiki.
    Markdown,
    /// One line a value.
    Csv,
    /// The two arrays that github-action-benchmark reads.
    GithubAction,
    /// Bencher Metric Format.
    Bencher,
    /// One self-contained page.
    Html,
}

impl Form {
    /// All of them.
    pub const ALL: [Form; 7] =
        [Form::Table, Form::Json, Form::Markdown, Form::Csv, Form::GithubAction, Form::Bencher, Form::Html];

    pub fn word(self) -> &'static str {
        match self {
            Form::Table => "table",
            Form::Json => "json",
            Form::Markdown => "markdown",
            Form::Csv => "csv",
            Form::GithubAction => "github-action",
            Form::Bencher => "bencher",
            Form::Html => "html",
        }
    }

    /// What the end of a file's name says.
    pub fn of_file(path: &Path) -> Option<Form> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "txt" => Some(Form::Table),
            "json" => Some(Form::Json),
            "md" | "markdown" => Some(Form::Markdown),
            "csv" => Some(Form::Csv),
            "html" | "htm" => Some(Form::Html),
            _ => None,
        }
    }
}

/// The report in one form, as text that ends with a line end. `history`: earlier runs, oldest first, for the page.
pub fn render(form: Form, report: &Report, history: &[Report]) -> String {
    match form {
        Form::Table => text::lines(report).into_iter().map(|line| line + "\n").collect(),
        Form::Json => json::pretty(report),
        Form::Markdown => markdown::render(report),
        Form::Csv => csv::render(report),
        Form::GithubAction => github_action::both(report),
        Form::Bencher => bencher::render(report),
        Form::Html => html::page(report, history),
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Form {
    type Err = BenchError;

    fn from_str(word: &str) -> Result<Form, BenchError> {
        Form::ALL.into_iter().find(|form| form.word() == word).ok_or_else(|| {
            let words: Vec<_> = Form::ALL.iter().map(|form| form.word()).collect();
            BenchError::Invalid(format!("{word:?} is no form of a report: {}", words.join(", ")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_found_by_its_word() {
        for form in Form::ALL {
            assert_eq!(form.word().parse::<Form>().unwrap(), form);
        }
        assert!("xml".parse::<Form>().unwrap_err().to_string().contains("table, json, markdown"));
    }

    #[test]
    fn a_file_name_says_its_form() {
        assert_eq!(Form::of_file(Path::new("a/b.HTML")), Some(Form::Html));
        assert_eq!(Form::of_file(Path::new("b.json")), Some(Form::Json));
        assert_eq!(Form::of_file(Path::new("json")), None);
        assert_eq!(Form::of_file(Path::new("a.xls")), None);
    }
}
