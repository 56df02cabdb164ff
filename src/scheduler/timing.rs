//! The timers of all live tables with what decides when they expire.

use super::rule::{self, SetClock};
use super::timers::{Shared, Timers};
use super::wheel::{Timer, Wheel};
use super::zones::{Local, Zones};
use crate::schedule::{Kind, Timestamp, Zone};
use std::sync::Arc;

/// The timers of all live tables, the wheel in which they are armed, and the zones in which their schedules are read.
#[derive(Debug)]
pub(super) struct TimingState {
    pub(super) zones: Zones,
    pub(super) timers: Timers,
    pub(super) wheel: Wheel,
}

impl TimingState {
    /// No timers; `zone` is the system's.
    pub(super) fn new(zone: Arc<Zone>, now: Timestamp) -> TimingState {
        TimingState { zones: Zones::new(zone), timers: Timers::default(), wheel: Wheel::new(now) }
    }

    /// The first due moment of a timer after `after`; none for what has no calendar.
    pub(super) fn next_due(&self, shared: &Shared, after: Timestamp) -> Option<Timestamp> {
        next_due(&self.zones, shared, after)
    }

    /// The first due moment after `after` on the clock as it ran up to `to`, without the effect of a step that set the clock to `to`.
    pub(super) fn next_due_before(&self, shared: &Shared, after: Timestamp, to: Timestamp) -> Option<Timestamp> {
        let local = self.zones.get(shared.zone)?;
        due_after(shared, local, local.set_before(to), after)
    }

    /// Whether a timer is due at that moment, on a clock without steps.
    pub(super) fn is_due_at(&self, shared: &Shared, moment: Timestamp) -> bool {
        let local = self.zones.get(shared.zone);
        local.and_then(|local| due_after(shared, local, None, Timestamp(moment.0 - 1))) == Some(moment)
    }

    /// Arms every timer for its first due moment after `after`.
    pub(super) fn arm_all(&mut self, after: Timestamp) {
        self.wheel.clear(after);
        for (timer, shared) in self.timers.iter() {
            if let Some(due) = next_due(&self.zones, shared, after) {
                self.wheel.arm(timer, due);
            }
        }
    }

    /// Arms some timers for their first due moments after `after`.
    pub(super) fn arm(&mut self, timers: Vec<Timer>, after: Timestamp) {
        for timer in timers {
            if let Some(due) = self.timers.get(timer).and_then(|shared| self.next_due(shared, after)) {
                self.wheel.arm(timer, due);
            }
        }
    }

    /// Frees those of the timers that no table uses any more.
    pub(super) fn free_unused(&mut self, unused: Vec<Timer>) {
        for timer in unused {
            if self.timers.free_if_unused(timer, &mut self.zones) {
                self.wheel.cancel(timer);
            }
        }
    }
}

fn next_due(zones: &Zones, shared: &Shared, after: Timestamp) -> Option<Timestamp> {
    let local = zones.get(shared.zone)?;
    due_after(shared, local, local.set, after)
}

fn due_after(shared: &Shared, local: &Local, set: Option<SetClock>, after: Timestamp) -> Option<Timestamp> {
    if shared.kind != Kind::Calendar || shared.schedule().never_matches() {
        return None;
    }
    rule::next_due(shared.schedule(), shared.style, &local.zone, set, after)
}
