//! Merges the runs of many entries in order of time.

use crate::crontab::{Calendars, Policy};
use crate::schedule::{Schedule, Timestamp, Zone};
use crate::scheduler::first_start;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// What determines the start times of an entry.
#[derive(Clone, Debug)]
pub(super) struct Recurring<'a> {
    /// The schedule that makes it due.
    pub(super) schedule: &'a Schedule,
    /// The zone of the schedule.
    pub(super) zone: &'a Zone,
    /// Its random delay in seconds.
    pub(super) delay: u32,
    /// Whether it has slots, and on which days it has none.
    pub(super) policy: Arc<Policy>,
    /// The calendars that the policy may name.
    pub(super) calendars: Option<&'a Calendars>,
}

/// Iterates over the runs of all entries, earliest first. Runs in the same second are in the order of the entries.
#[derive(Debug)]
pub(super) struct Upcoming<'a> {
    entries: &'a [Recurring<'a>],
    /// The next start of each entry, and its index in `entries`.
    heap: BinaryHeap<Reverse<(Timestamp, usize)>>,
}

impl<'a> Upcoming<'a> {
    /// All runs that start after `from` (exclusive).
    pub(super) fn after(from: Timestamp, entries: &'a [Recurring<'a>]) -> Upcoming<'a> {
        let first = |(at, entry): (usize, &Recurring<'a>)| entry.start_after(from).map(|start| Reverse((start, at)));
        Upcoming { entries, heap: entries.iter().enumerate().filter_map(first).collect() }
    }
}

impl Iterator for Upcoming<'_> {
    /// The start time and the index of the entry.
    type Item = (Timestamp, usize);

    fn next(&mut self) -> Option<(Timestamp, usize)> {
        let mut top = self.heap.peek_mut()?;
        let Reverse((start, at)) = *top;
        match self.entries.get(at).and_then(|entry| entry.start_after(start)) {
            Some(next) => *top = Reverse((next, at)),
            None => {
                std::collections::binary_heap::PeekMut::pop(top);
            }
        }
        Some((start, at))
    }
}

impl<'a> Recurring<'a> {
    /// An entry with that schedule and no settings.
    pub(super) fn of_schedule(schedule: &'a Schedule, zone: &'a Zone) -> Recurring<'a> {
        Recurring { schedule, zone, delay: 0, policy: Arc::default(), calendars: None }
    }

    /// Its first start after `moment` (exclusive), including its delay. None while it is disabled, and none on a day that is left out.
    pub(super) fn start_after(&self, moment: Timestamp) -> Option<Timestamp> {
        if !self.policy.is_enabled {
            return None;
        }
        let delay = i64::from(self.delay);
        let next_after = |after: Timestamp| {
            let due = self.schedule.next_after(Timestamp(after.0.checked_sub(delay)?), self.zone, None)?;
            due.0.checked_add(delay).map(Timestamp)
        };
        let left_out_until = |start: Timestamp| {
            let slot = Timestamp(start.0 - delay);
            let end = self.calendars.and_then(|known| self.policy.except.end_of_day(slot, self.zone, known));
            end.map(|end| Timestamp(end.0 + delay))
        };
        first_start(moment, self.schedule.kind(), next_after, left_out_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crontab::Exceptions;
    use crate::schedule::{Day, JitterKey};

    fn schedule(text: &str) -> Schedule {
        Schedule::parse(text, &JitterKey { host: Default::default(), table: "", entry: b"" }).expect(text).schedule
    }

    fn recurring<'a>(schedule: &'a Schedule, zone: &'a Zone, delay: u32) -> Recurring<'a> {
        Recurring { delay, ..Recurring::of_schedule(schedule, zone) }
    }

    #[test]
    fn days_that_are_left_out_have_no_starts_and_the_delay_does_not_count() {
        let utc = Zone::utc();
        let schedule = schedule("0 12 * * *");
        let calendars = Calendars::default();
        let days = vec![(Day::parse(b"19700102").unwrap(), Day::parse(b"19700103").unwrap())];
        let except = Arc::new(Exceptions::new(days, Vec::new()));
        let policy = Arc::new(Policy { except, ..Policy::default() });
        let mut entry = Recurring { policy, calendars: Some(&calendars), ..recurring(&schedule, &utc, 0) };
        let runs = |entry: &Recurring<'_>| -> Vec<i64> {
            Upcoming::after(Timestamp(0), std::slice::from_ref(entry)).take(3).map(|(at, _)| at.0 / 3600).collect()
        };
        assert_eq!(runs(&entry), [12, 3 * 24 + 12, 4 * 24 + 12]);
        // The slot is at noon of a day, and the start on the next one.
        entry.delay = 13 * 3600;
        assert_eq!(runs(&entry), [1, 25, 3 * 24 + 25]);
        entry.policy = Arc::new(Policy { is_enabled: false, ..Policy::default() });
        assert!(runs(&entry).is_empty());
    }

    #[test]
    fn a_moment_of_an_interval_that_is_left_out_counts_as_the_end_of_a_run() {
        let (utc, calendars, schedule) = (Zone::utc(), Calendars::default(), schedule("@50000"));
        let day = Day::parse(b"19700102").unwrap();
        let except = Arc::new(Exceptions::new(vec![(day, day)], Vec::new()));
        let policy = Arc::new(Policy { except, ..Policy::default() });
        let entry = Recurring { policy, calendars: Some(&calendars), ..recurring(&schedule, &utc, 0) };
        let runs: Vec<_> =
            Upcoming::after(Timestamp(0), std::slice::from_ref(&entry)).take(3).map(|(at, _)| at.0).collect();
        assert_eq!(runs, [50_000, 200_000, 250_000]);
    }

    #[test]
    fn runs_of_several_entries_come_in_order_of_time_then_of_entries() {
        let utc = Zone::utc();
        let schedules = [schedule("*/10 * * * *"), schedule("*/15 * * * *"), schedule("0 0 30 2 *")];
        let entries: Vec<_> = schedules.iter().map(|schedule| recurring(schedule, &utc, 0)).collect();
        let runs: Vec<_> = Upcoming::after(Timestamp(0), &entries).take(6).map(|(at, i)| (at.0 / 60, i)).collect();
        assert_eq!(runs, [(10, 0), (15, 1), (20, 0), (30, 0), (30, 1), (40, 0)]);
    }

    #[test]
    fn a_delay_moves_every_start_and_loses_none_at_the_beginning() {
        let utc = Zone::utc();
        let schedule = schedule("*/10 * * * *");
        let entries = [recurring(&schedule, &utc, 95)];
        let runs: Vec<_> = Upcoming::after(Timestamp(60), &entries).take(2).map(|(at, _)| at.0).collect();
        assert_eq!(runs, [95, 695]);
    }
}
