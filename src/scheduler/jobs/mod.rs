//! Job policies: what becomes of a slot, of a failure, of a run by hand, while other runs of the job or of its group go on.
//!
//! Only jobs that have a policy, a pause or a run by hand are known here; all others start at each slot. The rules are those of crontab(5),
//! JOB SETTINGS. Everything is pure: calls say what has happened, and a [`Turn`] collects what follows from it.

mod group;
mod job;
mod notices;
mod pause;

#[cfg(test)]
mod tests;

pub(super) use group::GroupKey;
pub use job::EndReason;
pub(super) use job::{JobSpec, JobState};
pub use notices::{Notice, NoticeEvent};
pub use pause::Pause;

use self::group::Group;
use self::job::{ActiveRun, Item, Job, PendingRetry, RetryStage, SkipRow, Waiting};
use self::pause::Pauses;
use super::event::{Now, RunId, RunOutcome, RunResult};
use super::job_id::JobId;
use super::run_record::{MissReason, Outcome, RunRecord, SkipReason, Trigger};
use super::start_queue::EntryKey;
use crate::crontab::{CatchUpMode, Overlap, Policy};
use crate::schedule::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Slots of an entry with `CRON_OVERLAP=allow` that wait in a group.
const WAITING_IN_GROUP: usize = 60;
/// Runs by hand of one job that wait.
const WAITING_BY_HAND: usize = 16;
/// Missed slots of one entry that `CRON_CATCHUP=all` makes up for.
const CAUGHT_UP: usize = 1_000;

/// All jobs that have a policy or a state, and their groups.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    jobs: BTreeMap<JobId, Job>,
    groups: BTreeMap<GroupKey, Group>,
    /// Pending retries by the milliseconds of the monotonic clock at which they are due.
    retries: BTreeSet<(i64, JobId)>,
    /// Expected successes by the moment until which they are expected.
    late: BTreeSet<(Timestamp, JobId)>,
    pauses: Pauses,
    runs: HashMap<RunId, JobId>,
    /// For each job, the `@after` jobs that wait for it.
    dependents: BTreeMap<JobId, BTreeSet<JobId>>,
    next_ticket: u64,
    /// Nothing is started any more.
    is_stopped: bool,
}

/// One call: when it is, and what follows from it.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    pub(super) now: Now,
    /// The next run's number.
    pub(super) next_run: &'a mut u64,
    pub(super) decisions: Vec<Decision>,
    /// Jobs whose state has changed.
    pub(super) changed: BTreeSet<JobId>,
    /// Jobs whose pause has begun or ended.
    pub(super) changed_pauses: BTreeSet<JobId>,
    /// `@after` entries that are due, with the moment of the last end that they needed.
    pub(super) due_after: BTreeMap<JobId, Timestamp>,
}

/// What follows from a call.
#[derive(Debug, PartialEq)]
pub(super) enum Decision {
    /// Put this into the start queue.
    Start(PlannedRun),
    /// Have this run ended.
    End { run: RunId, entry: Option<EntryKey>, why: EndReason },
    /// Record this.
    Record(Box<RunRecord>),
    /// A slot was left out for another reason than the one before: log it.
    LeftOut { entry: EntryKey, reason: SkipReason, scheduled_at: Timestamp },
    /// An `@N` entry counts from that moment.
    CountFrom(EntryKey, Timestamp),
    /// Notify the owner.
    Notice(Box<Notice>),
}

/// A run for the start queue.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PlannedRun {
    pub(super) job: JobId,
    pub(super) entry: EntryKey,
    pub(super) run: RunId,
    pub(super) item: Item,
}

/// Why a run by hand was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedRun {
    /// No such job, or its entry is gone.
    NoSuchJob,
    /// A run of it is running or waits, and overlap is forbidden. Recorded as skipped.
    StillRunning,
    /// Too many runs by hand wait.
    TooMany,
}

/// What [`Jobs::kill`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killed {
    /// A run, which is being ended.
    Run(RunId),
    /// A slot that waited.
    Waiting,
    /// A retry.
    Retry,
    /// Nothing.
    Nothing,
}

impl<'a> Turn<'a> {
    pub(super) fn new(now: Now, next_run: &'a mut u64) -> Turn<'a> {
        Turn {
            now,
            next_run,
            decisions: Vec::new(),
            changed: BTreeSet::new(),
            changed_pauses: BTreeSet::new(),
            due_after: BTreeMap::new(),
        }
    }

    fn allocate(&mut self) -> RunId {
        let run = RunId(*self.next_run);
        *self.next_run += 1;
        run
    }

    /// When a run ended, by the wall clock as it is now: the clock may have been set since.
    fn at(&self, ended: &RunResult) -> Timestamp {
        let ago_ms = ended.ended_elapsed_ms.map_or(0, |at| (self.now.elapsed_ms - at).max(0));
        Timestamp(self.now.utc.0 - ago_ms.div_euclid(1_000))
    }

    fn record(&mut self, record: RunRecord) {
        self.decisions.push(Decision::Record(Box::new(record)));
    }
}

/// Loading.
impl Jobs {
    /// Makes a job known, or gives a known one its new policy.
    pub(super) fn register(&mut self, id: JobId, spec: JobSpec) {
        if let Some(old) = self.jobs.get(&id).map(|job| job.spec.clone()) {
            self.leave_group(&id, &old);
            self.forget_dependent(&id, &old.after);
        }
        if let (Some(key), Some(group)) = (&spec.group, &spec.policy.group) {
            self.groups.entry(key.clone()).or_default().join(id.clone(), group.slots);
        }
        for needed in &spec.after {
            self.dependents.entry(needed.clone()).or_default().insert(id.clone());
        }
        match self.jobs.get_mut(&id) {
            Some(job) => {
                let moved = job.spec.group != spec.group;
                let held = job.state.running.iter().filter(|run| run.has_place).count();
                let old = std::mem::replace(&mut job.spec, spec);
                if moved {
                    self.change_group(&id, old.group, held);
                }
            }
            None => {
                self.jobs.insert(id, Job { spec, state: JobState::default() });
            }
        }
    }

