//! What the engine of the fleet says, and what this node publishes.

use super::action::Action;
use super::fleet::{
    Fleet, FleetAnswer, FleetEvent, FleetKey, FleetSettings, FleetTask, MOST_NODE_JOBS, Mark, NodeJobs, NodeRecord,
    Purpose, RunKeys, SavedFleetJob, json,
};
use super::job_id::JobId;
use super::now::Now;
use super::saved::StateChange;
use super::state::{Phase, Scheduler};
use crate::crontab::{CatchUpMode, FleetMode};
use crate::schedule::Timestamp;
use siphasher::sip::SipHasher24;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

/// How long a request that is not a claim may take. Milliseconds.
pub(super) const REQUEST_MS: i64 = 30_000;
/// Before a request that was refused or has failed is made again. Milliseconds.
const RETRY_MS: i64 = 5_000;
/// Within this time after a connection missed slots are caught up, so that not all jobs of all nodes begin at once. Milliseconds.
const SPREAD_MS: u64 = 5_000;
/// Most bytes of the list of jobs that a node publishes: etcd refuses a request of more than 1.5 MiB, and the node would be in no fleet.
const MOST_NODE_BYTES: usize = 1_200_000;
/// Bytes of a job in that list besides its name: the digest and the punctuation of JSON.
const NODE_JOB_BYTES: usize = 20;

impl Scheduler {
    /// Makes the machine a node of a fleet, before tables are loaded. `random` draws a random number, which must differ also between copies of
    /// this process, as those of the kernel do in a virtual machine that was copied while it ran.
    pub fn set_fleet(&mut self, settings: FleetSettings, random: fn() -> u64) {
        let instance = settings.fresh_instance.clone();
        self.fleet = Some(Fleet::new(settings, instance, random, self.progress.last.elapsed_ms));
        self.jobs.set_in_fleet();
    }

    /// Takes the instance of an earlier daemon of this boot, or leaves that of this one to the next.
    pub(super) fn restore_fleet_instance(
        &mut self,
        saved: Option<String>,
        is_other_boot: bool,
        actions: &mut Vec<Action>,
    ) {
        let Some(fleet) = &mut self.fleet else { return };
        match saved.filter(|_| !is_other_boot) {
            Some(instance) => fleet.instance = instance,
            None => {
                let change = StateChange::fleet_instance(Some(fleet.instance.clone()));
                actions.push(Action::SaveState(Box::new(change)));
            }
        }
    }

    /// Takes what an earlier daemon has left of fleet jobs. Without a fleet nothing of it is kept.
    pub(super) fn restore_fleet_jobs(&mut self, saved: BTreeMap<JobId, SavedFleetJob>, actions: &mut Vec<Action>) {
        for (id, saved) in saved {
            match &mut self.fleet {
                Some(fleet) => fleet.restore(&id, saved),
                None => actions.push(Action::SaveState(Box::new(StateChange::fleet_job(id, None)))),
            }
        }
    }

    /// Hands out what has changed of that.
    pub(super) fn save_fleet_jobs(&mut self, actions: &mut Vec<Action>) {
        let Some(fleet) = &mut self.fleet else { return };
        for id in std::mem::take(&mut fleet.changed) {
            let saved = fleet.saved(&id);
            actions.push(Action::SaveState(Box::new(StateChange::fleet_job(id, saved))));
        }
    }

    /// Fleet jobs have come or gone.
    pub(super) fn note_fleet_jobs(&mut self) {
        if let Some(fleet) = &mut self.fleet {
            fleet.has_new_jobs = true;
        }
    }

