//! Anacron jobs: which jobs of /etc/anacrontab are due, when each starts, what the end of a run means. The rules are anacron's (cronie's
//! anacron/lock.c, main.c), for a daemon that is always there.
//!
//! anacron is a program that is started every hour, checks once which jobs are due, and runs them one after the other (`-s`). A check here
//! is such a start: when the daemon begins, at minute 1 of every hour, after a jump of the clock, after a change of the table or of a stamp.
//! For a check, and again before each start, the scheduler asks for what only the file system knows: the table and the stamps.
//!
//! A job whose command runs one of [`DIRECTORIES`] may have a regular line in a system table as well, as Debian's /etc/crontab has. Then
//! the start of that line counts as the job's run, and the job is due only if a moment of the line was missed since the day of the stamp.

use super::action::{Action, StampCause};
use super::earlier_run::EarlierRun;
use super::environment::Environment;
use super::job_id::JobId;
use super::jobs::{GroupKey, JobSpec};
use super::live_table::LiveCrontab;
use super::run_id::RunId;
use super::run_record::Trigger;
use super::run_request::{RunRequest, RunRules};
use super::run_result::RunOutcome;
use super::source::Source;
use super::start_queue::{ANACRON, EntryKey};
use super::tables::LiveTables;
use super::timers::Timers;
use super::zones::Zones;
use crate::crontab::{AnacronJob, Anacrontab, CatchUp, Flags, Overlap, Period, Policy};
use crate::schedule::{Day, LocalMinute, Timestamp, Zone};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The directories of scripts that both an anacrontab and a system table may run.
const DIRECTORIES: [&str; 3] = ["/etc/cron.daily", "/etc/cron.weekly", "/etc/cron.monthly"];
/// The minute of every hour at which a check is made, as cronie's cron.d/0hourly has it.
const CHECK_MINUTE: i64 = 1;

/// The state of the anacron jobs.
#[derive(Debug, Default)]
pub(super) struct Anacron {
    /// Where the table comes from; none until the first [`Event::LoadAnacrontab`](super::Event::LoadAnacrontab): then there are no such jobs.
    source: Option<Source>,
    /// The table in force; none when there is none, or when anacron itself is installed.
    table: Option<Arc<Anacrontab>>,
    /// The number of each of its jobs, in its order. A job keeps it when the table changes.
    numbers: Vec<u32>,
    /// The number of each job there has been, by its identifier and its place among those with the same one.
    all_numbers: BTreeMap<(Vec<u8>, u32), u32>,
    /// The jobs by number.
    ids: BTreeMap<u32, JobId>,
    /// The day on which each job was found due that waits, runs or is retried, for its stamp.
    days: BTreeMap<u32, Day>,
    /// The day of each job's last run, as far as it is known.
    stamps: BTreeMap<Vec<u8>, Day>,
    /// Jobs that were found due, in the order of their starts.
    planned: Vec<PlannedJob>,
    running: Vec<RunningJob>,
    /// Runs of an earlier daemon that have ended, with results that are still to be delivered.
    undelivered: Vec<RunningJob>,
    /// Jobs that could not be started, until the next regular check.
    failed: Vec<Vec<u8>>,
    next_check: Option<Timestamp>,
    wanted_check: Option<CheckReason>,
    /// The request that has not been answered yet.
    question: Option<Question>,
}

/// An anacron job, for queries of the control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnacronStatus {
    /// The job.
    pub id: JobId,
    /// The anacrontab.
    pub source: String,
    /// The line of the job in that file, from 1.
    pub line: u32,
    /// How often it is due.
    pub schedule: String,
    /// The command of the job.
    pub command: Vec<u8>,
    /// When it starts, if it was found due.
    pub starts_at: Option<Timestamp>,
    /// Whether it is ever due (`CRON_ENABLED`).
    pub is_enabled: bool,
    /// What happens when it is due while it runs (`CRON_OVERLAP`).
    pub overlap: Overlap,
}

/// A job that was found due.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PlannedJob {
    job: AnacronJob,
    /// When it is to start, or as soon after as no other one runs.
    at: Timestamp,
    /// The day on which it was found due. Its stamp will name it.
    day: Day,
}

/// An anacron job whose run is in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RunningJob {
    run: RunId,
    id: Vec<u8>,
    /// The day for its stamp.
    day: Day,
}

