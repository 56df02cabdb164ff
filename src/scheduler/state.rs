//! The scheduler: its state, and how it handles events.

use super::action::Action;
use super::due::DueEntries;
use super::earlier::EarlierDaemons;
use super::entries::Entries;
use super::event::{Event, Preparation};
use super::fleet::Fleet;
use super::job_id::JobId;
use super::jobs::Jobs;
use super::names::JobNames;
use super::now::Now;
use super::progress::{Progress, TurnChanges};
use super::run_id::RunId;
use super::run_record::MissReason;
use super::saved::StateChange;
use super::start_queue::HandoverLimits;
use super::starts::Starts;
use crate::schedule::{Timestamp, Zone};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// What may be with the executor and not begun. The limits of an owner keep what is on its way to the executor short, so that another owner's
/// start is never behind many; those for all bound the memory that it takes in both processes.
const HANDOVER_LIMITS: HandoverLimits =
    HandoverLimits { starts_per_owner: 32, bytes_per_owner: 1 << 20, starts: 2048, bytes: 32 << 20 };

/// All live entries, what of them is due, and the runs in progress.
#[derive(Debug)]
pub struct Scheduler {
    pub(super) phase: Phase,
    pub(super) progress: Progress,
    pub(super) entries: Entries,
    /// The entries that claim each name.
    pub(super) names: JobNames,
    pub(super) due: DueEntries,
    pub(super) starts: Starts,
    /// Managed jobs, and what is decided about them.
    pub(super) jobs: Jobs,
    /// Jobs whose state has changed since it was last saved.
    pub(super) changed: BTreeSet<JobId>,
    /// Since when each job with `CRON_CATCHUP` has had its schedule, with a digest of that.
    pub(super) first_seen: HashMap<JobId, (u64, Timestamp)>,
    pub(super) earlier: EarlierDaemons,
    /// Jobs that may have faults which only the other tables show, until all are loaded at start-up.
    pub(super) unchecked: Vec<JobId>,
    /// The fleet that the machine is a node of.
    pub(super) fleet: Option<Fleet>,
    /// Every slot gets a recorded outcome, also of entries without a policy.
    pub(super) records_all: bool,
}

/// How far the scheduler is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Tables are loaded, nothing is due yet.
    Loading,
    Running,
    Stopped,
}

/// When an event is handled within its second, in this order. Due retries come before `Pause`, and slots before `Other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// The daemon has started.
    DaemonStarted,
    /// A run has ended.
    End,
    /// A run is to end, or a pause.
    Kill,
    /// A pause begins.
    Pause,
    Other,
}

