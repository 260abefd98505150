//! Values for people.

use super::{Cell, Unit};
use crate::base::escape;

/// A value with its unit: `1,234 MB/s`, `85.1 ms`, `1.2 GiB`.
pub fn show(value: f64, unit: Unit) -> String {
    if !value.is_finite() {
        return "-".into();
    }
    match unit {
        Unit::Text => digits(value),
        Unit::Count | Unit::Instructions => digits(value),
        Unit::Bytes => bytes(value),
        Unit::Seconds => seconds(value),
        Unit::BytesPerSecond => format!("{} MB/s", digits(value / 1e6)),
        Unit::PerSecond => format!("{}/s", digits(value)),
        Unit::SecondsPerGb => format!("{} s/GB", digits(value)),
        Unit::NsPerByte => format!("{} ns/B", digits(value)),
        Unit::Ratio => format!("{value:.3}×"),
        Unit::Share => format!("{} %", digits(value * 100.0)),
    }
}

/// A cell for people, with how sure it is: `1.84 s ± 2.1 %`, `1.520× (1.481–1.570)`; nothing for an empty one.
pub fn cell(cell: &Cell, unit: Unit) -> String {
    match parts(cell, unit) {
        (value, Some(sure)) => format!("{value} {sure}"),
        (value, None) => value,
    }
}

/// The value and how sure it is, apart.
pub fn parts(cell: &Cell, unit: Unit) -> (String, Option<String>) {
    match cell {
        Cell::Empty => (String::new(), None),
        Cell::Text(text) => (escape::text(text), None),
        Cell::Exact(value) => (show(*value, unit), None),
        Cell::Measured { value, samples, .. } if samples.len() < 2 => (show(*value, unit), None),
        // What a ratio is held against is its interval.
        Cell::Measured { value, low, high, .. } if unit == Unit::Ratio => {
            (show(*value, unit), Some(format!("({low:.3}–{high:.3})")))
        }
        Cell::Measured { value, low, high, .. } => {
            (show(*value, unit), Some(format!("± {}", percent(deviation(*value, *low, *high)))))
        }
    }
}

/// How far the interval reaches from the value, as a share of it.
pub fn deviation(value: f64, low: f64, high: f64) -> f64 {
    let reach = (high - value).max(value - low);
    if reach == 0.0 { 0.0 } else { reach / value.abs() }
}

fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1} %", share * 100.0) } else { "-".into() }
}

/// The short name of the base unit, for programs and axes of trackers.
pub fn base_unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Text => "",
        Unit::Count => "count",
        Unit::Bytes => "B",
        Unit::Seconds => "s",
        Unit::BytesPerSecond => "B/s",
        Unit::PerSecond => "1/s",
        Unit::SecondsPerGb => "s/GB",
        Unit::NsPerByte => "ns/B",
        Unit::Ratio => "ratio",
        Unit::Share => "share",
        Unit::Instructions => "instructions",
    }
}

/// The name a unit has in the JSON and CSV forms.
pub fn unit_word(unit: Unit) -> &'static str {
    match unit {
        Unit::Text => "text",
        Unit::Count => "count",
        Unit::Bytes => "bytes",
        Unit::Seconds => "seconds",
        Unit::BytesPerSecond => "bytes_per_second",
        Unit::PerSecond => "per_second",
        Unit::SecondsPerGb => "seconds_per_gb",
        Unit::NsPerByte => "ns_per_byte",
        Unit::Ratio => "ratio",
        Unit::Share => "share",
        Unit::Instructions => "instructions",
    }
}

/// A data set's size for people: `kernel, 1.17 GiB in 78,579 files`, `image, 612 MiB (3.50 GiB with holes) in 4 files`.
pub fn data(used: &super::DataUsed) -> String {
    let files = if used.files == 1 { "file" } else { "files" };
    let holes = if used.holes == 0 { String::new() } else { format!(" ({} with holes)", bytes(used.bytes as f64)) };
    let (name, content) = (escape::text(&used.name), bytes(used.content() as f64));
    format!("{name}, {content}{holes} in {} {files}", digits(used.files as f64))
}

