//! A time zone as spans of constant offset on the UTC time line.

use super::civil::Date;
use super::clock_step::ClockStep;
use super::embedded;
use super::history::{CYCLE_SECONDS, History, WIDEST_OFFSET};
use super::rule::{self, Unusable};
use super::time::{LocalMinute, Timestamp};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// An immutable time zone. Zones are equal if all offsets and the name are equal.
#[derive(Clone, Debug)]
pub struct Zone {
    name: String,
    line: Arc<Line>,
    is_stand_in: bool,
}

/// One change of a zone's offset from UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The first second at which `after` holds.
    pub at: Timestamp,
    /// Seconds east of UTC just before.
    pub before: i32,
    /// Seconds east of UTC from `at` on.
    pub after: i32,
}

/// Why zone data could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ZoneError {
    /// The bytes are no TZif file (RFC 8536).
    #[error("the zone data of {name} are not usable: {reason}")]
    BadData {
        /// The name of the zone as it was requested.
        name: String,
        /// What is wrong with the bytes.
        #[source]
        reason: Unusable,
    },
    /// The text is no POSIX `TZ` rule.
    #[error("the zone rule {rule:?} is not usable: {reason}")]
    BadRule {
        /// The rule as it was given.
        rule: String,
        /// What is wrong with the rule.
        #[source]
        reason: Unusable,
    },
}

/// The source of named zones. `config::zones` implements it and reads the files.
pub trait Zones {
    /// The zone of that IANA name, or none if it is not known.
    fn named(&self, name: &str) -> Option<Arc<Zone>>;
    /// The zone that the system is set to.
    fn system(&self) -> Arc<Zone>;
}

/// A span of constant offset, and the effect of its beginning on local clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Span {
    /// Its first second; `i64::MIN` for the first span.
    at: i64,
    /// Seconds east of UTC.
    offset: i32,
    /// Local minutes from the last one shown before it to its own first one: 1 if the clocks simply continue.
    step: i32,
    /// The last local minute that was shown when it began: fixed entries wait until it is passed again.
    held_until: i64,
}

/// All spans of a zone.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    spans: Box<[Span]>,
    cycle: Option<Cycle>,
    /// A hash of the above, so that comparing and hashing zones does not walk through them.
    digest: u64,
}

/// The part of the spans that repeats for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Cycle {
    /// The second at which it begins, which is the first one of a span.
    start: i64,
    /// Whether it repeats into the past as well: zones made from nothing but a rule.
    backwards: bool,
}

impl Zone {
    /// The zone UTC, which never changes its offset.
    pub fn utc() -> Arc<Zone> {
        Arc::new(Zone::of("UTC", History { first: 0, changes: Vec::new(), rule: None }))
    }

    /// Reads a TZif file (RFC 8536), any version, with its footer rule for the far future.
    pub fn from_tzif(name: &str, bytes: &[u8]) -> Result<Zone, ZoneError> {
        rule::read_tzif(bytes)
            .map(|history| Zone::of(name, history))
            .map_err(|reason| ZoneError::BadData { name: name.to_owned(), reason })
    }

    /// A POSIX `TZ` rule such as `CET-1CEST,M3.5.0,M10.5.0/3`.
    pub fn from_posix(rule: &str) -> Result<Zone, ZoneError> {
        rule::read_posix(rule)
            .map(|history| Zone::of(rule, history))
            .map_err(|reason| ZoneError::BadRule { rule: rule.to_owned(), reason })
    }

    /// The copy that `chrono-tz` carries in the program, for systems without zone files.
    pub fn embedded(name: &str) -> Option<Zone> {
        embedded::history(name).map(|history| Zone::of(name, history))
    }

    /// UTC under the name of a zone that `chrono-tz` carries, for those who ask only whether there is such a zone.
    pub fn stand_in(name: &str) -> Option<Zone> {
        let utc = || History { first: 0, changes: Vec::new(), rule: None };
        embedded::has(name).then(|| Zone { is_stand_in: true, ..Zone::of(name, utc()) })
    }

