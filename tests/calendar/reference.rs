//! The rule, played minute by minute: a clock on the wall of a zone, and a cron that looks at it whenever it shows a
//! new minute. Slow, and simple enough to be believed.

use crate::spec::Spec;
use chrono::{DateTime, NaiveDate};
use cronwheel::schedule::{Timestamp, Zone};

/// A moment at which the wall clock shows a new minute.
#[derive(Clone, Copy, Debug)]
pub struct Beat {
    /// Seconds of UTC.
    pub at: i64,
    /// The local minute that is shown.
    pub shown: i64,
}

/// All beats from `from` to `to`, by nothing but the zone's offset at single moments.
pub fn beats(zone: &Zone, from: i64, to: i64) -> Vec<Beat> {
    let offset = |at: i64| i64::from(zone.offset_at(Timestamp(at)));
    let mut beats = Vec::new();
    let mut at = from;
    while at <= to {
        let here = offset(at);
        beats.push(Beat { at, shown: (at + here).div_euclid(60) });
        let full = at + 60 - (at + here).rem_euclid(60);
        // A change of offset within the minute is a beat of its own: the first second with the new offset.
        at = if offset(full) == here { full } else { first_second_without(here, at, full, offset) };
    }
    beats
}

fn first_second_without(offset: i64, mut with: i64, mut without: i64, offset_at: impl Fn(i64) -> i64) -> i64 {
    while without - with > 1 {
        let middle = with + (without - with) / 2;
        if offset_at(middle) == offset { with = middle } else { without = middle }
    }
    without
}

/// The moments of these beats at which the schedule is due, by the rule of the virtual clock.
pub fn due(spec: &Spec, beats: &[Beat]) -> Vec<i64> {
    let mut calendar = Calendar { spec, day: i64::MIN, has_date: false };
    let wildcard = spec.is_wildcard();
    let mut due = Vec::new();
    let Some((first, rest)) = beats.split_first() else { return due };
    let mut virtual_clock = first.shown;
    for beat in rest {
        let new = beat.shown;
        let run = match new - virtual_clock {
            1 => calendar.has(new),
            2..=5 => (virtual_clock + 1..=new).any(|minute| calendar.has(minute)),
            6..=180 if wildcard => calendar.has(new),
            6..=180 => (virtual_clock + 1..=new).any(|minute| calendar.has(minute)),
            -179..=0 => wildcard && calendar.has(new),
            _ => calendar.has(new),
        };
        if run {
            due.push(beat.at);
        }
        if !(-179..=0).contains(&(new - virtual_clock)) {
            virtual_clock = new;
        }
    }
    due
}

/// Looks dates up once a day.
struct Calendar<'s> {
    spec: &'s Spec,
    day: i64,
    has_date: bool,
}

impl Calendar<'_> {
    fn has(&mut self, minute: i64) -> bool {
        if !self.spec.has_time(minute.rem_euclid(1440) as u32) {
            return false;
        }
        let day = minute.div_euclid(1440);
        if day != self.day {
            self.day = day;
            self.has_date = self.spec.has_date(date(day));
        }
        self.has_date
    }
}

fn date(day: i64) -> NaiveDate {
    DateTime::from_timestamp(day * 86_400, 0).unwrap().date_naive()
}
