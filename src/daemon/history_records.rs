//! The records that the daemon writes to the history.

use super::state::{Daemon, Fatal, Handler};
use crate::crontab::HistoryRule;
use crate::executor::{EarlierStart, JournaledFollowUp};
use crate::history::event::{
    DaemonStarted, HistoryEvent, RecordedEntry, RecordedOutcome, RunDecided, RunEnded, RunRequested, Slots,
};
use crate::history::journal::Share;
use crate::report::Level;
use crate::schedule::Timestamp;
use crate::scheduler::{
    JobId, MailResult, Outcome, Owner, RunId, RunRecord, RunRequest, RunResult, RunRules, SkipReason,
};
use crate::sys::{clock, process};
use std::borrow::Cow;

/// The job or run that a request names, for its record.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RequestAbout<'a> {
    /// The job. None: several, or none.
    pub(super) job: Option<&'a JobId>,
    /// The run, where one was named.
    pub(super) run: Option<RunId>,
}

impl<'a> RequestAbout<'a> {
    pub(super) fn job(job: &'a JobId) -> RequestAbout<'a> {
        RequestAbout { job: Some(job), run: None }
    }
}

impl Daemon {
    fn handle_recorder(&mut self) -> Result<(), Fatal> {
        self.history.handle_recorder(clock::monotonic_ms(), &mut self.reactor);
        self.log_history();
        Ok(())
    }

    /// Starts the recorder if it is time for that.
    pub(super) fn run_history(&mut self, now_ms: i64) {
        let handler: Handler = |daemon, _| daemon.handle_recorder();
        let refuse: Handler = |daemon, _| {
            daemon.history.refuse_clients(&mut daemon.reactor);
            Ok(())
        };
        self.history.run_timers(now_ms, &mut self.reactor, handler, refuse);
        self.log_history();
    }

    /// Writes what was recorded in this turn.
    pub(super) fn flush_history(&mut self) {
        self.history.flush();
        self.log_history();
    }

    /// Logs what has happened to the history.
    pub(super) fn log_history(&mut self) {
        for (level, text) in self.history.take_lines() {
            match level {
                Level::Info => self.log_event("INFO", &text),
                _ => self.warn(&text),
            }
        }
    }

    /// Records that the daemon has started, and which runs of earlier daemons are in progress.
    pub(super) fn record_begin(&mut self, begun: DaemonStarted) {
        self.history.record(Share::Root, &HistoryEvent::DaemonStarted(begun), &[]);
        self.flush_history();
    }

    /// Records that a run is handed to the executor, and sets how much of its output the history gets.
    pub(super) fn record_start(&mut self, start: &mut RunRequest) {
        if start.rules.history_output > 0 {
            start.rules.history_output = self.history.output_bytes();
        }
        if !self.history.is_on() || self.driver.scheduler.history_rule(&start.job) == HistoryRule::Off {
            return;
        }
        let begun = RunRequested::of(start, self.uid_of(start), clock::wall_ms());
        let share = share_of(&start.source.owner);
        self.history.add_share(start.run, share);
        self.history.record(share, &HistoryEvent::RunRequested(Box::new(begun)), &[]);
    }

    /// Records that the process of a run was started, so that the history knows that while it runs.
    pub(super) fn record_process(&mut self, run: RunId, started_at_ms: i64) {
        if let Some(share) = self.history.share_of_recent_run(run) {
            self.history.record(share, &HistoryEvent::RunStarted { run: run.0, started_at_ms }, &[]);
        }
    }

    /// Records what the executor has reported of an ended run, by the rules of its job.
    pub(super) fn record_result(&mut self, result: &RunResult, rules: Option<&RunRules>) {
        // The beginning of the run was recorded, unless the history keeps nothing of its job.
        let share = self.history.share_of_run(result.run);
        self.history.record(share, &HistoryEvent::RunEnded(Box::new(RunEnded::of(result, rules))), &[]);
    }

    /// Records the ends and mails that executors have reported to an earlier daemon: it may have been killed before it could do that.
    pub(super) fn record_earlier_results(&mut self, started: &[EarlierStart]) {
        for start in started {
            let Some(result) = &start.result else { continue };
            let rules = self.driver.scheduler.rules_of_job(&start.job);
            self.record_result(result, rules.as_ref());
            if let Some(mail) = &start.mail {
                self.record_mail(start.run, mail);
            }
        }
    }

    /// Records the ends of hooks and pings that executors have reported to an earlier daemon. The recorder takes each once.
    pub(super) fn record_earlier_follow_ups(&mut self, ended: &[JournaledFollowUp]) {
        for JournaledFollowUp { run, what, how, output, .. } in ended {
            self.record_follow_up(*run, what, how, output);
        }
    }

