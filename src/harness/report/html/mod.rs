//! The page: one file without scripts and without anything from elsewhere, light or dark as its reader prefers.

mod canvas;
mod bars;
mod histogram;
mod trend;

use super::{Cell, Column, Plot, Report, Row, Section, Unit, number, text};
use crate::base::escape;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");
/// Tables of more columns have them closer together on narrow windows.
const DENSE: usize = 10;
/// Samples shown when a pointer rests on a value.
const SHOWN_SAMPLES: usize = 40;

/// The page of a report. `history`: earlier runs, of which those on the same machine and data are drawn over time.
pub fn page(report: &Report, history: &[Report]) -> String {
    let title = format!("{} bench {}", report.program, report.kind);
    let trends = trend::trends(report, history);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // Nothing is loaded, whatever a label says.
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { (shown(&title)) }
                style { (PreEscaped(STYLE)) (PreEscaped(canvas::dark_rules())) }
            }
            body {
                header {
                    h1 { (shown(&title)) }
                    @if !report.command.is_empty() {
                        p { code { "larder bench " (shown(&report.command.join(" "))) } }
                    }
                    dl {
                        dt { "Started" } dd { (shown(&report.started)) }
                        dt { "Machine" } dd { (text::machine(report)) }
                    }
                    nav {
                        @for (at, section) in report.sections.iter().enumerate() {
                            a href=(format!("#section-{at}")) { (shown(&section.title)) }
                        }
                        @if !trends.is_empty() { a href="#history" { "History" } }
                    }
                }
                @if !report.warnings.is_empty() {
                    aside id="warnings" {
                        h2 { "Doubtful" }
                        ul { @for warning in &report.warnings { li { (shown(warning)) } } }
                    }
                }
                main {
                    @for (at, section) in report.sections.iter().enumerate() { (section_part(at, section)) }
                    @if !trends.is_empty() { (history_part(&trends)) }
                }
                footer { p { "Made by " (shown(&report.program)) ". Bars are medians; thin lines are 95 % intervals." } }
            }
        }
    };
    page.into_string() + "\n"
}

fn section_part(at: usize, section: &Section) -> Markup {
    html! {
        section id=(format!("section-{at}")) data-id=(shown(&section.id)) {
            h2 { (shown(&section.title)) }
            @if let Some(data) = &section.data { p.data { (number::data(data)) } }
            @if !section.rows.is_empty() { (table(section)) }
            @if !section.notes.is_empty() {
                ul.notes { @for note in &section.notes { li { (shown(note)) } } }
            }
            @for plot in &section.plots { (figure(section, plot)) }
        }
    }
}

fn table(section: &Section) -> Markup {
    html! {
        div.wide {
            table class=[(section.columns.len() > DENSE).then_some("dense")] {
                thead {
                    tr {
                        th scope="col" {}
                        @for column in &section.columns { th scope="col" class=[class(column)] { (shown(&column.title)) } }
                    }
                }
                tbody { @for row in &section.rows { (table_row(&section.columns, row)) } }
            }
        }
    }
}

fn table_row(columns: &[Column], row: &Row) -> Markup {
    html! {
        tr {
            th scope="row" { (shown(&row.label)) }
            @for (column, cell) in columns.iter().zip(&row.cells) {
                td class=[class(column)] title=[samples(cell, column.unit)] { (value(cell, column.unit)) }
            }
        }
    }
}

/// How sure a value is goes below it where there is no room beside it.
fn value(cell: &Cell, unit: Unit) -> Markup {
    let (value, sure) = number::parts(cell, unit);
    html! {
        @if unit == Unit::Text { (value) } @else { span { (value) } }
        @if let Some(sure) = sure { " " span.sure { (sure) } }
    }
}

fn class(column: &Column) -> Option<&'static str> {
    Some(if column.unit == Unit::Text { "words" } else { "number" })
}

fn samples(cell: &Cell, unit: Unit) -> Option<String> {
    let Cell::Measured { samples, .. } = cell else { return None };
    let shown: Vec<_> = samples.iter().take(SHOWN_SAMPLES).map(|sample| number::show(*sample, unit)).collect();
    let more = if samples.len() > SHOWN_SAMPLES { ", …" } else { "" };
    Some(format!("{} samples: {}{more}", samples.len(), shown.join(", ")))
}

fn figure(section: &Section, plot: &Plot) -> Markup {
    let (title, svg, key) = match plot {
        Plot::Bars { title, column, limit, line } => {
            let drawn = bars::draw(section, title, column, limit.as_deref(), *line);
            let of =
                |id: &str| section.columns.iter().find(|c| c.id == id).map(|c| c.title.clone()).unwrap_or_default();
            let unit = section.columns.iter().find(|c| c.id == *column).map_or(Unit::Count, |c| c.unit);
            let limit = limit.as_deref().map(|id| format!("Orange marks: {}.", of(id)));
            let line = line.map(|line| format!("Dashed line: {}.", number::show(line, unit)));
            (title, drawn, limit.into_iter().chain(line).collect::<Vec<_>>().join(" "))
        }
        Plot::Histogram { title, unit, series } => {
            (title, histogram::draw(title, *unit, series), "Each row is scaled to its own largest class.".into())
        }
    };
    html! {
        @if let Some(svg) = svg {
            figure {
                figcaption { (shown(title)) }
                (PreEscaped(svg))
                @if !key.is_empty() { p.key { (shown(&key)) } }
            }
        }
    }
}

fn history_part(trends: &trend::Trends) -> Markup {
    html! {
        section id="history" {
            h2 { "History" }
            p.data { (trends.remark) }
            @for trend in &trends.charts {
                figure {
                    figcaption { (shown(&trend.title)) }
                    (PreEscaped(&trend.svg))
                    ul.legend {
                        @for (at, label) in trend.labels.iter().enumerate() {
                            li { span class=(format!("swatch s{at}")) {} (shown(label)) }
                        }
                    }
                    @if let Some(remark) = &trend.remark { p.key { (shown(remark)) } }
                }
            }
        }
    }
}

/// What comes from outside, without controls; maud escapes what HTML would obey.
fn shown(words: &str) -> String {
    escape::text(words)
}
