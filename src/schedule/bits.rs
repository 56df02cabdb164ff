//! Sets of days as bits.

/// The numbers of the bits that are set.
pub(super) fn bits(set: u32) -> impl Iterator<Item = u32> {
    (0..32).filter(move |bit| set >> bit & 1 == 1)
}

/// The days from 1 to `length` as bits.
pub(super) fn days_up_to(length: u32) -> u32 {
    ((2u64 << length) - 2) as u32
}

/// The days of a month (bit 1 and up) that fall on these days of the week. `first` is the weekday of the month's first day.
pub(super) fn days_on_weekdays(weekdays: u8, first: u32) -> u32 {
    let week = (u64::from(weekdays) * 0x81) >> first & 0x7f;
    ((week * 0x1020_4081) << 1) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_weekdays_is_repeated_in_every_week_of_the_month() {
        // November 2026 begins on a Sunday.
        assert_eq!(days_on_weekdays(0b000_0001, 0), 1 << 1 | 1 << 8 | 1 << 15 | 1 << 22 | 1 << 29);
        // May 2026 begins on a Friday: Saturdays are 2, 9, 16, 23, 30.
        assert_eq!(days_on_weekdays(0b100_0000, 5), 1 << 2 | 1 << 9 | 1 << 16 | 1 << 23 | 1 << 30);
        assert_eq!(days_on_weekdays(0x7f, 3), !1, "every day of the week is every day of the month");
    }
}
