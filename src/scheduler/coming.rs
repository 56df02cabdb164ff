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
    /// Its coming starts after a moment: none while it is disabled, none in the pause that is in force, and none on days that are left out.
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

    /// The first of the moments that follow each other by so many seconds and is not left out.
    fn next_of_interval(&self, start: Timestamp, seconds: i64) -> Option<Timestamp> {
        let mut at = start;
        for _ in 0..MOST_DAYS {
            let Some(end) = self.left_out_until(at) else { return Some(at) };
            let left_out = end.0 - at.0;
            at = Timestamp(at.0 + (left_out + seconds - 1) / seconds * seconds);
        }
        None
    }
}

impl Iterator for ComingStarts<'_> {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        if !self.policy.is_enabled {
            return None;
        }
        for _ in 0..MOST_DAYS {
            let start = self.live.starts_after(self.after).next()?;
            self.after = start;
            let Some(end) = self.left_out_until(start) else { return Some(start) };
            self.after = match self.live.schedule().kind() {
                // A moment that is left out counts as the end of a run.
                Kind::Interval { seconds } => return self.next_of_interval(start, i64::from(seconds).max(1)),
                Kind::Calendar | Kind::Reboot | Kind::After => start.max(Timestamp(end.0 - 1)),
            };
        }
        None
    }
}
