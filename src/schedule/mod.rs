//! The calendar: does a schedule match, when is it due next, what happens at gaps and folds, in words.
//!
//! Nothing here knows what time it is; every question carries its moment.
#![forbid(unsafe_code)]

mod calendar;
mod draw;
mod fault;
mod time;
mod words;
mod zone;

pub use calendar::{Kind, Prefix, Schedule, Style};
pub use draw::{HostKey, Seed};
pub use fault::{Caution, Fault};
pub use time::{LocalMinute, TimeError, Timestamp};
pub use words::{explain, foresee};
pub use zone::{Transition, Zone, ZoneError, Zones};
