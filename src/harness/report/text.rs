//! Tables for a terminal. What comes from outside is escaped: no control character gets through.

use super::{Report, Section, Unit, number};
use crate::base::escape;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};

/// What a line with a warning begins with.
pub const DOUBTFUL: &str = "doubtful:";

/// The report, line by line.
pub fn lines(report: &Report) -> Vec<String> {
    let command: Vec<_> = report.command.iter().map(|word| escape::text(word)).collect();
    let mut lines = vec![
        format!("{} bench {}  {}", escape::text(&report.program), command.join(" "), escape::text(&report.started)),
        machine(report),
    ];
    for section in &report.sections {
        lines.push(String::new());
        lines.extend(section_lines(section));
    }
    if !report.warnings.is_empty() {
        lines.push(String::new());
        lines.extend(report.warnings.iter().map(|warning| format!("{DOUBTFUL} {}", escape::text(warning))));
    }
    lines
}

/// The machine in one line.
pub fn machine(report: &Report) -> String {
    let m = &report.machine;
    let cores = if m.cores == 1 { "core" } else { "cores" };
    let memory = number::show(m.memory as f64, Unit::Bytes);
    let parts = [m.cpu.clone(), format!("{} {cores}", m.cores), memory, m.os.clone(), m.features.join(" ")];
    escape::text(&parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", "))
}

fn section_lines(section: &Section) -> Vec<String> {
    let mut lines = vec![escape::text(&section.title)];
    if let Some(data) = &section.data {
        lines.push(number::data(data));
    }
    if !section.rows.is_empty() {
        lines.extend(table(section).lines().map(|line| line.trim_end().to_string()));
    }
    lines.extend(section.notes.iter().map(|note| format!("  {}", escape::text(note))));
    lines
}

fn table(section: &Section) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    let titles = section.columns.iter().map(|column| escape::text(&column.title));
    table.set_header(std::iter::once(String::new()).chain(titles));
    for row in &section.rows {
        let cells =
            section.columns.iter().zip(&row.cells).map(|(column, cell)| match number::cell(cell, column.unit) {
                text if text.is_empty() => "-".to_string(),
                text => text,
            });
        table.add_row(std::iter::once(escape::text(&row.label)).chain(cells));
    }
    for at in 0..=section.columns.len() {
        if let Some(column) = table.column_mut(at) {
            column.set_padding((0, 2));
            if at > 0 && section.columns[at - 1].unit != Unit::Text {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table
}
