//! Quantities as text for people.

use std::time::Duration;

/// Bytes with a binary unit: `0 B`, `1.2 GiB`.
pub fn bytes(n: u64) -> String {
    humansize::format_size(n, humansize::BINARY.decimal_zeroes(0).decimal_places(1))
}

/// A count with separators: `79,012`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count with its noun in the right number: `1 file`, `2 files`.
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// `85 ms`, `1.84 s`, `3 min 12 s`, `2 h 5 min`.
pub fn duration(d: Duration) -> String {
    let s = d.as_secs();
    match s {
        0 => format!("{} ms", d.as_millis()),
        1..60 => format!("{:.2} s", d.as_secs_f64()),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        _ => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

/// Bytes a second.
pub fn rate(n: u64, d: Duration) -> String {
    if d.is_zero() {
        return "-".into();
    }
    format!("{}/s", bytes((n as f64 / d.as_secs_f64()) as u64))
}

/// How many times larger `whole` is than `part`: `3.48x`, `-` when there is nothing to compare.
pub fn ratio(whole: u64, part: u64) -> String {
    if whole == 0 || part == 0 {
        return "-".into();
    }
    format!("{:.2}x", whole as f64 / part as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_well() {
        assert_eq!(["0", "999", "1,000", "1,234,567"].map(String::from), [0, 999, 1000, 1_234_567].map(count));
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(64 << 20), "64 MiB");
        assert_eq!(duration(Duration::from_millis(85)), "85 ms");
        assert_eq!(duration(Duration::from_millis(1840)), "1.84 s");
        assert_eq!(duration(Duration::from_secs(192)), "3 min 12 s");
        assert_eq!(duration(Duration::from_secs(7500)), "2 h 5 min");
        assert_eq!(rate(1 << 30, Duration::from_secs(2)), "512 MiB/s");
        assert_eq!(ratio(348, 100), "3.48x");
        assert_eq!(ratio(0, 0), "-");
        assert_eq!(counted(1, "file", "files"), "1 file");
    }
}
