//! The scheduler: its state, and how it handles events.

use super::anacron::Anacron;
use super::due::{Due, DueEntries};
use super::earlier::{EarlierDaemons, EarlierEnds};
use super::event::{Action, EarlierRun, Event, Now, Preparation, RunId, RunRequest};
use super::job_id::JobId;
use super::jobs::{Jobs, Killed};
use super::live_table::LiveCrontab;
use super::names::JobNames;
use super::progress::Progress;
use super::queue_exits::QueueExits;
use super::request_result::RequestResult;
use super::run_record::{MissReason, SkipReason, Trigger};
use super::runs::{RunOrigin, Runs};
use super::saved::StateChange;
use super::start_queue::{ANACRON, Dropped, EntryKey, HandoverLimits, NextStart, QueuedSlot, SkippedRow, StartQueue};
use super::tables::LiveTables;
use super::timing::TimingState;
use crate::crontab::{Calendars, Policy};
use crate::schedule::{Day, Timestamp, Zone};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// How many starts one event's answer has at the most, and about how many bytes are read and copied for them.
const STARTS_AT_ONCE: usize = 256;
const BYTES_AT_ONCE: usize = 1 << 20;

/// What may be with the executor and not begun. The limits of an owner keep what is on its way to the executor short, so that another owner's
/// start is never behind many; those for all bound the memory that it takes in both processes.
const HANDOVER_LIMITS: HandoverLimits =
    HandoverLimits { starts_per_owner: 32, bytes_per_owner: 1 << 20, starts: 2048, bytes: 32 << 20 };

/// All live tables, what of them is due, and the runs that are going on.
#[derive(Debug)]
pub struct Scheduler {
    pub(super) phase: Phase,
    pub(super) settings: SchedulerSettings,
    pub(super) progress: Progress,
    pub(super) tables: LiveTables,
    pub(super) timing: TimingState,
    pub(super) due: DueEntries,
    /// When what is being decided became due.
    pub(super) starting_at: Timestamp,
    /// Starts that are due and not made yet.
    pub(super) queue: StartQueue,
    pub(super) queue_exits: QueueExits,
    pub(super) runs: Runs,
    /// Managed jobs, and what is decided about them.
    pub(super) jobs: Jobs,
    /// Jobs whose state has changed since it was last saved.
    pub(super) changed: BTreeSet<JobId>,
    /// Since when each job with `CRON_CATCHUP` has had its schedule, with a digest of that.
    pub(super) first_seen: HashMap<JobId, (u64, Timestamp)>,
    pub(super) earlier: EarlierDaemons,
    /// The jobs of the anacrontab.
    pub(super) anacron: Anacron,
    /// Which entry has which name.
    pub(super) names: JobNames,
    /// Jobs that may have faults which only the other tables show, until all are loaded at the begin.
    pub(super) unchecked: Vec<JobId>,
    /// What the jobs ask for that have an attempt pending and whose table is being exchanged.
    pub(super) leaving: BTreeMap<JobId, (RunRequest, Policy)>,
    /// What became of the last request of somebody.
    pub(super) request_result: Option<RequestResult>,
}

/// What the scheduler is told about the whole machine and about itself.
#[derive(Debug, Default)]
pub(super) struct SchedulerSettings {
    /// As whom a standalone daemon runs its jobs.
    pub(super) caller: String,
    /// Every slot gets a recorded outcome, also of entries without a policy.
    pub(super) records_all: bool,
    /// The calendars that `CRON_EXCEPT` may name.
    pub(super) calendars: Calendars,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Tables are loaded, nothing is due yet.
    Loading,
    Running,
    Stopped,
}

/// Counts for the log (USR1), for STATUS and for questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Live tables.
    pub tables: usize,
    /// Live entries.
    pub entries: usize,
    /// Distinct timers.
    pub timers: usize,
    /// The next due moment.
    pub next_due: Option<Timestamp>,
}

impl Scheduler {
    /// A scheduler without crontabs whose system zone is `zone`.
    pub fn new(zone: Arc<Zone>, now: Now) -> Scheduler {
        Scheduler {
            phase: Phase::Loading,
            settings: SchedulerSettings::default(),
            progress: Progress::new(now),
            tables: LiveTables::default(),
            timing: TimingState::new(zone, now.utc),
            due: DueEntries::default(),
            starting_at: now.utc,
            queue: StartQueue::default(),
            queue_exits: QueueExits::default(),
            runs: Runs::new(now.utc.0.max(0).unsigned_abs() * 1000),
            jobs: Jobs::default(),
            changed: BTreeSet::new(),
            first_seen: HashMap::new(),
            earlier: EarlierDaemons::default(),
            anacron: Anacron::default(),
            names: JobNames::default(),
            unchecked: Vec::new(),
            leaving: BTreeMap::new(),
            request_result: None,
        }
    }

