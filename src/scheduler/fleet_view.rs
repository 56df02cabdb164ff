//! The fleet as this node sees it, for those who ask, and the repair of a watermark.

use super::action::Action;
use super::fleet::{AHEAD_MS, FleetExcess, FleetNodeView, FleetPause, Mark, NodeJobs, Purpose};
use super::fleet_events::REQUEST_MS;
use super::job_id::JobId;
use super::now::Now;
use super::progress::TurnChanges;
use super::state::Scheduler;
use super::user_requests::Answer;
use crate::crontab::FleetMode;

/// The fleet and its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetView {
    /// The name of this node.
    pub node: String,
    /// Since when this node may not act for the fleet, in milliseconds of the monotonic clock. None: it may.
    pub away_since_ms: Option<i64>,
    /// Whether another machine has the name of this node.
    pub is_name_taken: bool,
    /// Whether the clock of this node differs so much from the fleet's that it takes no part.
    pub is_skewed: bool,
    /// The nodes that are alive, and those that this node has seen go, by name.
    pub nodes: Vec<FleetNodeView>,
    /// A few jobs whose watermark is in the future, so that they do not run until then.
    pub ahead: Vec<JobId>,
}

/// A fleet job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetJobView {
    /// `one` or `one,failover`. None: this node does not have the job.
    pub mode: Option<&'static str>,
    /// The node that is the first to try.
    pub first: Option<String>,
    /// Its watermark, and the revision of that.
    pub mark: Option<(Mark, u64)>,
    /// Its pause.
    pub pause: Option<FleetPause>,
}

/// What becomes of a watermark that is to be repaired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FleetRepair {
    /// It has been asked for. The slot that the mark has until that is done.
    Asked(i64),
    /// There is no mark, or its slot is not in the future: nothing is wrong with it.
    NotNeeded(Option<i64>),
    /// The engine cannot be reached, or there is no fleet.
    Away,
    /// The clock of this node differs too much from the fleet's: it cannot judge what the future is.
    Skewed,
}

impl Scheduler {
    /// The fleet. None: this machine is in none.
    pub fn fleet_view(&self, now: Now) -> Option<FleetView> {
        const MOST_AHEAD: usize = 5;
        let fleet = self.fleet.as_ref()?;
        let is_up = fleet.link.is_up(now.elapsed_ms);
        // A node whose clock is slow would take every watermark for one of the future.
        let median_s = fleet.median_s(now);
        let is_wrong = |mark: &Mark| is_up && !fleet.is_skewed(now) && is_ahead(mark, median_s);
        let wrong = fleet.cache.marks().filter(|(_, known)| known.value.as_ref().is_some_and(is_wrong));
        let ahead = wrong.take(MOST_AHEAD).map(|(id, _)| id.clone()).collect();
        Some(FleetView {
            node: fleet.settings.node.clone(),
            away_since_ms: (!is_up).then(|| fleet.link.away_since_ms()),
            is_name_taken: fleet.is_name_taken(),
            is_skewed: is_up && fleet.is_skewed(now),
            nodes: fleet.node_views(now),
            ahead,
        })
    }

    /// What the fleet knows of a job. None: this machine is in no fleet.
    pub fn fleet_job_view(&self, id: &JobId) -> Option<FleetJobView> {
        let fleet = self.fleet.as_ref()?;
        let policy = self.jobs.policy(id).filter(|policy| policy.fleet.mode != FleetMode::Each);
        let word = |mode: FleetMode| FleetMode::ALL.iter().find(|(_, other)| *other == mode).map(|(word, _)| *word);
        let known = fleet.cache.mark(id);
        Some(FleetJobView {
            mode: policy.and_then(|policy| word(policy.fleet.mode)),
            first: policy.and_then(|policy| fleet.first(id, &policy.fleet)),
            mark: known.and_then(|known| Some((known.value.clone()?, known.revision))),
            pause: fleet.cache.pause(id).and_then(|known| known.value.clone()).filter(|pause| !pause.is_ended),
        })
    }

    /// What is larger than a fleet is made for, and has not been warned of today.
    pub fn take_fleet_excess(&mut self) -> Option<FleetExcess> {
        let fleet = self.fleet.as_mut()?;
        if fleet.load.take_warning() {
            return Some(FleetExcess::Slots);
        }
        fleet.excess_keys.take().then_some(FleetExcess::Keys)
    }

    /// The nodes that may run a job, the first to try first.
    pub fn fleet_order(&self, id: &JobId) -> Vec<String> {
        let policy = self.jobs.policy(id);
        self.fleet.as_ref().zip(policy).map(|(fleet, policy)| fleet.order(id, &policy.fleet)).unwrap_or_default()
    }

    /// The fleet jobs of this node, as it publishes them.
    pub fn fleet_jobs(&self) -> NodeJobs {
        let published = self.fleet.as_ref().map(|fleet| fleet.published.1.as_str());
        published.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// Sets the watermark of a job whose slot is in the future to the fleet's time and a little more, so that it runs again. No slot of the
    /// past can be claimed by that: the time is the median of all clocks, and a slot is claimed 5 seconds ahead of it at most.
    pub fn repair_fleet_mark(&mut self, id: &JobId, now: Now) -> Answer<FleetRepair> {
        let mut actions = Vec::new();
        let gap = self.follow_time(now, &mut actions);
        self.run_policy_timers(now, &mut actions);
        self.start_due(gap, now, &mut actions);
        let result = self.ask_for_repair(id, now, &mut actions);
        self.finish(TurnChanges::default(), now, &mut actions);
        Answer { result, actions }
    }

    fn ask_for_repair(&mut self, id: &JobId, now: Now, actions: &mut Vec<Action>) -> FleetRepair {
        let Some(fleet) = &mut self.fleet else { return FleetRepair::Away };
        if fleet.is_skewed(now) {
            return FleetRepair::Skewed;
        }
        let median_s = fleet.median_s(now);
        let mark = fleet.cache.mark(id).and_then(|known| known.value.as_ref());
        let Some(slot) = mark.filter(|mark| is_ahead(mark, median_s)).map(|mark| mark.slot) else {
            return FleetRepair::NotNeeded(mark.map(|mark| mark.slot));
        };
        let purpose = Purpose::Repair(id.clone());
        if fleet.is_asked(&purpose) {
            return FleetRepair::Asked(slot);
        }
        let transaction = fleet.plan_repair(id, median_s.saturating_add(AHEAD_MS / 1_000));
        let expires_ms = now.elapsed_ms.saturating_add(REQUEST_MS);
        match transaction.and_then(|transaction| fleet.request(purpose, transaction, expires_ms)) {
            Some(request) => {
                actions.push(Action::Fleet(Box::new(request)));
                FleetRepair::Asked(slot)
            }
            None => FleetRepair::Away,
        }
    }
}

/// Whether the slot of a mark is in the future, beyond what a clock that is right can have claimed. The time is that of the fleet.
fn is_ahead(mark: &Mark, median_s: i64) -> bool {
    const AHEAD_S: i64 = 60;
    mark.slot > median_s.saturating_add(AHEAD_S)
}
