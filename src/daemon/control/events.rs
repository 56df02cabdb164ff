//! What happens, as it happens: events, the outcomes of runs by hand, and the output of runs.

use super::jobs::outcome_of;
use super::state::{EventFilter, Request};
use crate::control::Sees;
use crate::daemon::reactor::Token;
use crate::daemon::state::Daemon;
use crate::executor::RunOfJob;
use crate::scheduler::{JobId, Notice, NoticeEvent, Outcome, RunId, RunRecord, RunRequest};
use crate::sys::clock;
use crate::varlink::{Reply, Time, cron};
use std::collections::BTreeSet;

impl Daemon {
    /// Begins to tell a client what happens.
    pub(super) fn begin_events(&mut self, token: Token, jobs: Option<BTreeSet<JobId>>, filter: cron::Filter) {
        let cron::Filter { user, source, .. } = filter;
        self.control.requests.insert(token, Request::Events(EventFilter { jobs, user, source }));
    }

    /// Tells the clients that may know of it what has happened.
    pub(in crate::daemon) fn publish(
        &mut self,
        event: &str,
        job: Option<&JobId>,
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
                job: job.map(JobId::to_string),
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

    fn wants_event(&mut self, token: Token, job: Option<&JobId>) -> bool {
        let Ok(peer) = self.peer(token) else { return false };
        let Some(Request::Events(filter)) = self.control.requests.get(&token) else { return false };
        let Some(job) = job else { return filter.jobs.is_none() };
        let is_wanted = filter.jobs.as_ref().is_none_or(|jobs| jobs.contains(job))
            && filter.user.as_deref().is_none_or(|user| user == job.user());
        let source = filter.source.clone();
        if !is_wanted {
            return false;
        }
        let is_of_source = source.is_none_or(|source| {
            self.planner.scheduler.find_entry(job).is_some_and(|live| live.source().path == source)
        });
        is_of_source && self.access_to(&peer, job).sees > Sees::Nothing
    }

    /// Runs of an earlier daemon go on.
    pub(in crate::daemon) fn note_earlier_runs(&mut self, running: &[RunOfJob]) {
        let known = self.planner.scheduler.find_jobs(running.iter().map(|run| &run.job));
        for run in running {
            if let Some(like) = known.get(&run.job) {
                self.runs.add_earlier(run, like);
            }
        }
    }

    /// A run was handed over to the executor.
    pub(in crate::daemon) fn publish_start(&mut self, start: &RunRequest) {
        self.runs.add(start);
        let text = format!("started for {}", Time::from(crate::schedule::Timestamp(start.scheduled_at)).timestamp());
        self.publish("start", Some(&start.job), Some(start.run), None, &text);
        let waiting = |request: &Request| {
            matches!(request, Request::Run(by_hand) if by_hand.run.is_none() && by_hand.job == start.job
                && start.trigger.is_manual() && by_hand.asked_at.0 == start.scheduled_at)
        };
        let tokens: Vec<Token> =
            self.control.requests.iter().filter(|(_, request)| waiting(request)).map(|(token, _)| *token).collect();
        // Each waits for a run of its own.
        if let Some(token) = tokens.first() {
            let result = cron::RunResult { run: start.run.0, outcome: None };
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

    /// The owner of a job is notified: of these events only a late success is not told otherwise.
    pub(in crate::daemon) fn publish_notice(&mut self, notice: &Notice) {
        if notice.event == NoticeEvent::Late {
            let until = notice.expected_until.map(|until| format!(" by {until}")).unwrap_or_default();
            self.publish("late", Some(&notice.job), None, None, &format!("no success{until}"));
        }
    }

    /// An outcome was decided.
    pub(in crate::daemon) fn publish_outcome(&mut self, record: &RunRecord) {
        let entries = self.planner.scheduler.summary().entries;
        self.runs.note_outcome(record, entries);
        let event = match record.outcome {
            Outcome::Skipped(_) => "skip",
            Outcome::Missed(_) => "missed",
            _ => "end",
        };
        let reason = record.outcome.reason().map(|reason| format!(": {reason}")).unwrap_or_default();
        let text = format!("{}{reason}", record.outcome.as_str());
        self.publish(event, Some(&record.job), record.run, Some(record), &text);
        let is_awaited = |request: &Request| match request {
            Request::Run(by_hand) => match by_hand.run {
                Some(run) => record.run == Some(run),
                None => {
                    record.run.is_none()
                        && record.trigger.is_manual()
                        && record.job == by_hand.job
                        && record.scheduled_at == by_hand.asked_at
                }
            },
            Request::Walk(_) | Request::Events(_) | Request::Output(_) => false,
        };
        let tokens: Vec<Token> =
            self.control.requests.iter().filter(|(_, request)| is_awaited(request)).map(|(token, _)| *token).collect();
        for token in tokens {
            let result = cron::RunResult { run: record.run.map_or(0, |run| run.0), outcome: Some(outcome_of(record)) };
            self.reply(token, &Reply::of(&result));
            self.answer_calls(token);
        }
    }
}
