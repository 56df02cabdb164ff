//! Jobs in the form of the control interface: their state, runs and settings, as far as a peer may see them.

use super::search::FoundJob;
use super::state::Counts;
use crate::control::{Access, JobOwner, Rights, Visibility};
use crate::crontab::{Overlap, is_job_setting};
use crate::daemon::database::CrontabDatabase;
use crate::daemon::live_runs::{LiveRun, LiveRuns};
use crate::daemon::reactor::Token;
use crate::daemon::settings::Mode;
use crate::daemon::state::{Daemon, now};
use crate::history::event::RecordedOutcome;
use crate::schedule::{self, Timestamp};
use crate::scheduler::{JobId, JobStatus, Live, Owner, PauseScope, RunId, RunRecord, Scheduler};
use crate::sys::local_socket::Peer;
use crate::sys::process;
use crate::varlink::{Reply, Time, cron};
use std::collections::BTreeSet;

/// How many coming starts `Show` has.
const NEXT_SHOWN: usize = 5;

/// A peer that asks about jobs, and its rights.
pub(super) struct Viewer<'a> {
    peer: &'a Peer,
    rights: Rights,
    database: &'a mut CrontabDatabase,
}

impl<'a> Viewer<'a> {
    pub(super) fn new(peer: &'a Peer, rights: Rights, database: &'a mut CrontabDatabase) -> Viewer<'a> {
        Viewer { peer, rights, database }
    }

    /// What they may do with an entry.
    pub(super) fn access_to_entry(&mut self, live: &Live<'_>) -> Access {
        self.access(&live.source().owner, live.user())
    }

    /// What they may do with a job of a table with that owner, which runs as that user.
    pub(super) fn access(&mut self, owner: &Owner, user: &str) -> Access {
        if self.rights.is_root(self.peer) {
            return Access::ROOT;
        }
        let owner = match owner {
            Owner::User { uid, .. } => JobOwner::User(*uid),
            Owner::System => JobOwner::System(self.database.uid(user)),
            Owner::Caller => JobOwner::Standalone(process::own_uid()),
        };
        self.rights.access(self.peer, owner)
    }
}

/// A job as it is shown.
#[derive(Debug)]
pub(super) struct JobView {
    pub(super) id: JobId,
    pub(super) job: cron::Job,
    /// Whether its last run failed.
    pub(super) is_failing: bool,
    /// What happens at a slot while it runs.
    pub(super) overlap: Overlap,
}

impl JobView {
    /// The job of a live entry.
    pub(super) fn of_entry(scheduler: &Scheduler, runs: &LiveRuns, live: &Live<'_>) -> Option<JobView> {
        let id = live.id()?;
        let policy = live.policy();
        let status = scheduler.job_status(&id);
        let source = live.source();
        let running: Vec<cron::Run> = runs.of_job(&id).map(|(run, live)| run_of(run, live)).collect();
        let waiting = status.waiting + live.queued();
        let job = cron::Job {
            job: id.to_string(),
            user: live.user_or_caller().to_owned(),
            name: id.name().to_owned(),
            named: live.is_named(&id),
            source: source.path.clone(),
            line: live.line(),
            kind: kind_of(&source.owner).to_owned(),
            schedule: live.schedule_text(),
            zone: live.zone().map(|zone| zone.name().to_owned()).unwrap_or_default(),
            command: String::from_utf8_lossy(live.command()).into_owned(),
            state: state_of(!running.is_empty(), waiting, &status, policy.is_enabled).to_owned(),
            enabled: policy.is_enabled,
            paused_until: status.pause.as_ref().map(|pause| pause.until.into()),
            paused_by: status.pause.as_ref().map(|pause| pause.by.clone()),
            note: status.pause.as_ref().map(|pause| pause.note.clone()).filter(|note| !note.is_empty()),
            next: live.coming_start(&id).map(Time::from),
            last: runs.last(&id).map(outcome_of),
            failures: status.failures.max(u32::from(runs.is_failing(&id))),
            late: status.is_late,
            running,
            waiting: u32::try_from(waiting).unwrap_or(u32::MAX),
            retry_at: status.retry_at.map(Time::from),
        };
        let is_failing = runs.is_failing(&id) || status.failures > 0;
        Some(JobView { id, job, is_failing, overlap: policy.overlap })
    }

    /// A job whose entry is gone and that still runs.
    fn of_run(runs: &LiveRuns, run: &LiveRun, caller: &str) -> JobView {
        let id = run.job.clone();
        let job = cron::Job {
            job: id.to_string(),
            user: if run.user.is_empty() { caller.to_owned() } else { run.user.clone() },
            name: id.name().to_owned(),
            named: false,
            source: run.source.path.clone(),
            line: run.line,
            kind: kind_of(&run.source.owner).to_owned(),
            schedule: String::new(),
            zone: String::new(),
            command: String::from_utf8_lossy(&run.command).into_owned(),
            state: "removed".to_owned(),
            enabled: false,
            paused_until: None,
            paused_by: None,
            note: None,
            next: None,
            last: runs.last(&id).map(outcome_of),
            failures: 0,
            late: false,
            running: runs.of_job(&id).map(|(run, live)| run_of(run, live)).collect(),
            waiting: 0,
            retry_at: None,
        };
        JobView { id, job, is_failing: false, overlap: Overlap::default() }
    }

