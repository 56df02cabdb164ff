//! The part of a sentence about the time of day.

use super::lists::{Run, and, cyclic_runs, ends, even_distance, even_step, every, lower_first, numbers, runs};

/// At most this many times of day are listed individually.
const MOST_TIMES: usize = 6;
/// Fewest evenly spaced values that are written by their distance rather than listed.
const SHORTEST_CLOCK_STEPS: usize = 4;
/// Most stretches of time that are written with both of their ends.
const MOST_STRETCHES: usize = 3;

/// The beginning of a sentence.
#[derive(Debug)]
pub(super) struct Times {
    pub text: String,
    /// Whether the text names times of day, so that "every day" has to follow.
    pub is_clock: bool,
}

impl Times {
    /// Describes times of day. `wraps`: every day is the same, so that hours may be described past midnight. No list may be empty.
    pub fn of(seconds: &[u32], minutes: &[u32], hours: &[u32], wraps: bool) -> Times {
        if seconds == [0] {
            return of_minutes(minutes, hours, wraps);
        }
        if seconds.len() * minutes.len() * hours.len() <= MOST_TIMES {
            let with_seconds = |time: String| seconds.iter().map(move |second| format!("{time}:{second:02}"));
            return listed(clock_times(minutes, hours).flat_map(with_seconds));
        }
        let is_every_minute = minutes.len() == 60 && hours.len() == 24;
        let (first, _) = ends(seconds);
        let (text, is_even) = match even_step(seconds, 60) {
            Some(step) if first == 0 => (every(step, "second"), true),
            Some(step) => (format!("{}, at second {first}", every(step, "second")), true),
            None => (format!("At {}", numbers("second", seconds)), false),
        };
        let of = match (is_every_minute, is_even) {
            (true, true) => String::new(),
            (true, false) => " of every minute".to_owned(),
            (false, _) => format!(" of these minutes: {}", lower_first(&of_minutes(minutes, hours, wraps).text)),
        };
        Times { text: text + &of, is_clock: !is_every_minute && of_minutes(minutes, hours, wraps).is_clock }
    }
}

fn of_minutes(minutes: &[u32], hours: &[u32], wraps: bool) -> Times {
    if let [minute] = minutes {
        return at_one_minute(*minute, hours, wraps);
    }
    let is_long = hours.len() == 1 && minutes.len() >= SHORTEST_CLOCK_STEPS && even_distance(minutes).is_some();
    if minutes.len() * hours.len() <= MOST_TIMES && !is_long {
        return listed(clock_times(minutes, hours));
    }
    let (first, last) = ends(minutes);
    let text = match (even_step(minutes, 60), even_distance(minutes)) {
        (Some(step), _) => at_even_minutes(step, first, last, hours, wraps),
        (None, Some(step)) if minutes.len() >= 3 => {
            let every = every(step, "minute");
            let stretches = runs(hours);
            match stretches.iter().all(|run| run.first == run.last) && stretches.len() <= MOST_STRETCHES {
                true => format!("{every} {}", and(stretches.into_iter().map(|run| stretch(run, first, last)))),
                false => format!("{every} from minute {first} to minute {last} {}", in_hours(hours)),
            }
        }
        _ => format!("At {} {}", numbers("minute", minutes), in_hours(hours)),
    };
    Times { text, is_clock: false }
}

/// Describes one minute of some hours.
fn at_one_minute(minute: u32, hours: &[u32], wraps: bool) -> Times {
    let text = |text: String| Times { text, is_clock: false };
    if hours.len() == 24 {
        return text(match minute {
            0 => "Every hour, on the hour".to_owned(),
            _ => format!("Every hour, at minute {minute}"),
        });
    }
    let (first, last) = ends(hours);
    if let Some(step) = even_distance(hours).filter(|step| *step > 1 && hours.len() >= SHORTEST_CLOCK_STEPS) {
        return text(format!("{} {}", every(step, "hour"), stretch(Run { first, last }, minute, minute)));
    }
    let stretches = if wraps { cyclic_runs(hours, 0, 23) } else { runs(hours) };
    if !stretches.iter().any(|run| run.is_range(24)) {
        return listed(clock_times(&[minute], hours));
    }
    let parts = stretches.into_iter().flat_map(|run| match run.is_range(24) {
        true => vec![stretch(run, minute, minute)],
        false => (0..run.count(24) as u32).map(|nth| format!("at {}", clock((run.first + nth) % 24, minute))).collect(),
    });
    text(format!("Every hour {}", and(parts)))
}

/// Describes minutes that are evenly spaced over the whole hour.
fn at_even_minutes(step: u32, first: u32, last: u32, hours: &[u32], wraps: bool) -> String {
    let every = every(step, "minute");
    let at_minute = if first == 0 { String::new() } else { format!(", at minute {first}") };
    let stretches = if wraps { cyclic_runs(hours, 0, 23) } else { runs(hours) };
    match hours.len() {
        24 => format!("{every}{at_minute}"),
        _ if stretches.len() <= MOST_STRETCHES => {
            format!("{every} {}", and(stretches.into_iter().map(|run| stretch(run, first, last))))
        }
        _ if first == 0 => format!("{every} {}", in_hours(hours)),
        _ => format!("{every}{at_minute}, {}", in_hours(hours)),
    }
}

/// `from 09:00 to 17:45`.
fn stretch(run: Run, first_minute: u32, last_minute: u32) -> String {
    format!("from {} to {}", clock(run.first, first_minute), clock(run.last, last_minute))
}

/// `of every hour`, `in hours 1, 5 and 9 to 12`, `in every 2nd hour from hour 0 to hour 22`.
fn in_hours(hours: &[u32]) -> String {
    if hours.len() == 24 { "of every hour".to_owned() } else { format!("in {}", numbers("hour", hours)) }
}

fn listed(times: impl Iterator<Item = String>) -> Times {
    Times { text: format!("At {}", and(times)), is_clock: true }
}

fn clock_times(minutes: &[u32], hours: &[u32]) -> impl Iterator<Item = String> {
    hours.iter().flat_map(move |hour| minutes.iter().map(move |minute| clock(*hour, *minute)))
}

fn clock(hour: u32, minute: u32) -> String {
    format!("{hour:02}:{minute:02}")
}
