//! Five fields as bit sets, and the search for the next minute that they match. The search skips whole months, days and
//! hours.

use super::bits::{days_on_weekdays, days_up_to};
use super::civil::{self, CYCLE_DAYS, DAY_MINUTES, Date};
use super::days::Days;
use super::dst_policy::DstPolicy;
use std::hash::{Hash, Hasher};

/// All minutes of an hour.
pub(super) const ALL_MINUTES: u64 = (1 << 60) - 1;
/// All hours of a day.
pub(super) const ALL_HOURS: u32 = (1 << 24) - 1;
/// All days of a month: bit 1 to bit 31.
pub(super) const ALL_DAYS: u32 = !1;
/// All months: bit 1 to bit 12.
pub(super) const ALL_MONTHS: u16 = 0x1ffe;
/// A year in which February has 28 days.
const COMMON_YEAR: i32 = 2001;
/// A year in which February has 29 days.
const LEAP_YEAR: i32 = 2000;
/// All days of the week: bit 0 (Sunday) to bit 6.
pub(super) const ALL_WEEKDAYS: u8 = 0x7f;

/// How the two day fields are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum DayRule {
    /// Every day of the year, however the fields are written.
    Every,
    /// Every month, every day of the month, some days of the week.
    Weekly,
    /// Both must match: one of the fields begins with `*`.
    Both,
    /// Either may match: neither field begins with `*`. POSIX requires this and existing crontabs depend on it.
    Either,
}

/// The values of the five fields, one bit for each value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    /// Minutes, bits 0 to 59.
    pub minutes: u64,
    /// Hours, bits 0 to 23.
    pub hours: u32,
    /// Days of the month, bits 1 to 31.
    pub days: u32,
    /// Months, bits 1 to 12.
    pub months: u16,
    /// Days of the week, bits 0 (Sunday) to 6.
    pub weekdays: u8,
    /// How `days` and `weekdays` are combined.
    pub rule: DayRule,
    /// How the entry behaves when the clock jumps.
    pub style: DstPolicy,
}

/// Hashes one block of bytes instead of seven fields, since every timing of a table that is loaded is hashed.
impl Hash for Fields {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let of_day = u128::from(self.minutes) << 24 | u128::from(self.hours);
        let of_year = u64::from(self.days) << 20 | u64::from(self.months) << 7 | u64::from(self.weekdays);
        let of_day = of_day << 3 | (self.rule as u128) << 1 | self.style as u128;
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&of_day.to_ne_bytes());
        bytes[16..].copy_from_slice(&of_year.to_ne_bytes());
        state.write(&bytes);
    }
}

impl Fields {
    /// Combines the fields. `both`: a day field begins with `*`, so both must match. The rule is decided here once, so that
    /// fields which match the same days are equal.
    #[inline]
    pub const fn new(
        minutes: u64,
        hours: u32,
        days: u32,
        months: u16,
        weekdays: u8,
        both: bool,
        style: DstPolicy,
    ) -> Fields {
        let (any_day, any_weekday) = (days == ALL_DAYS, weekdays == ALL_WEEKDAYS);
        let rule = match (both, months == ALL_MONTHS) {
            (true, true) if any_day && any_weekday => DayRule::Every,
            (true, true) if any_day => DayRule::Weekly,
            (true, _) => DayRule::Both,
            (false, true) if any_day || any_weekday => DayRule::Every,
            (false, _) => DayRule::Either,
        };
        Fields { minutes, hours, days, months, weekdays, rule, style }
    }

    /// Whether that local minute matches.
    pub fn matches(&self, at: i64, extra: Option<&Days>) -> bool {
        let of_day = at.rem_euclid(DAY_MINUTES) as u32;
        self.hours >> (of_day / 60) & 1 == 1
            && self.minutes >> (of_day % 60) & 1 == 1
            && self.matches_day(at.div_euclid(DAY_MINUTES) as i32, extra)
    }