    /// Takes an event and returns what is to be done about it, in order. Whatever is due up to `now` is started
    /// first, so that no event can lose a due moment; but ends of runs and requests to end one come before what is due in this second.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Action> {
        self.handle_all(vec![event], now)
    }

    /// Takes what has happened in one second. The order within it: ends, kills, ends of pauses, due retries, beginnings of pauses, slots, runs by
    /// hand, everything else.
    pub fn handle_all(&mut self, events: Vec<Event>, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        // Before anything is started, as that may count as a run and change the stamps.
        for event in &events {
            match event {
                Event::LoadAnacrontab { source, table, stamps, .. } => {
                    self.load_anacron(source, table, stamps, now, &mut actions);
                }
                Event::AnacronJobPrepared(Preparation::Ready { stamp }) => self.anacron.take_stamp(*stamp),
                _ => {}
            }
        }
        // There is a record from the begin on, so that starts missed by a daemon that is killed before its first start are caught up, too.
        let must_record = events.iter().any(|event| matches!(event, Event::Begin { .. } | Event::Stop { .. }));
        // A new schedule has had no slots before it was loaded, also for a daemon that follows this one after a crash.
        let is_change = |event: &Event| matches!(event, Event::Load { .. } | Event::Unload { .. });
        let has_new_tables = self.phase == Phase::Running && events.iter().any(is_change);
        let mut gap = None;
        match self.phase {
            Phase::Running => gap = self.follow_clock(now, &mut actions),
            Phase::Loading | Phase::Stopped => self.progress.upto = now.utc,
        }
        self.progress.last = now;
        let mut by_phase: [Vec<Event>; 5] = Default::default();
        for event in events {
            let phase = match &event {
                Event::Begin { .. } => 0,
                Event::RunEnded(_) => 1,
                Event::Kill { .. } | Event::KillRun { .. } | Event::Resume { .. } | Event::ResumeAll { .. } => 2,
                Event::Pause { .. } | Event::PauseAll { .. } => 3,
                _ => 4,
            };
            if let Some(events) = by_phase.get_mut(phase) {
                events.push(event);
            }
        }
        let [begins, ends, kills, pauses, others] = by_phase;
        if !begins.is_empty() {
            let ids = ends.iter().filter_map(|event| match event {
                Event::RunEnded(result) => Some(result.run),
                _ => None,
            });
            self.earlier.ends.accounted.extend(ids);
        }
        self.jobs.is_beginning = !begins.is_empty();
        let begins: Vec<Begin> =
            begins.into_iter().filter_map(|event| self.prepare_begin(event, now, &mut actions)).collect();
        for event in ends.into_iter().chain(kills) {
            self.handle_one(event, now, &mut actions);
        }
        if begins.iter().any(|begin| begin.completed.or(begin.handled).is_some()) {
            self.give_up_passed_retries(now, &mut actions);
        }
        self.jobs.is_beginning = false;
        if self.phase == Phase::Running {
            self.run_policy_timers(now, &mut actions);
        }
        for event in pauses {
            self.handle_one(event, now, &mut actions);
        }
        for begin in begins {
            gap = self.begin(&begin, now, &mut actions);
            actions.extend(gap.as_ref().and_then(|gap| self.absence(gap)).map(Action::WasAway));
        }
        if self.phase == Phase::Running {
            self.collect_after();
            if let Some(Gap { from, to, why }) = gap {
                self.handle_gap(from, to, why, now, &mut actions);
            }
            // Intervals that have begun to count in the past.
            self.collect_waiting(now.utc);
            self.fire(now, &mut actions);
            self.earlier.already_started.clear();
            self.earlier.owed_since.clear();
            self.hand_over(now.utc, &mut actions);
            self.report_queue_exits(now, &mut actions);
        }
        for event in others {
            self.handle_one(event, now, &mut actions);
        }
        if self.phase == Phase::Running {
            self.hand_over(now.utc, &mut actions);
            self.report_queue_exits(now, &mut actions);
        }
        self.earlier.forget_unclaimed(&self.runs, now, &mut actions);
        self.save_changed(&mut actions);
        if self.phase == Phase::Running
            && let Some(steps) = self.timing.zones.take_new_steps_back(now.utc)
        {
            actions.push(Action::SaveState(Box::new(StateChange::steps_back(steps))));
        }
        self.ask_for_anacron(now.utc, &mut actions);
        // Reserved before any is used.
        if let Some(reserved) = self.runs.extend_reservation() {
            actions.insert(0, Action::ReserveRuns(reserved));
        }
        // Everything due before the first start that has not begun has an outcome.
        let has_started = actions.iter().any(|action| matches!(action, Action::Start(_)));
        actions.extend(self.progress.record(self.completed(), must_record || has_started, has_new_tables));
        actions
    }

    fn handle_one(&mut self, event: Event, now: Now, actions: &mut Vec<Action>) {
        match event {
            Event::Begin { .. } | Event::Tick => {}
            Event::Load { source, table } => self.load(source, table, now, actions),
            Event::Unload { path } => self.unload(&path, now, actions),
            Event::Calendars(calendars) => self.settings.calendars = calendars,
            Event::SystemZone(zone) => self.change_system_zone(zone, now, actions),
            Event::LoadAnacrontab { is_on_battery, .. } => self.check_anacron(is_on_battery, now.utc, actions),
            Event::AnacrontabChanged => self.anacron.note_change(),
            Event::AnacronJobPrepared(preparation) => self.start_prepared(preparation, now, actions),
            Event::EarlierStarts(runs) => self.earlier.ends.begun = runs,
            Event::EarlierRuns(runs) => {
                self.earlier.ends.accounted.extend(runs.iter().map(|run| run.run));
                self.anacron.add_earlier_runs(&runs, &self.timing.zones.system());
                self.earlier.ends.runs.extend(runs);
            }
            Event::RunEnded(result) => {
                self.anacron.ended(result.run, &result.outcome, actions);
                if self.phase == Phase::Loading {
                    // Its job has no state yet.
                    return self.earlier.ends.ended.push(*result);
                }
                self.ended(&result, now, actions);
            }
            Event::Begun(runs) => runs.into_iter().for_each(|run| self.queue.begun(run)),
            Event::RunByHand { job, is_forced } => {
                let result = self.run_by_hand(&job, is_forced, now, actions);
                self.request_result = Some(match result {
                    Ok(run) => RequestResult::Accepted(run),
                    Err(why) => RequestResult::Refused(why),
                });
            }
            Event::Pause { job, pause } => {
                self.pause(&job, pause, now, actions);
            }
            Event::Resume { job } => self.resume(&job, now, actions),
            Event::PauseAll { scope, pause } => {
                self.with_jobs(now, actions, |jobs, turn| jobs.pause_all(scope, pause, turn));
            }
            Event::ResumeAll { scope } => self.resume_all(scope, now, actions),
            Event::LeftOutOfPauses { job, is_by_root } => {
                self.with_jobs(now, actions, |jobs, turn| jobs.leave_out_of_pauses(&job, is_by_root, turn));
            }
            Event::KillRun { job, run, by } => {
                let is_killed = self.kill_run(&job, run, &by, now, actions);
                self.request_result =
                    Some(RequestResult::Killed(if is_killed { Killed::Run(run) } else { Killed::Nothing }));
            }
            Event::Kill { job, by } => {
                let killed = self.kill(&job, &by, now, actions);
                self.request_result = Some(RequestResult::Killed(killed));
            }
            Event::Stop { is_recorded, keeps_jobs } => self.stop(is_recorded, keeps_jobs, now, actions),
        }
    }

    /// The first half of a begin: what an earlier daemon has left.
    fn prepare_begin(&mut self, event: Event, now: Now, actions: &mut Vec<Action>) -> Option<Begin> {
        let Event::Begin { boot, completed, started, running, saved } = event else { return None };
        if self.phase != Phase::Loading {
            return None;
        }
        self.phase = Phase::Running;
        let mut unchecked = std::mem::take(&mut self.unchecked);
        unchecked.sort();
        unchecked.dedup();
        self.complain_of(&unchecked, actions);
        // A watermark later than now counts as now.
        let handled = saved.handled.map(|handled| handled.min(now.utc));
        self.earlier.down_since = completed.or(handled);
        self.anacron.begin(running.iter().map(|(run, _)| run));
        for start in started {
            *self.earlier.already_started.entry(start).or_default() += 1;
        }
        let is_other_boot = boot || saved.is_of_other_boot;
        let newest = saved.newest_run();
        let claimed = self.restore(*saved, is_other_boot, now, actions);
        self.earlier.ends.accounted.extend(running.iter().map(|(run, _)| *run));
        let EarlierEnds { ended, accounted, begun, runs } = std::mem::take(&mut self.earlier.ends);
        self.adopt(running, &runs, (completed.or(handled), newest), now, actions);
        let accounted: BTreeSet<RunId> = accounted.into_iter().chain(ended.iter().map(|end| end.run)).collect();
        for state in self.earlier.unclaimed.jobs.values() {
            self.jobs.hold_places(state, |run| accounted.contains(&run));
        }
        // What pauses and ends let go on is none of them.
        let runs = self.jobs.all_runs();
        // Before they let a retry go on that waits in its group.
        if completed.or(handled).is_some() {
            self.give_up_passed_retries(now, actions);
        }
        self.leave_out_paused(&claimed.paused, now, actions);
        self.pause_what_was_added(now, actions);
        let accounted: BTreeSet<RunId> = accounted.into_iter().chain(claimed.ended.iter().map(|end| end.run)).collect();
        for result in claimed.ended.iter().chain(&ended) {
            self.ended(result, now, actions);
        }
        self.end_unaccounted(runs, &accounted, (!is_other_boot).then_some(&begun), now, actions);
        Some(Begin { boot, completed, handled })
    }

    /// When the next [`Event::Tick`] is wanted; none while nothing is due ever.
    pub fn wake_at(&self) -> Option<Timestamp> {
        if self.phase != Phase::Running {
            return None;
        }
        let policies = [self.jobs.next_pause_end(), self.jobs.next_late(), self.jobs.next_row_update()]
            .into_iter()
            .flatten()
            .min();
        [self.next_due(), self.anacron.wake_at(&self.jobs), policies].into_iter().flatten().min()
    }

    /// When the next entry of a crontab is due.
    fn next_due(&self) -> Option<Timestamp> {
        let next = [self.timing.wheel.next_due(), self.due.next_alarm()].into_iter().flatten().min();
        next.filter(|_| self.phase == Phase::Running)
    }

    /// Everything that was due up to here has been begun by the executor, or has another outcome.
    pub fn completed(&self) -> Timestamp {
        self.progress.completed(self.queue.first_unstarted())
    }

    /// How many runs have been handed over and have not ended.
    pub fn running(&self) -> usize {
        self.runs.len().saturating_sub(self.queue.waiting())
    }

    /// How many due starts wait for their turn.
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// Whether more starts can be handed over at once than one event's answer may have: another [`Event::Tick`] gives them.
    pub fn has_more(&self) -> bool {
        self.phase == Phase::Running && self.queue.has_next()
    }

    /// Keeps starts that the executor has no room for, and takes turns between their owners.
    pub fn limit_handover(&mut self) {
        self.queue.set_limits(HANDOVER_LIMITS);
    }

    /// Notes that the machine has slept for so many milliseconds, before the next event is handled. The wall clock went on meanwhile, and the
    /// monotonic clock did not.
    pub fn note_sleep(&mut self, slept_ms: i64) {
        self.progress.slept_ms = self.progress.slept_ms.saturating_add(slept_ms.max(0));
    }

    /// Says as whom a standalone daemon runs its jobs.
    pub fn set_caller(&mut self, name: &str) {
        name.clone_into(&mut self.settings.caller);
    }

    /// Counts runs from `first`, and asks for a reservation ([`Action::ReserveRuns`]) before ids are used.
    pub fn reserve_runs_from(&mut self, first: RunId) {
        self.runs.reserve_from(first);
    }

    /// The id that the next run will have.
    pub fn next_run(&self) -> RunId {
        RunId(self.runs.next_id)
    }

    /// Counts.
    pub fn summary(&self) -> Summary {
        Summary {
            tables: self.tables.len(),
            entries: self.tables.entries(),
            timers: self.timing.timers.len(),
            next_due: self.next_due(),
        }
    }
}

