//! The rule for steps of the clock: what is due when a zone's clocks did not advance by exactly one minute.
//!
//! It is Vixie cron's rule (Debian cron.c and cronie cron.c, `main`), kept for each zone apart. Each zone has a *virtual clock*, the latest
//! local minute that was handled. In undisturbed time, the zone's gaps and folds included, a schedule's own
//! [`next_after`](crate::schedule::Schedule::next_after) applies the rule; this file adds what follows from a step of the clock.

use crate::schedule::{DstPolicy, LocalMinute, Schedule, Timestamp, Zone};

/// Most minutes that are caught up after a jump forward, and for which fixed times are held after one back.
pub(super) const MOST_MINUTES: i64 = 180;
/// Up to this many minutes are caught up as if nothing had happened.
pub(super) const FEW_MINUTES: i64 = 5;
/// After this many seconds a virtual clock that a step has set has no effect any more: a hold of three hours and a fold of three more.
pub(super) const CLOCK_SET_COUNTS: i64 = 2 * MOST_MINUTES * 60;

/// How a zone's clocks advanced from the virtual clock V to the minute r that they show now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClockDelta {
    /// r comes right after V, or a few minutes later: everything is due for every minute after V.
    Few,
    /// Up to three hours later: fixed times are due for every minute after V, wildcards for r alone.
    Hours,
    /// r is not after V, by less than three hours: wildcards are due for r, fixed times are held while r is not past V.
    Back,
    /// Further away: what matches r is due, nothing is caught up or held.
    Jump,
}

impl ClockDelta {
    /// The case of the rule for `now` minus `before`.
    pub(super) fn between(before: LocalMinute, now: LocalMinute) -> ClockDelta {
        match now.0 - before.0 {
            1..=FEW_MINUTES => ClockDelta::Few,
            minutes if minutes > 0 && minutes <= MOST_MINUTES => ClockDelta::Hours,
            minutes if minutes <= 0 && minutes > -MOST_MINUTES => ClockDelta::Back,
            _ => ClockDelta::Jump,
        }
    }

    /// The local minute after which a schedule of that style may be due, and whether every minute from there to `now` counts. None: it is
    /// not due.
    fn due_after(self, style: DstPolicy, before: LocalMinute, now: LocalMinute) -> Option<LocalMinute> {
        let only_now = LocalMinute(now.0 - 1);
        match (self, style) {
            (ClockDelta::Few, _) | (ClockDelta::Hours, DstPolicy::Fixed) => Some(before),
            (ClockDelta::Hours | ClockDelta::Back, DstPolicy::Wildcard) | (ClockDelta::Jump, _) => Some(only_now),
            (ClockDelta::Back, DstPolicy::Fixed) => None,
        }
    }

    /// The local minutes for which a schedule is due when the clocks went from `before` to `now`, each with its rank.
    pub(super) fn minutes_due(
        self,
        schedule: &Schedule,
        style: DstPolicy,
        before: LocalMinute,
        now: LocalMinute,
    ) -> impl Iterator<Item = (LocalMinute, i64)> {
        let after = self.due_after(style, before, now).unwrap_or(now);
        let first = self == ClockDelta::Hours && style == DstPolicy::Wildcard;
        let rank = move |minute: LocalMinute| if first { FIRST } else { minute.0 - now.0 };
        let minutes = (after.0 + 1..=now.0).map(LocalMinute).filter(|&minute| schedule.matches(minute));
        minutes.map(move |minute| (minute, rank(minute)))
    }
}

/// The rank of wildcards where hours of fixed times are caught up. The others' rank is their minute's distance to the
/// minute in progress, so that they come in order of minutes.
pub(super) const FIRST: i64 = i64::MIN;

/// A virtual clock that a step has set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SetClock {
    /// The local minute it showed right after the step.
    pub(super) shows: LocalMinute,
    /// The moment of the step.
    pub(super) since: Timestamp,
}

impl SetClock {
    fn still_counts(set: Option<SetClock>, at: Timestamp) -> Option<SetClock> {
        set.filter(|set| at.0.abs_diff(set.since.0) < CLOCK_SET_COUNTS.unsigned_abs())
    }
}