    /// Takes what the engine says.
    pub(super) fn handle_fleet(&mut self, event: FleetEvent, now: Now, actions: &mut Vec<Action>) {
        let Some(fleet) = &mut self.fleet else { return };
        match event {
            FleetEvent::Listing { lease, sent_ms } => {
                fleet.forget_requests();
                fleet.cache.begin_listing();
                let sent_ms = fleet.before_sleeps(sent_ms);
                fleet.link.begin(lease, sent_ms);
            }
            FleetEvent::Entries(entries) => {
                let changed: Vec<FleetKey> =
                    entries.iter().filter_map(|entry| fleet.cache.apply(entry, now.elapsed_ms)).collect();
                if fleet.cache.take_refusal() {
                    fleet.excess_keys.note(now.utc.0);
                }
                self.note_fleet_keys(changed, now, actions);
            }
            FleetEvent::Listed => {
                fleet.cache.end_listing();
                if fleet.cache.take_refusal() {
                    fleet.excess_keys.note(now.utc.0);
                }
                fleet.link.note_listed();
                self.publish_node(actions, now);
            }
            FleetEvent::Renewed { sent_ms } => {
                let sent_ms = fleet.before_sleeps(sent_ms);
                fleet.link.renew(sent_ms);
                self.extend_runs(actions);
                self.publish_node(actions, now);
                self.raise_marks(now, actions);
                if self.fleet.as_ref().is_some_and(|fleet| fleet.link.is_published()) {
                    self.keep_run_keys(RunKeys::Missing, now, actions);
                }
                self.sweep_fleet(now, actions);
                self.send_reports(now, actions);
                if self.fleet.as_ref().is_some_and(|fleet| fleet.link.is_published()) {
                    self.send_pauses(now, actions);
                }
            }
            FleetEvent::Answered { id, answer } => self.take_fleet_answer(id, &answer, now, actions),
            FleetEvent::Away => {
                fleet.forget_requests();
                fleet.link.end(now.elapsed_ms);
                let waiting: Vec<JobId> = fleet.jobs.keys().cloned().collect();
                let claimed = fleet.claims.jobs().cloned();
                let skipped = fleet.skips.keys().map(|(id, _)| id.clone());
                let ids: Vec<JobId> = waiting.into_iter().chain(claimed).chain(skipped).collect();
                ids.iter().for_each(|id| fleet.wake(id, now.elapsed_ms));
            }
        }
        self.run_fleet_timers(now, actions);
    }

    fn take_fleet_answer(&mut self, id: u64, answer: &FleetAnswer, now: Now, actions: &mut Vec<Action>) {
        let Some(fleet) = &mut self.fleet else { return };
        let Some((purpose, asked, changed)) = fleet.take_answer(id, answer, now.elapsed_ms) else { return };
        let is_done = matches!(answer, FleetAnswer::Done { .. });
        let is_refused = matches!(answer, FleetAnswer::Refused { .. });
        match purpose {
            Purpose::Publish if is_done => {
                fleet.link.note_published(now.elapsed_ms);
                self.note_published(now, actions);
            }
            // The watch shows the rest.
            Purpose::Publish if is_refused && fleet.plan_publish().is_some_and(|plan| plan != asked) => {
                self.publish_node(actions, now);
            }
            Purpose::Publish => {}
            Purpose::Claim(run) => self.take_claim_answer(run, answer, now, actions),
            Purpose::Skip(job, slot) => {
                if let Some(skip) = fleet.skips.get_mut(&(job.clone(), slot)) {
                    skip.request = None;
                }
                self.drive_skip(&job, slot, matches!(answer, FleetAnswer::Failed { .. }), now, actions);
            }
            Purpose::Report(job, number) => {
                let key = (job, number);
                // Another plan, as the keys are others now.
                let is_outdated =
                    fleet.reports.get(&key).is_some_and(|report| fleet.plan_report(&key.0, report) != asked);
                match fleet.reports.get_mut(&key) {
                    Some(report) if is_refused && is_outdated => {
                        report.request = None;
                        self.send_report(&key.0, key.1, now, actions);
                    }
                    Some(_) if is_done || is_refused => fleet.remove_report(&key.0, key.1),
                    // Again after the next renewal.
                    Some(report) => report.request = None,
                    None => {}
                }
                fleet_wake(&mut self.fleet, &key.0, now);
            }
            Purpose::Lose(job, own) => {
                if let Some((slot, run)) = own.filter(|_| is_done) {
                    self.with_jobs(now, actions, |jobs, context| jobs.record_fleet_loss(&job, slot, run, context));
                }
                self.wake_after_answer(&job, is_done, now);
            }
            Purpose::Run(job) | Purpose::Repair(job) | Purpose::Raise(job) | Purpose::Sweep(job) => {
                self.wake_after_answer(&job, is_done, now);
            }
            Purpose::Pause(job)
                if is_done || (is_refused && fleet.plan_pause(&job).is_none_or(|plan| plan != asked)) =>
            {
                self.send_pause(&job, now, actions);
            }
            Purpose::Pause(_) => {}
        }
        self.note_fleet_keys(changed, now, actions);
    }

