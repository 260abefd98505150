//! The long form: a line a value, in base units, for spreadsheets and data frames.

use super::{Cell, Report, number, point};

/// With a line of headings.
pub fn render(report: &Report) -> String {
    let mut writer = ::csv::WriterBuilder::new().from_writer(vec![]);
    let mut record = |fields: [&str; 8]| writer.write_record(fields).expect("memory does not fail to write");
    record(["section", "row", "column", "unit", "value", "low", "high", "data"]);
    for point in point::all(report) {
        let value = match point.cell {
            Cell::Empty => continue,
            Cell::Text(text) => text.clone(),
            Cell::Exact(value) | Cell::Measured { value, .. } => value.to_string(),
        };
        let (low, high) =
            point.interval().map_or_else(Default::default, |(low, high)| (low.to_string(), high.to_string()));
        let data = point.section.data.as_ref().map_or("", |data| &data.name);
        let unit = number::unit_word(point.column.unit);
        record([&point.section.id, &point.row, &point.column.id, unit, &value, &low, &high, data]);
    }
    let bytes = writer.into_inner().expect("memory does not fail to write");
    String::from_utf8(bytes).expect("its fields were text")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::report::{Better, Column, Row, Section, Unit};

    #[test]
    fn any_label_reads_back() {
        let label = "a,\"b\"\n;c\u{e9}";
        let mut report = Report::new("compare", &[]);
        report.sections = vec![Section {
            id: "s".into(),
            columns: vec![Column::new("t", "time", Unit::Seconds, Better::Lower)],
            rows: vec![Row { label: label.into(), cells: vec![Cell::Exact(0.1)] }],
            ..Section::default()
        }];
        let text = render(&report);
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        let records: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(records.len(), 1);
        assert_eq!((&records[0][1], &records[0][4], &records[0][5]), (label, "0.1", ""));
    }
}