    /// Which of minute, hour, day and month do not match that local minute.
    pub fn that_differ(&self, at: i64, extra: Option<&Days>) -> Vec<&'static str> {
        let (day, of_day) = (at.div_euclid(DAY_MINUTES) as i32, at.rem_euclid(DAY_MINUTES) as u32);
        let in_every_month = Fields { months: ALL_MONTHS, ..*self };
        let matches = [
            ("minute", self.minutes >> (of_day % 60) & 1 == 1),
            ("hour", self.hours >> (of_day / 60) & 1 == 1),
            ("day", in_every_month.matches_day(day, extra)),
            ("month", self.months >> Date::of(day).month & 1 == 1),
        ];
        matches.into_iter().filter(|(_, matches)| !matches).map(|(name, _)| name).collect()
    }

    fn matches_day(&self, day: i32, extra: Option<&Days>) -> bool {
        match self.rule {
            DayRule::Every => true,
            DayRule::Weekly if extra.is_none() => self.weekdays >> civil::weekday(day) & 1 == 1,
            DayRule::Weekly | DayRule::Both | DayRule::Either => {
                let date = Date::of(day);
                self.days_in(date.year, date.month, civil::weekday(day + 1 - date.day as i32), extra) >> date.day & 1
                    == 1
            }
        }
    }

    /// Whether the sets alone do not rule out that nothing ever matches. False means that there is a match.
    #[inline]
    pub fn may_never_match(&self) -> bool {
        let some_time = self.minutes != 0 && self.hours != 0 && self.months != 0;
        // Days 1 to 28 exist in every month, and each falls on every day of the week some year.
        let some_day = match self.rule {
            DayRule::Every => true,
            DayRule::Weekly => self.weekdays != 0,
            DayRule::Both => self.days & days_up_to(28) != 0 && self.weekdays != 0,
            DayRule::Either => self.days & days_up_to(28) != 0 || self.weekdays != 0,
        };
        !(some_time && some_day)
    }

    /// Whether day of the month and month name no date of any year (`30 2`), whatever the day of the week.
    pub fn has_no_date(&self, extra: Option<&Days>) -> bool {
        // Days 1 to 28 exist in every month.
        let dates = Fields { minutes: 1, hours: 1, weekdays: ALL_WEEKDAYS, rule: DayRule::Both, ..*self };
        self.days & days_up_to(28) == 0 && dates.next(0, extra).is_none()
    }

    /// Whether some year has a day that matches. In the cycle of 400 years each month begins on each day of the week, February in common and leap years.
    fn has_possible_day(&self, extra: Option<&Days>) -> bool {
        let mut months = (1..=12).flat_map(|month| [(COMMON_YEAR, month), (LEAP_YEAR, month)]);
        months.any(|(year, month)| (0..7).any(|first| self.days_in(year, month, first, extra) != 0))
    }

    /// The first matching local minute after `after` (exclusive). None if there is none in one 400-year cycle.
    #[inline]
    pub fn next(&self, after: i64, extra: Option<&Days>) -> Option<i64> {
        if self.minutes == 0 || self.hours == 0 {
            return None;
        }
        let start = after + 1;
        let day = start.div_euclid(DAY_MINUTES) as i32;
        let of_day = start.rem_euclid(DAY_MINUTES) as u32;
        match self.rule {
            DayRule::Every => Some(self.later_today(day, of_day).unwrap_or_else(|| self.first_on(day + 1))),
            DayRule::Weekly if extra.is_none() => self.next_weekly(day, of_day),
            DayRule::Weekly | DayRule::Both | DayRule::Either => self.next_dated(day, of_day, extra),
        }
    }

    fn next_weekly(&self, day: i32, of_day: u32) -> Option<i64> {
        let weekday = civil::weekday(day);
        // Bit 0 is today, bit 6 is the day before the same day of next week, bit 7 is that day.
        let ahead = (u32::from(self.weekdays) * 0x81) >> weekday & 0x7f;
        if ahead == 0 {
            return None;
        }
        if ahead & 1 == 1
            && let Some(at) = self.later_today(day, of_day)
        {
            return Some(at);
        }
        let tomorrow_on = (ahead | ahead << 7) & !1;
        Some(self.first_on(day + tomorrow_on.trailing_zeros() as i32))
    }

    fn next_dated(&self, day: i32, of_day: u32, extra: Option<&Days>) -> Option<i64> {
        let Date { mut year, mut month, day: of_month } = Date::of(day);
        let mut first = day + 1 - of_month as i32;
        let due = u64::from(self.days_in(year, month, civil::weekday(first), extra));
        if due >> of_month & 1 == 1
            && let Some(at) = self.later_today(day, of_day)
        {
            return Some(at);
        }
        let later = due >> (of_month + 1) << (of_month + 1);
        if later != 0 {
            return Some(self.first_on(first - 1 + later.trailing_zeros() as i32));
        }
        // The whole cycle need not be searched for a date that no year has (`30 2`, `L-30 2`).
        if (extra.is_some() || self.days & days_up_to(28) == 0) && !self.has_possible_day(extra) {
            return None;
        }
        let last = i64::from(day) + CYCLE_DAYS;
        while i64::from(first) <= last {
            (year, month, first) = self.next_month(year, month, first)?;
            let due = self.days_in(year, month, civil::weekday(first), extra);
            if due != 0 {
                return Some(self.first_on(first - 1 + due.trailing_zeros() as i32));
            }
        }
        None
    }

    /// The next month that is in the set: its year, its number and its first day.
    #[inline]
    fn next_month(&self, year: i32, month: u32, first: i32) -> Option<(i32, u32, i32)> {
        let later = u32::from(self.months) >> (month + 1) << (month + 1);
        let (next_year, set) = if later != 0 { (year, later) } else { (year + 1, u32::from(self.months)) };
        if set == 0 {
            return None;
        }
        let next = set.trailing_zeros();
        let is_neighbour = next == month + 1 || next == 1 && month == 12;
        let first = match is_neighbour {
            true => first + civil::month_length(year, month) as i32,
            false => Date { year: next_year, month: next, day: 1 }.day_number(),
        };
        Some((next_year, next, first))
    }

    /// The days of a month that match, bit 1 to bit 31; `first` is the weekday of its first day.
    fn days_in(&self, year: i32, month: u32, first: u32, extra: Option<&Days>) -> u32 {
        if self.months >> month & 1 == 0 {
            return 0;
        }
        let length = civil::month_length(year, month);
        let mut by_date = self.days;
        let mut by_weekday = days_on_weekdays(self.weekdays, first);
        if let Some(extra) = extra {
            by_date |= extra.by_date(first, length);
            by_weekday |= extra.by_weekday(first, length);
        }
        let due = match self.rule {
            DayRule::Either => by_date | by_weekday,
            DayRule::Every | DayRule::Weekly | DayRule::Both => by_date & by_weekday,
        };
        due & days_up_to(length)
    }

    /// The first matching minute on that day, at or after that minute of it.
    #[inline]
    fn later_today(&self, day: i32, of_day: u32) -> Option<i64> {
        let (hour, minute) = (of_day / 60, of_day % 60);
        let base = i64::from(day) * DAY_MINUTES;
        if self.hours >> hour & 1 == 1 {
            let minutes = self.minutes >> minute << minute;
            if minutes != 0 {
                return Some(base + i64::from(hour * 60 + minutes.trailing_zeros()));
            }
        }
        let hours = self.hours >> (hour + 1) << (hour + 1);
        (hours != 0).then(|| base + i64::from(hours.trailing_zeros() * 60 + self.minutes.trailing_zeros()))
    }

    /// The first matching minute of a matching day.
    #[inline]
    fn first_on(&self, day: i32) -> i64 {
        i64::from(day) * DAY_MINUTES + i64::from(self.hours.trailing_zeros() * 60 + self.minutes.trailing_zeros())
    }
}