    /// The entry of a job that is known here.
    pub(super) fn entry(&self, id: &JobId) -> Option<EntryKey> {
        self.jobs.get(id)?.spec.entry
    }

    /// An entry is gone: what waits is left out, what runs goes on.
    pub(super) fn unregister(&mut self, id: &JobId, turn: &mut Turn<'_>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        job.spec.entry = None;
        let waiting = std::mem::take(&mut job.state.waiting);
        self.cancel_tickets(id, &waiting);
        for waiting in waiting {
            self.leave_out(id, &waiting.item, SkipReason::EntryRemoved, turn);
        }
        self.flush_row(id, turn);
        self.give_up_retry(id, turn);
        self.set_late(id, None);
        turn.changed.insert(id.clone());
        if let Some(spec) = self.jobs.get(id).map(|job| job.spec.clone()) {
            self.leave_group(id, &spec);
            self.forget_dependent(id, &spec.after);
            self.pump(spec.group.as_ref(), turn);
        }
        self.forget_if_idle(id);
    }

    fn forget_if_idle(&mut self, id: &JobId) {
        if self.jobs.get(id).is_some_and(|job| job.spec.entry.is_none() && job.state.running.is_empty()) {
            self.jobs.remove(id);
        }
    }

    fn leave_group(&mut self, id: &JobId, spec: &JobSpec) {
        let Some(key) = &spec.group else { return };
        if let Some(group) = self.groups.get_mut(key) {
            group.leave(id);
            if group.is_empty() {
                self.groups.remove(key);
            }
        }
    }

    /// Moves the places and tickets of a job from one group to another.
    fn change_group(&mut self, id: &JobId, old: Option<GroupKey>, held: usize) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let mut tickets: Vec<u64> = job.state.waiting.iter().filter_map(|waiting| waiting.ticket).collect();
        tickets.extend(job.state.retry.as_ref().and_then(PendingRetry::ticket));
        if let Some(group) = old.and_then(|key| self.groups.get_mut(&key)) {
            (0..held).for_each(|_| group.exit());
            tickets.iter().for_each(|ticket| group.cancel(*ticket));
        }
        let group = job.spec.group.clone();
        let has_group = group.is_some();
        for run in &mut job.state.running {
            run.has_place = has_group;
        }
        if let Some(group) = group {
            let places = job.state.running.len();
            let group = self.groups.entry(group).or_default();
            (0..places).for_each(|_| group.enter());
            tickets.iter().for_each(|ticket| group.wait(*ticket, id.clone()));
        } else {
            // What waited for a place waits for nothing any more; the next event lets it go on.
            job.state.waiting.iter_mut().for_each(|waiting| waiting.ticket = None);
            if let Some(retry) = job.state.retry.as_mut().filter(|retry| retry.ticket().is_some()) {
                retry.stage = RetryStage::OwnRun;
            }
        }
    }

    fn forget_dependent(&mut self, id: &JobId, after: &[JobId]) {
        for needed in after {
            if let Some(dependents) = self.dependents.get_mut(needed) {
                dependents.remove(id);
                if dependents.is_empty() {
                    self.dependents.remove(needed);
                }
            }
        }
    }
}

