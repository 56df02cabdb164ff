//! Days that depend on the shape of the month: `L`, `L-3`, `15W`, `LW`, `friL`, `fri#2`.

use super::bits::{bits, days_on_weekdays, days_up_to};

/// The days of this kind that one schedule asks for, in addition to its plain days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Days {
    /// Bit n: the n-th day before the last day of the month; bit 0 is `L` itself.
    pub from_end: u32,
    /// Bit n: the weekday (Monday to Friday) nearest to day n, within the month.
    pub nearest: u32,
    /// `LW`: the last Monday to Friday of the month.
    pub last_weekday: bool,
    /// `nL`: days of the week, the last one of the month each.
    pub last: u8,
    /// `n#k`: days of the week, the k-th one of the month each; index k - 1.
    pub nth: [u8; 5],
}

impl Days {
    /// Whether the day-of-month field asks for something.
    pub fn has_dates(&self) -> bool {
        self.from_end != 0 || self.nearest != 0 || self.last_weekday
    }

    /// Whether the day-of-week field asks for something.
    pub fn has_weekdays(&self) -> bool {
        self.last != 0 || self.nth != [0; 5]
    }

    /// The days of a month that the day-of-month field asks for. `first` is the weekday of its first day.
    pub fn by_date(&self, first: u32, length: u32) -> u32 {
        let from_end = bits(self.from_end).filter(|n| *n < length).map(|n| length - n);
        let nearest = bits(self.nearest).filter(|day| *day <= length).map(|day| nearest_weekday(day, first, length));
        let last = self.last_weekday.then(|| nearest_weekday(length, first, length));
        from_end.chain(nearest).chain(last).fold(0, |set, day| set | 1 << day)
    }

    /// The days of a month that the day-of-week field asks for.
    pub fn by_weekday(&self, first: u32, length: u32) -> u32 {
        let last_week = !days_up_to(length - 7);
        let mut due = days_on_weekdays(self.last, first) & last_week;
        for (index, weekdays) in self.nth.iter().enumerate() {
            let week = days_up_to(7) << (7 * index);
            due |= days_on_weekdays(*weekdays, first) & week;
        }
        due & days_up_to(length)
    }
}

/// The Monday to Friday nearest to a day, without leaving the month: a Saturday goes back to Friday, a Sunday on to
/// Monday, except where that would be another month (Quartz's rule).
fn nearest_weekday(day: u32, first: u32, length: u32) -> u32 {
    match (first + day - 1) % 7 {
        6 if day == 1 => 3,
        6 => day - 1,
        0 if day == length => day - 2,
        0 => day + 1,
        _ => day,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_weekday_never_leaves_the_month() {
        // (day, weekday of the first, length) -> day
        for (given, want) in [
            ((1, 6, 31), 3),   // the 1st is a Saturday: Monday the 3rd
            ((1, 0, 31), 2),   // the 1st is a Sunday: Monday the 2nd
            ((15, 6, 31), 14), // the 15th is a Saturday
            ((15, 0, 31), 16), // the 15th is a Sunday
            ((31, 5, 31), 29), // the 31st is a Sunday: Friday the 29th
            ((30, 5, 30), 29), // the 30th is a Saturday
            ((10, 0, 31), 10), // a Tuesday
        ] {
            let (day, first, length) = given;
            assert_eq!(nearest_weekday(day, first, length), want, "{given:?}");
        }
    }
}
