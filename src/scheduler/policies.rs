//! Job policies in the scheduler: which entries have one, what their slots become, and what they do when time was left out.

use super::due::Due;
use super::event::{Action, Now, Owner, RunId, RunOutcome, RunRequest, RunResult, RunRules};
use super::follow_up::{self, FollowUp, FollowUpTask, PingEvent};
use super::job_id::JobId;
use super::jobs::{Decision, GroupKey, JobSpec, Jobs, Killed, Notice, Pause, PauseScope, RefusedRun, RunStart, Turn};
use super::live::EntryCursor;
use super::live_table::LiveCrontab;
use super::naming::{NamedEntries, Touched};
use super::queue_exits::QueueExit;
use super::run_record::{MissReason, RunRecord, SkipReason, Trigger};
use super::runs::RunOrigin;
use super::saved::{SavedState, StateChange};
use super::slot_budget::SlotBudget;
use super::start_queue::{ANACRON, EntryKey, QueueOwner, QueuedSlot};
use super::state::{Phase, Scheduler};
use crate::crontab::CatchUpMode;
use crate::schedule::{Day, Kind, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// For so many seconds executors keep which runs they have begun.
const STARTS_KNOWN: i64 = 500;
/// Where an entry has more, the latest within this many seconds, or twice, four times as many.
const LATEST_WINDOW: i64 = 60;

/// Which entries of a table are managed, that is, have a policy, a name or an interval.
impl Scheduler {
    /// Makes the managed entries of a table known that has just become live under that number. `old` are those of the table that it replaces,
    /// and `released` the names that this one had wanted.
    pub(super) fn manage(
        &mut self,
        number: u32,
        old: BTreeMap<u32, JobId>,
        released: BTreeSet<JobId>,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let mut names = self.claim_names(number);
        names.extend(released);
        let has_earlier_copies = self.has_earlier_copies(number);
        let Some(table) = self.tables.get(number) else { return };
        let is_all_paused = self.jobs.is_all_paused(table_owner(table), now.utc);
        let touched = Touched { names, copies: self.copies_of(table.source()) };
        let mut wanted = Vec::new();
        let steered: BTreeSet<&JobId> = old.values().filter(|id| self.jobs.is_steered(id)).collect();
        for entry in 0..table.entries().len() as u32 {
            let is_interval = table.is_interval(entry);
            // Somebody may have paused a job that has no policy, or run it by hand.
            let derived = || table.job_id(entry, &self.settings.caller);
            let is_steered = || derived().is_some_and(|id| steered.contains(&id) || self.jobs.paused(&id).is_some());
            // Another entry may have been given the name that this one has from its command.
            let may_be_renamed = has_earlier_copies || self.names.has_like_derived(self.user_of(table, entry));
            let may_be_steered = !steered.is_empty() || self.jobs.has_pauses_of(self.user_of(table, entry));
            let is_renamed = || self.resolve((number, entry)) != derived();
            if self.settings.records_all
                || is_interval
                || table.is_managed(entry)
                || is_all_paused
                || (may_be_steered && is_steered())
                || (may_be_renamed && is_renamed())
            {
                wanted.push((entry, self.spec(table, number, entry, is_interval)));
            }
        }
        let named = self.name_entries(number, wanted, old, &touched, actions);
        self.install_jobs(named, now, actions);
        self.take_up_state(number, now, actions);
    }

    /// Gives jobs their new policies and entries, and forgets those that have none any more.
    pub(super) fn install_jobs(&mut self, named: NamedEntries, now: Now, actions: &mut Vec<Action>) {
        let NamedEntries { specs, gone, passed } = named;
        self.forget_first_seen(&passed, actions);
        let asks = |spec: &JobSpec| !spec.after.is_empty() || spec.group.is_some();
        let in_question: Vec<JobId> = specs.iter().filter(|(_, spec)| asks(spec)).map(|(id, _)| id.clone()).collect();
        let zone = self.timing.zones.system();
        for (id, spec) in specs.iter().filter(|(_, spec)| spec.policy.catch_up.mode != CatchUpMode::None) {
            let Some((number, entry)) = spec.entry else { continue };
            let Some(table) = self.tables.get(number) else { continue };
            let digest = table.schedule_digest(entry, zone.name());
            let is_same = self.first_seen.get(id).is_some_and(|(known, _)| *known == digest);
            if !is_same {
                self.first_seen.insert(id.clone(), (digest, now.utc));
                // Before the begin the saved state may know an earlier moment.
                if self.phase != Phase::Loading {
                    actions.push(save_first_seen(id, Some((digest, now.utc))));
                }
            }
        }
        // Nothing is owed from before a setting that is taken away and comes back, whether or not a daemon has begun between.
        let is_known = |id: &JobId| self.first_seen.contains_key(id);
        let without = specs.iter().filter(|(id, spec)| spec.policy.catch_up.mode == CatchUpMode::None && is_known(id));
        let without: Vec<JobId> = without.map(|(id, _)| id.clone()).collect();
        let is_foreign = |(id, spec): &&(JobId, JobSpec)| {
            let source = self.jobs.paused(id).and_then(|pause| pause.source.as_deref());
            source.is_some() && spec.entry.and_then(|entry| self.table_of(entry)) != source
        };
        let foreign: BTreeSet<JobId> = specs.iter().filter(is_foreign).map(|(id, _)| id.clone()).collect();
        self.with_jobs(now, actions, |jobs, turn| {
            passed.iter().for_each(|id| jobs.unregister(id, turn));
            for (id, spec) in specs {
                let may_be_paused = jobs.is_all_paused(spec.table_owner, turn.now.utc);
                jobs.register(id.clone(), spec, turn);
                if foreign.contains(&id) {
                    jobs.resume(&id, turn);
                }
                if may_be_paused {
                    jobs.pause_if_covered(&id, turn);
                }
            }
            gone.iter().for_each(|id| jobs.unregister(id, turn));
        });
        self.forget_first_seen(&gone, actions);
        self.forget_first_seen(&without, actions);
        // Before the begin other tables are still to come.
        match self.phase {
            Phase::Loading => self.unchecked.extend(in_question),
            Phase::Running | Phase::Stopped => self.complain_of(&in_question, actions),
        }
    }

    /// The path of the table that an entry is in. None: it is one of the anacrontab.
    fn table_of(&self, entry: EntryKey) -> Option<&str> {
        self.tables.get(entry.0).map(|table| table.source().path.as_str())
    }

    /// Whether a pause was that of an entry of another table than the one that has the name now.
    fn is_of_other_table(&self, id: &JobId, pause: &Pause) -> bool {
        let table = self.jobs.entry(id).and_then(|entry| self.table_of(entry));
        pause.source.is_some() && table != pause.source.as_deref()
    }

    /// Gives the jobs of a table that is loaded late what an earlier daemon has left of them.
    pub(super) fn take_up_state(&mut self, number: u32, now: Now, actions: &mut Vec<Action>) {
        if self.phase != Phase::Running || self.earlier.unclaimed.is_empty() {
            return;
        }
        // Runs that no executor has listed since the begin are over.
        let claimed = self.claim(Some(number), now, actions);
        self.leave_out_paused(&claimed.paused, now, actions);
        // What was saved of them may be a pause of all that they got when they became known.
        self.with_jobs(now, actions, |jobs, turn| {
            for id in &claimed.paused {
                turn.changed_pauses.insert(id.clone());
                jobs.pause_if_covered(id, turn);
            }
        });
        for result in claimed.ended {
            self.ended(&result, now, actions);
        }
        for run in claimed.unknown {
            let ended_at_ms = now.utc.0.saturating_mul(1_000);
            self.ended(&RunResult::of_outcome(run, RunOutcome::Lost, ended_at_ms), now, actions);
        }
        self.with_jobs(now, actions, |jobs, turn| jobs.let_all_go_on(turn));
    }

    /// The entries of a table that is not live any more are gone.
    pub(super) fn unmanage(&mut self, table: &LiveCrontab, now: Now, actions: &mut Vec<Action>) {
        let gone: Vec<JobId> = table.managed.values().cloned().collect();
        if !gone.is_empty() {
            self.with_jobs(now, actions, |jobs, turn| gone.iter().for_each(|id| jobs.unregister(id, turn)));
            self.forget_first_seen(&gone, actions);
        }
    }

    /// The system's zone is another one: entries without a zone of their own have another schedule from now on.
    pub(super) fn note_system_zone(&mut self, now: Now, actions: &mut Vec<Action>) {
        let zone = self.timing.zones.system();
        for (_, table) in self.tables.iter() {
            for (&entry, id) in &table.managed {
                let Some(seen) = self.first_seen.get_mut(id) else { continue };
                let digest = table.schedule_digest(entry, zone.name());
                if digest != seen.0 {
                    *seen = (digest, now.utc);
                    if self.phase != Phase::Loading {
                        actions.push(save_first_seen(id, Some(*seen)));
                    }
                }
            }
        }
    }

    /// What is owed to an entry counts anew when it comes back.
    fn forget_first_seen(&mut self, gone: &[JobId], actions: &mut Vec<Action>) {
        for id in gone {
            // Before the begin nothing is saved: the saved state has not been read.
            if self.first_seen.remove(id).is_some() && self.phase != Phase::Loading {
                actions.push(save_first_seen(id, None));
            }
        }
    }

    /// Exchanges entries: nothing is started before all of them are known.
    pub(super) fn change_entries(
        &mut self,
        now: Now,
        actions: &mut Vec<Action>,
        change: impl FnOnce(&mut Scheduler, &mut Vec<Action>),
    ) {
        self.jobs.begin_change();
        change(self, actions);
        self.starting_at = now.utc;
        self.with_jobs(now, actions, |jobs, turn| jobs.end_change(turn));
        self.report_queue_exits(now, actions);
    }

    fn spec(&self, table: &LiveCrontab, number: u32, entry: u32, is_interval: bool) -> JobSpec {
        let policy = table.policy(entry);
        let is_of_the_system = table.source().owner == Owner::System;
        let user = self.user_of(table, entry);
        let group = policy
            .group
            .as_ref()
            .map(|group| GroupKey { user: (!is_of_the_system).then(|| user.into()), name: group.name.clone() });
        let needed = |name: &Arc<str>| match name.contains(':') {
            true => JobId::of_text(name.to_string()),
            false => JobId::named(user, name),
        };
        let after = table.after(entry).iter().map(needed).collect();
        let (line, table_owner) = (table.line(entry), table_owner(table));
        JobSpec { policy, entry: Some((number, entry)), line, table_owner, group, is_interval, after }
    }

    /// The same for an entry of any table.
    pub(super) fn spec_at(&self, (number, entry): EntryKey) -> Option<JobSpec> {
        if number == ANACRON {
            return self.anacron.spec(entry);
        }
        let table = self.tables.get(number)?;
        let shared = table.timer(entry).and_then(|timer| self.timing.timers.get(timer))?;
        Some(self.spec(table, number, entry, matches!(shared.kind, Kind::Interval { .. })))
    }

    /// The job that an entry is, if it is managed.
    pub(super) fn managed(&self, (number, entry): EntryKey) -> Option<&JobId> {
        match number {
            ANACRON => self.anacron.id_of(entry),
            _ => self.tables.get(number)?.managed.get(&entry),
        }
    }

    /// A job by its id, its name where that is unique, or a unique beginning of either.
    ///
    /// # Errors
    ///
    /// The jobs that it may mean: none or several.
    pub fn find_job(&self, text: &str) -> Result<JobId, Vec<JobId>> {
        let mut ids: Vec<JobId> = Vec::new();
        for (_, table) in self.tables.iter() {
            let entries = 0..table.entries().len() as u32;
            ids.extend(entries.filter_map(|entry| self.id_of(table, entry)));
        }
        if let Some(id) = ids.iter().find(|id| id.as_str() == text) {
            return Ok(id.clone());
        }
        let named: Vec<&JobId> = ids.iter().filter(|id| id.name() == text).collect();
        let begins = |id: &&JobId| id.as_str().starts_with(text) || id.name().starts_with(text);
        let found = if named.is_empty() { ids.iter().filter(begins).collect() } else { named };
        match found.as_slice() {
            [only] => Ok((*only).clone()),
            many => Err(many.iter().map(|id| (*id).clone()).collect()),
        }
    }

    pub(super) fn id_of(&self, table: &LiveCrontab, entry: u32) -> Option<JobId> {
        table.managed.get(&entry).cloned().or_else(|| table.job_id(entry, &self.settings.caller))
    }

    /// Makes a job managed that has no policy, since somebody steers it. False: there is no such job.
    fn manage_job(&mut self, id: &JobId, now: Now, actions: &mut Vec<Action>) -> bool {
        self.manage_jobs(&BTreeSet::from([id.clone()]), None, now, actions);
        self.jobs.entry(id).is_some()
    }

    /// Makes the job managed that is the entry at that place, so that what somebody asks for it needs no search.
    pub fn manage_entry(&mut self, place: EntryCursor, id: &JobId, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        let EntryCursor { table: number, entry } = place;
        let Some(table) = self.tables.get(number).filter(|_| self.jobs.entry(id).is_none()) else { return actions };
        if (entry as usize) < table.entries().len() && self.id_of(table, entry).as_ref() == Some(id) {
            let spec = self.spec(table, number, entry, false);
            if let Some(table) = self.tables.get_mut(number) {
                table.managed.insert(entry, id.clone());
            }
            self.with_jobs(now, &mut actions, |jobs, turn| jobs.register(id.clone(), spec, turn));
        }
        actions
    }

    /// The same for several, in one search of one table or of all.
    fn manage_jobs(&mut self, ids: &BTreeSet<JobId>, only: Option<u32>, now: Now, actions: &mut Vec<Action>) {
        let mut missing: BTreeSet<&JobId> = ids.iter().filter(|id| self.jobs.entry(id).is_none()).collect();
        let mut found = Vec::new();
        for (number, table) in self.tables.iter().filter(|(number, _)| only.is_none_or(|only| only == *number)) {
            for entry in 0..table.entries().len() as u32 {
                if missing.is_empty() {
                    break;
                }
                if table.managed.contains_key(&entry) {
                    continue;
                }
                let id = self.id_of(table, entry).filter(|id| missing.remove(id));
                found.extend(id.map(|id| (id, number, entry, self.spec(table, number, entry, false))));
            }
        }
        for (id, number, entry, spec) in found {
            if let Some(table) = self.tables.get_mut(number) {
                table.managed.insert(entry, id.clone());
            }
            self.with_jobs(now, actions, |jobs, turn| jobs.register(id, spec, turn));
        }
    }
}

/// Slots and ends of managed jobs.
impl Scheduler {
    /// Calls the jobs and does what follows.
    pub(super) fn with_jobs<T>(
        &mut self,
        now: Now,
        actions: &mut Vec<Action>,
        call: impl FnOnce(&mut Jobs, &mut Turn<'_>) -> T,
    ) -> T {
        let mut turn = Turn::new(now, &mut self.runs.next_id);
        let result = call(&mut self.jobs, &mut turn);
        let Turn { decisions, changed, changed_pauses, changed_scopes, due_after, .. } = turn;
        self.changed.extend(changed);
        for id in changed_pauses {
            let pause = self.jobs.paused(&id).cloned();
            actions.push(Action::SaveState(Box::new(StateChange::pause(id, pause))));
        }
        for scope in changed_scopes {
            let all = self.jobs.pauses_of_all().get(&scope).cloned();
            actions.push(Action::SaveState(Box::new(StateChange::pause_of_all(scope, all))));
        }
        self.due.after.extend(due_after);
        for decision in decisions {
            self.decide(decision, actions);
        }
        result
    }

    fn decide(&mut self, decision: Decision, actions: &mut Vec<Action>) {
        match decision {
            Decision::Start(planned) => {
                let (number, entry) = planned.entry;
                let table = self.tables.get(number);
                if table.is_none() && number != ANACRON {
                    return self.queue_exits.unstartable.push(planned.run);
                }
                let timer = table.and_then(|table| table.timer(entry)).and_then(|timer| self.timing.timers.get(timer));
                let (by_seconds, at) = (timer.is_some_and(|timer| timer.by_seconds), self.starting_at);
                let owner = self.queue_owner(planned.entry);
                let at_reboot = planned.item.trigger == Trigger::Reboot;
                let slot = QueuedSlot { run: planned.run, at, scheduled_at: planned.item.scheduled_at, at_reboot };
                let (trigger, attempt) = (planned.item.trigger, planned.item.attempt);
                self.runs.insert(planned.run, RunOrigin::Managed { trigger, attempt });
                if let Some(superseded) = self.queue.push(owner, planned.entry, slot, by_seconds) {
                    self.queue_exits.superseded.push(superseded);
                }
            }
            Decision::End { run, entry, why } => {
                // It may still wait in the start queue.
                match entry.filter(|entry| self.queue.is_waiting(*entry, run)) {
                    Some(entry) => {
                        self.queue.remove(&self.queue_owner(entry), entry, run);
                        self.runs.remove(&run);
                        self.queue_exits.ended.push((run, why));
                    }
                    None => actions.push(Action::End { run, why }),
                }
            }
            Decision::Record(record) => actions.push(Action::Record(record)),
            Decision::UpdateRow(record) => actions.push(Action::UpdateRow(record)),
            Decision::LeftOut { entry, reason, scheduled_at } => {
                let start = self.request(entry, RunId(0), scheduled_at, false);
                let (count, first) = (1, scheduled_at);
                actions.extend(start.map(|start| Action::Skipped {
                    start: Box::new(start),
                    why: reason,
                    count,
                    first,
                }));
            }
            Decision::CountFrom((number, entry), moment) => self.count_interval(number, entry, moment),
            Decision::Notice(notice) => {
                actions.extend(self.hook(&notice));
                actions.push(Action::Notice(notice));
            }
            Decision::Ping(event, record) => actions.extend(self.ping(event, &record)),
            Decision::Conclude { run, is_mailed } => actions.push(Action::Conclude { run, is_mailed }),
        }
    }

    /// The command of the owner for an event, if the entry is still there and has one.
    fn hook(&self, notice: &Notice) -> Option<Action> {
        let policy = self.policy_of(&notice.job)?;
        let command = follow_up::hook(&policy.hooks, notice.event)?;
        let event = notice.event.as_str().to_owned();
        let mut variables = follow_up::variables(notice);
        let late = i64::from(policy.late.unwrap_or(0));
        let slot = notice.expected_until.map(|until| Timestamp(until.0.saturating_sub(late)));
        variables.extend(slot.map(|slot| ("CRON_SCHEDULED_AT".to_owned(), slot.to_string())));
        let scheduled_at = notice.record.as_ref().map(|record| record.scheduled_at).or(slot)?;
        let task = FollowUpTask::Hook { event, command, variables };
        self.follow_up(&notice.job, notice.record.as_ref(), scheduled_at, task)
    }

    /// The call of the web service of the job, if it has one.
    fn ping(&self, event: PingEvent, record: &RunRecord) -> Option<Action> {
        let ping = self.policy_of(&record.job)?.ping.as_ref()?;
        let task = follow_up::ping(ping, event, &record.job, record.scheduled_at, (record.trigger, record.run));
        self.follow_up(&record.job, Some(record), record.scheduled_at, task)
    }

    /// The call that tells the web service of a job that the first attempt for a slot begins.
    pub(super) fn start_ping(&self, start: &RunRequest) -> Option<Action> {
        let ping = self.jobs.policy(&start.job)?.ping.as_ref().filter(|_| start.attempt == 1)?;
        let slot = Timestamp(start.scheduled_at);
        let task = follow_up::ping(ping, PingEvent::Start, &start.job, slot, (start.trigger, Some(start.run)));
        Some(Action::FollowUp(Box::new(FollowUp { start: Box::new(start.clone()), output_of: None, task })))
    }

    fn follow_up(
        &self,
        job: &JobId,
        record: Option<&RunRecord>,
        scheduled_at: Timestamp,
        task: FollowUpTask,
    ) -> Option<Action> {
        let run = record.and_then(|record| record.run);
        let request = self.request_of(job, run.unwrap_or(RunId(0)), scheduled_at)?;
        let trigger = record.map_or(request.trigger, |record| record.trigger);
        let attempt = record.map_or(1, |record| record.attempt);
        let start = Box::new(RunRequest { trigger, attempt, ..request });
        Some(Action::FollowUp(Box::new(FollowUp { start, output_of: run, task })))
    }

    /// Whose turn it is when an entry is due.
    pub(super) fn queue_owner(&self, (number, entry): EntryKey) -> QueueOwner {
        if number == ANACRON && self.queue.is_limited() {
            return QueueOwner::System("root".into());
        }
        let table = self.tables.get(number).filter(|_| self.queue.is_limited());
        table.map_or(QueueOwner::Caller, |table| table.queue_owner(entry))
    }

    /// Lets jobs know of their runs that have left the start queue while decisions were made.
    pub(super) fn report_queue_exits(&mut self, now: Now, actions: &mut Vec<Action>) {
        while let Some(exit) = self.queue_exits.pop() {
            match exit {
                QueueExit::Superseded(run) => {
                    self.runs.remove(&run);
                    if self.jobs.owns(run) {
                        self.with_jobs(now, actions, |jobs, turn| jobs.superseded(run, turn));
                    }
                }
                QueueExit::Unstartable(run) => {
                    self.runs.remove(&run);
                    self.with_jobs(now, actions, |jobs, turn| jobs.drop_queued(run, SkipReason::EntryRemoved, turn));
                }
                QueueExit::Ended(run, why) => {
                    self.with_jobs(now, actions, |jobs, turn| jobs.cancelled(run, &why, turn));
                }
            }
        }
    }

    /// A slot of a managed entry has come.
    pub(super) fn managed_slot(&mut self, due: &Due, at_reboot: bool, now: Now, actions: &mut Vec<Action>) -> bool {
        let Some(id) = self.managed((due.table, due.entry)).cloned() else { return false };
        let is_excepted = self.is_excepted(&id, (due.table, due.entry), due.scheduled_at);
        let is_after = self.tables.get(due.table).is_some_and(|table| !table.after(due.entry).is_empty());
        let trigger = match (at_reboot, is_after) {
            (true, _) => Trigger::Reboot,
            (false, true) => Trigger::After,
            (false, false) => Trigger::Schedule,
        };
        self.starting_at = due.at;
        self.progress.has_decided = true;
        self.with_jobs(now, actions, |jobs, turn| jobs.slot(&id, due.scheduled_at, trigger, is_excepted, turn));
        self.report_queue_exits(now, actions);
        true
    }

    /// Whether the day of a slot, before its random delay, is an exception.
    pub(super) fn is_excepted(&self, id: &JobId, (number, entry): EntryKey, slot: Timestamp) -> bool {
        let Some(policy) = self.jobs.policy(id).filter(|policy| !policy.except.is_empty()) else { return false };
        let timer = self.tables.get(number).and_then(|table| table.timer(entry));
        let Some(shared) = timer.and_then(|timer| self.timing.timers.get(timer)) else { return false };
        let Some(local) = self.timing.zones.get(shared.zone) else { return false };
        let day = Day::at(Timestamp(slot.0 - i64::from(shared.delay())), &local.zone);
        policy.except.has_day(day, &self.settings.calendars)
    }

    /// A run has ended.
    pub(super) fn managed_end(&mut self, result: &RunResult, now: Now, actions: &mut Vec<Action>) {
        self.starting_at = now.utc;
        self.with_jobs(now, actions, |jobs, turn| jobs.ended(result, turn));
        self.report_queue_exits(now, actions);
    }

    /// What the policies have to do now: ends of pauses, due retries, successes that have not come.
    pub(super) fn run_policy_timers(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.starting_at = now.utc;
        self.with_jobs(now, actions, |jobs, turn| {
            jobs.end_pauses(turn);
            jobs.begin_due_retries(turn);
            jobs.notify_late(turn);
            jobs.update_rows(turn);
        });
        self.report_queue_exits(now, actions);
    }

    /// Collects the `@after` entries that are due.
    pub(super) fn collect_after(&mut self) {
        for (id, scheduled_at) in std::mem::take(&mut self.due.after) {
            let Some((table, entry)) = self.jobs.entry(&id) else { continue };
            self.collect_entry((table, entry), scheduled_at, 0, scheduled_at);
        }
    }

    /// Lets the interval of an `@N` entry count from that moment.
    fn count_interval(&mut self, number: u32, entry: u32, moment: Timestamp) {
        let Some(seconds) = self.interval(number, entry) else { return };
        self.stop_waiting(number, entry);
        if self.phase == Phase::Running {
            // The last attempt may have ended long before its retry was given up.
            let at = Timestamp(moment.0 + seconds).max(self.progress.last.utc);
            self.wait(number, super::live_table::Waiting { at, entry });
        }
    }

    /// The rules for a run of an entry.
    pub(super) fn rules(&self, (number, entry): EntryKey) -> RunRules {
        if number == ANACRON {
            return self.anacron.spec(entry).map_or_else(RunRules::default, |spec| RunRules::of(&spec.policy));
        }
        self.tables.get(number).map_or_else(RunRules::default, |table| RunRules::of(&table.policy(entry)))
    }
}

/// What people ask for.
impl Scheduler {
    /// Runs a job now, with overlap and group rules unless it is forced.
    pub(super) fn run_by_hand(
        &mut self,
        id: &JobId,
        is_forced: bool,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> Result<Option<RunId>, RefusedRun> {
        if !self.manage_job(id, now, actions) {
            return Err(RefusedRun::NoSuchJob);
        }
        self.starting_at = now.utc;
        let result = self.with_jobs(now, actions, |jobs, turn| jobs.run_by_hand(id, is_forced, turn));
        self.report_queue_exits(now, actions);
        // A run by hand is a previous run, too: an `@N` entry counts from its end.
        if let Some((number, entry)) = self.jobs.entry(id).filter(|_| self.jobs.is_occupied(id))
            && self.interval(number, entry).is_some()
        {
            self.stop_waiting(number, entry);
        }
        result
    }

    /// Pauses a job. False: there is no such job.
    pub(super) fn pause(&mut self, id: &JobId, pause: Pause, now: Now, actions: &mut Vec<Action>) -> bool {
        if !self.manage_job(id, now, actions) {
            return false;
        }
        self.starting_at = now.utc;
        let source = self.jobs.entry(id).and_then(|entry| self.table_of(entry)).map(str::to_owned);
        self.with_jobs(now, actions, |jobs, turn| jobs.pause(id, Pause { source, ..pause }, turn));
        self.report_queue_exits(now, actions);
        true
    }

    /// Ends a pause before its time.
    pub(super) fn resume(&mut self, id: &JobId, now: Now, actions: &mut Vec<Action>) {
        self.starting_at = now.utc;
        self.with_jobs(now, actions, |jobs, turn| jobs.resume(id, turn));
        if self.jobs.entry(id).is_some_and(|entry| entry.0 == ANACRON) {
            self.anacron.note_resumed();
        }
        self.report_queue_exits(now, actions);
    }

    /// Takes a pause of all back, also from jobs whose tables are not loaded yet.
    pub(super) fn resume_all(&mut self, scope: PauseScope, now: Now, actions: &mut Vec<Action>) {
        let ended = self.with_jobs(now, actions, |jobs, turn| jobs.resume_all(scope, turn));
        let unclaimed = &mut self.earlier.unclaimed.pauses;
        let is_given = |(id, pause): &(&JobId, &Pause)| ended.iter().any(|all| all.has_given(id, pause));
        let given: Vec<JobId> = unclaimed.iter().filter(is_given).map(|(id, _)| id.clone()).collect();
        for id in given {
            unclaimed.remove(&id);
            actions.push(Action::SaveState(Box::new(StateChange::pause(id, None))));
        }
    }

    /// Ends one run of a job. False: it does not go on.
    pub(super) fn kill_run(&mut self, id: &JobId, run: RunId, by: &str, now: Now, actions: &mut Vec<Action>) -> bool {
        if self.runs.get(&run).is_none() {
            return false;
        }
        // The run of an entry without a policy becomes one of a managed job, so that its outcome is `killed`.
        if !self.jobs.owns(run) {
            let is_managed = self.manage_job(id, now, actions);
            let adopt = |jobs: &mut Jobs, turn: &mut Turn<'_>| jobs.adopt((run, now.utc), id, true, true, turn);
            if !is_managed || !self.with_jobs(now, actions, adopt) {
                return false;
            }
        }
        self.starting_at = now.utc;
        let is_killed = self.with_jobs(now, actions, |jobs, turn| jobs.kill_run(run, by, turn));
        self.report_queue_exits(now, actions);
        is_killed
    }

    /// Hands out the states that have changed.
    pub(super) fn save_changed(&mut self, actions: &mut Vec<Action>) {
        for id in std::mem::take(&mut self.changed) {
            let state = self.jobs.saved(&id).cloned();
            actions.push(Action::SaveState(Box::new(StateChange::state(id, state))));
        }
    }

    /// Ends a job's oldest run, else cancels what waits, else its retry.
    pub(super) fn kill(&mut self, id: &JobId, by: &str, now: Now, actions: &mut Vec<Action>) -> Killed {
        self.starting_at = now.utc;
        let killed = self.with_jobs(now, actions, |jobs, turn| jobs.kill(id, by, turn));
        self.report_queue_exits(now, actions);
        killed
    }
}

/// Time that was left out: the daemon was down, or the clock went forward.
impl Scheduler {
    /// Catches up slots between `from` and `to`, both excluded, that were missed for that reason. `self.due.collected` has what the rules for
    /// clock changes and restarts start of them.
    pub(super) fn handle_gap(
        &mut self,
        from: Timestamp,
        to: Timestamp,
        why: MissReason,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let mut started: HashMap<EntryKey, Vec<Timestamp>> = HashMap::new();
        for due in &self.due.collected {
            started.entry((due.table, due.entry)).or_default().push(due.scheduled_at);
        }
        let mut entries: Vec<(u32, u32, EntryKey, JobId)> = Vec::new();
        for (number, table) in self.tables.iter() {
            for (&entry, id) in &table.managed {
                let catches_up = table.policy(entry).catch_up.mode != CatchUpMode::None;
                if catches_up || self.settings.records_all {
                    entries.push((table.order, table.line(entry), (number, entry), id.clone()));
                }
            }
        }
        entries.sort();
        let mut caught_up: BTreeSet<EntryKey> = BTreeSet::new();
        let mut budget = if self.settings.records_all { SlotBudget::unlimited() } else { SlotBudget::default() };
        for (_, _, key, id) in entries {
            let first_seen = self.first_seen.get(&id).map_or(from, |(_, at)| *at);
            let owed_since = self.earlier.owed_since.get(&id).map_or(from, |since| from.min(*since));
            let slots = self.missed_slots(&id, key, owed_since.max(first_seen), to, &mut budget);
            let catches_up = self.jobs.policy(&id).is_some_and(|policy| policy.catch_up.mode != CatchUpMode::None);
            if catches_up {
                caught_up.insert(key);
            }
            let is_started = |slot: &Timestamp| started.get(&key).is_some_and(|slots| slots.contains(slot));
            let has_begun = |slot: &Timestamp| self.earlier.already_started.contains_key(&(id.clone(), *slot));
            let slots = slots.into_iter().filter(|slot| (catches_up || !is_started(slot)) && !has_begun(slot));
            let slots = slots.collect();
            self.catch_up_slots(&id, key, slots, why, now, actions);
        }
        self.due.collected.retain(|due| due.scheduled_at >= to || !caught_up.contains(&(due.table, due.entry)));
    }

    /// Makes up for slots of an entry that were missed for that reason, oldest first.
    pub(super) fn catch_up_slots(
        &mut self,
        id: &JobId,
        key: EntryKey,
        slots: Vec<Timestamp>,
        why: MissReason,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let slots: Vec<(Timestamp, bool)> =
            slots.into_iter().map(|slot| (slot, self.is_excepted(id, key, slot))).collect();
        if slots.is_empty() {
            return;
        }
        self.starting_at = now.utc;
        self.progress.has_decided = true;
        self.with_jobs(now, actions, |jobs, turn| jobs.catch_up(id, &slots, why, turn));
        self.report_queue_exits(now, actions);
    }

    /// The slots of an entry that were missed between two moments, oldest first. Where they are more than the budget allows, only the
    /// latest: no crontab may keep the daemon from its work for long.
    pub(super) fn missed_slots(
        &self,
        id: &JobId,
        key: EntryKey,
        from: Timestamp,
        to: Timestamp,
        budget: &mut SlotBudget,
    ) -> Vec<Timestamp> {
        let most = budget.left(id.user());
        let slots: Vec<Timestamp> = self.slots_between(key, from, to).take(most + 1).collect();
        budget.spend(id.user(), slots.len());
        if slots.len() <= most {
            return slots;
        }
        // A schedule so dense has a slot in a window that is found by doubling it a few times.
        let mut window = LATEST_WINDOW;
        loop {
            let begin = from.max(Timestamp(to.0.saturating_sub(window)));
            let latest: Vec<Timestamp> = self.slots_between(key, begin, to).collect();
            if !latest.is_empty() || begin == from {
                return latest;
            }
            window *= 2;
        }
    }

    /// The slots of an entry after `from` and before `to`, oldest first.
    fn slots_between(
        &self,
        (number, entry): EntryKey,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = Timestamp> {
        let timer = self.tables.get(number).and_then(|table| table.timer(entry));
        let shared = timer.and_then(|timer| self.timing.timers.get(timer));
        let delay = shared.map_or(0, |shared| i64::from(shared.delay()));
        let next = move |after: Timestamp| {
            let due = self.timing.next_due_before(shared?, after, to);
            due.filter(|due| due.0 + delay < to.0)
        };
        std::iter::successors(next(Timestamp(from.0 - delay)), move |due| next(*due))
            .map(move |due| Timestamp(due.0 + delay))
    }

    /// Gives up pending retries of jobs of which a slot has passed between the failure and now.
    pub(super) fn give_up_passed_retries(&mut self, now: Now, actions: &mut Vec<Action>) {
        let mut budget = SlotBudget::default();
        for (id, failed_at) in self.jobs.pending_retries() {
            let Some(key) = self.jobs.entry(&id) else { continue };
            let from = failed_at.max(self.earlier.down_since.unwrap_or(failed_at));
            let most = budget.left(id.user());
            let slots = self.slots_between(key, from, now.utc).take(most);
            let mut looked_at = 0;
            let passed = slots.inspect(|_| looked_at += 1).find(|slot| !self.is_excepted(&id, key, *slot));
            budget.spend(id.user(), looked_at);
            if passed.is_some() {
                self.with_jobs(now, actions, |jobs, turn| {
                    jobs.give_up_retry(&id, turn);
                });
            }
        }
    }

    /// What the next daemon has to know.
    pub fn saved_state(&self) -> SavedState {
        let mut saved = self.earlier.unclaimed.clone();
        saved.jobs.extend(self.jobs.all_saved().map(|(id, state)| (id.clone(), state.clone())));
        saved.pauses.extend(self.jobs.pauses().map(|(id, pause)| (id.clone(), pause.clone())));
        saved.pauses_of_all.clone_from(self.jobs.pauses_of_all());
        saved.first_seen.extend(self.first_seen.iter().map(|(id, seen)| (id.clone(), *seen)));
        let steps_back = self.timing.zones.steps_back(self.progress.last.utc);
        SavedState { handled: Some(self.completed()), is_of_other_boot: false, steps_back, ..saved }
    }

    /// Takes what an earlier daemon has left. Nothing goes on yet.
    pub(super) fn restore(
        &mut self,
        saved: SavedState,
        is_other_boot: bool,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> Claimed {
        let SavedState { jobs, mut first_seen, mut owed_since, pauses, pauses_of_all, steps_back, .. } = saved;
        self.timing.zones.repeat_steps(&steps_back, now.utc);
        for (id, seen) in &mut self.first_seen {
            let saved = first_seen.remove(id);
            if let Some(since) = owed_since.remove(id) {
                self.earlier.owed_since.insert(id.clone(), since);
                actions.push(save_owed_since(id, None));
            }
            // The schedule may be another one now: then nothing of before is owed.
            if let Some((_, at)) = saved.filter(|(digest, _)| *digest == seen.0) {
                seen.1 = at;
            }
            if saved != Some(*seen) {
                actions.push(save_first_seen(id, Some(*seen)));
            }
        }
        // What is left may be of tables that are loaded later.
        let (handled, is_of_other_boot) = (None, is_other_boot);
        let unclaimed =
            SavedState { jobs, pauses, first_seen, owed_since, handled, is_of_other_boot, ..SavedState::default() };
        self.earlier.keep_unclaimed(unclaimed, now);
        self.jobs.restore_pauses_of_all(pauses_of_all);
        self.forget_owed(None, actions);
        self.claim(None, now, actions)
    }

    /// Entries may have been added while no daemon was there and all were paused.
    pub(super) fn pause_what_was_added(&mut self, now: Now, actions: &mut Vec<Action>) {
        let mut ids = BTreeSet::new();
        for (_, table) in self.tables.iter().filter(|(_, table)| self.jobs.is_all_paused(table_owner(table), now.utc)) {
            ids.extend((0..table.entries().len() as u32).filter_map(|entry| self.id_of(table, entry)));
        }
        self.manage_jobs(&ids, None, now, actions);
        if self.jobs.is_all_paused(None, now.utc) {
            ids.extend(self.anacron.all_ids().values().cloned());
        }
        if !ids.is_empty() {
            self.with_jobs(now, actions, |jobs, turn| ids.iter().for_each(|id| jobs.pause_if_covered(id, turn)));
        }
    }

    /// Gives the jobs of a table, or of all, their saved state.
    fn claim(&mut self, table: Option<u32>, now: Now, actions: &mut Vec<Action>) -> Claimed {
        let mut claimed = Claimed::default();
        let wanted: BTreeSet<JobId> =
            self.earlier.unclaimed.jobs.keys().chain(self.earlier.unclaimed.pauses.keys()).cloned().collect();
        self.manage_jobs(&wanted, table, now, actions);
        for id in wanted {
            if self.jobs.entry(&id).is_none() {
                continue;
            }
            let pause = self.earlier.unclaimed.pauses.remove(&id);
            if pause.as_ref().is_some_and(|pause| self.is_of_other_table(&id, pause)) {
                actions.push(Action::SaveState(Box::new(StateChange::pause(id.clone(), None))));
            } else if let Some(pause) = pause {
                self.jobs.restore_pause(id.clone(), pause);
                claimed.paused.push(id.clone());
            }
            let Some(mut state) = self.earlier.unclaimed.jobs.remove(&id) else { continue };
            let ends = std::mem::take(&mut state.ended);
            for run in state.runs() {
                let origin = RunOrigin::Managed { trigger: Trigger::Schedule, attempt: 0 };
                let is_new = self.runs.insert(run, origin).is_none();
                if is_new && !ends.iter().any(|end| end.run == run) {
                    claimed.unknown.push(run);
                }
            }
            claimed.ended.extend(ends);
            for (slot, trigger) in state.slots() {
                // Jobs of a boot are due at the begin, whenever that is.
                let slot = if trigger == Trigger::Reboot { now.utc } else { slot };
                self.earlier.already_started.entry((id.clone(), slot)).or_insert(1);
            }
            self.jobs.restore(&id, state, now, self.earlier.unclaimed.is_of_other_boot);
        }
        claimed
    }

    /// Skips what waits of jobs whose pauses have been restored: they may have begun while no daemon was there. This lets others of their
    /// groups go on.
    pub(super) fn leave_out_paused(&mut self, paused: &[JobId], now: Now, actions: &mut Vec<Action>) {
        self.with_jobs(now, actions, |jobs, turn| paused.iter().for_each(|id| jobs.leave_out_waiting(id, turn)));
    }

    /// Whether a moment is one at which an entry is due by its schedule. Entries that have no calendar are due at any.
    pub(super) fn is_slot(&self, id: &JobId, slot: Timestamp) -> bool {
        let Some(key) = self.jobs.entry(id) else { return true };
        let timer = self.tables.get(key.0).and_then(|table| table.timer(key.1));
        let Some(shared) = timer.and_then(|timer| self.timing.timers.get(timer)) else { return true };
        shared.kind != Kind::Calendar || self.timing.is_due_at(shared, Timestamp(slot.0 - i64::from(shared.delay())))
    }

    /// Ends or puts back those runs of the saved state that nobody has reported. The slot of a run that was never begun waits again: it was
    /// still in the start queue, or it is recent and `begun` does not have it. All others are lost. No `begun`: they were runs of another
    /// boot.
    pub(super) fn end_unaccounted(
        &mut self,
        runs: Vec<RunStart>,
        accounted: &BTreeSet<RunId>,
        begun: Option<&BTreeSet<RunId>>,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        self.starting_at = now.utc;
        for RunStart { run, queued_at, is_queued } in runs {
            if accounted.contains(&run) {
                continue;
            }
            let is_recent = now.utc.0.saturating_sub(queued_at.0) < STARTS_KNOWN;
            let has_begun = match begun {
                Some(begun) => begun.contains(&run) || !(is_queued || is_recent),
                None => !is_queued,
            };
            if has_begun {
                let ended_at_ms = now.utc.0.saturating_mul(1_000);
                self.ended(&RunResult::of_outcome(run, RunOutcome::Lost, ended_at_ms), now, actions);
            } else {
                self.runs.remove(&run);
                self.with_jobs(now, actions, |jobs, turn| jobs.put_back(run, turn));
            }
        }
    }

    /// At a stop: what jobs with a policy have in the start queue waits for the next daemon.
    pub(super) fn keep_queued_jobs(&mut self, now: Now, actions: &mut Vec<Action>) {
        for RunStart { run, .. } in self.jobs.all_runs() {
            let entry = self.jobs.entry_of_run(run).filter(|entry| self.queue.is_waiting(*entry, run));
            if let Some(entry) = entry {
                self.queue.remove(&self.queue_owner(entry), entry, run);
                self.runs.remove(&run);
                self.with_jobs(now, actions, |jobs, turn| jobs.put_back(run, turn));
            }
        }
    }

    /// Whether some job has a policy that needs state of an earlier daemon.
    pub fn needs_saved_state(&self) -> bool {
        self.jobs.need_saved_state()
    }

    /// Records the rows of skipped slots that have not ended.
    pub fn flush_rows(&mut self, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        self.with_jobs(now, &mut actions, |jobs, turn| jobs.flush_rows(turn));
        actions
    }

    /// Records an outcome of every slot, also of entries without a policy. Before tables are loaded.
    pub fn record_all(&mut self, records_all: bool) {
        self.settings.records_all = records_all;
    }

    /// When [`super::Event::Tick`] is wanted by the policies, in milliseconds of the monotonic clock.
    pub fn wake_at_elapsed_ms(&self) -> Option<i64> {
        let forgets = self.earlier.forgets_at_ms().filter(|at| *at > self.progress.last.elapsed_ms);
        let wakes = [self.jobs.next_retry_ms(), forgets].into_iter().flatten().min();
        wakes.filter(|_| self.phase == Phase::Running)
    }
}

/// What jobs have been given back of the state of an earlier daemon, and what follows from it.
#[derive(Debug, Default)]
pub(super) struct Claimed {
    /// Runs that are not known to go on.
    pub(super) unknown: Vec<RunId>,
    /// Ends that have come while no entry had their job's state.
    pub(super) ended: Vec<RunResult>,
    /// Jobs with a pause.
    pub(super) paused: Vec<JobId>,
}

pub(super) fn save_owed_since(id: &JobId, since: Option<Timestamp>) -> Action {
    Action::SaveState(Box::new(StateChange::owed_since(id.clone(), since)))
}

/// The user id of the owner of a user's crontab.
fn table_owner(table: &LiveCrontab) -> Option<u32> {
    match table.source().owner {
        Owner::User { uid, .. } => Some(uid),
        Owner::System | Owner::Caller => None,
    }
}

pub(super) fn save_first_seen(id: &JobId, seen: Option<(u64, Timestamp)>) -> Action {
    Action::SaveState(Box::new(StateChange::first_seen(id.clone(), seen)))
}
