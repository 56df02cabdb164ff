//! The zones in use, each with its own virtual clock.

use super::rule::{self, ClockDelta, SetClock};
use crate::schedule::{LocalMinute, Timestamp, Zone};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// A zone's place in [`Zones`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ZoneId(pub(super) u32);

/// The zone of entries without `CRON_TZ`.
pub(super) const SYSTEM: ZoneId = ZoneId(0);

/// A zone that timers use.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) zone: Arc<Zone>,
    /// The virtual clock, where a step has set it.
    pub(super) set: Option<SetClock>,
    /// The virtual clock before the latest step.
    set_before: Option<SetClock>,
    users: u32,
}

/// Zones by id; freed with their last timer, the system's never.
#[derive(Debug)]
pub(super) struct Zones {
    slots: Vec<Option<Local>>,
    named: HashMap<String, Vec<ZoneId>>,
    /// The last steps of the clock, for zones that come into use after them.
    steps: VecDeque<Step>,
    /// Whether there was a step back since that was last asked.
    has_new_step_back: bool,
}

/// A step of the clock.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// The last second that was handled before.
    from: Timestamp,
    to: Timestamp,
}

impl Step {
    /// Whether it may have an effect now. The clock that shows a time before the step has been set back since.
    fn still_counts(self, now: Timestamp) -> bool {
        (0..rule::CLOCK_SET_COUNTS).contains(&now.0.saturating_sub(self.to.0))
    }
}

/// The maximum number of steps that are remembered for zones that come into use later.
const MOST_STEPS: usize = 64;

/// How a step changed the clocks of one zone.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockChange {
    /// The case of the rule. None: the clocks stayed in their minute.
    pub(super) delta: Option<ClockDelta>,
    pub(super) before: LocalMinute,
    pub(super) now: LocalMinute,
    /// The local minute in progress under the old zone, if it has been handled.
    pub(super) handled: Option<LocalMinute>,
}

impl Local {
    /// Sets the virtual clock by the rule after a step to the moment `since`.
    fn set_after(&mut self, change: ClockChange, since: Timestamp) {
        let shows = match change.delta {
            Some(ClockDelta::Few | ClockDelta::Hours | ClockDelta::Jump) => change.now,
            Some(ClockDelta::Back) | None => change.before,
        };
        self.set_before = self.set.replace(SetClock { shows, since });
    }

    /// The virtual clock as it was in the time that ends at `to`, where a step to that moment has set it.
    pub(super) fn set_before(&self, to: Timestamp) -> Option<SetClock> {
        if self.set.is_some_and(|set| set.since >= to) { self.set_before } else { self.set }
    }

    fn step(&mut self, Step { from, to }: Step) -> ClockChange {
        let before = rule::virtual_clock(&self.zone, self.set, from);
        let now = self.zone.local_minute(to);
        let in_same_minute = (0..60).contains(&(to.0 - from.0)) && self.zone.local_minute(from) == now;
        let delta = (!in_same_minute).then(|| ClockDelta::between(before, now));
        let change = ClockChange { delta, before, now, handled: None };
        self.set_after(change, to);
        change
    }

    /// Changes to another zone at `at`. The minute in progress has been handled as that of the old zone.
    fn change(&mut self, zone: Arc<Zone>, at: Timestamp) -> ClockChange {
        let before = rule::virtual_clock(&self.zone, self.set, at);
        let handled = self.zone.local_minute(at);
        let now = zone.local_minute(at);
        self.zone = zone;
        let delta = (handled != now).then(|| ClockDelta::between(before, now));
        let change = ClockChange { delta, before, now, handled: Some(handled) };
        self.set_after(change, at);
        change
    }
}

impl Zones {
    pub(super) fn new(system: Arc<Zone>) -> Zones {
        Zones {
            slots: vec![Some(Local { zone: system, set: None, set_before: None, users: 1 })],
            named: HashMap::new(),
            steps: VecDeque::new(),
            has_new_step_back: false,
        }
    }

    pub(super) fn get(&self, id: ZoneId) -> Option<&Local> {
        self.slots.get(id.0 as usize)?.as_ref()
    }

