//! Values of options: times, clock steps and ranges.

use crate::crontab;
use crate::schedule::{DurationForm, TimeError, Timestamp, Zone, parse_duration};
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

const DAY: i64 = 86_400;

/// A clock step: at the true time `at`, the clock is moved by `by` seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The true time of the step.
    pub(super) at: TimeArgument,
    /// The change in seconds; positive is forward.
    pub(super) by: i64,
}

/// A range of true time, for example one without the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeRange {
    /// The first second of the range.
    pub(super) from: TimeArgument,
    /// The first second after the range.
    pub(super) until: TimeArgument,
}

/// Why a value is not valid.
#[derive(Debug, thiserror::Error)]
pub(super) enum ValueError {
    /// The text is not a point in time.
    #[error(
        "expected a time like 2026-12-01T14:00:00Z, '2026-12-01 14:00', 14:00, today, +2h or -30m, found {found:?}"
    )]
    Moment {
        /// The text that was given.
        found: String,
    },
    /// The text is not a number of things.
    #[error("expected a whole number, found {found:?}")]
    Number {
        /// The text that was given.
        found: String,
    },
    /// `TIME=DELTA` has no `=`.
    #[error("expected TIME=DELTA, like 2026-05-01T10:00:00Z=+2h")]
    NoDelta,
    /// The text is not a number of seconds, minutes, hours or days.
    #[error("expected a step like +2h, -90s or 30m, found {found:?}")]
    Delta {
        /// The text that was given.
        found: String,
    },
    /// `TIME..TIME` has no `..`.
    #[error("expected TIME..TIME, like 2026-05-01T10:00:00Z..2026-05-01T12:00:00Z")]
    NoRange,
    /// No job, or no value for it.
    #[error("expected a job and its value, like {example}")]
    NoJobValue {
        /// A valid value of the option.
        example: &'static str,
    },
    /// The duration of `JOB=DUR` is not valid.
    #[error("{message}")]
    Duration {
        /// What was expected and what was found.
        message: String,
    },
    /// The text is no exit status.
    #[error("expected an exit status from 0 to 255, found {found:?}")]
    ExitStatus {
        /// The text as it was given.
        found: String,
    },
    /// A range that ends before it begins.
    #[error("the range ends before it begins")]
    Backwards,
}

/// Parses an RFC 3339 time.
fn time(text: &str) -> Result<Timestamp, TimeError> {
    Timestamp::parse_rfc3339(text)
}

/// A point in time as it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeArgument {
    /// A time with its offset from UTC.
    At(Timestamp),
    /// As the clocks show it: seconds since 1970 began there.
    Local(i64),
    /// So many seconds of a day after its beginning, days counted from today.
    OnDay { days: i64, seconds: i64 },
    /// Seconds from now.
    FromNow(i64),
}

impl TimeArgument {
    /// The point in time. Times that a clock does not show because it is set forward are read with the offset before.
    pub(super) fn resolve(self, now: Timestamp, zone: &Zone) -> Timestamp {
        match self {
            TimeArgument::At(at) => at,
            TimeArgument::FromNow(seconds) => Timestamp(now.0.saturating_add(seconds)),
            TimeArgument::Local(local) => from_local(local, zone),
            TimeArgument::OnDay { days, seconds } => {
                let today = (now.0 + i64::from(zone.offset_at(now))).div_euclid(DAY);
                from_local((today + days) * DAY + seconds, zone)
            }
        }
    }
}

fn from_local(local: i64, zone: &Zone) -> Timestamp {
    let with = |offset: i32| Timestamp(local - i64::from(offset));
    let (before, after) = (zone.offset_at(Timestamp(local - DAY)), zone.offset_at(Timestamp(local + DAY)));
    let is_shown = |offset: &i32| zone.offset_at(with(*offset)) == *offset;
    with([before, after].into_iter().find(is_shown).unwrap_or(before))
}

