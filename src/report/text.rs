//! Texts for people about times, durations, the ends of runs and what runs wrote, for the commands and the web page.

use crate::crontab::printable_lines;
use crate::schedule::distance;
use crate::sys::signal;
use crate::varlink::cron::Outcome;
use crate::varlink::history::RunRecord;

/// How far off a moment is that comes in so many seconds: `now`, `3 min ago`, `in 12 min`.
pub fn relative(seconds: i64) -> String {
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("in {}", span(seconds)),
        _ => format!("{} ago", span(seconds.saturating_neg())),
    }
}

/// A number of seconds in one unit: `12 s`, `3 min`, `5 h`, `12 d`.
pub fn span(seconds: i64) -> String {
    distance(seconds.unsigned_abs(), [" d", " h", " min", " s"])
}

/// How a run or a slot ended: `ok`, `failed (exit 3)`, `failed: output on standard error`, `skipped: still running`.
pub fn outcome(outcome: &Outcome) -> String {
    let times = if outcome.count > 1 { format!(" ×{}", outcome.count) } else { String::new() };
    let text = match (outcome.outcome.as_str(), outcome.exit_code, outcome.signal, &outcome.reason) {
        ("ok", None | Some(0), ..) => "ok".to_owned(),
        ("failed", Some(0), _, Some(reason)) => format!("failed: {reason}"),
        ("failed", Some(code), _, Some(reason)) => format!("failed: {reason} (exit {code})"),
        (word, Some(code), ..) => format!("{word} (exit {code})"),
        ("signal", None, Some(number), _) => match signal::name_of(number) {
            Some(name) => format!("ended by {name}"),
            None => format!("ended by signal {number}"),
        },
        ("killed", _, _, Some(by)) => format!("killed by {}", by.strip_prefix("by ").unwrap_or(by)),
        (word, _, _, Some(reason)) => format!("{word}: {reason}"),
        (word, ..) => word.to_owned(),
    };
    text + &times
}

/// What a job has written, as it can be shown: [`printable_lines`], with line ends of other systems as those of this one.
pub fn output(bytes: &[u8]) -> String {
    let line = |line: &[u8]| match line.strip_suffix(b"\r\n") {
        Some(line) => printable_lines(line) + "\n",
        None => printable_lines(line),
    };
    bytes.split_inclusive(|byte| *byte == b'\n').map(line).collect()
}

/// How many bytes at the end begin a character in UTF-8 whose other bytes may follow.
pub fn unfinished(bytes: &[u8]) -> usize {
    let is_begun = |end: &[u8]| {
        let read = std::str::from_utf8(end);
        read.is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    let mut counts = 1..=bytes.len().min(3);
    counts.find(|count| bytes.get(bytes.len() - count..).is_some_and(is_begun)).unwrap_or(0)
}

/// The outcome in a row of the history.
pub fn outcome_of(record: &RunRecord) -> Outcome {
    Outcome {
        run: record.run,
        scheduled_at: record.scheduled_at,
        started_at: record.started_at,
        ended_at: record.ended_at,
        outcome: record.outcome.clone(),
        reason: record.reason.clone(),
        exit_code: record.exit_code,
        signal: record.signal,
        attempt: record.attempt,
        count: record.count,
        until: record.until,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_letter_is_known_from_what_is_none() {
        for character in ["é", "…", "😀"].map(str::as_bytes) {
            assert_eq!(unfinished(&[b"a", character].concat()), 0);
            for count in 1..character.len() {
                assert_eq!(unfinished(&[b"a", &character[..count]].concat()), count);
            }
        }
        for none in [b"".as_slice(), b"abc", b"\xff", b"\x80\x80", b"\xe2a"] {
            assert_eq!(unfinished(none), 0, "{none:?}");
        }
    }

    #[test]
    fn output_is_shown_with_its_control_characters_as_escapes() {
        assert_eq!(output(b"a\tb\r\n\x1b[31mred\x07\xff\nrest"), "a\tb\n\\x1b[31mred\\x07\\xff\nrest");
    }

    #[test]
    fn a_failure_says_what_was_one() {
        let of = |status: i32, reason: Option<&str>| {
            let json = serde_json::json!({
                "scheduled_at": "2026-12-01T02:30:00Z", "outcome": "failed", "exit_code": status, "reason": reason,
                "attempt": 1, "count": 1,
            });
            outcome(&serde_json::from_value(json).unwrap())
        };
        let stderr = "output on standard error";
        let shown = [of(3, None), of(0, Some(stderr)), of(24, Some(stderr))];
        let wanted =
            ["failed (exit 3)", "failed: output on standard error", "failed: output on standard error (exit 24)"];
        assert_eq!(shown, wanted);
    }
}
