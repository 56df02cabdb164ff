//! Schedules: parsing, matching, the next due time with regard to daylight saving time, and descriptions in English.
//!
//! This module never asks for the current time: every function is told the time.
//!
//! | file | content |
//! |---|---|
//! | `parse`, `unit`, `nickname`, `hint`, `odd_character` | parsing of a text into a [`Schedule`] or a [`ScheduleError`] with a suggestion |
//! | `error` | errors and warnings about the text of a schedule, with their positions |
//! | `printable` | how text of others is shown to people |
//! | `calendar`, `fields`, `days`, `bits`, `quartz` | forms of a schedule; which local minutes match, without regard to a zone |
//! | `wall`, `clock_step`, `dst_policy` | which schedules are due as local clocks advance, skip and repeat |
//! | `zone`, `history`, `rule`, `embedded` | a zone's offsets on the UTC time line, from files, rules and the program's own copy |
//! | `words`, `ahead` | a schedule in English; gaps and folds to come |
//! | `after` | the names of `@after` |
//! | `time`, `civil`, `day` | points in time; the Gregorian calendar as arithmetic; a local date, for periods in days |
//! | `jitter` | stable random numbers for `~` and `RANDOM_DELAY` |
//! | `duration` | durations as text: `1h30m` |
//! | `only_utc` | a source of zones for unit tests |
#![forbid(unsafe_code)]

mod after;
mod ahead;
mod bits;
mod calendar;
mod civil;
mod clock_step;
mod day;
mod days;
mod dst_policy;
mod duration;
mod embedded;
mod error;
mod fields;
mod hint;
mod history;
mod jitter;
mod nickname;
mod odd_character;
#[cfg(test)]
mod only_utc;
mod parse;
mod printable;
mod quartz;
mod rule;
mod time;
mod unit;
mod wall;
mod words;
mod zone;

pub use after::{LONGEST_NAME, is_job_name, is_name_byte};
pub use ahead::dst_warnings;
pub use calendar::{Kind, Schedule};
pub use day::Day;
pub use dst_policy::DstPolicy;
pub use duration::{
    DurationFault, DurationForm, distance, duration_text, parse_duration, rounded_duration, unit_in_lower_case,
};
pub use error::{ScheduleError, ScheduleWarning};
pub use jitter::{HostKey, JitterKey, RandomValues};
pub use nickname::nicknames;
pub use odd_character::{character_name, find_odd_character};
#[cfg(test)]
pub use only_utc::OnlyUtc;
pub use parse::Prefix;
pub use printable::{escape_of, escape_of_byte, printable, printable_lines};
pub use rule::Unusable;
pub use time::{LocalMinute, TimeError, Timestamp};
pub use words::{explain, explain_as_written, join_with_or};
pub use zone::{Transition, Zone, ZoneError, Zones};