    /// The job as a peer with these rights may see it.
    pub(super) fn job_for(self, access: Access) -> cron::Job {
        let mut job = self.job;
        if access.sees < Visibility::All {
            // Who paused a system job, and why, is root's.
            (job.paused_by, job.note) = (None, None);
        }
        job
    }
}

fn kind_of(owner: &Owner) -> &'static str {
    match owner {
        Owner::User { .. } => "user",
        Owner::System => "system",
        Owner::Caller => "standalone",
    }
}

/// The state of a job, as `List` has it.
pub(super) fn state_of(is_running: bool, waiting: usize, status: &JobStatus, is_enabled: bool) -> &'static str {
    match status {
        _ if is_running => "running",
        JobStatus { pause: Some(_), .. } => "paused",
        _ if waiting > 0 => "waiting",
        JobStatus { retry_at: Some(_), .. } => "retrying",
        _ if !is_enabled => "disabled",
        _ => "idle",
    }
}

fn run_of(run: RunId, live: &LiveRun) -> cron::Run {
    cron::Run {
        run: run.0,
        job: live.job.to_string(),
        slot: cron::Slot {
            scheduled_at: Timestamp(live.scheduled_at).into(),
            trigger: live.trigger.as_str().to_owned(),
            attempt: live.attempt,
        },
        started_at: live.started_at_ms.map(Time::of_ms),
        pid: live.pid,
    }
}

/// An outcome as it is shown.
pub(super) fn outcome_of(record: &RunRecord) -> cron::Outcome {
    let RecordedOutcome { outcome, reason, exit_code, signal } = RecordedOutcome::of(&record.outcome);
    cron::Outcome {
        run: record.run.map(|run| run.0),
        scheduled_at: record.scheduled_at.into(),
        started_at: record.started_at_ms.map(Time::of_ms),
        ended_at: record.ended_at_ms.map(Time::of_ms),
        outcome,
        reason,
        exit_code,
        signal,
        attempt: record.attempt,
        count: record.count,
        until: record.until.map(Time::from),
    }
}

/// A start that is to come.
pub(super) fn next_start(live: &Live<'_>, id: &JobId, at: Timestamp) -> cron::NextStart {
    cron::NextStart {
        at: at.into(),
        job: id.to_string(),
        user: live.user_or_caller().to_owned(),
        command: String::from_utf8_lossy(live.command()).into_owned(),
        schedule: live.schedule_text(),
        zone: live.zone().map(|zone| zone.name().to_owned()).unwrap_or_default(),
        source: live.source().path.clone(),
        line: live.line(),
    }
}

impl Daemon {
    /// The jobs of the anacrontab that the peer may see.
    pub(super) fn anacron_views(&mut self, peer: &Peer) -> Vec<(JobView, Access)> {
        let mut viewer = Viewer::new(peer, self.control.rights, &mut self.database);
        let access = viewer.access(&Owner::System, "root");
        if access.sees == Visibility::Nothing {
            return Vec::new();
        }
        let (scheduler, runs) = (&self.driver.scheduler, &self.runs);
        let views = scheduler.anacron_jobs().into_iter().map(|anacron| {
            let running: Vec<cron::Run> = runs.of_job(&anacron.id).map(|(run, live)| run_of(run, live)).collect();
            let status = scheduler.job_status(&anacron.id);
            let state = state_of(!running.is_empty(), status.waiting, &status, anacron.is_enabled).to_owned();
            let is_failing = runs.is_failing(&anacron.id) || status.failures > 0;
            let job = cron::Job {
                job: anacron.id.to_string(),
                user: anacron.id.user().to_owned(),
                name: anacron.id.name().to_owned(),
                named: true,
                source: anacron.source,
                line: anacron.line,
                kind: "anacron".to_owned(),
                schedule: anacron.schedule,
                zone: scheduler.system_zone().name().to_owned(),
                command: String::from_utf8_lossy(&anacron.command).into_owned(),
                state,
                enabled: anacron.is_enabled,
                paused_until: status.pause.as_ref().map(|pause| pause.until.into()),
                paused_by: status.pause.as_ref().map(|pause| pause.by.clone()),
                note: status.pause.as_ref().map(|pause| pause.note.clone()).filter(|note| !note.is_empty()),
                next: anacron.starts_at.map(Time::from),
                last: runs.last(&anacron.id).map(outcome_of),
                failures: status.failures.max(u32::from(runs.is_failing(&anacron.id))),
                late: status.is_late,
                running,
                waiting: u32::try_from(status.waiting).unwrap_or(u32::MAX),
                retry_at: status.retry_at.map(Time::from),
            };
            (JobView { id: anacron.id, job, is_failing, overlap: anacron.overlap }, access)
        });
        views.collect()
    }

