//! Catches up missed slots, or records them as missed (`CRON_CATCHUP`).

use super::job::{Item, Job, Waiting};
use super::registry::Jobs;
use crate::crontab::{CatchUpMode, Overlap, Policy};
use crate::schedule::Timestamp;
use crate::scheduler::job_id::JobId;
use crate::scheduler::policy_context::PolicyContext;
use crate::scheduler::run_record::{EndReason, MissReason, Outcome, SkipReason, Trigger};

/// Missed slots of one entry that `CRON_CATCHUP=all` makes up for.
pub(in crate::scheduler) const CAUGHT_UP: usize = 1_000;

/// Missed slots of which none is caught up.
#[derive(Clone, Copy, Debug)]
pub(in crate::scheduler) struct OlderSlots {
    pub(in crate::scheduler) first: Timestamp,
    pub(in crate::scheduler) last: Timestamp,
    /// How many there are, or at least are.
    pub(in crate::scheduler) count: u64,
    /// Whether there are more missed slots than were counted.
    pub(in crate::scheduler) is_more: bool,
}

impl Jobs {
    /// These slots of an entry with `CRON_CATCHUP` were missed, for that reason; in order. Those that are excepted come with true. None of `older`
    /// is caught up.
    pub(in crate::scheduler) fn catch_up(
        &mut self,
        id: &JobId,
        older: Option<OlderSlots>,
        slots: &[(Timestamp, bool)],
        why: MissReason,
        context: &mut PolicyContext<'_>,
    ) {
        let Some(job) = self.jobs.get(id) else { return };
        let policy = job.spec.policy.clone();
        if !policy.is_enabled {
            return;
        }
        context.note_change(id);
        let oldest = Timestamp(context.now.utc.0.saturating_sub(i64::from(policy.catch_up.max_age)));
        let verdicts: Vec<(Timestamp, Option<Outcome>)> = slots
            .iter()
            .map(|&(slot, is_excepted)| {
                let verdict = if is_excepted {
                    Some(Outcome::Skipped(SkipReason::Calendar))
                } else if self.pauses.was_paused(id, slot) || self.pauses.is_paused(id, context.now.utc) {
                    Some(Outcome::Skipped(SkipReason::Paused))
                } else if slot < oldest {
                    Some(Outcome::Missed(MissReason::MaxAge))
                } else {
                    None
                };
                (slot, verdict)
            })
            .collect();
        let missed = verdicts.iter().filter(|(_, verdict)| verdict.is_none()).count();
        let (runs, left_out) = match policy.catch_up.mode {
            CatchUpMode::None => (0, why),
            CatchUpMode::Once => (1, why),
            CatchUpMode::All => (CAUGHT_UP, MissReason::Limit),
        };
        let mut to_skip = missed.saturating_sub(runs);
        if let Some(OlderSlots { first, last, count, .. }) = older {
            let reason = if last < oldest { MissReason::MaxAge } else { left_out };
            self.record_row(id, Some((Outcome::Missed(reason), first, last, count)), context);
        }
        let mut due = Vec::new();
        let mut row: Option<(Outcome, Timestamp, Timestamp, u64)> = None;
        for (slot, verdict) in verdicts {
            let outcome = match verdict {
                Some(outcome) => outcome,
                None if to_skip > 0 => {
                    to_skip -= 1;
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
                    self.record_row(id, row.take(), context);
                    row = Some((outcome, slot, slot, 1));
                }
            }
        }
        self.record_row(id, row, context);
        for scheduled_at in due {
            self.start_caught_up(id, scheduled_at, &policy, context);
        }
    }

    /// Records slots in a row that were missed, or skipped while they were.
    pub(in crate::scheduler) fn record_row(
        &mut self,
        id: &JobId,
        row: Option<(Outcome, Timestamp, Timestamp, u64)>,
        context: &mut PolicyContext<'_>,
    ) {
        let Some((outcome, first, last, count)) = row else { return };
        if let Outcome::Skipped(reason) = outcome {
            return self.add_to_row(id, reason, Trigger::Schedule, (first, last), count, context);
        }
        self.flush_row(id, context);
        self.record_slots(id, outcome, Trigger::Schedule, (first, last, count), context);
    }

    pub(super) fn start_caught_up(
        &mut self,
        id: &JobId,
        scheduled_at: Timestamp,
        policy: &Policy,
        context: &mut PolicyContext<'_>,
    ) {
        let trigger = Trigger::CatchUp;
        let item =
            Item { scheduled_at, trigger, is_caught_up: true, is_manual: false, attempt: 1, number: 0, claim: None };
        context.note_change(id);
        self.expect_success(id, policy, scheduled_at);
        if policy.overlap != Overlap::Queue && !self.jobs.get(id).is_some_and(Job::has_caught_up_waiting) {
            self.drop_retry(id, context);
        }
        let Some(job) = self.jobs.get_mut(id) else { return };
        let is_first = !job.has_caught_up_waiting() && !job.state.running.iter().any(|run| run.item.is_caught_up);
        if job.may_start(&item) && is_first && !(policy.overlap != Overlap::Allow && job.is_busy()) {
            self.enter_group(id, item, context);
            return;
        }
        job.state.waiting.push(Waiting { item, ticket: None });
        if policy.overlap == Overlap::Replace && is_first {
            self.end_runs(id, &EndReason::Replaced, context);
        }
    }
}