/// Starting.
impl Scheduler {
    /// Starts what was collected, in order.
    pub(super) fn fire(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.fire_before(Timestamp(i64::MAX), now, actions);
        debug_assert!(self.due.next_alarm().is_none_or(|at| at > now.utc));
    }

    /// Starts what was collected and became due before a moment.
    pub(super) fn fire_before(&mut self, end: Timestamp, now: Now, actions: &mut Vec<Action>) {
        for due in self.due.take_before(end) {
            self.start(&due, false, now, actions);
        }
    }

    /// Queues the start of one entry, or says why not.
    pub(super) fn start(&mut self, due: &Due, at_reboot: bool, now: Now, actions: &mut Vec<Action>) {
        let (number, entry) = (due.table, due.entry);
        let Some(table) = self.tables.get_mut(number) else { return };
        let Some(shared) = table.timer(entry).and_then(|timer| self.timing.timers.get(timer)) else { return };
        let by_seconds = shared.by_seconds;
        if !self.earlier.already_started.is_empty()
            && let Some(job) = table.managed.get(&entry).cloned().or_else(|| table.job_id(entry, &self.settings.caller))
            && self.earlier.take_start(job, due.scheduled_at)
        {
            return;
        }
        if self.managed_slot(due, at_reboot, now, actions) {
            return;
        }
        let run = self.runs.add(RunOrigin::Plain);
        let owner = self.queue_owner((number, entry));
        let slot = QueuedSlot { run, at: due.at, scheduled_at: due.scheduled_at, at_reboot };
        if let Some(superseded) = self.queue.push(owner, (number, entry), slot, by_seconds) {
            self.runs.remove(&superseded);
        }
    }