    /// Whether it has only the name of its zone, and the offset of UTC.
    pub fn is_stand_in(&self) -> bool {
        self.is_stand_in
    }

    /// Its IANA name, or the rule it was made from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Seconds east of UTC at that moment.
    pub fn offset_at(&self, t: Timestamp) -> i32 {
        self.place(t.0).span.offset
    }

    /// What this zone's clocks show at that moment, to the minute (rounded down).
    pub fn local_minute(&self, t: Timestamp) -> LocalMinute {
        LocalMinute(self.place(t.0).local_minute(t.0))
    }

    /// The first transition after that moment.
    pub fn next_transition(&self, after: Timestamp) -> Option<Transition> {
        let before = self.place(after.0);
        let next = self.next_place(&before)?;
        Some(Transition { at: Timestamp(before.end()), before: before.span.offset, after: next.span.offset })
    }

    /// RFC 3339 with this zone's offset, for example `2026-11-22T10:15:00+01:00`. Seconds of an offset are left out, since the format has
    /// none. A moment that the calendar does not reach is written as [`Timestamp`] displays it.
    pub fn to_rfc3339(&self, t: Timestamp) -> String {
        if !t.is_sane() {
            return t.to_string();
        }
        let offset_minutes = self.offset_at(t) / 60;
        let local = t.0 + i64::from(offset_minutes) * 60;
        let Ok(day) = i32::try_from(local.div_euclid(86_400)) else { return t.to_string() };
        let Date { year, month, day } = Date::of(day);
        let second = local.rem_euclid(86_400);
        let sign = if offset_minutes < 0 { '-' } else { '+' };
        let (hours, minutes) = (offset_minutes.abs() / 60, offset_minutes.abs() % 60);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{sign}{hours:02}:{minutes:02}")
    }

    fn of(name: &str, history: History) -> Zone {
        Zone { name: name.to_owned(), line: Arc::new(Line::of(history)), is_stand_in: false }
    }

    /// The span of that second.
    #[inline]
    pub(super) fn place(&self, t: i64) -> Place<'_> {
        let spans = &*self.line.spans;
        if spans.len() == 1 {
            return Place { line: &self.line, span: spans[0], index: 0, shift: 0 };
        }
        let (index, shift) = self.line.locate(t);
        Place { line: &self.line, span: spans[index], index, shift }
    }

    /// The span that follows a place, or none after the last one.
    pub(super) fn next_place<'z>(&'z self, place: &Place<'z>) -> Option<Place<'z>> {
        match place.end() {
            i64::MAX => None,
            end => Some(self.place(end)),
        }
    }

    /// The latest local second that the zone's clocks have shown by `t`.
    pub(super) fn furthest_shown(&self, t: i64) -> i64 {
        let now = self.place(t);
        let mut furthest = t + i64::from(now.span.offset);
        let mut place = self.place(t - 2 * i64::from(WIDEST_OFFSET));
        while place.end() <= t {
            furthest = furthest.max(place.end() - 1 + i64::from(place.span.offset));
            place = self.place(place.end());
        }
        furthest
    }

    /// The first moment at which the zone's clocks show the local second or one beyond it.
    pub(super) fn first_reaching(&self, second: i64) -> i64 {
        let mut place = self.place(second - 2 * i64::from(WIDEST_OFFSET));
        while place.end() != i64::MAX && place.end() + i64::from(place.span.offset) <= second {
            place = self.place(place.end());
        }
        (second - i64::from(place.span.offset)).max(place.start())
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Zone) -> bool {
        self.name == other.name && (Arc::ptr_eq(&self.line, &other.line) || self.line == other.line)
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.line.digest.hash(state);
    }
}

/// The place of a moment in the table: its span, and the seconds between the table and the moment (a number of whole cycles).
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'z> {
    line: &'z Line,
    span: Span,
    index: usize,
    shift: i64,
}