/// Parses a point in time.
pub(super) fn moment(text: &str) -> Result<TimeArgument, ValueError> {
    let refused = || ValueError::Moment { found: text.to_owned() };
    let on_day = |days| Ok(TimeArgument::OnDay { days, seconds: 0 });
    match text {
        "now" => return Ok(TimeArgument::FromNow(0)),
        "today" => return on_day(0),
        "tomorrow" => return on_day(1),
        "yesterday" => return on_day(-1),
        _ => {}
    }
    if let Some(sign) = [('+', 1), ('-', -1)].into_iter().find(|(sign, _)| text.starts_with(*sign)) {
        let seconds = crontab::parse_duration(text.get(1..).unwrap_or_default()).map_err(|_| refused())?;
        return Ok(TimeArgument::FromNow(sign.1 * i64::from(seconds)));
    }
    if let Ok(at) = time(text) {
        return Ok(TimeArgument::At(at));
    }
    let time_of_day =
        |text: &str| ["%H:%M", "%H:%M:%S"].iter().find_map(|form| NaiveTime::parse_from_str(text, form).ok());
    if let Some(time) = time_of_day(text) {
        let seconds = time.signed_duration_since(NaiveTime::MIN).num_seconds();
        return Ok(TimeArgument::OnDay { days: 0, seconds });
    }
    let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, "00:00"));
    let date = NaiveDate::parse_from_str(date, "%Y-%m-%d").map_err(|_| refused())?;
    let time = time_of_day(time).ok_or_else(refused)?;
    Ok(TimeArgument::Local(NaiveDateTime::new(date, time).and_utc().timestamp()))
}

/// Parses a number of things.
pub(super) fn whole_number(text: &str) -> Result<u64, ValueError> {
    text.parse().map_err(|_| ValueError::Number { found: text.to_owned() })
}

/// Parses a duration of at least a second; the result is in seconds.
pub(super) fn duration(text: &str) -> Result<u32, ValueError> {
    match crontab::parse_duration(text) {
        Ok(0) => Err(ValueError::Duration { message: "expected a duration of at least 1s".to_owned() }),
        parsed => parsed.map_err(|message| ValueError::Duration { message }),
    }
}

/// Parses a clock step `TIME=DELTA`.
pub(super) fn step(text: &str) -> Result<Step, ValueError> {
    let (at, by) = text.split_once('=').ok_or(ValueError::NoDelta)?;
    Ok(Step { at: moment(at)?, by: delta(by)? })
}

/// Parses the time range of `--down`, `TIME..TIME`.
pub(super) fn down(text: &str) -> Result<TimeRange, ValueError> {
    let (from, until) = text.split_once("..").ok_or(ValueError::NoRange)?;
    match (moment(from)?, moment(until)?) {
        (TimeArgument::At(from), TimeArgument::At(until)) if until < from => Err(ValueError::Backwards),
        (from, until) => Ok(TimeRange { from, until }),
    }
}

/// Parses `JOB=DUR`, a job and how long its runs last; the result is in seconds.
pub(super) fn job_duration(text: &str) -> Result<(String, i64), ValueError> {
    let (job, duration) = text.rsplit_once('=').ok_or(ValueError::NoJobValue { example: "backup=90m" })?;
    let seconds = crontab::parse_duration(duration).map_err(|message| ValueError::Duration { message })?;
    Ok((job.to_owned(), seconds.into()))
}

/// Parses `JOB=CODE[,CODE...]`, a job and the exit statuses of its runs.
pub(super) fn job_exits(text: &str) -> Result<(String, Vec<i32>), ValueError> {
    let (job, codes) = text.rsplit_once('=').ok_or(ValueError::NoJobValue { example: "backup=1,0" })?;
    let code =
        |code: &str| code.parse::<u8>().map(i32::from).map_err(|_| ValueError::ExitStatus { found: code.to_owned() });
    Ok((job.to_owned(), codes.split(',').map(code).collect::<Result<_, _>>()?))
}

/// Parses `JOB=TIME..TIME`, a job and when it is paused.
pub(super) fn job_range(text: &str) -> Result<(String, TimeRange), ValueError> {
    let (job, range) = text
        .split_once('=')
        .ok_or(ValueError::NoJobValue { example: "backup=2026-05-01T10:00:00Z..2026-05-01T12:00:00Z" })?;
    Ok((job.to_owned(), down(range)?))
}

/// Parses `JOB@TIME`, a job and a moment.
pub(super) fn job_time(text: &str) -> Result<(String, TimeArgument), ValueError> {
    let (job, at) = text.rsplit_once('@').ok_or(ValueError::NoJobValue { example: "backup@2026-05-01T10:00:00Z" })?;
    Ok((job.to_owned(), moment(at)?))
}

