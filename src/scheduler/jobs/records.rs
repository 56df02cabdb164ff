//! The records of slots that have no run.

use super::job::{Item, SkipRow};
use super::{Decision, Jobs, Turn};
use crate::schedule::Timestamp;
use crate::scheduler::job_id::JobId;
use crate::scheduler::run_record::{Outcome, RunRecord, SkipReason, Trigger};

impl Jobs {
    /// A slot or a run by hand is left out.
    pub(super) fn leave_out(&mut self, id: &JobId, item: &Item, reason: SkipReason, turn: &mut Turn<'_>) {
        if item.is_manual {
            return self.record_without_run(id, item, Outcome::Skipped(reason), turn);
        }
        let at = item.scheduled_at;
        self.add_to_row(id, reason, item.trigger, (at, at), 1, turn);
    }

    /// Something that waited was cancelled by somebody.
    pub(super) fn record_cancelled(&mut self, id: &JobId, item: &Item, by: &str, turn: &mut Turn<'_>) {
        self.flush_row(id, turn);
        self.record_without_run(id, item, Outcome::Killed { by: by.to_owned() }, turn);
    }

    pub(super) fn record_without_run(&self, id: &JobId, item: &Item, outcome: Outcome, turn: &mut Turn<'_>) {
        let at = item.scheduled_at;
        self.record_slots(id, outcome, item.trigger, (at, at, 1), turn);
    }

    /// Records slots in a row that had no run: the first, the last and how many they are.
    pub(super) fn record_slots(
        &self,
        id: &JobId,
        outcome: Outcome,
        trigger: Trigger,
        (first, last, count): (Timestamp, Timestamp, u64),
        turn: &mut Turn<'_>,
    ) {
        let Some(job) = self.jobs.get(id) else { return };
        turn.record(RunRecord {
            run: None,
            job: id.clone(),
            line: job.spec.line,
            scheduled_at: first,
            trigger,
            attempt: 0,
            started_at_ms: None,
            ended_at_ms: None,
            outcome,
            count,
            until: (count > 1).then_some(last),
        });
    }

    pub(super) fn add_to_row(
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

    pub(super) fn flush_row(&mut self, id: &JobId, turn: &mut Turn<'_>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let Some(row) = job.state.row.take() else { return };
        self.record_slots(id, Outcome::Skipped(row.reason), row.trigger, (row.first, row.last, row.count), turn);
    }
}
