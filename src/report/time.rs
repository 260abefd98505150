//! Times in JSON: RFC 3339 in UTC.

use crate::base::time::Time;
use jiff::Timestamp;

/// RFC 3339 in UTC with as many fractional digits as there are. What lies beyond the years -9999 to 9999 (a file may
/// carry it) comes as `@` and seconds since 1970.
pub fn rfc3339(time: Time) -> String {
    timestamp(time).map_or_else(|| format!("@{}.{:09}", time.s, time.ns), |t| t.to_string())
}

/// `None` beyond the years -9999 to 9999.
pub fn timestamp(time: Time) -> Option<Timestamp> {
    // A time before 1970 counts its nanoseconds forward from the second below, as `Time` does.
    Timestamp::from_nanosecond(i128::from(time.s) * 1_000_000_000 + i128::from(time.ns)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_their_nanoseconds_and_may_lie_beyond_the_calendar() {
        assert_eq!(rfc3339(Time { s: 1_700_000_000, ns: 0 }), "2023-11-14T22:13:20Z");
        assert_eq!(rfc3339(Time { s: -1, ns: 500_000_000 }), "1969-12-31T23:59:59.5Z");
        assert_eq!(rfc3339(Time { s: i64::MAX, ns: 5 }), format!("@{}.000000005", i64::MAX));
    }
}
