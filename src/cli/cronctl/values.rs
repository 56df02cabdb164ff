//! Values of options: times, clock steps and ranges.

use crate::crontab;
use crate::schedule::{TimeError, Timestamp};

/// A clock step: at the true time `at`, the clock is moved by `by` seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The true time of the step.
    pub(super) at: Timestamp,
    /// The change in seconds; positive is forward.
    pub(super) by: i64,
}

/// A range of true time, for example one without the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeRange {
    /// The first second of the range.
    pub(super) from: Timestamp,
    /// The first second after it.
    pub(super) until: Timestamp,
}

/// Why a value is not valid.
#[derive(Debug, thiserror::Error)]
pub(super) enum ValueError {
    /// The text is not an RFC 3339 time.
    #[error(transparent)]
    Time(#[from] TimeError),
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
        /// What it could look like.
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
pub(super) fn time(text: &str) -> Result<Timestamp, TimeError> {
    Timestamp::parse_rfc3339(text)
}

/// Parses a clock step `TIME=DELTA`.
pub(super) fn step(text: &str) -> Result<Step, ValueError> {
    let (at, by) = text.split_once('=').ok_or(ValueError::NoDelta)?;
    Ok(Step { at: time(at)?, by: delta(by)? })
}

/// Parses a range `TIME..TIME`.
pub(super) fn down(text: &str) -> Result<TimeRange, ValueError> {
    let (from, until) = text.split_once("..").ok_or(ValueError::NoRange)?;
    let range = TimeRange { from: time(from)?, until: time(until)? };
    if range.until < range.from { Err(ValueError::Backwards) } else { Ok(range) }
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
pub(super) fn job_time(text: &str) -> Result<(String, Timestamp), ValueError> {
    let (job, at) = text.rsplit_once('@').ok_or(ValueError::NoJobValue { example: "backup@2026-05-01T10:00:00Z" })?;
    Ok((job.to_owned(), time(at)?))
}

/// Parses `[+-]N(s|m|h|d)`; the result is in seconds.
fn delta(text: &str) -> Result<i64, ValueError> {
    let bad = || ValueError::Delta { found: text.to_owned() };
    let (sign, length) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let unit = match length.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        _ => return Err(bad()),
    };
    let digits = length.get(..length.len() - 1).filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()));
    // The limit of a century prevents overflow and exceeds every realistic clock error.
    digits
        .and_then(|digits| digits.parse::<i64>().ok())
        .and_then(|number| number.checked_mul(unit))
        .filter(|seconds| *seconds <= 100 * 366 * 86_400)
        .map(|seconds| sign * seconds)
        .ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_moment_and_a_signed_length() {
        for (text, by) in [("+2h", 7_200), ("-90s", -90), ("30m", 1_800), ("+0s", 0), ("-1d", -86_400)] {
            let step = step(&format!("2026-05-01T10:00:00Z={text}")).expect(text);
            assert_eq!(step, Step { at: Timestamp(1_777_629_600), by }, "{text}");
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
        assert_eq!(range.until.0 - range.from.0, 7_200);
        for text in ["", "2026-05-01T10:00:00Z", "2026-05-01T10:00:00Z..", "2026-05-01T10:00:00Z..2026-05-01T09:59:59Z"]
        {
            assert!(down(text).is_err(), "{text}");
        }
    }
}