    /// Hands over what the executor has room for, with a turn for each owner. What one call puts together is bounded, so that the event loop is
    /// never kept long.
    fn hand_over(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let (mut starts, mut bytes) = (0, 0);
        while !self.queue.is_limited() || (starts < STARTS_AT_ONCE && bytes < BYTES_AT_ONCE) {
            let Some(next) = self.queue.pop() else { return };
            let NextStart { owner, entry: (number, entry), slot, superseded } = next;
            let start = self.request((number, entry), slot.run, slot.scheduled_at, slot.at_reboot);
            let Some(start) = start.map(Box::new) else {
                self.runs.remove(&slot.run);
                self.queue.not_handed_over(owner, &slot);
                if self.jobs.owns(slot.run) {
                    self.queue_exits.unstartable.push(slot.run);
                }
                continue;
            };
            if let Some(row) = superseded
                && self.managed((number, entry)).is_none()
            {
                actions.push(skipped(&start, row, SkipReason::Superseded));
            }
            let size = start.command.len() + start.variables.bytes().len();
            self.queue.handed_over(owner, &slot, size);
            self.changed.extend(self.jobs.hand_over(slot.run).cloned());
            starts += 1;
            bytes += size + self.tables.get(number).map_or(0, |table| table.settings_size());
            if number == ANACRON {
                let day = Day::at(now, &self.timing.zones.system());
                self.anacron.started(slot.run, entry, start.trigger, day);
            } else {
                self.count_for_anacron(&start, now, actions);
            }
            let ping = self.start_ping(&start);
            actions.push(Action::Start(start));
            actions.extend(ping);
        }
    }

