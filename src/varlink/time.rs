//! The form of times in messages.

use crate::schedule::Timestamp;
use chrono::SecondsFormat;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A moment as microseconds since 1970 in UTC; in messages it is RFC 3339: `2026-11-27T10:15:00.000000Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

impl Time {
    /// The moment that is so many milliseconds after 1970 began.
    pub fn of_ms(ms: i64) -> Time {
        Time(ms.saturating_mul(1_000))
    }

    /// The whole second in which it is.
    pub fn timestamp(self) -> Timestamp {
        Timestamp(self.0.div_euclid(1_000_000))
    }

    /// Parses RFC 3339 with any offset. None: the text is not a time of that form.
    pub fn parse(text: &str) -> Option<Time> {
        chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| Time(time.timestamp_micros()))
    }
}

impl From<Timestamp> for Time {
    fn from(moment: Timestamp) -> Time {
        Time(moment.0.saturating_mul(1_000_000))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match chrono::DateTime::from_timestamp_micros(self.0) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true)),
            None => write!(f, "@{}", self.timestamp().0),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
        let text = String::deserialize(from)?;
        Time::parse(&text)
            .ok_or_else(|| D::Error::custom(format!("expected a time like 2026-11-27T10:15:00Z, found {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_with_microseconds_and_read_with_any_offset() {
        let time = Time(1_795_774_500_000_250);
        assert_eq!(serde_json::to_string(&time).unwrap(), "\"2026-11-27T10:15:00.000250Z\"");
        assert_eq!(Time::parse("2026-11-27T11:15:00.00025+01:00"), Some(time));
        assert_eq!(Time::from(time.timestamp()), Time(1_795_774_500_000_000));
        assert!(serde_json::from_str::<Time>("\"tomorrow\"").is_err());
        assert_eq!(Time(i64::MAX).to_string(), "@9223372036854");
        // As chrono writes a year of more digits, and one before year 0.
        assert_eq!(Time::from(Timestamp(253_402_300_800)).to_string(), "+10000-01-01T00:00:00.000000Z");
        assert_eq!(Time::from(Timestamp(-62_167_219_201)).to_string(), "-0001-12-31T23:59:59.000000Z");
    }

    #[test]
    fn a_time_is_rounded_down_and_one_that_is_too_far_away_is_the_last() {
        assert_eq!([-1_000_001, -1, 0, 999_999].map(|us| Time(us).timestamp().0), [-2, -1, 0, 0]);
        assert_eq!([i64::MIN, i64::MAX].map(Time::of_ms), [Time(i64::MIN), Time(i64::MAX)]);
        assert_eq!([i64::MIN, i64::MAX].map(|second| Time::from(Timestamp(second))), [Time(i64::MIN), Time(i64::MAX)]);
    }
}