    /// Records the output of a run.
    pub(super) fn record_output(&mut self, run: RunId, mut head: Vec<u8>, tail: &[u8], cut: u64) {
        let length = u32::try_from(head.len()).unwrap_or(u32::MAX);
        head.extend_from_slice(tail);
        let share = self.history.share_of_run(run);
        self.history.record(share, &HistoryEvent::Output { run: run.0, head: length, cut }, &head);
    }

    /// Records what became of a run's mail.
    pub(super) fn record_mail(&mut self, run: RunId, mail: &MailResult) {
        let mail = match mail {
            MailResult::NotWanted => return,
            MailResult::Sent => "sent".to_owned(),
            MailResult::Dropped => "dropped".to_owned(),
            MailResult::Failed { why } => why.clone(),
        };
        let share = self.history.share_of_run(run);
        self.history.record(share, &HistoryEvent::Mailed { run: run.0, mail }, &[]);
    }

    /// Records what became of a hook or a call of a web service.
    pub(super) fn record_follow_up(&mut self, run: RunId, what: &str, how: &str, output: &[u8]) {
        let keeps_output = self.history.output_bytes() > 0;
        let output = if keeps_output { String::from_utf8_lossy(output) } else { Cow::Borrowed("") };
        let separator = if output.trim_end().is_empty() { "" } else { "\n" };
        let text = format!("{what}: {how}{separator}{}", output.trim_end());
        let share = self.history.share_of_run(run);
        self.history.record(share, &HistoryEvent::FollowedUp { run: run.0, text }, &[]);
    }

    /// Records an outcome that the scheduler has decided about.
    pub(super) fn record_outcome(&mut self, record: &RunRecord) {
        if !self.history.is_on() {
            return;
        }
        match RunDecided::of(record) {
            Some(decided) => {
                let share = self.history.share_of_run(RunId(decided.run));
                self.history.record(share, &HistoryEvent::RunDecided(decided), &[]);
            }
            None => {
                let last = record.until.unwrap_or(record.scheduled_at);
                let slots = (record.scheduled_at, last, record.count);
                let start = self.driver.scheduler.request_of_job(&record.job);
                let start = start.map(|start| RunRequest { trigger: record.trigger, ..start });
                self.record_slots(&record.job, start.as_ref(), slots, &record.outcome);
            }
        }
    }

    /// Records a request of the control socket.
    pub(super) fn record_control(&mut self, (uid, by): (u32, &str), action: &str, about: RequestAbout<'_>, text: &str) {
        let control = HistoryEvent::Control {
            at_ms: clock::wall_ms(),
            uid,
            by: by.to_owned(),
            action: action.to_ascii_lowercase(),
            job: about.job.map(JobId::to_string),
            run: about.run.map(|run| run.0),
            text: text.to_owned(),
        };
        let share = if uid == 0 { Share::Root } else { Share::User(uid) };
        self.history.record(share, &control, &[]);
    }

    /// Records slots that were skipped.
    pub(super) fn record_skipped(&mut self, start: &RunRequest, why: SkipReason, count: u64, first: Timestamp) {
        let slots = (first, Timestamp(start.scheduled_at), count);
        self.record_slots(&start.job, Some(start), slots, &Outcome::Skipped(why));
    }

    fn record_slots(
        &mut self,
        job: &JobId,
        start: Option<&RunRequest>,
        (first, last, count): (Timestamp, Timestamp, u64),
        outcome: &Outcome,
    ) {
        if !self.history.is_on() || self.driver.scheduler.history_rule(job) == HistoryRule::Off {
            return;
        }
        // The recorder knows an entry that is gone from its last run.
        let unknown =
            || RecordedEntry { job: job.as_str().to_owned(), user: job.user().to_owned(), ..RecordedEntry::default() };
        let slots = Slots {
            entry: start.map_or_else(unknown, |start| RecordedEntry::of(start, self.uid_of(start))),
            trigger: start.map_or("schedule", |start| start.trigger.as_str()).to_owned(),
            first_ms: first.0.saturating_mul(1000),
            last_ms: last.0.saturating_mul(1000),
            count,
            end: RecordedOutcome::of(outcome),
        };
        let share = start.map_or(Share::Root, |start| share_of(&start.source.owner));
        self.history.record(share, &HistoryEvent::Slots(Box::new(slots)), &[]);
    }

    /// The id of the user that a job runs as, if it is a local one.
    fn uid_of(&mut self, start: &RunRequest) -> Option<u32> {
        match &start.source.owner {
            Owner::User { uid, .. } => Some(*uid),
            Owner::System => self.database.local_uid(&start.user),
            Owner::Caller => Some(process::own_uid()),
        }
    }
}

/// Whose share of the journal the runs of a job take.
fn share_of(owner: &Owner) -> Share {
    match owner {
        Owner::User { uid: 0, .. } | Owner::System | Owner::Caller => Share::Root,
        Owner::User { uid, .. } => Share::User(*uid),
    }
}
