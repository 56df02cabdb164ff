//! Starts that have left the timer wheel: entries that are due now, in the order in which they are started, tables with starts
//! that wait for a known second (random delays, intervals of `@N`), and `@after` entries whose jobs have ended.

use super::job_id::JobId;
use crate::schedule::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// An entry that is due now. The order of the fields is the order of the starts: tables in order of loading, within a
/// table the last line first, as both reference implementations have it (cron.c `find_jobs` walks a list that was built by prepending), and then
/// the entries with a policy, in the order of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    pub(super) at: Timestamp,
    /// Minutes before the minute in progress, negative; wildcards come before missed starts that are caught up.
    pub(super) rank: i64,
    pub(super) order: u32,
    /// For entries with a policy their line, for others the negative of it.
    pub(super) line: i64,
    pub(super) table: u32,
    pub(super) entry: u32,
    pub(super) scheduled_at: Timestamp,
}

/// Entries that are due, or will be at a known moment. Timers that have not expired are in the wheel instead.
#[derive(Debug, Default)]
pub(super) struct DueEntries {
    /// Entries that are due and not started yet.
    pub(super) collected: Vec<Due>,
    /// The tables that have a waiting start, by its second.
    pub(super) alarms: BTreeSet<(Timestamp, u32)>,
    /// `@after` entries that are due, with their slot.
    pub(super) after: BTreeMap<JobId, Timestamp>,
}

impl DueEntries {
    /// Takes out what was collected, or that of it that became due before a moment, in the order of the starts.
    pub(super) fn take_before(&mut self, end: Option<Timestamp>) -> Vec<Due> {
        let mut dues = std::mem::take(&mut self.collected);
        dues.sort_unstable();
        if let Some(end) = end {
            self.collected = dues.split_off(dues.partition_point(|due| due.at < end));
        }
        dues
    }

    /// Takes out the first table with a start that waits until `now` or less, with the second of that start.
    pub(super) fn take_alarm(&mut self, now: Timestamp) -> Option<(Timestamp, u32)> {
        self.next_alarm().is_some_and(|at| at <= now).then(|| self.alarms.pop_first())?
    }

    /// The second of the first waiting start.
    pub(super) fn next_alarm(&self) -> Option<Timestamp> {
        self.alarms.first().map(|(at, _)| *at)
    }
}