/// Slots.
impl Jobs {
    /// A slot has come.
    pub(super) fn slot(
        &mut self,
        id: &JobId,
        scheduled_at: Timestamp,
        trigger: Trigger,
        is_excepted: bool,
        turn: &mut Turn<'_>,
    ) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let policy = job.spec.policy.clone();
        if !policy.is_enabled || self.is_stopped {
            return;
        }
        turn.changed.insert(id.clone());
        let item = Item { scheduled_at, trigger, is_caught_up: false, is_manual: false, attempt: 1, number: 0 };
        if is_excepted {
            self.leave_out(id, &item, SkipReason::Calendar, turn);
            return self.count_from_now(id, turn);
        }
        if self.pauses.is_paused(id, turn.now.utc) {
            if let Some(retry) = self.jobs.get_mut(id).and_then(|job| job.state.retry.as_mut()) {
                retry.has_slot_passed = true;
            }
            self.leave_out(id, &item, SkipReason::Paused, turn);
            return self.count_from_now(id, turn);
        }
        self.expect_success(id, &policy, scheduled_at);
        if policy.overlap != Overlap::Queue {
            self.give_up_retry(id, turn);
        }
        let Some(job) = self.jobs.get(id) else { return };
        match policy.overlap {
            Overlap::Allow => self.enter_group(id, item, turn),
            Overlap::Skip if job.is_busy() => {
                self.leave_out(id, &item, SkipReason::StillRunning, turn);
                self.count_from_now(id, turn);
            }
            Overlap::Queue if job.is_busy() || job.state.retry.is_some() => self.hold(id, item, turn),
            Overlap::Replace if job.is_busy() => {
                let has_caught_up_waiting = job.has_caught_up_waiting();
                self.hold(id, item, turn);
                if !has_caught_up_waiting {
                    self.end_runs(id, &EndReason::Replaced, turn);
                }
            }
            Overlap::Skip | Overlap::Queue | Overlap::Replace => self.enter_group(id, item, turn),
        }
    }

    /// Lets a regular slot wait, in the place of the one that waits already.
    fn hold(&mut self, id: &JobId, item: Item, turn: &mut Turn<'_>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let Some(place) = job.waiting_slot() else {
            job.state.waiting.push(Waiting { item, ticket: None });
            return;
        };
        let older = job.state.waiting.remove(place);
        if job.has_caught_up_waiting() {
            job.state.waiting.push(Waiting { item, ticket: None });
            self.cancel_tickets(id, std::slice::from_ref(&older));
        } else {
            job.state.waiting.insert(place, Waiting { item, ticket: older.ticket });
        }
        self.leave_out(id, &older.item, SkipReason::Superseded, turn);
    }

    /// Tells all runs of a job to end.
    fn end_runs(&mut self, id: &JobId, why: &EndReason, turn: &mut Turn<'_>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let entry = job.spec.entry;
        for run in job.state.running.iter_mut().filter(|run| run.ending.is_none()) {
            run.ending = Some(why.clone());
            turn.decisions.push(Decision::End { run: run.run, entry, why: why.clone() });
        }
    }

    /// Lets something go on that is not held up by its own job's runs.
    fn enter_group(&mut self, id: &JobId, mut item: Item, turn: &mut Turn<'_>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        if !item.is_manual {
            job.state.accepted += 1;
            item.number = job.state.accepted;
        }
        let Some(group) = job.spec.group.clone() else { return self.begin(id, item, false, turn) };
        if self.groups.entry(group.clone()).or_default().try_enter() {
            return self.begin(id, item, true, turn);
        }
        let ticket = self.new_ticket();
        if let Some(group) = self.groups.get_mut(&group) {
            group.wait(ticket, id.clone());
        }
        let Some(job) = self.jobs.get_mut(id) else { return };
        job.state.waiting.push(Waiting { item, ticket: Some(ticket) });
        let slots = job.state.waiting.iter().filter(|waiting| waiting.item.is_regular_slot()).count();
        if slots > WAITING_IN_GROUP
            && let Some(oldest) = job.waiting_slot()
        {
            let oldest = job.state.waiting.remove(oldest);
            self.cancel_tickets(id, std::slice::from_ref(&oldest));
            self.leave_out(id, &oldest.item, SkipReason::Superseded, turn);
        }
    }

    /// Puts a run into the start queue.
    fn begin(&mut self, id: &JobId, item: Item, has_place: bool, turn: &mut Turn<'_>) {
        if !item.is_manual && item.attempt == 1 {
            self.flush_row(id, turn);
        }
        let Some(job) = self.jobs.get_mut(id) else { return };
        let Some(entry) = job.spec.entry else { return };
        let run = turn.allocate();
        job.state.running.push(ActiveRun { run, item: item.clone(), ending: None, has_place });
        self.runs.insert(run, id.clone());
        turn.changed.insert(id.clone());
        turn.decisions.push(Decision::Start(PlannedRun { job: id.clone(), entry, run, item }));
    }

    fn new_ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    fn cancel_tickets(&mut self, id: &JobId, waiting: &[Waiting]) {
        let Some(group) = self.jobs.get(id).and_then(|job| job.spec.group.as_ref()) else { return };
        if let Some(group) = self.groups.get_mut(group) {
            waiting.iter().filter_map(|waiting| waiting.ticket).for_each(|ticket| group.cancel(ticket));
        }
    }

    /// An `@N` entry counts from now, since its moment was left out.
    fn count_from_now(&mut self, id: &JobId, turn: &mut Turn<'_>) {
        let now = turn.now.utc;
        self.count_from(id, now, turn);
    }

    fn count_from(&mut self, id: &JobId, moment: Timestamp, turn: &mut Turn<'_>) {
        let Some(job) = self.jobs.get_mut(id).filter(|job| job.spec.is_interval) else { return };
        job.state.last_end = Some(moment);
        if let Some(entry) = job.spec.entry {
            turn.decisions.push(Decision::CountFrom(entry, moment));
        }
    }
}

/// Slots that were missed.
impl Jobs {
    /// These slots of an entry with `CRON_CATCHUP` were missed, for that reason; in order. Those that are excepted come with true.
    pub(super) fn catch_up(&mut self, id: &JobId, slots: &[(Timestamp, bool)], why: MissReason, turn: &mut Turn<'_>) {
        let Some(job) = self.jobs.get(id) else { return };
        let policy = job.spec.policy.clone();
        if !policy.is_enabled || slots.is_empty() {
            return;
        }
        let oldest = Timestamp(turn.now.utc.0.saturating_sub(i64::from(policy.catch_up.max_age)));
        let verdicts: Vec<(Timestamp, Option<Outcome>)> = slots
            .iter()
            .map(|&(slot, is_excepted)| {
                let verdict = if is_excepted {
                    Some(Outcome::Skipped(SkipReason::Calendar))
                } else if self.pauses.was_paused(id, slot) || self.pauses.is_paused(id, turn.now.utc) {
                    Some(Outcome::Skipped(SkipReason::Paused))
                } else if slot < oldest {
                    Some(Outcome::Missed(MissReason::MaxAge))
                } else {
                    None
                };
                (slot, verdict)
            })
            .collect();
        let owed = verdicts.iter().filter(|(_, verdict)| verdict.is_none()).count();
        let (runs, left_out) = match policy.catch_up.mode {
            CatchUpMode::None => (0, why),
            CatchUpMode::Once => (1, why),
            CatchUpMode::All => (CAUGHT_UP, MissReason::Limit),
        };
        let mut to_leave_out = owed.saturating_sub(runs);
        let mut due = Vec::new();
        let mut row: Option<(Outcome, Timestamp, Timestamp, u64)> = None;
        for (slot, verdict) in verdicts {
            let outcome = match verdict {
                Some(outcome) => outcome,
                None if to_leave_out > 0 => {
                    to_leave_out -= 1;
                    Outcome::Missed(left_out)
                }
                None => {
                    due.push(slot);
                    continue;
                }
            };
            match &mut row {
                Some((of, _, last, count)) if *of == outcome => {
                    *last = slot;
                    *count += 1;
                }
                _ => {
                    self.record_row(id, row.take(), turn);
                    row = Some((outcome, slot, slot, 1));
                }
            }
        }
        self.record_row(id, row, turn);
        for scheduled_at in due {
            self.start_caught_up(id, scheduled_at, &policy, turn);
        }
    }