impl Place<'_> {
    /// Its first second, in seconds since 1970.
    pub fn start(&self) -> i64 {
        self.span.at.saturating_add(self.shift)
    }

    /// The first second after it; `i64::MAX` for the last.
    #[inline]
    pub fn end(&self) -> i64 {
        self.line.spans.get(self.index + 1).map_or(i64::MAX, |next| next.at + self.shift)
    }

    /// Its seconds east of UTC.
    pub fn offset(&self) -> i64 {
        i64::from(self.span.offset)
    }

    /// The local minute at one of its seconds.
    #[inline]
    pub fn local_minute(&self, t: i64) -> i64 {
        (t + i64::from(self.span.offset)).div_euclid(60)
    }

    /// The second at which a local minute begins under its offset.
    #[inline]
    pub fn start_of(&self, minute: i64) -> i64 {
        minute * 60 - i64::from(self.span.offset)
    }

    /// The local minute with which it begins: in progress, if the transition is not on a full minute.
    pub fn first_shown(&self) -> i64 {
        self.local_minute(self.start())
    }

    /// The last local minute shown before it.
    pub fn shown_before(&self) -> i64 {
        self.first_shown() - i64::from(self.span.step)
    }

    /// Fixed entries are not due at local minutes up to here.
    #[inline]
    pub fn held_until(&self) -> i64 {
        self.span.held_until.saturating_add(self.shift / 60)
    }
}

impl Line {
    fn of(history: History) -> Line {
        let (changes, cycle_start) = rule::unroll(&history);
        let cycle = cycle_start.map(|start| Cycle { start, backwards: history.changes.is_empty() });
        let mut spans =
            vec![Span { at: i64::MIN, offset: history.first_before(&changes), step: 1, held_until: i64::MIN }];
        for (at, offset) in changes {
            if let Some(previous) = spans.last().copied() {
                spans.push(Span::following(previous, at, offset));
            }
        }
        let spans = spans.into_boxed_slice();
        let mut hasher = siphasher::sip::SipHasher13::new();
        (&spans, cycle).hash(&mut hasher);
        Line { spans, cycle, digest: hasher.finish() }
    }

    /// The index of the span of a second, and the shift from the table to it.
    fn locate(&self, t: i64) -> (usize, i64) {
        let Some(cycle) = self.cycle else { return (self.search(t), 0) };
        if t < cycle.start && !cycle.backwards {
            return (self.search(t), 0);
        }
        let shift = (t - cycle.start).div_euclid(CYCLE_SECONDS) * CYCLE_SECONDS;
        (self.search(t - shift), shift)
    }

    fn search(&self, t: i64) -> usize {
        self.spans.partition_point(|span| span.at <= t).saturating_sub(1)
    }
}

impl Span {
    /// The span that follows `previous` at `at`, with the effect of the step on the virtual clock (see [`super::wall`]).
    fn following(previous: Span, at: i64, offset: i32) -> Span {
        let last_shown = (at - 1 + i64::from(previous.offset)).div_euclid(60).max(previous.held_until);
        let first_shown = (at + i64::from(offset)).div_euclid(60);
        let step = first_shown - last_shown;
        let held_until = match ClockStep::of(step) {
            ClockStep::Back => last_shown,
            ClockStep::Small | ClockStep::Forward | ClockStep::Jump => first_shown,
        };
        Span { at, offset, step: step as i32, held_until }
    }
}

impl History {
    /// The offset before the first of the unrolled changes.
    fn first_before(&self, changes: &[(i64, i32)]) -> i32 {
        match (&self.rule, self.changes.is_empty(), changes.first()) {
            // Nothing but a rule: the table begins in the middle of its endless alternation.
            (Some(rule), true, Some((_, offset))) => {
                let (standard, summer) = (rule.std().ut_offset(), rule.dst().ut_offset());
                if *offset == summer { standard } else { summer }
            }
            _ => self.first,
        }
    }
}

#[cfg(test)]
mod tests;
