//! Merges the runs of many entries in order of time.

use crate::schedule::{Schedule, Timestamp, Zone};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What determines the start times of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recurring<'a> {
    /// The schedule that makes it due.
    pub(super) schedule: &'a Schedule,
    /// The zone of the schedule.
    pub(super) zone: &'a Zone,
    /// Its random delay in seconds.
    pub(super) delay: u32,
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

impl Recurring<'_> {
    /// Its first start after `moment` (exclusive), including its delay.
    pub(super) fn start_after(&self, moment: Timestamp) -> Option<Timestamp> {
        let delay = i64::from(self.delay);
        let due = self.schedule.next_after(Timestamp(moment.0.checked_sub(delay)?), self.zone, None)?;
        due.0.checked_add(delay).map(Timestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Seed;

    fn schedule(text: &str) -> Schedule {
        Schedule::parse(text, &Seed { host: Default::default(), table: "", entry: b"" }).expect(text).schedule
    }

    #[test]
    fn runs_of_several_entries_come_in_order_of_time_then_of_entries() {
        let utc = Zone::utc();
        let schedules = [schedule("*/10 * * * *"), schedule("*/15 * * * *"), schedule("0 0 30 2 *")];
        let entries: Vec<_> = schedules.iter().map(|schedule| Recurring { schedule, zone: &utc, delay: 0 }).collect();
        let runs: Vec<_> = Upcoming::after(Timestamp(0), &entries).take(6).map(|(at, i)| (at.0 / 60, i)).collect();
        assert_eq!(runs, [(10, 0), (15, 1), (20, 0), (30, 0), (30, 1), (40, 0)]);
    }

    #[test]
    fn a_delay_moves_every_start_and_loses_none_at_the_beginning() {
        let utc = Zone::utc();
        let schedule = schedule("*/10 * * * *");
        let entries = [Recurring { schedule: &schedule, zone: &utc, delay: 95 }];
        let runs: Vec<_> = Upcoming::after(Timestamp(60), &entries).take(2).map(|(at, _)| at.0).collect();
        assert_eq!(runs, [95, 695]);
    }
}
