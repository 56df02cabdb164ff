//! Durations in values of job settings: `90s`, `30m`, `2h`, `1d`, `1h30m`.

use super::diagnostic::LineProblem;
use super::excerpt::{found, found_value};
use crate::schedule::{DurationFault, DurationForm, duration_text, parse_duration, unit_in_lower_case};

/// The longest duration: 100 years. Sums with a time of day or of a run then fit into every integer that is used for them.
pub(super) const LONGEST: u32 = 36_525 * 86_400;

const EXPECTED: &str = "a duration such as 90s, 30m, 2h or 1h30m";

/// Reads a duration of at least `least` seconds. The problem's span is an offset into `text`.
pub(super) fn read(text: &[u8], least: u32) -> Result<u32, LineProblem> {
    let no_duration = || LineProblem::new(0..text.len(), format!("expected {EXPECTED}, found {}", found_value(text)));
    let beyond = |bound: &str, seconds: u32| {
        let limit = duration_text(seconds);
        let message = format!("expected a duration of at {bound} {limit}, found {}", found_value(text));
        LineProblem::new(0..text.len(), message)
    };
    let seconds = match parse_duration(text, DurationForm::Sum) {
        Ok(seconds) => u32::try_from(seconds).ok().filter(|seconds| *seconds <= LONGEST),
        Err(DurationFault::TooLong) => None,
        Err(DurationFault::NoNumber(_)) => return Err(no_duration()),
        Err(DurationFault::NoUnit(digits)) if digits.start == 0 => {
            return Err(no_duration().help(with_a_unit(&text[digits])));
        }
        Err(DurationFault::NoUnit(_)) => return Err(no_duration()),
        Err(DurationFault::MisplacedUnit(at)) => {
            let message = format!("expected units in the order d, h, m, s, each once, found {}", found(&text[at..=at]));
            return Err(LineProblem::new(at..at + 1, message).help("write 1h30m, not 30m1h"));
        }
        Err(DurationFault::UnknownUnit(at)) => return Err(unknown_unit(text, at)),
    };
    match seconds {
        None => Err(beyond("most", LONGEST)),
        Some(seconds) if seconds < least => Err(beyond("least", least)),
        Some(seconds) => Ok(seconds),
    }
}

/// Parses a duration on a command line, in seconds.
///
/// # Errors
///
/// What was expected and what was found.
pub fn parse(text: &str) -> Result<u32, String> {
    read(text.as_bytes(), 0).map_err(|problem| problem.message)
}

/// About a byte that should be a unit and is none.
fn unknown_unit(text: &[u8], at: usize) -> LineProblem {
    let word = text[at..].iter().take_while(|byte| !byte.is_ascii_digit()).count();
    let problem = LineProblem::new(
        at..at + word,
        format!("expected one of the units d, h, m and s after a number, found {}", found(&text[at..at + word])),
    );
    match text[at] {
        b' ' | b'\t' => problem.help("write a duration without blanks: 1h30m"),
        b'w' | b'W' => problem.help("write weeks as days: 7d"),
        b'.' | b',' => problem.help("write whole numbers: 1h30m, not 1.5h"),
        letter => match unit_in_lower_case(letter) {
            Some(unit) => problem.help(format!("write the letter {unit}")),
            None => problem,
        },
    }
}

fn with_a_unit(number: &[u8]) -> String {
    let number = found(number);
    format!("a duration needs a unit: {number}s for seconds, {number}m for minutes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_numbers_with_falling_units() {
        for (text, seconds) in [
            ("90s", 90),
            ("30m", 1800),
            ("2h", 7200),
            ("1d", 86_400),
            ("1h30m", 5400),
            ("1d2h3m4s", 93_784),
            ("1d4s", 86_404),
            ("0s", 0),
            ("007s", 7),
            ("100h", 360_000),
            ("36525d", LONGEST),
            ("3155760000s", LONGEST),
        ] {
            assert_eq!(read(text.as_bytes(), 0).ok(), Some(seconds), "{text}");
        }
    }

    #[test]
    fn a_faulty_duration_is_told_with_its_place() {
        for (text, span, message) in [
            ("", 0..0, "expected a duration such as 90s, 30m, 2h or 1h30m, found nothing"),
            ("90", 0..2, "expected a duration such as 90s, 30m, 2h or 1h30m, found 90"),
            ("1h30", 0..4, "expected a duration such as 90s, 30m, 2h or 1h30m, found 1h30"),
            ("h", 0..1, "expected a duration such as 90s, 30m, 2h or 1h30m, found h"),
            ("-5m", 0..3, "expected a duration such as 90s, 30m, 2h or 1h30m, found -5m"),
            ("soon", 0..4, "expected a duration such as 90s, 30m, 2h or 1h30m, found soon"),
            ("30m1h", 4..5, "expected units in the order d, h, m, s, each once, found h"),
            ("1m1m", 3..4, "expected units in the order d, h, m, s, each once, found m"),
            ("2w", 1..2, "expected one of the units d, h, m and s after a number, found w"),
            ("5min", 0..4, "expected a duration such as 90s, 30m, 2h or 1h30m, found 5min"),
            ("5M", 1..2, "expected one of the units d, h, m and s after a number, found M"),
            ("1.5h", 1..2, "expected one of the units d, h, m and s after a number, found ."),
            ("1h 30m", 0..6, "expected a duration such as 90s, 30m, 2h or 1h30m, found 1h 30m"),
            ("36526d", 0..6, "expected a duration of at most 36525d, found 36526d"),
            ("36525d1s", 0..8, "expected a duration of at most 36525d, found 36525d1s"),
            ("99999999999999999999s", 0..21, "expected a duration of at most 36525d, found 99999999999999999999s"),
        ] {
            let problem = read(text.as_bytes(), 0).unwrap_err();
            assert_eq!((problem.span, problem.message.as_str()), (span, message), "{text}");
        }
        let problem = read(b"0s", 1).unwrap_err();
        assert_eq!(problem.message, "expected a duration of at least 1s, found 0s");
        assert!(read(b"30", 0).unwrap_err().help.unwrap().contains("30m for minutes"));
        assert!(read(b"2w", 0).unwrap_err().help.unwrap().contains("7d"));
    }

    #[test]
    fn a_duration_is_shown_as_it_is_written() {
        for text in ["0s", "90s", "1h30m", "1d2h3m4s", "36525d"] {
            let seconds = read(text.as_bytes(), 0).unwrap();
            assert_eq!(read(duration_text(seconds).as_bytes(), 0).ok(), Some(seconds), "{text}");
        }
    }
}
