//! Percentages as people write them.

/// Reads `5%`, `0.5%` or `5`: above 0, at most 100.
pub fn parse(text: &str) -> Result<f64, String> {
    let number: f64 = text
        .strip_suffix('%')
        .unwrap_or(text)
        .trim()
        .parse()
        .map_err(|_| format!("{text:?} is no percentage: write 5% or 0.5%"))?;
    if number > 0.0 && number <= 100.0 {
        Ok(number)
    } else {
        Err("a percentage must be above 0% and at most 100%".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_number_up_to_a_hundred() {
        assert_eq!(parse("5%"), Ok(5.0));
        assert_eq!(parse("0.5"), Ok(0.5));
        assert_eq!(parse("100%"), Ok(100.0));
        for bad in ["0%", "-1%", "101%", "x", "", "%", "NaN", "inf"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
