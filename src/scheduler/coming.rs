//! When an entry is to start, by all that is known now: schedule, days that are left out, pause, and whether it is enabled.

use super::job_id::JobId;
use super::live::Live;
use crate::crontab::Policy;
use crate::schedule::{Kind, Timestamp};
use std::sync::Arc;

/// Days in a row that are left out before a search ends.
const MOST_DAYS: usize = 4_000;

/// The coming starts of an entry, in order.
#[derive(Debug)]
pub struct ComingStarts<'a> {
    live: Live<'a>,
    policy: Arc<Policy>,
    after: Timestamp,
    /// The end of the pause that is in force.
    pause_end: Option<Timestamp>,
}

impl<'a> Live<'a> {
    /// The coming starts of the entry after a moment: none while it is disabled, none in the pause that is in force, and none on days that are left out.
    /// `id` is the job that it is.
    pub fn coming_starts(&self, id: &JobId, from: Timestamp) -> ComingStarts<'a> {
        let pause_end = self.scheduler.job_status(id).pause.map(|pause| pause.until);
        ComingStarts { live: *self, policy: self.policy(), after: from, pause_end }
    }

    /// When it is to start next, also if it was due before and waits.
    pub fn coming_start(&self, id: &JobId) -> Option<Timestamp> {
        let next = self.next_start()?;
        self.coming_starts(id, Timestamp(next.0 - 1)).next()
    }
}

impl ComingStarts<'_> {
    /// Where nothing starts at a moment: when that is over.
    fn left_out_until(&self, start: Timestamp) -> Option<Timestamp> {
        let delay = i64::from(self.live.delay());
        let calendars = &self.live.scheduler.entries.calendars;
        let slot = Timestamp(start.0 - delay);
        let of_day = self.live.zone().and_then(|zone| self.policy.except.end_of_day(slot, zone, calendars));
        let of_day = of_day.map(|end| Timestamp(end.0 + delay));
        self.pause_end.filter(|end| start < *end).max(of_day)
    }
}

impl Iterator for ComingStarts<'_> {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        if !self.policy.is_enabled {
            return None;
        }
        let next_after = |after| self.live.starts_after(after).next();
        let kind = self.live.schedule().kind();
        let start = first_start(self.after, kind, next_after, |start| self.left_out_until(start))?;
        self.after = start;
        Some(start)
    }
}

/// The first start after a moment that is not left out. `next_after` has the first one after a moment, and `left_out_until` the end of the
/// time in which a start is left out, if it is. A moment of an `@N` entry that is left out counts as the end of a run.
pub fn first_start(
    after: Timestamp,
    kind: Kind,
    next_after: impl Fn(Timestamp) -> Option<Timestamp>,
    left_out_until: impl Fn(Timestamp) -> Option<Timestamp>,
) -> Option<Timestamp> {
    let mut start = next_after(after)?;
    for _ in 0..MOST_DAYS {
        let Some(end) = left_out_until(start) else { return Some(start) };
        start = match kind {
            Kind::Interval { seconds } => {
                let (seconds, left_out) = (i64::from(seconds).max(1), (end.0 - start.0).max(1));
                Timestamp(start.0 + (left_out + seconds - 1) / seconds * seconds)
            }
            Kind::Calendar | Kind::Reboot | Kind::After => next_after(start.max(Timestamp(end.0 - 1)))?,
        };
    }
    None
}
