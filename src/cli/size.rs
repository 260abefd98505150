//! Sizes as people write them.

/// Reads `512`, `10K`, `4KiB`, `1.5G`: all units are powers of 1024.
pub fn parse(text: &str) -> Result<u64, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(format!("{unit:?} is no unit: K, M, G or T")),
    };
    let wrong = || format!("{text:?} is no size: write 512, 10K, 4MiB or 1.5G");
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(1 << shift).ok_or_else(wrong);
    }
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Ok((number * (1u64 << shift) as f64) as u64)
}

/// The same; nothing is no size.
pub fn above_0(text: &str) -> Result<u64, String> {
    match parse(text)? {
        0 => Err("it must be above 0".into()),
        size => Ok(size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_or_none() {
        assert_eq!(parse("512"), Ok(512));
        assert_eq!(parse("10K"), Ok(10 << 10));
        assert_eq!(parse("4MiB"), Ok(4 << 20));
        assert_eq!(parse("1.5g"), Ok(3 << 29));
        assert_eq!(above_0("1K"), Ok(1 << 10));
        assert!(above_0("0").is_err() && above_0("0.1").is_err());
        for bad in ["", "K", "1x", "1..5K", "-1", "99999999T"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
