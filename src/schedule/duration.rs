//! Durations as text: parsing and writing of numbers with units, for crontabs, settings and options.

use std::ops::Range;

/// A unit: its letter, its seconds, and its name in English.
struct DurationUnit {
    letter: u8,
    seconds: u32,
    name: &'static str,
}

/// The units in the order in which they are written.
static UNITS: [DurationUnit; 4] = [
    DurationUnit { letter: b'd', seconds: DAY, name: "day" },
    DurationUnit { letter: b'h', seconds: HOUR, name: "hour" },
    DurationUnit { letter: b'm', seconds: MINUTE, name: "minute" },
    DurationUnit { letter: b's', seconds: 1, name: "second" },
];

const MINUTE: u32 = 60;
const HOUR: u32 = 60 * MINUTE;
const DAY: u32 = 24 * HOUR;

/// The notations that are accepted for a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationForm {
    /// Numbers with units in falling order, each once: `90s`, `1h30m`.
    Sum,
    /// One number with a unit: `90s`, `2h`.
    OneUnit,
    /// One number with a unit, or a number of seconds: `90s`, `90`.
    OneUnitOrSeconds,
}

/// Why a text is no duration. Positions are offsets into the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DurationFault {
    /// There are no digits at this position.
    NoNumber(usize),
    /// The digits in this range have no unit behind them.
    NoUnit(Range<usize>),
    /// What stands at this position, behind a number, is no unit.
    UnknownUnit(usize),
    /// The unit at this position does not come behind the one before it, or the text should end here.
    MisplacedUnit(usize),
    /// It has more seconds than 64 bits can count.
    TooLong,
}

/// Parses a duration. The result is in seconds.
///
/// # Errors
///
/// What is wrong, and where.
pub fn parse_duration(text: &[u8], form: DurationForm) -> Result<u64, DurationFault> {
    let (mut seconds, mut units, mut at) = (0_u64, UNITS.iter(), 0);
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let end = at + digits;
        if digits == 0 {
            return Err(DurationFault::NoNumber(at));
        }
        let size = match text.get(end) {
            None if form == DurationForm::OneUnitOrSeconds => 1,
            None => return Err(DurationFault::NoUnit(at..end)),
            Some(letter) => match units.find(|unit| unit.letter == *letter) {
                Some(unit) => unit.seconds,
                None if UNITS.iter().any(|unit| unit.letter == *letter) => {
                    return Err(DurationFault::MisplacedUnit(end));
                }
                None => return Err(DurationFault::UnknownUnit(end)),
            },
        };
        let number = rest
            .iter()
            .take(digits)
            .try_fold(0_u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
        let part = number.and_then(|number| number.checked_mul(size.into()));
        seconds = part.and_then(|part| part.checked_add(seconds)).ok_or(DurationFault::TooLong)?;
        at = end + 1;
        if at >= text.len() {
            return Ok(seconds);
        }
        if form != DurationForm::Sum {
            return Err(DurationFault::MisplacedUnit(at));
        }
    }
}

/// The letter of the unit that this byte is in the wrong case: `M` for `m`.
pub fn unit_in_lower_case(byte: u8) -> Option<char> {
    let lower = byte.to_ascii_lowercase();
    UNITS.iter().any(|unit| unit.letter == lower).then(|| char::from(lower))
}

