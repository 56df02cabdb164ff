//! Pauses of fleet jobs. A pause that somebody asks for on one node holds on all of them, and ends on all when it is ended on any.

use super::action::Action;
use super::fleet::{FleetPause, Purpose, WantedPause};
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
        let pause = pause.map(|pause| FleetPause {
            from: pause.from.0,
            until: pause.until.0,
            by: pause.by.clone(),
            note: pause.note.clone(),
            is_by_root: pause.is_by_root,
            node,
            is_ended: false,
            number: 0,
        });
        let known = fleet.cache.pause(id).and_then(|known| known.value.as_ref()).map_or(0, |known| known.number);
        fleet.want_pause(id, Some(WantedPause { pause, at: now.utc.0, known }));
        if fleet.link.is_published() {
            self.send_pause(id, now, actions);
        }
    }

    /// The pause of a job for the whole fleet that is in force.
    pub(super) fn fleet_pause(&self, id: &JobId) -> Option<Pause> {
        let pause = self.fleet.as_ref()?.cache.pause(id)?.value.as_ref()?;
        let now = self.progress.last.utc;
        let FleetPause { from, until, by, note, is_by_root, is_ended, .. } = pause.clone();
        let is_in_force = !is_ended && from <= now.0 && now.0 < until && self.jobs.is_of_fleet(id);
        let (from, until) = (Timestamp(from), Timestamp(until));
        is_in_force.then_some(Pause { from, until, by, note, is_by_root, source: None })
    }

    /// Sends the pauses that the engine does not know yet.
    pub(super) fn send_pauses(&mut self, now: Now, actions: &mut Vec<Action>) {
        let wanted: Vec<JobId> = self.fleet.iter().flat_map(|fleet| fleet.wanted_pauses.keys().cloned()).collect();
        wanted.iter().for_each(|id| self.send_pause(id, now, actions));
    }

    /// Sends a pause, unless the engine has it.
    pub(super) fn send_pause(&mut self, id: &JobId, now: Now, actions: &mut Vec<Action>) {
        let Some(fleet) = &mut self.fleet else { return };
        let purpose = Purpose::Pause(id.clone());
        // What a later version has written stays, and what was asked for is kept until it can be read.
        if fleet.is_asked(&purpose) || fleet.cache.is_pause_unreadable(id) {
            return;
        }
        let Some(transaction) = fleet.plan_pause(id) else {
            let wanted = fleet.want_pause(id, None).and_then(|wanted| wanted.pause);
            let known = fleet.cache.pause(id).and_then(|known| known.value.as_ref());
            // Somebody has ended it or paused the job anew since.
            let is_over = |wanted: &FleetPause| known.is_some_and(|known| known.is_ended || !known.is_same(wanted));
            if let Some(over) = wanted.filter(is_over) {
                self.end_own_pause(id, &over, now, actions);
            }
            return;
        };
        let request = fleet.request(purpose, transaction, now.elapsed_ms.saturating_add(REQUEST_MS));
        actions.extend(request.map(|request| Action::Fleet(Box::new(request))));
    }

    /// Pauses that were asked for on this node have been ended or replaced on another.
    pub(super) fn end_fleet_pauses(&mut self, now: Now, actions: &mut Vec<Action>) {
        let Some(ended) = self.fleet.as_mut().map(|fleet| fleet.cache.take_ended_pauses()) else { return };
        for (id, ended) in ended {
            let is_wanted = |wanted: &WantedPause| wanted.pause.as_ref().is_some_and(|pause| pause.is_same(&ended));
            if !self.fleet.as_ref().and_then(|fleet| fleet.wanted_pauses.get(&id)).is_some_and(is_wanted) {
                self.end_own_pause(&id, &ended, now, actions);
            }
        }
    }

    /// Ends the pause of this node that has become that one of the fleet.
    fn end_own_pause(&mut self, id: &JobId, ended: &FleetPause, now: Now, actions: &mut Vec<Action>) {
        let is_same = |own: &Pause| own.from.0 == ended.from && own.by == ended.by;
        if self.jobs.paused(id).is_some_and(is_same) {
            self.resume(id, now, actions);
        }
    }
}
