//! The values of saved runs over time. Only runs on the same machine and the same data are comparable.

use super::canvas::{self, FONT, GRID, MUTED, SERIES, Scale, WIDTH};
use crate::harness::report::point::{self, Point};
use crate::harness::report::{Better, Column, Plot, Report, Section, Unit, number};
use plotters::style::text_anchor::HPos;

const HEIGHT: i32 = 190;
const DATES: usize = 6;

/// The charts, and what was left out.
#[derive(Debug, Default)]
pub struct Trends {
    /// A chart a column.
    pub charts: Vec<Trend>,
    /// How many runs there are, and which are left out.
    pub remark: String,
}

#[derive(Debug)]
pub struct Trend {
    /// Section and column.
    pub title: String,
    pub svg: String,
    /// Names of the lines, in the order of their colours.
    pub labels: Vec<String>,
    /// What is not drawn.
    pub remark: Option<String>,
}

impl Trends {
    /// Nothing to show.
    pub fn is_empty(&self) -> bool {
        self.charts.is_empty()
    }
}

/// A line: values by run, with their intervals.
struct Line {
    label: String,
    points: Vec<LinePoint>,
}

/// The run's place, the value, its interval.
type LinePoint = (usize, f64, Option<(f64, f64)>);

impl Line {
    /// Its name, its newest value, and how that differs from the oldest one.
    fn legend(&self, unit: Unit) -> String {
        let (first, last) = (self.points[0].1, self.points[self.points.len() - 1].1);
        // No minus before a zero.
        let change = ((last / first - 1.0) * 1000.0).round() / 10.0 + 0.0;
        let change = if change.is_finite() { format!(" ({change:+.1} %)") } else { String::new() };
        format!("{}: {}{change}", self.label, number::show(last, unit))
    }

    /// Its values as multiples of its first one, which is above zero.
    fn relative(&mut self) {
        let first = self.points[0].1;
        for (_, value, interval) in &mut self.points {
            *value /= first;
            *interval = interval.map(|(low, high)| (low / first, high / first));
        }
    }
}

/// What `history` has of the values in `report`.
pub fn trends(report: &Report, history: &[Report]) -> Trends {
    let earlier: Vec<&Report> = history.iter().filter(|run| run.started != report.started).collect();
    let here = report.machine.fingerprint();
    let mut runs: Vec<&Report> = earlier.iter().filter(|run| run.machine.fingerprint() == here).copied().collect();
    runs.sort_by(|a, b| a.started.cmp(&b.started));
    let elsewhere = earlier.len() - runs.len();
    runs.push(report);
    let mut trends = Trends::default();
    for section in &report.sections {
        for column in charted(section) {
            trends.charts.extend(trend(section, column, &runs));
        }
    }
    let others = match elsewhere {
        0 => String::new(),
        1 => " One run on another machine is left out.".into(),
        n => format!(" {n} runs on other machines are left out."),
    };
    trends.remark = format!("Runs of the same machine on the same data, oldest first.{others}");
    trends
}

/// The columns that the section draws as bars; when there are none, its first that has a good direction.
fn charted(section: &Section) -> Vec<&Column> {
    let drawn = |column: &&Column| {
        section.plots.iter().any(|plot| matches!(plot, Plot::Bars { column: id, .. } if *id == column.id))
    };
    let mut columns: Vec<&Column> = section.columns.iter().filter(drawn).collect();
    if columns.is_empty() {
        columns.extend(section.columns.iter().find(|column| column.better != Better::Neither));
    }
    columns
}

fn trend(section: &Section, column: &Column, runs: &[&Report]) -> Option<Trend> {
    let same = |other: &&Section| {
        other.id == section.id
            && other.data == section.data
            && other.columns.iter().any(|c| c.id == column.id && c.unit == column.unit)
    };
    // Runs that measured something else are no gap in the line.
    let sections: Vec<(&str, &Section)> = runs
        .iter()
        .flat_map(|run| run.sections.iter().filter(same).take(1).map(|section| (run.started.as_str(), section)))
        .collect();
    let mut lines: Vec<Line> =
        of_column(section, column).map(|point| Line { label: point.row.clone(), points: vec![] }).collect();
    for (at, (_, section)) in sections.iter().enumerate() {
        for point in of_column(section, column) {
            let line = lines.iter_mut().find(|line| line.label == point.row);
            if let (Some(line), Some(value)) = (line, point.cell.number().filter(|v| v.is_finite())) {
                line.points.push((at, value, point.interval()));
            }
        }
    }
    lines.retain(|line| line.points.len() > 1);
    let all = lines.len();
    lines.truncate(SERIES);
    if lines.is_empty() {
        return None;
    }
    let labels = lines.iter().map(|line| line.legend(column.unit)).collect();
    // Lines of different sizes show their changes only beside what they began with.
    let relative = lines.len() > 1 && lines.iter().all(|line| line.points[0].1 > 0.0);
    let (unit, what) = if relative { (Unit::Share, ", relative to the oldest run") } else { (column.unit, "") };
    if relative {
        lines.iter_mut().for_each(Line::relative);
    }
    let title = format!("{}: {}{what}", section.title, column.title);
    let dates: Vec<&str> = sections.iter().map(|(started, _)| *started).collect();
    Some(Trend {
        svg: draw(&title, unit, &dates, &lines),
        title,
        labels,
        remark: (all > SERIES).then(|| format!("The first {SERIES} of {all} rows are drawn.")),
    })
}