/// A duration as it is written in a crontab: `1h30m`, `0s`.
pub fn duration_text(seconds: u32) -> String {
    let (mut text, mut rest) = (String::new(), seconds);
    for unit in &UNITS {
        if rest >= unit.seconds {
            text.push_str(&format!("{}{}", rest / unit.seconds, char::from(unit.letter)));
            rest %= unit.seconds;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// A duration as one number in the largest unit that has no remainder: `90m`, `2h`.
pub(super) fn in_one_unit(seconds: u32) -> String {
    let (number, unit) = largest_unit(seconds);
    format!("{number}{}", char::from(unit.letter))
}

/// The same in English: `30 seconds`, `5 minutes`, `1 hour`.
pub(super) fn in_words(seconds: u32) -> String {
    let (number, unit) = largest_unit(seconds);
    format!("{number} {}{}", unit.name, if number == 1 { "" } else { "s" })
}

fn largest_unit(seconds: u32) -> (u32, &'static DurationUnit) {
    let [.., smallest] = &UNITS;
    let unit = UNITS.iter().find(|unit| seconds.is_multiple_of(unit.seconds)).unwrap_or(smallest);
    (seconds / unit.seconds, unit)
}

/// A measured duration, rounded to two units at most: `0.3s`, `12s`, `3m20s`, `2h05m`, `3d04h`.
pub fn rounded_duration(seconds: f64) -> String {
    if seconds < 0.1 {
        return "<0.1s".to_owned();
    }
    if seconds < 9.95 {
        return format!("{seconds:.1}s");
    }
    let whole = seconds.round() as u64;
    let sizes = UNITS.each_ref().map(|unit| u64::from(unit.seconds));
    let pairs = UNITS.iter().zip(UNITS.iter().skip(1));
    match pairs.zip(sizes).find(|(_, size)| whole >= *size) {
        Some(((unit, smaller), size)) => format!(
            "{}{}{:02}{}",
            whole / size,
            char::from(unit.letter),
            whole % size / u64::from(smaller.seconds),
            char::from(smaller.letter)
        ),
        None => format!("{whole}s"),
    }
}

/// A distance in time in one unit, rounded down: days, from two days on, else hours, minutes or seconds. `units` are the words for them.
pub fn distance(seconds: u64, units: [&str; 4]) -> String {
    let [days, hours, minutes, only_seconds] = units;
    let [minute, hour, day] = [MINUTE, HOUR, DAY].map(u64::from);
    match seconds {
        _ if seconds < minute => format!("{seconds}{only_seconds}"),
        _ if seconds < hour => format!("{}{minutes}", seconds / minute),
        _ if seconds < 2 * day => format!("{}{hours}", seconds / hour),
        _ => format!("{}{days}", seconds / day),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_numbers_with_falling_units() {
        for (text, seconds) in [("90s", 90), ("1h30m", 5400), ("1d2h3m4s", 93_784), ("0s", 0), ("007s", 7)] {
            assert_eq!(parse_duration(text.as_bytes(), DurationForm::Sum), Ok(seconds), "{text}");
        }
        for (text, fault) in [
            ("", DurationFault::NoNumber(0)),
            ("h", DurationFault::NoNumber(0)),
            ("-5m", DurationFault::NoNumber(0)),
            ("1hm", DurationFault::NoNumber(2)),
            ("90", DurationFault::NoUnit(0..2)),
            ("1h30", DurationFault::NoUnit(2..4)),
            ("30m1h", DurationFault::MisplacedUnit(4)),
            ("1m1m", DurationFault::MisplacedUnit(3)),
            ("2w", DurationFault::UnknownUnit(1)),
            ("1h5\u{e9}", DurationFault::UnknownUnit(3)),
            ("99999999999999999999s", DurationFault::TooLong),
            ("18446744073709551615s1s", DurationFault::MisplacedUnit(22)),
        ] {
            assert_eq!(parse_duration(text.as_bytes(), DurationForm::Sum), Err(fault), "{text}");
        }
    }

    #[test]
    fn some_durations_have_one_unit_or_none() {
        for (text, one_unit, or_seconds) in
            [("90", None, Some(90)), ("90s", Some(90), Some(90)), ("2d", Some(172_800), Some(172_800))]
        {
            assert_eq!(parse_duration(text.as_bytes(), DurationForm::OneUnit).ok(), one_unit, "{text}");
            assert_eq!(parse_duration(text.as_bytes(), DurationForm::OneUnitOrSeconds).ok(), or_seconds, "{text}");
        }
        for text in ["", "s", "1h30m", "1h30", "5y", "+5s", "5 s", "1e3s", "2\u{e9}"] {
            for form in [DurationForm::OneUnit, DurationForm::OneUnitOrSeconds] {
                assert!(parse_duration(text.as_bytes(), form).is_err(), "{text}");
            }
        }
    }

    #[test]
    fn a_duration_is_written_exactly_or_in_one_unit_or_rounded() {
        assert_eq!([0, 90, 3600, 93_784].map(duration_text), ["0s", "1m30s", "1h", "1d2h3m4s"]);
        assert_eq!([90, 5400, 3600, 172_800].map(in_one_unit), ["90s", "90m", "1h", "2d"]);
        assert_eq!([30, 60, 5400, 86_400].map(in_words), ["30 seconds", "1 minute", "90 minutes", "1 day"]);
        for (seconds, text) in [
            (0.0, "<0.1s"),
            (0.099, "<0.1s"),
            (0.1, "0.1s"),
            (0.26, "0.3s"),
            (9.94, "9.9s"),
            (9.96, "10s"),
            (59.6, "1m00s"),
            (200.0, "3m20s"),
            (7_500.0, "2h05m"),
            (273_600.0, "3d04h"),
        ] {
            assert_eq!(rounded_duration(seconds), text);
        }
        let short = |seconds| distance(seconds, ["d", "h", "m", "s"]);
        assert_eq!([59, 3_599, 172_799, 172_800].map(short), ["59s", "59m", "47h", "2d"]);
    }
}
