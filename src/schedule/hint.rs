//! Suggestions for common mistakes in schedules: the help line of a diagnostic.

use super::duration::{DurationForm, in_one_unit, parse_duration};
use super::nickname;
use super::unit::{DAY, HOUR, MINUTE, MONTH, Unit, WEEKDAY};

/// Suggestion for a schedule with too few or too many fields.
pub(super) const FIVE_FIELDS: &str =
    "a schedule has five fields: minute, hour, day of the month, month, day of the week";

const SECONDS: &str = "a schedule has no field for seconds in front; @quartz and seven fields have one";

/// Suggests what `word`, which is not a value of `unit`, may have been meant as. `text` is the whole schedule, to count its
/// fields.
pub(super) fn for_value(unit: &Unit, word: &[u8], text: &[u8]) -> Option<String> {
    if word == b"?" {
        return Some("write * for any value".to_owned());
    }
    if word.eq_ignore_ascii_case(b"h") {
        return Some("write ~ for a random value that stays the same for this entry".to_owned());
    }
    if looks_like_six_fields(text) {
        return Some(SECONDS.to_owned());
    }
    let number = std::str::from_utf8(word).ok().and_then(|word| word.parse::<u32>().ok());
    match (unit.index, number) {
        (index, Some(60)) if index == MINUTE.index => Some("use minute 0 for the top of the hour".to_owned()),
        (index, Some(24)) if index == HOUR.index => Some("midnight is hour 0".to_owned()),
        (index, Some(0)) if index == DAY.index => Some("the first day of a month is 1; the last is L".to_owned()),
        (index, Some(0)) if index == MONTH.index => Some("January is month 1".to_owned()),
        (index, Some(_)) if index == WEEKDAY.index => Some("Sunday is 0 or 7, Saturday is 6".to_owned()),
        (_, Some(_)) => None,
        (index, None) if index == WEEKDAY.index && word.eq_ignore_ascii_case(b"l") => {
            Some("write friL for the last Friday of the month".to_owned())
        }
        (_, None) => short_name(unit, word),
    }
}

/// A name that is not abbreviated to three letters: `sunday`, `sept`.
fn short_name(unit: &Unit, word: &[u8]) -> Option<String> {
    if let Some(value) = word.get(..3).filter(|_| word.len() > 3).and_then(|head| unit.value_of(head)) {
        let name = unit.names.get((value - unit.min) as usize)?;
        return Some(format!("write {name}"));
    }
    let other = [&MONTH, &WEEKDAY].into_iter().find(|other| *other != unit && other.value_of(word).is_some())?;
    Some(format!("the {} is field {}; {FIVE_FIELDS}", other.name, other.index + 1))
}

/// Suggestion for a single value with a step, `5/15`.
pub(super) fn for_lone_step(unit: &Unit, value: u32, step: &[u8]) -> String {
    // The parser accepts 6 or 7 as the last day of the week; with 6, Sunday does not count twice.
    let last = if unit.is_weekday() { 6.max(value) } else { unit.max };
    match step.iter().all(|byte| *byte == b'0') {
        true => format!("write {value}-{last}/N for every N-th from {value} on, N being 1 or more"),
        false => format!("write {value}-{last}/{}", String::from_utf8_lossy(step)),
    }
}

/// Suggestion for an unknown nickname, after which `rest` follows.
pub(super) fn for_nickname(word: &[u8], rest: &[u8]) -> Option<String> {
    if word.eq_ignore_ascii_case(b"every") {
        return Some(match interval(rest.split(|byte| byte.is_ascii_whitespace()).next()?) {
            Some(interval) => format!("write {interval}, which counts from the end of the previous run"),
            None => "write the interval alone: @30s, @5m, @2h or @1d".to_owned(),
        });
    }
    let meant = nickname::likely(word)?;
    let why =
        if meant.as_bytes().eq_ignore_ascii_case(word) { "nicknames are written in lower case: " } else { "write " };
    Some(format!("{why}@{meant}"))
}

/// The interval of a duration as `@every` of other schedulers takes it: `@90m` for `1h30m`.
fn interval(text: &[u8]) -> Option<String> {
    let seconds = parse_duration(text, DurationForm::Sum).ok().and_then(|seconds| u32::try_from(seconds).ok())?;
    (seconds > 0).then(|| format!("@{}", in_one_unit(seconds)))
}

/// Suggestion for a range whose end is before its beginning.
pub(super) fn for_reversed(unit: &Unit, low: u32, high: u32) -> String {
    let first = |from: u32, to: u32| if from == to { from.to_string() } else { format!("{from}-{to}") };
    let last = if unit.is_weekday() { 6.max(low) } else { unit.max };
    format!("write {},{} to go past the end", first(low, last), first(unit.min, high))
}

/// Suggestion for text after a schedule where none may follow.
pub(super) fn for_rest(text: &[u8]) -> &'static str {
    if looks_like_six_fields(text) { SECONDS } else { FIVE_FIELDS }
}

/// Whether the text has a field more than a schedule.
pub(super) fn looks_like_six_fields(text: &[u8]) -> bool {
    let looks_like_field = |word: &&[u8]| {
        word.iter().any(|byte| byte.is_ascii_digit() || matches!(byte, b'*' | b'?'))
            && word.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'*' | b'?' | b',' | b'-' | b'/'))
    };
    let words = text.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    // Only the last field commonly has names.
    let fields = words.take_while(|word| looks_like_field(word) || WEEKDAY.value_of(word).is_some());
    fields.count() >= 6
}
