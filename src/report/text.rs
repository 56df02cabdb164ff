//! Texts for people about times, durations, the ends of runs and what runs wrote, for the commands and the web page.

use crate::crontab::printable;
use crate::sys::signal;
use crate::varlink::cron::Outcome;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

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
    match seconds {
        ..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => format!("{} min", seconds / MINUTE),
        HOUR..172_800 => format!("{} h", seconds / HOUR),
        _ => format!("{} d", seconds / DAY),
    }
}

/// A duration: `0.3s`, `12s`, `3m20s`, `2h05m`, `3d04h`.
pub fn duration(seconds: f64) -> String {
    if seconds < 9.95 {
        return format!("{seconds:.1}s");
    }
    let whole = seconds.round() as i64;
    match whole {
        ..MINUTE => format!("{whole}s"),
        MINUTE..HOUR => format!("{}m{:02}s", whole / MINUTE, whole % MINUTE),
        HOUR..DAY => format!("{}h{:02}m", whole / HOUR, whole % HOUR / MINUTE),
        _ => format!("{}d{:02}h", whole / DAY, whole % DAY / HOUR),
    }
}

/// How a run or a slot ended: `ok`, `failed (exit 3)`, `skipped: still running`.
pub fn outcome(outcome: &Outcome) -> String {
    let times = if outcome.count > 1 { format!(" ×{}", outcome.count) } else { String::new() };
    let text = match (outcome.outcome.as_str(), outcome.exit_code, outcome.signal, &outcome.reason) {
        ("ok", None | Some(0), ..) => "ok".to_owned(),
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

/// What a job has written, as it can be shown: line ends and tabs stay, other control characters become escapes like `\x1b`.
pub fn output(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let (line, end) = match line.strip_suffix(b"\n") {
            Some(line) => (line.strip_suffix(b"\r").unwrap_or(line), "\n"),
            None => (line, ""),
        };
        let parts: Vec<String> = line.split(|byte| *byte == b'\t').map(printable).collect();
        text += &parts.join("\t");
        text += end;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_shown_with_its_control_characters_as_escapes() {
        assert_eq!(output(b"a\tb\r\n\x1b[31mred\x07\xff\nrest"), "a\tb\n\\x1b[31mred\\x07\\xff\nrest");
    }

    #[test]
    fn durations_have_two_units_at_most() {
        for (seconds, text) in [
            (0.0, "0.0s"),
            (0.26, "0.3s"),
            (9.94, "9.9s"),
            (9.96, "10s"),
            (59.6, "1m00s"),
            (200.0, "3m20s"),
            (7_500.0, "2h05m"),
            (273_600.0, "3d04h"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
