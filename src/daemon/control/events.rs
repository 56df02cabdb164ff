//! Sends clients what they follow: events, and the outcomes of runs by hand. It changes nothing else: see `run_events`.

use super::jobs::{Viewer, outcome_of};
use super::state::{AwaitedOutput, EventFilter, Request, RunByHand};
use crate::control::Visibility;
use crate::daemon::live_runs::LiveRun;
use crate::daemon::reactor::Token;
use crate::daemon::state::Daemon;
use crate::schedule::Timestamp;
use crate::scheduler::{JobId, Notice, NoticeEvent, Outcome, RunId, RunRecord, RunRequest, SkipReason, Source};
use crate::sys::clock;
use crate::varlink::{Reply, Time, cron};
use std::collections::BTreeSet;

/// The job that an event is about.
#[derive(Clone, Debug)]
pub(in crate::daemon) struct EventJob {
    job: JobId,
    source: Source,
    /// The user that the job runs as; empty for the caller of a standalone daemon.
    user: String,
}

impl EventJob {
    /// The job that a run is requested of.
    pub(in crate::daemon) fn start(start: &RunRequest) -> EventJob {
        EventJob { job: start.job.clone(), source: start.source.clone(), user: start.user.clone() }
    }

    /// The job of a run.
    pub(in crate::daemon) fn run(run: &LiveRun) -> EventJob {
        EventJob { job: run.job.clone(), source: run.source.clone(), user: run.user.clone() }
    }
}

impl Daemon {
    /// Begins to send events to a client.
    pub(super) fn begin_events(&mut self, token: Token, jobs: Option<BTreeSet<JobId>>, filter: cron::Filter) {
        let cron::Filter { user, source, .. } = filter;
        self.control.requests.insert(token, Request::Events(EventFilter { jobs, user, source }));
    }

    /// Sends an event to the clients that may know of it.
    pub(in crate::daemon) fn publish(
        &mut self,
        event: &str,
        job: Option<&EventJob>,
        run: Option<RunId>,
        outcome: Option<&RunRecord>,
        text: &str,
    ) {
        for token in self.control.listeners() {
            if !self.wants_event(token, job) {
                continue;
            }
            let event = cron::Event {
                at: Time::of_ms(clock::wall_ms()),
                event: event.to_owned(),
                job: job.map(|job| job.job.to_string()),
                run: run.map(|run| run.0),
                outcome: outcome.map(outcome_of),
                text: text.to_owned(),
            };
            self.reply(token, &Reply::continued(&event));
            // A client that does not read is not waited for.
            if self.control.server.as_ref().is_some_and(|server| server.is_behind(token.number())) {
                self.close_client(token);
            }
        }
    }

    /// Sends an event about the job with this id. The job is found quickly after a request of a client about it.
    pub(super) fn publish_about(&mut self, event: &str, job: &JobId, run: Option<RunId>, text: &str) {
        let job = self.event_job(job);
        self.publish(event, job.as_ref(), run, None, text);
    }

    /// The job with this id. None: no client wants events, or no entry has the job.
    pub(in crate::daemon) fn event_job(&self, job: &JobId) -> Option<EventJob> {
        if self.control.listeners().is_empty() {
            return None;
        }
        let live = self.driver.scheduler.find_entry(job)?;
        Some(EventJob { job: job.clone(), source: live.source().clone(), user: live.user().to_owned() })
    }

    fn wants_event(&mut self, token: Token, job: Option<&EventJob>) -> bool {
        let Ok(peer) = self.peer(token) else { return false };
        let Some(Request::Events(filter)) = self.control.requests.get(&token) else { return false };
        let Some(EventJob { job, source, user }) = job else {
            return filter.jobs.is_none() && self.control.rights.sees_all(&peer);
        };
        let is_wanted = filter.jobs.as_ref().is_none_or(|jobs| jobs.contains(job))
            && filter.user.as_deref().is_none_or(|user| user == job.user())
            && filter.source.as_deref().is_none_or(|path| path == source.path);
        let mut viewer = Viewer::new(&peer, self.control.rights, &mut self.database);
        is_wanted && viewer.access(&source.owner, user).sees > Visibility::Nothing
    }

