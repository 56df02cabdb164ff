//! Which schedules are due as a zone's local clock advances, skips and repeats: the "virtual clock" of Vixie cron.
//!
//! Cron counts the local minutes that a zone's clocks show. Let V be the last local minute shown, r the new one, and
//! d = r - V (Debian cron.c and cronie cron.c, main; each zone runs on its own timeline here):
//!
//! | d | wildcard entries | fixed entries |
//! |---|---|---|
//! | 1 | due if they match r | due if they match r |
//! | 2 to 5 | due for each match in V+1 to r, at once | the same |
//! | 6 to 180 | due if they match r | due for each match in V+1 to r, at once |
//! | 0 to -179 | due if they match r | held until r is beyond V |
//! | else | due if they match r; V is r | the same |
//!
//! Between two transitions of a zone, d is always 1 or the clock is held. The exceptional cases therefore depend on the
//! transition alone, and each span of a zone stores them.

use super::civil::{CYCLE_DAYS, DAY_MINUTES};
use super::clock_step::ClockStep;
use super::dst_policy::DstPolicy;
use super::quartz::Quartz;
use super::time::{LocalMinute, Timestamp};
use super::zone::{Place, Zone};

/// A set of local minutes.
pub(super) trait Calendar {
    /// The first minute of the set after `after` (exclusive).
    fn next(&self, after: i64) -> Option<i64>;
    /// Whether the set contains `at`.
    fn matches(&self, at: i64) -> bool;
}

/// More seconds than any two offsets are apart, so no local minute repeats after this time.
const WELL_APART: i64 = 3 * 86_400;

/// The first time after `after` (exclusive) at which entries of this calendar and policy are due.
#[inline]
pub(super) fn next_due<C: Calendar>(
    calendar: &C,
    style: DstPolicy,
    after: Timestamp,
    zone: &Zone,
    done: Option<LocalMinute>,
) -> Option<Timestamp> {
    let done = match (style, done) {
        (DstPolicy::Fixed, Some(LocalMinute(minute))) => minute,
        _ => i64::MIN,
    };
    let place = zone.place(after.0);
    let shown = place.local_minute(after.0);
    let floor = held_floor(shown, &place, style, done);
    let next = calendar.next(floor)?;
    let at = place.start_of(next);
    if at < place.end() {
        return Some(Timestamp(at));
    }
    next_over_transitions(calendar, style, after.0, zone, done, Cursor { place, floor, next })
}

/// The state of a search for the next due time.
struct Cursor<'z> {
    /// The span of constant offset.
    place: Place<'z>,
    /// Local minutes up to this one are not due any more.
    floor: i64,
    /// The first matching local minute after `floor`.
    next: i64,
}

fn next_over_transitions<C: Calendar>(
    calendar: &C,
    style: DstPolicy,
    after: i64,
    zone: &Zone,
    done: i64,
    cursor: Cursor<'_>,
) -> Option<Timestamp> {
    let Cursor { mut place, mut floor, mut next } = cursor;
    let limit = floor + (CYCLE_DAYS + 1) * DAY_MINUTES;
    let mut now = after;
    loop {
        let at = place.start_of(next);
        if at < place.end() {
            return Some(Timestamp(at));
        }
        // Nothing matches between floor and next. Transitions so far from both ends that they show only minutes in between
        // can be skipped.
        if place.end() > now + WELL_APART && at > place.end() + 2 * WELL_APART {
            now = at - WELL_APART;
            place = zone.place(now);
            continue;
        }
        now = place.end();
        place = zone.next_place(&place)?;
        if due_at_start(calendar, style, &place, done) {
            return Some(Timestamp(now));
        }
        let new_floor = held_floor(place.first_shown(), &place, style, done);
        if new_floor < floor || new_floor >= next {
            next = calendar.next(new_floor)?;
        }
        floor = new_floor;
        if next > limit {
            return None;
        }
    }
}

/// The local minute up to which nothing more is due in this span.
fn held_floor(shown: i64, place: &Place<'_>, style: DstPolicy, done: i64) -> i64 {
    match style {
        DstPolicy::Wildcard => shown,
        DstPolicy::Fixed => shown.max(place.held_until()).max(done),
    }
}

/// Whether an entry is due at the transition with which the span begins.
fn due_at_start<C: Calendar>(calendar: &C, style: DstPolicy, place: &Place<'_>, done: i64) -> bool {
    let shown = place.first_shown();
    let before = place.shown_before();
    let missed = |from: i64| calendar.next(from).is_some_and(|minute| minute <= shown);
    match (ClockStep::of(shown - before), style) {
        (ClockStep::Small, _) | (ClockStep::Forward, DstPolicy::Fixed) => missed(before.max(done)),
        (ClockStep::Back, DstPolicy::Fixed) => false,
        (ClockStep::Forward | ClockStep::Back | ClockStep::Jump, DstPolicy::Wildcard) => calendar.matches(shown),
        (ClockStep::Jump, DstPolicy::Fixed) => shown > done && calendar.matches(shown),
    }
}

/// The same for `@quartz`, whose unit is the second and whose rule is simpler: a time is due when local clocks first show it
/// or skip it. A time in a gap of any size is due when the gap ends, a time in a fold the first time; both times, if the second or the
/// minute is a wildcard.
pub(super) fn next_due_second(
    quartz: &Quartz,
    after: Timestamp,
    zone: &Zone,
    done: Option<LocalMinute>,
) -> Option<Timestamp> {
    if quartz.repeats_in_folds() {
        return next_shown_second(quartz, after.0, zone);
    }
    let mut reached = zone.furthest_shown(after.0);
    if let (DstPolicy::Fixed, Some(LocalMinute(minute))) = (quartz.style(), done) {
        reached = reached.max(minute * 60 + 59);
    }
    let second = quartz.next(reached)?;
    Some(Timestamp(zone.first_reaching(second)))
}

/// The first time after `after` (exclusive) at which the zone's clocks show a second that matches, or have skipped one.
fn next_shown_second(quartz: &Quartz, after: i64, zone: &Zone) -> Option<Timestamp> {
    let mut place = zone.place(after);
    let mut now = after;
    let mut shown = after + place.offset();
    loop {
        let next = quartz.next(shown)?;
        let at = next - place.offset();
        if at < place.end() {
            return Some(Timestamp(at));
        }
        // As above: clocks show only seconds between `shown` and `next`.
        if place.end() > now + WELL_APART && at > place.end() + 2 * WELL_APART {
            now = at - WELL_APART;
            place = zone.place(now);
            shown = now + place.offset();
            continue;
        }
        now = place.end();
        place = zone.next_place(&place)?;
        let first_shown = now + place.offset();
        if next <= first_shown {
            return Some(Timestamp(now));
        }
        shown = first_shown - 1;
    }
}

#[cfg(test)]
mod tests;
