//! One job that has a policy: what its entry asks for, and its state. The state is stored, so its fields keep their names.

use super::group::GroupKey;
use crate::crontab::{CatchUpMode, Overlap, Policy};
use crate::schedule::Timestamp;
use crate::scheduler::earlier_run::EarlierRun;
use crate::scheduler::job_id::JobId;
use crate::scheduler::run_id::RunId;
use crate::scheduler::run_record::{EndReason, RunCause, RunRecord, SkipReason, Trigger};
use crate::scheduler::run_result::RunResult;
use crate::scheduler::slot_claim::SlotClaim;
use crate::scheduler::start_queue::EntryKey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the crontab says of a job.
#[derive(Clone, Debug)]
pub(in crate::scheduler) struct JobSpec {
    pub(in crate::scheduler) policy: Arc<Policy>,
    /// The entry; none once it is gone.
    pub(in crate::scheduler) entry: Option<EntryKey>,
    /// Line of the entry, from 1.
    pub(in crate::scheduler) line: u32,
    /// User id of the owner of the crontab that it is in. None: a system table, or a table of a standalone daemon.
    pub(in crate::scheduler) table_owner: Option<u32>,
    /// The group, if the policy names one.
    pub(in crate::scheduler) group: Option<GroupKey>,
    /// Whether it is an `@N` entry, which counts from the last end.
    pub(in crate::scheduler) is_interval: bool,
    /// The jobs that an `@after` entry waits for.
    pub(in crate::scheduler) after: Vec<JobId>,
}

/// A job and its state.
#[derive(Debug)]
pub(in crate::scheduler) struct Job {
    pub(in crate::scheduler) spec: JobSpec,
    pub(in crate::scheduler) state: JobState,
}

/// What must survive a restart of the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::scheduler) struct JobState {
    /// Runs that were started, or wait in the start queue, in the order of their starts.
    pub(in crate::scheduler) running: Vec<ActiveRun>,
    /// How runs have ended while no entry had taken the state of an earlier daemon back.
    pub(in crate::scheduler) ended: Vec<RunResult>,
    /// What waits for the end of a run, or in the group, in order of arrival.
    pub(in crate::scheduler) waiting: Vec<Waiting>,
    pub(in crate::scheduler) retry: Option<PendingRetry>,
    /// Skipped slots in a row that are not recorded yet.
    pub(in crate::scheduler) row: Option<SkipRow>,
    /// How many slots have been let past the overlap rule: the number of the newest.
    pub(in crate::scheduler) accepted: u64,
    /// When the last run ended, for `@N`; before the first one when the entry was loaded.
    pub(in crate::scheduler) last_end: Option<Timestamp>,
    /// Final failures in a row.
    pub(in crate::scheduler) failures: u32,
    /// When the last failure notice of the incident was sent. None: there is no incident.
    pub(in crate::scheduler) last_alert: Option<Timestamp>,
    /// Until when a success is expected (`CRON_LATE`).
    pub(in crate::scheduler) late_at: Option<Timestamp>,
    /// Whether the late notice was sent since the last success.
    pub(in crate::scheduler) is_late: bool,
    /// For `@after`: the named jobs that have ended well since the last slot.
    pub(in crate::scheduler) after_ok: BTreeMap<JobId, Timestamp>,
    /// For `CRON_MAIL=change`: the outcome and the digest of the output of the last slot.
    pub(in crate::scheduler) last_output: Option<(String, Option<u64>)>,
}

/// A run that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::scheduler) struct ActiveRun {
    pub(in crate::scheduler) run: RunId,
    /// When it was put into the start queue.
    pub(in crate::scheduler) queued_at: Timestamp,
    /// Whether it still waits there: the executor has not been asked to start it.
    #[serde(default)]
    pub(in crate::scheduler) is_queued: bool,
    pub(in crate::scheduler) item: Item,
    /// Why its end was requested.
    pub(in crate::scheduler) ending: Option<EndReason>,
    /// The group in which it has a place.
    #[serde(default)]
    pub(in crate::scheduler) place: Option<GroupKey>,
    /// For a further attempt, the failure before it. It is final if the attempt is not begun after all.
    pub(in crate::scheduler) failure: Option<Box<FailedAttempt>>,
}

/// Something that is to be run: a slot, an attempt for it, or a manual run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::scheduler) struct Item {
    pub(in crate::scheduler) scheduled_at: Timestamp,
    pub(in crate::scheduler) trigger: Trigger,
    /// Whether it stands for a slot that was missed.
    pub(in crate::scheduler) is_caught_up: bool,
    /// Whether a user or root asked for it.
    pub(in crate::scheduler) is_manual: bool,
    /// The attempt for the slot, from 1.
    pub(in crate::scheduler) attempt: u32,
    /// The number of the slot among those let past the overlap rule; 0 before that, and for manual runs.
    pub(in crate::scheduler) number: u64,
    /// The claim of the slot of a fleet job, once this node has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::scheduler) claim: Option<SlotClaim>,
}

