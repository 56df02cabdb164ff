//! Durations in values of job settings: `90s`, `30m`, `2h`, `1d`, `1h30m`.

use super::diagnostic::Complaint;
use super::excerpt::found;

/// The units in the order in which they are written, with their seconds.
const UNITS: [(u8, u32); 4] = [(b'd', 86_400), (b'h', 3_600), (b'm', 60), (b's', 1)];

/// The longest duration: 100 years. Sums with a time of day or of a run then fit into every integer that is used for them.
pub(super) const LONGEST: u32 = 36_525 * 86_400;

const EXPECTED: &str = "a duration such as 90s, 30m, 2h or 1h30m";

/// Reads a duration of at least `least` seconds. The complaint's span is an offset into `text`.
pub(super) fn read(text: &[u8], least: u32) -> Result<u32, Complaint> {
    let mut seconds = 0u32;
    let mut units = UNITS.iter();
    let mut at = 0;
    while at < text.len() || at == 0 {
        let digits = text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let end = at + digits;
        let Some(&unit) = text.get(end).filter(|_| digits > 0) else {
            let fault = Complaint::new(0..text.len(), format!("expected {EXPECTED}, found {}", found_value(text)));
            let is_number = digits > 0 && at == 0;
            return Err(if is_number { fault.help(with_a_unit(&text[..end])) } else { fault });
        };
        let Some(&(_, size)) = units.find(|(letter, _)| *letter == unit) else {
            return Err(unit_complaint(text, end));
        };
        let number =
            text[at..end].iter().try_fold(0u32, |sum, digit| sum.checked_mul(10)?.checked_add(u32::from(digit - b'0')));
        let sum = number.and_then(|number| number.checked_mul(size)).and_then(|part| part.checked_add(seconds));
        seconds = sum.filter(|sum| *sum <= LONGEST).ok_or_else(|| {
            let message = format!("expected a duration of at most {}, found {}", written(LONGEST), found_value(text));
            Complaint::new(0..text.len(), message)
        })?;
        at = end + 1;
    }
    if seconds < least {
        let message = format!("expected a duration of at least {}, found {}", written(least), found_value(text));
        return Err(Complaint::new(0..text.len(), message));
    }
    Ok(seconds)
}

/// About a byte that should be a unit and is none, or that is one in the wrong place.
fn unit_complaint(text: &[u8], at: usize) -> Complaint {
    let letter = text[at];
    if UNITS.iter().any(|(unit, _)| *unit == letter) {
        let message = format!("expected units in the order d, h, m, s, each once, found {}", found(&text[at..=at]));
        return Complaint::new(at..at + 1, message).help("write 1h30m, not 30m1h");
    }
    let word = text[at..].iter().take_while(|byte| !byte.is_ascii_digit()).count();
    let complaint = Complaint::new(
        at..at + word,
        format!("expected one of the units d, h, m and s after a number, found {}", found(&text[at..at + word])),
    );
    match letter.to_ascii_lowercase() {
        b' ' | b'\t' => complaint.help("write a duration without blanks: 1h30m"),
        b'w' => complaint.help("write weeks as days: 7d"),
        b'.' | b',' => complaint.help("write whole numbers: 1h30m, not 1.5h"),
        lower if UNITS.iter().any(|(unit, _)| *unit == lower) => {
            complaint.help(format!("write the letter {}", char::from(lower)))
        }
        _ => complaint,
    }
}

fn with_a_unit(number: &[u8]) -> String {
    let number = found(number);
    format!("a duration needs a unit: {number}s for seconds, {number}m for minutes")
}

/// A value for a message. It may be a part of a line, so that its end is not the line's.
fn found_value(text: &[u8]) -> String {
    if text.is_empty() { "nothing".to_owned() } else { found(text) }
}

/// A duration as it is written in a crontab.
pub(crate) fn written(seconds: u32) -> String {
    let mut text = String::new();
    let mut rest = seconds;
    for (unit, size) in UNITS {
        if rest >= size {
            text.push_str(&format!("{}{}", rest / size, char::from(unit)));
            rest %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
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
            let complaint = read(text.as_bytes(), 0).unwrap_err();
            assert_eq!((complaint.span, complaint.message.as_str()), (span, message), "{text}");
        }
        let complaint = read(b"0s", 1).unwrap_err();
        assert_eq!(complaint.message, "expected a duration of at least 1s, found 0s");
        assert!(read(b"30", 0).unwrap_err().help.unwrap().contains("30m for minutes"));
        assert!(read(b"2w", 0).unwrap_err().help.unwrap().contains("7d"));
    }

    #[test]
    fn a_duration_is_shown_as_it_is_written() {
        for text in ["0s", "90s", "1h30m", "1d2h3m4s", "36525d"] {
            let seconds = read(text.as_bytes(), 0).unwrap();
            assert_eq!(read(written(seconds).as_bytes(), 0).ok(), Some(seconds), "{text}");
        }
        assert_eq!((written(90), written(3600)), ("1m30s".to_owned(), "1h".to_owned()));
    }
}
