//! A machine on which anything may happen to a daemon: it is stopped, it crashes in the middle of a turn, the clock is set, the table is edited.
//!
//! What outlives a daemon is here: the state that was written, the moment up to which everything was handled, and the executor with its runs,
//! which knows which runs it has begun. A machine watches the rules that hold for every start, and counts the slots that must have an
//! outcome.

use crate::setup::{cause_of, source};
use cronwheel::crontab::Crontab;
use cronwheel::schedule::{Timestamp, Zone};
use cronwheel::scheduler::{
    Action, AtStop, EarlierRun, Event, JobId, ManualStart, Notice, Now, Pause, RunCause, RunId, RunOutcome, RunRecord,
    RunRequest, RunResult, SavedState, Scheduler, Trigger,
};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// The last hour in which slots are due is before this second of the day.
pub const LAST_SLOT: i64 = 3 * 3_600;
const TERM: i32 = 15;

/// An entry of a table.
#[derive(Clone, Debug)]
pub struct Line {
    pub id: JobId,
    /// The minutes between two slots, from the full hour on. None: it has no calendar.
    pub every: Option<i64>,
    /// Whether its minutes are a list, so that it is due once for each local time.
    pub is_fixed: bool,
    pub overlap: &'static str,
    pub retries: u32,
    pub group: Option<u32>,
    pub is_enabled: bool,
}

/// A table as it is for some time.
#[derive(Clone, Debug)]
pub struct Version {
    pub text: String,
    pub table: Crontab,
    pub lines: Vec<Line>,
}

/// What happens in a second, in this order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Happening {
    Stop,
    Step(i64),
    Start,
    /// The daemon is killed in this turn.
    Crash {
        /// Whether all of the turn was carried out.
        is_complete: bool,
        /// If not, whether the changes of the state were written.
        is_written: bool,
        /// If not, how many of the starts and ends have reached the executor.
        sent: usize,
        down: i64,
    },
    Kill(JobId),
    Pause(JobId, i64),
    Run(JobId),
    /// The table becomes the one of that number.
    Edit(usize),
}

pub struct History {
    pub versions: Vec<Version>,
    pub durations: HashMap<JobId, i64>,
    pub exits: HashMap<JobId, Vec<i32>>,
    /// With the second of the day.
    pub happenings: Vec<(i64, Happening)>,
    /// Whether entries without a policy are recorded, too.
    pub records_all: bool,
    pub until: i64,
}

/// A run in the executor.
#[derive(Clone, Debug)]
struct Run {
    job: JobId,
    slot: Timestamp,
    cause: Option<RunCause>,
    started: i64,
    ends: i64,
    outcome: RunOutcome,
    is_timeout: bool,
}

/// A start that the executor has begun.
#[derive(Clone, Debug)]
struct Begun {
    run: RunId,
    at: i64,
    request: RunRequest,
    /// Whether its end allows a further attempt.
    has_failed: bool,
}

/// What the owner of a job sees.
pub enum Decision {
    Record(RunRecord),
    Notice(Notice),
}

impl Decision {
    /// Without the number of the run: after a crash some are left out.
    pub fn text(&self) -> String {
        match self {
            Decision::Record(record) => crate::outcomes::line(record),
            Decision::Notice(Notice { event, job, record, failures, expected_until }) => {
                let of = record.as_ref().map(crate::outcomes::line);
                format!("notice {} {job} {failures} {of:?} {expected_until:?}", event.as_str())
            }
        }
    }
}

/// What a history has led to.
#[derive(Default)]
pub struct Found {
    /// The decisions in their order.
    pub decisions: Vec<Decision>,
    /// For each job how many slots must have an outcome, and how many more may have two.
    pub slots: BTreeMap<JobId, (u64, u64)>,
    /// Whether the number of slots of entries with a list of minutes is known.
    pub is_exact_for_fixed: bool,
    /// Whether the number of slots of all other entries is known.
    pub is_exact: bool,
    pub faults: Vec<String>,
}