/// A start that waits for another run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::scheduler) struct Waiting {
    pub(in crate::scheduler) item: Item,
    /// Its place in the group's queue. None: it waits for a run of its own job.
    pub(in crate::scheduler) ticket: Option<u64>,
}

/// A failure that a further attempt may follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::scheduler) struct FailedAttempt {
    pub(in crate::scheduler) record: RunRecord,
    /// The digest of its output, for `CRON_MAIL=change`.
    pub(in crate::scheduler) output_digest: Option<u64>,
    /// The claim of its slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::scheduler) claim: Option<SlotClaim>,
}

/// An attempt that will follow a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::scheduler) struct PendingRetry {
    pub(in crate::scheduler) item: Item,
    /// When it is due, milliseconds of the monotonic clock; by the wall clock after a reboot.
    pub(in crate::scheduler) due_ms: i64,
    pub(in crate::scheduler) due_at: Timestamp,
    pub(in crate::scheduler) failed_at: Timestamp,
    /// Whether a slot of the job has passed in a pause since the failure.
    pub(in crate::scheduler) has_slot_passed: bool,
    pub(in crate::scheduler) stage: RetryStage,
    /// The failure, which becomes final if the attempt is dropped.
    pub(in crate::scheduler) failure: Box<FailedAttempt>,
}

/// What a pending retry waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::scheduler) enum RetryStage {
    /// The delay between two attempts.
    Pause,
    /// The end of another run of the job.
    OwnRun,
    /// A free place in the group. The value is its number in the group's queue.
    Group(u64),
}

/// Skipped slots in a row, all for the same reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::scheduler) struct SkipRow {
    pub(in crate::scheduler) reason: SkipReason,
    pub(in crate::scheduler) trigger: Trigger,
    pub(in crate::scheduler) first: Timestamp,
    pub(in crate::scheduler) last: Timestamp,
    pub(in crate::scheduler) count: u64,
    /// When its record is to be updated. None: the record is up to date.
    #[serde(default)]
    pub(in crate::scheduler) update_at: Option<Timestamp>,
    /// When that was done for the last time, or the row began.
    #[serde(default)]
    pub(in crate::scheduler) updated_at: Option<Timestamp>,
}

impl Job {
    /// Whether a run of it is running, or waits in the group or in the start queue. A pending retry does not count.
    pub(in crate::scheduler) fn is_busy(&self) -> bool {
        !self.state.running.is_empty() || !self.state.waiting.is_empty()
    }

    /// Whether something that waits for a run of the job may start, or enter the group.
    pub(in crate::scheduler) fn may_start(&self, item: &Item) -> bool {
        let in_group = |waiting: &&Waiting| waiting.ticket.is_some();
        match self.spec.policy.overlap {
            // Caught-up slots run one at a time, each with its retries.
            Overlap::Allow if item.is_caught_up => {
                let is_active = self.state.running.iter().any(|run| run.item.is_caught_up)
                    || self.state.waiting.iter().filter(in_group).any(|waiting| waiting.item.is_caught_up)
                    || self.state.retry.as_ref().is_some_and(|retry| retry.item.is_caught_up);
                !is_active
            }
            Overlap::Allow => true,
            Overlap::Skip | Overlap::Queue | Overlap::Replace => {
                self.state.running.is_empty()
                    && !self.state.waiting.iter().any(|waiting| waiting.ticket.is_some())
                    && (item.is_manual || self.state.retry.is_none())
            }
        }
    }

    /// Whether a retry may begin as far as the job's other runs are concerned.
    pub(in crate::scheduler) fn may_retry(&self) -> bool {
        match self.spec.policy.overlap {
            Overlap::Allow => true,
            Overlap::Skip | Overlap::Queue | Overlap::Replace => {
                self.state.running.is_empty() && !self.state.waiting.iter().any(|waiting| waiting.ticket.is_some())
            }
        }
    }

    /// The place, among what waits, of the regular slot that a newer one takes the place of.
    pub(in crate::scheduler) fn waiting_slot(&self) -> Option<usize> {
        self.state.waiting.iter().position(|waiting| waiting.item.is_regular_slot())
    }

    /// Whether each missed slot has to run to its end: with `CRON_CATCHUP=all` none is replaced by a newer slot.
    pub(in crate::scheduler) fn is_catching_up_all(&self) -> bool {
        let is_all = self.spec.policy.catch_up.mode == CatchUpMode::All;
        let runs_one = || self.state.running.iter().any(|run| run.item.is_caught_up);
        self.has_caught_up_waiting() || (is_all && runs_one())
    }

