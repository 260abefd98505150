//! All values of a report as one list, each with a name that stays the same from run to run.

use super::{Better, Cell, Column, Report, Section};
use std::collections::HashMap;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Point<'a> {
    pub section: &'a Section,
    /// Its row's label; ` #2` after it when the table has an equal one above.
    pub row: String,
    pub column: &'a Column,
    pub cell: &'a Cell,
}

impl Point<'_> {
    /// `section/data/row`: what trackers call a benchmark.
    pub fn benchmark(&self) -> String {
        match &self.section.data {
            Some(data) => format!("{}/{}/{}", self.section.id, data.name, self.row),
            None => format!("{}/{}", self.section.id, self.row),
        }
    }

    pub fn name(&self) -> String {
        format!("{}/{}", self.benchmark(), self.column.id)
    }

    /// The ends of its interval, when there is one.
    pub fn interval(&self) -> Option<(f64, f64)> {
        match self.cell {
            Cell::Measured { low, high, .. } if low.is_finite() && high.is_finite() => Some((*low, *high)),
            _ => None,
        }
    }
}

/// Every cell that holds something, in the order of the tables.
pub fn all(report: &Report) -> Vec<Point<'_>> {
    report.sections.iter().flat_map(of_section).collect()
}

/// The same of one table.
pub fn of_section(section: &Section) -> Vec<Point<'_>> {
    let mut seen: HashMap<&str, u32> = HashMap::new();
    let mut points = vec![];
    for row in &section.rows {
        let times = seen.entry(&row.label).or_insert(0);
        *times += 1;
        let label = if *times == 1 { row.label.clone() } else { format!("{} #{times}", row.label) };
        for (column, cell) in section.columns.iter().zip(&row.cells) {
            if *cell != Cell::Empty {
                points.push(Point { section, row: label.clone(), column, cell });
            }
        }
    }
    points
}

/// Numbers that a tracker can alert on: finite, and one direction is good.
pub fn tracked(report: &Report) -> Vec<(Point<'_>, f64)> {
    all(report)
        .into_iter()
        .filter(|point| point.column.better != Better::Neither)
        .filter_map(|point| point.cell.number().filter(|n| n.is_finite()).map(|n| (point, n)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::report::{DataUsed, Row, Unit};

    #[test]
    fn equal_labels_get_names_of_their_own() {
        let row = |label: &str, n| Row { label: label.into(), cells: vec![Cell::Exact(n), Cell::Empty] };
        let section = Section {
            id: "s".into(),
            data: Some(DataUsed { name: "k".into(), ..DataUsed::default() }),
            columns: ["a", "b"].map(|id| Column::new(id, id, Unit::Count, Better::Lower)).into(),
            rows: vec![row("x", 1.0), row("y", 2.0), row("x", 3.0)],
            ..Section::default()
        };
        let names: Vec<_> = of_section(&section).iter().map(Point::name).collect();
        assert_eq!(names, ["s/k/x/a", "s/k/y/a", "s/k/x #2/a"]);
    }
}