/// Why a check is made. Each reason implies those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum CheckReason {
    /// The table or a stamp has changed.
    Change,
    /// The daemon begins, or an hour has.
    Regular,
    /// The clock was set or the machine woke up. Planned starts are planned again, but never later.
    Jump,
}

/// A request of the scheduler.
#[derive(Debug, PartialEq, Eq)]
enum Question {
    /// The table and the stamps ([`Action::ReadAnacrontab`]).
    Table,
    /// Whether this job can start ([`Action::PrepareAnacronJob`]).
    Start(PlannedJob),
}

/// The state of jobs that decides whether an anacron job may start.
pub(super) trait JobActivity {
    /// Whether a run of the job is in progress, or something of it waits or will be retried.
    fn is_occupied(&self, id: &JobId) -> bool;

    /// Whether the job is occupied, where the retry of a paused job does not count.
    fn is_active(&self, id: &JobId) -> bool;
}

/// What is known besides: the lines of system tables, which may run the directory of an anacron job, and what runs or waits of jobs.
#[derive(Clone, Copy)]
pub(super) struct SystemLines<'a> {
    pub(super) tables: &'a LiveTables,
    pub(super) timers: &'a Timers,
    pub(super) zones: &'a Zones,
    pub(super) jobs: &'a dyn JobActivity,
}

impl Anacron {
    /// Whether there is a table in force.
    pub(super) fn is_active(&self) -> bool {
        self.table.is_some()
    }

    /// Whether that is the table in force already.
    pub(super) fn has(&self, source: &Source, table: &Option<Arc<Anacrontab>>) -> bool {
        self.source.as_ref() == Some(source) && self.table == *table
    }

    /// Takes the table in force and the stamps of its jobs.
    pub(super) fn load(&mut self, source: &Source, table: &Option<Arc<Anacrontab>>, stamps: &BTreeMap<Vec<u8>, Day>) {
        match table {
            Some(table) => self.planned.retain(|planned| table.jobs.contains(&planned.job)),
            None => self.planned.clear(),
        }
        (self.source, self.table, self.stamps) = (Some(source.clone()), table.clone(), stamps.clone());
        let mut seen: BTreeMap<&[u8], u32> = BTreeMap::new();
        let mut numbers = Vec::new();
        for job in table.iter().flat_map(|table| &table.jobs) {
            let place = seen.entry(&job.id).or_default();
            let next = u32::try_from(self.all_numbers.len()).unwrap_or(u32::MAX);
            numbers.push(*self.all_numbers.entry((job.id.clone(), *place)).or_insert(next));
            *place += 1;
        }
        self.numbers = numbers;
    }

    /// Where the table comes from.
    pub(super) fn source(&self) -> Option<&Source> {
        self.source.as_ref()
    }

    /// The jobs of the table with their numbers.
    fn numbered(&self) -> impl Iterator<Item = (u32, &AnacronJob)> {
        let jobs = self.table.iter().flat_map(|table| &table.jobs);
        self.numbers.iter().copied().zip(jobs)
    }

    fn job(&self, number: u32) -> Option<&AnacronJob> {
        self.numbered().find(|(other, _)| *other == number).map(|(_, job)| job)
    }

    fn number_of(&self, job: &AnacronJob) -> Option<u32> {
        self.numbered().find(|(_, other)| *other == job).map(|(number, _)| number)
    }

    /// The names that the jobs want, each with the place of the job in the table.
    pub(super) fn wanted_names(&self) -> impl Iterator<Item = (u32, EntryKey, JobId)> {
        (0..).zip(self.numbered()).map(|(place, (number, job))| (place, (ANACRON, number), name_of(job)))
    }

    /// The name that a job wants, and the one that is derived from its command.
    pub(super) fn names_of(&self, number: u32) -> Option<(Option<JobId>, JobId)> {
        let job = self.job(number)?;
        let same = self.numbered().take_while(|(other, _)| *other != number);
        let before = same.filter(|(_, other)| other.command == job.command).count();
        let position = u32::try_from(before + 1).unwrap_or(u32::MAX);
        let path = &self.source.as_ref()?.path;
        Some((Some(name_of(job)), JobId::derive(path, "root", &job.command, position)))
    }

    /// The line of a job in the table.
    pub(super) fn line_of(&self, number: u32) -> Option<u32> {
        self.job(number).map(|job| job.line)
    }

    /// The id of a job by its number.
    pub(super) fn id_of(&self, number: u32) -> Option<&JobId> {
        self.ids.get(&number)
    }

