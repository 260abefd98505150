//! Tables with plain columns. Lines are never wrapped, since broken lines are worse in a pipe than wide ones on a
//! terminal.

use super::failure::Failure;
use super::output::Output;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement};

/// A table for people. Cells hold names that are escaped already.
pub struct Table(comfy_table::Table);

impl Table {
    /// With these headings; one that begins with `>` is set to the right, as numbers are.
    pub fn new(headings: &[&str]) -> Table {
        let mut table = comfy_table::Table::new();
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(headings.iter().map(|heading| heading.trim_start_matches('>')));
        for (i, heading) in headings.iter().enumerate() {
            if let Some(column) = table.column_mut(i) {
                column.set_padding((0, 2));
                if heading.starts_with('>') {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        Table(table)
    }

    /// One more row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.0.add_row(cells);
    }

    /// The lines, without blanks at their ends.
    pub fn lines(&self) -> Vec<String> {
        self.0.lines().map(|line| line.trim_end().to_string()).collect()
    }

    /// Prints it.
    pub fn print(&self, out: &Output) -> Result<(), Failure> {
        self.lines().iter().try_for_each(|line| out.line(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_nothing_wraps() {
        let mut table = Table::new(&["id", ">bytes", "path"]);
        table.row(["ab".into(), "1".into(), "/a".repeat(200)]);
        table.row(["abcd".into(), "1,000".into(), "/b".into()]);
        let lines = table.lines();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0], "id    bytes  path");
        assert_eq!(lines[1], format!("ab        1  {}", "/a".repeat(200)));
        assert_eq!(lines[2], "abcd  1,000  /b");
    }
}
