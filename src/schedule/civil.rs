//! The proleptic Gregorian calendar, as arithmetic on days since 1970-01-01.
//!
//! Years begin in March, so that the leap day comes last, and cycles of 400 years (146,097 days, a whole number of
//! weeks) repeat exactly. The divisions are those of C. Neri and L. Schneider, "Euclidean affine functions and their
//! application to calendar algorithms", Software: Practice and Experience 53 (2023).

/// Days in the 400 years after which the calendar repeats, weekdays included.
pub(super) const CYCLE_DAYS: i64 = 146_097;

pub(super) const DAY_MINUTES: i64 = 1440;

/// A date of the proleptic Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Date {
    /// The year; 0 is 1 BC.
    pub year: i32,
    /// The month, from 1 to 12.
    pub month: u32,
    /// The day of the month, from 1 to 31.
    pub day: u32,
}

/// Whole 400-year cycles by which days and years are shifted, so that the arithmetic below is unsigned.
const SHIFT_CYCLES: u32 = 650;
/// From 0000-03-01, shifted, to 1970-01-01.
const SHIFT_DAYS: u32 = 719_468 + CYCLE_DAYS as u32 * SHIFT_CYCLES;
const SHIFT_YEARS: u32 = 400 * SHIFT_CYCLES;

impl Date {
    /// The date of a day, counted from 1970-01-01. Good for 95 million days, 260,000 years, either way.
    #[inline]
    pub fn of(day: i32) -> Date {
        let shifted = 4 * day.wrapping_add_unsigned(SHIFT_DAYS) as u32 + 3;
        let century = shifted / CYCLE_DAYS as u32;
        // Four times the day of the century, then year and day of the year in one multiplication by 2^32 / 1461.
        let of_century = (shifted % CYCLE_DAYS as u32) | 3;
        let product = 2_939_745 * u64::from(of_century);
        let year_of_century = (product >> 32) as u32;
        let of_year = product as u32 / 2_939_745 / 4;
        // Months from March on have 31, 30, 31, 30, 31 days, twice and a half: a line with slope 2141 / 2^16.
        let line = 2141 * of_year + 197_913;
        let after_new_year = of_year >= 306;
        let month = (line >> 16) - if after_new_year { 12 } else { 0 };
        let year = 100 * century + year_of_century + u32::from(after_new_year);
        Date { year: year.wrapping_sub(SHIFT_YEARS) as i32, month, day: (line & 0xffff) / 2141 + 1 }
    }

    /// The day of a date, counted from 1970-01-01.
    #[inline]
    pub fn day_number(self) -> i32 {
        let before_march = self.month <= 2;
        let year = (self.year.wrapping_add_unsigned(SHIFT_YEARS) as u32).wrapping_sub(u32::from(before_march));
        let month = self.month + if before_march { 12 } else { 0 };
        let century = year / 100;
        let days = 1461 * u64::from(year) / 4 - u64::from(century) + u64::from(century / 4);
        let of_year = (979 * month - 2919) / 32;
        (days as u32 + of_year + self.day - 1).wrapping_sub(SHIFT_DAYS) as i32
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
    fn dates_reach_as_far_as_timestamps_do() {
        for day in (-92_600_000..=92_600_000).step_by(9_973) {
            assert_eq!(Date::of(day).day_number(), day);
        }
        assert_eq!(Date::of(92_600_000).year, 255500);
        assert_eq!(Date::of(-92_600_000).year, -251561);
    }

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