    /// The jobs that are in the table now, by number.
    pub(super) fn set_ids(&mut self, ids: BTreeMap<u32, JobId>) {
        self.ids = ids;
    }

    /// Gives one of them another id.
    pub(super) fn set_id(&mut self, number: u32, id: JobId) {
        self.ids.insert(number, id);
    }

    /// The ids of the anacron jobs, by their numbers.
    pub(super) fn all_ids(&self) -> &BTreeMap<u32, JobId> {
        &self.ids
    }

    /// What the table says of each job.
    pub(super) fn specs(&self) -> Vec<(u32, JobSpec)> {
        self.numbered().map(|(number, job)| (number, spec_of(number, job))).collect()
    }

    /// What the table says of a job.
    pub(super) fn spec(&self, number: u32) -> Option<JobSpec> {
        self.job(number).map(|job| spec_of(number, job))
    }

    /// Takes up runs of an earlier daemon whose results were not delivered to it.
    pub(super) fn add_earlier_runs(&mut self, runs: &[EarlierRun], zone: &Zone) {
        let Some(table) = &self.table else { return };
        for earlier in runs {
            if self.undelivered.iter().any(|known| known.run == earlier.run) {
                continue;
            }
            let is_of_job = |number: &u32| self.ids.get(number) == Some(&earlier.job);
            let numbered = self.numbers.iter().zip(&table.jobs).find(|(number, _)| is_of_job(number));
            if let Some((_, job)) = numbered {
                // Unless it was run by hand, the job was found due earlier than its start, by its delay.
                let delay = if earlier.is_by_hand() { 0 } else { i64::from(job.delay) };
                let found_at = Timestamp(earlier.scheduled_at.0 - delay);
                let day = Day::at(found_at, zone);
                self.undelivered.push(RunningJob { run: earlier.run, id: job.id.clone(), day });
            }
        }
    }

