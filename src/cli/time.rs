//! Times as text for people, in the local time zone, and times that people write.

use crate::base::time::Time;
use crate::report::time::timestamp;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Local time with seconds, for people.
pub fn local(time: Time) -> String {
    match timestamp(time) {
        Some(t) => t.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        None => format!("@{}", time.s),
    }
}

/// Reads `2026-05-01T12:00:00Z`, a local `2026-05-01 12:00[:00]` or `2026-05-01`, or `@SECONDS`.
pub fn parse(text: &str) -> Result<Time, String> {
    if let Some(seconds) = text.strip_prefix('@') {
        let s = seconds.parse().map_err(|_| format!("{seconds:?} is no number of seconds"))?;
        return Ok(Time { s, ns: 0 });
    }
    let stamp = match text.parse::<Timestamp>() {
        Ok(t) => t,
        Err(_) => text
            .parse::<DateTime>()
            .and_then(|t| t.to_zoned_datetime(TimeZone::system()))
            .map_err(|e| format!("{e}; give 2026-05-01T12:00:00Z, a local \"2026-05-01 12:00\" or @SECONDS"))?
            .timestamp(),
    };
    let ns = stamp.as_nanosecond();
    let (s, ns) = (ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000));
    Ok(Time { s: s as i64, ns: ns as u32 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::time::rfc3339;

    #[test]
    fn rfc3339_reads_back_to_the_nanosecond() {
        for (s, ns) in [(0, 0), (1_700_000_000, 123_456_789), (-1, 999_999_999), (-86_400 * 365 * 200, 1)] {
            let time = Time { s, ns };
            assert_eq!(parse(&rfc3339(time)), Ok(time), "{}", rfc3339(time));
        }
    }

    #[test]
    fn times_beyond_the_calendar_do_not_fail() {
        assert_eq!(local(Time { s: i64::MIN, ns: 0 }), format!("@{}", i64::MIN));
    }

    #[test]
    fn what_people_write_is_understood_or_named() {
        assert_eq!(parse("@12"), Ok(Time { s: 12, ns: 0 }));
        assert_eq!(parse("1970-01-01T00:00:01+00:00"), Ok(Time { s: 1, ns: 0 }));
        assert!(parse("2026-05-01 12:00").is_ok() && parse("2026-05-01").is_ok());
        assert!(parse("yesterday").is_err() && parse("@x").is_err() && parse("").is_err());
    }
}
