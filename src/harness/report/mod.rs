//! The model of a report: sections of typed columns and rows. Every form is made from it, a file each.
//!
//! | file | what |
//! |---|---|
//! | [`form`] | the forms by name, and [`render`] |
//! | [`text`], [`markdown`] | tables for people |
//! | [`json`] | the whole report, read back by [`save`] and by `larder bench report` |
//! | [`csv`] | a line a value |
//! | [`github_action`], [`bencher`] | what trackers read |
//! | [`html`] | the page |
//! | [`number`], [`point`] | values for people; all values as one list |
//! | [`doubts`] | what the samples themselves say against the numbers |
//! | [`merge`] | several saved reports as one, and the older ones as history |
//! | [`save`] | a folder of runs |

pub mod form;
pub mod number;
pub mod point;
pub mod doubts;
pub mod text;
pub mod json;
pub mod markdown;
pub mod csv;
pub mod github_action;
pub mod bencher;
pub mod html;
pub mod merge;
pub mod save;

pub use form::{Form, render};

use serde::{Deserialize, Serialize};

/// The version of the JSON form; grows when a field changes its meaning or goes.
pub const SCHEMA: u32 = 1;

/// What one run of `larder bench` found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    pub schema: u32,
    /// `chunking`, `stages`, `pipeline`, `compare`, `gate`.
    pub kind: String,
    pub program: String,
    /// The words after `larder bench`.
    pub command: Vec<String>,
    /// When it began (RFC 3339, UTC).
    pub started: String,
    /// What it ran on.
    pub machine: super::machine::Machine,
    pub sections: Vec<Section>,
    /// What is doubtful, and what helps.
    pub warnings: Vec<String>,
    /// Sees what disturbs the run; not a part of any form.
    #[serde(skip)]
    pub watch: super::machine::Watch,
}

/// One table of a report.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Section {
    /// For programs: `throughput`, `first_backup`.
    pub id: String,
    pub title: String,
    /// The data set or path it was taken on.
    pub data: Option<DataUsed>,
    /// The columns; the first is the row's label and not listed here.
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
    /// What the page draws of it.
    pub plots: Vec<Plot>,
    /// Remarks below the table.
    pub notes: Vec<String>,
}

/// The data a section was taken on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DataUsed {
    /// Data set or path.
    pub name: String,
    /// Plaintext bytes, with holes.
    pub bytes: u64,
    /// Of these, in holes, which are not read: rates count the others.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub holes: u64,
    pub files: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl DataUsed {
    /// Bytes that are no holes.
    pub fn content(&self) -> u64 {
        self.bytes.saturating_sub(self.holes)
    }
}

/// A column: what its numbers are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    pub id: String,
    pub title: String,
    /// How to read and print its numbers.
    pub unit: Unit,
    /// Which direction is good; trackers alert on the other one.
    pub better: Better,
}

/// Units. Values are always in the base unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Unit {
    Text,
    Count,
    Bytes,
    Seconds,
    BytesPerSecond,
    PerSecond,
    SecondsPerGb,
    NsPerByte,
    Ratio,
    /// A share: 1.0 is 100 %.
    Share,
    Instructions,
}

/// Which direction is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Better {
    Higher,
    Lower,
    Neither,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// What was measured.
    pub label: String,
    /// One cell a column.
    pub cells: Vec<Cell>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cell {
    /// Not measured, or it does not apply.
    Empty,
    Text(String),
    /// A number that is exact, or has no spread.
    Exact(f64),
    /// A median with its 95 % interval and what it came from.
    Measured {
        value: f64,
        /// Ends of the interval.
        low: f64,
        high: f64,
        /// All samples, in the order they were taken.
        samples: Vec<f64>,
    },
}

/// A picture of the page.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plot {
    /// Bars of one column, with intervals where there are some; `line`: a limit drawn across (roofline, 1.0).
    Bars {
        title: String,
        /// Id of the column.
        column: String,
        /// Id of a column that holds each row's own limit, drawn as a mark.
        limit: Option<String>,
        /// A limit for all rows.
        line: Option<f64>,
    },
    /// Counts by class: (upper end, count).
    Histogram {
        title: String,
        /// Unit of the classes.
        unit: Unit,
        /// One line a series: name and its classes.
        series: Vec<(String, Vec<(f64, u64)>)>,
    },
}

impl Report {
    /// An empty report of a run that starts now.
    pub fn new(kind: &str, command: &[String]) -> Report {
        Report {
            schema: SCHEMA,
            kind: kind.into(),
            program: concat!("larder ", env!("CARGO_PKG_VERSION")).into(),
            command: command.to_vec(),
            started: jiff::Timestamp::now().to_string(),
            machine: super::machine::Machine::here(),
            sections: Vec::new(),
            warnings: super::machine::doubts(),
            watch: super::machine::Watch::start(),
        }
    }

    /// The report with what its samples and this machine, since the run began, say against it among the warnings.
    pub fn with_doubts(&self) -> Report {
        let known = self.warnings.iter().cloned();
        // What disturbed the run explains what its samples look like.
        let all = self.watch.doubts().into_iter().chain(known).chain(doubts::of_samples(self));
        let mut report = Report { warnings: vec![], ..self.clone() };
        for doubt in all {
            if !report.warnings.contains(&doubt) {
                report.warnings.push(doubt);
            }
        }
        report
    }
}

impl Cell {
    /// The number in it.
    pub fn number(&self) -> Option<f64> {
        match self {
            Cell::Exact(value) | Cell::Measured { value, .. } => Some(*value),
            Cell::Empty | Cell::Text(_) => None,
        }
    }
}

impl Column {
    pub fn new(id: &str, title: &str, unit: Unit, better: Better) -> Column {
        Column { id: id.into(), title: title.into(), unit, better }
    }
}