    /// Begins; `running` are the runs of an earlier daemon that are still in progress.
    pub(super) fn begin<'a>(&mut self, running: impl Iterator<Item = &'a RunId>) {
        for run in running {
            let is_meant = |other: &mut RunningJob| other.run == *run;
            self.running.extend(self.undelivered.extract_if(.., is_meant));
        }
        self.want_check(CheckReason::Regular);
    }

    /// Notes that the clock was set or the machine woke up.
    pub(super) fn note_jump(&mut self) {
        self.want_check(CheckReason::Jump);
    }

    /// Notes that the table or a stamp has changed.
    pub(super) fn note_change(&mut self) {
        self.want_check(CheckReason::Change);
    }

    /// Notes that the pause of a job has ended: it may be due.
    pub(super) fn note_resumed(&mut self) {
        self.want_check(CheckReason::Regular);
    }

    fn want_check(&mut self, reason: CheckReason) {
        if self.source.is_some() {
            self.wanted_check = self.wanted_check.max(Some(reason));
        }
    }

    /// Asks for what has to be known before the next step, if that is due.
    pub(super) fn next_question(&mut self, jobs: &dyn JobActivity, now: Timestamp) -> Option<Action> {
        if self.question.is_some() {
            return None;
        }
        if self.next_check.is_some_and(|at| at <= now) {
            self.want_check(CheckReason::Regular);
            // Their ends would have been reported by now.
            self.undelivered.clear();
        }
        if self.wanted_check.is_some() {
            self.question = Some(Question::Table);
            return Some(Action::ReadAnacrontab);
        }
        let may_start = !self.has_active_job(jobs) && self.planned.first().is_some_and(|planned| planned.at <= now);
        may_start.then(|| {
            let planned = self.planned.remove(0);
            let id = planned.job.id.clone();
            self.question = Some(Question::Start(planned));
            Action::PrepareAnacronJob { id }
        })
    }

    /// Makes the wanted check, now that the table and the stamps are known. While the machine runs on its battery, nothing new is started,
    /// and the check is left to the next hour.
    pub(super) fn check(
        &mut self,
        is_on_battery: bool,
        lines: SystemLines<'_>,
        now: Timestamp,
        zone: &Zone,
        actions: &mut Vec<Action>,
    ) {
        if self.question.take_if(|question| *question == Question::Table).is_none() {
            return;
        }
        let Some(reason) = self.wanted_check.take() else { return };
        self.next_check = self.table.as_ref().map(|_| next_check(now, zone));
        if !is_on_battery {
            self.find_due(reason, lines, now, zone, actions);
        }
    }

    fn find_due(
        &mut self,
        reason: CheckReason,
        lines: SystemLines<'_>,
        now: Timestamp,
        zone: &Zone,
        actions: &mut Vec<Action>,
    ) {
        let Some(table) = self.table.clone() else { return };
        let today = Day::at(now, zone);
        match reason {
            CheckReason::Change => {}
            CheckReason::Regular => self.failed.clear(),
            CheckReason::Jump => {
                self.failed.clear();
                for planned in &mut self.planned {
                    planned.at = planned.at.max(now).min(start_of(&planned.job, now));
                    planned.day = today;
                }
                self.planned.retain(|planned| table.hours.admit(hour(planned.at, zone)));
            }
        }
        let is_busy = |number: u32, id: &[u8]| {
            self.planned.iter().any(|planned| planned.job.id == id)
                || self.running.iter().chain(&self.undelivered).any(|running| running.id == id)
                || self.failed.iter().any(|failed| failed == id)
                || self.ids.get(&number).is_some_and(|id| lines.jobs.is_occupied(id))
        };
        let mut found: Vec<PlannedJob> = self
            .numbered()
            .filter(|(number, job)| {
                job.policy.is_enabled && !is_busy(*number, &job.id) && self.is_due(job, lines, now, zone)
            })
            .map(|(_, job)| PlannedJob { job: job.clone(), at: start_of(job, now), day: today })
            .filter(|planned| table.hours.admit(hour(planned.at, zone)))
            .collect();
        self.planned.extend(found.iter().cloned());
        let order = |planned: &PlannedJob| (planned.at, planned.job.line);
        self.planned.sort_by_key(order);
        found.sort_by_key(order);
        actions.extend(found.into_iter().map(|found| Action::AnacronJobDue { id: found.job.id, starts_at: found.at }));
    }

    /// Takes the stamp of the job that was asked about.
    pub(super) fn take_stamp(&mut self, stamp: Option<Day>) {
        if let Some(Question::Start(planned)) = &self.question {
            let id = planned.job.id.clone();
            self.set_stamp(&id, stamp);
        }
    }

    /// Returns the job that was asked about, which can start now, and its slot; none if somebody else has run the job meanwhile, or its line
    /// has changed.
    pub(super) fn take_start(
        &mut self,
        lines: SystemLines<'_>,
        now: Timestamp,
        zone: &Zone,
    ) -> Option<(JobId, Timestamp)> {
        let Some(Question::Start(planned)) = self.question.take() else { return None };
        let number = self.number_of(&planned.job).filter(|_| self.is_due(&planned.job, lines, now, zone))?;
        self.days.insert(number, planned.day);
        Some((self.ids.get(&number)?.clone(), planned.at))
    }

    /// The start of a job was handed over.
    pub(super) fn started(&mut self, run: RunId, number: u32, trigger: Trigger, today: Day) {
        let day = if trigger.is_manual() { today } else { self.days.get(&number).copied().unwrap_or(today) };
        let id = self.job(number).map(|job| job.id.clone());
        self.running.extend(id.map(|id| RunningJob { run, id, day }));
    }

    /// The slot of a job that was asked about has been skipped: it is examined again at the next regular check.
    pub(super) fn postpone(&mut self, id: &JobId) {
        let number = self.ids.iter().find(|(_, other)| *other == id).map(|(number, _)| *number);
        let job = number.and_then(|number| self.job(number)).map(|job| job.id.clone());
        self.failed.extend(job);
    }

    /// Whether a job runs, waits for a place in its group, or will be retried. Others wait for it: they run one after the other. The retry of
    /// a paused job may be far away.
    fn has_active_job(&self, jobs: &dyn JobActivity) -> bool {
        !self.running.is_empty() || self.ids.values().any(|id| jobs.is_active(id))
    }

    /// Drops the start that was asked about, since anacron itself has been installed.
    pub(super) fn drop_start(&mut self) {
        self.question.take_if(|question| matches!(question, Question::Start(_)));
    }

    /// Postpones the start that was asked about to the next regular check.
    pub(super) fn fail_start(&mut self) {
        if let Some(Question::Start(planned)) = self.question.take() {
            self.failed.push(planned.job.id);
        }
    }

    /// When the anacron jobs need attention next.
    pub(super) fn wake_at(&self, jobs: &dyn JobActivity) -> Option<Timestamp> {
        if self.question.is_some() {
            return None;
        }
        let start = self.planned.first().filter(|_| !self.has_active_job(jobs)).map(|planned| planned.at);
        [self.next_check, start].into_iter().flatten().min()
    }

    /// Handles the end of a run. If it was that of an anacron job, its stamp is written, whatever its exit status.
    pub(super) fn handle_end(&mut self, run: RunId, end: &RunOutcome, actions: &mut Vec<Action>) {
        let is_meant = |running: &RunningJob| running.run == run;
        let take = |from: &mut Vec<RunningJob>| from.iter().position(is_meant).map(|at| from.remove(at));
        let Some(ended) = take(&mut self.running).or_else(|| take(&mut self.undelivered)) else { return };
        match end {
            RunOutcome::NotStarted { .. } | RunOutcome::Skipped(_) => self.failed.push(ended.id),
            RunOutcome::Code(_) | RunOutcome::Signal { .. } | RunOutcome::Lost => {
                self.set_stamp(&ended.id, Some(ended.day));
                // A manual run is the one that was planned.
                self.planned.retain(|planned| planned.job.id != ended.id);
                actions.push(Action::WriteStamp { id: ended.id, day: ended.day, cause: StampCause::Ended });
            }
        }
    }

    /// Counts a command that a system table starts as a run of the jobs with the same directory: they are not due any more today.
    pub(super) fn count_line(&mut self, command: &[u8], today: Day, actions: &mut Vec<Action>) {
        let Some(table) = self.table.clone() else { return };
        let counts = |job: &&AnacronJob| {
            DIRECTORIES.iter().any(|directory| names(&job.command, directory) && names(command, directory))
        };
        for job in table.jobs.iter().filter(counts) {
            self.planned.retain(|planned| planned.job.id != job.id);
            self.set_stamp(&job.id, Some(today));
            actions.push(Action::WriteStamp { id: job.id.clone(), day: today, cause: StampCause::RegularLine });
        }
    }

    /// The jobs of the table in force, for questions.
    pub(super) fn jobs(&self) -> Vec<AnacronStatus> {
        let Some(source) = &self.source else { return Vec::new() };
        let status = |(number, job): (u32, &AnacronJob)| AnacronStatus {
            id: self.ids.get(&number).cloned().unwrap_or_else(|| name_of(job)),
            source: source.path.clone(),
            line: job.line,
            schedule: match job.period {
                Period::Days(1) => "every day".to_owned(),
                Period::Days(days) => format!("every {days} days"),
                Period::Month => "@monthly".to_owned(),
                Period::Year => "@yearly".to_owned(),
            },
            command: job.command.clone(),
            starts_at: self.planned.iter().find(|planned| planned.job == *job).map(|planned| planned.at),
            is_enabled: job.policy.is_enabled,
            overlap: job.policy.overlap,
        };
        self.numbered().map(status).collect()
    }

    /// What the executor must know: the job runs as root's, as from a system table.
    pub(super) fn request(&self, number: u32, run: RunId, scheduled_at: Timestamp) -> Option<RunRequest> {
        let job = self.job(number)?;
        Some(RunRequest {
            run,
            job: self.ids.get(&number)?.clone(),
            source: self.source.clone()?,
            line: job.line,
            user: "root".to_owned(),
            command: job.command.clone().into(),
            literal: true,
            variables: Environment::of(job.variables.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))),
            flags: Flags::default(),
            scheduled_at: scheduled_at.0,
            at_reboot: false,
            trigger: Trigger::Anacron,
            attempt: 1,
            rules: RunRules::default(),
            fleet: None,
        })
    }

    fn set_stamp(&mut self, id: &[u8], day: Option<Day>) {
        match day {
            Some(day) => drop(self.stamps.insert(id.to_vec(), day)),
            None => drop(self.stamps.remove(id)),
        }
    }

    /// Whether a job is due. It is also due if its stamp is in the future, since then the clock was wrong.
    fn is_due(&self, job: &AnacronJob, lines: SystemLines<'_>, now: Timestamp, zone: &Zone) -> bool {
        let today = Day::at(now, zone);
        let Some(last) = self.stamps.get(&job.id).copied().filter(|last| *last <= today) else { return true };
        let missed = |directory: &str| {
            let moment = lines.first_after(directory, Timestamp(last.end(zone).0 - 1));
            moment.is_none_or(|moment| moment <= now)
        };
        has_come(job.period, last, today)
            && DIRECTORIES.iter().filter(|directory| names(&job.command, directory)).all(|directory| missed(directory))
    }
}

