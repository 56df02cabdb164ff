//! What must hold of a history.

use super::*;

impl Fleet {
    pub(super) fn fault(&mut self, text: String) {
        let at = self.at;
        self.faults.push(format!("{at}: {text}"));
        self.tell(|| format!("FAULT {text}"));
    }

    pub(super) fn check_start(&mut self, start: &RunRequest, new: &Start) {
        let job = self.jobs[&start.job].clone();
        let told = format!("{} {} on n{}", start.job, Timestamp(start.scheduled_at), new.node);
        let before = self.starts.get(&(start.job.clone(), start.scheduled_at));
        let before: Vec<&Start> = before.iter().flat_map(|starts| starts.iter()).collect();
        let mut faults = Vec::new();
        let is_unclaimed = start.fleet.is_none_or(|claim| claim.fence.is_none());
        if is_unclaimed && !job.runs_when_away {
            faults.push(format!("{told} starts without a claim"));
        }
        let is_same = |other: &&&Start| (other.node, other.boot) == (new.node, new.boot);
        if before.iter().filter(is_same).any(|other| other.attempt >= new.attempt) {
            faults.push(format!("{told} starts a second time there"));
        }
        // A machine that was booted meanwhile is another one.
        let others: BTreeSet<(usize, u64)> =
            before.iter().filter(|other| !is_same(other)).map(|other| (other.node, other.boot)).collect();
        let may_be_elsewhere = job.runs_when_away
            || (job.fails_over && others.len() == 1 && start.trigger == Trigger::Failover)
            || (job.fails_over && others.len() == 1 && start.trigger == Trigger::Retry);
        if !others.is_empty() && !may_be_elsewhere {
            faults.push(format!("{told} starts a second time"));
        }
        let goes_on = |other: &&&Start| other.to.is_none_or(|to| to > new.from) && self.is_running(other);
        if !job.runs_when_away && before.iter().any(|other| goes_on(&other)) {
            faults.push(format!("{told} starts while its slot still runs"));
        }
        if self.overlaps(start, &job) {
            faults.push(format!("{told} overlaps another run"));
        }
        faults.into_iter().for_each(|fault| self.fault(fault));
    }

    /// A run by hand follows the same rule of overlap, unless it is forced.
    pub(super) fn check_start_by_hand(&mut self, start: &RunRequest, node: usize) {
        let job = self.jobs[&start.job].clone();
        if start.fleet.is_some() && self.overlaps(start, &job) {
            self.fault(format!("{} on n{node} by hand overlaps another run", start.job));
        }
    }

    /// Whether a run starts while another that is known goes on, although only one may.
    fn overlaps(&self, start: &RunRequest, job: &Job) -> bool {
        if job.is_alone && !job.runs_when_away && !self.is_restored && self.is_any_running(&start.job) {
            // A run whose node has lost its lease is not known to go on, unless it ends with the lease.
            let is_known = self.nodes.iter().any(|node| {
                node.connection.is_some()
                    && node.running.values().any(|run| run.is_of(&start.job))
                    && self.engine.get(&FleetKey::Node(node.name.clone())).is_some()
                    && self.engine.get(&FleetKey::Run(start.job.clone())).is_some_and(|key| key.contains(&node.name))
            });
            return is_known || job.fails_over && self.is_any_executing(&start.job);
        }
        false
    }

    fn is_running(&self, start: &Start) -> bool {
        self.nodes[start.node].running.get(&start.run).is_some_and(|run| {
            run.deadline.is_none_or(|deadline| deadline > self.at)
                || self.nodes[start.node].condition != Condition::Asleep
        })
    }

    fn is_any_running(&self, job: &JobId) -> bool {
        self.nodes.iter().any(|node| node.running.values().any(|run| run.is_of(job)))
    }

    fn is_any_executing(&self, job: &JobId) -> bool {
        self.nodes.iter().any(|node| {
            node.condition != Condition::Asleep
                && node
                    .running
                    .values()
                    .any(|run| run.is_slot_of(job) && run.deadline.is_none_or(|deadline| deadline > self.at))
        })
    }

    /// Each claimed slot has one outcome.
    pub(super) fn check(&mut self) {
        let mut outcomes: BTreeMap<(JobId, i64), BTreeMap<String, String>> = BTreeMap::new();
        let mut last_of_slot: HashMap<(JobId, i64), String> = HashMap::new();
        let mut claimed: BTreeSet<(JobId, i64)> = BTreeSet::new();
        let mut by_hand = BTreeSet::new();
        for entry in &self.engine.log {
            match (FleetKey::of_text(&entry.key), &entry.value) {
                (Some(FleetKey::Outcome(_, number)), Some(text)) if number >= OUTCOMES_KEPT => {
                    let outcome: FleetOutcome = serde_json::from_str(text).expect("an outcome");
                    by_hand.insert((outcome.node, outcome.run));
                }
                (Some(FleetKey::Outcome(job, _)), Some(text)) => {
                    let outcome: FleetOutcome = serde_json::from_str(text).expect("an outcome");
                    let slot = (job, outcome.slot);
                    if outcome.outcome != "running" {
                        let by = format!("{} {}", outcome.node, outcome.outcome);
                        outcomes.entry(slot.clone()).or_default().insert(by, text.clone());
                    }
                    last_of_slot.insert(slot, outcome.outcome);
                }
                (Some(FleetKey::Mark(job)), Some(text)) => {
                    let mark = Mark::of_text(text).expect("a mark");
                    claimed.insert((job, mark.slot));
                }
                _ => {}
            }
        }
        let mut faults = Vec::new();
        if by_hand.len() < self.by_hand && !self.has_crashed && !self.is_restored {
            faults.push(format!("{} of {} runs by hand have an outcome: {by_hand:?}", by_hand.len(), self.by_hand));
        }
        // What was written after the snapshot is gone.
        claimed.retain(|_| !self.is_restored);
        for slot in &claimed {
            let count = outcomes.get(slot).map_or(0, BTreeMap::len);
            let is_newest = claimed.range(slot..).filter(|other| other.0 == slot.0).nth(1).is_none();
            // An older claim whose node has crashed goes on as `running` in the list, which names the node.
            let may_be_open = !is_newest && self.has_crashed;
            if count != 1 && !(count == 0 && may_be_open) {
                faults.push(format!("{} {} has {count} outcomes: {:?}", slot.0, Timestamp(slot.1), outcomes.get(slot)));
            }
        }
        for ((job, slot), starts) in &self.starts {
            let is_claimed = self.is_restored || claimed.contains(&(job.clone(), *slot));
            if !is_claimed && !self.jobs[job].runs_when_away {
                faults.push(format!("{job} {} was started {} times and never claimed", Timestamp(*slot), starts.len()));
            }
        }
        faults.into_iter().for_each(|fault| self.fault(fault));
    }

    pub(super) fn told(&self) -> String {
        format!("seed {}\n{}\n{}\n{}", self.seed, self.faults.join("\n"), self.text, self.story.join("\n"))
    }
}
