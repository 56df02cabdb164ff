//! The records of slots that have no run.

use super::job::{Item, SkipRow};
use super::registry::Jobs;
use crate::schedule::Timestamp;
use crate::scheduler::action::Action;
use crate::scheduler::job_id::JobId;
use crate::scheduler::policy_context::PolicyContext;
use crate::scheduler::run_record::{Outcome, RunRecord, SkipReason, Trigger};

/// The record of a growing row of skipped slots is updated at most that often. Seconds.
const UPDATE_PAUSE: i64 = 60;

impl Jobs {
    /// Skips a slot or a manual run.
    pub(super) fn skip(&mut self, id: &JobId, item: &Item, reason: SkipReason, context: &mut PolicyContext<'_>) {
        if item.is_manual {
            return self.record_without_run(id, item, Outcome::Skipped(reason), context);
        }
        if self.is_of_fleet(id) && reason != SkipReason::EngineAway {
            return context.skip_in_fleet(id, item.scheduled_at, item.trigger, reason);
        }
        let at = item.scheduled_at;
        self.add_to_row(id, reason, item.trigger, (at, at), 1, context);
    }

    /// Records a waiting start that was cancelled on request.
    pub(super) fn record_cancelled(&mut self, id: &JobId, item: &Item, by: &str, context: &mut PolicyContext<'_>) {
        self.flush_row(id, context);
        self.record_without_run(id, item, Outcome::Killed { by: by.to_owned() }, context);
    }

    pub(super) fn record_without_run(
        &self,
        id: &JobId,
        item: &Item,
        outcome: Outcome,
        context: &mut PolicyContext<'_>,
    ) {
        let at = item.scheduled_at;
        self.record_slots(id, outcome, item.trigger, (at, at, 1), context);
    }

    /// Records slots in a row that had no run: the first, the last and how many they are.
    pub(super) fn record_slots(
        &self,
        id: &JobId,
        outcome: Outcome,
        trigger: Trigger,
        (first, last, count): (Timestamp, Timestamp, u64),
        context: &mut PolicyContext<'_>,
    ) {
        if let Some(record) = self.record_of(id, outcome, trigger, (first, last, count)) {
            context.record(record);
        }
    }

    fn record_of(
        &self,
        id: &JobId,
        outcome: Outcome,
        trigger: Trigger,
        (first, last, count): (Timestamp, Timestamp, u64),
    ) -> Option<RunRecord> {
        let job = self.jobs.get(id)?;
        Some(RunRecord {
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
        })
    }

    pub(super) fn add_to_row(
        &mut self,
        id: &JobId,
        reason: SkipReason,
        trigger: Trigger,
        (first, last): (Timestamp, Timestamp),
        count: u64,
        context: &mut PolicyContext<'_>,
    ) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        match &mut job.state.row {
            Some(row) if row.reason == reason => {
                row.last = last;
                row.count += count;
                if row.update_at.is_none() {
                    let at =
                        Timestamp(row.updated_at.unwrap_or(first).0.saturating_add(UPDATE_PAUSE)).max(context.now.utc);
                    row.update_at = Some(at);
                    self.row_updates.add(at, id);
                }
            }
            _ => {
                self.flush_row(id, context);
                let Some(job) = self.jobs.get_mut(id) else { return };
                // What is logged when it begins is recorded as one slot.
                let update_at = (count > 1).then_some(context.now.utc);
                let updated_at = Some(context.now.utc);
                job.state.row = Some(SkipRow { reason, trigger, first, last, count, update_at, updated_at });
                if let Some(at) = update_at {
                    self.row_updates.add(at, id);
                }
                if let Some(entry) = job.spec.entry {
                    context.report_skipped((id, entry), reason, first);
                }
            }
        }
    }

    pub(super) fn flush_row(&mut self, id: &JobId, context: &mut PolicyContext<'_>) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let Some(row) = job.state.row.take() else { return };
        if let Some(at) = row.update_at {
            self.row_updates.remove(at, id);
        }
        self.record_slots(id, Outcome::Skipped(row.reason), row.trigger, (row.first, row.last, row.count), context);
    }

    /// When the record of a row is brought up to date next.
    pub(in crate::scheduler) fn next_row_update(&self) -> Option<Timestamp> {
        self.row_updates.next()
    }

    /// Updates the records of growing rows of skipped slots, if it is time for that.
    pub(in crate::scheduler) fn update_rows(&mut self, context: &mut PolicyContext<'_>) {
        while let Some((_, id)) = self.row_updates.take_due(context.now.utc) {
            let Some(row) = self.jobs.get_mut(&id).and_then(|job| job.state.row.as_mut()) else { continue };
            (row.update_at, row.updated_at) = (None, Some(context.now.utc));
            let (outcome, slots) = (Outcome::Skipped(row.reason), (row.first, row.last, row.count));
            let trigger = row.trigger;
            let record = self.record_of(&id, outcome, trigger, slots);
            context.actions.extend(record.map(|record| Action::UpdateRow(Box::new(record))));
            context.note_change(&id);
        }
    }
}