/// Whole numbers with separators; others with three digits that count.
fn digits(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".into();
    }
    if size >= 100.0 || value.fract() == 0.0 {
        return separated(value.round());
    }
    let decimals = (2 - size.log10().floor() as i32).clamp(0, 9) as usize;
    format!("{value:.decimals$}")
}

fn separated(whole: f64) -> String {
    let text = format!("{:.0}", whole.abs());
    let mut out = String::with_capacity(text.len() + text.len() / 3 + 1);
    if whole < 0.0 {
        out.push('-');
    }
    for (at, digit) in text.chars().enumerate() {
        if at > 0 && (text.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn bytes(value: f64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let size = value.abs();
    if size < 1024.0 {
        return format!("{} B", digits(value));
    }
    let power = ((size.log2() / 10.0).floor() as usize).clamp(1, units.len());
    let scaled = value / 1024f64.powi(power as i32);
    format!("{} {}", digits(scaled), units[power - 1])
}

fn seconds(value: f64) -> String {
    match value.abs() {
        0.0 => "0 s".into(),
        size if size < 1e-6 => format!("{} ns", digits(value * 1e9)),
        size if size < 1e-3 => format!("{} µs", digits(value * 1e6)),
        size if size < 1.0 => format!("{} ms", digits(value * 1e3)),
        _ => format!("{} s", digits(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_well_in_every_unit() {
        let cases = [
            (0.0, Unit::Count, "0"),
            (78_579.0, Unit::Count, "78,579"),
            (-1234.0, Unit::Count, "-1,234"),
            (1_234_567.0, Unit::Instructions, "1,234,567"),
            (999.0, Unit::Bytes, "999 B"),
            (65_536.0, Unit::Bytes, "64 KiB"),
            (1_290_000_000.0, Unit::Bytes, "1.20 GiB"),
            (1.843, Unit::Seconds, "1.84 s"),
            (0.0851, Unit::Seconds, "85.1 ms"),
            (0.000_012_3, Unit::Seconds, "12.3 µs"),
            (4.1e-9, Unit::Seconds, "4.10 ns"),
            (192.4, Unit::Seconds, "192 s"),
            (1.234e9, Unit::BytesPerSecond, "1,234 MB/s"),
            (3.456e6, Unit::BytesPerSecond, "3.46 MB/s"),
            (8123.4, Unit::PerSecond, "8,123/s"),
            (3.2, Unit::SecondsPerGb, "3.20 s/GB"),
            (0.2345, Unit::NsPerByte, "0.234 ns/B"),
            (1.05, Unit::Ratio, "1.050×"),
            (0.1234, Unit::Share, "12.3 %"),
            (f64::NAN, Unit::Seconds, "-"),
            (f64::INFINITY, Unit::Ratio, "-"),
        ];
        for (value, unit, text) in cases {
            assert_eq!(show(value, unit), text);
        }
    }

    #[test]
    fn a_measured_cell_says_how_sure_it_is() {
        let measured = |value, low, high, n| Cell::Measured { value, low, high, samples: vec![value; n] };
        assert_eq!(cell(&measured(2.0, 1.9, 2.05, 5), Unit::Seconds), "2 s ± 5.0 %");
        assert_eq!(cell(&measured(2.0, 2.0, 2.0, 1), Unit::Seconds), "2 s");
        assert_eq!(cell(&measured(1.5, 1.4, 1.6, 5), Unit::Ratio), "1.500× (1.400–1.600)");
        assert_eq!(cell(&measured(0.0, -1.0, 1.0, 5), Unit::Seconds), "0 s ± -");
        assert_eq!(cell(&Cell::Text("a\x1b[2J".into()), Unit::Text), "a\\x1b[2J");
        assert_eq!(cell(&Cell::Empty, Unit::Seconds), "");
    }

    #[test]
    fn units_have_the_words_of_the_json_form() {
        use Unit::*;
        for unit in [
            Text,
            Count,
            Bytes,
            Seconds,
            BytesPerSecond,
            PerSecond,
            SecondsPerGb,
            NsPerByte,
            Ratio,
            Share,
            Instructions,
        ] {
            assert_eq!(serde_json::to_value(unit).unwrap(), unit_word(unit));
        }
    }
}