    /// A run was handed over to the executor.
    pub(in crate::daemon) fn publish_start(&mut self, start: &RunRequest) {
        let text = format!("started for {}", Time::from(Timestamp(start.scheduled_at)).timestamp());
        self.publish("start", Some(&EventJob::start(start)), Some(start.run), None, &text);
        let waiting = |request: &Request| {
            matches!(request, Request::Run(by_hand) if by_hand.run.is_none() && by_hand.job == start.job
                && start.trigger.is_manual() && by_hand.asked_at.0 == start.scheduled_at)
        };
        let tokens: Vec<Token> =
            self.control.requests.iter().filter(|(_, request)| waiting(request)).map(|(token, _)| *token).collect();
        // Each waits for a run of its own.
        if let Some(token) = tokens.first() {
            let result = cron::RunResult { run: start.run.0, outcome: None, output: None };
            let waits = match self.control.requests.get_mut(token) {
                Some(Request::Run(by_hand)) => {
                    by_hand.run = Some(start.run);
                    by_hand.waits
                }
                _ => false,
            };
            self.reply(*token, &if waits { Reply::continued(&result) } else { Reply::of(&result) });
            if !waits {
                self.answer_calls(*token);
            }
        }
    }

    /// The owner of a job is notified. Of these notices only that of a late success has no other event.
    pub(in crate::daemon) fn publish_notice(&mut self, notice: &Notice) {
        if notice.event == NoticeEvent::Late {
            let until = notice.expected_until.map(|until| format!(" by {until}")).unwrap_or_default();
            self.publish_about("late", &notice.job, None, &format!("no success{until}"));
        }
    }

    /// Slots of an entry without a policy were left out.
    pub(in crate::daemon) fn publish_skipped(&mut self, start: &RunRequest, why: SkipReason) {
        self.publish("skip", Some(&EventJob::start(start)), None, None, &format!("skipped: {}", why.as_str()));
    }

    /// An outcome of a job is known. None: the job is unknown, and only clients that wait for this run are informed.
    pub(in crate::daemon) fn publish_outcome(&mut self, record: &RunRecord, job: Option<&EventJob>) {
        let event = match record.outcome {
            Outcome::Skipped(_) => "skip",
            Outcome::Missed(_) => "missed",
            _ => "end",
        };
        let reason = record.outcome.reason().map(|reason| format!(": {reason}")).unwrap_or_default();
        let text = format!("{}{reason}", record.outcome.as_str());
        if job.is_some() {
            self.publish(event, job, record.run, Some(record), &text);
        }
        let is_awaited = |request: &Request| match request {
            Request::Run(by_hand) => {
                // A run that was not begun after all has no number in its record.
                let is_slot = record.run.is_none()
                    && record.trigger.is_manual()
                    && record.job == by_hand.job
                    && record.scheduled_at == by_hand.asked_at;
                is_slot || (record.run.is_some() && record.run == by_hand.run)
            }
            Request::Walk(_)
            | Request::PauseJobs(_)
            | Request::Events(_)
            | Request::Output(_)
            | Request::Reload
            | Request::Fleet(_) => false,
        };
        let tokens: Vec<Token> =
            self.control.requests.iter().filter(|(_, request)| is_awaited(request)).map(|(token, _)| *token).collect();
        for token in tokens {
            let run = record.run.map_or(0, |run| run.0);
            let result = cron::RunResult { run, outcome: Some(outcome_of(record)), output: None };
            match self.control.requests.get_mut(&token) {
                // The rest of its output comes first.
                Some(Request::Run(RunByHand { output: AwaitedOutput::Followed { outcome, .. }, .. })) => {
                    *outcome = Some(Box::new(result));
                }
                _ => {
                    self.reply(token, &Reply::of(&result));
                    self.answer_calls(token);
                }
            }
        }
    }
}