    /// What the executor must know to start an entry.
    pub(super) fn request(
        &self,
        (number, entry): EntryKey,
        run: RunId,
        scheduled_at: Timestamp,
        at_reboot: bool,
    ) -> Option<RunRequest> {
        let mut request = match number {
            ANACRON => self.anacron.request(entry, run, scheduled_at)?,
            _ => self.tables.get(number)?.start(entry, run, &self.settings.caller, scheduled_at, at_reboot)?,
        };
        if let Some(id) = self.managed((number, entry)) {
            request.job = id.clone();
            request.rules = self.rules((number, entry));
        }
        if at_reboot {
            request.trigger = Trigger::Reboot;
        }
        if let Some(RunOrigin::Managed { trigger, attempt }) = self.runs.get(&run) {
            (request.trigger, request.attempt) = (*trigger, *attempt);
            let retries = if trigger.is_manual() { 0 } else { request.rules.retries_left };
            request.rules.retries_left = (retries + 1).saturating_sub((*attempt).max(1));
        }
        Some(request)
    }

    /// Takes over runs of an earlier daemon: those that go on, and those of which the ends follow. `recorded` is up to when everything was
    /// handled, and the newest run in the saved state.
    fn adopt(
        &mut self,
        running: Vec<(RunId, JobId)>,
        known: &[EarlierRun],
        recorded: (Option<Timestamp>, Option<RunId>),
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let goes_on: BTreeSet<RunId> = running.iter().map(|(run, _)| *run).collect();
        let mut runs: BTreeMap<RunId, (JobId, Option<Timestamp>)> =
            running.into_iter().map(|(run, id)| (run, (id, None))).collect();
        for EarlierRun { run, job, scheduled_at } in known {
            runs.insert(*run, (job.clone(), Some(*scheduled_at)));
        }
        for (run, (id, slot)) in runs {
            let is_slot = slot.is_none_or(|slot| self.is_slot(&id, slot));
            let moment = slot.unwrap_or(now.utc);
            // The state is written before the record: the end of a run of before that it does not have has been handled, and comes again. The
            // record goes back with the clock, the ids of runs do not.
            let (completed, newest) = recorded;
            let is_after_record = completed.is_some_and(|completed| moment > completed);
            let is_unknown = goes_on.contains(&run) || (is_after_record && newest.is_none_or(|newest| run > newest));
            if self.with_jobs(now, actions, |jobs, turn| jobs.adopt((run, moment), &id, is_slot, is_unknown, turn)) {
                if let Some(slot) = slot {
                    self.earlier.already_started.entry((id, slot)).or_insert(1);
                }
                self.runs.insert(run, RunOrigin::Managed { trigger: Trigger::Schedule, attempt: 1 });
            } else if goes_on.contains(&run) {
                self.runs.insert(run, RunOrigin::Plain);
            }
            // The request may have been lost with the daemon.
            if goes_on.contains(&run)
                && let Some(why) = self.jobs.ending(run)
            {
                actions.push(Action::End { run, why });
            }
        }
        self.report_queue_exits(now, actions);
    }