    /// Records slots in a row that were missed, or left out while they were.
    pub(super) fn record_row(
        &mut self,
        id: &JobId,
        row: Option<(Outcome, Timestamp, Timestamp, u64)>,
        turn: &mut Turn<'_>,
    ) {
        let Some((outcome, first, last, count)) = row else { return };
        if let Outcome::Skipped(reason) = outcome {
            return self.add_to_row(id, reason, Trigger::Schedule, (first, last), count, turn);
        }
        self.flush_row(id, turn);
        let Some(job) = self.jobs.get(id) else { return };
        turn.record(RunRecord {
            run: None,
            job: id.clone(),
            line: job.spec.line,
            scheduled_at: first,
            trigger: Trigger::Schedule,
            attempt: 0,
            started_at_ms: None,
            ended_at_ms: None,
            outcome,
            count,
            until: (count > 1).then_some(last),
        });
    }

    fn start_caught_up(&mut self, id: &JobId, scheduled_at: Timestamp, policy: &Policy, turn: &mut Turn<'_>) {
        let trigger = Trigger::CatchUp;
        let item = Item { scheduled_at, trigger, is_caught_up: true, is_manual: false, attempt: 1, number: 0 };
        turn.changed.insert(id.clone());
        self.expect_success(id, policy, scheduled_at);
        if policy.overlap != Overlap::Queue && !self.jobs.get(id).is_some_and(Job::has_caught_up_waiting) {
            self.give_up_retry(id, turn);
        }
        let Some(job) = self.jobs.get_mut(id) else { return };
        let is_first = !job.has_caught_up_waiting() && !job.state.running.iter().any(|run| run.item.is_caught_up);
        if job.may_go_on(&item) && is_first && !(policy.overlap != Overlap::Allow && job.is_busy()) {
            return self.enter_group(id, item, turn);
        }
        job.state.waiting.push(Waiting { item, ticket: None });
        if policy.overlap == Overlap::Replace && is_first {
            self.end_runs(id, &EndReason::Replaced, turn);
        }
    }
}

/// Ends.
impl Jobs {
    /// Whether a run is one of a job known here.
    pub(super) fn owns(&self, run: RunId) -> bool {
        self.runs.contains_key(&run)
    }

    /// The host's start queue gave up a slot because newer ones of the entry came.
    pub(super) fn superseded(&mut self, run: RunId, turn: &mut Turn<'_>) {
        self.drop_queued(run, SkipReason::Superseded, turn);
    }

    /// A run left the host's start queue without a start.
    pub(super) fn drop_queued(&mut self, run: RunId, reason: SkipReason, turn: &mut Turn<'_>) {
        let Some((id, active)) = self.take_run(run) else { return };
        turn.changed.insert(id.clone());
        self.leave_out(&id, &active.item, reason, turn);
        self.free_place(&id, active.has_place);
        self.let_go_on(&id, turn);
    }

    /// A run that was told to end had not left the host's start queue, and has been taken out of it.
    pub(super) fn cancelled(&mut self, run: RunId, why: &EndReason, turn: &mut Turn<'_>) {
        let Some((id, active)) = self.take_run(run) else { return };
        turn.changed.insert(id.clone());
        match why {
            EndReason::Replaced => self.leave_out(&id, &active.item, SkipReason::Superseded, turn),
            EndReason::Killed(by) => self.record_cancelled(&id, &active.item, by, turn),
        }
        if active.has_place && *why == EndReason::Replaced && self.pass_place_on(&id, turn) {
            return;
        }
        self.free_place(&id, active.has_place);
        self.let_go_on(&id, turn);
    }

    fn take_run(&mut self, run: RunId) -> Option<(JobId, ActiveRun)> {
        let id = self.runs.remove(&run)?;
        let running = &mut self.jobs.get_mut(&id)?.state.running;
        let place = running.iter().position(|active| active.run == run)?;
        Some((id, running.remove(place)))
    }

    /// A run has ended.
    pub(super) fn ended(&mut self, ended: &RunResult, turn: &mut Turn<'_>) {
        let Some((id, active)) = self.take_run(ended.run) else { return };
        turn.changed.insert(id.clone());
        let Some(job) = self.jobs.get(&id) else { return };
        let policy = job.spec.policy.clone();
        let outcome = outcome_of(ended, &active, &policy);
        let record = RunRecord {
            run: Some(ended.run),
            job: id.clone(),
            line: job.spec.line,
            scheduled_at: active.item.scheduled_at,
            trigger: active.item.trigger,
            attempt: active.item.attempt,
            started_at_ms: ended.started_at_ms,
            ended_at_ms: Some(ended.ended_at_ms),
            outcome,
            count: 1,
            until: None,
        };
        turn.record(record.clone());
        let ended_at = turn.at(ended);
        let is_retried = self.plan_retry(&id, &active, &record, ended_at, turn);
        if !is_retried {
            self.conclude(&id, &record, ended_at, turn);
            self.count_from(&id, ended_at, turn);
        }
        // The slot that replaces a run starts in its place in the group.
        if active.has_place && active.ending == Some(EndReason::Replaced) && self.pass_place_on(&id, turn) {
            return;
        }
        self.free_place(&id, active.has_place);
        self.let_go_on(&id, turn);
        self.forget_if_idle(&id);
    }

    /// Plans a further attempt after a failure, if one is left.
    fn plan_retry(
        &mut self,
        id: &JobId,
        active: &ActiveRun,
        record: &RunRecord,
        failed_at: Timestamp,
        turn: &mut Turn<'_>,
    ) -> bool {
        let Some(job) = self.jobs.get_mut(id) else { return false };
        let (item, policy) = (&active.item, &job.spec.policy);
        let has_newer =
            item.number != job.state.accepted || (policy.overlap == Overlap::Replace && job.waiting_slot().is_some());
        let is_last = item.attempt > policy.retry.attempts;
        if !record.outcome.is_failure() || item.is_manual || is_last || has_newer || job.spec.entry.is_none() {
            return false;
        }
        let pause = i64::from(policy.retry.pause(item.attempt));
        let since_failure = turn.now.utc.0 - failed_at.0;
        let due_ms = turn.now.elapsed_ms.saturating_add((pause - since_failure).saturating_mul(1_000));
        job.state.retry = Some(PendingRetry {
            item: Item { attempt: item.attempt + 1, trigger: Trigger::Retry, ..item.clone() },
            due_ms,
            due_at: Timestamp(failed_at.0.saturating_add(pause)),
            failed_at,
            has_slot_passed: false,
            stage: RetryStage::Pause,
            failure: Box::new(record.clone()),
        });
        self.retries.insert((due_ms, id.clone()));
        true
    }

