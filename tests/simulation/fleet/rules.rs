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

    /// All nodes that take part have the same pauses.
    pub(super) fn compare_pauses(&mut self) {
        let mut faults = Vec::new();
        for job in self.jobs.keys() {
            let pause = |node: &Node| Some((node.name.clone(), node.plan.as_ref()?.job_status(job).pause.is_some()));
            let pauses: Vec<(String, bool)> = self.nodes.iter().filter_map(pause).collect();
            if pauses.iter().any(|(_, is_paused)| *is_paused != pauses[0].1) {
                faults.push(format!("{job} is not paused on all nodes or on none: {pauses:?}"));
            }
        }
        faults
            .into_iter()
            .filter(|_| !self.is_restored)
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|fault| self.fault(fault));
    }

    /// Each slot that is due has one outcome.
    pub(super) fn check(&mut self) {
        let log = Log::of(self);
        let mut faults = self.check_records();
        if log.by_hand.len() < self.by_hand && !self.has_crashed && !self.is_restored {
            faults.push(format!("{} of {} runs by hand have an outcome", log.by_hand.len(), self.by_hand));
        }
        // What was written after the snapshot is gone.
        let jobs: Vec<&JobId> = self.jobs.keys().filter(|_| !self.is_restored).collect();
        for job in jobs {
            for slot in &self.jobs[job].due {
                faults.extend(self.check_slot(job, *slot, &log));
            }
        }
        for ((job, slot), starts) in &self.starts {
            let is_claimed = self.is_restored || log.claimed.contains(&(job.clone(), *slot));
            if !is_claimed && !self.jobs[job].runs_when_away {
                faults.push(format!("{job} {} was started {} times and never claimed", Timestamp(*slot), starts.len()));
            }
        }
        faults.into_iter().for_each(|fault| self.fault(fault));
    }

    /// A slot has one outcome in the engine, with these exceptions.
    fn check_slot(&self, id: &JobId, slot: i64, log: &Log) -> Option<String> {
        let job = &self.jobs[id];
        let key = (id.clone(), slot);
        let of_slot: Vec<&(i64, i64, String)> = log
            .outcomes
            .get(id)
            .into_iter()
            .flatten()
            .filter(|(first, last, _)| (*first..=*last).contains(&slot))
            .collect();
        let local: Vec<&(usize, RunRecord)> = self
            .records
            .iter()
            .filter(|(_, record)| {
                record.job == *id
                    && record.attempt > 0
                    && record.scheduled_at.0 == slot
                    && record.trigger != Trigger::Manual
            })
            .collect();
        let count = of_slot.len();
        let is_newest = log.marked.range(&key..).take_while(|other| other.0 == *id).nth(1).is_none();
        let is_claimed = log.claimed.contains(&key);
        // The mark was set to the future, and passes over it.
        let is_ahead = self.ahead.get(id).is_some_and(|(before, to)| *before < slot && slot <= *to);
        // Nothing is known of a job before its first claim.
        let is_first = log.marked.range(&(id.clone(), 0)..&key).next().is_none();
        let may_be_none = match is_claimed {
            // An older claim whose node has crashed goes on as `running` in the list, which names the node.
            true => !is_newest && self.has_crashed,
            // It has its outcomes on the nodes that have run it without a claim.
            false if job.runs_when_away => !local.is_empty() || self.has_crashed || is_first || is_ahead,
            false => is_ahead || is_first,
        };
        if count == 1 || (count == 0 && may_be_none) {
            return None;
        }
        Some(format!("{id} {} has {count} outcomes, claimed: {is_claimed}: {of_slot:?}", Timestamp(slot)))
    }

    /// The records that the nodes have made by themselves: one for each run and for each slot without a run.
    fn check_records(&self) -> Vec<String> {
        let mut of_runs: BTreeMap<(usize, RunId), BTreeSet<String>> = BTreeMap::new();
        let mut of_slots: BTreeMap<(&JobId, i64), BTreeSet<(usize, String)>> = BTreeMap::new();
        for (node, record) in &self.records {
            let outcome = format!("{:?}", record.outcome);
            match record.run {
                _ if self.is_restored => {}
                Some(run) if !self.nodes[*node].has_lost_state => {
                    of_runs.entry((*node, run)).or_default().insert(outcome);
                }
                None if record.count == 1
                    && record.trigger != Trigger::Manual
                    && !self.jobs[&record.job].runs_when_away =>
                {
                    of_slots.entry((&record.job, record.scheduled_at.0)).or_default().insert((*node, outcome));
                }
                _ => {}
            }
        }
        let runs = of_runs.iter().filter(|(_, outcomes)| outcomes.len() > 1);
        let runs = runs.map(|((node, run), outcomes)| format!("run {} on n{node} has {outcomes:?}", run.0));
        let slots = of_slots.iter().filter(|(_, outcomes)| outcomes.len() > 1);
        let slots =
            slots.map(|((job, slot), outcomes)| format!("{job} {} has the records {outcomes:?}", Timestamp(*slot)));
        runs.chain(slots).collect()
    }

    pub(super) fn told(&self) -> String {
        format!("seed {}\n{}\n{}\n{}", self.seed, self.faults.join("\n"), self.text, self.story.join("\n"))
    }
}

/// What the engine has had of marks and outcomes.
#[derive(Default)]
struct Log {
    /// The slots that marks have had, and those of them that runs have claimed.
    marked: BTreeSet<(JobId, i64)>,
    claimed: BTreeSet<(JobId, i64)>,
    /// For each job the outcomes of slots: the first slot, the last one, and the outcome.
    outcomes: BTreeMap<JobId, BTreeSet<(i64, i64, String)>>,
    by_hand: BTreeSet<(String, Option<u64>)>,
}

impl Log {
    fn of(fleet: &Fleet) -> Log {
        let mut log = Log::default();
        for entry in &fleet.engine.log {
            match (FleetKey::of_text(&entry.key), &entry.value) {
                (Some(FleetKey::Outcome(_, number)), Some(text)) if number >= OUTCOMES_KEPT => {
                    let outcome: FleetOutcome = serde_json::from_str(text).expect("an outcome");
                    log.by_hand.insert((outcome.node, outcome.run));
                }
                (Some(FleetKey::Outcome(job, _)), Some(text)) => {
                    let outcome: FleetOutcome = serde_json::from_str(text).expect("an outcome");
                    if outcome.outcome != "running" {
                        let (first, last) = (outcome.slot, outcome.until.unwrap_or(outcome.slot));
                        let by = format!("{} {}", outcome.node, outcome.outcome);
                        log.outcomes.entry(job).or_default().insert((first, last, by));
                    }
                }
                (Some(FleetKey::Mark(job)), Some(text)) => {
                    let mark = Mark::of_text(text).expect("a mark");
                    log.marked.insert((job.clone(), mark.slot));
                    if mark.is_open() {
                        log.claimed.insert((job, mark.slot));
                    }
                }
                _ => {}
            }
        }
        log
    }
}