pub struct Machine<'a> {
    history: &'a History,
    zone: Arc<Zone>,
    midnight: i64,
    /// The true second of the day.
    at: i64,
    /// How many seconds the clock shows more.
    ahead: i64,
    happenings: VecDeque<(i64, Happening)>,
    version: usize,
    scheduler: Option<Scheduler>,
    saved: SavedState,
    completed: Option<Timestamp>,
    next_run: u64,
    running: BTreeMap<RunId, Run>,
    begun: Vec<Begun>,
    /// Results that a daemon had received when it was killed, and that come again.
    redelivered: Vec<(EarlierRun, RunResult)>,
    starts_of: HashMap<JobId, usize>,
    pauses: BTreeMap<JobId, i64>,
    /// Every slot up to this shown second is handled, and when that was looked at last: the shown and the true second.
    handled: i64,
    looked_at: (i64, i64),
    has_stepped: bool,
    has_stepped_back: bool,
    edited_at: i64,
    most_retries: BTreeMap<JobId, u32>,
    pub found: Found,
}

impl Found {
    pub fn records(&self) -> impl Iterator<Item = &RunRecord> {
        self.decisions.iter().filter_map(|decision| match decision {
            Decision::Record(record) => Some(record),
            Decision::Notice(_) => None,
        })
    }

    /// The decisions from one on, one a line.
    pub fn text(&self, from: usize) -> String {
        let lines: Vec<String> = self.decisions.iter().skip(from).map(Decision::text).collect();
        lines.join("\n")
    }
}

impl<'a> Machine<'a> {
    pub fn new(history: &'a History, zone: &Arc<Zone>, midnight: Timestamp) -> Machine<'a> {
        let mut happenings = history.happenings.clone();
        happenings.sort();
        let mut machine = Machine {
            history,
            zone: zone.clone(),
            midnight: midnight.0,
            at: 0,
            ahead: 0,
            happenings: happenings.into(),
            version: 0,
            scheduler: None,
            saved: SavedState::default(),
            completed: None,
            next_run: 1,
            running: BTreeMap::new(),
            begun: Vec::new(),
            redelivered: Vec::new(),
            starts_of: HashMap::new(),
            pauses: BTreeMap::new(),
            handled: 0,
            looked_at: (0, 0),
            has_stepped: false,
            has_stepped_back: false,
            edited_at: -1,
            most_retries: BTreeMap::new(),
            found: Found { is_exact: true, is_exact_for_fixed: true, ..Found::default() },
        };
        machine.note_retries();
        machine.start(None);
        machine
    }

    pub fn run(mut self) -> Found {
        while self.go_on() {}
        self.at = self.history.until;
        let now = self.now();
        if let Some(scheduler) = &mut self.scheduler {
            let actions = scheduler.flush_rows(now);
            self.perform(actions);
        }
        self.found
    }

    fn shown(&self) -> i64 {
        self.at + self.ahead
    }

    fn now(&self) -> Now {
        Now { utc: Timestamp(self.midnight + self.shown()), elapsed_ms: self.at * 1_000 }
    }

    fn fault(&mut self, text: String) {
        self.found.faults.push(format!("at {} (shown {}): {text}", self.at, self.shown()));
    }

    fn lines(&self) -> &'a [Line] {
        &self.history.versions[self.version].lines
    }

