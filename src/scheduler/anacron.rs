//! Anacron jobs: which of /etc/anacrontab are due, when each starts, what an end means. Anacron's rules (cronie's
//! anacron/lock.c, main.c), for a daemon that is always there.
//!
//! anacron is a program that is started every hour, looks once, and runs what it found one after the other (`-s`). A look
//! here is such a start: when the daemon begins, at minute 1 of every hour, after a jump of the clock, after a change.
//!
//! A job whose command runs one of [`DIRECTORIES`] may have a regular line in a system table as well, as Debian's /etc/crontab
//! has. Then that line is in charge: its start counts as the job's run, and the job is due only if a moment of the line was
//! missed since the day of the stamp.

use super::environment::Environment;
use super::event::{Owner, RunId, RunRequest, Source};
use super::job_id::JobId;
use super::live_table::LiveCrontab;
use super::state::Scheduler;
use crate::crontab::{AnacronJob, Anacrontab, Flags, Period};
use crate::schedule::{Day, LocalMinute, Timestamp, Zone};

/// The directories of scripts that both an anacrontab and a system table may run.
const DIRECTORIES: [&str; 3] = ["/etc/cron.daily", "/etc/cron.weekly", "/etc/cron.monthly"];
/// The minute of every hour at which to look, as cronie's cron.d/0hourly has it.
const LOOK_MINUTE: i64 = 1;
/// How often to see whether a job that an earlier daemon has started still runs. Seconds.
const INHERITED_LOOK: i64 = 60;

/// The jobs of an anacrontab and what becomes of them.
#[derive(Debug, Default)]
pub struct Anacron {
    tab: Option<Anacrontab>,
    /// In the order of their starts.
    planned: Vec<Planned>,
    running: Option<Running>,
    /// Jobs that could not be started, until the next regular look.
    failed: Vec<Vec<u8>>,
    next_look: Option<Timestamp>,
}

/// A job that was found due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The job.
    pub job: AnacronJob,
    /// When it is to start, or as soon after as no other one runs.
    pub at: Timestamp,
    /// The day on which it was found due, which its stamp will name.
    pub day: Day,
}

/// A job that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its name.
    pub id: Vec<u8>,
    /// The day for its stamp.
    pub day: Day,
    /// Its run; none for one that an earlier daemon has started.
    pub run: Option<RunId>,
}

/// Why one looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The daemon begins, or an hour has.
    Regular,
    /// The clock was set or the machine woke up: what is planned is planned anew, but never later.
    Jump,
    /// The table or a stamp has changed.
    Change,
}

/// What a look has to be told.
pub trait Evidence {
    /// The day on a job's stamp; none if there is none that can be read.
    fn stamp(&self, id: &[u8]) -> Option<Day>;
    /// When a system table itself runs that directory for the first time after a moment; none if no table does.
    fn regular(&self, directory: &str, after: Timestamp) -> Option<Timestamp>;
}

impl Anacron {
    /// Takes the table in force; none when there is none, or when anacron itself sees to it.
    pub fn set_table(&mut self, tab: Option<Anacrontab>) {
        match &tab {
            Some(tab) => self.planned.retain(|planned| tab.jobs.contains(&planned.job)),
            None => self.planned.clear(),
        }
        self.tab = tab;
    }

    /// Whether there is a table in force.
    pub fn is_active(&self) -> bool {
        self.tab.is_some()
    }

    /// What runs.
    pub fn running(&self) -> Option<&Running> {
        self.running.as_ref()
    }

    /// A job of an earlier daemon still runs.
    pub fn inherit(&mut self, running: Running) {
        self.running = Some(running);
    }

    /// Does not look this time, but at the next.
    pub fn pass(&mut self, now: Timestamp, zone: &Zone) {
        let inherited = self.running.as_ref().is_some_and(|running| running.run.is_none());
        self.next_look = match (&self.tab, inherited) {
            (_, true) => Some(Timestamp(now.0 + INHERITED_LOOK)),
            (Some(_), false) => Some(next_look(now, zone)),
            (None, false) => None,
        };
    }

    /// Finds what is due and plans it. Returns what is newly planned.
    pub fn look(&mut self, occasion: Occasion, evidence: &dyn Evidence, now: Timestamp, zone: &Zone) -> Vec<Planned> {
        self.pass(now, zone);
        let Some(tab) = &self.tab else { return Vec::new() };
        let today = Day::at(now, zone);
        match occasion {
            Occasion::Regular => self.failed.clear(),
            Occasion::Change => {}
            Occasion::Jump => {
                self.failed.clear();
                for planned in &mut self.planned {
                    planned.at = planned.at.max(now).min(start_of(&planned.job, now));
                    planned.day = today;
                }
                self.planned.retain(|planned| tab.hours.admit(hour(planned.at, zone)));
            }
        }
        let busy = |id: &[u8]| {
            self.planned.iter().any(|planned| planned.job.id == id)
                || self.running.as_ref().is_some_and(|running| running.id == id)
                || self.failed.iter().any(|failed| failed == id)
        };
        let mut found: Vec<Planned> = tab
            .jobs
            .iter()
            .filter(|job| !busy(&job.id) && is_due(job, evidence, now, zone))
            .map(|job| Planned { job: job.clone(), at: start_of(job, now), day: today })
            .filter(|planned| tab.hours.admit(hour(planned.at, zone)))
            .collect();
        self.planned.extend(found.iter().cloned());
        let order = |planned: &Planned| (planned.at, planned.job.line);
        self.planned.sort_by_key(order);
        found.sort_by_key(order);
        found
    }

    /// Whether it is time for a regular look.
    pub fn wants_to_look(&self, now: Timestamp) -> bool {
        self.next_look.is_some_and(|at| at <= now)
    }

