//! A local date, for jobs whose period is counted in days.

use super::civil::{DAY_MINUTES, Date, is_leap, month_length};
use super::time::{LocalMinute, Timestamp};
use super::zone::Zone;

/// A local date, as days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i32);

impl Day {
    /// The local date in `zone` at `moment`.
    pub fn at(moment: Timestamp, zone: &Zone) -> Day {
        let LocalMinute(minute) = zone.local_minute(moment);
        Day(i32::try_from(minute.div_euclid(DAY_MINUTES)).unwrap_or(i32::MAX))
    }

    /// Parses `YYYY-MM-DD`. None if there is no such date.
    pub fn parse_iso(text: &[u8]) -> Option<Day> {
        match text {
            [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] => Day::parse(&[*y1, *y2, *y3, *y4, *m1, *m2, *d1, *d2]),
            _ => None,
        }
    }

    /// Parses `YYYYMMDD`. None if there is no such date.
    pub fn parse(text: &[u8]) -> Option<Day> {
        let digits: &[u8; 8] = text.first_chunk().filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
        let number = |part: &[u8]| part.iter().fold(0u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
        let (year, month, day) = (number(&digits[..4]), number(&digits[4..6]), number(&digits[6..]));
        let year = i32::try_from(year).ok()?;
        let exists = (1..=12).contains(&month) && (1..=month_length(year, month)).contains(&day);
        exists.then(|| Day(Date { year, month, day }.day_number()))
    }

    /// Days from `earlier` to this day; negative if `earlier` is the later one.
    pub fn since(self, earlier: Day) -> i64 {
        i64::from(self.0) - i64::from(earlier.0)
    }

    /// The time at which the next local day begins in `zone`.
    pub fn end(self, zone: &Zone) -> Timestamp {
        let midnight = (i64::from(self.0) + 1) * DAY_MINUTES * 60;
        let near = Timestamp(midnight - i64::from(zone.offset_at(Timestamp(midnight))));
        Timestamp(midnight - i64::from(zone.offset_at(near)))
    }

    /// The number of days of its month.
    pub fn month_length(self) -> u32 {
        let Date { year, month, .. } = Date::of(self.0);
        month_length(year, month)
    }

    /// The number of days of the previous month.
    pub fn last_month_length(self) -> u32 {
        let Date { year, month, .. } = Date::of(self.0);
        if month == 1 { month_length(year - 1, 12) } else { month_length(year, month - 1) }
    }

    /// The number of days of its year.
    pub fn year_length(self) -> u32 {
        365 + u32::from(is_leap(Date::of(self.0).year))
    }

    /// The number of days of the previous year.
    pub fn last_year_length(self) -> u32 {
        365 + u32::from(is_leap(Date::of(self.0).year - 1))
    }
}

/// Formats the day as `YYYYMMDD`, as anacron's time stamps have it.
impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Date { year, month, day } = Date::of(self.0);
        write!(f, "{year:04}{month:02}{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_read_and_written_as_eight_digits() {
        for text in ["19700101", "20240229", "20261122", "99991231"] {
            assert_eq!(Day::parse(text.as_bytes()).map(|day| day.to_string()).as_deref(), Some(text));
        }
        assert_eq!(Day::parse(b"20261122\n"), Day::parse(b"20261122"));
        for text in ["", "2026112", "20260229", "20261301", "20260100", "2026-1-1", "yesterday"] {
            assert_eq!(Day::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_date_with_hyphens_is_read_as_a_whole() {
        assert_eq!(Day::parse_iso(b"2026-12-24"), Day::parse(b"20261224"));
        for text in ["", "2026-12-2", "2026-12-240", "20261224", "2026-02-29", "2026-13-01", "2026.12.24", "2026-1a-01"]
        {
            assert_eq!(Day::parse_iso(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_day_is_the_one_that_the_zones_clocks_show() {
        let berlin = Zone::embedded("Europe/Berlin").unwrap();
        for (moment, day, end) in [
            ("2026-11-22T22:59:59Z", "20261122", "2026-11-22T23:00:00Z"),
            ("2026-11-22T23:00:00Z", "20261123", "2026-11-23T23:00:00Z"),
            ("2026-03-29T12:00:00Z", "20260329", "2026-03-29T22:00:00Z"),
            ("2026-10-25T12:00:00Z", "20261025", "2026-10-25T23:00:00Z"),
        ] {
            let shown = Day::at(Timestamp::parse_rfc3339(moment).unwrap(), &berlin);
            assert_eq!((shown.to_string().as_str(), shown.end(&berlin).to_string().as_str()), (day, end), "{moment}");
        }
        // On that day the hour before midnight comes twice.
        let santiago = Zone::embedded("America/Santiago").unwrap();
        let day = Day::at(Timestamp::parse_rfc3339("2026-04-05T03:30:00Z").unwrap(), &santiago);
        assert_eq!(
            (day.to_string().as_str(), day.end(&santiago).to_string().as_str()),
            ("20260404", "2026-04-05T04:00:00Z")
        );
    }

    #[test]
    fn months_and_years_have_their_lengths() {
        for (day, month, last_month, year, last_year) in
            [("20240301", 31, 29, 366, 365), ("20250131", 31, 31, 365, 366), ("20260228", 28, 31, 365, 365)]
        {
            let day = Day::parse(day.as_bytes()).unwrap();
            let found = (day.month_length(), day.last_month_length(), day.year_length(), day.last_year_length());
            assert_eq!(found, (month, last_month, year, last_year), "{day}");
        }
    }
}