    fn line(&self, id: &JobId) -> Option<&'a Line> {
        self.lines().iter().find(|line| line.id == *id)
    }

    fn note_retries(&mut self) {
        for line in self.lines() {
            let most = self.most_retries.entry(line.id.clone()).or_default();
            *most = line.retries.max(*most);
        }
    }

    /// Counts the slots after `from` and up to `to` of the table as it is.
    fn count(&mut self, from: i64, to: i64, is_extra: bool) {
        for line in self.lines().iter().filter(|line| line.is_enabled) {
            let Some(every) = line.every else { continue };
            let (first, last) = ((from.div_euclid(60) + 1).max(0), to.min(LAST_SLOT - 1).div_euclid(60));
            let slots = (first..=last).filter(|minute| minute % 60 % every == 0).count() as u64;
            let (must, may) = self.found.slots.entry(line.id.clone()).or_default();
            *if is_extra { may } else { must } += slots;
        }
    }

    /// What the rule for clocks that jump makes of the time since the daemon last looked. Returns the slots that it has counted.
    fn follow_clock(&mut self) -> (i64, i64) {
        let shown = self.shown();
        let expected = self.looked_at.0 + self.at - self.looked_at.1;
        self.looked_at = (shown, self.at);
        let before = self.handled;
        if expected != shown {
            self.count_up_to(expected - 1);
            let behind = self.handled.max(expected) - shown;
            if behind >= 60 {
                // Wildcards follow the clock: the minute in progress is due.
                self.handled = (shown.div_euclid(60)) * 60 - 1;
            } else if behind > 0 {
                return (before, self.handled);
            }
        }
        self.count_up_to(shown);
        (before, self.handled)
    }

    fn count_up_to(&mut self, shown: i64) {
        if shown > self.handled {
            self.count(self.handled, shown, false);
            self.handled = shown;
        }
    }

    /// Starts a daemon.
    fn start(&mut self, completed: Option<Timestamp>) {
        let shown = self.shown();
        self.pauses.retain(|_, until| *until > shown);
        let now = self.now();
        let mut scheduler = Scheduler::new(self.zone.clone(), now);
        scheduler.set_caller("alice");
        scheduler.record_all(self.history.records_all);
        scheduler.reserve_runs_from(RunId(self.next_run));
        let table = self.history.versions[self.version].table.clone();
        let reserved = scheduler.handle(Event::Load { source: source("/spool/alice"), table }, now);
        self.perform(reserved);
        let mut earlier: Vec<EarlierRun> = self
            .running
            .iter()
            .map(|(run, of)| EarlierRun { run: *run, job: of.job.clone(), scheduled_at: of.slot, cause: of.cause })
            .collect();
        let recent = self.begun.iter().rev().take_while(|begun| self.at - begun.at < 500);
        let (mut known, mut started) = (Vec::new(), Vec::new());
        for begun in recent {
            let (job, slot) = (begun.request.job.clone(), Timestamp(begun.request.scheduled_at));
            let cause = cause_of(&begun.request);
            known.push(EarlierRun { run: begun.run, job: job.clone(), scheduled_at: slot, cause });
            if begun.request.trigger != Trigger::Manual {
                started.push((job, slot));
            }
        }
        let redelivered = std::mem::take(&mut self.redelivered);
        earlier.extend(redelivered.iter().map(|(run, _)| run.clone()));
        scheduler.handle(Event::EarlierRuns(earlier), now);
        scheduler.handle(Event::EarlierStarts(known), now);
        let mut ended: Vec<Event> =
            redelivered.into_iter().map(|(_, result)| Event::RunEnded(Box::new(result))).collect();
        ended.extend(self.take_ended());
        let running = self.running.iter().map(|(run, of)| (*run, of.job.clone())).collect();
        let saved = Box::new(self.saved.clone());
        let begin = Event::DaemonStarted { boot: false, completed, started, running, saved };
        // What has been started is not started again after a restart, not even where the clock repeats its slot.
        self.found.is_exact &= !self.has_stepped_back;
        if completed.is_some() {
            // Where the clock was set back meanwhile, nothing is repeated in this minute.
            if self.handled - shown >= 60 {
                self.handled = shown;
            }
            self.looked_at = (shown, self.at);
            self.count_up_to(shown);
        }
        self.scheduler = Some(scheduler);
        // As a daemon takes the results that an executor has kept, or as it gets them from a connected one.
        if self.at % 2 == 0 {
            let reserved: Vec<Action> = ended
                .into_iter()
                .flat_map(|end| self.scheduler.as_mut().map(|of| of.handle(end, now)).unwrap_or_default())
                .collect();
            self.perform(reserved);
            return self.turn(vec![begin]);
        }
        self.turn(ended.into_iter().chain([begin]).collect());
    }

    fn stop(&mut self) {
        if self.scheduler.is_none() {
            return;
        }
        // Nothing that is due in this second is seen any more.
        self.at -= 1;
        self.follow_clock();
        let now = self.now();
        if let Some(mut scheduler) = self.scheduler.take() {
            let actions = scheduler.handle(Event::Stop { queue: AtStop::LeaveToNext, jobs: AtStop::LeaveToNext }, now);
            self.perform(actions);
        }
        self.at += 1;
    }

    fn take_ended(&mut self) -> Vec<Event> {
        let mut ended: Vec<(i64, bool, RunId)> = self
            .running
            .iter()
            .filter(|(_, run)| run.ends <= self.at)
            .map(|(id, run)| (run.ends, run.is_timeout, *id))
            .collect();
        ended.sort();
        ended.into_iter().filter_map(|(.., id)| self.end_event(id)).collect()
    }

    fn end_event(&mut self, id: RunId) -> Option<Event> {
        let run = self.running.remove(&id)?;
        let mut result = RunResult::of_outcome(id, run.outcome, (self.midnight + run.ends) * 1_000);
        result.started_at_ms = Some((self.midnight + run.started) * 1_000);
        result.is_timeout = run.is_timeout;
        result.ended_elapsed_ms = Some(run.ends * 1_000);
        Some(Event::RunEnded(Box::new(result)))
    }

    fn turn(&mut self, mut events: Vec<Event>) {
        let now = self.now();
        loop {
            let Some(scheduler) = &mut self.scheduler else { return };
            let actions = scheduler.handle_all(events, now);
            self.perform(actions);
            if let Some(scheduler) = &self.scheduler
                && let Some(at) = scheduler.summary().next_due.filter(|at| *at <= now.utc)
            {
                self.fault(format!("what is due at {at} is left for later"));
            }
            events = self.take_ended();
            if events.is_empty() {
                return;
            }
        }
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Start(start) => self.begin(*start),
                Action::End { run, .. } => self.end(run),
                Action::Record(record) => self.record(*record),
                Action::Notice(notice) => self.found.decisions.push(Decision::Notice(*notice)),
                Action::SaveState(change) => self.saved.apply(*change),
                Action::Completed(upto) => {
                    self.completed = Some(upto);
                    self.saved.set_handled(upto);
                }
                Action::ReserveRuns(upto) => self.next_run = upto.0,
                _ => {}
            }
        }
    }

    /// Carries out a part of what the daemon wanted when it was killed.
    fn perform_partly(&mut self, actions: Vec<Action>, is_written: bool, mut sent: usize) {
        let mut kept = Vec::new();
        for action in actions {
            match &action {
                Action::Start(_) | Action::End { .. } if sent == 0 => {}
                Action::Start(_) | Action::End { .. } => {
                    sent -= 1;
                    kept.push(action);
                }
                // The reservation is made before.
                Action::ReserveRuns(_) => kept.push(action),
                // Written when everything else is.
                Action::Completed(_) => {}
                _ if is_written => kept.push(action),
                _ => {}
            }
        }
        let ends: Vec<RunId> = kept
            .iter()
            .filter_map(|action| match action {
                Action::End { run, .. } if !is_written => Some(*run),
                _ => None,
            })
            .collect();
        self.perform(kept);
        // That somebody asked for these ends is forgotten: the runs have failed.
        self.begun.iter_mut().filter(|begun| ends.contains(&begun.run)).for_each(|begun| begun.has_failed = true);
    }

    fn end(&mut self, id: RunId) {
        let at = self.at;
        if let Some(run) = self.running.get_mut(&id) {
            run.ends = at;
            run.outcome = RunOutcome::Signal { number: TERM, core_dumped: false };
            run.is_timeout = false;
        }
        if let Some(begun) = self.begun.iter_mut().rev().find(|begun| begun.run == id) {
            begun.has_failed = false;
        }
    }

    fn record(&mut self, record: RunRecord) {
        if let Some(run) = record.run
            && let Some(begun) = self.begun.iter().rev().find(|begun| begun.run == run)
        {
            let request = &begun.request;
            if request.job != record.job || request.scheduled_at != record.scheduled_at.0 {
                let text =
                    format!("a wrong record of {}: {}", request.scheduled_at - self.midnight, self.text(&record));
                self.fault(text);
            }
        }
        self.found.decisions.push(Decision::Record(record));
    }

    fn text(&self, record: &RunRecord) -> String {
        format!("run {:?} {}", record.run, crate::outcomes::line(record))
    }

    fn begin(&mut self, start: RunRequest) {
        self.check_start(&start);
        let count = self.starts_of.entry(start.job.clone()).or_default();
        let exits = self.history.exits.get(&start.job);
        let status = exits.and_then(|exits| exits.get(*count).or(exits.last())).copied().unwrap_or(0);
        *count += 1;
        let duration = self.history.durations.get(&start.job).copied().unwrap_or(0);
        let timeout = start.rules.timeout.map(i64::from).filter(|timeout| *timeout < duration);
        let run = Run {
            job: start.job.clone(),
            slot: Timestamp(start.scheduled_at),
            cause: cause_of(&start),
            started: self.at,
            ends: self.at + timeout.unwrap_or(duration),
            outcome: match timeout {
                Some(_) => RunOutcome::Signal { number: TERM, core_dumped: false },
                None => RunOutcome::Code(status),
            },
            is_timeout: timeout.is_some(),
        };
        let has_failed = timeout.is_some() || status != 0;
        self.running.insert(start.run, run);
        self.begun.push(Begun { run: start.run, at: self.at, request: start, has_failed });
    }

    /// What holds for every start, whatever has happened before.
    fn check_start(&mut self, start: &RunRequest) {
        let told =
            format!("{} {} {:?}#{}", start.job, start.scheduled_at - self.midnight, start.trigger, start.attempt);
        let Some(line) = self.line(&start.job) else { return self.fault(format!("{told} starts without an entry")) };
        let is_manual = start.trigger == Trigger::Manual;
        if !is_manual && self.pauses.contains_key(&start.job) {
            self.fault(format!("{told} starts in a pause"));
        }
        let is_new = !is_manual && start.attempt == 1 && self.edited_at != self.at;
        if is_new && !line.is_enabled && start.scheduled_at == self.midnight + self.shown() {
            self.fault(format!("{told} starts although it is disabled"));
        }
        let of_job = self.running.values().filter(|run| run.job == start.job).count();
        if line.overlap != "allow" && of_job > 0 {
            self.fault(format!("{told} overlaps itself"));
        }
        if line.group.is_some() {
            let members: Vec<&Line> = self.lines().iter().filter(|line| line.group.is_some()).collect();
            let slots = members.iter().filter_map(|line| line.group).min().unwrap_or(0);
            let running = self.running.values().filter(|run| members.iter().any(|line| line.id == run.job)).count();
            if running >= slots as usize {
                self.fault(format!("{told} makes the group too full"));
            }
        }
        if is_manual {
            return;
        }
        if start.attempt > 1 + self.most_retries.get(&start.job).copied().unwrap_or(0) {
            self.fault(format!("{told} is one attempt too many"));
        }
        let same_slot = |begun: &&Begun| {
            begun.request.job == start.job
                && begun.request.scheduled_at == start.scheduled_at
                && begun.request.trigger != Trigger::Manual
        };
        let before = self.begun.iter().rev().find(same_slot);
        // With a clock that was set back a slot comes twice.
        let is_second = before.is_some_and(|before| before.request.attempt >= start.attempt);
        let follows_a_failure =
            before.is_some_and(|before| before.request.attempt + 1 == start.attempt && before.has_failed);
        // Several ends of one second each make a slot of that second.
        if is_second && !self.has_stepped_back && start.trigger != Trigger::After {
            self.fault(format!("{told} starts a second time"));
        }
        if start.attempt > 1 && !follows_a_failure && !is_second {
            self.fault(format!("{told} follows no failure"));
        }
    }

    fn go_on(&mut self) -> bool {
        let scheduler = self.scheduler.as_ref();
        let shown = scheduler.and_then(Scheduler::wake_at);
        let shown = shown.map(|shown| (shown.0 - self.midnight - self.ahead).max(self.at + 1));
        let elapsed = scheduler.and_then(Scheduler::wake_at_elapsed_ms);
        let elapsed = elapsed.map(|ms| (ms + 999).div_euclid(1_000).max(self.at + 1));
        let end = self.running.values().map(|run| run.ends).min().filter(|_| self.scheduler.is_some());
        let end = end.map(|end| end.max(self.at + 1));
        let happening = self.happenings.front().map(|(at, _)| *at);
        let next = [shown, elapsed, end, happening].into_iter().flatten().min();
        let Some(next) = next.filter(|next| *next <= self.history.until) else { return false };
        self.at = next.max(self.at);
        let mut events = vec![Event::Tick];
        let (mut starts, mut crash, mut edit) = (false, None, None);
        while self.happenings.front().is_some_and(|(at, _)| *at <= next) {
            let Some((_, happening)) = self.happenings.pop_front() else { break };
            match happening {
                Happening::Stop => self.stop(),
                Happening::Step(seconds) => {
                    // Slots from before an entry was first seen are not owed: the clock stays after the begin.
                    let seconds = seconds.max(60 - self.shown());
                    self.found.is_exact &= seconds > 0 || self.history.versions.len() == 1;
                    self.ahead += seconds;
                    self.has_stepped = true;
                    self.has_stepped_back |= seconds < 0;
                    self.found.is_exact_for_fixed &= seconds > 0;
                }
                Happening::Start => starts = self.scheduler.is_none(),
                Happening::Crash { .. } => crash = Some(happening),
                Happening::Kill(job) => events.push(Event::Kill { job, by: "alice".into() }),
                Happening::Pause(job, seconds) if self.scheduler.is_some() && self.line(&job).is_some() => {
                    let from = self.midnight + self.shown();
                    let (from, until) = (Timestamp(from), Timestamp(from + seconds));
                    let pause =
                        Pause { from, until, by: "alice".into(), note: String::new(), is_by_root: false, source: None };
                    events.push(Event::Pause { job, pause });
                }
                Happening::Pause(..) => {}
                Happening::Run(job) => events.push(Event::RunByHand { job, start: ManualStart::ByRules }),
                Happening::Edit(version) => edit = Some(version),
            }
        }
        if self.scheduler.is_none() {
            self.change_table(edit);
            if starts {
                self.start(self.completed);
            }
            return true;
        }
        let (from, to) = self.follow_clock();
        let shown = self.shown();
        self.pauses.retain(|_, until| *until > shown);
        let mut ended = self.take_ended();
        ended.extend(events);
        let pauses: Vec<(JobId, i64)> = ended
            .iter()
            .filter_map(|event| match event {
                Event::Pause { job, pause } => Some((job.clone(), pause.until.0 - self.midnight)),
                _ => None,
            })
            .collect();
        match crash {
            Some(Happening::Crash { is_complete: false, is_written, sent, down }) => {
                self.found.is_exact &= !self.has_stepped;
                self.found.is_exact_for_fixed &= !self.has_stepped;
                if sent % 2 == 0 {
                    self.redeliver(&ended);
                }
                let now = self.now();
                let actions = self.scheduler.take().map(|mut scheduler| scheduler.handle_all(ended, now));
                self.perform_partly(actions.unwrap_or_default(), is_written, sent);
                if is_written {
                    self.pauses.extend(pauses);
                    // What was recorded of these may be recorded again.
                    self.count(from, to, true);
                }
                self.change_table(edit);
                self.restart_after(down);
            }
            crash => {
                self.turn(ended);
                self.pauses.extend(pauses);
                if let Some(version) = edit {
                    self.change_table(edit);
                    let table = self.history.versions[version].table.clone();
                    self.turn(vec![Event::Load { source: source("/spool/alice"), table }]);
                }
                if let Some(Happening::Crash { down, .. }) = crash {
                    self.scheduler = None;
                    self.restart_after(down);
                }
            }
        }
        true
    }

    /// The executor does not know that the daemon has received these results.
    fn redeliver(&mut self, ended: &[Event]) {
        for event in ended {
            let Event::RunEnded(result) = event else { continue };
            let Some(begun) = self.begun.iter().find(|begun| begun.run == result.run) else { continue };
            let (job, scheduled_at) = (begun.request.job.clone(), Timestamp(begun.request.scheduled_at));
            let run = EarlierRun { run: result.run, job, scheduled_at, cause: cause_of(&begun.request) };
            self.redelivered.push((run, (**result).clone()));
        }
    }

    fn change_table(&mut self, version: Option<usize>) {
        let Some(version) = version else { return };
        if self.scheduler.is_none() {
            // What was due meanwhile was so by one table or the other.
            self.found.is_exact = false;
            self.found.is_exact_for_fixed = false;
        }
        self.version = version;
        self.edited_at = self.at;
        self.note_retries();
    }

    fn restart_after(&mut self, down: i64) {
        if down == 0 {
            return self.start(self.completed);
        }
        let place =
            self.happenings.partition_point(|(at, happening)| (*at, happening) < (self.at + down, &Happening::Start));
        self.happenings.insert(place, (self.at + down, Happening::Start));
    }
}