    fn free_place(&mut self, id: &JobId, has_place: bool) {
        if !has_place {
            return;
        }
        let Some(group) = self.jobs.get(id).and_then(|job| job.spec.group.as_ref()) else { return };
        if let Some(group) = self.groups.get_mut(group) {
            group.exit();
        }
    }

    /// Gives the place of a run that was replaced to the slot that replaces it.
    fn pass_place_on(&mut self, id: &JobId, turn: &mut Turn<'_>) -> bool {
        let Some(job) = self.jobs.get_mut(id) else { return false };
        let first = job.state.waiting.iter().position(|waiting| waiting.ticket.is_none());
        let Some(first) = first else { return false };
        let may_go_on = job.state.waiting.get(first).is_some_and(|waiting| job.may_go_on(&waiting.item));
        if !may_go_on || self.is_stopped {
            return false;
        }
        let mut item = job.state.waiting.remove(first).item;
        if !item.is_manual {
            job.state.accepted += 1;
            item.number = job.state.accepted;
        }
        self.begin(id, item, true, turn);
        true
    }

    /// Lets go on what waited for a run or a retry of this job, and then what waits in its group.
    fn let_go_on(&mut self, id: &JobId, turn: &mut Turn<'_>) {
        if self.is_stopped {
            return;
        }
        if self
            .jobs
            .get(id)
            .and_then(|job| job.state.retry.as_ref())
            .is_some_and(|retry| retry.stage == RetryStage::OwnRun)
        {
            self.begin_retry(id, turn);
        }
        while let Some(item) = self.take_next_held(id) {
            self.enter_group(id, item, turn);
        }
        let group = self.jobs.get(id).and_then(|job| job.spec.group.clone());
        self.pump(group.as_ref(), turn);
    }

    fn take_next_held(&mut self, id: &JobId) -> Option<Item> {
        let job = self.jobs.get_mut(id)?;
        let first = job.state.waiting.iter().position(|waiting| waiting.ticket.is_none())?;
        let may_go_on = job.state.waiting.get(first).is_some_and(|waiting| job.may_go_on(&waiting.item));
        may_go_on.then(|| job.state.waiting.remove(first).item)
    }

    /// Begins what waits in a group for as long as it has places.
    fn pump(&mut self, key: Option<&GroupKey>, turn: &mut Turn<'_>) {
        let Some(key) = key else { return };
        if self.is_stopped {
            return;
        }
        while let Some((ticket, id)) = self.groups.get_mut(key).and_then(Group::next) {
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            // A run that was forced may be going on.
            let is_held_up = job.spec.policy.overlap != Overlap::Allow && !job.state.running.is_empty();
            if let Some(retry) = job.state.retry.as_mut().filter(|retry| retry.ticket() == Some(ticket)) {
                retry.stage = RetryStage::OwnRun;
                if !is_held_up {
                    if let Some(group) = self.groups.get_mut(key) {
                        group.enter();
                    }
                    self.begin_retry_now(&id, true, turn);
                }
                continue;
            }
            let Some(place) = job.state.waiting.iter().position(|waiting| waiting.ticket == Some(ticket)) else {
                continue;
            };
            if is_held_up {
                if let Some(waiting) = job.state.waiting.get_mut(place) {
                    waiting.ticket = None;
                }
                continue;
            }
            let item = job.state.waiting.remove(place).item;
            if let Some(group) = self.groups.get_mut(key) {
                group.enter();
            }
            self.begin(&id, item, true, turn);
        }
    }
}

/// Retries.
impl Jobs {
    /// When the next retry is due, milliseconds of the monotonic clock.
    pub(super) fn next_retry_ms(&self) -> Option<i64> {
        self.retries.first().map(|(due, _)| *due)
    }

    /// Begins the retries that are due.
    pub(super) fn begin_due_retries(&mut self, turn: &mut Turn<'_>) {
        while let Some((due, id)) = self.retries.first().cloned().filter(|(due, _)| *due <= turn.now.elapsed_ms) {
            self.retries.remove(&(due, id.clone()));
            self.begin_retry(&id, turn);
        }
    }

    /// Begins a retry whose pause is over, unless it has to wait for something else.
    fn begin_retry(&mut self, id: &JobId, turn: &mut Turn<'_>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let may_retry = job.may_retry();
        let Some(retry) = job.state.retry.as_mut().filter(|retry| retry.ticket().is_none()) else { return };
        turn.changed.insert(id.clone());
        retry.stage = RetryStage::OwnRun;
        if !may_retry || self.is_stopped || self.pauses.is_paused(id, turn.now.utc) {
            return;
        }
        let Some(group) = job.spec.group.clone() else { return self.begin_retry_now(id, false, turn) };
        if self.groups.entry(group.clone()).or_default().try_enter() {
            return self.begin_retry_now(id, true, turn);
        }
        let ticket = self.new_ticket();
        if let Some(group) = self.groups.get_mut(&group) {
            group.wait(ticket, id.clone());
        }
        if let Some(retry) = self.jobs.get_mut(id).and_then(|job| job.state.retry.as_mut()) {
            retry.stage = RetryStage::Group(ticket);
        }
    }

    fn begin_retry_now(&mut self, id: &JobId, has_place: bool, turn: &mut Turn<'_>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let Some(retry) = job.state.retry.take() else { return };
        self.begin(id, retry.item, has_place, turn);
    }

    /// Gives a pending retry up: the failure before it is final.
    fn give_up_retry(&mut self, id: &JobId, turn: &mut Turn<'_>) -> bool {
        let Some(job) = self.jobs.get_mut(id) else { return false };
        let Some(retry) = job.state.retry.take() else { return false };
        turn.changed.insert(id.clone());
        self.retries.remove(&(retry.due_ms, id.clone()));
        if let (Some(ticket), Some(group)) = (retry.ticket(), &job.spec.group)
            && let Some(group) = self.groups.get_mut(group)
        {
            group.cancel(ticket);
        }
        self.conclude(id, &retry.failure, retry.failed_at, turn);
        self.count_from(id, retry.failed_at, turn);
        true
    }
}

