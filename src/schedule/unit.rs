//! The five fields: bounds, names of values, and their names in messages.

/// One field of a schedule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// Position among the five fields, counted from 0.
    pub index: usize,
    /// Its name in messages: `minute`.
    pub name: &'static str,
    /// The message of both reference implementations for an invalid value: `bad minute`.
    pub reference_message: &'static str,
    /// A valid value in words: `a minute from 0 to 59`.
    pub expectation: &'static str,
    /// The lowest value that is valid.
    pub min: u32,
    /// The highest value that is valid.
    pub max: u32,
    /// Names of the values from `min` on: three letters, in upper or lower case.
    pub names: &'static [&'static str],
}

pub(super) const MINUTE: Unit = Unit {
    index: 0,
    name: "minute",
    reference_message: "bad minute",
    expectation: "a minute from 0 to 59",
    min: 0,
    max: 59,
    names: &[],
};

pub(super) const HOUR: Unit = Unit {
    index: 1,
    name: "hour",
    reference_message: "bad hour",
    expectation: "an hour from 0 to 23",
    min: 0,
    max: 23,
    names: &[],
};

pub(super) const DAY: Unit = Unit {
    index: 2,
    name: "day of the month",
    reference_message: "bad day-of-month",
    expectation: "a day of the month from 1 to 31",
    min: 1,
    max: 31,
    names: &[],
};

pub(super) const MONTH: Unit = Unit {
    index: 3,
    name: "month",
    reference_message: "bad month",
    expectation: "a month from 1 to 12 or jan to dec",
    min: 1,
    max: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};

pub(super) const WEEKDAY: Unit = Unit {
    index: 4,
    name: "day of the week",
    reference_message: "bad day-of-week",
    expectation: "a day of the week from 0 to 7 or sun to sat",
    min: 0,
    max: 7,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

impl Unit {
    /// The value of a name.
    pub fn value_of(&self, word: &[u8]) -> Option<u32> {
        let index = self.names.iter().position(|name| word.eq_ignore_ascii_case(name.as_bytes()))?;
        Some(self.min + index as u32)
    }

    /// The bit of a value; none if it is out of bounds.
    #[inline]
    pub fn bit(&self, value: u8) -> u64 {
        let value = u32::from(value);
        if value >= self.min && value <= self.max { 1 << value } else { 0 }
    }

    /// Whether it is the day of the month.
    pub fn is_day(&self) -> bool {
        self.index == DAY.index
    }

    /// Whether it is the day of the week, in which 7 is Sunday again.
    pub fn is_weekday(&self) -> bool {
        self.index == WEEKDAY.index
    }
}