    /// The jobs that run and have no entry any more, as far as the peer may see them. `seen`: the jobs that have an entry.
    pub(super) fn removed_views(&mut self, peer: &Peer, seen: &BTreeSet<JobId>) -> Vec<(JobView, Access)> {
        let mut viewer = Viewer::new(peer, self.control.rights, &mut self.database);
        let mut known = seen.clone();
        let anacron: BTreeSet<JobId> = self.driver.scheduler.anacron_jobs().into_iter().map(|job| job.id).collect();
        let mut views = Vec::new();
        for (_, run) in self.runs.iter() {
            if anacron.contains(&run.job) || !known.insert(run.job.clone()) {
                continue;
            }
            let access = viewer.access(&run.source.owner, &run.user);
            if access.sees > Visibility::Nothing {
                views.push((JobView::of_run(&self.runs, run, self.driver.scheduler.caller()), access));
            }
        }
        views
    }

    pub(super) fn show(&mut self, token: Token, peer: &Peer, job: &FoundJob) {
        let FoundJob { id, access, place } = job;
        let scheduler = &self.driver.scheduler;
        let live = place.and_then(|place| scheduler.entry_at(place)).filter(|live| live.id().as_ref() == Some(id));
        let Some(live) = live else {
            let view = self.anacron_views(peer).into_iter().find(|(view, _)| view.id == *id);
            let Some((view, access)) = view else {
                return self.refuse(token, cron::Error::NoSuchJob { job: id.to_string() });
            };
            let explanation = view.job.schedule.clone();
            let (settings, environment) = (Vec::new(), Vec::new());
            let next = view.job.next.into_iter().collect();
            let show = cron::Show {
                job: view.job_for(access),
                explanation,
                settings,
                environment,
                next,
                warnings: Vec::new(),
            };
            return self.reply(token, &Reply::of(&show));
        };
        let Some(view) = JobView::of_entry(scheduler, &self.runs, &live) else {
            return self.refuse(token, cron::Error::NoSuchJob { job: id.to_string() });
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (mut settings, mut environment) = (Vec::new(), Vec::new());
        for (name, value) in live.variables().iter() {
            let is_setting = is_job_setting(name);
            // A setting that was reset counts as not set.
            if is_setting && *value == *b"default" {
                continue;
            }
            let to = if is_setting { &mut settings } else { &mut environment };
            to.push(cron::NameValue { name: text(name), value: text(value) });
        }
        let mut warnings = Vec::new();
        if let Some(zone) = live.zone() {
            warnings = schedule::dst_warnings(live.schedule(), zone, now().utc);
        }
        let next = live.coming_starts(id, now().utc).take(NEXT_SHOWN).map(Time::from).collect();
        let explanation = schedule::explain(live.schedule());
        let show = cron::Show { job: view.job_for(*access), explanation, settings, environment, next, warnings };
        self.reply(token, &Reply::of(&show));
    }

    /// The reply to `Status`: the counts, without what the peer may not see.
    pub(super) fn status(&self, peer: &Peer, counts: &Counts) -> cron::Status {
        let sees_all = self.control.rights.sees_all(peer);
        let refused = if sees_all { self.database.refused() } else { Vec::new() };
        cron::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: process::own_pid(),
            profile: self.settings.config.profile.name.to_owned(),
            standalone: matches!(self.settings.mode, Mode::Standalone(_)),
            started_at: Time::of_ms(self.control.started_at_ms),
            tables: counts.sources.len(),
            entries: counts.entries,
            refused: refused.into_iter().map(|(source, reason)| cron::Refused { source, reason }).collect(),
            running: counts.running,
            waiting: counts.waiting,
            paused: counts.paused,
            failing: counts.failing,
            late: counts.late,
            next: counts.next.map(Time::from),
            history: self.history.state(),
            log_dropped: if sees_all { self.log.lost() } else { 0 },
            old_executors: if sees_all { self.executors.old.len() } else { 0 },
            paused_all_until: self.pause_of_all(peer).map(Time::from),
            fleet: self.fleet_state(),
        }
    }

    /// `up`, or why this machine takes no part in its fleet. None: no fleet is set up.
    fn fleet_state(&self) -> Option<String> {
        self.settings.config.fleet.as_ref()?;
        let view = self.driver.scheduler.fleet_view(now());
        Some(match (self.fleet_fault(), view) {
            (Some(why), _) => why.to_owned(),
            (None, Some(view)) if view.is_name_taken => format!("another machine is the node {}", view.node),
            (None, Some(view)) if view.away_since_ms.is_some() => "it is not connected yet".to_owned(),
            (None, Some(view)) if view.is_skewed => {
                "its clock differs too much from the fleet's: it takes no part until that is corrected".to_owned()
            }
            (None, _) => "up".to_owned(),
        })
    }

    /// Until when all jobs of a user or of all users are paused, new ones included.
    fn pause_of_all(&self, peer: &Peer) -> Option<Timestamp> {
        let scopes = [Some(PauseScope::Everybody), self.pause_scope(peer)];
        let pauses = scopes.into_iter().flatten().filter_map(|scope| self.driver.scheduler.pause_of_all(scope));
        pauses.map(|pause| pause.until).max()
    }
}