/// What people ask for.
impl Jobs {
    /// Runs a job now.
    ///
    /// # Errors
    ///
    /// Why it does not run.
    pub(super) fn run_by_hand(
        &mut self,
        id: &JobId,
        is_forced: bool,
        turn: &mut Turn<'_>,
    ) -> Result<Option<RunId>, RefusedRun> {
        let Some(job) = self.jobs.get(id).filter(|job| job.spec.entry.is_some()) else {
            return Err(RefusedRun::NoSuchJob);
        };
        let (scheduled_at, trigger) = (turn.now.utc, Trigger::Manual);
        let item = Item { scheduled_at, trigger, is_caught_up: false, is_manual: true, attempt: 1, number: 0 };
        turn.changed.insert(id.clone());
        let next = RunId(*turn.next_run);
        if is_forced {
            let group = job.spec.group.clone();
            if let Some(group) = &group {
                self.groups.entry(group.clone()).or_default().enter();
            }
            self.begin(id, item, group.is_some(), turn);
            return Ok(Some(next));
        }
        let is_busy = job.is_busy();
        match job.spec.policy.overlap {
            Overlap::Skip if is_busy => {
                self.record_without_run(id, &item, Outcome::Skipped(SkipReason::StillRunning), turn);
                return Err(RefusedRun::StillRunning);
            }
            Overlap::Queue | Overlap::Replace if is_busy => {
                let by_hand = job.state.waiting.iter().filter(|waiting| waiting.item.is_manual).count();
                if by_hand >= WAITING_BY_HAND {
                    return Err(RefusedRun::TooMany);
                }
                let replaces = job.spec.policy.overlap == Overlap::Replace && job.state.waiting.is_empty();
                if let Some(job) = self.jobs.get_mut(id) {
                    job.state.waiting.push(Waiting { item, ticket: None });
                }
                if replaces {
                    self.end_runs(id, &EndReason::Replaced, turn);
                }
            }
            Overlap::Allow | Overlap::Skip | Overlap::Queue | Overlap::Replace => {
                let by_hand = job.state.waiting.iter().filter(|waiting| waiting.item.is_manual).count();
                if by_hand >= WAITING_BY_HAND {
                    return Err(RefusedRun::TooMany);
                }
                self.enter_group(id, item, turn);
            }
        }
        Ok((*turn.next_run > next.0).then_some(next))
    }

    /// Ends the oldest run of a job, else cancels what waits, else its retry.
    pub(super) fn kill(&mut self, id: &JobId, by: &str, turn: &mut Turn<'_>) -> Killed {
        let Some(job) = self.jobs.get_mut(id) else { return Killed::Nothing };
        turn.changed.insert(id.clone());
        let why = EndReason::Killed(by.to_owned());
        if let Some(run) = job.state.running.iter_mut().find(|run| run.ending.is_none()) {
            run.ending = Some(why.clone());
            let (run, entry) = (run.run, job.spec.entry);
            turn.decisions.push(Decision::End { run, entry, why });
            return Killed::Run(run);
        }
        if !job.state.waiting.is_empty() {
            let waiting = job.state.waiting.remove(0);
            self.cancel_tickets(id, std::slice::from_ref(&waiting));
            self.record_cancelled(id, &waiting.item, by, turn);
            self.let_go_on(id, turn);
            return Killed::Waiting;
        }
        if self.give_up_retry(id, turn) {
            self.let_go_on(id, turn);
            return Killed::Retry;
        }
        Killed::Nothing
    }

    /// Ends one run.
    pub(super) fn kill_run(&mut self, run: RunId, by: &str, turn: &mut Turn<'_>) -> bool {
        let Some(id) = self.runs.get(&run).cloned() else { return false };
        let Some(job) = self.jobs.get_mut(&id) else { return false };
        let entry = job.spec.entry;
        let Some(active) = job.state.running.iter_mut().find(|active| active.run == run) else { return false };
        if active.ending.is_none() {
            let why = EndReason::Killed(by.to_owned());
            active.ending = Some(why.clone());
            turn.changed.insert(id);
            turn.decisions.push(Decision::End { run, entry, why });
        }
        true
    }

    /// Pauses a job from now on: what waits for a slot is left out.
    pub(super) fn pause(&mut self, id: &JobId, pause: Pause, turn: &mut Turn<'_>) {
        self.pauses.insert(id.clone(), pause);
        turn.changed_pauses.insert(id.clone());
        turn.changed.insert(id.clone());
        let Some(job) = self.jobs.get_mut(id) else { return };
        let (slots, others): (Vec<Waiting>, Vec<Waiting>) =
            std::mem::take(&mut job.state.waiting).into_iter().partition(|waiting| !waiting.item.is_manual);
        job.state.waiting = others;
        let mut ticket = None;
        if let Some(retry) = &mut job.state.retry {
            ticket = retry.ticket();
            if ticket.is_some() {
                retry.stage = RetryStage::OwnRun;
            }
        }
        if let (Some(ticket), Some(group)) = (ticket, job.spec.group.as_ref())
            && let Some(group) = self.groups.get_mut(group)
        {
            group.cancel(ticket);
        }
        self.cancel_tickets(id, &slots);
        for waiting in slots {
            self.leave_out(id, &waiting.item, SkipReason::Paused, turn);
        }
        self.let_go_on(id, turn);
    }

    /// Ends a pause before its time.
    pub(super) fn resume(&mut self, id: &JobId, turn: &mut Turn<'_>) -> bool {
        let was_paused = self.pauses.remove(id);
        if was_paused {
            self.end_pause(id, turn);
        }
        was_paused
    }

    /// When the next pause ends.
    pub(super) fn next_pause_end(&self) -> Option<Timestamp> {
        self.pauses.next_end()
    }