fn of_column<'a>(section: &'a Section, column: &'a Column) -> impl Iterator<Item = Point<'a>> {
    point::of_section(section).into_iter().filter(|point| point.column.id == column.id && point.cell.number().is_some())
}

fn draw(title: &str, unit: Unit, dates: &[&str], lines: &[Line]) -> String {
    let values = || {
        lines.iter().flat_map(|line| &line.points).flat_map(|(_, value, interval)| {
            let (low, high) = interval.unwrap_or((*value, *value));
            [low, high]
        })
    };
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    // What differs by less than a few percent looks flat, not wild.
    let room = ((high - low) * 0.08).max(high.abs().max(1e-9) * 0.03);
    let bottom = HEIGHT - 2 * FONT;
    let y = Scale { ends: (low - room, high + room), pixels: (bottom, 8), log: false };
    let ticks = y.ticks(unit, 4);
    let left = 14 + ticks.iter().map(|(_, words)| canvas::width(words)).max().unwrap_or(0);
    let x = Scale { ends: (0.0, dates.len().max(2) as f64 - 1.0), pixels: (left + 45, WIDTH - 55), log: false };
    canvas::picture(title, HEIGHT, |canvas| {
        for (value, words) in &ticks {
            let y = y.at(*value);
            canvas.line((left, y), (WIDTH - 10, y), GRID, 1);
            canvas.text(words, (left - 8, y), HPos::Right, MUTED);
        }
        let every = dates.len().div_ceil(DATES);
        for (at, date) in dates.iter().enumerate().rev().step_by(every) {
            canvas.text(&short_date(date), (x.at(at as f64), bottom + FONT), HPos::Center, MUTED);
        }
        for (at, line) in lines.iter().enumerate() {
            let color = canvas::series_color(at);
            let place = |(run, value): (usize, f64)| (x.at(run as f64), y.at(value));
            canvas.path(line.points.iter().map(|(run, value, _)| place((*run, *value))).collect(), color);
            for (run, value, interval) in &line.points {
                if let Some((low, high)) = interval {
                    canvas.line(place((*run, *low)), place((*run, *high)), color, 1);
                }
                canvas.dot(place((*run, *value)), color);
            }
        }
    })
}

/// `2026-05-01 12:30` of an RFC 3339 time.
fn short_date(started: &str) -> String {
    started.chars().take(16).map(|c| if c == 'T' { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::report::{Cell, DataUsed, Row, Unit};

    fn run(started: &str, value: f64) -> Report {
        let mut report = Report::new("compare", &[]);
        report.started = started.into();
        report.sections = vec![Section {
            id: "first".into(),
            title: "First backup".into(),
            data: Some(DataUsed { name: "k".into(), bytes: 1, files: 1, ..DataUsed::default() }),
            columns: vec![Column::new("time", "time", Unit::Seconds, Better::Lower)],
            rows: vec![Row { label: "larder".into(), cells: vec![Cell::Exact(value)] }],
            ..Section::default()
        }];
        report
    }

    #[test]
    fn only_comparable_runs_are_drawn() {
        let now = run("2026-05-03T00:00:00Z", 3.0);
        assert!(trends(&now, std::slice::from_ref(&now)).is_empty(), "a run is no history of itself");
        let mut elsewhere = run("2026-05-01T00:00:00Z", 9.0);
        elsewhere.machine.cpu = "other".into();
        let mut other_data = run("2026-05-01T00:00:00Z", 9.0);
        other_data.sections[0].data.as_mut().unwrap().bytes = 2;
        assert!(trends(&now, &[elsewhere.clone(), other_data]).is_empty());
        let found = trends(&now, &[run("2026-05-02T00:00:00Z", 2.0), elsewhere]);
        assert_eq!(found.charts.len(), 1);
        assert_eq!(
            (found.charts[0].title.as_str(), found.charts[0].svg.matches("<circle").count()),
            ("First backup: time", 2)
        );
        assert!(found.charts[0].svg.contains("2026-05-02 00:00"));
        assert_eq!(found.charts[0].labels, ["larder: 3 s (+50.0 %)"]);
        assert!(found.remark.contains("One run on another machine"));
    }
}