impl Stage {
    fn of(event: &Event) -> Stage {
        match event {
            Event::DaemonStarted { .. } => Stage::DaemonStarted,
            Event::RunEnded(_) => Stage::End,
            Event::Kill { .. } | Event::Resume { .. } | Event::ResumeAll { .. } => Stage::Kill,
            Event::Pause { .. } | Event::PauseAll { .. } => Stage::Pause,
            _ => Stage::Other,
        }
    }
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
            progress: Progress::new(now),
            entries: Entries::new(zone, now.utc),
            names: JobNames::default(),
            due: DueEntries::default(),
            starts: Starts::new(now.utc.0.max(0).unsigned_abs() * 1000),
            jobs: Jobs::default(),
            changed: BTreeSet::new(),
            first_seen: HashMap::new(),
            earlier: EarlierDaemons::default(),
            unchecked: Vec::new(),
            fleet: None,
            records_all: false,
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
                Event::AnacronJobPrepared(Preparation::Ready { stamp }) => self.entries.anacron.take_stamp(*stamp),
                _ => {}
            }
        }
        // There is a record from start-up on, so that starts missed by a daemon that is killed before its first start are caught up, too.
        let must_record = events.iter().any(|event| matches!(event, Event::DaemonStarted { .. } | Event::Stop { .. }));
        // A new schedule has had no slots before it was loaded, also for a daemon that follows this one after a crash.
        let is_change = |event: &Event| matches!(event, Event::Load { .. } | Event::Unload { .. });
        let has_new_tables = self.phase == Phase::Running && events.iter().any(is_change);
        let mut gap = self.follow_time(now, &mut actions);
        let mut by_stage: BTreeMap<Stage, Vec<Event>> = BTreeMap::new();
        for event in events {
            by_stage.entry(Stage::of(&event)).or_default().push(event);
        }
        let mut take = |stage| by_stage.remove(&stage).unwrap_or_default();
        let (begins, ends) = (take(Stage::DaemonStarted), take(Stage::End));
        if !begins.is_empty() {
            let ids = ends.iter().filter_map(|event| match event {
                Event::RunEnded(result) => Some(result.run),
                _ => None,
            });
            self.earlier.ends.accounted.extend(ids);
        }
        self.jobs.hold_retries(!begins.is_empty());
        let begins: Vec<DaemonStart> =
            begins.into_iter().filter_map(|event| self.prepare_daemon_start(event, now, &mut actions)).collect();
        for event in ends.into_iter().chain(take(Stage::Kill)) {
            self.handle_one(event, now, &mut actions);
        }
        if begins.iter().any(|begin| begin.completed.or(begin.handled).is_some()) {
            self.drop_expired_retries(now, &mut actions);
        }
        self.jobs.hold_retries(false);
        self.run_policy_timers(now, &mut actions);
        for event in take(Stage::Pause) {
            self.handle_one(event, now, &mut actions);
        }
        for begin in begins {
            gap = self.begin(&begin, now, &mut actions);
            actions.extend(gap.as_ref().and_then(|gap| self.absence(gap)).map(Action::WasAway));
        }
        self.start_due(gap, now, &mut actions);
        for event in take(Stage::Other) {
            self.handle_one(event, now, &mut actions);
        }
        self.finish(TurnChanges { must_record, has_new_tables }, now, &mut actions);
        actions
    }

    /// Follows the clocks to the moment of an event. Returns the time in which slots passed unseen.
    pub(super) fn follow_time(&mut self, now: Now, actions: &mut Vec<Action>) -> Option<Gap> {
        if let Some(fleet) = &mut self.fleet {
            fleet.begin_turn(now.elapsed_ms);
        }
        let mut gap = None;
        match self.phase {
            Phase::Running => gap = self.follow_clock(now, actions),
            Phase::Loading => self.progress.upto = now.utc,
            // Whatever comes due from here on is the next daemon's.
            Phase::Stopped => {}
        }
        self.progress.last = now;
        gap
    }

    /// Starts what is due, and hands over what the executor has room for.
    pub(super) fn start_due(&mut self, gap: Option<Gap>, now: Now, actions: &mut Vec<Action>) {
        if self.phase != Phase::Running {
            return;
        }
        self.collect_after();
        if let Some(Gap { from, to, why }) = gap {
            self.handle_gap(from, to, why, now, actions);
        }
        // Intervals that have begun to count in the past.
        self.collect_waiting(now.utc);
        self.start_collected(None, now, actions);
        self.run_fleet_timers(now, actions);
        self.earlier.already_started.clear();
        self.earlier.missed_since.clear();
        self.hand_over(now, actions);
    }

    /// Ends a turn: hands over queued starts, saves changed state, and records the moment up to which everything was handled.
    pub(super) fn finish(&mut self, mut changes: TurnChanges, now: Now, actions: &mut Vec<Action>) {
        if self.phase == Phase::Running {
            self.hand_over(now, actions);
        }
        self.work_for_fleet(now, actions);
        self.earlier.forget_unclaimed(&self.starts.runs, now, actions);
        self.save_changed(actions);
        if self.phase == Phase::Running
            && let Some(steps) = self.entries.timing.zones.take_new_steps_back(now.utc)
        {
            actions.push(Action::SaveState(Box::new(StateChange::steps_back(steps))));
        }
        self.ask_for_anacron(now.utc, actions);
        // Reserved before any is used.
        if let Some(reserved) = self.starts.runs.extend_reservation() {
            actions.insert(0, Action::ReserveRuns(reserved));
        }
        // Everything due before the first start that has not begun has an outcome.
        changes.must_record |= actions.iter().any(|action| matches!(action, Action::Start(_)));
        actions.extend(self.progress.record(self.completed(), changes));
    }

    fn handle_one(&mut self, event: Event, now: Now, actions: &mut Vec<Action>) {
        match event {
            Event::DaemonStarted { .. } | Event::Tick => {}
            Event::Load { source, table } => self.load(source, table, now, actions),
            Event::Unload { path } => self.unload(&path, now, actions),
            Event::Calendars(calendars) => self.entries.calendars = calendars,
            Event::SystemZone(zone) => self.change_system_zone(zone, now, actions),
            Event::LoadAnacrontab { is_on_battery, .. } => self.check_anacron(is_on_battery, now.utc, actions),
            Event::AnacrontabChanged => self.entries.anacron.note_change(),
            Event::AnacronJobPrepared(preparation) => self.start_prepared(preparation, now, actions),
            Event::EarlierStarts(starts) => {
                if let Some(fleet) = &mut self.fleet {
                    let slots = starts.iter().filter(|run| !run.is_by_hand());
                    fleet.begun_here.extend(slots.map(|run| (run.job.clone(), run.scheduled_at)));
                }
                self.earlier.ends.note_starts(starts);
            }
            Event::EarlierRuns(runs) => {
                self.earlier.ends.accounted.extend(runs.iter().map(|run| run.run));
                self.entries.anacron.add_earlier_runs(&runs, &self.entries.timing.zones.system());
                self.earlier.ends.runs.extend(runs);
            }
            Event::RunEnded(result) => {
                self.entries.anacron.handle_end(result.run, &result.outcome, actions);
                if self.phase == Phase::Loading {
                    // Its job has no state yet.
                    return self.earlier.ends.ended.push(*result);
                }
                self.handle_end(&result, now, actions);
            }
            Event::Accepted(runs) => runs.into_iter().for_each(|run| self.starts.queue.accepted(run)),
            Event::RunByHand { job, start } => drop(self.start_by_hand(&job, start, now, actions)),
            Event::Pause { job, pause } => {
                self.pause(&job, pause.clone(), now, actions);
                self.pause_in_fleet(&job, Some(&pause), now, actions);
            }
            Event::Resume { job } => {
                self.resume(&job, now, actions);
                self.pause_in_fleet(&job, None, now, actions);
            }
            Event::PauseAll { scope, pause } => {
                self.with_jobs(now, actions, |jobs, context| jobs.pause_all(scope, pause, context));
            }
            Event::ResumeAll { scope } => self.resume_all(scope, now, actions),
            Event::LeftOutOfPauses { job, is_by_root } => {
                self.with_jobs(now, actions, |jobs, context| jobs.exempt_from_pauses(&job, is_by_root, context));
            }
            Event::Kill { job, by } => drop(self.kill_job(&job, &by, now, actions)),
            Event::Fleet(event) => self.handle_fleet(event, now, actions),
            Event::Stop { queue, jobs } => self.stop(queue, jobs, now, actions),
        }
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
        [self.next_due(), self.entries.anacron.wake_at(&self.jobs), policies].into_iter().flatten().min()
    }

    /// When the next entry of a crontab is due.
    fn next_due(&self) -> Option<Timestamp> {
        let next = [self.entries.timing.wheel.next_due(), self.due.next_alarm()].into_iter().flatten().min();
        next.filter(|_| self.phase == Phase::Running)
    }

    /// When [`super::Event::Tick`] is wanted by the policies, in milliseconds of the monotonic clock.
    pub fn wake_at_elapsed_ms(&self) -> Option<i64> {
        let forgets = self.earlier.forgets_at_ms().filter(|at| *at > self.progress.last.elapsed_ms);
        let fleet = self.fleet.as_ref().and_then(Fleet::next_wake_ms);
        let wakes = [self.jobs.next_retry_ms(), forgets, fleet].into_iter().flatten().min();
        wakes.filter(|_| self.phase == Phase::Running)
    }

    /// Everything that was due up to here has been begun by the executor, or has another outcome.
    pub fn completed(&self) -> Timestamp {
        self.progress.completed(self.starts.queue.first_unstarted())
    }

    /// How many runs have been handed over and have not ended.
    pub fn running(&self) -> usize {
        self.starts.runs.len().saturating_sub(self.starts.queue.waiting())
    }

    /// How many due starts wait for their turn.
    pub fn waiting(&self) -> usize {
        self.starts.queue.waiting()
    }

    /// Whether more starts can be handed over at once than one event's answer may have: another [`Event::Tick`] gives them.
    pub fn has_more(&self) -> bool {
        self.phase == Phase::Running && self.starts.queue.has_next()
    }

    /// Keeps starts that the executor has no room for, and takes turns between their owners.
    pub fn limit_handover(&mut self) {
        self.starts.queue.set_limits(HANDOVER_LIMITS);
    }

    /// Notes that the machine has slept for so many milliseconds, before the next event is handled. The wall clock went on meanwhile, and the
    /// monotonic clock did not.
    pub fn note_sleep(&mut self, slept_ms: i64) {
        self.progress.slept_ms = self.progress.slept_ms.saturating_add(slept_ms.max(0));
        if let Some(fleet) = &mut self.fleet {
            fleet.unnoted_sleep_ms = fleet.unnoted_sleep_ms.saturating_add(slept_ms.max(0));
        }
    }

    /// Sets the user that a standalone daemon runs its jobs as.
    pub fn set_caller(&mut self, name: &str) {
        name.clone_into(&mut self.entries.caller);
    }

    /// Counts runs from `first`, and asks for a reservation ([`Action::ReserveRuns`]) before ids are used.
    pub fn reserve_runs_from(&mut self, first: RunId) {
        self.starts.runs.reserve_from(first);
    }

    /// The id that the next run will have.
    pub fn next_run(&self) -> RunId {
        RunId(self.starts.runs.next_id)
    }

    /// Counts runs from there. In a simulation, where nothing outlives it.
    pub(super) fn set_next_run(&mut self, next: RunId) {
        self.starts.runs.next_id = next.0;
    }

    /// The numbers of tables, entries and timers, for the log and for tests.
    pub fn summary(&self) -> Summary {
        Summary {
            tables: self.entries.tables.len(),
            entries: self.entries.tables.entries(),
            timers: self.entries.timing.timers.len(),
            next_due: self.next_due(),
        }
    }

    /// Records the rows of skipped slots that have not ended.
    pub fn flush_rows(&mut self, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        self.with_jobs(now, &mut actions, |jobs, context| jobs.flush_rows(context));
        actions
    }

    /// Records an outcome of every slot, also of entries without a policy. Before tables are loaded.
    pub fn record_all(&mut self, records_all: bool) {
        self.records_all = records_all;
    }
}

/// A start-up whose first half is done.
pub(super) struct DaemonStart {
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