    /// Ends the pauses that are over.
    pub(super) fn end_pauses(&mut self, turn: &mut Turn<'_>) {
        for id in self.pauses.take_ended(turn.now.utc) {
            self.end_pause(&id, turn);
        }
    }

    fn end_pause(&mut self, id: &JobId, turn: &mut Turn<'_>) {
        turn.changed_pauses.insert(id.clone());
        let Some(retry) = self.jobs.get(id).and_then(|job| job.state.retry.as_ref()) else { return };
        if retry.has_slot_passed {
            self.give_up_retry(id, turn);
        }
        self.let_go_on(id, turn);
    }
}

/// Stops and starts of the daemon.
impl Jobs {
    /// Nothing is started any more. Without a state directory what waits is left out.
    pub(super) fn stop(&mut self, keeps_jobs: bool, turn: &mut Turn<'_>) {
        self.is_stopped = true;
        if keeps_jobs {
            return;
        }
        let ids: Vec<JobId> = self.jobs.keys().cloned().collect();
        for id in ids {
            let Some(job) = self.jobs.get_mut(&id) else { continue };
            for waiting in std::mem::take(&mut job.state.waiting) {
                self.leave_out(&id, &waiting.item, SkipReason::Stopped, turn);
            }
            self.give_up_retry(&id, turn);
            self.flush_row(&id, turn);
        }
    }

    /// All runs, with their slots.
    pub(super) fn all_runs(&self) -> Vec<(RunId, Timestamp)> {
        let runs = self.jobs.values().flat_map(|job| &job.state.running);
        runs.map(|active| (active.run, active.item.scheduled_at)).collect()
    }

    /// The entry that a run is of.
    pub(super) fn entry_of_run(&self, run: RunId) -> Option<EntryKey> {
        self.entry(self.runs.get(&run)?)
    }

    /// A run that was never begun waits again, in front of what else waits. It goes on with the next event that lets its job go on.
    pub(super) fn put_back(&mut self, run: RunId, turn: &mut Turn<'_>) {
        let Some((id, active)) = self.take_run(run) else { return };
        turn.changed.insert(id.clone());
        self.free_place(&id, active.has_place);
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.state.waiting.insert(0, Waiting { item: active.item, ticket: None });
    }

    /// Whether some job has a policy that needs state of an earlier daemon.
    pub(super) fn need_saved_state(&self) -> bool {
        self.jobs.values().any(|job| {
            let policy = &job.spec.policy;
            policy.catch_up.mode != CatchUpMode::None
                || policy.retry.attempts > 0
                || policy.overlap == Overlap::Queue
                || policy.late.is_some()
                || job.spec.group.is_some()
                || !job.spec.after.is_empty()
        })
    }

    /// The state of a job that has to be kept. None: nothing has.
    pub(super) fn saved(&self, id: &JobId) -> Option<&JobState> {
        self.jobs.get(id).map(|job| &job.state).filter(|state| !state.is_empty())
    }

    /// All states that have to be kept.
    pub(super) fn all_saved(&self) -> impl Iterator<Item = (&JobId, &JobState)> {
        self.jobs.iter().map(|(id, job)| (id, &job.state)).filter(|(_, state)| !state.is_empty())
    }

    /// The pauses, for the state file and for questions.
    pub(super) fn pauses(&self) -> impl Iterator<Item = (&JobId, &Pause)> {
        self.pauses.iter()
    }

    /// The pause of a job.
    pub(super) fn paused(&self, id: &JobId) -> Option<&Pause> {
        self.pauses.get(id)
    }

    /// Gives back a pause of an earlier daemon.
    pub(super) fn restore_pause(&mut self, id: JobId, pause: Pause) {
        self.pauses.insert(id, pause);
    }

    /// Gives a job that has been registered the state of an earlier daemon. Tickets keep their order. After a boot the monotonic clock is
    /// another one, and retries go by the wall clock.
    pub(super) fn restore(&mut self, id: &JobId, mut state: JobState, now: Now, boot: bool) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        if boot && let Some(retry) = &mut state.retry {
            let left = (retry.due_at.0 - now.utc.0).max(0);
            retry.due_ms = now.elapsed_ms.saturating_add(left.saturating_mul(1_000));
        }
        let tickets = state.waiting.iter().filter_map(|waiting| waiting.ticket);
        let tickets: Vec<u64> = tickets.chain(state.retry.as_ref().and_then(PendingRetry::ticket)).collect();
        self.next_ticket = tickets.iter().copied().fold(self.next_ticket, u64::max);
        if let Some(key) = &job.spec.group {
            let group = self.groups.entry(key.clone()).or_default();
            tickets.iter().for_each(|ticket| group.wait(*ticket, id.clone()));
            state.running.iter_mut().for_each(|run| run.has_place = true);
            (0..state.running.len()).for_each(|_| group.enter());
        } else {
            state.running.iter_mut().for_each(|run| run.has_place = false);
            state.waiting.iter_mut().for_each(|waiting| waiting.ticket = None);
        }
        self.runs.extend(state.running.iter().map(|run| (run.run, id.clone())));
        if let Some(retry) = &state.retry {
            self.retries.insert((retry.due_ms, id.clone()));
        }
        if let Some(late) = state.late_at {
            self.late.insert((late, id.clone()));
        }
        job.state = state;
    }

    /// The retries that are pending, with the moment of the failure: the daemon gives up those of jobs of which a slot has passed since.
    pub(super) fn pending_retries(&self) -> Vec<(JobId, Timestamp)> {
        let failed = |(id, job): (&JobId, &Job)| Some((id.clone(), job.state.retry.as_ref()?.failed_at));
        self.jobs.iter().filter_map(failed).collect()
    }

    /// Slots of the job have passed while the daemon was down: a pending retry is given up.
    pub(super) fn slots_passed(&mut self, id: &JobId, turn: &mut Turn<'_>) {
        self.give_up_retry(id, turn);
    }

    /// Lets everything go on that may, after a start of the daemon.
    pub(super) fn let_all_go_on(&mut self, turn: &mut Turn<'_>) {
        let ids: Vec<JobId> = self.jobs.keys().cloned().collect();
        for id in ids {
            self.let_go_on(&id, turn);
        }
    }

    /// Takes over a run of an earlier daemon, unless its state has told of it.
    pub(super) fn adopt(&mut self, run: RunId, id: &JobId, now: Now) -> bool {
        let Some(job) = self.jobs.get_mut(id) else { return false };
        if self.runs.contains_key(&run) {
            return true;
        }
        let (scheduled_at, trigger) = (now.utc, Trigger::Schedule);
        let item = Item { scheduled_at, trigger, is_caught_up: false, is_manual: false, attempt: 1, number: 0 };
        let group = job.spec.group.clone();
        job.state.running.push(ActiveRun { run, item, ending: None, has_place: group.is_some() });
        self.runs.insert(run, id.clone());
        if let Some(group) = group {
            self.groups.entry(group).or_default().enter();
        }
        true
    }

    /// The moment from which an `@N` job counts.
    pub(super) fn last_end(&self, id: &JobId) -> Option<Timestamp> {
        self.jobs.get(id)?.state.last_end
    }

    /// Whether a run of the job is going on, or something waits or will be retried: its `@N` does not count yet.
    pub(super) fn is_occupied(&self, id: &JobId) -> bool {
        self.jobs.get(id).is_some_and(|job| job.is_busy() || job.state.retry.is_some())
    }

    /// The policy of a job.
    pub(super) fn policy(&self, id: &JobId) -> Option<&Policy> {
        Some(&self.jobs.get(id)?.spec.policy)
    }

    /// Records rows of skipped slots that have not ended.
    pub(super) fn flush_rows(&mut self, turn: &mut Turn<'_>) {
        let ids: Vec<JobId> = self.jobs.keys().cloned().collect();
        ids.iter().for_each(|id| self.flush_row(id, turn));
    }
}