    /// Sets the timer of a job after the answer to a request: a request that has changed nothing is not made again at once.
    fn wake_after_answer(&mut self, id: &JobId, is_done: bool, now: Now) {
        let pause_ms = if is_done { 0 } else { RETRY_MS };
        if let Some(fleet) = &mut self.fleet {
            fleet.wake(id, now.elapsed_ms.saturating_add(pause_ms));
        }
    }

    /// Writes the node key, if it is not as it should be.
    pub(super) fn publish_node(&mut self, actions: &mut Vec<Action>, now: Now) {
        if self.phase != Phase::Running {
            return;
        }
        self.describe_node();
        let Some(fleet) = &mut self.fleet else { return };
        let own = fleet.cache.node(&fleet.settings.node);
        let is_as_it_should = fleet.link.is_up(now.elapsed_ms) && own.is_some_and(|own| own.text == fleet.published.0);
        if is_as_it_should || fleet.is_asked(&Purpose::Publish) {
            return;
        }
        let Some(transaction) = fleet.plan_publish() else { return };
        let request = fleet.request(Purpose::Publish, transaction, now.elapsed_ms + REQUEST_MS);
        actions.extend(request.map(|request| Action::Fleet(Box::new(request))));
    }

    /// Brings up to date what this node publishes of itself and its jobs.
    fn describe_node(&mut self) {
        let Some(fleet) = &mut self.fleet else { return };
        if !std::mem::take(&mut fleet.has_new_jobs) {
            return;
        }
        let zone = self.entries.timing.zones.system();
        let mut jobs = NodeJobs::new();
        let mut all = SipHasher24::new();
        let (mut count, mut bytes) = (0_u32, 0);
        for (id, policy) in self.jobs.fleet_jobs() {
            let Some((number, entry)) = self.jobs.entry(id) else { continue };
            let Some(table) = self.entries.tables.get(number) else { continue };
            let mut hasher = SipHasher24::new();
            table.schedule_digest(entry, zone.name()).hash(&mut hasher);
            policy.hash(&mut hasher);
            self.entries.user_of(table, entry).hash(&mut hasher);
            table.command(entry).hash(&mut hasher);
            let digest = hasher.finish();
            (id, digest).hash(&mut all);
            count = count.saturating_add(1);
            // What does not fit is not compared with the tables of the others.
            bytes += json(id).len() + NODE_JOB_BYTES;
            if jobs.len() < MOST_NODE_JOBS && bytes <= MOST_NODE_BYTES {
                jobs.insert(id.clone(), format!("{digest:016x}"));
            }
        }
        let FleetSettings { labels, weight, version, .. } = fleet.settings.clone();
        let record = NodeRecord {
            instance: fleet.instance.clone(),
            labels,
            weight,
            version,
            jobs: count,
            digest: format!("{:016x}", all.finish()),
        };
        fleet.published = (json(&record), json(&jobs));
    }

    /// The node key is there: this node acts for the fleet from now on. Jobs that have waited are driven.
    fn note_published(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.adopt_claims(now, actions);
        self.raise_marks(now, actions);
        let Some(fleet) = &mut self.fleet else { return };
        let waiting = fleet.jobs.keys().cloned();
        let claimed = fleet.claims.jobs().cloned();
        let skipped = fleet.skips.keys().map(|(id, _)| id.clone()).chain(fleet.away_jobs().cloned());
        let open = fleet.cache.marks().filter(|(_, known)| known.value.as_ref().is_some_and(|mark| mark.is_open()));
        let running = fleet
            .cache
            .runs()
            .filter(|(_, known)| known.value.as_ref().is_some_and(|run| fleet.own_run(&run.nonce).is_some()));
        let active = self.jobs.fleet_runs().map(|run| run.job.clone());
        let ids: Vec<JobId> = waiting
            .chain(claimed)
            .chain(skipped)
            .chain(open.map(|(id, _)| id.clone()))
            .chain(running.map(|(id, _)| id.clone()))
            .chain(active)
            .collect();
        ids.iter().for_each(|id| fleet.wake(id, now.elapsed_ms));
        let catching_up = self.jobs.fleet_jobs().filter(|(_, policy)| policy.catch_up.mode != CatchUpMode::None);
        for (id, _) in catching_up {
            fleet.wake(id, now.elapsed_ms.saturating_add(spread_ms(id)));
        }
        self.end_fleet_pauses(now, actions);
        self.send_pauses(now, actions);
        self.keep_run_keys(RunKeys::All, now, actions);
        self.send_reports(now, actions);
    }

