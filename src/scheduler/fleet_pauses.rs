//! Pauses of fleet jobs. A pause that somebody asks for on one node holds on all of them, and ends on all when it is ended on any.

use super::action::Action;
use super::fleet::{FleetPause, Purpose};
use super::fleet_events::REQUEST_MS;
use super::job_id::JobId;
use super::jobs::Pause;
use super::now::Now;
use super::state::Scheduler;
use crate::schedule::Timestamp;

impl Scheduler {
    /// Somebody has paused a job on this node, or ended its pause: that holds for the fleet, as soon as the engine can be reached.
    pub(super) fn pause_in_fleet(&mut self, id: &JobId, pause: Option<&Pause>, now: Now, actions: &mut Vec<Action>) {
        if !self.jobs.is_of_fleet(id) {
            return;
        }
        let Some(fleet) = &mut self.fleet else { return };
        let node = fleet.settings.node.clone();
        let wanted = pause.map(|pause| FleetPause {
            from: pause.from.0,
            until: pause.until.0,
            by: pause.by.clone(),
            note: pause.note.clone(),
            is_by_root: pause.is_by_root,
            node,
        });
        fleet.wanted_pauses.insert(id.clone(), wanted);
        if fleet.link.is_published() {
            self.send_pause(id, now, actions);
        }
    }

    /// The pause of a job for the whole fleet that is in force.
    pub(super) fn fleet_pause(&self, id: &JobId) -> Option<Pause> {
        let pause = self.fleet.as_ref()?.cache.pause(id)?.value.as_ref()?;
        let now = self.progress.last.utc;
        let FleetPause { from, until, by, note, is_by_root, .. } = pause.clone();
        let is_in_force = from <= now.0 && now.0 < until && self.jobs.is_of_fleet(id);
        let (from, until) = (Timestamp(from), Timestamp(until));
        is_in_force.then_some(Pause { from, until, by, note, is_by_root, source: None })
    }

    /// Sends a pause, unless the engine has it.
    pub(super) fn send_pause(&mut self, id: &JobId, now: Now, actions: &mut Vec<Action>) {
        let Some(fleet) = &mut self.fleet else { return };
        let purpose = Purpose::Pause(id.clone());
        if fleet.is_asked(&purpose) {
            return;
        }
        let Some(transaction) = fleet.plan_pause(id) else {
            fleet.wanted_pauses.remove(id);
            return;
        };
        let request = fleet.request(purpose, transaction, now.elapsed_ms.saturating_add(REQUEST_MS));
        actions.extend(request.map(|request| Action::Fleet(Box::new(request))));
    }

    /// Pauses that were asked for on this node have been ended on another.
    pub(super) fn end_fleet_pauses(&mut self, now: Now, actions: &mut Vec<Action>) {
        let Some(ended) = self.fleet.as_mut().map(|fleet| fleet.cache.take_ended_pauses()) else { return };
        for (id, ended) in ended {
            let is_same = |own: &Pause| (own.from.0, own.until.0) == (ended.from, ended.until) && own.by == ended.by;
            if self.jobs.paused(&id).is_some_and(is_same) {
                self.resume(&id, now, actions);
            }
        }
    }
}