/// Parses `[+-]N(s|m|h|d)`; the result is in seconds.
fn delta(text: &str) -> Result<i64, ValueError> {
    let bad = || ValueError::Delta { found: text.to_owned() };
    let (sign, length) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    // The limit of a century prevents overflow and exceeds every realistic clock error.
    let seconds = parse_duration(length.as_bytes(), DurationForm::OneUnit).ok().and_then(|n| i64::try_from(n).ok());
    seconds.filter(|seconds| *seconds <= 100 * 366 * DAY).map(|seconds| sign * seconds).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_moment_and_a_signed_length() {
        for (text, by) in [("+2h", 7_200), ("-90s", -90), ("30m", 1_800), ("+0s", 0), ("-1d", -86_400)] {
            let step = step(&format!("2026-05-01T10:00:00Z={text}")).expect(text);
            assert_eq!(step, Step { at: TimeArgument::At(Timestamp(1_777_629_600)), by }, "{text}");
        }
    }

    #[test]
    fn a_step_of_another_form_is_refused() {
        for text in ["", "2h", "2026-05-01T10:00:00Z", "2026-05-01T10:00:00Z=", "x=+2h"] {
            assert!(step(text).is_err(), "{text}");
        }
        for text in ["+", "2", "h", "+-2h", "2 h", "2w", "1e3s", "99999999999999999999s", "9999999d", "2é"] {
            assert!(step(&format!("2026-05-01T10:00:00Z={text}")).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_is_given_with_a_zone_or_without_or_from_now() {
        let zone = Zone::embedded("Europe/Berlin").unwrap();
        let now = Timestamp::parse_rfc3339("2026-03-28T23:30:00Z").unwrap();
        for (text, expected) in [
            ("2026-12-01T14:00:00Z", "2026-12-01T14:00:00Z"),
            ("2026-12-01 14:00", "2026-12-01T13:00:00Z"),
            ("2026-12-01T14:00:30", "2026-12-01T13:00:30Z"),
            ("2026-07-01", "2026-06-30T22:00:00Z"),
            // In Berlin it is the 29th already, a day of 23 hours.
            ("today", "2026-03-28T23:00:00Z"),
            ("tomorrow", "2026-03-29T22:00:00Z"),
            ("yesterday", "2026-03-27T23:00:00Z"),
            ("03:00", "2026-03-29T01:00:00Z"),
            ("2026-03-29 02:30", "2026-03-29T01:30:00Z"),
            ("2026-10-25 02:30", "2026-10-25T00:30:00Z"),
            ("now", "2026-03-28T23:30:00Z"),
            ("+2h", "2026-03-29T01:30:00Z"),
            ("-1h30m", "2026-03-28T22:00:00Z"),
        ] {
            assert_eq!(moment(text).expect(text).resolve(now, &zone).to_string(), expected, "{text}");
        }
        for text in ["", "noon", "2026-13-01", "2026-12-01 25:00", "2h", "+2", "-", "2026-12-01 14:00 UTC", "24:00"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_duration_of_a_job_has_units() {
        for (text, seconds) in [("a=90m", 5_400), ("u:a=1h30m", 5_400), ("a=0s", 0), ("a=b=2s", 2)] {
            let (job, found) = job_duration(text).expect(text);
            assert_eq!((job.as_str(), found), (&text[..text.rfind('=').unwrap()], seconds), "{text}");
        }
        for text in ["a", "a=", "a=5", "a=+5s", "a=-5s", "a=1.5h", "a=30m1h"] {
            assert!(job_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_down_time_has_two_moments_in_order() {
        let range = down("2026-05-01T10:00:00Z..2026-05-01T14:00:00+02:00").expect("a range");
        let at = |text: &str| TimeArgument::At(time(text).expect(text));
        assert_eq!((range.from, range.until), (at("2026-05-01T10:00:00Z"), at("2026-05-01T12:00:00Z")));
        assert!(down("tomorrow..2026-12-01 14:00").is_ok());
        for text in ["", "2026-05-01T10:00:00Z", "2026-05-01T10:00:00Z..", "2026-05-01T10:00:00Z..2026-05-01T09:59:59Z"]
        {
            assert!(down(text).is_err(), "{text}");
        }
    }
}