    /// Drives what depends on keys that have changed.
    fn note_fleet_keys(&mut self, changed: Vec<FleetKey>, now: Now, actions: &mut Vec<Action>) {
        let mut has_new_nodes = false;
        for key in changed {
            let Some(fleet) = &mut self.fleet else { return };
            match key {
                FleetKey::Node(node) => {
                    has_new_nodes = true;
                    let is_of_node = |mark: &Mark| mark.is_open() && mark.node == node;
                    let marks = fleet.cache.marks().filter(|(_, known)| known.value.as_ref().is_some_and(is_of_node));
                    let ids: Vec<JobId> = marks.map(|(id, _)| id.clone()).collect();
                    ids.iter().for_each(|id| fleet.wake(id, now.elapsed_ms));
                }
                FleetKey::Mark(id) => {
                    let other = fleet.cache.mark(&id).filter(|known| fleet.own_claim(known).is_none());
                    let slot = other.and_then(|known| known.value.as_ref()).map(|mark| mark.slot);
                    if self.jobs.entry(&id).is_some() || self.jobs.policy(&id).is_some() {
                        fleet.wake(&id, now.elapsed_ms);
                        if let Some(slot) = slot {
                            let slot = Timestamp(slot);
                            self.with_jobs(now, actions, |jobs, context| jobs.note_newer_slot(&id, slot, context));
                        }
                    }
                }
                FleetKey::Run(id) | FleetKey::Pause(id) => {
                    if self.jobs.entry(&id).is_some() {
                        fleet.wake(&id, now.elapsed_ms);
                    }
                }
                FleetKey::Clock(_) | FleetKey::Jobs(_) | FleetKey::Outcome(..) => {}
            }
        }
        self.end_fleet_pauses(now, actions);
        self.report_replaced_marks();
        if has_new_nodes {
            // Ranks have changed.
            if let Some(fleet) = &mut self.fleet {
                let ids: Vec<JobId> = fleet.jobs.keys().cloned().collect();
                ids.iter().for_each(|id| fleet.wake(id, now.elapsed_ms));
            }
            self.publish_node(actions, now);
        }
    }

    /// What the turn has made necessary: skips and ends for the whole fleet, and what may start after that.
    pub(super) fn work_for_fleet(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.fleet.is_none() {
            return;
        }
        self.publish_changes(now, actions);
        while let Some(task) = self.fleet.as_mut().and_then(|fleet| fleet.tasks.pop_front()) {
            match task {
                FleetTask::Skip(id, slot, trigger, reason) => {
                    self.begin_skip((&id, slot), trigger, reason, now, actions)
                }
                FleetTask::Conclude(claim, record) => self.report_end(claim, &record, now, actions),
                FleetTask::RunEnded(id) => fleet_wake(&mut self.fleet, &id, now),
            }
            if self.fleet.as_ref().is_some_and(|fleet| fleet.tasks.is_empty()) && self.phase == Phase::Running {
                self.run_fleet_timers(now, actions);
                self.hand_over(now, actions);
            }
        }
    }

    fn publish_changes(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.fleet.as_ref().is_some_and(|fleet| fleet.has_new_jobs && fleet.link.lease().is_some()) {
            self.publish_node(actions, now);
        }
    }

    /// The fleet jobs with their policies that this node has.
    pub(super) fn is_fleet_job_enabled(&self, id: &JobId) -> bool {
        self.jobs.policy(id).is_some_and(|policy| policy.is_enabled && policy.fleet.mode != FleetMode::Each)
    }
}

/// Has a job driven now.
pub(super) fn fleet_wake(fleet: &mut Option<Fleet>, id: &JobId, now: Now) {
    if let Some(fleet) = fleet {
        fleet.wake(id, now.elapsed_ms);
    }
}

/// A part of [`SPREAD_MS`] that depends on the job.
pub(super) fn spread_ms(id: &JobId) -> i64 {
    let mut hasher = SipHasher24::new();
    hasher.write(id.as_str().as_bytes());
    (hasher.finish() % SPREAD_MS) as i64
}
