//! The calendar: does a schedule match, when is it due next, what happens at gaps and folds, in words.
//!
//! Nothing here knows what time it is; every question carries its moment.
//!
//! | file | subject |
//! |---|---|
//! | `parse`, `unit`, `nickname`, `hint` | a text becomes a [`Schedule`] or a [`Fault`] with a likely intention |
//! | `calendar`, `fields`, `days`, `quartz` | the forms of a schedule; does it match, when next, on the calendar alone |
//! | `wall` | what is due while a zone's clocks run on, skip and repeat |
//! | `zone`, `rule`, `embedded` | a zone's offsets on the UTC time line, from files, rules and the program's own copy |
//! | `words`, `ahead` | a schedule in English; gaps and folds to come |
//! | `day` | a local date, for what counts in days |
//! | `draw` | stable random numbers |
#![forbid(unsafe_code)]

mod ahead;
mod bits;
mod calendar;
mod civil;
mod clock_step;
mod day;
mod days;
mod draw;
mod dst_policy;
mod embedded;
mod fault;
mod fields;
mod hint;
mod history;
mod nickname;
mod parse;
mod quartz;
mod rule;
mod time;
mod unit;
mod wall;
mod words;
mod zone;

pub use ahead::foresee;
pub use calendar::{Kind, Schedule};
pub use day::Day;
pub use draw::{HostKey, Seed};
pub use dst_policy::DstPolicy;
pub use fault::{Caution, Fault};
pub use nickname::nicknames;
pub use parse::Prefix;
pub use rule::Unusable;
pub use time::{LocalMinute, TimeError, Timestamp};
pub use words::explain;
pub use zone::{Transition, Zone, ZoneError, Zones};
