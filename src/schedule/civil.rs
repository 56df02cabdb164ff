//! The proleptic Gregorian calendar, as arithmetic on days since 1970-01-01.
//!
//! The conversions are the well-known "days from civil" pair: years begin in March, so that the leap day comes last,
//! and eras of 400 years (146,097 days, a whole number of weeks) repeat exactly.

/// Days in the 400 years after which the calendar repeats, weekdays included.
pub(super) const CYCLE_DAYS: i64 = 146_097;

/// Minutes in a day.
pub(super) const DAY_MINUTES: i64 = 1440;

/// A calendar date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Date {
    /// The year; 0 is 1 BC.
    pub year: i32,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
}

impl Date {
    /// The date of a day, counted from 1970-01-01.
    pub fn of(day: i32) -> Date {
        let shifted = day + 719_468;
        let era = shifted.div_euclid(CYCLE_DAYS as i32);
        let of_era = shifted.rem_euclid(CYCLE_DAYS as i32) as u32;
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year_of_era as i32 + era * 400 + i32::from(month <= 2);
        Date { year, month, day }
    }

    /// The day of a date, counted from 1970-01-01.
    pub fn day_number(self) -> i32 {
        let year = self.year - i32::from(self.month <= 2);
        let era = year.div_euclid(400);
        let of_era = year.rem_euclid(400) as u32;
        let from_march = if self.month > 2 { self.month - 3 } else { self.month + 9 };
        let of_year = (153 * from_march + 2) / 5 + self.day - 1;
        let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
        era * CYCLE_DAYS as i32 + day_of_era as i32 - 719_468
    }
}

/// Whether the year has a 29 February.
pub(super) fn is_leap(year: i32) -> bool {
    year & 3 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// The number of days in a month.
pub(super) fn month_length(year: i32, month: u32) -> u32 {
    if month == 2 { 28 + u32::from(is_leap(year)) } else { 30 | (month ^ (month >> 3)) & 1 }
}

/// The day of the week of a day counted from 1970-01-01: 0 is Sunday.
pub(super) fn weekday(day: i32) -> u32 {
    (day + 4).rem_euclid(7) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Datelike, NaiveDate};

    #[test]
    fn dates_agree_with_chrono_over_a_thousand_years() {
        for day in -200_000..200_000 {
            let theirs = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap() + chrono::TimeDelta::days(i64::from(day));
            let ours = Date::of(day);
            assert_eq!((ours.year, ours.month, ours.day), (theirs.year(), theirs.month(), theirs.day()));
            assert_eq!(ours.day_number(), day);
            assert_eq!(weekday(day), theirs.weekday().num_days_from_sunday());
            assert_eq!(month_length(ours.year, ours.month), u32::from(theirs.num_days_in_month()));
        }
    }
}