    /// Whether missed slots wait for their turn.
    pub(in crate::scheduler) fn has_caught_up_waiting(&self) -> bool {
        self.state.waiting.iter().any(|waiting| waiting.item.is_caught_up)
    }
}

impl Item {
    /// Whether it is a slot that was not missed.
    pub(in crate::scheduler) fn is_regular_slot(&self) -> bool {
        !self.is_manual && !self.is_caught_up
    }

    /// Whether a run for that moment may be a start of it, by what is known of the run.
    pub(in crate::scheduler) fn may_be_of(&self, scheduled_at: Timestamp, cause: Option<RunCause>) -> bool {
        let is_like = |cause: RunCause| cause.trigger.is_manual() == self.is_manual && cause.attempt == self.attempt;
        self.scheduled_at == scheduled_at && cause.is_none_or(is_like)
    }
}

impl JobState {
    /// The runs that were in progress.
    pub(in crate::scheduler) fn runs(&self) -> Vec<RunId> {
        self.running.iter().map(|run| run.run).collect()
    }

    /// Gives a slot that is let past the overlap rule its number, unless it has one already.
    pub(in crate::scheduler) fn accept(&mut self, item: &mut Item) {
        if !item.is_manual && item.number == 0 {
            self.accepted += 1;
            item.number = self.accepted;
        }
    }

    /// The number of the slot of which an attempt before this one is in progress; 0 if there is none.
    pub(in crate::scheduler) fn number_of_earlier_attempt(&self, slot: Timestamp, attempt: u32) -> u64 {
        let is_earlier = |item: &&Item| !item.is_manual && item.scheduled_at == slot && item.attempt < attempt;
        self.running.iter().map(|active| &active.item).rfind(is_earlier).map_or(0, |item| item.number)
    }

    /// The newest run that it has: one in progress, or the last attempt of the slot that is retried.
    pub(in crate::scheduler) fn newest_run(&self) -> Option<RunId> {
        let failed = self.retry.as_ref().and_then(|retry| retry.failure.record.run);
        self.running.iter().map(|active| active.run).chain(failed).max()
    }

    /// Whether it has that run and does not know its end.
    pub(in crate::scheduler) fn has_open_run(&self, run: RunId) -> bool {
        self.running.iter().any(|active| active.run == run) && !self.ended.iter().any(|end| end.run == run)
    }

    /// Whether this state was saved before the end of the run was known: the run is still in it, or the start or retry for which the run was
    /// started still waits.
    pub(in crate::scheduler) fn lacks_end_of(&self, earlier: &EarlierRun) -> bool {
        let &EarlierRun { run, scheduled_at, cause, .. } = earlier;
        self.has_open_run(run)
            || self.waiting.iter().any(|waiting| waiting.item.may_be_of(scheduled_at, cause))
            || self.retry.as_ref().is_some_and(|retry| retry.may_have_become(run, scheduled_at, cause))
    }

    /// The slots of its runs, of what waits, of its retry, and the last one that was skipped.
    pub(in crate::scheduler) fn slots(&self) -> Vec<(Timestamp, Trigger)> {
        let running = self.running.iter().map(|run| &run.item);
        let waiting = self.waiting.iter().map(|waiting| &waiting.item);
        let items = running.chain(waiting).chain(self.retry.as_ref().map(|retry| &retry.item));
        let slots = items.filter(|item| !item.is_manual).map(|item| (item.scheduled_at, item.trigger));
        slots.chain(self.row.as_ref().map(|row| (row.last, row.trigger))).collect()
    }

    /// Whether a slot has not been started yet: it waits by a policy, or in the start queue.
    pub(in crate::scheduler) fn waits_for_start(&self, slot: Timestamp) -> bool {
        let queued = self.running.iter().filter(|run| run.is_queued && run.failure.is_none()).map(|run| &run.item);
        let waiting = self.waiting.iter().map(|waiting| &waiting.item);
        queued.chain(waiting).any(|item| item.scheduled_at == slot)
    }

    /// Whether nothing of it has to be kept.
    pub(in crate::scheduler) fn is_empty(&self) -> bool {
        *self == JobState { accepted: self.accepted, ..JobState::default() }
    }
}

impl PendingRetry {
    /// Whether a run for that moment may be a start of it, by what is known of the run.
    pub(in crate::scheduler) fn may_have_become(
        &self,
        run: RunId,
        scheduled_at: Timestamp,
        cause: Option<RunCause>,
    ) -> bool {
        let is_later = self.failure.record.run.is_none_or(|failed| failed < run);
        is_later && self.item.may_be_of(scheduled_at, cause)
    }

    /// The ticket of the retry in the group's queue, if it waits there.
    pub(in crate::scheduler) fn ticket(&self) -> Option<u64> {
        match self.stage {
            RetryStage::Group(ticket) => Some(ticket),
            RetryStage::Pause | RetryStage::OwnRun => None,
        }
    }
}