impl SystemLines<'_> {
    /// The first moment after `after` at which a system table runs that directory. None: no table does, or never.
    fn first_after(self, directory: &str, after: Timestamp) -> Option<Timestamp> {
        let of_the_system = self.tables.iter().map(|(_, table)| table).filter(|table| table.is_of_the_system());
        let first = |table: &LiveCrontab| {
            let entries = 0..table.entries().len() as u32;
            entries
                .filter(|entry| names(table.command(*entry), directory))
                .filter_map(|entry| {
                    let shared = self.timers.get(table.timer(entry)?)?;
                    let zone = &self.zones.get(shared.zone)?.zone;
                    let delay = i64::from(shared.delay());
                    let due = shared.schedule().next_after(Timestamp(after.0 - delay), zone, None)?;
                    Some(Timestamp(due.0 + delay))
                })
                .min()
        };
        of_the_system.filter_map(first).min()
    }
}

/// The name that a job wants: root's, with the anacron job identifier as its name.
fn name_of(job: &AnacronJob) -> JobId {
    JobId::named("root", &safe_name(&job.id))
}

/// What a line says of its job. A group is one of a system table.
fn spec_of(number: u32, job: &AnacronJob) -> JobSpec {
    let policy = &job.policy;
    // These requests have no effect on anacron jobs.
    let is_without = policy.late.is_none() && policy.except.is_empty() && policy.catch_up == CatchUp::default();
    let policy = match is_without {
        true => Arc::clone(policy),
        false => Arc::new(Policy {
            late: None,
            except: Arc::default(),
            catch_up: CatchUp::default(),
            ..Policy::clone(policy)
        }),
    };
    let group = policy.group.as_ref().map(|group| GroupKey { user: None, name: group.name.clone() });
    JobSpec {
        policy,
        entry: Some((ANACRON, number)),
        line: job.line,
        table_owner: None,
        group,
        is_interval: false,
        after: Vec::new(),
    }
}