    pub(super) fn system(&self) -> Arc<Zone> {
        // The system's zone is never freed.
        self.get(SYSTEM).map_or_else(Zone::utc, |local| local.zone.clone())
    }

    fn get_mut(&mut self, id: ZoneId) -> Option<&mut Local> {
        self.slots.get_mut(id.0 as usize)?.as_mut()
    }

    /// Takes all zones through a step of the clock.
    pub(super) fn step(&mut self, from: Timestamp, to: Timestamp) -> HashMap<ZoneId, ClockChange> {
        let step = Step { from, to };
        self.remember(step);
        self.has_new_step_back |= to < from;
        let slots = (0..).map(ZoneId).zip(&mut self.slots);
        slots.filter_map(|(id, slot)| Some((id, slot.as_mut()?.step(step)))).collect()
    }

    fn remember(&mut self, step: Step) {
        if self.steps.len() == MOST_STEPS {
            self.steps.pop_front();
        }
        self.steps.push_back(step);
    }

    /// Takes all zones through steps that an earlier daemon has followed, as far as they may still have an effect.
    pub(super) fn repeat_steps(&mut self, steps: &[(Timestamp, Timestamp)], now: Timestamp) {
        for &(from, to) in steps {
            let step = Step { from, to };
            if !step.still_counts(now) {
                continue;
            }
            self.remember(step);
            for local in self.slots.iter_mut().flatten() {
                local.step(step);
            }
        }
    }

    /// The steps back of the clock that may still have an effect.
    pub(super) fn steps_back(&self, now: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let counts = |step: &&Step| step.to < step.from && step.still_counts(now);
        self.steps.iter().filter(counts).map(|step| (step.from, step.to)).collect()
    }

    /// Those steps back, if the clock was set back since the last call of this function.
    pub(super) fn take_new_steps_back(&mut self, now: Timestamp) -> Option<Vec<(Timestamp, Timestamp)>> {
        std::mem::take(&mut self.has_new_step_back).then(|| self.steps_back(now))
    }

    /// Sets the system's zone, before anything was due in it.
    pub(super) fn set_system(&mut self, zone: Arc<Zone>) {
        if let Some(local) = self.get_mut(SYSTEM) {
            local.zone = zone;
        }
    }

    /// Gives the entries without `CRON_TZ` another zone.
    pub(super) fn change_system(&mut self, zone: Arc<Zone>, at: Timestamp) -> HashMap<ZoneId, ClockChange> {
        self.get_mut(SYSTEM).map(|local| (SYSTEM, local.change(zone, at))).into_iter().collect()
    }

    /// Returns the id of a zone. The zone is removed when it has been [released](Zones::release) as often as it was kept.
    pub(super) fn find_or_add(&mut self, zone: &Arc<Zone>) -> ZoneId {
        let same = |id: &&ZoneId| self.get(**id).is_some_and(|l| Arc::ptr_eq(&l.zone, zone) || l.zone == *zone);
        if let Some(&id) = self.named.get(zone.name()).and_then(|ids| ids.iter().find(same)) {
            return id;
        }
        let mut local = Local { zone: zone.clone(), set: None, set_before: None, users: 0 };
        for &step in &self.steps {
            local.step(step);
        }
        let local = Some(local);
        let id = match self.slots.iter().position(Option::is_none) {
            Some(free) => {
                self.slots[free] = local;
                ZoneId(free as u32)
            }
            None => {
                self.slots.push(local);
                ZoneId(self.slots.len() as u32 - 1)
            }
        };
        self.named.entry(zone.name().to_owned()).or_default().push(id);
        id
    }

    /// Counts one more timer that uses the zone.
    pub(super) fn keep(&mut self, id: ZoneId) {
        if let Some(local) = self.get_mut(id) {
            local.users += 1;
        }
    }

    /// Counts one timer less that uses the zone.
    pub(super) fn release(&mut self, id: ZoneId) {
        let Some(local) = self.get_mut(id) else { return };
        local.users -= 1;
        if local.users == 0 {
            let name = local.zone.name().to_owned();
            self.slots[id.0 as usize] = None;
            if let Some(ids) = self.named.get_mut(&name) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.named.remove(&name);
                }
            }
        }
    }
}