/// Records.
impl Jobs {
    /// A slot or a run by hand is left out.
    fn leave_out(&mut self, id: &JobId, item: &Item, reason: SkipReason, turn: &mut Turn<'_>) {
        if item.is_manual {
            return self.record_without_run(id, item, Outcome::Skipped(reason), turn);
        }
        let at = item.scheduled_at;
        self.add_to_row(id, reason, item.trigger, (at, at), 1, turn);
    }

    /// Something that waited was cancelled by somebody.
    fn record_cancelled(&mut self, id: &JobId, item: &Item, by: &str, turn: &mut Turn<'_>) {
        self.flush_row(id, turn);
        self.record_without_run(id, item, Outcome::Killed { by: by.to_owned() }, turn);
    }

    fn record_without_run(&self, id: &JobId, item: &Item, outcome: Outcome, turn: &mut Turn<'_>) {
        let Some(job) = self.jobs.get(id) else { return };
        turn.record(RunRecord {
            run: None,
            job: id.clone(),
            line: job.spec.line,
            scheduled_at: item.scheduled_at,
            trigger: item.trigger,
            attempt: 0,
            started_at_ms: None,
            ended_at_ms: None,
            outcome,
            count: 1,
            until: None,
        });
    }

    fn add_to_row(
        &mut self,
        id: &JobId,
        reason: SkipReason,
        trigger: Trigger,
        (first, last): (Timestamp, Timestamp),
        count: u64,
        turn: &mut Turn<'_>,
    ) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        match &mut job.state.row {
            Some(row) if row.reason == reason => {
                row.last = last;
                row.count += count;
            }
            _ => {
                self.flush_row(id, turn);
                let Some(job) = self.jobs.get_mut(id) else { return };
                job.state.row = Some(SkipRow { reason, trigger, first, last, count });
                if let Some(entry) = job.spec.entry {
                    turn.decisions.push(Decision::LeftOut { entry, reason, scheduled_at: first });
                }
            }
        }
    }

    fn flush_row(&mut self, id: &JobId, turn: &mut Turn<'_>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let Some(row) = job.state.row.take() else { return };
        turn.record(RunRecord {
            run: None,
            job: id.clone(),
            line: job.spec.line,
            scheduled_at: row.first,
            trigger: row.trigger,
            attempt: 0,
            started_at_ms: None,
            ended_at_ms: None,
            outcome: Outcome::Skipped(row.reason),
            count: row.count,
            until: (row.count > 1).then_some(row.last),
        });
    }
}

impl PendingRetry {
    fn ticket(&self) -> Option<u64> {
        match self.stage {
            RetryStage::Group(ticket) => Some(ticket),
            RetryStage::Pause | RetryStage::OwnRun => None,
        }
    }
}

/// The recorded outcome of a run: what the executor saw, by the entry's rules.
fn outcome_of(ended: &RunResult, active: &ActiveRun, policy: &Policy) -> Outcome {
    match &ended.outcome {
        RunOutcome::Lost => return Outcome::Lost,
        RunOutcome::NotStarted { why } => return Outcome::NotStarted { why: why.clone() },
        RunOutcome::Skipped(reason) => return Outcome::Skipped(*reason),
        RunOutcome::Code(_) | RunOutcome::Signal { .. } => {}
    }
    match &active.ending {
        Some(EndReason::Replaced) => return Outcome::Replaced,
        Some(EndReason::Killed(by)) => return Outcome::Killed { by: by.clone() },
        None if ended.is_timeout => return Outcome::Timeout,
        None => {}
    }
    match &ended.outcome {
        RunOutcome::Code(status) => {
            let is_ok = policy.success.contains(*status) && !(policy.fails_on_stderr && ended.output.stderr_bytes > 0);
            if is_ok { Outcome::Ok { status: *status } } else { Outcome::Failed { status: *status } }
        }
        RunOutcome::Signal { number, core_dumped } => Outcome::Signal { number: *number, core_dumped: *core_dumped },
        RunOutcome::Lost | RunOutcome::NotStarted { .. } | RunOutcome::Skipped(_) => Outcome::Lost,
    }
}