fn start_of(job: &AnacronJob, now: Timestamp) -> Timestamp {
    Timestamp(now.0 + i64::from(job.delay))
}

fn hour(at: Timestamp, zone: &Zone) -> u32 {
    let LocalMinute(minute) = zone.local_minute(at);
    minute.div_euclid(60).rem_euclid(24) as u32
}

/// The next minute 1 of an hour, as the zone's clocks show it.
fn next_check(now: Timestamp, zone: &Zone) -> Timestamp {
    let LocalMinute(minute) = zone.local_minute(now);
    let minutes = (CHECK_MINUTE - minute.rem_euclid(60) - 1).rem_euclid(60) + 1;
    let in_minute = (now.0 + i64::from(zone.offset_at(now))).rem_euclid(60);
    Timestamp(now.0 - in_minute + minutes * 60)
}

/// Whether a period is over. A month is as long as the last one, or as this one: `@monthly` comes on the same day of each
/// month where there is one (lock.c, consider_job).
fn has_come(period: Period, last: Day, today: Day) -> bool {
    let days = today.since(last);
    let by_calendar = |last_length: u32, length: u32| days >= i64::from(last_length) || days == i64::from(length);
    match period {
        Period::Days(period) => days >= i64::from(period),
        Period::Month => by_calendar(today.last_month_length(), today.month_length()),
        Period::Year => by_calendar(today.last_year_length(), today.year_length()),
    }
}

/// Whether a command names a directory: as a word of its own, and not a file in it or a directory beside it.
fn names(command: &[u8], directory: &str) -> bool {
    let of_a_path = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    memchr::memmem::find_iter(command, directory).any(|at| {
        let before = at.checked_sub(1).and_then(|before| command.get(before));
        let after = command.get(at + directory.len()..).unwrap_or_default();
        let after = after.strip_prefix(b"/").unwrap_or(after);
        !before.is_some_and(|byte| of_a_path(*byte)) && !after.first().is_some_and(|byte| of_a_path(*byte))
    })
}

/// A job identifier as a job name: characters that a name cannot have are replaced.
fn safe_name(id: &[u8]) -> String {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    id.iter().map(|&byte| if is_safe(byte) { char::from(byte) } else { '_' }).collect()
}

#[cfg(test)]
#[path = "anacron_tests.rs"]
mod tests;