    /// When something is to be done next; none while there is no table.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let start = self.planned.first().filter(|_| self.running.is_none()).map(|planned| planned.at);
        [self.next_look, start].into_iter().flatten().min()
    }

    /// The next job to start, if its time has come and nothing runs: it is for the caller to start it, or to let it be.
    pub fn take_next(&mut self, now: Timestamp) -> Option<Planned> {
        let may_start = self.running.is_none() && self.planned.first().is_some_and(|planned| planned.at <= now);
        may_start.then(|| self.planned.remove(0))
    }

    /// Whether a job that was planned is due still: somebody else may have seen to it.
    pub fn is_still_due(&self, planned: &Planned, evidence: &dyn Evidence, now: Timestamp, zone: &Zone) -> bool {
        is_due(&planned.job, evidence, now, zone)
    }

    /// A job was handed out to run.
    pub fn started(&mut self, planned: &Planned, run: RunId) {
        self.running = Some(Running { id: planned.job.id.clone(), day: planned.day, run: Some(run) });
    }

    /// That job cannot be started: not before the next regular look.
    pub fn set_aside(&mut self, id: &[u8]) {
        self.failed.push(id.to_vec());
    }

    /// A run ended; if it was one of ours, which.
    pub fn ended(&mut self, run: RunId) -> Option<Running> {
        self.running.take_if(|running| running.run == Some(run))
    }

    /// The job of an earlier daemon has ended; which it was.
    pub fn inherited_ended(&mut self) -> Option<Running> {
        self.running.take_if(|running| running.run.is_none())
    }

    /// A system table starts that command. The names of the jobs that it counts as a run of; they are due no more today.
    pub fn counts_as_run_of(&mut self, command: &[u8]) -> Vec<Vec<u8>> {
        let Some(tab) = &self.tab else { return Vec::new() };
        let counts = |job: &&AnacronJob| {
            DIRECTORIES.iter().any(|directory| names(&job.command, directory) && names(command, directory))
        };
        let ids: Vec<Vec<u8>> = tab.jobs.iter().filter(counts).map(|job| job.id.clone()).collect();
        self.planned.retain(|planned| !ids.contains(&planned.job.id));
        ids
    }
}

impl Planned {
    /// What the executor must know: a job of root's, as from a system table.
    pub fn start(&self, run: RunId, source: Source) -> RunRequest {
        RunRequest {
            run,
            job: JobId::named("root", &safe_name(&self.job.id)),
            source,
            line: self.job.line,
            user: "root".to_owned(),
            command: self.job.command.clone().into(),
            literal: true,
            variables: Environment::of(
                self.job.variables.iter().map(|(name, value)| (name.as_slice(), value.as_slice())),
            ),
            flags: Flags::default(),
            scheduled_at: self.at.0,
            at_reboot: false,
        }
    }
}

impl Scheduler {
    /// When a system table runs that directory for the first time after a moment; none if no table does, or never.
    pub fn runs_directory_after(&self, directory: &str, after: Timestamp) -> Option<Timestamp> {
        let of_the_system = self.tables.iter().map(|(_, table)| table).filter(|table| table.is_of_the_system());
        let first = |table: &LiveCrontab| {
            let entries = (0..).zip(table.entries()).filter(|(index, _)| names(&table.command(*index), directory));
            entries
                .filter_map(|(_, entry)| {
                    let shared = self.timers.get(entry.timer())?;
                    let zone = &self.zones.get(shared.zone)?.zone;
                    let delay = i64::from(shared.delay());
                    let due = shared.schedule().next_after(Timestamp(after.0 - delay), zone, None)?;
                    Some(Timestamp(due.0 + delay))
                })
                .min()
        };
        of_the_system.filter_map(first).min()
    }

    /// An id for a run that the plan does not start itself. Its end is to be told like that of any other.
    pub fn new_run(&mut self) -> RunId {
        let run = RunId(self.next_run);
        self.next_run += 1;
        self.runs.insert(run, None);
        run
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
fn next_look(now: Timestamp, zone: &Zone) -> Timestamp {
    let LocalMinute(minute) = zone.local_minute(now);
    let minutes = (LOOK_MINUTE - minute.rem_euclid(60) - 1).rem_euclid(60) + 1;
    let in_minute = (now.0 + i64::from(zone.offset_at(now))).rem_euclid(60);
    Timestamp(now.0 - in_minute + minutes * 60)
}

/// Whether a job is due. A stamp of a day to come is a clock that was wrong: the job runs.
fn is_due(job: &AnacronJob, evidence: &dyn Evidence, now: Timestamp, zone: &Zone) -> bool {
    let today = Day::at(now, zone);
    let Some(last) = evidence.stamp(&job.id).filter(|last| *last <= today) else { return true };
    let missed = |directory: &str| {
        let moment = evidence.regular(directory, Timestamp(last.end(zone).0 - 1));
        moment.is_none_or(|moment| moment <= now)
    };
    has_come(job.period, last, today)
        && DIRECTORIES.iter().filter(|directory| names(&job.command, directory)).all(|directory| missed(directory))
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

/// A job identifier as a name: what is not safe in one is replaced.
fn safe_name(id: &[u8]) -> String {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    id.iter().map(|&byte| if is_safe(byte) { char::from(byte) } else { '_' }).collect()
}

/// Where anacron's jobs come from, as the executor and the log are told.
pub fn anacron_source(path: &str) -> Source {
    Source { path: path.to_owned(), name: "*system*".to_owned(), owner: Owner::System }
}

#[cfg(test)]
#[path = "anacron_tests.rs"]
mod tests;