/// A change of the offset that showed some local minutes a second time.
struct Fold {
    at: Timestamp,
    /// The last local minute before it.
    shown: LocalMinute,
}

/// The folds of at most three hours shortly before a moment, those that can hold fixed times at it.
fn folds_before(zone: &Zone, at: Timestamp) -> impl Iterator<Item = Fold> {
    let first = zone.next_transition(Timestamp(at.0 - CLOCK_SET_COUNTS));
    std::iter::successors(first, |change| zone.next_transition(change.at))
        .take_while(move |change| change.at <= at)
        .filter(|change| (1..=MOST_MINUTES * 60).contains(&i64::from(change.before - change.after)))
        .map(|change| Fold { at: change.at, shown: zone.local_minute(Timestamp(change.at.0 - 1)) })
}

/// What the zone's virtual clock shows once everything due up to `at` has been handled.
pub(super) fn virtual_clock(zone: &Zone, set: Option<SetClock>, at: Timestamp) -> LocalMinute {
    let set = SetClock::still_counts(set, at);
    let folds = folds_before(zone, at).filter(|fold| set.is_none_or(|set| fold.at > set.since)).map(|fold| fold.shown);
    folds.chain(set.map(|set| set.shows)).fold(zone.local_minute(at), LocalMinute::max)
}

/// The first moment after `after` at which a schedule is due, in undisturbed time from `after` on.
pub(super) fn next_due(
    schedule: &Schedule,
    style: DstPolicy,
    zone: &Zone,
    set: Option<SetClock>,
    after: Timestamp,
) -> Option<Timestamp> {
    let Some(set) = SetClock::still_counts(set, after) else { return schedule.next_after(after, zone, None) };
    // A step put the clock into the second pass of a fold whose first pass it has not seen to the end: the calendar
    // would take all of the first pass as done.
    let unseen = folds_before(zone, after).find(|fold| fold.at <= set.since && fold.shown > set.shows);
    match unseen {
        Some(fold) if style == DstPolicy::Fixed => {
            let from = zone.local_minute(after).max(set.shows);
            match schedule.next_match(from).filter(|minute| *minute <= fold.shown) {
                Some(minute) => Some(Timestamp(minute.0 * 60 - i64::from(zone.offset_at(after)))),
                None => schedule.next_after(after, zone, None),
            }
        }
        _ => schedule.next_after(after, zone, Some(set.shows)),
    }
}

/// The ranks with which a schedule that is due at `at` in undisturbed time is due there: several when a gap ends at `at`
/// and times inside it are caught up. Times that a step back holds are not.
pub(super) fn ranks_at(
    schedule: &Schedule,
    style: DstPolicy,
    zone: &Zone,
    set: Option<SetClock>,
    at: Timestamp,
) -> Vec<i64> {
    let just_before = Timestamp(at.0 - 1);
    if zone.offset_at(just_before) >= zone.offset_at(at) {
        return vec![0];
    }
    let (before, now) = (zone.local_minute(just_before), zone.local_minute(at));
    let held = SetClock::still_counts(set, at).filter(|_| style == DstPolicy::Fixed).map(|set| set.shows);
    ClockDelta::between(before, now)
        .minutes_due(schedule, style, before, now)
        .filter(|(minute, _)| held.is_none_or(|held| *minute > held))
        .map(|(_, rank)| rank)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cases_of_the_rule_have_their_edges_where_the_references_have_them() {
        let delta = |minutes: i64| ClockDelta::between(LocalMinute(1000), LocalMinute(1000 + minutes));
        for (minutes, expected) in [
            (1, ClockDelta::Few),
            (5, ClockDelta::Few),
            (6, ClockDelta::Hours),
            (180, ClockDelta::Hours),
            (181, ClockDelta::Jump),
            (0, ClockDelta::Back),
            (-179, ClockDelta::Back),
            (-180, ClockDelta::Jump),
            (-1_000_000, ClockDelta::Jump),
        ] {
            assert_eq!(delta(minutes), expected, "{minutes}");
        }
    }
}