    /// Nothing more is started.
    fn stop(&mut self, is_recorded: bool, keeps_jobs: bool, now: Now, actions: &mut Vec<Action>) {
        self.phase = Phase::Stopped;
        self.jobs.stop_starting();
        // The next daemon does not know of these.
        for ((number, entry), row) in self.queue.take_superseded() {
            if self.managed((number, entry)).is_none() {
                let start = self.request((number, entry), row.run, row.last, false);
                actions.extend(start.map(|start| skipped(&start, row, SkipReason::Superseded)));
            }
        }
        if keeps_jobs {
            self.keep_queued_jobs(now, actions);
        }
        if !is_recorded {
            for dropped in self.queue.drop_entries(None) {
                self.report_dropped(None, &dropped, SkipReason::Stopped, now, actions);
            }
        }
        if !keeps_jobs {
            self.with_jobs(now, actions, |jobs, turn| jobs.leave_out_all(turn));
        }
    }

    /// Records what waited for an entry that is gone or will not be started. `table` is the entry's, where that is not live any more.
    pub(super) fn report_dropped(
        &mut self,
        table: Option<&LiveCrontab>,
        dropped: &Dropped,
        why: SkipReason,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let mut is_managed = false;
        for run in &dropped.runs {
            self.runs.remove(run);
            if self.jobs.owns(*run) {
                is_managed = true;
                self.with_jobs(now, actions, |jobs, turn| jobs.drop_queued(*run, why, turn));
            }
        }
        let Some(row) = dropped.row.filter(|_| !is_managed) else { return };
        let run = dropped.runs.last().copied().unwrap_or(RunId(0));
        let table = table.or_else(|| self.tables.get(dropped.entry.0));
        let start = table.and_then(|table| table.start(dropped.entry.1, run, &self.settings.caller, row.last, false));
        let Some(start) = start else { return };
        if let Some(superseded) = dropped.superseded {
            actions.push(skipped(&start, superseded, SkipReason::Superseded));
        }
        actions.push(skipped(&start, row, why));
    }

    /// Counts runs from there. In a simulation, where nothing outlives it.
    pub(super) fn set_next_run(&mut self, next: RunId) {
        self.runs.next_id = next.0;
    }
}

/// A begin whose first half is done.
pub(super) struct Begin {
    pub(super) boot: bool,
    pub(super) completed: Option<Timestamp>,
    pub(super) handled: Option<Timestamp>,
}

/// Time in which slots passed unseen: after `from` and before `to`.
pub(super) struct Gap {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) why: MissReason,
}

fn skipped(start: &RunRequest, row: SkippedRow, why: SkipReason) -> Action {
    let start = Box::new(RunRequest { run: row.run, scheduled_at: row.last.0, ..start.clone() });
    Action::Skipped { start, why, count: row.count, first: row.first }
}
